#include "restore.h"

#include <string.h>

#include "base/clock.h"
#include "log/log.h"

struct page {
    struct restore *restore;
    struct wake_queue *queue;
    int64_t now_ms;
};

void restore_begin(struct restore *restore, int64_t since_us, int64_t now_ms)
{
    *restore = (struct restore){.since_us = since_us, .due_ms = now_ms, .cursor = "0"};
}

/* Our clock is read after the answer, so that nothing seems due earlier than it is. */
static void put(const struct wake *wake, int64_t redis_ms, void *arg)
{
    const struct page *page = arg;
    int64_t due = wake->score_ms - redis_ms + clock_monotonic_ms() + RESTORE_LATE_MS;

    if (due > page->now_ms + RESTORE_NO_LATER_MS)
        due = page->now_ms + RESTORE_NO_LATER_MS;
    switch (wake_queue_restore(page->queue, wake, due, page->now_ms)) {
    case WAKE_ADDED:
        page->restore->restored++;
        break;
    case WAKE_KNOWN:
        break;
    case WAKE_NO_MEMORY:
        page->restore->missed = true;
        break;
    }
}

static void end(struct restore *restore, int64_t now_ms)
{
    if (restore->restored > 0)
        log_info("wakes: took over %zu that waited in Redis", restore->restored);
    if (restore->missed)
        restore_begin(restore, restore->since_us, now_ms + RESTORE_MEMORY_MS);
    else
        restore->since_us = 0;
}

enum registry_result restore_run(struct restore *restore, struct registry *registry,
                                 struct wake_queue *queue, int64_t now_ms)
{
    struct page page = {.restore = restore, .queue = queue, .now_ms = now_ms};
    enum registry_result result;

    if (!restore_is_on(restore) || now_ms < restore->due_ms)
        return REGISTRY_OK;
    result = registry_wakes_waiting(registry, restore->since_us, restore->cursor, put, &page);
    if (result == REGISTRY_LAPSED)
        restore->since_us = 0;
    else if (result == REGISTRY_OK && strcmp(restore->cursor, "0") == 0)
        end(restore, now_ms);
    return result;
}
