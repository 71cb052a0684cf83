/* redis_report: logs the state of the Redis that a process uses, through any number of connections:
 * one line when it becomes unusable, one when it is usable again, and one a minute where only an
 * operator can change that. Thread-safe. */
#ifndef MOSTRO_REDIS_REPORT_H
#define MOSTRO_REDIS_REPORT_H

#include <stdbool.h>
#include <stdint.h>

/* A connection could not be made, or has ended, for this reason. `where` is the server's address;
 * `now_ms` is clock_monotonic_ms(). */
void redis_report_down(const char *where, const char *why, bool refused, int64_t now_ms);

/* A connection was made, and the server may be used. */
void redis_report_up(void);

#endif
