#include "wake_entry.h"

#include <stddef.h>

#include "wake_queue.h"

_Static_assert(sizeof(struct wake_entry) <= 72, "many wait for long");

int64_t wake_entry_life_ms(const struct wake_entry *entry)
{
    return entry->via == WAKE_VIA_NOTIFY ? WAKE_LIFE_NOTIFY_MS : WAKE_LIFE_RELAY_MS;
}

void wake_entry_clear(struct wake_entry *entry)
{
    entry->first_ms = WAKE_ENTRY_NEVER;
    entry->last_ms = WAKE_ENTRY_NEVER;
    entry->extra = 0;
}

unsigned wake_entry_count(const struct wake_entry *entry)
{
    if (!wake_entry_waits(entry))
        return 0;
    return (entry->first_ms < entry->last_ms ? 2U : 1U) + entry->extra;
}

/* Of those that are due the newest stands for all, as it lives longest; of deferred ones the one
 * that is due last, as it may not be early: but the first, too, where none is due. */
unsigned wake_entry_join(struct wake_entry *entry, int64_t due_ms, int64_t due_by_ms)
{
    const int64_t times[] = {wake_entry_waits(entry) ? entry->first_ms : due_ms,
                             wake_entry_waits(entry) ? entry->last_ms : due_ms, due_ms};
    int64_t due = INT64_MIN, first = INT64_MAX, last = INT64_MIN;
    unsigned before = wake_entry_count(entry);

    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        if (times[i] <= due_by_ms) {
            due = times[i] > due ? times[i] : due;
        } else {
            first = times[i] < first ? times[i] : first;
            last = times[i] > last ? times[i] : last;
        }
    }
    entry->first_ms = due > INT64_MIN ? due : first;
    entry->last_ms = last > INT64_MIN ? last : due;
    return before + 1 - wake_entry_count(entry);
}

unsigned wake_entry_take_due(struct wake_entry *entry, int64_t due_by_ms, int64_t *newest_ms)
{
    unsigned n;

    if (!wake_entry_waits(entry) || entry->first_ms > due_by_ms)
        return 0;
    if (entry->last_ms > due_by_ms) {
        n = 1 + entry->extra;
        *newest_ms = entry->first_ms;
        entry->first_ms = entry->last_ms;
        entry->extra = 0;
        return n;
    }
    n = wake_entry_count(entry);
    *newest_ms = entry->last_ms;
    wake_entry_clear(entry);
    return n;
}
