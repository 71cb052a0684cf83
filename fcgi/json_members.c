#include "json_members.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"

/* A name in an object that is still open, or, below the names of an object, its opening. Every
 * mark stands for at least one character of the text. */
struct mark {
    uint32_t at;  /* where the name is; of an opening, the mark of the container around it */
    uint32_t len; /* of the name; of an opening, whether it is an object's */
};

/* What may come next. */
enum want { VALUE, VALUE_OR_CLOSE, NAME, NAME_OR_CLOSE, COMMA_OR_CLOSE, THE_END };

struct scan {
    char *text, *at, *end;
    struct mark *marks;
    uint32_t top;  /* marks in use */
    uint32_t open; /* the mark of the innermost container that is open */
    const struct json_member *members;
    size_t count;
    const struct json_member *member; /* the known one whose value comes next, or NULL */
};

/* ---- Strings --------------------------------------------------------------------------------- */

/* The length of the character at `at`, 0 where there is none (RFC 3629, section 4). */
static size_t utf8_len(const unsigned char *at, const unsigned char *end)
{
    unsigned char least = *at == 0xe0 ? 0xa0 : *at == 0xf0 ? 0x90 : 0x80;
    unsigned char most = *at == 0xed ? 0x9f : *at == 0xf4 ? 0x8f : 0xbf;
    size_t len;

    if (*at < 0x80)
        return 1;
    if (*at < 0xc2 || *at > 0xf4)
        return 0;
    len = *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4;
    if ((size_t)(end - at) < len || at[1] < least || at[1] > most)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

/* The code unit of `\uXXXX` at `at`, or -1. */
static long code_unit(const char *at, const char *end)
{
    long unit = 0;

    if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        int digit = hex_digit(at[i]);

        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

/* A surrogate alone is encoded, too: as UTF-8 would encode it, which no other text does. */
static char *put_utf8(char *out, unsigned long code)
{
    static const unsigned long last[] = {0x7f, 0x7ff, 0xffff};
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    int more = 0;

    while (more < 3 && code > last[more])
        more++;
    *out++ = (char)(lead[more] | code >> (6 * more));
    while (more-- > 0)
        *out++ = (char)(0x80 | (code >> (6 * more) & 0x3f));
    return out;
}

/* Decodes `\uXXXX`, or the two of a pair. False for what is none, and for NUL. */
static bool read_unicode_escape(struct scan *scan, char **out, bool *has_half)
{
    long unit = code_unit(scan->at, scan->end), low;

    if (unit <= 0)
        return false;
    scan->at += 6;
    if (unit >= 0xd800 && unit <= 0xdfff) {
        low = unit < 0xdc00 ? code_unit(scan->at, scan->end) : -1;
        if (low >= 0xdc00 && low <= 0xdfff) {
            scan->at += 6;
            unit = 0x10000 + ((unit - 0xd800) << 10 | (low - 0xdc00));
        } else {
            *has_half = true;
        }
    }
    *out = put_utf8(*out, (unsigned long)unit);
    return true;
}

static bool read_escape(struct scan *scan, char **out, bool *has_half)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *short_escape;

    if (scan->end - scan->at < 2)
        return false;
    if (scan->at[1] == 'u')
        return read_unicode_escape(scan, out, has_half);
    short_escape = memchr(from, scan->at[1], sizeof from - 1);
    if (short_escape == NULL)
        return false;
    *(*out)++ = to[short_escape - from];
    scan->at += 2;
    return true;
}

/* A character of several bytes. False for what is none, and for control characters. */
static bool read_character(struct scan *scan, char **out)
{
    size_t len = utf8_len((const unsigned char *)scan->at, (const unsigned char *)scan->end);

    if (len == 0 || (unsigned char)*scan->at < ' ')
        return false;
    while (len-- > 0)
        *(*out)++ = *scan->at++;
    return true;
}

/* Characters that are one byte each and stand for themselves, up to the first other one; nearly all
 * that phones send. Returns where the next goes. */
static char *take_plain(struct scan *scan, char *out)
{
    const char *begin = scan->at, *at = begin;
    size_t len;

    /* Bytes over 0x7f are negative, and so less than a blank. */
    while (at < scan->end && (signed char)*at >= ' ' && *at != '"' && *at != '\\')
        at++;
    len = (size_t)(at - begin);
    memmove(out, begin, len);
    scan->at += len;
    return out + len;
}

/* The string at the opening quote, decoded in place, which never makes it longer. */
static bool read_string(struct scan *scan, struct json_text *string, bool *has_half)
{
    char *out = ++scan->at;

    *has_half = false;
    string->text = out;
    out = take_plain(scan, out);
    while (scan->at < scan->end && *scan->at != '"') {
        if (*scan->at == '\\' ? !read_escape(scan, &out, has_half) : !read_character(scan, &out))
            return false;
        out = take_plain(scan, out);
    }
    if (scan->at == scan->end)
        return false;
    scan->at++;
    *out = '\0';
    string->len = (size_t)(out - string->text);
    return true;
}

/* ---- Containers ------------------------------------------------------------------------------ */

static enum want open_container(struct scan *scan, bool is_object)
{
    scan->marks[scan->top] = (struct mark){.at = scan->open, .len = is_object};
    scan->open = scan->top++;
    scan->at++;
    return is_object ? NAME_OR_CLOSE : VALUE_OR_CLOSE;
}

static int compare_names(const void *a, const void *b, void *text)
{
    const struct mark *one = a, *other = b;
    int order = memcmp((char *)text + one->at, (char *)text + other->at,
                       one->len < other->len ? one->len : other->len);

    return order != 0 ? order : (one->len > other->len) - (one->len < other->len);
}

/* Sorted: a client that chooses the names could make a table of hashes slow. */
static bool has_a_name_twice(const struct scan *scan)
{
    struct mark *names = scan->marks + scan->open + 1;
    size_t count = scan->top - scan->open - 1;

    if (count > 1)
        qsort_r(names, count, sizeof *names, compare_names, scan->text);
    for (size_t i = 1; i < count; i++)
        if (compare_names(&names[i - 1], &names[i], scan->text) == 0)
            return true;
    return false;
}

static bool close_container(struct scan *scan, bool is_object, enum want *want)
{
    struct mark opening;

    if (scan->top == 0)
        return false;
    opening = scan->marks[scan->open];
    if (opening.len != is_object || (is_object && has_a_name_twice(scan)))
        return false;
    scan->top = scan->open;
    scan->open = opening.at;
    scan->at++;
    *want = scan->top == 0 ? THE_END : COMMA_OR_CLOSE;
    return true;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static bool skip_word(struct scan *scan, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(scan->end - scan->at) < len || memcmp(scan->at, word, len) != 0)
        return false;
    scan->at += len;
    return true;
}

static bool skip_one_of(struct scan *scan, const char *characters)
{
    if (scan->at == scan->end || *scan->at == '\0' || strchr(characters, *scan->at) == NULL)
        return false;
    scan->at++;
    return true;
}

static bool skip_digits(struct scan *scan)
{
    const char *begin = scan->at;

    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
        scan->at++;
    return scan->at > begin;
}

/* RFC 8259, section 6. The number's value does not matter. */
static bool skip_number(struct scan *scan)
{
    (void)skip_one_of(scan, "-");
    if (!skip_one_of(scan, "0") && !skip_digits(scan))
        return false;
    if (skip_one_of(scan, ".") && !skip_digits(scan))
        return false;
    if (!skip_one_of(scan, "eE"))
        return true;
    (void)skip_one_of(scan, "+-");
    return skip_digits(scan);
}

static bool read_known(struct scan *scan)
{
    struct json_text value;
    bool has_half;

    if (*scan->at == 'n')
        return skip_word(scan, "null");
    if (*scan->at != '"' || !read_string(scan, &value, &has_half) || has_half)
        return false;
    *scan->member->value = value;
    return true;
}

static bool read_value(struct scan *scan, enum want *want)
{
    struct json_text ignored;
    bool has_half;

    *want = COMMA_OR_CLOSE;
    if (scan->member != NULL)
        return read_known(scan);
    switch (*scan->at) {
    case '{':
    case '[':
        *want = open_container(scan, *scan->at == '{');
        return true;
    case '"':
        return read_string(scan, &ignored, &has_half);
    case 't':
        return skip_word(scan, "true");
    case 'f':
        return skip_word(scan, "false");
    case 'n':
        return skip_word(scan, "null");
    default:
        return skip_number(scan);
    }
}

static void skip_space(struct scan *scan)
{
    while (skip_one_of(scan, " \t\n\r"))
        ;
}

static bool read_name(struct scan *scan)
{
    struct json_text name;
    bool has_half;

    if (*scan->at != '"' || !read_string(scan, &name, &has_half))
        return false;
    scan->member = NULL;
    if (scan->open == 0) /* of the object that the text is */
        for (size_t i = 0; i < scan->count; i++)
            if (strcmp(scan->members[i].name, name.text) == 0)
                scan->member = &scan->members[i];
    scan->marks[scan->top++] =
        (struct mark){.at = (uint32_t)(name.text - scan->text), .len = (uint32_t)name.len};
    skip_space(scan);
    return skip_one_of(scan, ":");
}

/* One token, or a name with its colon; there is a character that is no space. */
static bool read_next(struct scan *scan, enum want *want)
{
    bool in_object = scan->marks[scan->open].len;
    char c = *scan->at;

    if ((c == '}' || c == ']') && *want != VALUE && *want != NAME)
        return close_container(scan, c == '}', want);
    switch (*want) {
    case NAME:
    case NAME_OR_CLOSE:
        *want = VALUE;
        return read_name(scan);
    case VALUE:
    case VALUE_OR_CLOSE:
        return read_value(scan, want);
    case COMMA_OR_CLOSE:
        *want = in_object ? NAME : VALUE;
        scan->member = NULL;
        return skip_one_of(scan, ",");
    case THE_END:
        break;
    }
    return false;
}

static bool read_object(struct scan *scan)
{
    enum want want;

    skip_space(scan);
    if (scan->at == scan->end || *scan->at != '{')
        return false;
    want = open_container(scan, true);
    skip_space(scan);
    while (scan->at < scan->end && read_next(scan, &want))
        skip_space(scan);
    return scan->at == scan->end && want == THE_END;
}

bool json_members_read(char *text, size_t len, const struct json_member *members, size_t count)
{
    struct scan scan = {
        .text = text, .at = text, .end = text + len, .members = members, .count = count};
    bool ok = false;

    for (size_t i = 0; i < count; i++)
        *members[i].value = (struct json_text){.text = ""};
    if (len > 0 && len <= JSON_MEMBERS_TEXT_MAX)
        scan.marks = malloc(len * sizeof *scan.marks);
    if (scan.marks != NULL)
        ok = read_object(&scan);
    free(scan.marks);
    for (size_t i = 0; i < count && !ok; i++)
        *members[i].value = (struct json_text){.text = ""};
    return ok;
}
