/* slots: shares UnifiedPush's slots among hosts that strangers choose.
 *
 * Half of them are for proven hosts, by their owner's judgement (see hosts.h); the others share the
 * rest. Within each half hosts belong to groups, one a network, and no group may have more than its
 * part. A host that asks in vain has its turn when there is room: the groups in turn, and within
 * each its parties in turn.
 *
 * Pure but for memory: no sockets, no clock. Not thread-safe. */
#ifndef MOSTRO_SLOTS_H
#define MOSTRO_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

enum slots_class { SLOTS_NEWCOMERS, SLOTS_PROVEN, SLOTS_CLASSES };

#define SLOTS_GROUP_NEWCOMERS 4 /* the most for one group of newcomers */

struct slots;
struct slots_group;

/* One host; embedded in its owner's record. Zero-initialised it belongs to no group. */
struct slots_party {
    struct slots_group *group;
    enum slots_class in;
    unsigned taken;
    bool asks;
    TAILQ_ENTRY(slots_party) next;
};

/* `most` slots in all, at least 1; of those for proven hosts a group has at most a quarter, or
 * `least_proven` where that is more. NULL when out of memory. */
struct slots *slots_new(unsigned most, unsigned least_proven);

/* No party belongs to a group any more. */
void slots_free(struct slots **slots);

/* Has a party join a group, which is made where there is none of that name, with what it has taken;
 * it leaves the one it is in. It asks for nothing afterwards. False, and nothing changed, when out
 * of memory. */
bool slots_join(struct slots *slots, struct slots_party *party, enum slots_class in,
                const char *group);

/* A party that has taken nothing. */
void slots_part(struct slots *slots, struct slots_party *party);

/* Takes a slot if there is one for it. */
bool slots_take(struct slots *slots, struct slots_party *party);
void slots_give(struct slots *slots, struct slots_party *party);

/* Asks for a slot in its turn; asking twice counts once. */
void slots_ask(struct slots *slots, struct slots_party *party);
void slots_ask_no_more(struct slots *slots, struct slots_party *party);

/* The next party whose turn has come: it has taken a slot and asks no more. NULL: none. */
struct slots_party *slots_next(struct slots *slots);

#endif
