/* wake_entry: what is known of the wakes of one kind of one pubkey: one member of the sorted set
 * `waiting:<listener>`, of which this is the process's own copy.
 *
 * Private to wake_queue. There are at most two times at which such an entry is due: a deferred wake
 * is not pushed early, and one that is due already is not held up by it. All others that come join
 * one of the two. Times are milliseconds of clock_monotonic_ms(); scores are Redis's (see struct
 * wake). */
#ifndef MOSTRO_WAKE_ENTRY_H
#define MOSTRO_WAKE_ENTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "registry/registry_wakes.h"

enum wake_entry_place {
    ENTRY_NOWHERE, /* a push covers it */
    ENTRY_WAITS,   /* in the list of its kind, the oldest first */
    ENTRY_DONE     /* among those of which Redis is to be told */
};

/* Many may wait for long: 72 bytes. */
struct wake_entry {
    TAILQ_ENTRY(wake_entry) next;
    struct wake_target *target;
    int64_t first_ms, last_ms; /* when what waits is due; the same for one wake; see below */
    union {
        int64_t begun_ms;  /* when the newest that the push in flight covers was due */
        int64_t delivered; /* ENTRY_DONE: see struct wake_done */
    };
    int64_t score;   /* Redis's */
    int64_t covered; /* the score up to which that push covers it, or it is done with */
    uint8_t via, place;
    uint8_t begun;  /* how many wakes the push in flight covers */
    uint8_t extra;  /* and how many more than are told apart it will cover then */
    uint8_t tries;  /* spent */
    uint16_t lease; /* the queue's when it was last added */
};
TAILQ_HEAD(wake_entries, wake_entry);

/* For an entry of which nothing waits. */
#define WAKE_ENTRY_NEVER INT64_MAX

static inline bool wake_entry_waits(const struct wake_entry *entry)
{
    return entry->first_ms != WAKE_ENTRY_NEVER;
}

/* For how long after it was due a wake is pushed. */
int64_t wake_entry_life_ms(const struct wake_entry *entry);

/* Nothing waits any more. */
void wake_entry_clear(struct wake_entry *entry);

/* How many wakes wait. */
unsigned wake_entry_count(const struct wake_entry *entry);

/* Has one more wake wait; what is due by `due_by_ms` counts as due. Returns how many need not wait
 * any more (0 or 1), because another stands for them. */
unsigned wake_entry_join(struct wake_entry *entry, int64_t due_ms, int64_t due_by_ms);

/* Takes out what is due by then: how many wakes that are, and when the newest was due. */
unsigned wake_entry_take_due(struct wake_entry *entry, int64_t due_by_ms, int64_t *newest_ms);

#endif
