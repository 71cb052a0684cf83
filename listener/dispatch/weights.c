#include "weights.h"

#include <stdlib.h>
#include <string.h>

#include "base/due_heap.h"
#include "base/hash_table.h"
#include "base/must.h"

TAILQ_HEAD(members, weight);

struct weight_group {
    struct hash_table_item item; /* by name; first */
    struct due_item place;       /* the earliest is the heaviest */
    size_t amount;
    struct members members;
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
    TAILQ_INIT(&group->members);
    hash_table_add(weights->groups, &group->item);
    return group;
}

static void change(struct weights *weights, struct weight *weight, size_t amount)
{
    struct weight_group *group = weight->group;

    group->amount += amount - weight->amount;
    weights->total += amount - weight->amount;
    weight->amount = amount;
    due_heap_remove(&weights->heaviest, &group->place);
    due_heap_add(&weights->heaviest, &group->place, -(int64_t)group->amount);
}

static void take_out(struct weights *weights, struct weight *weight)
{
    struct weight_group *group = weight->group;

    if (group == NULL)
        return;
    change(weights, weight, 0);
    TAILQ_REMOVE(&group->members, weight, next);
    weight->group = NULL;
    if (TAILQ_EMPTY(&group->members)) {
        due_heap_remove(&weights->heaviest, &group->place);
        hash_table_remove(weights->groups, &group->item);
        free(group);
    }
}

bool weights_set(struct weights *weights, struct weight *weight, const char *name, size_t amount)
{
    struct weight_group *group;

    if (amount == 0) {
        take_out(weights, weight);
        return true;
    }
    if (weight->group == NULL || strcmp(weight->group->name, name) != 0) {
        group = (struct weight_group *)hash_table_find(weights->groups, name);
        if (group == NULL && (group = group_new(weights, name)) == NULL)
            return false;
        take_out(weights, weight);
        weight->group = group;
        TAILQ_INSERT_TAIL(&group->members, weight, next);
    }
    change(weights, weight, amount);
    return true;
}

struct weight *weights_heaviest(const struct weights *weights)
{
    const struct due_item *first = due_heap_first(&weights->heaviest);
    const struct weight_group *group;

    if (first == NULL)
        return NULL;
    group =
        (const struct weight_group *)((const char *)first - offsetof(struct weight_group, place));
    return TAILQ_FIRST(&group->members);
}
