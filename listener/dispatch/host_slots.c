#include "host_slots.h"

#include <stdlib.h>
#include <string.h>

#include "base/expiring_set.h"
#include "base/hash_table.h"
#include "device/device_id.h"

struct host {
    struct hash_table_item item; /* by name; first */
    char name[UNIFIEDPUSH_HOST_MAX];
    unsigned in_flight; /* never 0 while somebody waits */
    unsigned most;
    bool slow; /* and its pushes in flight are counted in slow_in_flight */
    struct wake_list waiting;
};

struct host_slots {
    struct hash_table *hosts; /* those with pushes in flight */
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
    expiring_set_free(&(*slots)->slow);
    expiring_set_free(&(*slots)->held);
    free(*slots);
    *slots = NULL;
}

static bool is_slow(const struct host_slots *slots, const char *name, int64_t now_ms)
{
    return expiring_set_until(slots->slow, name, now_ms) != INT64_MIN;
}

static struct host *host_new(struct host_slots *slots, const char *name, bool slow)
{
    struct host *host;

    if (strlen(name) >= sizeof host->name || (host = calloc(1, sizeof *host)) == NULL)
        return NULL;
    memcpy(host->name, name, strlen(name) + 1);
    host->item.key = host->name;
    host->most = HOST_SLOTS_FIRST;
    host->slow = slow;
    hash_table_add(slots->hosts, &host->item);
    return host;
}

enum host_entry host_slots_enter(struct host_slots *slots, const char *name,
                                 struct wake_target *target, int64_t now_ms)
{
    struct host *host = (struct host *)hash_table_find(slots->hosts, name);
    bool slow = host != NULL ? host->slow : is_slow(slots, name, now_ms);

    if (host != NULL && host->in_flight >= host->most) {
        wake_list_append(&host->waiting, target);
        return HOST_WAITS;
    }
    if (slow && slots->slow_in_flight >= slots->most_slow) {
        wake_list_append(&slots->waiting_slow, target);
        return HOST_WAITS;
    }
    if (host == NULL && (host = host_new(slots, name, slow)) == NULL)
        return HOST_NO_MEMORY;
    host->in_flight++;
    slots->slow_in_flight += slow;
    return HOST_ENTERED;
}

void host_slots_was_slow(struct host_slots *slots, const char *name, int64_t now_ms)
{
    struct host *host = (struct host *)hash_table_find(slots->hosts, name);

    expiring_set_set(slots->slow, name, now_ms + HOST_SLOTS_SLOW_MS, now_ms);
    if (!host->slow)
        slots->slow_in_flight += host->in_flight;
    host->slow = true;
}

static void release(struct wake_list *waiting, unsigned new_slots, bool all,
                    struct wake_list *released)
{
    struct wake_target *target;

    for (; new_slots > 0 || all; new_slots -= new_slots > 0) {
        if ((target = wake_list_shift(waiting)) == NULL)
            return;
        wake_list_append(released, target);
    }
}

/* Takes one push of a slow host, or a host that is slow no more, out of the slow ones' share. */
static void leave_slow(struct host_slots *slots, struct host *host, int64_t now_ms,
                       struct wake_list *released)
{
    slots->slow_in_flight--;
    if (!is_slow(slots, host->name, now_ms)) {
        slots->slow_in_flight -= host->in_flight;
        host->slow = false;
    }
    if (slots->slow_in_flight < slots->most_slow)
        release(&slots->waiting_slow, slots->most_slow - slots->slow_in_flight,
                slots->slow_in_flight == 0, released);
}

void host_slots_leave(struct host_slots *slots, const char *name, bool multiplexed, int64_t now_ms,
                      struct wake_list *released)
{
    struct host *host = (struct host *)hash_table_find(slots->hosts, name);
    unsigned new_slots = 1;

    if (multiplexed) {
        new_slots += HOST_SLOTS_MAX - host->most;
        host->most = HOST_SLOTS_MAX;
    }
    host->in_flight--;
    release(&host->waiting, new_slots, host->in_flight == 0, released);
    if (host->slow)
        leave_slow(slots, host, now_ms, released);
    if (host->in_flight == 0) {
        hash_table_remove(slots->hosts, &host->item);
        free(host);
    }
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
