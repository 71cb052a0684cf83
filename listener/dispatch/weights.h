/* weights: which group has the most of something that is limited.
 *
 * Weights belong to groups, one a network of strangers' hosts. Where something must go, the
 * heaviest of the heaviest group loses it, so that a stranger who fills the shared room fills only
 * his own part of it, and a neighbour who needs less than others there loses nothing. Pure but for
 * memory. Not thread-safe. */
#ifndef MOSTRO_WEIGHTS_H
#define MOSTRO_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/due_heap.h"

struct weights;
struct weight_group;

/* Embedded in its owner's record. Zero-initialised it weighs nothing. */
struct weight {
    struct weight_group *group; /* NULL where it weighs nothing */
    size_t amount;
    struct due_item place;
};

/* NULL when out of memory. */
struct weights *weights_new(void);

/* Sets all weights to nothing. */
void weights_free(struct weights **weights);

/* Of all of them. */
size_t weights_total(const struct weights *weights);

/* What it weighs from now on, in the group of this name. False, and nothing changed, when out of
 * memory: never where it weighs nothing then, or is in that group already. */
bool weights_set(struct weights *weights, struct weight *weight, const char *group, size_t amount);

/* The heaviest of the heaviest group; of equal ones the one that has weighed as much for longest.
 * NULL: nothing weighs. */
struct weight *weights_heaviest(const struct weights *weights);

#endif
