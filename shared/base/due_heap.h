/* due_heap: things that wait for a time, the earliest first; equal times are first in, first out.
 *
 * Records embed a struct due_item and own themselves; the heap only points to them. The owner
 * chooses the unit of time. Not thread-safe. */
#ifndef MOSTRO_DUE_HEAP_H
#define MOSTRO_DUE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct due_item {
    int64_t ready_ms;
    uint64_t turn; /* among those of the same ready_ms */
    size_t place;  /* from 1; 0, as in a zero-initialised item: it is in no heap */
};

/* Zero-initialised is empty. */
struct due_heap {
    struct due_item **items;
    size_t count, size;
    uint64_t turns;
};

/* Frees the heap's own memory. */
void due_heap_clear(struct due_heap *heap);

/* Makes room for `count` items in all, so that due_heap_add() cannot fail. */
bool due_heap_reserve(struct due_heap *heap, size_t count) __attribute__((warn_unused_result));

/* Adds an item that is in no heap. There must be room for it. */
void due_heap_add(struct due_heap *heap, struct due_item *item, int64_t ready_ms);

/* Removes an item. Nothing happens where it is in no heap. */
void due_heap_remove(struct due_heap *heap, struct due_item *item);

/* NULL when empty. */
struct due_item *due_heap_first(const struct due_heap *heap);

#endif
