/* settings_table: every setting there is, one row each.
 *
 * The parser, its limits and error texts, `--help` and the manual page are all made from this.
 *
 *   SETTING(NAME, member, TYPE, default, least, most, unit, who, sentence)
 *
 * TYPE is one of settings_types.h. For text, least and most bound the length; for WHOLE the
 * value. `default` is parsed as if an operator had written it; "" is unset. `who` reads
 * it: BOTH programs, FCGI, LISTENER, or QUICKSTART (contrib/quickstart alone). A type that begins
 * with SECRET is never shown, in no error and no log. */

#define SETTINGS_TABLE(SETTING)                                                                    \
    SETTING(NOSTR_RELAYS, relays, RELAYS, "", 0, 0, "comma-separated ws:// or wss:// URLs",        \
            LISTENER, "The relays to follow; the listener does not start without.")                \
    SETTING(NOSTR_EVENT_KINDS, event_kinds, KINDS, "1059,14", 0, 0,                                \
            "comma-separated kinds, at most 16", LISTENER,                                         \
            "The event kinds that wake a phone, each with a subscription of its own.")             \
    SETTING(RELAY_EVENTS_PER_SEC, relay_events_per_s, WHOLE, "500", 0, 100000, "per second",       \
            LISTENER,                                                                              \
            "Distinct events of one relay, ten times as many at once; over it the relay is not "   \
            "read; 0 is no limit.")                                                                \
    SETTING(NOSTR_AUTH_PRIVATE_KEY, nostr_auth_private_key, SECRET_KEY, "", 0, 0,                  \
            "64 hex characters (not nsec1...)", LISTENER,                                          \
            "The key to authenticate with at relays; unset, one for each connection.")             \
    SETTING(NOSTR_AUTH_PRIVATE_KEY_FILE, nostr_auth_private_key_file, TEXT, "", 1, 4096, "path",   \
            LISTENER, "A file with that key in it instead, readable by its owner alone.")          \
    SETTING(REDIS_URL, redis_url, SECRET_REDIS, "redis://127.0.0.1:6379/0", 1, 4096,               \
            "unix:///path, redis://[user:pass@]host:port/db or "                                   \
            "redis+sentinel://[user:pass@]host:port,host:port,.../service/db",                     \
            BOTH, "The volatile Redis that all programs meet in, or the Sentinels that know it.")  \
    SETTING(REDIS_SENTINEL_PASSWORD, redis_sentinel_password, SECRET_TEXT, "", 1, 511,             \
            "1 to 511 characters", BOTH, "The password of the Sentinels themselves.")              \
    SETTING(REDIS_PREFIX, redis_prefix, TEXT, "mostro:", 0, 64, "text", BOTH,                      \
            "What every key in Redis begins with.")                                                \
    SETTING(REDIS_ALLOW_PERSISTENCE, redis_allow_persistence, SWITCH, "false", 0, 0, "", BOTH,     \
            "Accept a Redis that writes registrations to disk.")                                   \
    SETTING(TOKEN_TTL_HOURS, token_ttl_hours, WHOLE, "720", 1, 8760, "hours", BOTH,                \
            "How long a registration lives; each push that is delivered renews it, up to twice "   \
            "as long in all. The app keeps trades for 720 h. The same on all hosts.")              \
    SETTING(CLEANUP_INTERVAL_HOURS, cleanup_interval_hours, WHOLE, "1", 1, 8760, "hours",          \
            LISTENER, "How often the counts of registrations are tidied.")                         \
    SETTING(MAX_REGISTRATIONS, max_registrations, WHOLE, "1000000", 1, 100000000, "registrations", \
            FCGI, "From here on a new registration is answered 503.")                              \
    SETTING(WAKES_MAX, wakes_max, WHOLE, "200000", 2, 10000000, "wakes", BOTH,                     \
            "Wakes that no listener has taken yet at which none takes events; at half of them "    \
            "notify answers 503.")                                                                 \
    SETTING(WAITING_MAX, waiting_max, WHOLE, "500000", 2, 10000000, "wakes", LISTENER,             \
            "Wakes that may wait for their push; beyond it the oldest silent ones are dropped.")   \
    SETTING(NOTIFY_RATE_PER_PUBKEY_PER_MIN, notify_rate_per_pubkey, WHOLE, "30", 1, 60000,         \
            "per minute", BOTH, "Wakes of one pubkey, whether asked for or from a relay.")         \
    SETTING(NOTIFY_RATE_PER_IP_PER_MIN, notify_rate_per_address, WHOLE, "120", 1, 60000,           \
            "per minute", FCGI, "Notify requests of one client address.")                          \
    SETTING(REGISTER_RATE_PER_IP_PER_MIN, register_rate_per_address, WHOLE, "120", 0, 60000,       \
            "per minute", FCGI,                                                                    \
            "Register and unregister requests of one client address; 0 is no limit.")              \
    SETTING(REGISTER_NEW_PER_IP_PER_DAY, register_new_per_address, WHOLE, "2000", 0, 1000000,      \
            "per day", FCGI,                                                                       \
            "New pubkeys of one client address, IPv6 by /64 and by /48; 0 is no limit.")           \
    SETTING(NOTIFY_TRUST_PROXY_HEADERS, trust_proxy_headers, PROXY, "false", 0, 0,                 \
            "true, false, Fly-Client-IP or X-Forwarded-For", FCGI,                                 \
            "The header in which a proxy names the client; true: Fly-Client-IP or the other.")     \
    SETTING(SERVER_PRIVATE_KEY, server_private_key, SECRET_KEY, "", 0, 0,                          \
            "64 hex characters (not nsec1...)", FCGI,                                              \
            "The key that phones encrypt their tokens for; unset, only plain tokens are taken.")   \
    SETTING(SERVER_PRIVATE_KEY_FILE, server_private_key_file, TEXT, "", 1, 4096, "path", FCGI,     \
            "A file with that key in it instead, readable by its owner alone.")                    \
    SETTING(TRUSTED_WHITELIST_ENABLED, trusted_whitelist_enabled, SWITCH, "false", 0, 0, "", FCGI, \
            "Register only for Mostro instances on the whitelist, if it is not empty.")            \
    SETTING(TRUSTED_MOSTRO_PUBKEYS_FILE, trusted_mostro_pubkeys_file, TEXT, "", 1, 4096, "path",   \
            FCGI, "A whitelist in the place of the built-in one: a JSON array of 64-hex strings.") \
    SETTING(LISTENER_NAME, listener_name, NAME, "", 1, 64,                                         \
            "letters, digits, `.`, `-`, `_` (host name)", LISTENER,                                \
            "Name of this listener among several; the same after a restart.")                      \
    SETTING(FCM_ENABLED, fcm_enabled, SWITCH, "true", 0, 0, "", LISTENER,                          \
            "Push to device tokens through Firebase Cloud Messaging.")                             \
    SETTING(FIREBASE_PROJECT_ID, firebase_project_id, TEXT, "", 1, 128, "text", LISTENER,          \
            "The Firebase project of the tokens; unset: the service account's.")                   \
    SETTING(FIREBASE_SERVICE_ACCOUNT_PATH, firebase_service_account_path, TEXT, "", 1, 4096,       \
            "path", LISTENER, "The service account's JSON file; unreadable: FCM is off.")          \
    SETTING(FCM_ENDPOINT, fcm_endpoint, HTTPS, "https://fcm.googleapis.com", 9, 1024, "https URL", \
            LISTENER, "Where FCM HTTP v1 is spoken.")                                              \
    SETTING(UNIFIEDPUSH_ENABLED, unifiedpush_enabled, SWITCH, "true", 0, 0, "", LISTENER,          \
            "Push to tokens that are endpoint URLs.")                                              \
    SETTING(UNIFIEDPUSH_ALLOWED_HOSTS_REGEX, unifiedpush_allowed_hosts, REGEX, "", 1, 1024,        \
            "POSIX extended regular expression, e.g. ^(.*\\.)?ntfy\\.sh$", BOTH,                   \
            "Hosts that endpoints may lead to; matched on the lower-case host.")                   \
    SETTING(UNIFIEDPUSH_ALLOW_PRIVATE, unifiedpush_allow_private, SWITCH, "false", 0, 0, "", BOTH, \
            "Admit private addresses and http:// endpoints (tests, LANs).")                        \
    SETTING(UNIFIEDPUSH_ENDPOINTS_FILE, unifiedpush_endpoints_file, TEXT,                          \
            "data/unifiedpush_endpoints.json", 1, 4096, "path, or off", LISTENER,                  \
            "Keeps endpoints, to wake their phones when Redis has lost its data.")                 \
    SETTING(VAPID_PRIVATE_KEY_FILE, vapid_private_key_file, TEXT, "", 1, 4096, "path", BOTH,       \
            "A P-256 key in PEM, its owner's alone, that signs pushes to endpoint URLs.")          \
    SETTING(VAPID_SUBJECT, vapid_subject, CONTACT, "", 1, 256, "mailto: or https: URI", LISTENER,  \
            "Whom a distributor may ask about these pushes; told to it where they are signed.")    \
    SETTING(PUSH_MAX_IN_FLIGHT, push_max_in_flight, WHOLE, "200", 1, 10000, "pushes", LISTENER,    \
            "Pushes under way at once, for FCM and UnifiedPush each.")                             \
    SETTING(TLS_CA_FILE, tls_ca_file, TEXT, "", 1, 4096, "path", LISTENER,                         \
            "A CA bundle trusted beside the system's: relays, FCM and distributors.")              \
    SETTING(LOG_LEVEL, log_level, LEVEL, "info", 0, 0, "error, warn, info or debug", BOTH,         \
            "How much is logged; where unset, the plain level in RUST_LOG counts.")                \
    SETTING(LOG_TARGET, log_target, TARGET, "stderr", 0, 0, "stderr or syslog", BOTH,              \
            "Where the log goes; stderr, too, where nobody takes lines for syslog.")               \
    SETTING(SERVER_HOST, server_host, TEXT, "127.0.0.1", 1, 255, "host or address", QUICKSTART,    \
            "Where the quick start's web server listens.")                                         \
    SETTING(SERVER_PORT, server_port, WHOLE, "8080", 1, 65535, "port", QUICKSTART,                 \
            "Where the quick start's web server listens.")                                         \
    SETTING(FCGI_WORKERS, fcgi_workers, WHOLE, "4", 1, 1024, "processes", QUICKSTART,              \
            "How many responders the quick start runs.")

/* Settings of the existing server that never had an effect, there or here: named once at start. */
#define SETTINGS_WITHOUT_EFFECT(X)               \
    X("NOTIFY_RATE_LIMIT_CLEANUP_INTERVAL_SECS") \
    X("NOTIFY_PUBKEY_LIMITER_SOFT_CAP")          \
    X("RATE_LIMIT_PER_MINUTE")                   \
    X("BATCH_DELAY_MS")                          \
    X("COOLDOWN_MS")
