#include "settings_names.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "settings_table.h"

#define NAME_MAX_LEN 48 /* no setting is longer */

static const char *const names[] = {
#define SETTING(name, member, type, unset_value, least, most, unit, who, sentence) #name,
    SETTINGS_TABLE(SETTING)
#undef SETTING
#define X(name) name,
        SETTINGS_WITHOUT_EFFECT(X)
#undef X
            "RUST_LOG",
    "MOSTRO_PUSH_ENV"};

#define NAMES (sizeof names / sizeof names[0])

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters have to be added, taken away, changed, or swapped with their neighbour, each at
 * most once (optimal string alignment). Both are at most NAME_MAX_LEN long. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][NAME_MAX_LEN + 1] = {{0}}, *before = rows[0], *row = rows[1], *next = rows[2];
    size_t len = strlen(b), *swapped;

    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        next[0] = i + 1;
        for (size_t j = 0; j < len; j++) {
            size_t changed = row[j] + (toupper((unsigned char)a[i]) != b[j]);

            next[j + 1] = least(changed, least(row[j + 1], next[j]) + 1);
            if (i > 0 && j > 0 && toupper((unsigned char)a[i]) == b[j - 1] &&
                toupper((unsigned char)a[i - 1]) == b[j])
                next[j + 1] = least(next[j + 1], before[j - 1] + 1);
        }
        swapped = before;
        before = row;
        row = next;
        next = swapped;
    }
    return row[len];
}

/* One letter in short names, three at most. */
static size_t most_mistakes(const char *name)
{
    size_t len = strlen(name);

    return len < 12 ? 1 : len < 20 ? 2 : 3;
}

/* Each mistake changes the length by one at most. */
static bool may_be_close(const char *name, const char *other, size_t most)
{
    size_t len = strlen(name), others = strlen(other);

    return len <= others + most && others <= len + most;
}

const char *settings_names_meant(const char *name)
{
    const char *nearest = NULL;
    size_t fewest = most_mistakes(name) + 1, mistakes;

    if (strlen(name) > NAME_MAX_LEN)
        return NULL;
    for (size_t i = 0; i < NAMES; i++) {
        if (strcmp(name, names[i]) == 0)
            return NULL;
        if (!may_be_close(name, names[i], fewest))
            continue;
        mistakes = distance(name, names[i]);
        if (mistakes < fewest) {
            fewest = mistakes;
            nearest = names[i];
        }
    }
    return nearest;
}
