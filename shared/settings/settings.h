/* settings: the operator's decisions, read once at start and never changed.
 *
 * They come from the environment and from the file that MOSTRO_PUSH_ENV names, or ./.env if it
 * exists; the environment wins, and an empty value counts as unset. The rows are in
 * settings_table.h.
 *
 * Strings are owned by the settings and NULL where unset. */
#ifndef MOSTRO_SETTINGS_H
#define MOSTRO_SETTINGS_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "device/vapid_key.h"
#include "log/log.h"

#define SETTINGS_MAX_RELAYS 32
#define SETTINGS_MAX_KINDS  16

enum settings_who {
    SETTINGS_FCGI = 1,
    SETTINGS_LISTENER = 2,
    SETTINGS_BOTH = 3,
    SETTINGS_QUICKSTART = 4
};

/* Strings are owned by the settings and NULL where unset. */
struct settings {
    struct settings_relays {
        char *url[SETTINGS_MAX_RELAYS]; /* valid for relay_url_parse(); in lower case up to the path
                                         */
        bool is_repeated[SETTINGS_MAX_RELAYS]; /* a later item is the same URL */
        size_t count;
    } relays;
    struct settings_kinds {
        uint32_t kind[SETTINGS_MAX_KINDS];
        size_t count;
    } event_kinds;
    int64_t relay_events_per_s;
    char *redis_url;
    char *redis_sentinel_password;
    char *redis_prefix;
    bool redis_allow_persistence;
    int64_t token_ttl_hours;
    int64_t cleanup_interval_hours;
    int64_t max_registrations;
    int64_t wakes_max;
    int64_t waiting_max;
    int64_t notify_rate_per_pubkey;
    int64_t notify_rate_per_address;
    int64_t register_rate_per_address;
    int64_t register_new_per_address; /* a day */
    enum settings_proxy {
        SETTINGS_PROXY_NONE,   /* the peer is the client */
        SETTINGS_PROXY_EITHER, /* the proxy sets Fly-Client-IP, or else X-Forwarded-For */
        SETTINGS_PROXY_FLY_CLIENT_IP,
        SETTINGS_PROXY_FORWARDED_FOR
    } trust_proxy_headers;
    struct settings_key {
        bool set; /* also unset for the placeholder of example files, the number one */
        uint8_t bytes[32];
    } server_private_key; /* from either variable */
    char *server_private_key_file;
    struct settings_key nostr_auth_private_key; /* from either variable */
    char *nostr_auth_private_key_file;
    bool trusted_whitelist_enabled;
    char *trusted_mostro_pubkeys_file;
    char *listener_name; /* the host name where unset */
    bool fcm_enabled;
    char *firebase_project_id;
    char *firebase_service_account_path;
    char *fcm_endpoint; /* without trailing slash */
    bool unifiedpush_enabled;
    struct settings_regex {
        bool set;
        regex_t compiled;
    } unifiedpush_allowed_hosts;
    bool unifiedpush_allow_private;
    char *unifiedpush_endpoints_file; /* "off": none */
    char *vapid_private_key_file;
    struct vapid_key *vapid_key;                  /* from that file; NULL in a responder */
    char vapid_public_key[VAPID_KEY_PUBLIC_SIZE]; /* "": no such file is named */
    char *vapid_subject;
    int64_t push_max_in_flight;
    char *tls_ca_file;
    enum log_level log_level;
    enum log_target log_target;
    char *server_host;
    int64_t server_port;
    int64_t fcgi_workers;
};

/* Where values come from: returns the value of `name` or NULL; a value lives as long as `arg`. */
typedef const char *settings_lookup_fn(const char *name, void *arg);

/* Where settings_read() tells of what it reads: a line each. Neither shows a secret. */
struct settings_tell {
    FILE *errors;   /* bad values: variable, value, what is expected */
    FILE *warnings; /* what is good, but may not be what was meant */
};

/* Reads every row that concerns `who` (the rest keep their defaults). NULL on any error. Free with
 * settings_free(). */
struct settings *settings_read(enum settings_who who, settings_lookup_fn *lookup, void *arg,
                               const struct settings_tell *tell)
    __attribute__((warn_unused_result));

/* settings_read() from the environment and the file. */
struct settings *settings_load(enum settings_who who, const struct settings_tell *tell)
    __attribute__((warn_unused_result));

void settings_free(struct settings **settings);

/* The rows that concern `who`, for `--help`. */
void settings_print_help(enum settings_who who, FILE *out);

#endif
