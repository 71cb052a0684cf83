#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "env_file.h"
#include "redis.h"
#include "settings_table.h"

#define RELAY_URL_MAX 512
#define SHOWN_MAX     80 /* characters of a bad value in an error */

enum type { TEXT, NAME, WHOLE, SWITCH, LEVEL, TARGET, RELAYS, KINDS, HTTPS, REGEX, SECRET_REDIS };

struct row {
    const char *name;
    size_t offset;
    enum type type;
    const char *unset_value;
    int64_t least;
    int64_t most;
    const char *unit;
    enum settings_who who;
    const char *sentence;
};

static const struct row rows[] = {
#define SETTING(name, member, type, unset_value, least, most, unit, who, sentence) \
    {#name,   offsetof(struct settings, member),                                   \
     type,    unset_value,                                                         \
     least,   most,                                                                \
     unit,    SETTINGS_##who,                                                      \
     sentence},
    SETTINGS_TABLE(SETTING)
#undef SETTING
};

#define ROWS (sizeof rows / sizeof rows[0])

static bool is_secret(const struct row *row)
{
    return row->type == SECRET_REDIS;
}

/* ---- One parser a type: false leaves the member as it was ------------------------------------ */

static bool parse_text(const struct row *row, char **member, const char *value)
{
    size_t len = strlen(value);

    if (len < (size_t)row->least || len > (size_t)row->most)
        return false;
    *member = strdup(value);
    return *member != NULL;
}

static bool parse_name(const struct row *row, char **member, const char *value)
{
    for (const char *c = value; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && strchr(".-_", *c) == NULL)
            return false;
    return parse_text(row, member, value);
}

static bool parse_number(const char *value, int64_t least, int64_t most, int64_t *number)
{
    char *end;
    long long parsed;

    if (!isdigit((unsigned char)value[0]))
        return false;
    errno = 0;
    parsed = strtoll(value, &end, 10);
    if (errno != 0 || *end != '\0' || parsed < least || parsed > most)
        return false;
    *number = parsed;
    return true;
}

static bool parse_switch(bool *member, const char *value)
{
    bool on = strcasecmp(value, "true") == 0 || strcmp(value, "1") == 0;
    bool off = strcasecmp(value, "false") == 0 || strcmp(value, "0") == 0;

    *member = on;
    return on || off;
}

static bool parse_level(enum log_level *member, const char *value)
{
    static const struct {
        const char *word;
        enum log_level level;
    } words[] = {
        {"error", LOG_LEVEL_ERROR}, {"warn", LOG_LEVEL_WARN},   {"warning", LOG_LEVEL_WARN},
        {"info", LOG_LEVEL_INFO},   {"debug", LOG_LEVEL_DEBUG}, {"trace", LOG_LEVEL_DEBUG},
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(value, words[i].word) == 0) {
            *member = words[i].level;
            return true;
        }
    return false;
}

static bool parse_target(enum log_target *member, const char *value)
{
    bool is_syslog = strcmp(value, "syslog") == 0;

    *member = is_syslog ? LOG_TARGET_SYSLOG : LOG_TARGET_STDERR;
    return is_syslog || strcmp(value, "stderr") == 0;
}

static bool is_port(const char *text, size_t len)
{
    char digits[6];
    int64_t port;

    if (len == 0 || len >= sizeof digits)
        return false;
    memcpy(digits, text, len);
    digits[len] = '\0';
    return parse_number(digits, 1, 65535, &port);
}

/* Lower-cases the scheme and the host of a relay's URL in place; false if it is none. */
static bool normalise_relay(char *url)
{
    char *authority = NULL, *end, *colon;

    for (char *c = url; *c != '\0'; c++)
        if (*c <= ' ' || *c >= 0x7f || *c == '"' || *c == '\\')
            return false;
    if (strncasecmp(url, "ws://", 5) == 0)
        authority = url + 5;
    else if (strncasecmp(url, "wss://", 6) == 0)
        authority = url + 6;
    else
        return false;
    end = authority + strcspn(authority, "/?#");
    for (char *c = url; c < end; c++)
        *c = (char)tolower((unsigned char)*c);
    colon = memchr(authority, ']', (size_t)(end - authority));
    colon = memchr(colon != NULL ? colon : authority, ':',
                   (size_t)(end - (colon != NULL ? colon : authority)));
    if (memchr(authority, '@', (size_t)(end - authority)) != NULL || authority == end ||
        colon == authority)
        return false;
    return colon == NULL || is_port(colon + 1, (size_t)(end - colon - 1));
}

static bool add_relay(struct settings_relays *relays, const char *text, size_t len)
{
    char *url = len <= RELAY_URL_MAX ? strndup(text, len) : NULL;

    if (url == NULL || !normalise_relay(url) || relays->count == SETTINGS_MAX_RELAYS) {
        free(url);
        return false;
    }
    for (size_t i = 0; i < relays->count; i++)
        if (strcmp(relays->url[i], url) == 0) {
            free(url);
            return true;
        }
    relays->url[relays->count++] = url;
    return true;
}

static bool add_kind(struct settings_kinds *kinds, const char *text, size_t len)
{
    char digits[6];
    int64_t kind;

    if (len == 0 || len >= sizeof digits || kinds->count == SETTINGS_MAX_KINDS)
        return false;
    memcpy(digits, text, len);
    digits[len] = '\0';
    if (!parse_number(digits, 0, 65535, &kind))
        return false;
    for (size_t i = 0; i < kinds->count; i++)
        if (kinds->kind[i] == (uint32_t)kind)
            return true;
    kinds->kind[kinds->count++] = (uint32_t)kind;
    return true;
}

typedef bool add_item_fn(void *list, const char *text, size_t len);

static bool add_relay_item(void *list, const char *text, size_t len)
{
    return add_relay(list, text, len);
}

static bool add_kind_item(void *list, const char *text, size_t len)
{
    return add_kind(list, text, len);
}

/* Items between commas, blanks around them dropped; an empty item is an error. */
static bool parse_list(void *list, const char *value, add_item_fn *add)
{
    for (;;) {
        size_t len, item;

        value += strspn(value, " \t");
        item = len = strcspn(value, ",");
        while (item > 0 && (value[item - 1] == ' ' || value[item - 1] == '\t'))
            item--;
        if (item == 0 || !add(list, value, item))
            return false;
        if (value[len] == '\0')
            return true;
        value += len + 1;
    }
}

static bool parse_https(const struct row *row, char **member, const char *value)
{
    size_t len = strlen(value);

    for (const char *c = value; *c != '\0'; c++)
        if (*c <= ' ' || *c >= 0x7f)
            return false;
    if (strncasecmp(value, "https://", 8) != 0 || !parse_text(row, member, value))
        return false;
    if ((*member)[len - 1] == '/')
        (*member)[len - 1] = '\0';
    return true;
}

static bool parse_regex(const struct row *row, struct settings_regex *member, const char *value)
{
    member->set = strlen(value) <= (size_t)row->most &&
                  regcomp(&member->compiled, value, REG_EXTENDED | REG_NOSUB) == 0;
    return member->set;
}

static bool parse(const struct row *row, struct settings *settings, const char *value)
{
    void *member = (char *)settings + row->offset;

    switch (row->type) {
    case TEXT:
        return parse_text(row, member, value);
    case NAME:
        return parse_name(row, member, value);
    case WHOLE:
        return parse_number(value, row->least, row->most, member);
    case SWITCH:
        return parse_switch(member, value);
    case LEVEL:
        return parse_level(member, value);
    case TARGET:
        return parse_target(member, value);
    case RELAYS:
        return parse_list(member, value, add_relay_item);
    case KINDS:
        return parse_list(member, value, add_kind_item);
    case HTTPS:
        return parse_https(row, member, value);
    case REGEX:
        return parse_regex(row, member, value);
    case SECRET_REDIS:
        return redis_url_is_valid(value) && parse_text(row, member, value);
    }
    return false;
}

/* ---- Reading -----------------------------------------------------------------------------------
 */

static void print_expected(const struct row *row, FILE *out)
{
    switch (row->type) {
    case WHOLE:
        (void)fprintf(out, "a whole number from %" PRId64 " to %" PRId64 " (%s)", row->least,
                      row->most, row->unit);
        break;
    case TEXT:
        (void)fprintf(out, "%s of %" PRId64 " to %" PRId64 " characters", row->unit, row->least,
                      row->most);
        break;
    case SWITCH:
        (void)fputs("true or false", out);
        break;
    default:
        (void)fputs(row->unit, out);
    }
}

static void print_error(const struct row *row, const char *value, FILE *errors)
{
    (void)fprintf(errors, "%s=", row->name);
    if (is_secret(row)) {
        (void)fputs("(not shown)", errors);
    } else {
        for (size_t i = 0; value[i] != '\0' && i < SHOWN_MAX; i++)
            (void)fputc(value[i] >= ' ' && value[i] < 0x7f ? value[i] : '?', errors);
    }
    (void)fputs(": expected ", errors);
    print_expected(row, errors);
    (void)fputc('\n', errors);
}

/* RUST_LOG may be `info` or `info,some_crate=debug`: its first plain word counts. */
static const char *plain_rust_log(const char *value, char word[16])
{
    while (value != NULL && *value != '\0') {
        size_t len = strcspn(value, ",");

        if (len > 0 && len < 16 && memchr(value, '=', len) == NULL) {
            memcpy(word, value, len);
            word[len] = '\0';
            return word;
        }
        value += len + (value[len] == ',');
    }
    return NULL;
}

static bool read_row(const struct row *row, struct settings *settings, settings_lookup_fn *lookup,
                     void *arg, FILE *errors)
{
    const char *value = lookup(row->name, arg);
    char word[16];
    enum log_level ignored;

    if (value == NULL && row->type == LEVEL) {
        value = plain_rust_log(lookup("RUST_LOG", arg), word);
        if (value != NULL && !parse_level(&ignored, value))
            value = NULL;
    }
    if (value == NULL)
        value = row->unset_value;
    if (value[0] == '\0' && row->unset_value[0] == '\0')
        return true;
    if (parse(row, settings, value))
        return true;
    print_error(row, value, errors);
    return false;
}

static bool name_after_host(struct settings *settings, FILE *errors)
{
    char host[65] = "";

    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0') {
        (void)fputs("LISTENER_NAME: expected a name, as this machine has no host name\n", errors);
        return false;
    }
    settings->listener_name = strdup(host);
    return settings->listener_name != NULL;
}

static void note_without_effect(struct settings *settings, settings_lookup_fn *lookup, void *arg)
{
    static const char *const names[] = {
#define X(name) name,
        SETTINGS_WITHOUT_EFFECT(X)
#undef X
    };
    size_t size = sizeof settings->without_effect, used = 0;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int n;

        if (lookup(names[i], arg) == NULL)
            continue;
        n = snprintf(settings->without_effect + used, size - used, " %s", names[i]);
        used += n > 0 && (size_t)n < size - used ? (size_t)n : 0;
    }
}

struct settings *settings_read(enum settings_who who, settings_lookup_fn *lookup, void *arg,
                               FILE *errors)
{
    struct settings *settings = calloc(1, sizeof *settings);
    bool good = settings != NULL;

    for (size_t i = 0; good && i < ROWS; i++)
        if ((rows[i].who & who) == 0)
            (void)parse(&rows[i], settings, rows[i].unset_value);
    for (size_t i = 0; settings != NULL && i < ROWS; i++)
        if ((rows[i].who & who) != 0 && !read_row(&rows[i], settings, lookup, arg, errors))
            good = false;
    if (good)
        note_without_effect(settings, lookup, arg);
    if (good && (who & SETTINGS_LISTENER) != 0 && settings->relays.count == 0) {
        (void)fputs("NOSTR_RELAYS: expected comma-separated ws:// or wss:// URLs, nothing is set\n",
                    errors);
        good = false;
    }
    if (good && (who & SETTINGS_LISTENER) != 0 && settings->listener_name == NULL)
        good = name_after_host(settings, errors);
    if (!good)
        settings_free(&settings);
    return settings;
}

static const char *from_environment(const char *name, void *arg)
{
    const struct env_file *file = arg;
    const char *value = getenv(name);

    if ((value == NULL || value[0] == '\0') && file != NULL)
        value = env_file_get(file, name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* An explicitly named file must be there; ./.env need not. */
static bool open_env_file(struct env_file **file, FILE *errors)
{
    const char *path = getenv("MOSTRO_PUSH_ENV");
    bool named = path != NULL && path[0] != '\0';

    *file = env_file_read(named ? path : ".env", errors);
    if (*file != NULL)
        return true;
    if (errno != ENOENT)
        return false;
    if (named)
        (void)fprintf(errors, "MOSTRO_PUSH_ENV=%s: no such file\n", path);
    return !named;
}

struct settings *settings_load(enum settings_who who, FILE *errors)
{
    struct env_file *file = NULL;
    struct settings *settings;

    if (!open_env_file(&file, errors))
        return NULL;
    settings = settings_read(who, from_environment, file, errors);
    env_file_free(&file);
    return settings;
}

static void free_secret(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

void settings_free(struct settings **settings)
{
    struct settings *s = *settings;

    if (s == NULL)
        return;
    for (size_t i = 0; i < ROWS; i++) {
        void *member = (char *)s + rows[i].offset;

        switch (rows[i].type) {
        case TEXT:
        case NAME:
        case HTTPS:
            free(*(char **)member);
            break;
        case SECRET_REDIS:
            free_secret(*(char **)member);
            break;
        default:
            break;
        }
    }
    for (size_t i = 0; i < s->relays.count; i++)
        free(s->relays.url[i]);
    if (s->unifiedpush_allowed_hosts.set)
        regfree(&s->unifiedpush_allowed_hosts.compiled);
    free(s);
    *settings = NULL;
}

void settings_print_help(enum settings_who who, FILE *out)
{
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];

        if ((row->who & who) == 0)
            continue;
        (void)fprintf(out, "  %s\n      %s\n      ", row->name, row->sentence);
        print_expected(row, out);
        if (row->unset_value[0] != '\0')
            (void)fprintf(out, "; default %s", row->unset_value);
        (void)fputc('\n', out);
    }
}
