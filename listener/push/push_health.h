/* push_health: whether a peer works or fails as a whole, and when it is asked again.
 *
 * A peer (FCM, or one host of UnifiedPush) is down after PUSH_HEALTH_FAULTS faults in a row without
 * a success between. A fault that the peer answers counts once an endpoint, so that the owner of
 * one that always fails brings no peer down. Where there is no answer, the peer itself is away.
 *
 * While it is down, one probe at a time asks whether it is back: after up to 1 s, doubling to 60 s,
 * but no later than an eighth of the outage so far, so that a short outage is over soon after its
 * end. A push that fails while others succeed is itself to blame, and spends a try.
 *
 * Pure: times are milliseconds of clock_monotonic_ms(). */
#ifndef MOSTRO_PUSH_HEALTH_H
#define MOSTRO_PUSH_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"

#define PUSH_HEALTH_FAULTS         3
#define PUSH_HEALTH_PROBE_LEAST_MS 1000
#define PUSH_HEALTH_PROBE_MOST_MS  60000

/* A digest of the endpoint, without its secret. */
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

/* A push to this endpoint has succeeded. True: the peer had been down. */
bool push_health_good(struct push_health *health, push_endpoint_id endpoint, int64_t now_ms);

/* A push that began at `begun_ms` has failed by a fault, `answered` by the peer or not. True: the
 * peer has just gone down. */
bool push_health_fault(struct push_health *health, push_endpoint_id endpoint, bool answered,
                       int64_t begun_ms, int64_t now_ms, random_up_to_fn *random);

/* Whether this endpoint's faults are among those that the row consists of. */
bool push_health_suspects(const struct push_health *health, push_endpoint_id endpoint);

/* Whether a failed push is itself to blame, because other endpoints have succeeded since
 * `since_ms`: its try before, or, the first time, its beginning. */
bool push_health_blames(const struct push_health *health, push_endpoint_id endpoint,
                        int64_t since_ms);

/* How many more pushes may begin, with `in_flight` under way and `most` allowed. */
unsigned push_health_slots(const struct push_health *health, int64_t now_ms, unsigned in_flight,
                           unsigned most);

#endif
