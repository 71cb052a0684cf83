#include "held_endpoints.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/backoff.h"
#include "base/due_heap.h"
#include "base/hash_table.h"
#include "base/must.h"

#define KINDS (PUSH_VISIBLE + 1)

/* Somebody waits for it, or it is among those that are kept. It goes when it takes pushes and
 * nobody waits or is called any more. */
struct held_endpoint {
    struct hash_table_item item; /* by its name; first */
    struct due_item due;         /* when it becomes ready */
    TAILQ_ENTRY(held_endpoint) next;
    struct held_waits *waits; /* its host's, while somebody waits; else NULL */
    struct wake_list waiting[KINDS];
    size_t count;
    unsigned called; /* for so many slots */
    unsigned holds;  /* in a row; 0: it takes pushes */
    bool is_ready;
    bool is_tried;    /* after its hold, by a push */
    int64_t tried_ms; /* that began then */
    int64_t held_until_ms;
    int64_t call_ms; /* nobody is called before */
    char name[17];
};

struct held_endpoints {
    struct hash_table *table;
    struct due_heap dues; /* has room for all of them */
    struct held_list kept;
    size_t kept_count;
};

struct held_endpoints *held_endpoints_new(void)
{
    struct held_endpoints *held = calloc(1, sizeof *held);

    if (held == NULL)
        return NULL;
    TAILQ_INIT(&held->kept);
    held->table = hash_table_new();
    if (held->table == NULL)
        held_endpoints_free(&held);
    return held;
}

void held_endpoints_free(struct held_endpoints **held)
{
    struct hash_table_item *item;

    if (*held == NULL)
        return;
    while ((*held)->table != NULL && (item = hash_table_any((*held)->table)) != NULL) {
        hash_table_remove((*held)->table, item);
        free(item);
    }
    hash_table_free(&(*held)->table);
    due_heap_clear(&(*held)->dues);
    free(*held);
    *held = NULL;
}

void held_waits_init(struct held_waits *waits)
{
    *waits = (struct held_waits){.last = NULL};
    TAILQ_INIT(&waits->ready);
    TAILQ_INIT(&waits->others);
}

/* ---- What is remembered ---------------------------------------------------------------------- */

static void keep(struct held_endpoints *held, struct held_endpoint *endpoint)
{
    TAILQ_INSERT_TAIL(&held->kept, endpoint, next);
    held->kept_count++;
}

static void keep_no_more(struct held_endpoints *held, struct held_endpoint *endpoint)
{
    TAILQ_REMOVE(&held->kept, endpoint, next);
    held->kept_count--;
}

static bool is_over(const struct held_endpoint *endpoint)
{
    return endpoint->holds == 0 && endpoint->count + endpoint->called == 0;
}

/* One that is kept. */
static void forget(struct held_endpoints *held, struct held_endpoint *endpoint)
{
    keep_no_more(held, endpoint);
    hash_table_remove(held->table, &endpoint->item);
    free(endpoint);
}

static void keep_anew(struct held_endpoints *held, struct held_endpoint *endpoint)
{
    keep_no_more(held, endpoint);
    keep(held, endpoint);
    if (is_over(endpoint))
        forget(held, endpoint);
}

static void forget_oldest(struct held_endpoints *held)
{
    while (held->kept_count > HELD_ENDPOINTS_KEPT)
        forget(held, TAILQ_FIRST(&held->kept));
}

static const char *write_name(char name[17], push_endpoint_id id)
{
    (void)snprintf(name, 17, "%016" PRIx64, id);
    return name;
}

struct held_endpoint *held_endpoints_find(struct held_endpoints *held, struct held_waits *waits,
                                          push_endpoint_id id, int64_t now_ms)
{
    char name[17];
    struct held_endpoint *endpoint =
        (struct held_endpoint *)hash_table_find(held->table, write_name(name, id));

    if (endpoint == NULL)
        return NULL;
    if (endpoint->count > 0) /* if another host's, there was no memory to tell them apart */
        return endpoint->waits == waits ? endpoint : NULL;
    if (!endpoint->is_tried && endpoint->held_until_ms + HELD_ENDPOINTS_KEPT_MS <= now_ms) {
        forget(held, endpoint);
        return NULL;
    }
    return endpoint;
}

static struct held_endpoint *endpoint_new(struct held_endpoints *held, push_endpoint_id id)
{
    struct held_endpoint *endpoint;
    char name[17];

    if (hash_table_find(held->table, write_name(name, id)) != NULL ||
        !due_heap_reserve(&held->dues, hash_table_count(held->table) + 1) ||
        (endpoint = calloc(1, sizeof *endpoint)) == NULL)
        return NULL;
    endpoint->item.key = write_name(endpoint->name, id);
    endpoint->held_until_ms = INT64_MIN;
    hash_table_add(held->table, &endpoint->item);
    keep(held, endpoint);
    forget_oldest(held);
    return endpoint;
}

/* ---- Who may go ------------------------------------------------------------------------------ */

bool held_endpoint_admits(const struct held_endpoint *endpoint, int64_t now_ms)
{
    return endpoint->holds == 0 || (endpoint->held_until_ms <= now_ms && !endpoint->is_tried);
}

bool held_endpoint_was_called(struct held_endpoint *endpoint)
{
    bool was_called = endpoint->called > 0;

    endpoint->called -= was_called;
    return was_called;
}

void held_endpoint_begin(struct held_endpoint *endpoint, int64_t now_ms)
{
    (void)held_endpoint_was_called(endpoint);
    if (endpoint->holds == 0)
        return;
    endpoint->is_tried = true;
    endpoint->tried_ms = now_ms;
}

static int64_t ready_ms(const struct held_endpoint *endpoint)
{
    if (endpoint->holds == 0)
        return INT64_MIN;
    if (endpoint->is_tried)
        return INT64_MAX; /* its end tells */
    return endpoint->held_until_ms > endpoint->call_ms ? endpoint->held_until_ms
                                                       : endpoint->call_ms;
}

/* Call it after every change of an endpoint that somebody waits for. */
static void plan(struct held_endpoints *held, struct held_endpoint *endpoint, int64_t now_ms)
{
    struct held_waits *waits = endpoint->waits;
    int64_t at_ms = ready_ms(endpoint);
    bool is_ready = at_ms <= now_ms;

    due_heap_remove(&held->dues, &endpoint->due);
    if (is_ready != endpoint->is_ready) {
        TAILQ_REMOVE(is_ready ? &waits->others : &waits->ready, endpoint, next);
        TAILQ_INSERT_TAIL(is_ready ? &waits->ready : &waits->others, endpoint, next);
        endpoint->is_ready = is_ready;
    }
    if (!is_ready && at_ms != INT64_MAX)
        due_heap_add(&held->dues, &endpoint->due, at_ms);
}

/* ---- Who waits ------------------------------------------------------------------------------- */

void held_endpoint_wait(struct held_endpoints *held, struct held_endpoint *endpoint,
                        struct held_waits *waits, struct wake_target *target, int64_t now_ms)
{
    if (endpoint->count == 0) {
        keep_no_more(held, endpoint);
        endpoint->waits = waits;
        endpoint->is_ready = false;
        TAILQ_INSERT_TAIL(&waits->others, endpoint, next);
        waits->endpoints++;
    }
    wake_list_append(&endpoint->waiting[wake_target_kind(target)], target);
    endpoint->count++;
    waits->targets++;
    waits->last = endpoint;
    plan(held, endpoint, now_ms);
}

/* Nobody waits for it any more. */
static void rest(struct held_endpoints *held, struct held_endpoint *endpoint)
{
    struct held_waits *waits = endpoint->waits;

    due_heap_remove(&held->dues, &endpoint->due);
    TAILQ_REMOVE(endpoint->is_ready ? &waits->ready : &waits->others, endpoint, next);
    waits->endpoints--;
    if (waits->last == endpoint)
        waits->last = NULL;
    endpoint->waits = NULL;
    endpoint->is_ready = false;
    keep(held, endpoint);
    if (is_over(endpoint))
        forget(held, endpoint);
    forget_oldest(held);
}

static struct wake_target *shift(struct held_endpoint *endpoint, enum push_kind kind)
{
    struct wake_target *target = wake_list_shift(&endpoint->waiting[kind]);

    if (target != NULL) {
        endpoint->count--;
        endpoint->waits->targets--;
    }
    return target;
}

size_t held_endpoints_call(struct held_endpoints *held, struct held_waits *waits, size_t max,
                           int64_t now_ms, struct wake_list *called)
{
    struct held_endpoint *endpoint = TAILQ_FIRST(&waits->ready);
    struct wake_target *target;
    size_t n = 0;

    if (endpoint == NULL || max == 0)
        return 0;
    while (n < max && ((target = shift(endpoint, PUSH_VISIBLE)) != NULL ||
                       (target = shift(endpoint, PUSH_SILENT)) != NULL)) {
        wake_list_append(called, target);
        n++;
    }
    endpoint->called++;
    endpoint->call_ms = now_ms + HELD_ENDPOINTS_CALL_AGAIN_MS;
    if (endpoint->count == 0) {
        rest(held, endpoint);
        return n;
    }
    TAILQ_REMOVE(&waits->ready, endpoint, next);
    TAILQ_INSERT_TAIL(&waits->ready, endpoint, next);
    plan(held, endpoint, now_ms);
    return n;
}

struct wake_target *held_endpoints_drop(struct held_endpoints *held, struct held_waits *waits,
                                        enum push_kind kind)
{
    struct held_endpoint *endpoint = waits->last;
    struct wake_target *target;

    if (endpoint == NULL && (endpoint = TAILQ_FIRST(&waits->others)) == NULL &&
        (endpoint = TAILQ_FIRST(&waits->ready)) == NULL)
        return NULL;
    target = shift(endpoint, kind);
    if (endpoint->count == 0)
        rest(held, endpoint);
    return target;
}

struct held_waits *held_endpoints_due(struct held_endpoints *held, int64_t now_ms)
{
    struct due_item *first = due_heap_first(&held->dues);
    struct held_endpoint *endpoint;

    if (first == NULL || first->ready_ms > now_ms)
        return NULL;
    endpoint = (struct held_endpoint *)((char *)first - offsetof(struct held_endpoint, due));
    plan(held, endpoint, now_ms);
    return endpoint->waits;
}

int64_t held_endpoints_next_ms(const struct held_endpoints *held)
{
    const struct due_item *first = due_heap_first(&held->dues);

    return first != NULL ? first->ready_ms : INT64_MAX;
}

/* ---- A push ends ----------------------------------------------------------------------------- */

/* Only one that began after the last hold tells that it goes on refusing. */
static void hold(struct held_endpoint *endpoint, bool tried, int64_t asked_ms, int64_t now_ms)
{
    struct backoff holds = {asked_ms, HELD_ENDPOINTS_MOST_MS, 0};

    if (holds.least_ms < HELD_ENDPOINTS_LEAST_MS)
        holds.least_ms = HELD_ENDPOINTS_LEAST_MS;
    if (holds.least_ms > HELD_ENDPOINTS_MOST_MS)
        holds.least_ms = HELD_ENDPOINTS_MOST_MS;
    if (endpoint->holds == 0 || tried)
        endpoint->holds++;
    else
        holds.most_ms = holds.least_ms; /* it began before */
    if (endpoint->held_until_ms < now_ms + backoff_ms(&holds, endpoint->holds, 0))
        endpoint->held_until_ms = now_ms + backoff_ms(&holds, endpoint->holds, 0);
}

bool held_endpoints_leave(struct held_endpoints *held, struct held_waits *waits,
                          push_endpoint_id id, int64_t begun_ms, const struct push_result *result,
                          int64_t now_ms, int64_t *until_ms)
{
    struct held_endpoint *endpoint = held_endpoints_find(held, waits, id, now_ms);
    bool refused = result != NULL && result->outcome == PUSH_HELD_BACK && !result->holds_host;
    bool tried;

    if (endpoint == NULL && (!refused || (endpoint = endpoint_new(held, id)) == NULL))
        return false;
    tried = endpoint->is_tried && begun_ms >= endpoint->tried_ms;
    if (tried) {
        endpoint->is_tried = false;
        endpoint->call_ms = now_ms;
    }
    if (refused) {
        hold(endpoint, tried, result->retry_after_ms, now_ms);
    } else if (result != NULL && result->outcome == PUSH_DELIVERED &&
               endpoint->held_until_ms <= now_ms) {
        endpoint->holds = 0;
    }
    if (refused)
        *until_ms = endpoint->held_until_ms;
    if (endpoint->count > 0)
        plan(held, endpoint, now_ms);
    else
        keep_anew(held, endpoint);
    return refused;
}
