#include "regex_check.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MOST_TIMES 65536 /* more than RE_DUP_MAX */

/* Of what is more work than its length says, as measured: of an anchor, behind which everything is
 * copied, and of a group that may be empty, around which the paths grow with its cube. */
#define ANCHOR_WEIGHT      (REGEX_CHECK_WEIGHT / 8)
#define EMPTY_GROUP_WEIGHT (REGEX_CHECK_WEIGHT / 64)

/* What a pattern is made of: a character, a bracket, a group. */
struct piece {
    uint64_t weight;
    bool empty; /* it may match nothing */
};

/* A group that is open, or the pattern. */
struct group {
    uint64_t weight;
    bool empty;        /* an alternative that has ended may match nothing */
    bool branch_empty; /* this one may, but for its last piece */
    struct piece last; /* what a repetition that comes next repeats */
};

struct repetition {
    uint64_t least, times; /* as often as it is copied at most */
};

struct check {
    const char *at;
    struct group groups[REGEX_CHECK_DEPTH + 1], *group;
};

static const struct group opened = {.branch_empty = true, .last = {.empty = true}};

static bool open_group(struct check *check)
{
    if (check->group == check->groups + REGEX_CHECK_DEPTH)
        return false;
    *++check->group = opened;
    return true;
}

static void add(struct group *group, struct piece piece)
{
    group->weight += piece.weight;
    group->branch_empty = group->branch_empty && group->last.empty;
    group->last = piece;
}

static bool may_be_empty(const struct group *group)
{
    return group->empty || (group->branch_empty && group->last.empty);
}

static void close_group(struct check *check)
{
    const struct group *closed = check->group--;
    bool empty = may_be_empty(closed);

    add(check->group, (struct piece){.weight = closed->weight + (empty ? EMPTY_GROUP_WEIGHT : 1),
                                     .empty = empty});
}

static void next_branch(struct group *group)
{
    group->weight++;
    group->empty = may_be_empty(group);
    group->branch_empty = true;
    group->last = opened.last;
}

static bool at_end_of_branch(const struct check *check)
{
    return *check->at == '$' ? check->at[1] == '\0' || check->at[1] == '|'
                             : check->group->last.weight == 0;
}

static bool repeat(struct group *group, struct repetition repetition)
{
    if (group->last.empty)
        return false;
    group->weight += group->last.weight * (repetition.times - 1);
    group->last.weight *= repetition.times;
    group->last.empty = group->last.empty || repetition.least == 0;
    return true;
}

/* Each reads what begins at `at` and returns what is behind it. */

/* POSIX.1-2017, 9.3.5. */
static const char *read_bracket(const char *at)
{
    at += at[1] == '^' ? 2 : 1;
    if (*at == ']')
        at++;
    for (; *at != '\0' && *at != ']'; at++)
        if (*at == '[' && at[1] != '\0' && strchr(".=:", at[1]) != NULL) {
            char end[] = {at[1], ']', '\0'};

            at = strstr(at + 2, end);
            if (at == NULL)
                return "";
            at++;
        }
    return *at == ']' ? at + 1 : at;
}

static const char *read_count(const char *at, uint64_t *count)
{
    for (*count = 0; *at >= '0' && *at <= '9'; at++)
        if (*count < MOST_TIMES)
            *count = 10 * *count + (uint64_t)(*at - '0');
    return at;
}

static const char *read_interval(const char *at, struct repetition *repetition)
{
    uint64_t most = 0;

    at = read_count(at + 1, &repetition->least);
    if (*at == ',')
        at = read_count(at + 1, &most);
    repetition->times = (most > repetition->least ? most : repetition->least) + 1;
    return *at == '}' ? at + 1 : at;
}

static const char *read_repetition(const char *at, struct repetition *repetition)
{
    *repetition = (struct repetition){.least = *at == '+', .times = *at == '+' ? 2 : 1};
    return *at == '{' ? read_interval(at, repetition) : at + 1;
}

/* NULL for an escape that there must not be. */
static const char *read_piece(const char *at, bool at_end, struct piece *piece)
{
    bool anchor = *at == '^' || *at == '$';

    *piece = (struct piece){.weight = anchor && !at_end ? ANCHOR_WEIGHT : 1, .empty = anchor};
    if (*at == '[')
        return read_bracket(at);
    if (*at != '\\')
        return at + 1;
    return at[1] != '\0' && strchr("^.[]$()|*+?{}\\-/", at[1]) != NULL ? at + 2 : NULL;
}

static bool read_any(struct check *check)
{
    struct group *group = check->group;
    bool in_group = group > check->groups;
    struct repetition repetition;
    struct piece piece = {.weight = 1};

    switch (*check->at) {
    case '(':
        check->at++;
        return open_group(check);
    case ')': /* outside of a group a character */
        check->at++;
        if (in_group)
            close_group(check);
        else
            add(group, piece);
        return true;
    case '|':
        check->at++;
        next_branch(group);
        return true;
    case '*':
    case '+':
    case '?':
    case '{':
        check->at = read_repetition(check->at, &repetition);
        return repeat(group, repetition);
    default:
        check->at = read_piece(check->at, !in_group && at_end_of_branch(check), &piece);
        add(group, piece);
        return check->at != NULL;
    }
}

bool regex_check(const char *pattern)
{
    struct check check = {.at = pattern, .groups = {opened}, .group = check.groups};

    while (*check.at != '\0')
        if (!read_any(&check) || check.group->weight > REGEX_CHECK_WEIGHT)
            return false;
    return check.group == check.groups;
}
