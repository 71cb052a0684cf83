/* due_heap: things that wait for a time, the earliest first, and first in first out among equals.
 *
 * Records embed a struct due_item and own themselves; the heap only points to them. Times are
 * whatever their owner measures in. Not thread-safe. */
#ifndef MOSTRO_DUE_HEAP_H
#define MOSTRO_DUE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct due_item {
    int64_t ready_ms;
    uint64_t turn; /* among those of the same ready_ms */
    size_t place;  /* from 1; 0: it is in no heap, which a zero-initialised item is not */
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

/* The item is in no heap, and there is room for it. */
void due_heap_add(struct due_heap *heap, struct due_item *item, int64_t ready_ms);

/* Nothing happens where the item is in no heap. */
void due_heap_remove(struct due_heap *heap, struct due_item *item);

/* NULL when empty. */
struct due_item *due_heap_first(const struct due_heap *heap);

#endif
