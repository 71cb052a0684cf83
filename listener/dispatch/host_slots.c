#include "host_slots.h"

#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/due_heap.h"
#include "base/expiring_set.h"
#include "base/hash_table.h"
#include "base/must.h"
#include "device/device_id.h"

struct host {
    struct hash_table_item item; /* by name; first */
    struct due_item call;        /* see plan() */
    char name[PUSH_HOST_MAX];
    unsigned in_flight;
    unsigned most;
    unsigned allowed; /* of these, since it was held: 1, doubling; 0: all */
    bool slow;        /* and its pushes in flight are counted in slow_in_flight */
    int64_t held_until_ms;
    unsigned holds; /* in a row */
    struct wake_list waiting;
};

struct host_slots {
    struct hash_table *hosts; /* those with pushes in flight, or that are in `calls` */
    struct due_heap calls;    /* has room for all of them */
    size_t held_hosts;        /* those that may not have all their slots */
    struct expiring_set *slow, *held;
    unsigned most_slow;
    unsigned slow_in_flight;       /* never 0 while somebody is in waiting_slow */
    struct wake_list waiting_slow; /* for slow hosts of any name */
};

struct host_slots *host_slots_new(unsigned most_slow)
{
    struct host_slots *slots = calloc(1, sizeof *slots);

    if (slots == NULL)
        return NULL;
    slots->most_slow = most_slow;
    slots->hosts = hash_table_new();
    slots->slow = expiring_set_new(HOST_SLOTS_REMEMBERED_MAX);
    slots->held = expiring_set_new(HOST_SLOTS_REMEMBERED_MAX);
    if (slots->hosts == NULL || slots->slow == NULL || slots->held == NULL)
        host_slots_free(&slots);
    return slots;
}

void host_slots_free(struct host_slots **slots)
{
    struct hash_table_item *item;

    if (*slots == NULL)
        return;
    while ((*slots)->hosts != NULL && (item = hash_table_any((*slots)->hosts)) != NULL) {
        hash_table_remove((*slots)->hosts, item);
        free(item);
    }
    hash_table_free(&(*slots)->hosts);
    due_heap_clear(&(*slots)->calls);
    expiring_set_free(&(*slots)->slow);
    expiring_set_free(&(*slots)->held);
    free(*slots);
    *slots = NULL;
}

static bool is_slow(const struct host_slots *slots, const char *name, int64_t now_ms)
{
    return expiring_set_until(slots->slow, name, now_ms) != INT64_MIN;
}

static struct host *host_new(struct host_slots *slots, const char *name)
{
    struct host *host;

    if (strlen(name) >= sizeof host->name ||
        !due_heap_reserve(&slots->calls, hash_table_count(slots->hosts) + 1) ||
        (host = calloc(1, sizeof *host)) == NULL)
        return NULL;
    memcpy(host->name, name, strlen(name) + 1);
    host->item.key = host->name;
    host->most = HOST_SLOTS_FIRST;
    host->held_until_ms = INT64_MIN;
    hash_table_add(slots->hosts, &host->item);
    return host;
}

/* A host that somebody has entered and not left. */
static struct host *entered(const struct host_slots *slots, const char *name)
{
    struct host *host = (struct host *)hash_table_find(slots->hosts, name);

    MUST(host != NULL && host->in_flight > 0);
    return host;
}

static unsigned slots_of(const struct host *host)
{
    return host->allowed > 0 && host->allowed < host->most ? host->allowed : host->most;
}

static bool is_held(const struct host *host, int64_t now_ms)
{
    return host->held_until_ms > now_ms;
}

/* Sees to it that a host is looked at when nobody leaves it who would: at the end of its hold, to
 * call those who wait, and in the end to be forgotten. It may be gone afterwards. */
static void plan(struct host_slots *slots, struct host *host, int64_t now_ms)
{
    due_heap_remove(&slots->calls, &host->call);
    if (is_held(host, now_ms)) {
        due_heap_add(&slots->calls, &host->call, host->held_until_ms);
    } else if (host->in_flight > 0) {
        return;
    } else if (host->waiting.first != NULL) {
        due_heap_add(&slots->calls, &host->call, now_ms + HOST_SLOTS_CALL_AGAIN_MS);
    } else if (host->allowed > 0 && is_held(host, now_ms - HOST_SLOTS_HOLD_KEPT_MS)) {
        due_heap_add(&slots->calls, &host->call, host->held_until_ms + HOST_SLOTS_HOLD_KEPT_MS);
    } else {
        slots->held_hosts -= host->allowed > 0;
        hash_table_remove(slots->hosts, &host->item);
        free(host);
    }
}

enum host_entry host_slots_enter(struct host_slots *slots, const char *name,
                                 struct wake_target *target, int64_t now_ms)
{
    struct host *host = (struct host *)hash_table_find(slots->hosts, name);
    bool slow = host != NULL && host->in_flight > 0 ? host->slow : is_slow(slots, name, now_ms);

    if (host != NULL && (is_held(host, now_ms) || host->in_flight >= slots_of(host))) {
        wake_list_append(&host->waiting, target);
        return HOST_WAITS;
    }
    if (slow && slots->slow_in_flight >= slots->most_slow) {
        wake_list_append(&slots->waiting_slow, target);
        return HOST_WAITS;
    }
    if (host == NULL && (host = host_new(slots, name)) == NULL)
        return HOST_NO_MEMORY;
    host->slow = slow;
    host->in_flight++;
    slots->slow_in_flight += slow;
    plan(slots, host, now_ms);
    return HOST_ENTERED;
}

void host_slots_was_slow(struct host_slots *slots, const char *name, int64_t now_ms)
{
    struct host *host = entered(slots, name);

    expiring_set_set(slots->slow, name, now_ms + HOST_SLOTS_SLOW_MS, now_ms);
    if (!host->slow)
        slots->slow_in_flight += host->in_flight;
    host->slow = true;
}

static void release(struct wake_list *waiting, unsigned most, struct wake_list *released)
{
    struct wake_target *target;

    while (most-- > 0 && (target = wake_list_shift(waiting)) != NULL)
        wake_list_append(released, target);
}

/* Takes one push of a slow host, or a host that is slow no more, out of the slow ones' share. */
static void leave_slow(struct host_slots *slots, struct host *host, int64_t now_ms,
                       struct wake_list *released)
{
    MUST(slots->slow_in_flight > host->in_flight);
    slots->slow_in_flight--;
    if (!is_slow(slots, host->name, now_ms)) {
        slots->slow_in_flight -= host->in_flight;
        host->slow = false;
    }
    if (slots->slow_in_flight == 0)
        release(&slots->waiting_slow, UINT_MAX, released);
    else if (slots->slow_in_flight < slots->most_slow)
        release(&slots->waiting_slow, slots->most_slow - slots->slow_in_flight, released);
}

/* What the answer says of how many pushes the host takes at once. */
static void learn(struct host_slots *slots, struct host *host, const struct push_result *result,
                  int64_t now_ms)
{
    bool taken = result->answered && result->outcome != PUSH_HELD_BACK &&
                 result->outcome != PUSH_BACKEND_FAULT;

    if (result->takes_many)
        host->most = HOST_SLOTS_MAX;
    if (!taken || host->allowed == 0 || is_held(host, now_ms))
        return;
    host->holds = 0;
    host->allowed *= 2;
    if (host->allowed >= host->most) {
        MUST(slots->held_hosts > 0);
        host->allowed = 0;
        slots->held_hosts--;
    }
}

void host_slots_leave(struct host_slots *slots, const char *name, const struct push_result *result,
                      int64_t now_ms, struct wake_list *released)
{
    struct host *host = entered(slots, name);
    unsigned before = slots_of(host);

    if (result != NULL)
        learn(slots, host, result, now_ms);
    host->in_flight--;
    if (!is_held(host, now_ms))
        release(&host->waiting,
                host->in_flight == 0 ? HOST_SLOTS_CALLED : 1 + slots_of(host) - before, released);
    if (host->slow)
        leave_slow(slots, host, now_ms, released);
    plan(slots, host, now_ms);
}

/* ---- Hosts that are held ----------------------------------------------------------------------
 */

int64_t host_slots_hold_host(struct host_slots *slots, const char *name, int64_t now_ms)
{
    struct host *host = entered(slots, name);
    int64_t hold = HOST_SLOTS_HOLD_LEAST_MS;

    if (is_held(host, now_ms)) /* this push was under way before it was */
        return host->held_until_ms;
    if (host->allowed == 0 && slots->held_hosts >= HOST_SLOTS_HELD_MAX)
        return now_ms + hold;
    for (unsigned i = 0; i < host->holds && hold < HOST_SLOTS_HOLD_MOST_MS; i++)
        hold *= 2;
    slots->held_hosts += host->allowed == 0;
    host->allowed = 1;
    host->holds++;
    host->held_until_ms =
        now_ms + (hold < HOST_SLOTS_HOLD_MOST_MS ? hold : HOST_SLOTS_HOLD_MOST_MS);
    plan(slots, host, now_ms);
    return host->held_until_ms;
}

static struct host *host_of(struct due_item *call)
{
    return (struct host *)((char *)call - offsetof(struct host, call));
}

int64_t host_slots_run(struct host_slots *slots, int64_t now_ms, struct wake_list *released)
{
    struct due_item *first;

    while ((first = due_heap_first(&slots->calls)) != NULL && first->ready_ms <= now_ms) {
        struct host *host = host_of(first);

        release(&host->waiting, HOST_SLOTS_CALLED, released);
        plan(slots, host, now_ms);
    }
    return first != NULL ? first->ready_ms : INT64_MAX;
}

/* ---- Endpoints that are held back ------------------------------------------------------------ */

void host_slots_endpoint(char *endpoint, const char *url)
{
    struct device_id id;

    /* Without memory all endpoints share one name: no worse than a shared hold-back. */
    (void)device_id_of(&id, url);
    memcpy(endpoint, id.hex, sizeof id.hex);
}

void host_slots_hold(struct host_slots *slots, const char *endpoint, int64_t until_ms,
                     int64_t now_ms)
{
    expiring_set_set(slots->held, endpoint, until_ms, now_ms);
}

int64_t host_slots_held_until(const struct host_slots *slots, const char *endpoint, int64_t now_ms)
{
    return expiring_set_until(slots->held, endpoint, now_ms);
}
