/* registry_pipeline: many calls under way at once on one connection, for a worker that serves many
 * requests at once.
 *
 * Nothing here blocks: the caller waits for registry_pipeline_fd() and says when to send and read.
 * What was asked since the last send goes out in one write, and notifies that were asked one after
 * the other in one command of up to 64, which costs Redis half of what they cost one by one; so do
 * registers. What becomes of one does not depend on the others of its command.
 * Answers come in the order of the questions. A call that is not answered within 300 ms closes the
 * connection, which answers all calls under way REGISTRY_UNAVAILABLE, as every end of a connection
 * does: a late reply would answer another call. It looks no registration up, so no call's time
 * depends on whose pubkey another one of the batch names. Not thread-safe. */
#ifndef MOSTRO_REGISTRY_PIPELINE_H
#define MOSTRO_REGISTRY_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "device/device_id.h"
#include "registry_api.h"

struct registry_pipeline;

enum registry_call_kind {
    REGISTRY_CALL_SPEND,      /* one request of the address's limit, for a malformed request */
    REGISTRY_CALL_NOTIFY,     /* the address's and the pubkey's limits; queues a wake */
    REGISTRY_CALL_REGISTER,   /* `address` NULL: no limit applies; `site` is what an IPv6 address
                                 belongs to, or NULL */
    REGISTRY_CALL_UNREGISTER, /* REGISTRY_NOT_FOUND: was not registered */
    REGISTRY_CALL_COUNT       /* live registrations */
};

/* The caller owns it, and keeps it and what it points to until it is answered. */
struct registry_call {
    enum registry_call_kind kind;
    enum registry_bucket bucket;        /* of SPEND */
    const struct address_hash *address; /* NULL: no limit */
    const struct address_hash *site;
    struct trade_pubkey key;
    const struct registration *registration; /* of REGISTER */
    void (*answered)(struct registry_call *call);

    /* The answer: */
    enum registry_result result;
    bool is_away;            /* of REGISTRY_UNAVAILABLE: for want of a connection, or of one that
                                lives: the call may be asked again */
    bool may_have_run;       /* of is_away: Redis may have got it */
    unsigned refused_for_ms; /* of REGISTRY_REFUSED_ADDRESS: whole milliseconds, rounded down */
    uint64_t android, ios;   /* of COUNT */

    /* The pipeline's own: */
    STAILQ_ENTRY(registry_call) next;
    int64_t deadline_ms;
    bool is_repeated;           /* after the library was loaded */
    unsigned calls;             /* in its command, of which it is the first */
    struct device_id device_id; /* of REGISTER: "" where the token is no endpoint URL */
};

/* `settings` and `stats` must outlive it. It has no connection yet. */
struct registry_pipeline *registry_pipeline_new(const struct settings *settings,
                                                struct stats *stats);

/* From now on each call that was done is answered only when a replica has it, or after 100 ms (then
 * it is counted, and told of once a minute), for which Redis has another 100 ms. Redis stops this
 * connection for that, so it is for registers and unregisters alone. What is asked meanwhile waits,
 * and has its 300 ms from when it is sent. */
void registry_pipeline_confirm(struct registry_pipeline *pipeline);

/* Answers nothing: no call may be under way. */
void registry_pipeline_free(struct registry_pipeline **pipeline);

/* Takes over the connection of `from`, on which Redis was found usable; `from` will make another
 * one when it next needs one. False: it has none. To be called while there is no connection; then
 * send, since calls may have waited for it. */
bool registry_pipeline_open(struct registry_pipeline *pipeline, struct registry *from);
bool registry_pipeline_is_open(const struct registry_pipeline *pipeline);

/* No connection could be made. Answers the calls that have waited for one. */
void registry_pipeline_give_up(struct registry_pipeline *pipeline);

/* The connection's descriptor, or -1. */
int registry_pipeline_fd(const struct registry_pipeline *pipeline);

/* Asks. Where there is no connection, `answered` is called at once, with REGISTRY_UNAVAILABLE; but
 * after Redis has closed an idle connection calls wait for the next one, which is to be made at
 * once. */
void registry_pipeline_ask(struct registry_pipeline *pipeline, struct registry_call *call);

/* Sends what has been asked; true where some is left, because the socket takes no more now: then
 * call it again when it is writable. May call `answered`, where the connection ends. */
bool registry_pipeline_send(struct registry_pipeline *pipeline);

/* Call when the descriptor is readable. Calls `answered` of every call whose answer has come, which
 * may ask again, but must not free the pipeline. Call registry_pipeline_send() afterwards: the
 * library may have to be loaded, for a Redis that has lost it. */
void registry_pipeline_read(struct registry_pipeline *pipeline);

/* Gives up what is past its time. Returns the milliseconds until the next one is, or -1. */
int registry_pipeline_expire(struct registry_pipeline *pipeline, int64_t now_ms);

#endif
