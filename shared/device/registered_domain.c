#include "registered_domain.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Where the last `count` labels of a name begin. */
static const char *last_labels(const char *name, unsigned count)
{
    const char *at = name + strlen(name);

    while (at > name && (at[-1] != '.' || --count > 0))
        at--;
    return at;
}

/* Whether this is a name of two labels below which anyone may register a name. The labels are those
 * that are suffixes in at least ten countries, by the Public Suffix List of February 2023, but for
 * words that are sold in others (info, name, web); and ne, gouv and ltd, of four at least. */
static bool is_for_all(const char *name)
{
    static const char *const seconds[] = {"ac",  "co",  "com", "edu", "go",  "gob", "gouv", "gov",
                                          "ltd", "mil", "ne",  "net", "nom", "or",  "org",  "sch"};
    const char *dot = strchr(name, '.');

    if (dot == NULL || strlen(dot + 1) != 2)
        return false;
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        if (strlen(seconds[i]) == (size_t)(dot - name) &&
            memcmp(seconds[i], name, strlen(seconds[i])) == 0)
            return true;
    }
    return false;
}

const char *registered_domain(const char *name)
{
    const char *domain = last_labels(name, 2);

    return is_for_all(domain) ? last_labels(name, 3) : domain;
}
