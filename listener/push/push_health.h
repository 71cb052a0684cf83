/* push_health: whether a peer works, or fails as a whole, and when it is asked again.
 *
 * A peer (FCM, or one host of UnifiedPush's) is down after PUSH_HEALTH_FAULTS faults in a row with
 * nothing good between. An answer that tells of a fault counts once an endpoint: whoever owns one
 * that always fails brings nobody down. Where there is no answer it is the peer that is away.
 *
 * While it is down one probe at a time asks whether it is back: after up to 1 s, doubling to 60 s,
 * but after no more than an eighth of the outage so far, so that a short outage is over soon after
 * its end. What fails while others succeed is to be blamed itself, and spends a try.
 *
 * Pure: times are milliseconds of clock_monotonic_ms(), and randomness is given. */
#ifndef MOSTRO_PUSH_HEALTH_H
#define MOSTRO_PUSH_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#define PUSH_HEALTH_FAULTS         3
#define PUSH_HEALTH_PROBE_LEAST_MS 1000
#define PUSH_HEALTH_PROBE_MOST_MS  60000

/* Draws evenly from 0 to `limit`. */
typedef uint64_t push_random_fn(uint64_t limit);

/* Which endpoint it was, without its secret. */
typedef uint64_t push_endpoint_id;

struct push_health {
    struct {
        push_endpoint_id endpoint;
        int64_t ms; /* INT64_MIN: never */
    } good, other;  /* the last success, and the last one of another endpoint */
    push_endpoint_id suspects[PUSH_HEALTH_FAULTS]; /* that have answered a fault, in this row */
    unsigned suspected;
    unsigned faults; /* in a row */
    unsigned probes; /* failed */
    int64_t down_ms; /* since then */
    int64_t probe_at_ms;
};

void push_health_init(struct push_health *health);

bool push_health_is_down(const struct push_health *health);

/* A push to this endpoint has shown that the peer works. True: it had been down. */
bool push_health_good(struct push_health *health, push_endpoint_id endpoint, int64_t now_ms);

/* A push that began at `begun_ms` has shown a fault, which the peer has `answered` or not. True: it
 * is down now, and was not before. */
bool push_health_fault(struct push_health *health, push_endpoint_id endpoint, bool answered,
                       int64_t begun_ms, int64_t now_ms, push_random_fn *random);

/* Whether this endpoint's faults are among those that the row consists of. */
bool push_health_suspects(const struct push_health *health, push_endpoint_id endpoint);

/* Whether a push that has failed is to be blamed itself, because other endpoints have succeeded
 * since `since_ms`: when it was tried before, or, the first time, when it was begun. */
bool push_health_blames(const struct push_health *health, push_endpoint_id endpoint,
                        int64_t since_ms);

/* How many more pushes may begin, `in_flight` being under way and `most` allowed. */
unsigned push_health_slots(const struct push_health *health, int64_t now_ms, unsigned in_flight,
                           unsigned most);

#endif
