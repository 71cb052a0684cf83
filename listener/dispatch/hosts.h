/* hosts: each host of a back end whose hosts strangers choose, as a back end of its own: whether it
 * works, how many pushes it takes at once, and who waits for it.
 *
 * A host that fails as a whole (see push_health.h) is down: its targets wait here, and one at a
 * time asks whether it is back; then all go out within its slots. A probe takes a target whose
 * endpoint has not failed in this outage, if there is one. A host that takes no more for now and
 * does not say until when (ntfy's 429 is about the sender, not the endpoint) is held for 5 s,
 * doubling to 60 s; then one push at a time finds out whether it takes more, and each that it takes
 * doubles how many go at once. An endpoint that asks for a while of its own is held by itself
 * (see held_endpoints.h), and who waits for it waits with its host.
 *
 * A host is proven for HOSTS_PROVEN_MS after it has answered in time, and may have HOSTS_SLOTS_MAX
 * slots of the proven ones' half. It leaves others some, and the more, the longer its pushes take
 * (see slots.h): each HOSTS_SLOWER_MS counts as a slot more. How long is what the slowest push
 * took, and an eighth less of the difference with each that is quicker. Any other, or one that has
 * let a push wait for HOSTS_SLOW_MS since, is a newcomer: it shares the slots of its network with
 * the others there, or, as long as no connection has shown where it is, has one, and shares those
 * of its registered domain. So whoever has a thousand names there has four slots.
 *
 * Where more wait than may, the host of the heaviest network with the most loses one, its oldest
 * silent one if there is any (see weights.h). Where more hosts than may be remembered, the heaviest
 * network has one forgotten.
 *
 * Pure but for memory: no sockets, no clock; times are milliseconds of clock_monotonic_ms(). Not
 * thread-safe. */
#ifndef MOSTRO_HOSTS_H
#define MOSTRO_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "push/push.h"
#include "push/push_backend.h"
#include "push/push_health.h"
#include "registry/registry_listener.h"
#include "wakes/wake_queue.h"

#define HOSTS_SLOTS_MAX 20
#define HOSTS_SLOW_MS   2000
#define HOSTS_SLOWER_MS 500 /* for each of these that its pushes take a slot counts once more */
#define HOSTS_PROVEN_MS 86400000
#define HOSTS_KEPT_MS   600000 /* hosts without a push in flight, not proven */
#define HOSTS_KEPT_MOST 10000  /* hosts without a push in flight and without waiting targets */

#define HOSTS_WEIGHT 3 /* a host, or an endpoint, takes as much memory as so many targets */

#define HOSTS_HOLD_LEAST_MS 5000 /* ntfy admits one more this often */
#define HOSTS_HOLD_MOST_MS  60000

/* A target that is called has its slot for so long. Where nothing else is in flight to its host so
 * many are called at once, for the first may have gone elsewhere meanwhile. */
#define HOSTS_CALL_AGAIN_MS 1000
#define HOSTS_CALLED        64

struct hosts;

struct hosts_limits {
    unsigned slots; /* at least 1 */
    size_t waiting; /* targets, of all; a host, and a held endpoint, count as HOSTS_WEIGHT more */
    size_t waiting_each; /* of one of them */
};

/* NULL when out of memory. */
struct hosts *hosts_new(const struct hosts_limits *limits, random_up_to_fn *random);

/* Targets that still wait stay their queue's. */
void hosts_free(struct hosts **hosts);

/* Lists that the functions below append to. */
struct hosts_moved {
    struct wake_list called;  /* they are to enter anew */
    struct wake_list dropped; /* given up, because too many waited */
};

enum hosts_entry {
    HOSTS_ENTERED, /* a slot is taken: give it back with hosts_leave() */
    HOSTS_WAITS,   /* the target waits here until it is called, or dropped, */
    HOSTS_HELD,    /* as here, because its endpoint takes nothing yet */
    HOSTS_NO_MEMORY
};
enum hosts_entry hosts_enter(struct hosts *hosts, const char *host, push_endpoint_id endpoint,
                             struct wake_target *target, int64_t now_ms, struct hosts_moved *moved);

/* A push, or an attempt at one. */
struct hosts_push {
    push_endpoint_id endpoint;
    int64_t begun_ms, ended_ms;
    int64_t failing_ms; /* since then it is tried without success: see wake_target_failing_ms() */
};

struct hosts_verdict {
    bool blamed;      /* it has failed, and others there succeed */
    bool waits;       /* for its host or endpoint, without spending a try, */
    int64_t until_ms; /* and not before this */
};

/* A push to this host has ended with this result; NULL: none was made. */
struct hosts_verdict hosts_leave(struct hosts *hosts, const char *host,
                                 const struct hosts_push *push, const struct push_result *result,
                                 int64_t now_ms, struct hosts_moved *moved);

/* Calls targets whose time has come without a push ending. Returns when to be called again;
 * INT64_MAX: not before something enters or leaves. */
int64_t hosts_run(struct hosts *hosts, int64_t now_ms, struct hosts_moved *moved);

/* How many hosts are down, or held. */
size_t hosts_held(const struct hosts *hosts);

/* Writes their names, a blank behind each, those first that have been so for longest; and, where
 * not all have room, HEARTBEAT_HELD_MORE. Returns the length. */
size_t hosts_write_held(const struct hosts *hosts, char *out, size_t size);

/* Differs from what it was where that text may have changed. */
uint64_t hosts_held_version(const struct hosts *hosts);

/* Out of memory, all endpoints count as one: no worse than a shared hold-back. */
push_endpoint_id hosts_endpoint(const char *url);

#endif
