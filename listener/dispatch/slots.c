#include "slots.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash_table.h"
#include "base/must.h"

/* What asks is ranked by its load and, where that is equal, by its turn. */
#define LOAD ((int64_t)1 << 40)
/* Where loads are equal, a party comes later for each time more that a slot of it counts: so many
 * turns for each slot of the class. */
#define PATIENCE 4

/* A group, as far as one class is concerned. */
struct part {
    unsigned taken, load;
    struct due_heap asking; /* parties, by what they rank; has room for all members */
    struct due_item place;  /* among its class's ready ones: somebody asks, and there is room */
};

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
        int64_t turns;         /* one for each that has asked */
        struct due_heap ready; /* parts, by the first that asks there; has room for all groups */
    } classes[SLOTS_CLASSES];
};

struct slots *slots_new(unsigned most)
{
    struct slots *slots = calloc(1, sizeof *slots);

    MUST(most > 0);
    if (slots == NULL)
        return NULL;
    slots->groups = hash_table_new();
    if (slots->groups == NULL) {
        free(slots);
        return NULL;
    }
    slots->classes[SLOTS_PROVEN].most = most > 1 ? most / 2 : 1;
    slots->classes[SLOTS_PROVEN].group_most = UINT_MAX;
    slots->classes[SLOTS_NEWCOMERS].most = most - most / 2;
    slots->classes[SLOTS_NEWCOMERS].group_most = SLOTS_GROUP_NEWCOMERS;
    return slots;
}

void slots_free(struct slots **slots)
{
    if (*slots == NULL)
        return;
    MUST(hash_table_count((*slots)->groups) == 0);
    hash_table_free(&(*slots)->groups);
    for (unsigned i = 0; i < SLOTS_CLASSES; i++)
        due_heap_clear(&(*slots)->classes[i].ready);
    free(*slots);
    *slots = NULL;
}

/* ---- Groups ---------------------------------------------------------------------------------- */

static struct slots_group *group_new(struct slots *slots, const char *name)
{
    size_t size = strlen(name) + 1, groups = hash_table_count(slots->groups) + 1;
    struct slots_group *group;

    for (unsigned i = 0; i < SLOTS_CLASSES; i++)
        if (!due_heap_reserve(&slots->classes[i].ready, groups))
            return NULL;
    group = calloc(1, sizeof *group + size);
    if (group == NULL)
        return NULL;
    memcpy(group->name, name, size);
    group->item.key = group->name;
    hash_table_add(slots->groups, &group->item);
    return group;
}

static void group_free(struct slots *slots, struct slots_group *group)
{
    for (unsigned i = 0; i < SLOTS_CLASSES; i++)
        due_heap_clear(&group->parts[i].asking);
    hash_table_remove(slots->groups, &group->item);
    free(group);
}

static struct part *part_of(const struct slots_party *party)
{
    return &party->group->parts[party->in];
}

/* Ranks a group's part anew among its class's that are ready. */
static void rank(struct slots *slots, struct part *part, enum slots_class in)
{
    const struct due_item *first = due_heap_first(&part->asking);

    due_heap_remove(&slots->classes[in].ready, &part->place);
    if (first != NULL && part->taken < slots->classes[in].group_most)
        due_heap_add(&slots->classes[in].ready, &part->place, first->ready_ms + part->load * LOAD);
}

/* ---- Parties --------------------------------------------------------------------------------- */

static unsigned load_of(const struct slots_party *party)
{
    return party->taken * (1 + party->slowness);
}

static void line_up(struct slots_party *party)
{
    due_heap_remove(&part_of(party)->asking, &party->place);
    if (party->asks)
        due_heap_add(&part_of(party)->asking, &party->place, party->turn + load_of(party) * LOAD);
}

/* After this it may be changed, and then goes back. */
static void take_off(struct slots *slots, struct slots_party *party)
{
    part_of(party)->taken -= party->taken;
    part_of(party)->load -= load_of(party);
    slots->classes[party->in].taken -= party->taken;
}

static void put_back(struct slots *slots, struct slots_party *party)
{
    part_of(party)->taken += party->taken;
    part_of(party)->load += load_of(party);
    slots->classes[party->in].taken += party->taken;
    line_up(party);
    rank(slots, part_of(party), party->in);
}

/* Out of its group, which is gone if it was the last. */
static void take_out(struct slots *slots, struct slots_party *party)
{
    struct slots_group *group = party->group;

    if (group == NULL)
        return;
    slots_ask_no_more(slots, party);
    take_off(slots, party);
    rank(slots, part_of(party), party->in);
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
    if (!due_heap_reserve(&group->parts[in].asking, group->members + 1)) {
        if (group->members == 0)
            group_free(slots, group);
        return false;
    }
    group->members++;
    take_out(slots, party);
    party->group = group;
    party->in = in;
    put_back(slots, party);
    return true;
}

void slots_part(struct slots *slots, struct slots_party *party)
{
    MUST(party->taken == 0);
    take_out(slots, party);
}

/* ---- Slots ----------------------------------------------------------------------------------- */

static void change(struct slots *slots, struct slots_party *party, unsigned taken,
                   unsigned slowness)
{
    take_off(slots, party);
    party->taken = taken;
    party->slowness = slowness;
    put_back(slots, party);
}

void slots_slow(struct slots *slots, struct slots_party *party, unsigned slowness)
{
    if (slowness != party->slowness)
        change(slots, party, party->taken, slowness);
}

/* Whether there is a slot for who has so much with its group's: see the header. */
static bool has_room(const struct slots *slots, enum slots_class in, int64_t load)
{
    return load < 2 * ((int64_t)slots->classes[in].most - slots->classes[in].taken);
}

bool slots_take(struct slots *slots, struct slots_party *party)
{
    const struct part *part = part_of(party);

    if (part->taken >= slots->classes[party->in].group_most ||
        !has_room(slots, party->in, (int64_t)part->load + load_of(party)))
        return false;
    change(slots, party, party->taken + 1, party->slowness);
    return true;
}

void slots_give(struct slots *slots, struct slots_party *party)
{
    MUST(party->taken > 0);
    change(slots, party, party->taken - 1, party->slowness);
}

void slots_ask(struct slots *slots, struct slots_party *party)
{
    if (party->asks)
        return;
    party->asks = true;
    party->turn = slots->classes[party->in].turns++ +
                  (int64_t)party->slowness * PATIENCE * slots->classes[party->in].most;
    line_up(party);
    rank(slots, part_of(party), party->in);
}

void slots_ask_no_more(struct slots *slots, struct slots_party *party)
{
    if (!party->asks)
        return;
    party->asks = false;
    line_up(party);
    rank(slots, part_of(party), party->in);
}

#define OF(type, member, pointer) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct slots_party *slots_next(struct slots *slots)
{
    for (unsigned i = 0; i < SLOTS_CLASSES; i++) {
        const struct due_item *first = due_heap_first(&slots->classes[i].ready);
        struct slots_party *party;

        if (first == NULL || !has_room(slots, i, first->ready_ms / LOAD))
            continue;
        party =
            OF(struct slots_party, place, due_heap_first(&OF(struct part, place, first)->asking));
        slots_ask_no_more(slots, party);
        change(slots, party, party->taken + 1, party->slowness);
        return party;
    }
    return NULL;
}
