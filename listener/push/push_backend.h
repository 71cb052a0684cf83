/* push_backend: the shape of every back end that pushes, and a row for each.
 *
 * A further back end is one new file in this folder, which defines `const struct push_backend
 * NAME_backend`; its settings, in settings_table.h; and one row in STATS_BACKENDS (stats.h), which
 * makes its counters, its series in /api/metrics and its place below. Nothing else in the listener
 * names a back end.
 *
 * A service belongs to the thread of its HTTP client (see push_thread.h); accepts() and host() may
 * be called from another thread, too. Times are milliseconds of clock_monotonic_ms(), except
 * `unix_s`. */
#ifndef MOSTRO_PUSH_BACKEND_H
#define MOSTRO_PUSH_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/url.h"
#include "push.h"
#include "registry/stats.h"

struct http_answer;
struct http_client;
struct registration;
struct settings;

#define PUSH_HOST_MAX URL_AUTHORITY_SIZE

/* Where strangers choose the peers, at most so many pushes are in flight to one peer, each on a
 * connection of its own (HTTP/1.1), so that none waits for a connection inside libcurl. */
#define PUSH_HOST_CONNECTIONS 20

/* What the targets of a back end are counted by; the last two are the first of its buckets, by how
 * long a push took, and how long after its event it was taken. */
struct push_counters {
    enum stats_counter delivered, dead, given_up, time, event_time;
};

#define PUSH_COUNTERS(BACKEND)                                                          \
    {                                                                                   \
        .delivered = STAT_WAKES_DELIVERED_##BACKEND, .dead = STAT_WAKES_DEAD_##BACKEND, \
        .given_up = STAT_WAKES_GIVEN_UP_##BACKEND, .time = STAT_PUSH_##BACKEND##_10,    \
        .event_time = STAT_EVENT_TO_##BACKEND##_5                                       \
    }

/* The push to make; lives until push() returns. */
struct push_order {
    enum push_kind kind;
    const struct registration *registration;
    int64_t now_ms;
    int64_t unix_s;
};

struct push_backend {
    const char *name; /* in the log, and its thread's; up to 15 characters */
    unsigned host_connections;
    struct push_counters counters;

    /* Whether a registration belongs to this back end, even where that is off. The first row that
     * accepts it has it. Pure. */
    bool (*accepts)(const struct registration *registration);

    /* Makes a service, which close() ends after http_client_cancel_all() and before the client is
     * freed. The arguments outlive it. `*service` NULL: this back end is off, and the log says why
     * where that is no setting. False when out of memory. */
    bool (*open)(const struct settings *settings, struct http_client *client, void **service);
    void (*close)(void *service);

    /* Does its work between pushes; returns when to be called again. NULL: nothing. */
    int64_t (*run)(void *service, int64_t now_ms, int64_t unix_s);

    /* Whether anything can be pushed yet. NULL: at any time. */
    bool (*ready)(const void *service, int64_t now_ms);

    /* The name of the peer that a registration is pushed to. False: it is none that may be pushed
     * to, ever.
     *
     * NULL: there is one peer, which works or does not: PUSH_BACKEND_FAULT speaks against the back
     * end as a whole. Otherwise strangers choose the peers: each is as good as its own answers, may
     * have a share of the slots alone (see hosts.h), and is spoken to in HTTP/1.1 only. Reads
     * nothing of the service that changes. */
    bool (*host)(const void *service, const struct registration *registration,
                 char host[PUSH_HOST_MAX]);

    /* `done` is called exactly once where PUSH_STARTED is returned, later, while the HTTP client
     * waits or cancels; else never. */
    enum push_start (*push)(void *service, const struct push_order *order, push_done_fn *done,
                            void *arg);

    /* Judges an answer. Changes nothing. */
    struct push_result (*classify)(const void *service, const struct http_answer *answer);
};

/* The rows. */
#define PUSH_BACKEND_DECLARE(X, BACKEND, backend) \
    extern const struct push_backend backend##_backend;
STATS_BACKENDS(PUSH_BACKEND_DECLARE, )
#undef PUSH_BACKEND_DECLARE

extern const struct push_backend *const push_backends[];
extern const unsigned push_backends_count;

#endif
