#include "event_budget.h"

#define US_PER_MS 1000
#define US_PER_S  1000000

void event_budget_init(struct event_budget *budget, int64_t per_second)
{
    budget->interval_us = per_second > 0 ? US_PER_S / per_second : 0;
    budget->spent_us = 0;
}

void event_budget_spend(struct event_budget *budget, int64_t now_ms)
{
    int64_t now_us = now_ms * US_PER_MS;

    if (budget->spent_us < now_us)
        budget->spent_us = now_us;
    budget->spent_us += budget->interval_us;
}

int64_t event_budget_pause_ms(const struct event_budget *budget, int64_t now_ms)
{
    int64_t burst_us = EVENT_BUDGET_BURST_S * (int64_t)US_PER_S;
    /* Until there is room for one more. */
    int64_t left_us =
        budget->spent_us + budget->interval_us - burst_us - now_ms * (int64_t)US_PER_MS;
    int64_t left_ms = (left_us + US_PER_MS - 1) / US_PER_MS;

    if (budget->interval_us == 0 || left_us <= 0)
        return 0;
    return left_ms > EVENT_BUDGET_PAUSE_MS ? left_ms : EVENT_BUDGET_PAUSE_MS;
}
