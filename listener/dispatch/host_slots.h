/* host_slots: how much one distributor may take of what UnifiedPush has.
 *
 * At most HOST_SLOTS_MAX pushes are in flight to a host, and HOST_SLOTS_FIRST as long as it has not
 * answered one. There are as many connections: a push that waits for one inside the HTTP client
 * would use up its time there. Hosts that let a push time out, or wait nearly as long, in
 * the last HOST_SLOTS_SLOW_MS share a few slots, all of them together: strangers choose the hosts,
 * and with enough slow ones could else take all there are. Further targets wait here, in order, for
 * a push to end.
 *
 * A host that takes no more for now and does not say until when (ntfy's 429 is about the sender,
 * not the endpoint) is held: its targets wait here and nothing of it is looked at for 5 s, doubling
 * to 60 s. Then one push at a time finds out whether it takes more; each that it takes doubles how
 * many go at once. An endpoint that asks for a while of its own is held back by itself.
 *
 * Pure: no sockets, no clock; times are milliseconds of clock_monotonic_ms(). Not thread-safe. */
#ifndef MOSTRO_HOST_SLOTS_H
#define MOSTRO_HOST_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/device_id.h"
#include "push/push.h"
#include "push/push_backend.h"
#include "wakes/wake_queue.h"

#define HOST_SLOTS_MAX     PUSH_HOST_CONNECTIONS
#define HOST_SLOTS_FIRST   4
#define HOST_SLOTS_SLOW_MS 300000

/* An endpoint without its secret: its device id. */
#define HOST_SLOTS_ENDPOINT_SIZE (DEVICE_ID_LEN + 1)

/* More endpoints than this are not held back, more hosts not known to be slow: the oldest are
 * forgotten first. */
#define HOST_SLOTS_REMEMBERED_MAX 10000

#define HOST_SLOTS_HOLD_LEAST_MS 5000 /* ntfy makes room for one more that often */
#define HOST_SLOTS_HOLD_MOST_MS  60000
#define HOST_SLOTS_HOLD_KEPT_MS  60000 /* after its end it is remembered how long it was */

/* More hosts than this are not held: their pushes wait one by one. */
#define HOST_SLOTS_HELD_MAX 10000

/* So many of those that wait are called at once, in case the first have gone elsewhere meanwhile,
 * and after so long the next, until one of them enters. */
#define HOST_SLOTS_CALLED        64
#define HOST_SLOTS_CALL_AGAIN_MS 1000

struct host_slots;

/* `most_slow`, at least 1, is how many pushes may be in flight to slow hosts. NULL when out of
 * memory. */
struct host_slots *host_slots_new(unsigned most_slow);

/* Targets that still wait stay their queue's. */
void host_slots_free(struct host_slots **slots);

enum host_entry {
    HOST_ENTERED, /* a slot is taken: give it back with host_slots_leave() */
    HOST_WAITS,   /* the target waits here until it is among the released */
    HOST_NO_MEMORY
};
enum host_entry host_slots_enter(struct host_slots *slots, const char *host,
                                 struct wake_target *target, int64_t now_ms);

/* A push in flight to this host has timed out, or taken nearly as long; to be told before it
 * leaves. */
void host_slots_was_slow(struct host_slots *slots, const char *host, int64_t now_ms);

/* A push in flight to this host was answered that it takes no more for now; to be told before it
 * leaves. Returns until when that push waits. */
int64_t host_slots_hold_host(struct host_slots *slots, const char *host, int64_t now_ms);

/* A push has ended like this; NULL: none was made. Appends to `released` the targets whose turn may
 * have come: as many as there are new slots, or, when this was the last push in flight of those
 * they wait for, HOST_SLOTS_CALLED, or of slow hosts' all (each may since have gone elsewhere, and
 * then nobody would call the next). While the host is held, none of its own. */
void host_slots_leave(struct host_slots *slots, const char *host, const struct push_result *result,
                      int64_t now_ms, struct wake_list *released);

/* Appends to `released` those for whom the time has come though no push has ended. Returns when to
 * be called again, INT64_MAX for not before something enters or leaves. */
int64_t host_slots_run(struct host_slots *slots, int64_t now_ms, struct wake_list *released);

/* `endpoint` is HOST_SLOTS_ENDPOINT_SIZE bytes. */
void host_slots_endpoint(char *endpoint, const char *url);
void host_slots_hold(struct host_slots *slots, const char *endpoint, int64_t until_ms,
                     int64_t now_ms);

/* Until when the endpoint is held back; INT64_MIN where it is not. */
int64_t host_slots_held_until(const struct host_slots *slots, const char *endpoint, int64_t now_ms);

#endif
