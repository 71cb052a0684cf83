/* event_budget: how many distinct events are taken from one relay: so many a second, and
 * EVENT_BUDGET_BURST_S seconds' worth at once.
 *
 * Each event that is handed on takes Redis's memory for a while, whoever it is for. Over its budget
 * a relay is not read, so that nothing is dropped: what it has to say waits in its socket, and then
 * with the relay. Pure: the time is given, in milliseconds of clock_monotonic_ms(). */
#ifndef MOSTRO_EVENT_BUDGET_H
#define MOSTRO_EVENT_BUDGET_H

#include <stdint.h>

#define EVENT_BUDGET_BURST_S 10
#define EVENT_BUDGET_PAUSE_MS \
    100 /* at least, unless one event takes longer: not a pause for each */

struct event_budget {
    int64_t interval_us; /* 0: no limit */
    int64_t spent_us;    /* GCRA: when all that was spent has been refilled */
};

/* `per_second` 0: no limit. */
void event_budget_init(struct event_budget *budget, int64_t per_second);

void event_budget_spend(struct event_budget *budget, int64_t now_ms);

/* How long nothing more is to be read; 0 while there is room for an event. */
int64_t event_budget_pause_ms(const struct event_budget *budget, int64_t now_ms);

#endif
