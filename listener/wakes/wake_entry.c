#include "wake_entry.h"

#include <stdbool.h>

void wake_entries_append(struct wake_entries *list, struct wake_entry *entry)
{
    entry->next = NULL;
    if (list->last != NULL)
        list->last->next = entry;
    else
        list->first = entry;
    list->last = entry;
}

struct wake_entry *wake_entries_shift(struct wake_entries *list)
{
    struct wake_entry *entry = list->first;

    if (entry != NULL && (list->first = entry->next) == NULL)
        list->last = NULL;
    return entry;
}

int64_t wake_entry_life_ms(const struct wake_entry *entry)
{
    return entry->via == WAKE_VIA_NOTIFY ? WAKE_LIFE_NOTIFY_MS : WAKE_LIFE_RELAY_MS;
}

/* Whether a push for `a` alone is as good as one for both, now and whenever it will succeed. */
static bool stands_for(const struct wake_entry *a, const struct wake_entry *b)
{
    return (a->via == WAKE_VIA_RELAY || b->via != WAKE_VIA_RELAY) && a->tries <= b->tries &&
           a->due_ms + wake_entry_life_ms(a) >= b->due_ms + wake_entry_life_ms(b);
}

unsigned wake_entries_join(struct wake_entries *waiting, struct wake_entry *entry,
                           int64_t due_by_ms, struct wake_entries *done)
{
    struct wake_entries all = *waiting;
    bool due = entry->due_ms <= due_by_ms;
    struct wake_entry *old;
    unsigned merged = 0;

    for (old = all.first; old != NULL && due; old = old->next) {
        if (old->due_ms <= due_by_ms && stands_for(old, entry)) {
            wake_entries_append(done, entry);
            return 1;
        }
    }
    *waiting = (struct wake_entries){0};
    while ((old = wake_entries_shift(&all)) != NULL) {
        bool replaced = due && old->due_ms <= due_by_ms && stands_for(entry, old);

        wake_entries_append(replaced ? done : waiting, old);
        merged += replaced;
    }
    wake_entries_append(waiting, entry);
    return merged;
}
