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
#include "pauses.h"
#include "wake_entry.h"

#define KINDS (WAKE_VIA_RELAY + 1)

enum target_state {
    TARGET_WAITING, /* in the heap */
    TARGET_LINED_UP,
    TARGET_TAKEN,
    TARGET_BEGUN,
    TARGET_DONE /* nothing waits: Redis is to be told of what is done with */
};

/* Many may wait for long: 168 bytes. */
struct wake_target {
    struct hash_table_item item; /* by pubkey; first */
    struct trade_pubkey key;
    uint8_t state; /* enum target_state */
    bool once_more;
    uint16_t failures; /* in a row, a try spent or not */
    uint16_t lane;
    struct wake_entry *entries[KINDS]; /* NULL: none of this kind */
    union {
        struct due_item due; /* TARGET_WAITING */
        struct {
            struct wake_target *next, *before; /* in a list */
        };
    };
    int64_t retry_ms;
    int64_t begun_ms;  /* when the push in flight, or the last one, began */
    int64_t before_ms; /* the one before, where that failed; else the same */
};

_Static_assert(sizeof(struct wake_target) <= 168, "many wait for long");

struct wake_queue {
    size_t max;
    size_t entry_count, done_count;
    unsigned dropped;
    uint16_t lease; /* how often its wakes were disowned */
    random_up_to_fn *random;
    const struct pauses *pauses; /* NULL: none */
    struct hash_table *targets;
    struct due_heap heap;             /* the targets that are not due yet */
    struct wake_entries waits[KINDS]; /* whatever their targets' states */
    struct wake_entries done;
    unsigned lane_count;
    struct wake_list lanes[];
};

/* ---- Lists ----------------------------------------------------------------------------------- */

void wake_list_append(struct wake_list *list, struct wake_target *target)
{
    target->next = NULL;
    target->before = list->last;
    if (list->last != NULL)
        list->last->next = target;
    else
        list->first = target;
    list->last = target;
}

static void unlink_target(struct wake_list *list, struct wake_target *target)
{
    if (target->before != NULL)
        target->before->next = target->next;
    else
        list->first = target->next;
    if (target->next != NULL)
        target->next->before = target->before;
    else
        list->last = target->before;
    memset(&target->due, 0, sizeof target->due);
}

struct wake_target *wake_list_shift(struct wake_list *list)
{
    struct wake_target *target = list->first;

    if (target != NULL)
        unlink_target(list, target);
    return target;
}

static struct wake_list *lane_of(struct wake_queue *queue, unsigned lane)
{
    MUST(lane < queue->lane_count);
    return &queue->lanes[lane];
}

/* Lines up a target that waits nowhere. */
static void line_up(struct wake_queue *queue, struct wake_target *target, unsigned lane)
{
    wake_list_append(lane_of(queue, lane), target);
    target->state = TARGET_LINED_UP;
    target->lane = (uint16_t)lane;
}

/* ---- Entries --------------------------------------------------------------------------------- */

static struct wake_entry *entry_new(struct wake_queue *queue, struct wake_target *target,
                                    enum wake_via via)
{
    struct wake_entry *entry = calloc(1, sizeof *entry);

    if (entry == NULL)
        return NULL;
    entry->target = target;
    entry->via = (uint8_t)via;
    entry->place = ENTRY_NOWHERE;
    wake_entry_clear(entry);
    target->entries[via] = entry;
    queue->entry_count++;
    return entry;
}

static void pick_up(struct wake_queue *queue, struct wake_entry *entry)
{
    if (entry->place == ENTRY_WAITS) {
        TAILQ_REMOVE(&queue->waits[entry->via], entry, next);
    } else if (entry->place == ENTRY_DONE) {
        TAILQ_REMOVE(&queue->done, entry, next);
        queue->done_count--;
    }
    entry->place = ENTRY_NOWHERE;
}

static void entry_free(struct wake_queue *queue, struct wake_entry *entry)
{
    pick_up(queue, entry);
    entry->target->entries[entry->via] = NULL;
    queue->entry_count--;
    free(entry);
}

static void put_waiting(struct wake_queue *queue, struct wake_entry *entry)
{
    pick_up(queue, entry);
    entry->place = ENTRY_WAITS;
    TAILQ_INSERT_TAIL(&queue->waits[entry->via], entry, next);
}

/* What came up to this score is done with; if nothing more waits, the whole entry is. */
static void put_done(struct wake_queue *queue, struct wake_entry *entry, int64_t covered)
{
    pick_up(queue, entry);
    entry->begun = 0;
    entry->tries = 0;
    if (wake_entry_waits(entry)) {
        put_waiting(queue, entry);
        return;
    }
    entry->covered = covered;
    entry->delivered = WAKE_NOT_DELIVERED;
    entry->place = ENTRY_DONE;
    TAILQ_INSERT_TAIL(&queue->done, entry, next);
    queue->done_count++;
}

/* What waits and was disowned, and not added again, is forgotten. */
static void shed_disowned(struct wake_queue *queue, struct wake_target *target)
{
    for (unsigned via = 0; via < KINDS; via++) {
        struct wake_entry *entry = target->entries[via];

        if (entry == NULL || entry->lease == queue->lease || entry->place == ENTRY_DONE)
            continue;
        wake_entry_clear(entry);
        entry->score = entry->covered;
        if (entry->begun == 0)
            entry_free(queue, entry);
    }
}

/* ---- Targets --------------------------------------------------------------------------------- */

static struct wake_target *target_new(struct wake_queue *queue, const struct trade_pubkey *key)
{
    struct wake_target *target;

    if (!due_heap_reserve(&queue->heap, hash_table_count(queue->targets) + 1) ||
        (target = calloc(1, sizeof *target)) == NULL)
        return NULL;
    target->key = *key;
    target->item.key = target->key.hex;
    target->state = TARGET_DONE;
    target->retry_ms = INT64_MIN;
    hash_table_add(queue->targets, &target->item);
    return target;
}

/* When the earliest of its wakes is due; WAKE_ENTRY_NEVER where none waits. */
static int64_t earliest_ms(const struct wake_target *target)
{
    int64_t due = WAKE_ENTRY_NEVER;

    for (unsigned via = 0; via < KINDS; via++) {
        const struct wake_entry *entry = target->entries[via];

        if (entry != NULL && entry->first_ms < due)
            due = entry->first_ms;
    }
    return due;
}

/* Frees a target that is in no list, unless it has an entry left. */
static void leave(struct wake_queue *queue, struct wake_target *target)
{
    target->state = TARGET_DONE;
    target->lane = WAKE_LANE_UNKNOWN;
    target->failures = 0;
    target->once_more = false;
    target->retry_ms = INT64_MIN;
    for (unsigned via = 0; via < KINDS; via++) {
        if (target->entries[via] != NULL)
            return;
    }
    hash_table_remove(queue->targets, &target->item);
    OPENSSL_cleanse(target, sizeof *target);
    free(target);
}

/* Puts a target that is in no list where it waits until the earliest of its wakes, and its retry,
 * are due. False: nothing waits. */
static bool wait_until_due(struct wake_queue *queue, struct wake_target *target)
{
    int64_t due = earliest_ms(target);

    if (due == WAKE_ENTRY_NEVER) {
        leave(queue, target);
        return false;
    }
    target->state = TARGET_WAITING;
    memset(&target->due, 0, sizeof target->due);
    due_heap_add(&queue->heap, &target->due, due > target->retry_ms ? due : target->retry_ms);
    return true;
}

/* Takes a target out of where it waits here; one that is taken is elsewhere, and comes back. */
static void settle(struct wake_queue *queue, struct wake_target *target)
{
    if (target->state == TARGET_WAITING)
        due_heap_remove(&queue->heap, &target->due);
    else if (target->state == TARGET_LINED_UP)
        unlink_target(lane_of(queue, target->lane), target);
    else if (target->state != TARGET_DONE)
        return;
    (void)wait_until_due(queue, target);
}

/* ---- The queue ------------------------------------------------------------------------------- */

struct wake_queue *wake_queue_new(size_t max, unsigned lanes, random_up_to_fn *random)
{
    struct wake_queue *queue = calloc(1, sizeof *queue + lanes * sizeof queue->lanes[0]);

    if (queue == NULL)
        return NULL;
    queue->max = max;
    queue->lane_count = lanes;
    queue->random = random;
    for (unsigned via = 0; via < KINDS; via++)
        TAILQ_INIT(&queue->waits[via]);
    TAILQ_INIT(&queue->done);
    queue->targets = hash_table_new();
    if (queue->targets == NULL)
        wake_queue_free(&queue);
    return queue;
}

void wake_queue_follow(struct wake_queue *queue, const struct pauses *pauses)
{
    queue->pauses = pauses;
}

void wake_queue_free(struct wake_queue **queue)
{
    struct hash_table_item *item;

    if (*queue == NULL)
        return;
    while ((*queue)->targets != NULL && (item = hash_table_any((*queue)->targets)) != NULL) {
        struct wake_target *target = (struct wake_target *)item;

        for (unsigned via = 0; via < KINDS; via++)
            free(target->entries[via]);
        hash_table_remove((*queue)->targets, item);
        OPENSSL_cleanse(target, sizeof *target);
        free(target);
    }
    hash_table_free(&(*queue)->targets);
    due_heap_clear(&(*queue)->heap);
    free(*queue);
    *queue = NULL;
}

/* The entry of this wake's kind and pubkey, or NULL when out of memory. */
static struct wake_entry *entry_of(struct wake_queue *queue, const struct wake *wake)
{
    struct wake_target *target =
        (struct wake_target *)hash_table_find(queue->targets, wake->key.hex);
    struct wake_entry *entry;

    MUST(wake->via < KINDS);
    if (target == NULL && (target = target_new(queue, &wake->key)) == NULL)
        return NULL;
    shed_disowned(queue, target);
    entry = target->entries[wake->via];
    if (entry == NULL && (entry = entry_new(queue, target, wake->via)) == NULL &&
        target->state == TARGET_DONE)
        leave(queue, target);
    return entry;
}

/* An entry's wakes that wait are done with, unpushed. Returns how many. */
static unsigned drop(struct wake_queue *queue, struct wake_entry *entry)
{
    struct wake_target *target = entry->target;
    unsigned n = wake_entry_count(entry);

    wake_entry_clear(entry);
    put_done(queue, entry, entry->score);
    settle(queue, target);
    return n;
}

/* The kinds are in the order in which they are missed least. */
static void make_room(struct wake_queue *queue)
{
    for (unsigned via = 0; via < KINDS; via++) {
        struct wake_entry *oldest;

        while (wake_queue_backlog(queue) > queue->max &&
               (oldest = TAILQ_FIRST(&queue->waits[via])) != NULL)
            queue->dropped += drop(queue, oldest);
    }
}

/* By when a wake counts as due where it joins others. A notify that only waits its delay joins
 * others that do: the one that is due later stands for both. */
static int64_t due_by_ms(const struct wake *wake, int64_t now_ms)
{
    bool is_deferred = wake->not_before_ms - wake->queued_ms > 1;

    return now_ms +
           (wake->via == WAKE_VIA_NOTIFY && !is_deferred ? NOTIFY_DELAY_MOST_MS : WAKE_SOON_MS);
}

/* One more wake of this entry. What is still to be told of an end before it is not told: in Redis
 * it has a higher score by now. */
static unsigned join(struct wake_queue *queue, struct wake_entry *entry, const struct wake *wake,
                     int64_t due_ms, int64_t now_ms)
{
    unsigned merged = wake_entry_join(entry, due_ms, due_by_ms(wake, now_ms));

    entry->lease = queue->lease;
    if (entry->begun == 0)
        entry->tries = 0;
    if (entry->score < wake->score_ms || entry->place == ENTRY_DONE)
        entry->score = wake->score_ms;
    if (entry->place == ENTRY_DONE || (entry->place == ENTRY_NOWHERE && entry->begun == 0))
        put_waiting(queue, entry);
    if (entry->target->state != TARGET_LINED_UP)
        settle(queue, entry->target);
    make_room(queue);
    return merged;
}

enum wake_added wake_queue_add(struct wake_queue *queue, const struct wake *wake, int64_t due_ms,
                               int64_t now_ms, unsigned *merged)
{
    struct wake_entry *entry = entry_of(queue, wake);

    *merged = 0;
    if (entry == NULL)
        return WAKE_NO_MEMORY;
    *merged = join(queue, entry, wake, due_ms, now_ms);
    return WAKE_ADDED;
}

enum wake_added wake_queue_restore(struct wake_queue *queue, const struct wake *wake,
                                   int64_t due_ms, int64_t now_ms)
{
    struct wake_target *target =
        (struct wake_target *)hash_table_find(queue->targets, wake->key.hex);
    struct wake_entry *entry = target != NULL ? target->entries[wake->via] : NULL;
    unsigned merged;

    if (entry != NULL &&
        wake->score_ms <= (entry->place == ENTRY_DONE ? entry->covered : entry->score)) {
        entry->lease = queue->lease;
        return WAKE_KNOWN;
    }
    return wake_queue_add(queue, wake, due_ms, now_ms, &merged);
}

unsigned wake_queue_dropped(struct wake_queue *queue)
{
    unsigned dropped = queue->dropped;

    queue->dropped = 0;
    return dropped;
}

size_t wake_queue_backlog(const struct wake_queue *queue)
{
    return queue->entry_count - queue->done_count;
}

/* ---- Turns ----------------------------------------------------------------------------------- */

int64_t wake_queue_next_ms(const struct wake_queue *queue)
{
    const struct due_item *first = due_heap_first(&queue->heap);

    return first != NULL ? first->ready_ms : INT64_MAX;
}

bool wake_queue_waiting(const struct wake_queue *queue, unsigned lane)
{
    MUST(lane < queue->lane_count);
    return queue->lanes[lane].first != NULL;
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
    while (n < max && (targets[n] = wake_list_shift(lane_of(queue, lane))) != NULL) {
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

int64_t wake_target_event_due_ms(const struct wake_target *target)
{
    static const enum wake_via of_events[] = {WAKE_VIA_QUIET, WAKE_VIA_RELAY};
    int64_t due_ms = INT64_MAX;

    MUST(target->state == TARGET_BEGUN);
    for (size_t i = 0; i < sizeof of_events / sizeof of_events[0]; i++) {
        const struct wake_entry *entry = target->entries[of_events[i]];

        if (entry != NULL && entry->begun > 0 && entry->begun_ms < due_ms)
            due_ms = entry->begun_ms;
    }
    return due_ms;
}

const struct trade_pubkey *wake_target_key(const struct wake_target *target)
{
    return &target->key;
}

enum push_kind wake_target_kind(const struct wake_target *target)
{
    const struct wake_entry *visible = target->entries[WAKE_VIA_RELAY];

    return visible != NULL && wake_entry_waits(visible) ? PUSH_VISIBLE : PUSH_SILENT;
}

unsigned wake_target_lane(const struct wake_target *target)
{
    return target->lane;
}

void wake_queue_put_back(struct wake_queue *queue, struct wake_target *target, unsigned lane)
{
    MUST(target->state == TARGET_TAKEN && lane < queue->lane_count);
    if (earliest_ms(target) == WAKE_ENTRY_NEVER)
        leave(queue, target);
    else
        line_up(queue, target, lane);
}

void wake_queue_postpone(struct wake_queue *queue, struct wake_target *target, unsigned lane,
                         int64_t until_ms)
{
    MUST(target->state == TARGET_TAKEN && lane < queue->lane_count);
    target->lane = (uint16_t)lane;
    if (target->retry_ms < until_ms)
        target->retry_ms = until_ms;
    (void)wait_until_due(queue, target);
}

static bool is_too_old(const struct wake_queue *queue, const struct wake_entry *entry,
                       int64_t due_ms, int64_t now_ms)
{
    int64_t held_ms = queue->pauses != NULL ? pauses_between(queue->pauses, due_ms, now_ms) : 0;

    return now_ms - due_ms - held_ms > wake_entry_life_ms(entry);
}

/* Has a push cover an entry's wakes that are due. Returns how many; if they are too old, none, and
 * `*expired` more. */
static unsigned cover(struct wake_queue *queue, struct wake_entry *entry, int64_t now_ms,
                      unsigned *expired)
{
    int64_t newest_ms = 0;
    unsigned n = wake_entry_take_due(entry, now_ms + WAKE_SOON_MS, &newest_ms);

    if (n == 0)
        return 0;
    if (expired != NULL && is_too_old(queue, entry, newest_ms, now_ms)) {
        put_done(queue, entry, entry->score);
        *expired += n;
        return 0;
    }
    pick_up(queue, entry);
    entry->begun = (uint8_t)(n < UINT8_MAX ? n : UINT8_MAX);
    entry->begun_ms = newest_ms;
    entry->covered = entry->score;
    return n;
}

/* All of a target's that are due. */
static unsigned cover_due(struct wake_queue *queue, struct wake_target *target, int64_t now_ms,
                          enum push_kind *kind, unsigned *expired)
{
    unsigned n = 0;

    *kind = PUSH_SILENT;
    shed_disowned(queue, target);
    for (unsigned via = 0; via < KINDS; via++) {
        struct wake_entry *entry = target->entries[via];
        unsigned covered = entry != NULL ? cover(queue, entry, now_ms, expired) : 0;

        if (covered > 0 && via == WAKE_VIA_RELAY)
            *kind = PUSH_VISIBLE;
        n += covered;
    }
    return n;
}

/* What was covered is dealt with: on to the wakes that came since. */
static void move_on(struct wake_queue *queue, struct wake_target *target)
{
    target->failures = 0;
    target->once_more = false;
    target->retry_ms = INT64_MIN;
    (void)wait_until_due(queue, target);
}

bool wake_queue_begin(struct wake_queue *queue, struct wake_target *target, unsigned lane,
                      int64_t now_ms, enum push_kind *kind, unsigned *expired)
{
    unsigned n;

    MUST(target->state == TARGET_TAKEN && lane < queue->lane_count);
    *expired = 0;
    target->lane = (uint16_t)lane;
    n = cover_due(queue, target, now_ms, kind, expired);
    target->state = TARGET_BEGUN;
    target->before_ms = target->failures > 0 ? target->begun_ms : now_ms;
    target->begun_ms = now_ms;
    if (n == 0)
        move_on(queue, target);
    return n > 0;
}

/* What a target's push has covered is done with; it was delivered to this version. Returns how many
 * wakes that were. */
static unsigned end(struct wake_queue *queue, struct wake_target *target, int64_t version)
{
    unsigned n = 0;

    for (unsigned via = 0; via < KINDS; via++) {
        struct wake_entry *entry = target->entries[via];

        if (entry == NULL || entry->begun == 0)
            continue;
        n += entry->begun;
        put_done(queue, entry, entry->covered);
        if (entry->place == ENTRY_DONE) {
            entry->delivered = version;
            version = WAKE_NOT_DELIVERED;
        }
    }
    move_on(queue, target);
    return n;
}

unsigned wake_queue_finish(struct wake_queue *queue, struct wake_target *target, int64_t now_ms)
{
    enum push_kind kind;

    MUST(target->state == TARGET_TAKEN || target->state == TARGET_BEGUN);
    shed_disowned(queue, target);
    if (target->state == TARGET_TAKEN)
        (void)cover_due(queue, target, now_ms, &kind, NULL);
    return end(queue, target, WAKE_NOT_DELIVERED);
}

unsigned wake_queue_deliver(struct wake_queue *queue, struct wake_target *target, int64_t version)
{
    MUST(target->state == TARGET_BEGUN);
    shed_disowned(queue, target);
    return end(queue, target, version);
}

/* An entry's wakes that a push covered wait again, with those that came meanwhile; these have all
 * their tries. */
static void uncover_entry(struct wake_queue *queue, struct wake_entry *entry)
{
    unsigned extra = entry->begun - 1U + entry->extra;

    if (entry->lease != queue->lease) {
        entry_free(queue, entry);
        return;
    }
    if (wake_entry_waits(entry))
        entry->tries = 0;
    extra += wake_entry_join(entry, entry->begun_ms, entry->begun_ms);
    entry->extra = (uint8_t)(extra < UINT8_MAX ? extra : UINT8_MAX);
    entry->begun = 0;
    put_waiting(queue, entry);
}

/* The begun push had no outcome: its wakes wait again. False: none is left, nor the target. */
static bool uncover(struct wake_queue *queue, struct wake_target *target)
{
    MUST(target->state == TARGET_BEGUN);
    for (unsigned via = 0; via < KINDS; via++) {
        if (target->entries[via] != NULL && target->entries[via]->begun > 0)
            uncover_entry(queue, target->entries[via]);
    }
    shed_disowned(queue, target);
    return wait_until_due(queue, target);
}

/* Each kind of the push has spent a try; `*given_up` gets the number of wakes that are done with
 * for want of another. False: that were all that it covered. */
static bool spend_tries(struct wake_queue *queue, struct wake_target *target, unsigned *given_up)
{
    bool left = false;

    for (unsigned via = 0; via < KINDS; via++) {
        struct wake_entry *entry = target->entries[via];

        if (entry == NULL || entry->begun == 0)
            continue;
        if (++entry->tries < PUSH_TRIES_MAX) {
            left = true;
            continue;
        }
        *given_up += entry->begun;
        put_done(queue, entry, entry->covered);
    }
    return left;
}

/* Before this failure is counted. */
static int64_t retry_most_ms(const struct wake_target *target, bool spent_try)
{
    static const struct backoff waits = {WAKE_RETRY_LEAST_MS, WAKE_RETRY_MOST_MS, 0};
    unsigned tries = 0;

    for (unsigned via = 0; via < KINDS; via++) {
        const struct wake_entry *entry = target->entries[via];

        if (entry != NULL && entry->begun > 0 && entry->tries > tries)
            tries = entry->tries;
    }
    if (spent_try)
        return push_retry_most_ms(tries);
    return backoff_ms(&waits, target->failures + 1, 0);
}

bool wake_queue_retry(struct wake_queue *queue, struct wake_target *target, int64_t now_ms,
                      bool spends_try, int64_t retry_after_ms, unsigned *given_up)
{
    int64_t wait;

    MUST(target->state == TARGET_BEGUN);
    *given_up = 0;
    shed_disowned(queue, target);
    if (spends_try && !spend_tries(queue, target, given_up)) {
        move_on(queue, target);
        return false;
    }
    wait = (int64_t)queue->random((uint64_t)retry_most_ms(target, spends_try));
    if (target->failures < UINT16_MAX)
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

/* Targets that are taken may be anywhere, but they come back. */
void wake_queue_disown(struct wake_queue *queue)
{
    struct wake_entry *entry;

    queue->lease++;
    for (unsigned via = 0; via < KINDS; via++) {
        while ((entry = TAILQ_FIRST(&queue->waits[via])) != NULL) {
            struct wake_target *target = entry->target;

            entry_free(queue, entry);
            settle(queue, target);
        }
    }
}

/* ---- What is done with ----------------------------------------------------------------------- */

size_t wake_queue_done(const struct wake_queue *queue, struct wake_done *done, size_t max)
{
    const struct wake_entry *entry = TAILQ_FIRST(&queue->done);
    size_t n = 0;

    for (; entry != NULL && n < max; entry = TAILQ_NEXT(entry, next))
        done[n++] = (struct wake_done){.via = (enum wake_via)entry->via,
                                       .key = &entry->target->key,
                                       .score_ms = entry->covered,
                                       .delivered = entry->delivered};
    return n;
}

void wake_queue_acknowledged(struct wake_queue *queue, size_t n)
{
    for (; n > 0; n--) {
        struct wake_entry *entry = TAILQ_FIRST(&queue->done);
        struct wake_target *target;

        MUST(entry != NULL);
        target = entry->target;
        entry_free(queue, entry);
        if (target->state == TARGET_DONE)
            leave(queue, target);
    }
}
