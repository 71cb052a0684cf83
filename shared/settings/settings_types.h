/* settings_types: the types of settings_table.h: how a value of each is read, shown and freed.
 *
 * For settings.c and settings_load.c alone. Pure. */
#ifndef MOSTRO_SETTINGS_TYPES_H
#define MOSTRO_SETTINGS_TYPES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* In brackets: the type of the member of struct settings. */
enum settings_type {
    SETTINGS_TEXT,         /* (char *) */
    SETTINGS_NAME,         /* (char *) letters, digits, `.`, `-`, `_` */
    SETTINGS_HTTPS,        /* (char *) an https URL to which a path is added: no trailing slash */
    SETTINGS_CONTACT,      /* (char *) a mailto: or https: URI */
    SETTINGS_SECRET_REDIS, /* (char *) a Redis URL, which may hold a password */
    SETTINGS_SECRET_TEXT,  /* (char *) a password */
    SETTINGS_SECRET_KEY,   /* (struct settings_key) 64 hex characters */
    SETTINGS_WHOLE,        /* (int64_t) */
    SETTINGS_SWITCH,       /* (bool) */
    SETTINGS_PROXY,        /* (enum settings_proxy) */
    SETTINGS_LEVEL,        /* (enum log_level) */
    SETTINGS_TARGET,       /* (enum log_target) */
    SETTINGS_RELAYS,       /* (struct settings_relays) */
    SETTINGS_KINDS,        /* (struct settings_kinds) */
    SETTINGS_REGEX         /* (struct settings_regex) */
};

/* What a value must be. */
struct settings_rule {
    enum settings_type type;
    int64_t least; /* of a number; of a text's length */
    int64_t most;
    const char *unit;
};

/* Reads `value` into `member`; false if it breaks the rule. */
bool settings_type_parse(const struct settings_rule *rule, void *member, const char *value);

/* Says what is expected, for errors and --help. */
void settings_type_print(const struct settings_rule *rule, FILE *out);

/* A more exact reason why `value` is wrong, or NULL. It repeats nothing of a secret. */
const char *settings_type_hint(const struct settings_rule *rule, const char *value);

/* What an operator may not have meant by a good value, or NULL. */
const char *settings_type_warning(const struct settings_rule *rule, const char *value);

bool settings_type_is_secret(const struct settings_rule *rule);

/* Whether this value of such a setting is one that nobody else may know: a Redis URL need not hold
 * a password, and the placeholder is no key. */
bool settings_type_holds_secret(const struct settings_rule *rule, const char *value);

/* Frees what settings_type_parse() allocated, and wipes secrets. */
void settings_type_free(const struct settings_rule *rule, void *member);

/* The key of example files, the number one, counts as unset. */
bool settings_type_is_placeholder(const uint8_t key[32]);

#endif
