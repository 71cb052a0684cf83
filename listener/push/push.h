/* push: what both ways to a phone, FCM and UnifiedPush, have in common. */
#ifndef MOSTRO_PUSH_H
#define MOSTRO_PUSH_H

#include <stdbool.h>
#include <stdint.h>

enum push_kind {
    PUSH_SILENT, /* a notify: the app wakes and looks */
    PUSH_VISIBLE /* a relay event: the phone may show something */
};

/* How a push ended, by what is to be done about it. */
enum push_outcome {
    PUSH_DELIVERED,
    PUSH_DEAD_TOKEN,    /* the registration with this token is to be removed */
    PUSH_RETRY,         /* this one may succeed later */
    PUSH_BACKEND_FAULT, /* the same, but it may well be the backend that fails, not this push */
    PUSH_HELD_BACK, /* the peer takes fewer at a time: later, and nothing is wrong with this one */
    PUSH_UNAUTHORIZED, /* our credentials were refused: once more with new ones */
    PUSH_GIVEN_UP,     /* it never will */
    PUSH_MISTAKE,      /* the same, by the operator's mistake: he has been told */
    PUSH_CANCELLED,    /* the server stops: nothing is known of this push */

    /* No push was made. */
    PUSH_UNBEGUN, /* its turn came too late: its registration is to be looked up again */
    PUSH_NO_ROOM, /* there was no memory: later, perhaps */
    PUSH_DAMAGED  /* it never will: what is stored is not what a responder stores */
};

#define PUSH_ANSWER_SIZE 64
struct push_result {
    enum push_outcome outcome;
    int64_t retry_after_ms; /* of those that come again: asked for by the peer; else -1 */
    bool holds_host;        /* PUSH_HELD_BACK: it is all of this host that waits, not an endpoint */
    bool answered;          /* the peer itself has said so */
    bool timed_out;         /* it kept us waiting for as long as it could */
    bool takes_many;        /* the peer may be given as many pushes at a time as any */
    char answer[PUSH_ANSWER_SIZE]; /* what it said, where log_is_debug(): push_answer_describe() */
};

/* Whether no push was made, so that nothing is known of a peer. */
bool push_was_not_made(enum push_outcome outcome);

/* Whether a push was started; if not, `done` is not called. */
enum push_start {
    PUSH_STARTED,
    PUSH_NO_MEMORY,       /* see PUSH_NO_ROOM */
    PUSH_BAD_REGISTRATION /* see PUSH_DAMAGED */
};

/* Called exactly once a push that was started, while the HTTP client waits or cancels. */
typedef void push_done_fn(const struct push_result *result, void *arg);

/* Whether a backend as a whole works. A fault speaks against the backend only while nothing else
 * succeeds there: push_health_blames() tells whether the push itself is to be blamed for it, and
 * spends a try.
 *
 * After PUSH_HEALTH_FAULTS in a row the backend is down: nothing is pushed but one probe at a time,
 * 1 s doubling to 60 s apart, until one succeeds. Times are milliseconds of clock_monotonic_ms().
 */
struct push_health {
    int64_t last_good_ms; /* INT64_MIN: never */
    int64_t probe_at_ms;  /* while down */
    unsigned faults;      /* in a row */
};

#define PUSH_HEALTH_FAULTS       3
#define PUSH_HEALTH_PROBE_MAX_MS 60000

void push_health_init(struct push_health *health);

/* Both return true where this changed whether the backend is down. */
bool push_health_good(struct push_health *health, int64_t now_ms);
bool push_health_fault(struct push_health *health, int64_t now_ms);

bool push_health_is_down(const struct push_health *health);

/* Whether a push that has failed is to be blamed itself, because others have succeeded since
 * `since_ms`: when it was tried before, or, the first time, when it was started. */
bool push_health_blames(const struct push_health *health, int64_t since_ms);

/* How many more pushes may be started, `in_flight` being under way and `most` allowed. */
unsigned push_health_slots(const struct push_health *health, int64_t now_ms, unsigned in_flight,
                           unsigned most);

#endif
