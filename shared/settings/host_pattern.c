#include "host_pattern.h"

#include <stddef.h>
#include <string.h>

/* One element of an alternative and the repetition after it. */
struct piece {
    const char *text;
    size_t len;     /* without the repetition */
    char repeated;  /* `*`, `+`, `?`, `{`, or NUL */
    size_t skipped; /* with the repetition */
};

/* The length of a bracket expression: a ] that comes first is one of its characters. */
static size_t bracket_len(const char *text, const char *end)
{
    const char *at = text + 1;

    at += at < end && *at == '^';
    at += at < end && *at == ']';
    while (at < end && *at != ']') {
        if (at[0] == '[' && at + 1 < end && strchr(":.=", at[1]) != NULL) {
            const char kind = at[1];

            for (at += 2; at + 1 < end && !(at[0] == kind && at[1] == ']');)
                at++;
            at += at + 1 < end ? 2 : 1;
        } else {
            at++;
        }
    }
    return (size_t)((at < end ? at + 1 : end) - text);
}

static size_t group_len(const char *text, const char *end)
{
    const char *at = text;
    size_t depth = 0;

    while (at < end) {
        if (*at == '\\' && at + 1 < end) {
            at += 2;
            continue;
        }
        if (*at == '[') {
            at += bracket_len(at, end);
            continue;
        }
        depth += *at == '(';
        depth -= *at == ')';
        at++;
        if (depth == 0)
            break;
    }
    return (size_t)(at - text);
}

static struct piece piece_at(const char *text, const char *end)
{
    struct piece piece = {.text = text, .len = 1};
    const char *after;

    if (*text == '\\' && text + 1 < end)
        piece.len = 2;
    else if (*text == '[')
        piece.len = bracket_len(text, end);
    else if (*text == '(')
        piece.len = group_len(text, end);
    after = text + piece.len;
    while (after < end && strchr("*+?{", *after) != NULL) {
        piece.repeated = *after;
        while (piece.repeated == '{' && after + 1 < end && *after != '}')
            after++;
        after++;
    }
    piece.skipped = (size_t)(after - text);
    return piece;
}

static bool is_tied(const char *text, const char *end, bool at_beginning);

static bool is_literal_dot(const struct piece *piece)
{
    return (piece->len == 2 && memcmp(piece->text, "\\.", 2) == 0) ||
           (piece->len == 3 && memcmp(piece->text, "[.]", 3) == 0);
}

/* Whether the piece at that end of an alternative ties it. */
static bool ties(const struct piece *piece, bool at_beginning)
{
    const char first = piece->text[0];
    bool is_optional = piece->repeated != '\0' && piece->repeated != '+';

    if (piece->len == 1 && first == '.')
        return piece->repeated == '*' || piece->repeated == '+';
    if (is_optional)
        return false;
    if (first == '(')
        return is_tied(piece->text + 1, piece->text + piece->len - 1, at_beginning);
    if (at_beginning && is_literal_dot(piece))
        return true;
    return piece->len == 1 && first == (at_beginning ? '^' : '$');
}

/* Whether each of the alternatives is. */
static bool is_tied(const char *text, const char *end, bool at_beginning)
{
    struct piece first = {.text = NULL}, last = {.text = NULL};

    for (;; text += last.skipped) {
        if (text < end && *text != '|') {
            last = piece_at(text, end);
            first = first.text == NULL ? last : first;
            continue;
        }
        if (first.text == NULL || !ties(at_beginning ? &first : &last, at_beginning))
            return false;
        if (text == end)
            return true;
        first.text = NULL;
        last.skipped = 1; /* the | */
    }
}

bool host_pattern_has_beginning(const char *pattern)
{
    return is_tied(pattern, pattern + strlen(pattern), true);
}

bool host_pattern_has_end(const char *pattern)
{
    return is_tied(pattern, pattern + strlen(pattern), false);
}
