/* push_notices: what operators are told of distributors whose pushes fail, once a host and hour.
 *
 * A line holds the host's name, redacted (see log_redact()), what is the matter in words of our
 * own, the status, and the number of an error that the answer names; nothing else of a URL or an
 * answer.
 *
 * Strangers choose the hosts, so at most PUSH_NOTICES_MAX lines come of them within an hour: then
 * one more line says so, and a host that has not been named by then is not named until the hour of
 * one that has is over. Times are milliseconds of clock_monotonic_ms(). Not thread-safe. */
#ifndef MOSTRO_PUSH_NOTICES_H
#define MOSTRO_PUSH_NOTICES_H

#include <stdint.h>

#include "http_client.h"

#define PUSH_NOTICES_MAX      1000
#define PUSH_NOTICES_EVERY_MS 3600000

struct push_notices;

/* NULL when out of memory. */
struct push_notices *push_notices_new(void);
void push_notices_free(struct push_notices **notices);

/* A push to this host (a name without a port) has failed like this. An address that address_check
 * refused is told of apart, as an information: the host's owner is to blame, not this server. */
void push_notices_failed(struct push_notices *notices, const char *host,
                         const struct http_answer *answer, int64_t now_ms);

/* The `errno` of an error in JSON as autopush writes it, which says more than the status; -1 where
 * there is none, or it is no integer from 0 to 9999. Pure. */
int push_notices_errno(const struct http_answer *answer);

#endif
