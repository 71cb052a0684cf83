/* registry_wakes: what the dispatcher asks of the registry: which wakes wait, and for whom. */
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
 * unacknowledged ones after that id ("0" is the first), which come at once. When registry_fd() is
 * readable, collect. */
enum registry_result registry_wakes_ask(struct registry *registry, const char *after,
                                        unsigned count, unsigned block_ms);
int registry_fd(const struct registry *registry);

/* REGISTRY_OK: *n entries, 0 to `max` (the count asked for). REGISTRY_PENDING: wait on. An entry
 * that is not one of ours is acknowledged and left out; `last_id` (WAKE_ID_SIZE bytes) gets the
 * last id read either way, so that paging goes on. REGISTRY_NOT_FOUND: the group is gone, prepare
 * anew. REGISTRY_UNAVAILABLE: the connection is closed, ask again later. */
enum registry_result registry_wakes_collect(struct registry *registry, struct wake *wakes,
                                            size_t max, size_t *n, char *last_id);

/* Makes up to `most` (up to REGISTRY_BATCH_MAX) unacknowledged wakes of those without a heartbeat
 * this listener's own; *adopted is how many, and fewer than `most` were all. */
enum registry_result registry_wakes_adopt(struct registry *registry, int64_t since_us,
                                          unsigned most, int64_t *adopted);

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

#endif
