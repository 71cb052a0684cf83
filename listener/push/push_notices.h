/* push_notices: tells operators of distributors whose pushes fail, once a host and hour.
 *
 * A line holds the host's name, redacted (see log_redact()), the trouble in our own words, the
 * status, and an error's number in the answer; nothing else of a URL or an answer.
 *
 * Strangers choose the hosts, so at most PUSH_NOTICES_MAX lines are written within an hour. Then
 * one more line says so, and a further host is not named until the hour of an earlier one is over.
 * Times are milliseconds of clock_monotonic_ms(). Not thread-safe. */
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

/* A push to this host (a name without a port) has failed with this answer. An address that
 * address_check refused is logged as an information, because the host's owner is to blame, not this
 * server. */
void push_notices_failed(struct push_notices *notices, const char *host,
                         const struct http_answer *answer, int64_t now_ms);

/* The `errno` of an error in JSON as autopush writes it, which says more than the status; -1 where
 * there is none, or it is no integer from 0 to 9999. Pure. */
int push_notices_errno(const struct http_answer *answer);

#endif
