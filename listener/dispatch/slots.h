/* slots: shares UnifiedPush's slots among hosts that strangers choose.
 *
 * Half of them are for proven hosts, by their owner's judgement (see hosts.h); the others share the
 * rest. Within each half hosts belong to groups, one a network.
 *
 * Nobody can tell for how long a stranger's host will keep a slot. So nobody takes more than is
 * left then: a party may have one more slot while its own slots and those of its group are on
 * average fewer than the class has free. Alone it may have half of them; where K groups take all
 * that they can, a K + 1st part stays free, and whoever has nothing finds a slot at once. Each slot
 * of a party that is known to keep it for long counts several times: of 100 slots, five groups
 * whose slots count four times take 56, and twenty of them 84.
 *
 * A party that asks in vain has its turn when there is room: those first that have least with their
 * group, then those that ask longest, where slow ones stand further behind.
 *
 * Pure but for memory: no sockets, no clock. Not thread-safe. */
#ifndef MOSTRO_SLOTS_H
#define MOSTRO_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/due_heap.h"

enum slots_class { SLOTS_NEWCOMERS, SLOTS_PROVEN, SLOTS_CLASSES };

#define SLOTS_GROUP_NEWCOMERS 4 /* the most for one group of newcomers */

struct slots;
struct slots_group;

/* One host; embedded in its owner's record. Zero-initialised it belongs to no group. */
struct slots_party {
    struct slots_group *group;
    enum slots_class in;
    unsigned taken;
    unsigned slowness; /* a slot of it counts once, and so many times more */
    bool asks;
    int64_t turn; /* while it does */
    struct due_item place;
};

/* `most` slots in all, at least 1. NULL when out of memory. */
struct slots *slots_new(unsigned most);

/* No party belongs to a group any more. */
void slots_free(struct slots **slots);

/* Has a party join a group, which is made where there is none of that name, with what it has taken;
 * it leaves the one it is in. It asks for nothing afterwards. False, and nothing changed, when out
 * of memory. */
bool slots_join(struct slots *slots, struct slots_party *party, enum slots_class in,
                const char *group);

/* A party that has taken nothing. */
void slots_part(struct slots *slots, struct slots_party *party);

/* A slot of this party counts so many times more from now on. */
void slots_slow(struct slots *slots, struct slots_party *party, unsigned slowness);

/* Takes a slot if there is one for it. */
bool slots_take(struct slots *slots, struct slots_party *party);
void slots_give(struct slots *slots, struct slots_party *party);

/* Asks for a slot in its turn; asking twice counts once. */
void slots_ask(struct slots *slots, struct slots_party *party);
void slots_ask_no_more(struct slots *slots, struct slots_party *party);

/* The next party whose turn has come: it has taken a slot and asks no more. NULL: none. */
struct slots_party *slots_next(struct slots *slots);

#endif
