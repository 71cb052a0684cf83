#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "settings/settings.h"

/* Pairs of names and values, ended by NULL. */
static const char *from_pairs(const char *name, void *arg)
{
    for (const char *const *pair = arg; pair[0] != NULL; pair += 2)
        if (strcmp(pair[0], name) == 0)
            return pair[1];
    return NULL;
}

static char complaint[2048], warning[2048];

static struct settings *read_pairs(enum settings_who who, const char *const *pairs)
{
    struct settings_tell tell = {fmemopen(complaint, sizeof complaint, "w"),
                                 fmemopen(warning, sizeof warning, "w")};
    struct settings *settings;

    memset(complaint, 0, sizeof complaint);
    memset(warning, 0, sizeof warning);
    settings = settings_read(who, from_pairs, (void *)(size_t)pairs, &tell);
    (void)fclose(tell.errors);
    (void)fclose(tell.warnings);
    return settings;
}

#define READ(who, ...) read_pairs(who, (const char *const[]){__VA_ARGS__, NULL, NULL})
#define RELAYS         "NOSTR_RELAYS", "wss://relay.example"

START_TEST(defaults_are_the_contracts)
{
    struct settings *s = READ(SETTINGS_LISTENER, RELAYS);

    ck_assert_ptr_nonnull(s);
    ck_assert_str_eq(s->redis_prefix, "mostro:");
    ck_assert_uint_eq(s->event_kinds.count, 2);
    ck_assert_uint_eq(s->event_kinds.kind[0], 1059);
    ck_assert_uint_eq(s->event_kinds.kind[1], 14);
    ck_assert_int_eq(s->token_ttl_hours, 720);
    ck_assert_int_eq(s->cleanup_interval_hours, 1);
    ck_assert_int_eq(s->max_registrations, 1000000);
    ck_assert_int_eq(s->wakes_max, 200000);
    ck_assert_int_eq(s->notify_rate_per_pubkey, 30);
    ck_assert_int_eq(s->notify_rate_per_address, 120);
    ck_assert_int_eq(s->register_rate_per_address, 120);
    ck_assert(!s->trust_proxy_headers && !s->redis_allow_persistence);
    ck_assert(s->fcm_enabled && s->unifiedpush_enabled && !s->unifiedpush_allow_private);
    ck_assert_str_eq(s->unifiedpush_endpoints_file, "data/unifiedpush_endpoints.json");
    ck_assert_int_eq(s->push_max_in_flight, 200);
    ck_assert_str_eq(s->fcm_endpoint, "https://fcm.googleapis.com");
    ck_assert_ptr_nonnull(s->listener_name);
    ck_assert_ptr_null(s->firebase_project_id);
    ck_assert_int_eq(s->log_level, LOG_LEVEL_INFO);
    ck_assert_str_eq(warning, "");
    settings_free(&s);
    ck_assert_ptr_null(s);
}
END_TEST

START_TEST(a_proxys_header_may_be_named)
{
    static const struct {
        const char *value;
        enum settings_proxy trusted;
    } cases[] = {
        {"false", SETTINGS_PROXY_NONE},
        {"0", SETTINGS_PROXY_NONE},
        {"True", SETTINGS_PROXY_EITHER},
        {"1", SETTINGS_PROXY_EITHER},
        {"fly-client-ip", SETTINGS_PROXY_FLY_CLIENT_IP},
        {"X-Forwarded-For", SETTINGS_PROXY_FORWARDED_FOR},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct settings *s = READ(SETTINGS_FCGI, "NOTIFY_TRUST_PROXY_HEADERS", cases[i].value);

        ck_assert_ptr_nonnull(s);
        ck_assert_int_eq(s->trust_proxy_headers, cases[i].trusted);
        settings_free(&s);
    }
}
END_TEST

START_TEST(the_listener_needs_relays_and_the_responder_does_not)
{
    struct settings *s = READ(SETTINGS_LISTENER, "LOG_LEVEL", "info");

    ck_assert_ptr_null(s);
    ck_assert_ptr_nonnull(strstr(complaint, "NOSTR_RELAYS"));
    s = READ(SETTINGS_FCGI, "LOG_LEVEL", "info");
    ck_assert_ptr_nonnull(s);
    settings_free(&s);
}
END_TEST

START_TEST(bad_values_are_named_with_what_is_expected)
{
    static const struct {
        const char *name, *value, *expected;
    } cases[] = {
        {"NOTIFY_RATE_PER_PUBKEY_PER_MIN", "0", "a whole number from 1 to 60000 (per minute)"},
        {"NOTIFY_RATE_PER_IP_PER_MIN", "0", "a whole number from 1 to 60000 (per minute)"},
        {"TOKEN_TTL_HOURS", "48h", "a whole number"},
        {"TOKEN_TTL_HOURS", "-1", "a whole number"},
        {"TOKEN_TTL_HOURS", "99999999999999999999", "a whole number"},
        {"WAKES_MAX", "1", "from 2 to"},
        {"FCM_ENABLED", "maybe", "true or false"},
        {"NOTIFY_TRUST_PROXY_HEADERS", "X-Real-IP", "Fly-Client-IP or X-Forwarded-For"},
        {"NOTIFY_TRUST_PROXY_HEADERS", "Fly-Client-IP,X-Forwarded-For", "true, false"},
        {"LOG_LEVEL", "loud", "error, warn, info or debug"},
        {"LOG_TARGET", "file", "stderr or syslog"},
        {"NOSTR_RELAYS", "https://relay.example", "ws:// or wss://"},
        {"NOSTR_RELAYS", "wss://relay.example,,", "ws:// or wss://"},
        {"NOSTR_RELAYS", ",wss://relay.example", "ws:// or wss://"},
        {"NOSTR_RELAYS", "wss://a,,wss://b", "ws:// or wss://"},
        {"NOSTR_RELAYS", ",", "ws:// or wss://"},
        {"NOSTR_RELAYS", " ", "ws:// or wss://"},
        {"NOSTR_RELAYS", "wss://", "ws:// or wss://"},
        {"NOSTR_RELAYS", "wss://relay.example:70000", "ws:// or wss://"},
        {"NOSTR_RELAYS", "wss://relay.example:", "ws:// or wss://"},
        {"NOSTR_RELAYS", "wss://relay|example", "ws:// or wss://"},
        {"NOSTR_RELAYS", "wss://[relay]", "ws:// or wss://"},
        {"NOSTR_EVENT_KINDS", "1059,x", "kinds"},
        {"NOSTR_EVENT_KINDS", "65536", "kinds"},
        {"NOSTR_EVENT_KINDS", ",", "kinds"},
        {"NOSTR_EVENT_KINDS", "1059,,14", "kinds"},
        {"LISTENER_NAME", "a b", "letters, digits"},
        {"FCM_ENDPOINT", "http://fcm.example", "https URL"},
        {"FCM_ENDPOINT", "https://:1", "https URL"},
        {"FCM_ENDPOINT", "https://fcm.example:x", "https URL"},
        {"FCM_ENDPOINT", "https://127.1", "https URL"},
        {"UNIFIEDPUSH_ALLOWED_HOSTS_REGEX", "(", "POSIX extended"},
        {"UNIFIEDPUSH_ALLOWED_HOSTS_REGEX", "*.ntfy.sh", ", e.g. ^(.*\\.)?ntfy\\.sh$"},
        {"UNIFIEDPUSH_ALLOWED_HOSTS_REGEX", "a{2,1}", "POSIX extended"},
        {"VAPID_SUBJECT", "admin@example.org", "mailto: or https: URI"},
        {"VAPID_SUBJECT", "mailto:admin", "mailto: or https: URI"},
        {"VAPID_SUBJECT", "mailto:@example.org", "mailto: or https: URI"},
        {"VAPID_SUBJECT", "mailto:admin@", "mailto: or https: URI"},
        {"VAPID_SUBJECT", "mailto:Admin <a@example.org>", "mailto: or https: URI"},
        {"VAPID_SUBJECT", "mailto:\"a\"@example.org", "mailto: or https: URI"},
        {"VAPID_SUBJECT", "mailto:a\\@example.org", "mailto: or https: URI"},
        {"VAPID_SUBJECT", "http://example.org", "mailto: or https: URI"},
        {"VAPID_SUBJECT", "https://", "mailto: or https: URI"},
        {"VAPID_SUBJECT", "https:///x", "mailto: or https: URI"},
        {"VAPID_SUBJECT", "x", "mailto: or https: URI"},
        {"VAPID_PRIVATE_KEY_FILE", "/nowhere/key", "No such file or directory"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *pairs[] = {cases[i].name, cases[i].value, RELAYS, NULL, NULL};

        ck_assert_msg(read_pairs(SETTINGS_LISTENER | SETTINGS_FCGI, pairs) == NULL, "%s=%s",
                      cases[i].name, cases[i].value);
        ck_assert_msg(strncmp(complaint, cases[i].name, strlen(cases[i].name)) == 0, "%s",
                      complaint);
        ck_assert_msg(strstr(complaint, cases[i].value) != NULL, "%s", complaint);
        ck_assert_msg(strstr(complaint, cases[i].expected) != NULL, "%s", complaint);
    }
}
END_TEST

START_TEST(a_secret_is_not_shown)
{
    ck_assert_ptr_null(READ(SETTINGS_FCGI, "REDIS_URL", "redis://user:geheim"));
    ck_assert_ptr_nonnull(strstr(complaint, "REDIS_URL=(not shown): expected unix:///path"));
    ck_assert_ptr_null(strstr(complaint, "geheim"));
}
END_TEST

/* And says what to do. */
START_TEST(what_is_wrong_with_the_redis_url_is_told)
{
    ck_assert_ptr_null(READ(SETTINGS_FCGI, "REDIS_URL", "rediss://:geheim@h"));
    ck_assert_ptr_nonnull(strstr(complaint, "REDIS_URL=(not shown): expected unix:///path"));
    ck_assert_ptr_nonnull(strstr(complaint, "; TLS is not spoken: use stunnel or WireGuard\n"));
    ck_assert_ptr_null(strstr(complaint, "geheim"));
}
END_TEST

/* User and password, and of relays path and query, too. */
START_TEST(what_may_be_a_secret_in_another_url_is_not_shown)
{
    static const struct {
        const char *name, *value, *shown;
    } cases[] = {
        {"FCM_ENDPOINT", "https://user:geheim@fcm.example", "FCM_ENDPOINT=(not shown): "},
        {"FCM_ENDPOINT", "user:geheim@fcm.example", "FCM_ENDPOINT=(not shown): "},
        {"FCM_ENDPOINT", "https://fcm.example?key=geheim",
         "FCM_ENDPOINT=https://fcm.example/[...]: "},
        {"FCM_ENDPOINT", "https://user:1/geheim@fcm.example", "FCM_ENDPOINT=(not shown): "},
        {"FCM_ENDPOINT", "https://fcm.example/#geheim", "FCM_ENDPOINT=https://fcm.example/[...]: "},
        {"FCM_ENDPOINT", "http://fcm.example/geheim", "FCM_ENDPOINT=http://fcm.example/[...]: "},
        {"VAPID_SUBJECT", "https://user:geheim@example.org", "VAPID_SUBJECT=(not shown): "},
        {"NOSTR_RELAYS", "wss://user:geheim@relay.example", "NOSTR_RELAYS=(not shown): "},
        {"NOSTR_RELAYS", "wss://user:geheim,geheim@relay.example,wss://b.example/",
         "NOSTR_RELAYS=(not shown),(not shown),wss://b.example: "},
        {"NOSTR_RELAYS", "wss://relay.example:x/geheim",
         "NOSTR_RELAYS=wss://relay.example:x/[...]: "},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *pairs[] = {cases[i].name, cases[i].value, RELAYS, NULL, NULL};

        ck_assert_msg(read_pairs(SETTINGS_LISTENER, pairs) == NULL, "%s", cases[i].value);
        ck_assert_msg(strncmp(complaint, cases[i].shown, strlen(cases[i].shown)) == 0, "%s: %s",
                      cases[i].value, complaint);
        ck_assert_ptr_null(strstr(complaint, "geheim"));
    }
}
END_TEST

#define KEY "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* Writes a key file that is gone when the test ends; returns its name. */
static const char *key_file(const char *text, mode_t mode)
{
    static char name[] = "/tmp/mostro-push-key-XXXXXX";
    int fd;

    (void)strcpy(name + strlen(name) - 6, "XXXXXX");
    fd = mkstemp(name);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(fchmod(fd, mode), 0);
    (void)close(fd);
    return name;
}

START_TEST(the_key_for_relays_comes_from_either_variable)
{
    const char *file = key_file(KEY "\n", 0600);
    struct settings *s = READ(SETTINGS_LISTENER, RELAYS, "NOSTR_AUTH_PRIVATE_KEY", KEY);

    ck_assert_ptr_nonnull(s);
    ck_assert(s->nostr_auth_private_key.set);
    ck_assert_uint_eq(s->nostr_auth_private_key.bytes[31], 0xaa);
    settings_free(&s);
    s = READ(SETTINGS_LISTENER, RELAYS, "NOSTR_AUTH_PRIVATE_KEY_FILE", file);
    ck_assert_ptr_nonnull(s);
    ck_assert(s->nostr_auth_private_key.set && !s->server_private_key.set);
    ck_assert_uint_eq(s->nostr_auth_private_key.bytes[31], 0xaa);
    settings_free(&s);
    s = READ(SETTINGS_LISTENER, RELAYS);
    ck_assert(!s->nostr_auth_private_key.set);
    settings_free(&s);
    s = READ(SETTINGS_FCGI, "NOSTR_AUTH_PRIVATE_KEY", KEY);
    ck_assert(!s->nostr_auth_private_key.set);
    settings_free(&s);
    (void)remove(file);
}
END_TEST

START_TEST(a_bad_key_for_relays_is_named_and_not_shown)
{
    static const char *const bad[] = {"geheim", KEY "0", &KEY[1]};
    const char *file = key_file(KEY, 0640);

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_ptr_null(READ(SETTINGS_LISTENER, RELAYS, "NOSTR_AUTH_PRIVATE_KEY", bad[i]));
        ck_assert_ptr_nonnull(strstr(
            complaint,
            "NOSTR_AUTH_PRIVATE_KEY=(not shown): expected 64 hex characters (not nsec1...)"));
        ck_assert_ptr_null(strstr(complaint, bad[i]));
    }
    ck_assert_ptr_null(READ(SETTINGS_LISTENER, RELAYS, "NOSTR_AUTH_PRIVATE_KEY_FILE", file));
    ck_assert_ptr_nonnull(strstr(complaint, "NOSTR_AUTH_PRIVATE_KEY_FILE="));
    ck_assert_ptr_nonnull(strstr(complaint, "can be read by others"));
    (void)chmod(file, 0600);
    ck_assert_ptr_null(READ(SETTINGS_LISTENER, RELAYS, "NOSTR_AUTH_PRIVATE_KEY_FILE", file,
                            "NOSTR_AUTH_PRIVATE_KEY", KEY));
    ck_assert_ptr_nonnull(strstr(complaint, "NOSTR_AUTH_PRIVATE_KEY_FILE="));
    ck_assert_ptr_null(strstr(complaint, KEY));
    (void)remove(file);
}
END_TEST

START_TEST(a_key_in_the_place_of_its_files_name_is_not_shown)
{
    static const char *const names[] = {"SERVER_PRIVATE_KEY_FILE", "NOSTR_AUTH_PRIVATE_KEY_FILE",
                                        "VAPID_PRIVATE_KEY_FILE"};
    static const char *const keys[] = {KEY, "nsec1aaaaaaaaaaaaaaaa",
                                       "-----BEGIN PRIVATE KEY-----aaaaaaaaaaaaaaaa"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (size_t j = 0; j < sizeof keys / sizeof keys[0]; j++) {
            const char *pairs[] = {names[i], keys[j], RELAYS, NULL, NULL};

            ck_assert_ptr_null(read_pairs(SETTINGS_BOTH, pairs));
            ck_assert_msg(strstr(complaint, "=(not shown): expected a file's name, not the key") !=
                              NULL,
                          "%s", complaint);
            ck_assert_msg(strstr(complaint, names[i]) == complaint, "%s", complaint);
            ck_assert_ptr_null(strstr(complaint, "aaaaaaaa"));
        }
}
END_TEST

START_TEST(what_may_be_a_secret_in_a_relays_url_is_not_shown)
{
    ck_assert_ptr_null(READ(SETTINGS_LISTENER, "NOSTR_RELAYS",
                            "wss://a.example/x?key=geheim,wss://user:geheim@b.example,nonsense"));
    ck_assert_ptr_null(strstr(complaint, "geheim"));
    ck_assert_ptr_nonnull(
        strstr(complaint, "NOSTR_RELAYS=wss://a.example/[...],(not shown),nonsense:"));
}
END_TEST

START_TEST(every_error_is_told_at_once)
{
    ck_assert_ptr_null(READ(SETTINGS_FCGI, "LOG_LEVEL", "loud", "WAKES_MAX", "0"));
    ck_assert_ptr_nonnull(strstr(complaint, "LOG_LEVEL"));
    ck_assert_ptr_nonnull(strstr(complaint, "WAKES_MAX"));
}
END_TEST

START_TEST(relays_are_normalised_and_counted_once)
{
    struct settings *s =
        READ(SETTINGS_LISTENER, "NOSTR_RELAYS",
             " WSS://Relay.Example/Path , ws://[::1]:7000,wss://relay.example/Path");

    ck_assert_ptr_nonnull(s);
    ck_assert_uint_eq(s->relays.count, 2);
    ck_assert_str_eq(s->relays.url[0], "wss://relay.example/Path");
    ck_assert_str_eq(s->relays.url[1], "ws://[::1]:7000");
    ck_assert(s->relays.is_repeated[0]);
    ck_assert(!s->relays.is_repeated[1]);
    settings_free(&s);
}
END_TEST

START_TEST(a_comma_at_the_end_of_a_list_is_no_error)
{
    static const char *const ends[] = {",", " ,", ", ", " , \t"};
    char relays[64], kinds[64];

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct settings *s;

        (void)snprintf(relays, sizeof relays, "wss://a,wss://b%s", ends[i]);
        (void)snprintf(kinds, sizeof kinds, "4%s", ends[i]);
        s = READ(SETTINGS_LISTENER, "NOSTR_RELAYS", relays, "NOSTR_EVENT_KINDS", kinds);
        ck_assert_msg(s != NULL, "'%s': %s", ends[i], complaint);
        ck_assert_uint_eq(s->relays.count, 2);
        ck_assert_str_eq(s->relays.url[1], "wss://b");
        ck_assert_uint_eq(s->event_kinds.count, 1);
        settings_free(&s);
    }
}
END_TEST

START_TEST(as_many_relays_as_there_is_room_for)
{
    char list[64 * (SETTINGS_MAX_RELAYS + 1)] = "";
    const char *pairs[] = {"NOSTR_RELAYS", list, NULL, NULL};
    struct settings *s;

    for (int i = 0; i < SETTINGS_MAX_RELAYS; i++)
        (void)sprintf(list + strlen(list), "%sws://r%d", i == 0 ? "" : ",", i);
    s = read_pairs(SETTINGS_LISTENER, pairs);
    ck_assert_ptr_nonnull(s);
    ck_assert_uint_eq(s->relays.count, SETTINGS_MAX_RELAYS);
    settings_free(&s);
    (void)strcat(list, ",ws://one-more");
    ck_assert_ptr_null(read_pairs(SETTINGS_LISTENER, pairs));
}
END_TEST

START_TEST(rust_log_counts_only_where_log_level_is_unset)
{
    static const struct {
        const char *rust_log;
        enum log_level level;
    } cases[] = {
        {"debug", LOG_LEVEL_DEBUG},       {"hyper=debug,warn", LOG_LEVEL_WARN},
        {"WARN,x=trace", LOG_LEVEL_WARN}, {"x=trace", LOG_LEVEL_INFO},
        {"nonsense", LOG_LEVEL_INFO},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct settings *s = READ(SETTINGS_FCGI, "RUST_LOG", cases[i].rust_log);

        ck_assert_ptr_nonnull(s);
        ck_assert_int_eq(s->log_level, cases[i].level);
        settings_free(&s);
        s = READ(SETTINGS_FCGI, "RUST_LOG", cases[i].rust_log, "LOG_LEVEL", "error");
        ck_assert_int_eq(s->log_level, LOG_LEVEL_ERROR);
        settings_free(&s);
    }
}
END_TEST

/* By one of the programs. */
START_TEST(settings_without_effect_are_named)
{
    struct settings *s = READ(SETTINGS_LISTENER, RELAYS, "BATCH_DELAY_MS", "5", "COOLDOWN_MS", "x");

    ck_assert_ptr_nonnull(s);
    ck_assert_str_eq(warning, "settings that have no effect: BATCH_DELAY_MS, COOLDOWN_MS\n");
    settings_free(&s);
    s = READ(SETTINGS_FCGI, "BATCH_DELAY_MS", "5");
    ck_assert_ptr_nonnull(s);
    ck_assert_str_eq(warning, "");
    settings_free(&s);
}
END_TEST

START_TEST(what_may_not_be_meant_is_warned_about)
{
    static const struct {
        const char *name, *value, *warning; /* NULL: none */
    } cases[] = {
        {"LOG_LEVEL", "Trace", "LOG_LEVEL=Trace: counts as debug\n"},
        {"LOG_LEVEL", "debug", NULL},
        {"UNIFIEDPUSH_ALLOWED_HOSTS_REGEX", "ntfy\\.sh",
         "UNIFIEDPUSH_ALLOWED_HOSTS_REGEX=ntfy\\.sh: without $ at its end it admits longer hosts, "
         "too, as ntfy\\.sh does ntfy.sh.evil.example: e.g. ^(.*\\.)?ntfy\\.sh$\n"},
        {"UNIFIEDPUSH_ALLOWED_HOSTS_REGEX", "ntfy\\.sh$",
         "UNIFIEDPUSH_ALLOWED_HOSTS_REGEX=ntfy\\.sh$: without ^ at its beginning it admits longer "
         "hosts, too, as ntfy\\.sh$ does evil-ntfy.sh: e.g. ^(.*\\.)?ntfy\\.sh$\n"},
        {"UNIFIEDPUSH_ALLOWED_HOSTS_REGEX", "^(.*\\.)?ntfy\\.sh$", NULL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct settings *s = READ(SETTINGS_FCGI, cases[i].name, cases[i].value);

        ck_assert_msg(s != NULL, "%s", complaint);
        ck_assert_str_eq(warning, cases[i].warning != NULL ? cases[i].warning : "");
        settings_free(&s);
    }
}
END_TEST

START_TEST(help_has_every_setting_of_the_program)
{
    static char text[16384];
    FILE *out = fmemopen(text, sizeof text, "w");

    settings_print_help(SETTINGS_LISTENER, out);
    (void)fclose(out);
    ck_assert_ptr_nonnull(strstr(text, "NOSTR_RELAYS"));
    ck_assert_ptr_nonnull(strstr(text, "default 1059,14"));
    ck_assert_ptr_null(strstr(text, "MAX_REGISTRATIONS"));
}
END_TEST

START_TEST(subjects)
{
    static const char *const good[] = {"mailto:admin@example.org",
                                       "https://example.org/contact?a=b", "MAILTO:a+b@example.org"};
    char longest[258] = "https://";
    struct settings *s;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        s = READ(SETTINGS_LISTENER, RELAYS, "VAPID_SUBJECT", good[i]);
        ck_assert_msg(s != NULL, "%s", complaint);
        ck_assert_str_eq(s->vapid_subject, good[i]);
        settings_free(&s);
    }
    memset(longest + 8, 'a', 256 - 8);
    s = READ(SETTINGS_LISTENER, RELAYS, "VAPID_SUBJECT", longest);
    ck_assert_msg(s != NULL, "%s", complaint);
    settings_free(&s);
    longest[256] = 'a';
    ck_assert_ptr_null(READ(SETTINGS_LISTENER, RELAYS, "VAPID_SUBJECT", longest));
}
END_TEST

/* Only the listener, which signs, keeps the private half. */
START_TEST(a_vapid_key)
{
    char directory[] = "/tmp/mostro-push-vapid-XXXXXX", path[sizeof directory + 4];
    char public_half[VAPID_KEY_PUBLIC_SIZE];
    struct settings *s;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    (void)sprintf(path, "%s/key", directory);
    ck_assert_ptr_null(vapid_key_generate(path, public_half));
    s = READ(SETTINGS_FCGI, "VAPID_PRIVATE_KEY_FILE", path);
    ck_assert_msg(s != NULL, "%s", complaint);
    ck_assert_ptr_null(s->vapid_key);
    ck_assert_str_eq(s->vapid_public_key, public_half);
    settings_free(&s);
    s = READ(SETTINGS_LISTENER, RELAYS, "VAPID_PRIVATE_KEY_FILE", path);
    ck_assert_msg(s != NULL, "%s", complaint);
    ck_assert_ptr_nonnull(s->vapid_key);
    ck_assert_str_eq(vapid_key_public(s->vapid_key), public_half);
    settings_free(&s);
    s = READ(SETTINGS_FCGI, "LOG_LEVEL", "info");
    ck_assert_str_eq(s->vapid_public_key, "");
    settings_free(&s);
    ck_assert_int_eq(chmod(path, 0640), 0);
    ck_assert_ptr_null(READ(SETTINGS_FCGI, "VAPID_PRIVATE_KEY_FILE", path));
    ck_assert_ptr_nonnull(strstr(complaint, "VAPID_PRIVATE_KEY_FILE="));
    ck_assert_ptr_nonnull(strstr(complaint, "can be read by others: chmod 600"));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

START_TEST(redis_urls)
{
    static const char *const good[] = {"unix:///run/redis.sock", "redis://127.0.0.1",
                                       "redis://:pw@h:1/15", "redis://u:p%40@h/",
                                       "redis://[::1]:6379/1"};
    static const char *const bad[] = {"",
                                      "redis://",
                                      "unix://relative",
                                      "http://h",
                                      "redis://u@h",
                                      "redis://h:0",
                                      "redis://h:",
                                      "redis://h:65536",
                                      "redis://h/x",
                                      "redis://:%4@h"};
    struct settings *s;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        s = READ(SETTINGS_FCGI, "REDIS_URL", good[i]);
        ck_assert_msg(s != NULL, "%s", good[i]);
        settings_free(&s);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(READ(SETTINGS_FCGI, "REDIS_URL", bad[i]) == NULL, "%s", bad[i]);
}
END_TEST

UNIT_MAIN("settings", defaults_are_the_contracts, a_proxys_header_may_be_named,
          the_listener_needs_relays_and_the_responder_does_not,
          bad_values_are_named_with_what_is_expected, a_secret_is_not_shown,
          what_is_wrong_with_the_redis_url_is_told,
          what_may_be_a_secret_in_another_url_is_not_shown,
          the_key_for_relays_comes_from_either_variable,
          a_bad_key_for_relays_is_named_and_not_shown,
          a_key_in_the_place_of_its_files_name_is_not_shown,
          what_may_be_a_secret_in_a_relays_url_is_not_shown, every_error_is_told_at_once,
          relays_are_normalised_and_counted_once, a_comma_at_the_end_of_a_list_is_no_error,
          as_many_relays_as_there_is_room_for, rust_log_counts_only_where_log_level_is_unset,
          settings_without_effect_are_named, what_may_not_be_meant_is_warned_about,
          help_has_every_setting_of_the_program, subjects, a_vapid_key, redis_urls)
