#include "wake_queue.h"

#include <openssl/crypto.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/due_heap.h"
#include "base/hash_table.h"
#include "base/must.h"
#include "notify_delay.h"
#include "wake_entry.h"

enum target_state {
    TARGET_WAITING, /* in the heap */
    TARGET_LINED_UP,
    TARGET_TAKEN,
    TARGET_BEGUN
};

struct wake_target {
    struct hash_table_item item; /* by pubkey; first */
    struct wake_target *next;
    struct trade_pubkey key;
    enum target_state state;
    unsigned lane;
    struct wake_entries waiting;
    struct wake_entries begun; /* what the push in flight covers */
    struct due_item due;
    int64_t retry_ms;
    int64_t begun_ms;  /* when the push in flight, or the last one, began */
    int64_t before_ms; /* the one before, where that failed; else the same */
    unsigned failures; /* in a row, a try spent or not */
    bool once_more;
};

struct lane {
    struct wake_list lined_up;
    bool stopped; /* since then, and before for so long in all */
    int64_t since_ms;
    int64_t total_ms;
};

struct wake_queue {
    size_t max;
    size_t done_count;
    unsigned lease; /* how often its wakes were disowned */
    wake_random_fn *random;
    struct hash_table *entries, *targets;
    struct due_heap heap; /* the targets that are not due yet */
    struct wake_entries done;
    unsigned lane_count;
    struct lane lanes[];
};

/* ---- Lists ----------------------------------------------------------------------------------- */

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

/* Puts a target where it waits until the earliest of its wakes, and its retry, are due. */
static void wait_until_due(struct wake_queue *queue, struct wake_target *target)
{
    int64_t due = INT64_MAX;

    for (const struct wake_entry *entry = target->waiting.first; entry != NULL; entry = entry->next)
        due = entry->due_ms < due ? entry->due_ms : due;
    target->state = TARGET_WAITING;
    due_heap_add(&queue->heap, &target->due, due > target->retry_ms ? due : target->retry_ms);
}

/* Lines up a target that waits nowhere. */
static void line_up(struct wake_queue *queue, struct wake_target *target, unsigned lane)
{
    MUST(lane < queue->lane_count);
    target->state = TARGET_LINED_UP;
    target->lane = lane;
    wake_list_append(&queue->lanes[lane].lined_up, target);
}

static size_t entry_size(const struct wake_queue *queue)
{
    return sizeof(struct wake_entry) + queue->lane_count * sizeof(int64_t);
}

static const struct lane *lane_of(const struct wake_queue *queue, unsigned lane)
{
    MUST(lane < queue->lane_count);
    return &queue->lanes[lane];
}

/* ---- The queue ------------------------------------------------------------------------------- */

struct wake_queue *wake_queue_new(size_t max, unsigned lanes, wake_random_fn *random)
{
    struct wake_queue *queue = calloc(1, sizeof *queue + lanes * sizeof queue->lanes[0]);

    if (queue == NULL)
        return NULL;
    queue->max = max;
    queue->lane_count = lanes;
    queue->random = random;
    queue->entries = hash_table_new();
    queue->targets = hash_table_new();
    if (queue->entries == NULL || queue->targets == NULL)
        wake_queue_free(&queue);
    return queue;
}

static void free_records(struct hash_table **table, size_t size)
{
    struct hash_table_item *item;

    while (*table != NULL && (item = hash_table_any(*table)) != NULL) {
        hash_table_remove(*table, item);
        OPENSSL_cleanse(item, size);
        free(item);
    }
    hash_table_free(table);
}

void wake_queue_free(struct wake_queue **queue)
{
    if (*queue == NULL)
        return;
    free_records(&(*queue)->entries, entry_size(*queue));
    free_records(&(*queue)->targets, sizeof(struct wake_target));
    due_heap_clear(&(*queue)->heap);
    free(*queue);
    *queue = NULL;
}

static struct wake_target *target_new(struct wake_queue *queue, const struct trade_pubkey *key)
{
    struct wake_target *target;

    if (!due_heap_reserve(&queue->heap, hash_table_count(queue->targets) + 1) ||
        (target = calloc(1, sizeof *target)) == NULL)
        return NULL;
    target->key = *key;
    target->item.key = target->key.hex;
    target->retry_ms = INT64_MIN;
    hash_table_add(queue->targets, &target->item);
    return target;
}

static void target_free(struct wake_queue *queue, struct wake_target *target)
{
    hash_table_remove(queue->targets, &target->item);
    OPENSSL_cleanse(target, sizeof *target);
    free(target);
}

static int64_t stopped_for(const struct wake_queue *queue, unsigned number, int64_t now_ms)
{
    const struct lane *lane = lane_of(queue, number);

    return lane->total_ms + (lane->stopped ? now_ms - lane->since_ms : 0);
}

static struct wake_entry *entry_new(struct wake_queue *queue, const struct wake *wake,
                                    int64_t due_ms, int64_t now_ms)
{
    struct wake_entry *entry = calloc(1, entry_size(queue));

    if (entry == NULL)
        return NULL;
    memcpy(entry->id, wake->id, sizeof entry->id);
    entry->item.key = entry->id;
    entry->via = wake->via;
    entry->due_ms = due_ms;
    entry->lease = queue->lease;
    for (unsigned lane = 0; lane < queue->lane_count; lane++)
        entry->stopped_ms[lane] = stopped_for(queue, lane, now_ms);
    return entry;
}

static void entry_free(struct wake_queue *queue, struct wake_entry *entry)
{
    hash_table_remove(queue->entries, &entry->item);
    OPENSSL_cleanse(entry, entry_size(queue));
    free(entry);
}

/* Forgets those of a target's waiting wakes that were disowned and not added again. */
static void shed_disowned(struct wake_queue *queue, struct wake_target *target)
{
    struct wake_entries all = target->waiting;
    struct wake_entry *entry;

    target->waiting = (struct wake_entries){0};
    while ((entry = wake_entries_shift(&all)) != NULL) {
        if (entry->lease == queue->lease)
            wake_entries_append(&target->waiting, entry);
        else
            entry_free(queue, entry);
    }
}

/* Until when wakes count as due where this one is to be merged with them. A notify that only waits
 * its delay merges with others that do: the one that is due later stands for both. */
static int64_t merged_by_ms(const struct wake *wake, int64_t now_ms)
{
    bool is_deferred = wake->not_before_ms - wake->queued_ms > 1;

    return now_ms +
           (wake->via == WAKE_VIA_NOTIFY && !is_deferred ? NOTIFY_DELAY_MOST_MS : WAKE_SOON_MS);
}

enum wake_added wake_queue_add(struct wake_queue *queue, const struct wake *wake, int64_t due_ms,
                               int64_t now_ms, unsigned *merged)
{
    struct wake_target *target;
    struct wake_entry *entry = (struct wake_entry *)hash_table_find(queue->entries, wake->id);

    *merged = 0;
    if (entry != NULL) {
        entry->lease = queue->lease;
        return WAKE_KNOWN;
    }
    if (wake_queue_room(queue) == 0 || (entry = entry_new(queue, wake, due_ms, now_ms)) == NULL)
        return WAKE_FULL;
    target = (struct wake_target *)hash_table_find(queue->targets, wake->key.hex);
    if (target == NULL && (target = target_new(queue, &wake->key)) == NULL) {
        free(entry);
        return WAKE_FULL;
    }
    shed_disowned(queue, target);
    hash_table_add(queue->entries, &entry->item);
    *merged = wake_entries_join(&target->waiting, entry, merged_by_ms(wake, now_ms), &queue->done);
    queue->done_count += *merged;
    if (target->state == TARGET_WAITING) {
        due_heap_remove(&queue->heap, &target->due);
        wait_until_due(queue, target);
    }
    return WAKE_ADDED;
}

size_t wake_queue_room(const struct wake_queue *queue)
{
    size_t held = hash_table_count(queue->entries);

    return held < queue->max ? queue->max - held : 0;
}

size_t wake_queue_backlog(const struct wake_queue *queue)
{
    return hash_table_count(queue->entries) - queue->done_count;
}

void wake_queue_stop_clock(struct wake_queue *queue, unsigned lane, bool stopped, int64_t now_ms)
{
    int64_t total_ms = stopped_for(queue, lane, now_ms);

    queue->lanes[lane].total_ms = total_ms;
    queue->lanes[lane].since_ms = now_ms;
    queue->lanes[lane].stopped = stopped;
}

/* ---- Turns ----------------------------------------------------------------------------------- */

int64_t wake_queue_next_ms(const struct wake_queue *queue)
{
    const struct due_item *first = due_heap_first(&queue->heap);

    return first != NULL ? first->ready_ms : INT64_MAX;
}

bool wake_queue_waiting(const struct wake_queue *queue, unsigned lane)
{
    return lane_of(queue, lane)->lined_up.first != NULL;
}

static struct wake_target *target_of(struct due_item *item)
{
    return (struct wake_target *)((char *)item - offsetof(struct wake_target, due));
}

size_t wake_queue_take(struct wake_queue *queue, unsigned lane, int64_t now_ms,
                       struct wake_target **targets, size_t max)
{
    size_t n = 0;

    while (wake_queue_next_ms(queue) <= now_ms) {
        struct due_item *item = due_heap_first(&queue->heap);
        struct wake_target *due = target_of(item);

        MUST(due->state == TARGET_WAITING);
        due_heap_remove(&queue->heap, item);
        line_up(queue, due, due->lane);
    }
    while (n < max && (targets[n] = wake_list_shift(&queue->lanes[lane].lined_up)) != NULL) {
        MUST(targets[n]->state == TARGET_LINED_UP);
        targets[n++]->state = TARGET_TAKEN;
    }
    return n;
}

int64_t wake_target_failing_ms(const struct wake_target *target)
{
    MUST(target->state == TARGET_BEGUN);
    return target->before_ms;
}

const struct trade_pubkey *wake_target_key(const struct wake_target *target)
{
    return &target->key;
}

enum push_kind wake_target_kind(const struct wake_target *target)
{
    for (const struct wake_entry *entry = target->waiting.first; entry != NULL; entry = entry->next)
        if (entry->via == WAKE_VIA_RELAY)
            return PUSH_VISIBLE;
    return PUSH_SILENT;
}

unsigned wake_target_lane(const struct wake_target *target)
{
    return target->lane;
}

void wake_queue_put_back(struct wake_queue *queue, struct wake_target *target, unsigned lane)
{
    MUST(target->state == TARGET_TAKEN);
    line_up(queue, target, lane);
}

void wake_queue_postpone(struct wake_queue *queue, struct wake_target *target, unsigned lane,
                         int64_t until_ms)
{
    MUST(target->state == TARGET_TAKEN && lane < queue->lane_count);
    target->lane = lane;
    if (target->retry_ms < until_ms)
        target->retry_ms = until_ms;
    wait_until_due(queue, target);
}

static void put_done(struct wake_queue *queue, struct wake_entry *entry)
{
    wake_entries_append(&queue->done, entry);
    queue->done_count++;
}

/* Moves the target's due wakes to those that a push covers. */
static void cover_due(struct wake_queue *queue, struct wake_target *target, int64_t now_ms)
{
    struct wake_entries all;
    struct wake_entry *entry;

    shed_disowned(queue, target);
    all = target->waiting;
    target->waiting = (struct wake_entries){0};
    while ((entry = wake_entries_shift(&all)) != NULL)
        wake_entries_append(entry->due_ms <= now_ms ? &target->begun : &target->waiting, entry);
}

static bool too_old(const struct wake_queue *queue, const struct wake_entry *entry, unsigned lane,
                    int64_t now_ms)
{
    int64_t stood_still = stopped_for(queue, lane, now_ms) - entry->stopped_ms[lane];

    return now_ms - entry->due_ms - stood_still > wake_entry_life_ms(entry);
}

/* What was covered is dealt with: on to the wakes that came since. */
static void move_on(struct wake_queue *queue, struct wake_target *target)
{
    target->failures = 0;
    target->once_more = false;
    target->retry_ms = INT64_MIN;
    if (target->waiting.first != NULL)
        wait_until_due(queue, target);
    else
        target_free(queue, target);
}

bool wake_queue_begin(struct wake_queue *queue, struct wake_target *target, unsigned lane,
                      int64_t now_ms, enum push_kind *kind, unsigned *expired)
{
    struct wake_entries due;
    struct wake_entry *entry;

    MUST(target->state == TARGET_TAKEN && lane < queue->lane_count);
    *kind = PUSH_SILENT;
    *expired = 0;
    target->lane = lane;
    cover_due(queue, target, now_ms);
    due = target->begun;
    target->begun = (struct wake_entries){0};
    while ((entry = wake_entries_shift(&due)) != NULL) {
        if (too_old(queue, entry, lane, now_ms)) {
            put_done(queue, entry);
            ++*expired;
            continue;
        }
        if (entry->via == WAKE_VIA_RELAY)
            *kind = PUSH_VISIBLE;
        wake_entries_append(&target->begun, entry);
    }
    target->state = TARGET_BEGUN;
    target->before_ms = target->failures > 0 ? target->begun_ms : now_ms;
    target->begun_ms = now_ms;
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

    MUST(target->state == TARGET_TAKEN || target->state == TARGET_BEGUN);
    if (target->state == TARGET_TAKEN)
        cover_due(queue, target, now_ms);
    for (; (entry = wake_entries_shift(&target->begun)) != NULL; n++)
        put_done(queue, entry);
    move_on(queue, target);
    return n;
}

/* The begun push had no outcome: its wakes wait again. False: none is left, nor the target. */
static bool uncover(struct wake_queue *queue, struct wake_target *target)
{
    struct wake_entry *entry;

    MUST(target->state == TARGET_BEGUN);
    while ((entry = wake_entries_shift(&target->begun)) != NULL)
        wake_entries_append(&target->waiting, entry);
    shed_disowned(queue, target);
    if (target->waiting.first == NULL) {
        target_free(queue, target);
        return false;
    }
    wait_until_due(queue, target);
    return true;
}

/* Each wake of the push has spent a try; returns how many are done with for want of another. */
static unsigned spend_tries(struct wake_queue *queue, struct wake_target *target)
{
    struct wake_entries all = target->begun;
    struct wake_entry *entry;
    unsigned n = 0;

    target->begun = (struct wake_entries){0};
    while ((entry = wake_entries_shift(&all)) != NULL) {
        if (++entry->tries < PUSH_TRIES_MAX) {
            wake_entries_append(&target->begun, entry);
            continue;
        }
        put_done(queue, entry);
        n++;
    }
    return n;
}

/* Before this failure is counted. */
static int64_t retry_most_ms(const struct wake_target *target, bool spent_try)
{
    static const struct backoff waits = {WAKE_RETRY_LEAST_MS, WAKE_RETRY_MOST_MS, 0};
    unsigned tries = 0;

    for (const struct wake_entry *entry = target->begun.first; entry != NULL; entry = entry->next)
        tries = entry->tries > tries ? entry->tries : tries;
    if (spent_try)
        return push_retry_most_ms(tries);
    return backoff_ms(&waits, target->failures + 1, 0);
}

bool wake_queue_retry(struct wake_queue *queue, struct wake_target *target, int64_t now_ms,
                      bool spends_try, int64_t retry_after_ms, unsigned *given_up)
{
    int64_t wait;

    MUST(target->state == TARGET_BEGUN);
    *given_up = spends_try ? spend_tries(queue, target) : 0;
    if (target->begun.first == NULL) {
        move_on(queue, target);
        return false;
    }
    wait = (int64_t)queue->random((uint64_t)retry_most_ms(target, spends_try));
    target->failures++;
    if (retry_after_ms > WAKE_RETRY_AFTER_MAX_MS)
        retry_after_ms = WAKE_RETRY_AFTER_MAX_MS;
    target->retry_ms = now_ms + (wait > retry_after_ms ? wait : retry_after_ms);
    return uncover(queue, target);
}

void wake_queue_hold_back(struct wake_queue *queue, struct wake_target *target, int64_t until_ms)
{
    target->retry_ms = until_ms;
    (void)uncover(queue, target);
}

bool wake_queue_once_more(struct wake_queue *queue, struct wake_target *target, int64_t now_ms)
{
    MUST(target->state == TARGET_BEGUN);
    if (target->once_more)
        return false;
    target->once_more = true;
    target->retry_ms = now_ms;
    (void)uncover(queue, target);
    return true;
}

void wake_queue_abandon(struct wake_queue *queue, struct wake_target *target)
{
    (void)uncover(queue, target);
}

static void forget(struct wake_queue *queue, struct wake_target *target)
{
    shed_disowned(queue, target);
    target_free(queue, target);
}

/* Targets that are taken may be anywhere, but they come back. */
void wake_queue_disown(struct wake_queue *queue)
{
    struct due_item *item;
    struct wake_target *target;

    queue->lease++;
    while ((item = due_heap_first(&queue->heap)) != NULL) {
        due_heap_remove(&queue->heap, item);
        forget(queue, target_of(item));
    }
    for (unsigned lane = 0; lane < queue->lane_count; lane++)
        while ((target = wake_list_shift(&queue->lanes[lane].lined_up)) != NULL)
            forget(queue, target);
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

    for (; n > 0; n--) {
        entry = wake_entries_shift(&queue->done);
        MUST(entry != NULL && queue->done_count > 0);
        queue->done_count--;
        entry_free(queue, entry);
    }
}
