/* responder: answers requests, any number at once.
 *
 * Knows no FastCGI and never blocks: what a request needs of Redis is one call in the pipeline, or
 * one question to the aide. What a request may cost is bounded so. Not thread-safe. */
#ifndef MOSTRO_RESPONDER_H
#define MOSTRO_RESPONDER_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct aide;
struct exchange;
struct registry_pipeline;
struct responder;
struct settings;
struct stats;

/* What a responder works with; all must outlive it. To check settings `pipeline` and `aide` may be
 * NULL: such a responder answers nothing. */
struct responder_parts {
    const struct settings *settings;
    struct stats *stats;
    struct registry_pipeline *pipeline;
    struct registry_pipeline *registrar; /* for registers and unregisters; may be the same one */
    struct aide *aide;
    size_t waiting_max; /* requests that may wait for a Redis that is away */
};

/* NULL, with lines on `errors`, when the server's key is not valid, the whitelist cannot be read,
 * or memory runs out. */
struct responder *responder_new(const struct responder_parts *parts, FILE *errors);
void responder_free(struct responder **responder);

/* Takes an exchange whose request, size and `answered` are set and whose response is cleared. Calls
 * `answered` when the response is whole: before it returns, or from registry_pipeline_*(),
 * aide_serve(), or one of the following. */
void responder_answer(struct responder *responder, struct exchange *exchange);

/* Looks after the requests that wait for a Redis that is away (patience.h): to be called in each
 * turn, before registry_pipeline_send(). Returns the milliseconds until it is next needed, or -1.
 */
int responder_tend(struct responder *responder, int64_t now_ms);

/* The client of a request that is not answered yet has left: it waits no longer. */
void responder_give_up(struct exchange *exchange);

#endif
