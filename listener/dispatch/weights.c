#include "weights.h"

#include <stdlib.h>
#include <string.h>

#include "base/due_heap.h"
#include "base/hash_table.h"
#include "base/must.h"

struct weight_group {
    struct hash_table_item item; /* by name; first */
    struct due_item place;       /* the earliest is the heaviest */
    size_t amount;
    struct due_heap members; /* the heaviest first */
    char name[];
};

struct weights {
    struct hash_table *groups;
    struct due_heap heaviest; /* all of them */
    size_t total;
};

struct weights *weights_new(void)
{
    struct weights *weights = calloc(1, sizeof *weights);

    if (weights == NULL || (weights->groups = hash_table_new()) == NULL) {
        free(weights);
        return NULL;
    }
    return weights;
}

void weights_free(struct weights **weights)
{
    if (*weights == NULL)
        return;
    MUST((*weights)->total == 0);
    hash_table_free(&(*weights)->groups);
    due_heap_clear(&(*weights)->heaviest);
    free(*weights);
    *weights = NULL;
}

size_t weights_total(const struct weights *weights)
{
    return weights->total;
}

static struct weight_group *group_new(struct weights *weights, const char *name)
{
    size_t size = strlen(name) + 1;
    struct weight_group *group;

    if (!due_heap_reserve(&weights->heaviest, hash_table_count(weights->groups) + 1) ||
        (group = calloc(1, sizeof *group + size)) == NULL)
        return NULL;
    memcpy(group->name, name, size);
    group->item.key = group->name;
    hash_table_add(weights->groups, &group->item);
    return group;
}

/* One without members goes. */
static void settle(struct weights *weights, struct weight_group *group)
{
    due_heap_remove(&weights->heaviest, &group->place);
    if (group->members.count > 0) {
        due_heap_add(&weights->heaviest, &group->place, -(int64_t)group->amount);
        return;
    }
    due_heap_clear(&group->members);
    hash_table_remove(weights->groups, &group->item);
    free(group);
}

/* The weight is in a group that has room for it. */
static void change(struct weights *weights, struct weight *weight, size_t amount)
{
    struct weight_group *group = weight->group;

    group->amount += amount - weight->amount;
    weights->total += amount - weight->amount;
    weight->amount = amount;
    due_heap_remove(&group->members, &weight->place);
    if (amount > 0)
        due_heap_add(&group->members, &weight->place, -(int64_t)amount);
    else
        weight->group = NULL;
    settle(weights, group);
}

bool weights_set(struct weights *weights, struct weight *weight, const char *name, size_t amount)
{
    struct weight_group *group = weight->group;

    if (amount > 0 && (group == NULL || strcmp(group->name, name) != 0)) {
        group = (struct weight_group *)hash_table_find(weights->groups, name);
        if (group == NULL && (group = group_new(weights, name)) == NULL)
            return false;
        if (!due_heap_reserve(&group->members, group->members.count + 1)) {
            settle(weights, group);
            return false;
        }
        (void)weights_set(weights, weight, "", 0);
        weight->group = group;
    }
    if (amount != weight->amount)
        change(weights, weight, amount);
    return true;
}

#define OF(type, member, pointer) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct weight *weights_heaviest(const struct weights *weights)
{
    struct due_item *first = due_heap_first(&weights->heaviest);

    if (first == NULL)
        return NULL;
    return OF(struct weight, place,
              due_heap_first(&OF(struct weight_group, place, first)->members));
}
