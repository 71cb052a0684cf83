/* weights: who has the most of something that there may be too much of.
 *
 * Weights belong to groups, one a network that strangers' hosts are in. Where something must go, it
 * is the heaviest group that loses it, so that whoever fills what all share has filled his own
 * part. Pure but for memory. Not thread-safe. */
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

/* Nothing weighs anything any more. */
void weights_free(struct weights **weights);

/* Of all of them. */
size_t weights_total(const struct weights *weights);

/* What it weighs from now on, in the group of this name. Within its group it keeps its place as
 * long as it weighs something there. False, and nothing changed, when out of memory: never where it
 * weighs nothing then, or is in that group already. */
bool weights_set(struct weights *weights, struct weight *weight, const char *group, size_t amount);

/* The one of the heaviest group that has been there longest; NULL: nothing weighs. */
struct weight *weights_heaviest(const struct weights *weights);

#endif
