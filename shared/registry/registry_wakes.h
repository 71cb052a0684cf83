/* registry_wakes: what the dispatcher asks of the registry: which wakes come, which wait, and for
 * whom.
 *
 * Wakes come in by the stream `wakes`, the inbox. registry_wakes_take() has those of registered
 * pubkeys wait in the sorted set `waiting:<LISTENER_NAME>`, and the others be done with. */
#ifndef MOSTRO_REGISTRY_WAKES_H
#define MOSTRO_REGISTRY_WAKES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/trade_pubkey.h"
#include "registration.h"
#include "registry.h"

/* What has queued a wake: a notify, an event that is to wake silently, or one that is to be seen.
 */
enum wake_via { WAKE_VIA_NOTIFY, WAKE_VIA_QUIET, WAKE_VIA_RELAY };

/* From the name that Redis has for it. */
bool wake_via_parse(enum wake_via *via, const char *text, size_t len);

#define WAKE_ID_SIZE 44 /* two 64-bit numbers, a dash, a NUL */

/* A wake, as an entry of the inbox or as a member of the set of those that wait. Times are Unix
 * milliseconds by Redis's clock. */
struct wake {
    char id[WAKE_ID_SIZE]; /* of the entry */
    struct trade_pubkey key;
    enum wake_via via;
    int64_t queued_ms;     /* the entry */
    int64_t not_before_ms; /* the entry's: when it is due */
    int64_t score_ms; /* the member's: a time that grows with every wake of this key and kind */
};

/* Makes the stream and its consumer group where they are missing. */
enum registry_result registry_wakes_prepare(struct registry *registry);

/* Asks for at most `count` (up to REGISTRY_BATCH_MAX) entries, without waiting: with `after` NULL
 * for new ones, which Redis holds back for up to `block_ms`; else for this consumer's own
 * unacknowledged ones after that id ("0" is the first), which come at once. When registry_fd() is
 * readable, collect. */
enum registry_result registry_wakes_ask(struct registry *registry, const char *after,
                                        unsigned count, unsigned block_ms);
int registry_fd(const struct registry *registry);

/* REGISTRY_OK: *n entries, 0 to `max` (the count asked for). REGISTRY_PENDING: wait on. An entry
 * that is not one of ours is dropped and left out; `last_id` (WAKE_ID_SIZE bytes) gets the
 * last id read either way, so that paging goes on. REGISTRY_NOT_FOUND: the group is gone, prepare
 * anew. REGISTRY_UNAVAILABLE: the connection is closed, ask again later. */
enum registry_result registry_wakes_collect(struct registry *registry, struct wake *wakes,
                                            size_t max, size_t *n, char *last_id);

/* Registrations of pubkeys that are to be pushed to at once. They are secrets: wipe them. */
#define REGISTRY_AT_ONCE_MAX 64
struct registry_at_once {
    size_t n;
    struct trade_pubkey keys[REGISTRY_AT_ONCE_MAX];
    struct registration registrations[REGISTRY_AT_ONCE_MAX];
};

/* Takes n entries (up to REGISTRY_BATCH_MAX) that were collected out of the inbox. waits[i] tells
 * whether wakes[i], now with its score, waits; else its pubkey is not registered, and that is its
 * end. Of those that are due some registrations come into `at_once`, as registry_lookup() would
 * give them now. REGISTRY_LAPSED: they may be another's, and nothing is taken. */
enum registry_result registry_wakes_take(struct registry *registry, int64_t since_us,
                                         struct wake *wakes, size_t n, bool *waits,
                                         struct registry_at_once *at_once);

/* Calls `wake` with the key, kind and score of some of those that wait, a few hundred at most, and
 * Redis's time, and moves the cursor on, which is "0" at the beginning and again after the last.
 * One may come twice. REGISTRY_LAPSED: they may be another's. */
typedef void registry_waiting_fn(const struct wake *wake, int64_t redis_ms, void *arg);
enum registry_result registry_wakes_waiting(struct registry *registry, int64_t since_us,
                                            char cursor[REGISTRY_CURSOR_SIZE],
                                            registry_waiting_fn *wake, void *arg);

/* Makes up to `most` wakes of those without a heartbeat this listener's own, in the inbox or
 * waiting; *adopted is how many, and fewer than `most` were all. */
enum registry_result registry_wakes_adopt(struct registry *registry, int64_t since_us,
                                          unsigned most, int64_t *adopted);

/* When an operator has held pushing, oldest first, in Unix milliseconds by Redis's clock. */
#define REGISTRY_PAUSES_MAX 16 /* the same as registry.lua's */
struct registry_pause {
    int64_t from_ms, to_ms; /* INT64_MAX: it lasts */
};

/* Whether pushing is held now, and up to REGISTRY_PAUSES_MAX times when it has been. */
enum registry_result registry_pauses(struct registry *registry, int64_t *redis_ms, bool *held,
                                     struct registry_pause *pauses, size_t *n);

/* Looks n pubkeys (up to REGISTRY_BATCH_MAX) up in one command, right before they are pushed to;
 * found[i] tells whether registrations[i] is set. REGISTRY_LAPSED: they may not be pushed to, for
 * their wakes may be another's now. REGISTRY_PENDING: an operator holds pushing. */
enum registry_result registry_lookup(struct registry *registry, int64_t since_us,
                                     const struct trade_pubkey *keys, size_t n,
                                     struct registration *registrations, bool *found);

/* What a push has covered of one kind of one pubkey. */
#define WAKE_NOT_DELIVERED 0
struct wake_done {
    enum wake_via via;
    const struct trade_pubkey *key;
    int64_t score_ms;
    int64_t delivered; /* the version of the registration that the push was delivered to */
};

#define REGISTRY_DONE_MAX 128

/* n (up to REGISTRY_DONE_MAX) members wait no longer, unless their score has grown.
 *
 * A registration that was pushed to lives for TOKEN_TTL_HOURS from now on, by this program's
 * setting, but not beyond twice as long after it was registered; its endpoint's record lives with
 * it. That is never shortened, so where hosts have different settings the longer one holds. Nothing
 * is written where it would gain nothing: registrations expire at whole five minutes. The version
 * stays the same. */
enum registry_result registry_wakes_done(struct registry *registry, const struct wake_done *done,
                                         size_t n);

/* Removes the registration if its token is still this one and it has not been renewed since it was
 * looked up; REGISTRY_NOT_FOUND if not. */
enum registry_result registry_forget(struct registry *registry, const struct trade_pubkey *key,
                                     const char *token, int64_t version);

/* Redis's clock in Unix milliseconds. */
enum registry_result registry_time(struct registry *registry, int64_t *unix_ms);

#endif
