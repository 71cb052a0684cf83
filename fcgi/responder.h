/* responder: answers one request at a time.
 *
 * Knows no FastCGI: exchange.c makes the request and writes the response. What a request may cost
 * is bounded: one or two commands to Redis, BODY_MAX bytes of body. Not thread-safe. */
#ifndef MOSTRO_RESPONDER_H
#define MOSTRO_RESPONDER_H

#include <stdbool.h>
#include <stdio.h>

struct request;
struct responder;
struct response;
struct settings;

/* `settings` must outlive it. NULL, with lines on `errors`, when the server's key is not valid, the
 * whitelist cannot be read, or memory runs out. */
struct responder *responder_new(const struct settings *settings, FILE *errors);
void responder_free(struct responder **responder);

/* Call before the first request: looks whether Redis may be used, and loads our library. */
void responder_begin(struct responder *responder);

/* Fills `response` (cleared by the caller before and after). */
void responder_answer(struct responder *responder, const struct request *request,
                      struct response *response);

/* Call once a second while requests come, and once after the last: flushes the counters, and reads
 * the key of the address hashes again, so that all programs agree on it even after Redis has lost
 * its data. */
void responder_tick(struct responder *responder);

/* Whether a tick has work to do even without requests. */
bool responder_wants_tick(const struct responder *responder);

#endif
