/* redis_report: what the log is told of the Redis that a process uses, through however many
 * connections: one line when it cannot be used, one when it can again, and where only an operator
 * can change that, one a minute. Thread-safe. */
#ifndef MOSTRO_REDIS_REPORT_H
#define MOSTRO_REDIS_REPORT_H

#include <stdbool.h>
#include <stdint.h>

/* A connection could not be made, or has ended, for this reason; `where` is the server's address.
 * `now_ms` is clock_monotonic_ms(). */
void redis_report_down(const char *where, const char *why, bool refused, int64_t now_ms);

/* A connection was made, and the server may be used. */
void redis_report_up(void);

#endif
