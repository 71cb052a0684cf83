#include "settings.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/key_file.h"
#include "base/url.h"
#include "credentials.h"
#include "settings_table.h"
#include "settings_types.h"

#define SHOWN_MAX 80 /* characters of a bad value in an error */

struct row {
    const char *name;
    size_t offset;
    struct settings_rule rule;
    const char *unset_value;
    enum settings_who who;
    const char *sentence;
};

static const struct row rows[] = {
#define SETTING(name, member, type, unset_value, least, most, unit, who, sentence) \
    {#name,                                                                        \
     offsetof(struct settings, member),                                            \
     {SETTINGS_##type, least, most, unit},                                         \
     unset_value,                                                                  \
     SETTINGS_##who,                                                               \
     sentence},
    SETTINGS_TABLE(SETTING)
#undef SETTING
};

#define ROWS (sizeof rows / sizeof rows[0])

static void *member_of(const struct row *row, struct settings *settings)
{
    return (char *)settings + row->offset;
}

static bool parse(const struct row *row, struct settings *settings, const char *value)
{
    return settings_type_parse(&row->rule, member_of(row, settings), value);
}

static void print_shown(const char *value, size_t len, FILE *errors)
{
    for (size_t i = 0; i < len && i < SHOWN_MAX; i++)
        (void)fputc(value[i] >= ' ' && value[i] < 0x7f ? value[i] : '?', errors);
}

static void print_not_shown(FILE *errors)
{
    (void)fputs("(not shown)", errors);
}

static void print_url(const char *url, size_t len, FILE *errors)
{
    struct url_part shown = url_public_part(url, len);

    if (shown.text == NULL) {
        print_not_shown(errors);
        return;
    }
    print_shown(shown.text, shown.len, errors);
    if (shown.len < len && !(len == shown.len + 1 && url[shown.len] == '/'))
        (void)fputs("/[...]", errors);
}

/* The end of the relay URL that begins here, if its password may hold commas. */
static const char *end_of_relay(const char *value)
{
    do
        value += strcspn(value, ",") + 1;
    while (value[-1] != '\0' && strncasecmp(value, "ws://", 5) != 0 &&
           strncasecmp(value, "wss://", 6) != 0);
    return value - 1;
}

static void print_relays(const char *value, FILE *errors)
{
    size_t len;

    for (;; value += len + 1) {
        len = strcspn(value, ",");
        if (memchr(value, '@', (size_t)(end_of_relay(value) - value)) != NULL)
            print_not_shown(errors);
        else
            print_url(value, len, errors);
        if (value[len] == '\0')
            return;
        (void)fputc(',', errors);
    }
}

static void print_value(const struct settings_rule *rule, const char *value, FILE *errors)
{
    const char *mark = strstr(value, "://");

    if (settings_type_is_secret(rule))
        print_not_shown(errors);
    else if (rule->type == SETTINGS_RELAYS)
        print_relays(value, errors);
    else if (rule->type == SETTINGS_HTTPS)
        print_url(value, strlen(value), errors);
    else if (rule->type == SETTINGS_CONTACT && mark != NULL && strchr(mark, '@') != NULL)
        print_not_shown(errors);
    else
        print_shown(value, strlen(value), errors);
}

static void print_error(const struct row *row, const char *value, FILE *errors)
{
    const char *hint = settings_type_hint(&row->rule, value);

    (void)fprintf(errors, "%s=", row->name);
    print_value(&row->rule, value, errors);
    (void)fputs(": expected ", errors);
    settings_type_print(&row->rule, errors);
    if (hint != NULL)
        (void)fprintf(errors, "; %s", hint);
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

static void print_warning(const struct row *row, const char *value, FILE *warnings)
{
    const char *warning = settings_type_warning(&row->rule, value);

    if (warning == NULL)
        return;
    (void)fprintf(warnings, "%s=", row->name);
    print_value(&row->rule, value, warnings);
    (void)fprintf(warnings, ": %s\n", warning);
}

static bool read_row(const struct row *row, struct settings *settings, settings_lookup_fn *lookup,
                     void *arg, const struct settings_tell *tell)
{
    const char *set = lookup(row->name, arg), *value = set;
    char word[16];
    enum log_level level;

    if (value == NULL && row->rule.type == SETTINGS_LEVEL) {
        value = plain_rust_log(lookup("RUST_LOG", arg), word);
        if (value != NULL && !settings_type_parse(&row->rule, &level, value))
            value = NULL;
    }
    if (value == NULL)
        value = row->unset_value;
    if (value[0] == '\0' && row->unset_value[0] == '\0')
        return true;
    if (!parse(row, settings, value)) {
        print_error(row, value, tell->errors);
        return false;
    }
    if (value == set)
        print_warning(row, value, tell->warnings);
    return true;
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

/* An operator may have written the key itself where its file's name belongs. */
static void print_file_error(const char *name, const char *path, const char *problem, FILE *errors)
{
    uint8_t key[32];
    bool is_key = hex_decode(key, sizeof key, path, strlen(path)) ||
                  strncasecmp(path, "nsec1", 5) == 0 || strstr(path, "-----BEGIN") != NULL;

    explicit_bzero(key, sizeof key);
    if (is_key)
        (void)fprintf(errors, "%s=(not shown): expected a file's name, not the key\n", name);
    else
        (void)fprintf(errors, "%s=%s: %s\n", name, path, problem);
}

/* A key may come from a file instead; giving both is a mistake. */
static bool read_key_file(const char *name, const char *path, struct settings_key *key,
                          FILE *errors)
{
    const char *problem;

    if (path == NULL)
        return true;
    problem = key->set ? "the key itself is set as well" : key_file_read(path, key->bytes);
    if (problem != NULL) {
        print_file_error(name, path, problem, errors);
        return false;
    }
    key->set = !settings_type_is_placeholder(key->bytes);
    return true;
}

/* Only a listener signs, so a responder forgets the private half at once. */
static bool read_vapid_key_file(enum settings_who who, struct settings *settings, FILE *errors)
{
    const char *path = settings->vapid_private_key_file, *problem;

    if (path == NULL)
        return true;
    settings->vapid_key = vapid_key_read(path, &problem);
    if (settings->vapid_key == NULL) {
        print_file_error("VAPID_PRIVATE_KEY_FILE", path, problem, errors);
        return false;
    }
    memcpy(settings->vapid_public_key, vapid_key_public(settings->vapid_key),
           sizeof settings->vapid_public_key);
    if ((who & SETTINGS_LISTENER) == 0)
        vapid_key_free(&settings->vapid_key);
    return true;
}

/* A file may be one of the credentials that systemd has for this program. */
static void find_credentials(struct settings *settings, settings_lookup_fn *lookup, void *arg)
{
    char **const names[] = {
        &settings->server_private_key_file, &settings->nostr_auth_private_key_file,
        &settings->vapid_private_key_file, &settings->firebase_service_account_path};
    const char *directory = lookup("CREDENTIALS_DIRECTORY", arg);

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *found = *names[i] != NULL ? credentials_find(directory, *names[i]) : NULL;

        if (found == NULL)
            continue;
        free(*names[i]);
        *names[i] = found;
    }
}

static bool read_key_files(enum settings_who who, struct settings *settings, FILE *errors)
{
    bool server = read_key_file("SERVER_PRIVATE_KEY_FILE", settings->server_private_key_file,
                                &settings->server_private_key, errors);
    bool auth = read_key_file("NOSTR_AUTH_PRIVATE_KEY_FILE", settings->nostr_auth_private_key_file,
                              &settings->nostr_auth_private_key, errors);

    return read_vapid_key_file(who, settings, errors) && server && auth;
}

static void warn_of_what_has_no_effect(settings_lookup_fn *lookup, void *arg, FILE *warnings)
{
    static const char *const names[] = {
#define X(name) name,
        SETTINGS_WITHOUT_EFFECT(X)
#undef X
    };
    const char *before = "settings that have no effect: ";

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (lookup(names[i], arg) != NULL) {
            (void)fprintf(warnings, "%s%s", before, names[i]);
            before = ", ";
        }
    if (before[0] == ',')
        (void)fputc('\n', warnings);
}

struct settings *settings_read(enum settings_who who, settings_lookup_fn *lookup, void *arg,
                               const struct settings_tell *tell)
{
    struct settings *settings = calloc(1, sizeof *settings);
    bool good = settings != NULL;

    for (size_t i = 0; good && i < ROWS; i++)
        if ((rows[i].who & who) == 0)
            (void)parse(&rows[i], settings, rows[i].unset_value);
    for (size_t i = 0; settings != NULL && i < ROWS; i++)
        if ((rows[i].who & who) != 0 && !read_row(&rows[i], settings, lookup, arg, tell))
            good = false;
    if (good) {
        find_credentials(settings, lookup, arg);
        good = read_key_files(who, settings, tell->errors);
    }
    if (good && (who & SETTINGS_LISTENER) != 0)
        warn_of_what_has_no_effect(lookup, arg, tell->warnings);
    if (good && (who & SETTINGS_LISTENER) != 0 && settings->relays.count == 0) {
        (void)fputs("NOSTR_RELAYS: expected comma-separated ws:// or wss:// URLs, nothing is set\n",
                    tell->errors);
        good = false;
    }
    if (good && (who & SETTINGS_LISTENER) != 0 && settings->listener_name == NULL)
        good = name_after_host(settings, tell->errors);
    if (!good)
        settings_free(&settings);
    return settings;
}

void settings_free(struct settings **settings)
{
    if (*settings == NULL)
        return;
    for (size_t i = 0; i < ROWS; i++)
        settings_type_free(&rows[i].rule, member_of(&rows[i], *settings));
    vapid_key_free(&(*settings)->vapid_key);
    free(*settings);
    *settings = NULL;
}

void settings_print_help(enum settings_who who, FILE *out)
{
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];

        if ((row->who & who) == 0)
            continue;
        (void)fprintf(out, "  %s\n      %s\n      ", row->name, row->sentence);
        settings_type_print(&row->rule, out);
        if (row->unset_value[0] != '\0')
            (void)fprintf(out, "; default %s", row->unset_value);
        (void)fputc('\n', out);
    }
}
