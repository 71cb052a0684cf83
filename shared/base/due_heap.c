#include "due_heap.h"

#include <stdlib.h>

#include "must.h"

#define FIRST_SIZE 4 /* there are many with one item or two */

void due_heap_clear(struct due_heap *heap)
{
    free(heap->items);
    *heap = (struct due_heap){0};
}

bool due_heap_reserve(struct due_heap *heap, size_t count)
{
    size_t size = heap->size > 0 ? heap->size : FIRST_SIZE;
    struct due_item **items;

    if (count <= heap->size)
        return true;
    while (size < count)
        size *= 2;
    items = realloc(heap->items, size * sizeof(struct due_item *));
    if (items == NULL)
        return false;
    heap->items = items;
    heap->size = size;
    return true;
}

static bool earlier(const struct due_item *a, const struct due_item *b)
{
    return a->ready_ms < b->ready_ms || (a->ready_ms == b->ready_ms && a->turn < b->turn);
}

static void put(struct due_heap *heap, size_t at, struct due_item *item)
{
    heap->items[at] = item;
    item->place = at + 1;
}

/* Moves `item` from the free place `at` to where it belongs. */
static void settle(struct due_heap *heap, size_t at, struct due_item *item)
{
    for (; at > 0 && earlier(item, heap->items[(at - 1) / 2]); at = (at - 1) / 2)
        put(heap, at, heap->items[(at - 1) / 2]);
    for (size_t child; (child = 2 * at + 1) < heap->count; at = child) {
        if (child + 1 < heap->count && earlier(heap->items[child + 1], heap->items[child]))
            child++;
        if (!earlier(heap->items[child], item))
            break;
        put(heap, at, heap->items[child]);
    }
    put(heap, at, item);
}

void due_heap_add(struct due_heap *heap, struct due_item *item, int64_t ready_ms)
{
    MUST(item->place == 0 && heap->count < heap->size);
    item->ready_ms = ready_ms;
    item->turn = heap->turns++;
    heap->count++;
    settle(heap, heap->count - 1, item);
}

void due_heap_remove(struct due_heap *heap, struct due_item *item)
{
    size_t at = item->place - 1;
    struct due_item *last;

    if (item->place == 0)
        return;
    MUST(at < heap->count && heap->items[at] == item);
    item->place = 0;
    last = heap->items[--heap->count];
    if (last != item)
        settle(heap, at, last);
}

struct due_item *due_heap_first(const struct due_heap *heap)
{
    return heap->count > 0 ? heap->items[0] : NULL;
}
