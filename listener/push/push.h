/* push: what FCM and UnifiedPush have in common. */
#ifndef MOSTRO_PUSH_H
#define MOSTRO_PUSH_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

enum push_kind {
    PUSH_SILENT, /* a notify: the app wakes and looks */
    PUSH_VISIBLE /* a relay event: the phone may show something */
};

/* How a push ended, by what follows from it. */
enum push_outcome {
    PUSH_DELIVERED,
    PUSH_DEAD_TOKEN,    /* the registration with this token is to be removed */
    PUSH_RETRY,         /* this one may succeed later */
    PUSH_BACKEND_FAULT, /* the same, but the fault may be the backend's, not this push's */
    PUSH_HELD_BACK,     /* the peer takes fewer at a time: later, without blaming this push */
    PUSH_UNAUTHORIZED,  /* our credentials were refused: retry once with new ones */
    PUSH_GIVEN_UP,      /* it never will */
    PUSH_MISTAKE,       /* not before the operator, who has been told, mends a mistake */
    PUSH_CANCELLED,     /* the server stops: the push's fate is unknown */

    /* No push was made. */
    PUSH_UNBEGUN, /* its turn came too late: its registration must be looked up again */
    PUSH_NO_ROOM, /* out of memory: later, perhaps */
    PUSH_DAMAGED  /* never: Redis holds what a responder does not write */
};

#define PUSH_ANSWER_SIZE 64
struct push_result {
    enum push_outcome outcome;
    int64_t retry_after_ms;        /* before another try, as the peer asks; else -1 */
    bool holds_host;               /* PUSH_HELD_BACK: concerns the whole host, not an endpoint */
    bool answered;                 /* the peer itself has said so */
    bool timed_out;                /* it took all the time that it is given */
    char peer[INET6_ADDRSTRLEN];   /* the address connected to; "": there was no connection */
    char answer[PUSH_ANSWER_SIZE]; /* its words, where log_is_debug(): push_answer_describe() */
};

/* Whether no push was made, so that it says nothing about a peer. */
bool push_was_not_made(enum push_outcome outcome);

/* Whether a push was started; if not, `done` is not called. */
enum push_start {
    PUSH_STARTED,
    PUSH_NO_MEMORY,       /* see PUSH_NO_ROOM */
    PUSH_BAD_REGISTRATION /* see PUSH_DAMAGED */
};

/* Called exactly once for each push that was started, while the HTTP client waits or cancels. */
typedef void push_done_fn(const struct push_result *result, void *arg);

/* How often a push that fails while its peer works is tried in all; then it is given up. */
#define PUSH_TRIES_MAX 6

/* The longest wait after so many such failures, from 1 on: 1, 5, 25, 120 and 300 s. */
int64_t push_retry_most_ms(unsigned failures);

#endif
