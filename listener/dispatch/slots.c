#include "slots.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash_table.h"
#include "base/must.h"

#define PROVEN_SHARE 4 /* a group of proven hosts has at most one in so many of their slots */

TAILQ_HEAD(parties, slots_party);

/* A group, as far as one class is concerned. */
struct part {
    unsigned taken;
    bool is_ready;         /* among its class's ready ones: somebody asks, and there is room */
    struct parties asking; /* in turn */
    TAILQ_ENTRY(part) next_ready;
};
TAILQ_HEAD(parts, part);

struct slots_group {
    struct hash_table_item item; /* by name; first */
    size_t members;
    struct part parts[SLOTS_CLASSES];
    char name[];
};

struct slots {
    struct hash_table *groups;
    struct {
        unsigned taken, most, group_most;
        struct parts ready; /* in turn */
    } classes[SLOTS_CLASSES];
};

struct slots *slots_new(unsigned most, unsigned least_proven)
{
    struct slots *slots = calloc(1, sizeof *slots);
    unsigned proven = most / 2, group_proven;

    MUST(most > 0);
    if (slots == NULL)
        return NULL;
    slots->groups = hash_table_new();
    if (slots->groups == NULL) {
        free(slots);
        return NULL;
    }
    if (proven == 0)
        proven = 1;
    group_proven = proven / PROVEN_SHARE;
    slots->classes[SLOTS_PROVEN].most = proven;
    slots->classes[SLOTS_PROVEN].group_most =
        group_proven > least_proven ? group_proven : least_proven;
    slots->classes[SLOTS_NEWCOMERS].most = most - most / 2;
    slots->classes[SLOTS_NEWCOMERS].group_most = SLOTS_GROUP_NEWCOMERS;
    for (unsigned i = 0; i < SLOTS_CLASSES; i++)
        TAILQ_INIT(&slots->classes[i].ready);
    return slots;
}

void slots_free(struct slots **slots)
{
    if (*slots == NULL)
        return;
    MUST(hash_table_count((*slots)->groups) == 0);
    hash_table_free(&(*slots)->groups);
    free(*slots);
    *slots = NULL;
}

/* ---- Groups ---------------------------------------------------------------------------------- */

static struct slots_group *group_new(struct slots *slots, const char *name)
{
    size_t size = strlen(name) + 1;
    struct slots_group *group = calloc(1, sizeof *group + size);

    if (group == NULL)
        return NULL;
    memcpy(group->name, name, size);
    group->item.key = group->name;
    for (unsigned i = 0; i < SLOTS_CLASSES; i++)
        TAILQ_INIT(&group->parts[i].asking);
    hash_table_add(slots->groups, &group->item);
    return group;
}

static void group_free(struct slots *slots, struct slots_group *group)
{
    hash_table_remove(slots->groups, &group->item);
    free(group);
}

/* Has a group wait for its turn among its class's, or no more. */
static void sort_part(struct slots *slots, struct slots_group *group, enum slots_class in)
{
    struct part *part = &group->parts[in];
    bool ready = !TAILQ_EMPTY(&part->asking) && part->taken < slots->classes[in].group_most;

    if (ready && !part->is_ready)
        TAILQ_INSERT_TAIL(&slots->classes[in].ready, part, next_ready);
    else if (!ready && part->is_ready)
        TAILQ_REMOVE(&slots->classes[in].ready, part, next_ready);
    part->is_ready = ready;
}

/* ---- Parties --------------------------------------------------------------------------------- */

/* Out of its group, which is gone if it was the last. */
static void take_out(struct slots *slots, struct slots_party *party)
{
    struct slots_group *group = party->group;

    if (group == NULL)
        return;
    slots_ask_no_more(slots, party);
    group->parts[party->in].taken -= party->taken;
    slots->classes[party->in].taken -= party->taken;
    sort_part(slots, group, party->in);
    party->group = NULL;
    if (--group->members == 0)
        group_free(slots, group);
}

bool slots_join(struct slots *slots, struct slots_party *party, enum slots_class in,
                const char *name)
{
    struct slots_group *group = (struct slots_group *)hash_table_find(slots->groups, name);

    if (group == NULL && (group = group_new(slots, name)) == NULL)
        return false;
    group->members++;
    take_out(slots, party);
    party->group = group;
    party->in = in;
    group->parts[in].taken += party->taken;
    slots->classes[in].taken += party->taken;
    sort_part(slots, group, in);
    return true;
}

void slots_part(struct slots *slots, struct slots_party *party)
{
    MUST(party->taken == 0);
    take_out(slots, party);
}

/* ---- Slots ----------------------------------------------------------------------------------- */

static void take(struct slots *slots, struct slots_party *party)
{
    party->taken++;
    party->group->parts[party->in].taken++;
    slots->classes[party->in].taken++;
    sort_part(slots, party->group, party->in);
}

bool slots_take(struct slots *slots, struct slots_party *party)
{
    if (slots->classes[party->in].taken >= slots->classes[party->in].most ||
        party->group->parts[party->in].taken >= slots->classes[party->in].group_most)
        return false;
    take(slots, party);
    return true;
}

void slots_give(struct slots *slots, struct slots_party *party)
{
    MUST(party->taken > 0);
    party->taken--;
    party->group->parts[party->in].taken--;
    slots->classes[party->in].taken--;
    sort_part(slots, party->group, party->in);
}

void slots_ask(struct slots *slots, struct slots_party *party)
{
    if (party->asks)
        return;
    party->asks = true;
    TAILQ_INSERT_TAIL(&party->group->parts[party->in].asking, party, next);
    sort_part(slots, party->group, party->in);
}

void slots_ask_no_more(struct slots *slots, struct slots_party *party)
{
    if (!party->asks)
        return;
    party->asks = false;
    TAILQ_REMOVE(&party->group->parts[party->in].asking, party, next);
    sort_part(slots, party->group, party->in);
}

struct slots_party *slots_next(struct slots *slots)
{
    for (unsigned i = 0; i < SLOTS_CLASSES; i++) {
        struct part *part = TAILQ_FIRST(&slots->classes[i].ready);
        struct slots_party *party;

        if (part == NULL || slots->classes[i].taken >= slots->classes[i].most)
            continue;
        /* Behind the others, if it is ready once more. */
        TAILQ_REMOVE(&slots->classes[i].ready, part, next_ready);
        part->is_ready = false;
        party = TAILQ_FIRST(&part->asking);
        slots_ask_no_more(slots, party);
        take(slots, party);
        return party;
    }
    return NULL;
}
