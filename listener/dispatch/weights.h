/* weights: which group has the most of something that is limited.
 *
 * Weights belong to groups, one a network of strangers' hosts. Where something must go, the
 * heaviest group loses it, so that a stranger who fills the shared room fills only his own part of
 * it. Pure but for memory. Not thread-safe. */
#ifndef MOSTRO_WEIGHTS_H
#define MOSTRO_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct weights;
struct weight_group;

/* Embedded in its owner's record. Zero-initialised it weighs nothing. */
struct weight {
    struct weight_group *group; /* NULL where it weighs nothing */
    size_t amount;
    TAILQ_ENTRY(weight) next;
};

/* NULL when out of memory. */
struct weights *weights_new(void);

/* Sets all weights to nothing. */
void weights_free(struct weights **weights);

/* Of all of them. */
size_t weights_total(const struct weights *weights);

/* What it weighs from now on, in the group of this name. Within its group it keeps its place as
 * long as it weighs something there. False, and nothing changed, when out of memory: never where it
 * weighs nothing then, or is in that group already. */
bool weights_set(struct weights *weights, struct weight *weight, const char *group, size_t amount);

/* The weight that has been in the heaviest group longest; NULL: nothing weighs. */
struct weight *weights_heaviest(const struct weights *weights);

#endif
