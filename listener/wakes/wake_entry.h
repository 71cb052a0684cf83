/* wake_entry: one wake that wake_queue holds, lists of them, and which of them stands for which.
 *
 * Private to wake_queue. Times are milliseconds of clock_monotonic_ms(). */
#ifndef MOSTRO_WAKE_ENTRY_H
#define MOSTRO_WAKE_ENTRY_H

#include <stdint.h>

#include "base/hash_table.h"
#include "registry/registry_wakes.h"
#include "wake_queue.h"

struct wake_entry {
    struct hash_table_item item; /* by id; first, so that an item is its entry */
    struct wake_entry *next;
    char id[WAKE_ID_SIZE];
    enum wake_via via;
    unsigned tries; /* spent */
    unsigned lease; /* the queue's when it was last added */
    int64_t due_ms;
    int64_t stopped_ms[]; /* how long each lane had stood still when it came */
};

/* First in, first out; an entry is in at most one. Zero-initialised is empty. */
struct wake_entries {
    struct wake_entry *first, *last;
};

void wake_entries_append(struct wake_entries *list, struct wake_entry *entry);
struct wake_entry *wake_entries_shift(struct wake_entries *list); /* NULL when empty */

/* For how long after it was due a wake is pushed. */
int64_t wake_entry_life_ms(const struct wake_entry *entry);

/* Has a new wake wait with those of its target, or instead of some of them, or not at all because
 * one of them will do; only what is due by `due_by_ms` stands for another or is replaced. Those
 * that need not wait go to `done`; returns how many. */
unsigned wake_entries_join(struct wake_entries *waiting, struct wake_entry *entry,
                           int64_t due_by_ms, struct wake_entries *done);

#endif
