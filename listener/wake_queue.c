#include "wake_queue.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

#define NOT_IN_HEAP SIZE_MAX

struct wake_entry {
    struct table_item item; /* by id; first, so that an item is its entry */
    struct wake_entry *next;
    char id[WAKE_ID_SIZE];
    enum wake_via via;
    int64_t due_ms;
    int64_t stopped_ms[WAKE_LANES]; /* how long the lanes had stood still when it came */
};

struct entry_list {
    struct wake_entry *first, *last;
};

enum target_state {
    TARGET_WAITING, /* in the heap, until ready_ms */
    TARGET_LINED_UP,
    TARGET_TAKEN,
    TARGET_BEGUN
};

struct wake_target {
    struct table_item item; /* by pubkey; first */
    struct wake_target *next;
    struct trade_pubkey key;
    enum target_state state;
    enum wake_lane lane;
    struct entry_list waiting;
    struct entry_list begun; /* what the push in flight covers */
    int64_t ready_ms;
    int64_t retry_ms;
    uint64_t turn; /* among those of the same ready_ms */
    size_t heap_at;
    unsigned tries;    /* spent */
    unsigned failures; /* in a row, spent or not */
    bool once_more;
};

struct lane_clock {
    bool stopped;
    int64_t since_ms;
    int64_t total_ms;
};

struct wake_queue {
    size_t max;
    size_t done_count;
    wake_random_fn *random;
    struct table *entries, *targets;
    struct wake_target **heap;
    size_t heap_count, heap_size;
    uint64_t turns;
    struct wake_list lined_up[WAKE_LANES];
    struct lane_clock clock[WAKE_LANES];
    struct entry_list done;
};

/* ---- Lists ----------------------------------------------------------------------------------- */

static void entry_append(struct entry_list *list, struct wake_entry *entry)
{
    entry->next = NULL;
    if (list->last != NULL)
        list->last->next = entry;
    else
        list->first = entry;
    list->last = entry;
}

static struct wake_entry *entry_shift(struct entry_list *list)
{
    struct wake_entry *entry = list->first;

    if (entry != NULL && (list->first = entry->next) == NULL)
        list->last = NULL;
    return entry;
}

void wake_list_append(struct wake_list *list, struct wake_target *target)
{
    target->next = NULL;
    if (list->last != NULL)
        list->last->next = target;
    else
        list->first = target;
    list->last = target;
}

struct wake_target *wake_list_shift(struct wake_list *list)
{
    struct wake_target *target = list->first;

    if (target != NULL && (list->first = target->next) == NULL)
        list->last = NULL;
    return target;
}

/* ---- The heap of those that are not due yet -------------------------------------------------- */

static bool earlier(const struct wake_target *a, const struct wake_target *b)
{
    return a->ready_ms < b->ready_ms || (a->ready_ms == b->ready_ms && a->turn < b->turn);
}

static void heap_put(struct wake_queue *queue, size_t at, struct wake_target *target)
{
    queue->heap[at] = target;
    target->heap_at = at;
}

/* Moves `target` from the free place `at` to where it belongs. */
static void heap_settle(struct wake_queue *queue, size_t at, struct wake_target *target)
{
    for (; at > 0 && earlier(target, queue->heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap_put(queue, at, queue->heap[(at - 1) / 2]);
    for (size_t child; (child = 2 * at + 1) < queue->heap_count; at = child) {
        if (child + 1 < queue->heap_count && earlier(queue->heap[child + 1], queue->heap[child]))
            child++;
        if (!earlier(queue->heap[child], target))
            break;
        heap_put(queue, at, queue->heap[child]);
    }
    heap_put(queue, at, target);
}

static void heap_remove(struct wake_queue *queue, struct wake_target *target)
{
    size_t at = target->heap_at;
    struct wake_target *last = queue->heap[--queue->heap_count];

    target->heap_at = NOT_IN_HEAP;
    if (last != target)
        heap_settle(queue, at, last);
}

static bool heap_reserve(struct wake_queue *queue, size_t count)
{
    size_t size = queue->heap_size > 0 ? queue->heap_size : 64;
    struct wake_target **heap;

    if (count <= queue->heap_size)
        return true;
    while (size < count)
        size *= 2;
    heap = realloc(queue->heap, size * sizeof(struct wake_target *));
    if (heap == NULL)
        return false;
    queue->heap = heap;
    queue->heap_size = size;
    return true;
}

/* Puts a target where it waits until the earliest of its wakes, and its retry, are due. */
static void wait_until_due(struct wake_queue *queue, struct wake_target *target)
{
    int64_t due = INT64_MAX;

    for (const struct wake_entry *entry = target->waiting.first; entry != NULL; entry = entry->next)
        due = entry->due_ms < due ? entry->due_ms : due;
    target->ready_ms = due > target->retry_ms ? due : target->retry_ms;
    target->state = TARGET_WAITING;
    target->turn = queue->turns++;
    heap_settle(queue, queue->heap_count++, target);
}

/* ---- The queue ------------------------------------------------------------------------------- */

struct wake_queue *wake_queue_new(size_t max, wake_random_fn *random)
{
    struct wake_queue *queue = calloc(1, sizeof *queue);

    if (queue == NULL)
        return NULL;
    queue->max = max;
    queue->random = random;
    queue->entries = table_new();
    queue->targets = table_new();
    if (queue->entries == NULL || queue->targets == NULL)
        wake_queue_free(&queue);
    return queue;
}

static void free_records(struct table **table, size_t size)
{
    struct table_item *item;

    while (*table != NULL && (item = table_any(*table)) != NULL) {
        table_remove(*table, item);
        OPENSSL_cleanse(item, size);
        free(item);
    }
    table_free(table);
}

void wake_queue_free(struct wake_queue **queue)
{
    if (*queue == NULL)
        return;
    free_records(&(*queue)->entries, sizeof(struct wake_entry));
    free_records(&(*queue)->targets, sizeof(struct wake_target));
    free((*queue)->heap);
    free(*queue);
    *queue = NULL;
}

static struct wake_target *target_new(struct wake_queue *queue, const struct trade_pubkey *key)
{
    struct wake_target *target;

    if (!heap_reserve(queue, table_count(queue->targets) + 1) ||
        (target = calloc(1, sizeof *target)) == NULL)
        return NULL;
    target->key = *key;
    target->item.key = target->key.hex;
    target->retry_ms = INT64_MIN;
    target->heap_at = NOT_IN_HEAP;
    table_add(queue->targets, &target->item);
    return target;
}

static void target_free(struct wake_queue *queue, struct wake_target *target)
{
    table_remove(queue->targets, &target->item);
    OPENSSL_cleanse(target, sizeof *target);
    free(target);
}

static int64_t stopped_for(const struct wake_queue *queue, enum wake_lane lane, int64_t now_ms)
{
    const struct lane_clock *clock = &queue->clock[lane];

    return clock->total_ms + (clock->stopped ? now_ms - clock->since_ms : 0);
}

enum wake_added wake_queue_add(struct wake_queue *queue, const struct wake *wake, int64_t due_ms,
                               int64_t now_ms)
{
    struct wake_target *target;
    struct wake_entry *entry;

    if (table_find(queue->entries, wake->id) != NULL)
        return WAKE_KNOWN;
    if (wake_queue_room(queue) == 0 || (entry = calloc(1, sizeof *entry)) == NULL)
        return WAKE_FULL;
    target = (struct wake_target *)table_find(queue->targets, wake->key.hex);
    if (target == NULL && (target = target_new(queue, &wake->key)) == NULL) {
        free(entry);
        return WAKE_FULL;
    }
    memcpy(entry->id, wake->id, sizeof entry->id);
    entry->item.key = entry->id;
    entry->via = wake->via;
    entry->due_ms = due_ms;
    for (int lane = 0; lane < WAKE_LANES; lane++)
        entry->stopped_ms[lane] = stopped_for(queue, (enum wake_lane)lane, now_ms);
    table_add(queue->entries, &entry->item);
    entry_append(&target->waiting, entry);
    if (target->state == TARGET_WAITING) {
        if (target->heap_at != NOT_IN_HEAP)
            heap_remove(queue, target);
        wait_until_due(queue, target);
    }
    return WAKE_ADDED;
}

size_t wake_queue_room(const struct wake_queue *queue)
{
    size_t held = table_count(queue->entries);

    return held < queue->max ? queue->max - held : 0;
}

size_t wake_queue_backlog(const struct wake_queue *queue)
{
    return table_count(queue->entries) - queue->done_count;
}

void wake_queue_stop_clock(struct wake_queue *queue, enum wake_lane lane, bool stopped,
                           int64_t now_ms)
{
    struct lane_clock *clock = &queue->clock[lane];

    clock->total_ms = stopped_for(queue, lane, now_ms);
    clock->since_ms = now_ms;
    clock->stopped = stopped;
}

/* ---- Turns ----------------------------------------------------------------------------------- */

int64_t wake_queue_next_ms(const struct wake_queue *queue)
{
    return queue->heap_count > 0 ? queue->heap[0]->ready_ms : INT64_MAX;
}

bool wake_queue_waiting(const struct wake_queue *queue, enum wake_lane lane)
{
    return queue->lined_up[lane].first != NULL;
}

size_t wake_queue_take(struct wake_queue *queue, enum wake_lane lane, int64_t now_ms,
                       struct wake_target **targets, size_t max)
{
    size_t n = 0;

    while (wake_queue_next_ms(queue) <= now_ms) {
        struct wake_target *due = queue->heap[0];

        heap_remove(queue, due);
        wake_queue_put_back(queue, due, due->lane);
    }
    while (n < max && (targets[n] = wake_list_shift(&queue->lined_up[lane])) != NULL)
        targets[n++]->state = TARGET_TAKEN;
    return n;
}

const struct trade_pubkey *wake_target_key(const struct wake_target *target)
{
    return &target->key;
}

void wake_queue_put_back(struct wake_queue *queue, struct wake_target *target, enum wake_lane lane)
{
    target->state = TARGET_LINED_UP;
    target->lane = lane;
    wake_list_append(&queue->lined_up[lane], target);
}

void wake_queue_postpone(struct wake_queue *queue, struct wake_target *target, enum wake_lane lane,
                         int64_t until_ms)
{
    target->lane = lane;
    if (target->retry_ms < until_ms)
        target->retry_ms = until_ms;
    wait_until_due(queue, target);
}

static void put_done(struct wake_queue *queue, struct wake_entry *entry)
{
    entry_append(&queue->done, entry);
    queue->done_count++;
}

/* Moves the target's due wakes to those that a push covers. */
static void cover_due(struct wake_target *target, int64_t now_ms)
{
    struct entry_list all = target->waiting;
    struct wake_entry *entry;

    target->waiting = (struct entry_list){0};
    while ((entry = entry_shift(&all)) != NULL)
        entry_append(entry->due_ms <= now_ms ? &target->begun : &target->waiting, entry);
}

static bool too_old(const struct wake_queue *queue, const struct wake_entry *entry,
                    enum wake_lane lane, int64_t now_ms)
{
    int64_t stood_still = stopped_for(queue, lane, now_ms) - entry->stopped_ms[lane];
    int64_t life = entry->via == WAKE_VIA_RELAY ? WAKE_LIFE_RELAY_MS : WAKE_LIFE_NOTIFY_MS;

    return now_ms - entry->due_ms - stood_still > life;
}

/* What was covered is dealt with: on to the wakes that came since, with their tries unspent. */
static void move_on(struct wake_queue *queue, struct wake_target *target)
{
    target->tries = 0;
    target->failures = 0;
    target->once_more = false;
    target->retry_ms = INT64_MIN;
    if (target->waiting.first != NULL)
        wait_until_due(queue, target);
    else
        target_free(queue, target);
}

bool wake_queue_begin(struct wake_queue *queue, struct wake_target *target, enum wake_lane lane,
                      int64_t now_ms, enum push_kind *kind, unsigned *expired)
{
    struct entry_list due;
    struct wake_entry *entry;

    *kind = PUSH_SILENT;
    *expired = 0;
    target->lane = lane;
    cover_due(target, now_ms);
    due = target->begun;
    target->begun = (struct entry_list){0};
    while ((entry = entry_shift(&due)) != NULL) {
        if (too_old(queue, entry, lane, now_ms)) {
            put_done(queue, entry);
            ++*expired;
            continue;
        }
        if (entry->via == WAKE_VIA_RELAY)
            *kind = PUSH_VISIBLE;
        entry_append(&target->begun, entry);
    }
    target->state = TARGET_BEGUN;
    if (target->begun.first == NULL) {
        move_on(queue, target);
        return false;
    }
    return true;
}

unsigned wake_queue_finish(struct wake_queue *queue, struct wake_target *target, int64_t now_ms)
{
    struct wake_entry *entry;
    unsigned n = 0;

    if (target->state != TARGET_BEGUN)
        cover_due(target, now_ms);
    for (; (entry = entry_shift(&target->begun)) != NULL; n++)
        put_done(queue, entry);
    move_on(queue, target);
    return n;
}

static void uncover(struct wake_target *target)
{
    struct wake_entry *entry;

    while ((entry = entry_shift(&target->begun)) != NULL)
        entry_append(&target->waiting, entry);
}

bool wake_queue_retry(struct wake_queue *queue, struct wake_target *target, int64_t now_ms,
                      bool spends_try, int64_t retry_after_ms)
{
    uint64_t most = WAKE_RETRY_LEAST_MS;
    int64_t wait;

    if (spends_try && ++target->tries >= WAKE_TRIES_MAX)
        return false;
    for (unsigned i = 0; i < target->failures && most < WAKE_RETRY_MOST_MS; i++)
        most *= 2;
    target->failures++;
    wait = (int64_t)queue->random(most < WAKE_RETRY_MOST_MS ? most : WAKE_RETRY_MOST_MS);
    if (retry_after_ms > WAKE_RETRY_AFTER_MAX_MS)
        retry_after_ms = WAKE_RETRY_AFTER_MAX_MS;
    uncover(target);
    target->retry_ms = now_ms + (wait > retry_after_ms ? wait : retry_after_ms);
    wait_until_due(queue, target);
    return true;
}

bool wake_queue_once_more(struct wake_queue *queue, struct wake_target *target, int64_t now_ms)
{
    if (target->once_more)
        return false;
    target->once_more = true;
    uncover(target);
    target->retry_ms = now_ms;
    wait_until_due(queue, target);
    return true;
}

void wake_queue_abandon(struct wake_queue *queue, struct wake_target *target)
{
    uncover(target);
    wait_until_due(queue, target);
}

/* ---- What is done with ----------------------------------------------------------------------- */

size_t wake_queue_done(const struct wake_queue *queue, const char **ids, size_t max)
{
    size_t n = 0;

    for (const struct wake_entry *entry = queue->done.first; entry != NULL && n < max;
         entry = entry->next)
        ids[n++] = entry->id;
    return n;
}

void wake_queue_acknowledged(struct wake_queue *queue, size_t n)
{
    struct wake_entry *entry;

    for (; n > 0 && (entry = entry_shift(&queue->done)) != NULL; n--) {
        queue->done_count--;
        table_remove(queue->entries, &entry->item);
        OPENSSL_cleanse(entry, sizeof *entry);
        free(entry);
    }
}
