/* registry: typed calls on registry.lua, which holds every atomic operation on the data.
 *
 * Each call is one command to Redis (the library is loaded first where Redis does not have it).
 * Not thread-safe: one registry per thread, each with a connection of its own. No call blocks for
 * longer than a connect and a command may take (see redis.h). */
#ifndef MOSTRO_REGISTRY_H
#define MOSTRO_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/address_hash.h"
#include "device/device_id.h"
#include "device/trade_pubkey.h"
#include "settings/settings.h"
#include "stats.h"

struct registry;

/* The most pubkeys, entries or ids in one call. */
#define REGISTRY_BATCH_MAX 256

enum registry_result {
    REGISTRY_OK,
    REGISTRY_NOT_FOUND,
    REGISTRY_REFUSED_ADDRESS, /* over the client address's limit */
    REGISTRY_REFUSED_PUBKEY,  /* over the pubkey's limit; its deferred wake is queued */
    REGISTRY_QUEUE_FULL,      /* too many wakes are waiting */
    REGISTRY_FULL,            /* MAX_REGISTRATIONS reached, or Redis is out of memory */
    REGISTRY_PENDING,         /* registry_wakes_collect(): nothing yet */
    REGISTRY_UNAVAILABLE,     /* Redis cannot be used now; try again later */
    REGISTRY_LAPSED           /* this listener's name is not held as it was: see struct lease */
};

/* Both must outlive the registry, which counts Redis's failures. Does not connect yet. */
struct registry *registry_new(const struct settings *settings, struct stats *stats);
void registry_free(struct registry **registry);

/* Connects and loads this program's library over the one that is there, for programs at start: the
 * last one started is the newest. REGISTRY_UNAVAILABLE with a reason in registry_down_reason()
 * where Redis cannot be used: then the next call that finds it usable loads the library first. */
enum registry_result registry_check(struct registry *registry);
const char *registry_down_reason(const struct registry *registry);

/* Redis answers but may not be used, and only an operator can change that: it persists, is a
 * replica, does not take our password ... The log is told what to do, once a minute. */
bool registry_is_refused(const struct registry *registry);

/* ---- The API's calls ------------------------------------------------------------------------ */

enum registry_bucket { REGISTRY_BUCKET_NOTIFY, REGISTRY_BUCKET_REGISTER };

/* The key of the address hashes: the one in Redis, or, where it has none, `key` (which becomes
 * it). */
enum registry_result registry_address_key(struct registry *registry, uint8_t key[ADDRESS_KEY_SIZE]);

/* Spends one request of an address and does nothing else (a malformed request). */
enum registry_result registry_spend(struct registry *registry, enum registry_bucket bucket,
                                    const struct address_hash *address);

/* After REGISTRY_REFUSED_ADDRESS: whole milliseconds, rounded down, for which that holds. */
unsigned registry_refused_for_ms(const struct registry *registry);

/* Spends the address's and the pubkey's limits and queues a wake, whoever is registered. */
enum registry_result registry_notify(struct registry *registry, const struct address_hash *address,
                                     const struct trade_pubkey *key);

enum platform { PLATFORM_ANDROID, PLATFORM_IOS };
const char *platform_name(enum platform platform);

#define DEVICE_TOKEN_MAX 4096
#define WEB_PUSH_KEY_MAX 96 /* base64url of 65 bytes is 87 characters, with padding 88 */

/* `token` is a secret of the device: an FCM token, or an endpoint URL. Fixed size, so that a copy
 * is wiped in one place. p256dh and auth are "" where the device gave none. A p256dh of
 * REGISTRY_KEYS_LOST, which no device can register, stands for keys that it had given before Redis
 * lost them: nothing may be sent to it that would have to be encrypted. */
#define REGISTRY_KEYS_LOST "-"
struct registration {
    char token[DEVICE_TOKEN_MAX + 1];
    enum platform platform;
    char p256dh[WEB_PUSH_KEY_MAX + 1];
    char auth[WEB_PUSH_KEY_MAX + 1];
    char mostro_pubkey[TRADE_PUBKEY_LEN + 1]; /* of the node it heeds, in lower case, or ""; not
                                                 looked up */
    int64_t expires_ms; /* by Redis's clock, of one that was looked up: each renewal changes it */
};

/* `address` NULL: no limit applies. */
enum registry_result registry_register(struct registry *registry,
                                       const struct address_hash *address,
                                       const struct trade_pubkey *key,
                                       const struct registration *registration);
enum registry_result registry_unregister(struct registry *registry,
                                         const struct address_hash *address,
                                         const struct trade_pubkey *key);

enum registry_result registry_count(struct registry *registry, uint64_t *android, uint64_t *ios);

/* Sums over the listeners whose heartbeat is fresh. */
struct registry_listeners {
    uint64_t alive;
    uint64_t relays_connected;
    uint64_t relays_configured;
    uint64_t in_flight;
    uint64_t backlog;
    uint64_t relays_may_hide_wraps;
};

struct registry_state {
    uint64_t android, ios; /* live registrations */
    uint64_t queued;       /* wakes that wait or are under way */
    struct registry_listeners listeners;
    /* For each of these requests are answered 503. */
    bool redis_full;         /* its maxmemory is reached */
    bool registrations_full; /* MAX_REGISTRATIONS is reached */
    bool queue_half_full;    /* half of WAKES_MAX is reached */
};

/* Makes a new connection first, so that the answer also says that Redis may be used now. */
enum registry_result registry_state(struct registry *registry, struct registry_state *state);

struct registry_metrics {
    struct registry_state state;
    uint64_t counter[STAT_COUNT];
};

/* On a new connection, too. */

enum registry_result registry_metrics(struct registry *registry, struct registry_metrics *metrics);

/* ---- The listener's calls: events ------------------------------------------------------------ */

enum registry_event {
    REGISTRY_EVENT_UNREGISTERED, /* nobody to wake */
    REGISTRY_EVENT_QUEUED,
    REGISTRY_EVENT_DEFERRED, /* over the pubkey's limit: its one deferred wake is queued */
    REGISTRY_EVENT_COVERED,  /* by the wake that another stored event has caused */
    REGISTRY_EVENT_REPEATED  /* this event has caused a wake before */
};

#define REGISTRY_EVENT_ID_SIZE 32
#define REGISTRY_AUTHOR_SIZE   32
#define REGISTRY_EVENTS_MAX    64 /* in one call */

/* A verified event. A live one spends the pubkey's limit once per id, registered or not; a `stored`
 * one (from before this subscription) spends none, and of these a pubkey gets one wake, 2 s after
 * the first: it covers all that were with their relay before. A phone that has named its node gets
 * a silent wake where another has written what has an author. */
struct registry_relay_event {
    uint8_t id[REGISTRY_EVENT_ID_SIZE];
    struct trade_pubkey key;
    bool has_author; /* as opposed to a one-time key */
    uint8_t author[REGISTRY_AUTHOR_SIZE];
    bool stored;
    int64_t stored_by_ms;        /* by Redis's clock: its relay had it by then */
    enum registry_event outcome; /* set where it was taken */
};

/* Takes n (up to REGISTRY_EVENTS_MAX) events in their order. *taken is how many, whatever the
 * result: from there on they are to be offered again. REGISTRY_QUEUE_FULL: too many wakes wait. */
enum registry_result registry_relay_events(struct registry *registry,
                                           struct registry_relay_event *events, size_t n,
                                           size_t *taken);

/* ---- The listener's calls: epoch and cursors ------------------------------------------------- */

#define REGISTRY_EPOCH_LEN 16 /* hexadecimal digits, drawn at random */

/* Gives the data in Redis a name where it has none: *lost then says that Redis has lost all it had
 * (or is new). `candidate` is REGISTRY_EPOCH_LEN digits. */
enum registry_result registry_epoch(struct registry *registry, const char *candidate, bool *lost);

#define REGISTRY_NO_MOMENT INT64_MIN

/* What has been taken of one kind of a relay's events. Moments are Unix milliseconds by Redis's
 * clock, or REGISTRY_NO_MOMENT. */
struct registry_cursor {
    uint32_t kind;
    int64_t from_ms, to_ms; /* told: all between has been taken; or nothing is told */
    int64_t cursor_ms;      /* answered: all before has been taken, by whichever listener */
};

struct registry_now {
    char epoch[REGISTRY_EPOCH_LEN + 1]; /* "": none has been drawn yet */
    int64_t now_ms;
};

/* Moves and reads the cursors of a relay (n up to SETTINGS_MAX_KINDS). In an epoch other than
 * `epoch` none is moved. */
enum registry_result registry_cursors(struct registry *registry, const char *relay,
                                      const char *epoch, struct registry_cursor *cursors, size_t n,
                                      struct registry_now *now);

/* ---- The listener's calls: its name ---------------------------------------------------------- */

/* A process holds LISTENER_NAME from its first heartbeat on, until one is more than 30 s late or
 * another process takes the name. The wakes that it has read are its own as long: those of a name
 * that nobody holds are taken over. One that comes too late with its heartbeat holds the name anew,
 * and has to read anew what is still its own. */
struct lease {
    int64_t since_us; /* tells one lease from another; never 0 */
    bool alone;       /* no process that held the name before is still finishing its pushes */
};

struct heartbeat {
    const char *instance; /* random, of this process */
    bool first;           /* this process takes the name, whoever holds it */
    unsigned relays_connected;
    unsigned relays_configured;
    unsigned relays_may_hide_wraps; /* of those connected */
    unsigned in_flight;             /* pushes */
    unsigned backlog;               /* wakes held in this process */
    int64_t last_event_s;           /* Unix seconds; 0: none yet */
};

/* Renews listener:<LISTENER_NAME>; REGISTRY_NOT_FOUND: another process has taken the name. */
enum registry_result registry_heartbeat(struct registry *registry, const struct heartbeat *beat,
                                        struct lease *lease);

/* No push begins any more; and, with `ended`, none is under way either: others need not wait for
 * the heartbeat to expire. To be called by a process that has been replaced, too. */
enum registry_result registry_leave(struct registry *registry, const char *instance, bool ended);

/* Makes up to `most` (up to REGISTRY_BATCH_MAX) unacknowledged wakes of those without a heartbeat
 * this listener's own; *adopted is how many, and fewer than `most` were all. */
enum registry_result registry_wakes_adopt(struct registry *registry, int64_t since_us,
                                          unsigned most, int64_t *adopted);

/* ---- The listener's calls: wakes ------------------------------------------------------------- */

/* What has queued a wake: a notify, an event that is to wake silently, or one that is to be seen.
 */
enum wake_via { WAKE_VIA_NOTIFY, WAKE_VIA_QUIET, WAKE_VIA_RELAY };

#define WAKE_ID_SIZE 44 /* two 64-bit numbers, a dash, a NUL */

/* One entry of the wakes stream. Times are Unix milliseconds by Redis's clock. */
struct wake {
    char id[WAKE_ID_SIZE];
    struct trade_pubkey key;
    enum wake_via via;
    int64_t queued_ms;
    int64_t not_before_ms;
};

/* Makes the stream and its consumer group where they are missing. */
enum registry_result registry_wakes_prepare(struct registry *registry);

/* Asks for at most `count` (up to REGISTRY_BATCH_MAX) entries, without waiting: with `after` NULL
 * for new ones, which Redis holds back for up to `block_ms`; else for this consumer's own
 * unacknowledged ones after that id
 * ("0" is the first), which come at once. When registry_fd() is readable, collect. */
enum registry_result registry_wakes_ask(struct registry *registry, const char *after,
                                        unsigned count, unsigned block_ms);
int registry_fd(const struct registry *registry);

/* REGISTRY_OK: *n entries, 0 to `max` (the count asked for). REGISTRY_PENDING: wait on. An entry
 * that is not one of ours is acknowledged and left out; `last_id` (WAKE_ID_SIZE bytes) gets the
 * last id read either way, so that paging goes on. REGISTRY_NOT_FOUND: the group is gone, prepare
 * anew. REGISTRY_UNAVAILABLE: the connection is closed, ask again later. */
enum registry_result registry_wakes_collect(struct registry *registry, struct wake *wakes,
                                            size_t max, size_t *n, char *last_id);

/* Gives up waiting for an answer that does not come: closes the connection. */
void registry_disconnect(struct registry *registry);

/* Looks n pubkeys (up to REGISTRY_BATCH_MAX) up in one command, right before they are pushed to;
 * found[i] tells whether registrations[i] is set. REGISTRY_LAPSED: they may not be pushed to, for
 * their wakes may be another's now. */
enum registry_result registry_lookup(struct registry *registry, int64_t since_us,
                                     const struct trade_pubkey *keys, size_t n,
                                     struct registration *registrations, bool *found);

/* Acknowledges and deletes n (up to REGISTRY_BATCH_MAX) entries: their wakes are done with. */
enum registry_result registry_wakes_done(struct registry *registry, const char *const *ids,
                                         size_t n);

/* Removes the registration if its token is still this one and it has not been renewed since it was
 * looked up; REGISTRY_NOT_FOUND if not. */
enum registry_result registry_forget(struct registry *registry, const struct trade_pubkey *key,
                                     const char *token, int64_t expires_ms);

/* Redis's clock in Unix milliseconds. */
enum registry_result registry_time(struct registry *registry, int64_t *unix_ms);

/* ---- The listener's calls: endpoints --------------------------------------------------------- */

/* An endpoint that registrations use, or that the endpoint file has brought back. The URL is a
 * secret of the device. */
struct registry_endpoint {
    struct device_id id;
    char url[DEVICE_TOKEN_MAX + 1];
    int64_t registered_at; /* Unix seconds of its first registration; REGISTRY_NO_MOMENT: unknown */
    bool encrypted;        /* its device has given keys, and is to get nothing in the clear */
};

struct registry_endpoints_state {
    bool is_writer;   /* this listener looks after the file, for 30 s at least */
    uint64_t loaded;  /* when the file was loaded into this data, which names the data; 0: never */
    uint64_t changes; /* how often the endpoints have changed since */
};

/* Also renews this listener's claim to the file, or makes it where nobody has one. `instance` is
 * that of the heartbeat, here and below: a process that has lost its name has lost the file. */
enum registry_result registry_endpoints_state(struct registry *registry, const char *instance,
                                              struct registry_endpoints_state *state);

#define REGISTRY_CURSOR_SIZE 24

/* Calls `take` for some endpoints that are in use; one may come twice in a round. `cursor` is "0"
 * at the beginning of a round, and again at its end. False from `take` ends the call early. */
typedef bool registry_endpoint_fn(const struct registry_endpoint *endpoint, void *arg);
enum registry_result registry_endpoints_read(struct registry *registry,
                                             char cursor[REGISTRY_CURSOR_SIZE],
                                             registry_endpoint_fn *take, void *arg);

/* Drops some endpoints whose last registration has expired; `cursor` as above. */
enum registry_result registry_endpoints_sweep(struct registry *registry,
                                              char cursor[REGISTRY_CURSOR_SIZE]);

/* Begins to bring back what the file holds. NOT_FOUND: this listener does not look after the file
 * any more. */
enum registry_result registry_endpoints_begin(struct registry *registry, const char *instance);

#define REGISTRY_ENDPOINTS_MAX 64 /* in one call */

/* Brings back n (up to REGISTRY_ENDPOINTS_MAX) endpoints from the file: they are to be woken, and
 * go in the time a registration has unless their phones register anew. NOT_FOUND as above, or what
 * was brought back has been lost meanwhile: to be begun anew. */
enum registry_result registry_endpoints_load(struct registry *registry, const char *instance,
                                             const struct registry_endpoint *endpoints, size_t n);

/* All are there: from now on the file may be written. NOT_FOUND as above. */
enum registry_result registry_endpoints_loaded(struct registry *registry, const char *instance);

/* Queues the wakes of one second for those that were brought back; to be called once a second. */
enum registry_result registry_endpoints_wake(struct registry *registry, const char *instance);

/* ---- Housekeeping ---------------------------------------------------------------------------- */

/* Adds the pending counters to Redis's; where that fails they stay pending. */
enum registry_result registry_flush_stats(struct registry *registry, struct stats *stats);

/* Takes some of the expired registrations out of the sorted sets; *trimmed is how many: call again
 * until there were none. */
enum registry_result registry_trim(struct registry *registry, int64_t *trimmed);

#endif
