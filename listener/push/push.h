/* push: what both ways to a phone, FCM and UnifiedPush, have in common. */
#ifndef MOSTRO_PUSH_H
#define MOSTRO_PUSH_H

#include <netinet/in.h>
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
    PUSH_MISTAKE,      /* not before the operator, who has been told, mends his mistake */
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
    char peer[INET6_ADDRSTRLEN];   /* the address connected to; "": there was no connection */
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

/* A push that fails by itself, while its peer works, is tried so often in all, and then given up.
 */
#define PUSH_TRIES_MAX 6

/* The longest wait after so many failures of that sort, from 1 on: 1, 5, 25, 120 and 300 s. */
int64_t push_retry_most_ms(unsigned failures);

#endif
