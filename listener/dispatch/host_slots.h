/* host_slots: how much one distributor may take of what UnifiedPush has.
 *
 * At most HOST_SLOTS_MAX pushes are in flight to a host, and as long as it has not shown that it
 * speaks HTTP/2 no more than there are connections: a push that waits for one inside the HTTP
 * client would use up its time there. Hosts that let a push time out, or wait nearly as long, in
 * the last HOST_SLOTS_SLOW_MS share a few slots, all of them together: strangers choose the hosts,
 * and with enough slow ones could else take all there are. Further targets wait here, in order, for
 * a push to end. An endpoint that asked to be left alone (429) is held back by itself.
 *
 * Pure: no sockets, no clock; times are milliseconds of clock_monotonic_ms(). Not thread-safe. */
#ifndef MOSTRO_HOST_SLOTS_H
#define MOSTRO_HOST_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/device_id.h"
#include "push/http_client.h"
#include "push/unifiedpush.h"
#include "wakes/wake_queue.h"

#define HOST_SLOTS_MAX     20
#define HOST_SLOTS_FIRST   HTTP_CLIENT_CONNECTIONS_PER_HOST
#define HOST_SLOTS_SLOW_MS 300000

/* An endpoint without its secret: its device id. */
#define HOST_SLOTS_ENDPOINT_SIZE (DEVICE_ID_LEN + 1)

/* More endpoints than this are not held back, more hosts not known to be slow: the oldest are
 * forgotten first. */
#define HOST_SLOTS_REMEMBERED_MAX 10000

struct host_slots;

/* `most_slow`, at least 1, is how many pushes may be in flight to slow hosts. NULL when out of
 * memory. */
struct host_slots *host_slots_new(unsigned most_slow);

/* Targets that still wait stay their queue's. */
void host_slots_free(struct host_slots **slots);

enum host_entry {
    HOST_ENTERED, /* a slot is taken: give it back with host_slots_leave() */
    HOST_WAITS,   /* the target waits here until it comes out of host_slots_leave() */
    HOST_NO_MEMORY
};
enum host_entry host_slots_enter(struct host_slots *slots, const char *host,
                                 struct wake_target *target, int64_t now_ms);

/* A push in flight to this host has timed out, or taken nearly as long; to be told before it
 * leaves. */
void host_slots_was_slow(struct host_slots *slots, const char *host, int64_t now_ms);

/* A push has ended; `multiplexed` where its answer came by HTTP/2. Appends to `released` the
 * targets whose turn may have come: as many as there are new slots, or, when this was the last push
 * in flight of those they wait for, all (each may since have gone elsewhere, and then nobody would
 * call the next). */
void host_slots_leave(struct host_slots *slots, const char *host, bool multiplexed, int64_t now_ms,
                      struct wake_list *released);

/* `endpoint` is HOST_SLOTS_ENDPOINT_SIZE bytes. */
void host_slots_endpoint(char *endpoint, const char *url);
void host_slots_hold(struct host_slots *slots, const char *endpoint, int64_t until_ms,
                     int64_t now_ms);

/* Until when the endpoint is held back; INT64_MIN where it is not. */
int64_t host_slots_held_until(const struct host_slots *slots, const char *endpoint, int64_t now_ms);

#endif
