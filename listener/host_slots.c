#include "host_slots.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "hex.h"
#include "table.h"

struct host {
    struct table_item item; /* by name; first */
    char name[HOST_SLOTS_NAME_MAX];
    unsigned in_flight; /* never 0 while somebody waits */
    unsigned most;
    struct wake_list waiting;
};

struct held {
    struct table_item item; /* by endpoint; first */
    struct held *next;      /* held back later than this one */
    char endpoint[HOST_SLOTS_ENDPOINT_SIZE];
    int64_t until_ms;
};

struct host_slots {
    struct table *hosts, *held;
    struct held *first_held, *last_held;
};

struct host_slots *host_slots_new(void)
{
    struct host_slots *slots = calloc(1, sizeof *slots);

    if (slots == NULL)
        return NULL;
    slots->hosts = table_new();
    slots->held = table_new();
    if (slots->hosts == NULL || slots->held == NULL)
        host_slots_free(&slots);
    return slots;
}

static void empty(struct table **table)
{
    struct table_item *item;

    while (*table != NULL && (item = table_any(*table)) != NULL) {
        table_remove(*table, item);
        free(item);
    }
    table_free(table);
}

void host_slots_free(struct host_slots **slots)
{
    if (*slots == NULL)
        return;
    empty(&(*slots)->hosts);
    empty(&(*slots)->held);
    free(*slots);
    *slots = NULL;
}

enum host_entry host_slots_enter(struct host_slots *slots, const char *name,
                                 struct wake_target *target)
{
    struct host *host = (struct host *)table_find(slots->hosts, name);

    if (host != NULL && host->in_flight >= host->most) {
        wake_list_append(&host->waiting, target);
        return HOST_WAITS;
    }
    if (host == NULL) {
        if (strlen(name) >= sizeof host->name || (host = calloc(1, sizeof *host)) == NULL)
            return HOST_NO_MEMORY;
        memcpy(host->name, name, strlen(name) + 1);
        host->item.key = host->name;
        host->most = HOST_SLOTS_FIRST;
        table_add(slots->hosts, &host->item);
    }
    host->in_flight++;
    return HOST_ENTERED;
}

void host_slots_leave(struct host_slots *slots, const char *name, bool multiplexed,
                      struct wake_list *released)
{
    struct host *host = (struct host *)table_find(slots->hosts, name);
    struct wake_target *target;
    unsigned new_slots = 1;

    if (multiplexed) {
        new_slots += HOST_SLOTS_MAX - host->most;
        host->most = HOST_SLOTS_MAX;
    }
    host->in_flight--;
    for (; new_slots > 0 || host->in_flight == 0; new_slots -= new_slots > 0) {
        if ((target = wake_list_shift(&host->waiting)) == NULL)
            break;
        wake_list_append(released, target);
    }
    if (host->in_flight == 0) {
        table_remove(slots->hosts, &host->item);
        free(host);
    }
}

/* ---- Endpoints that are held back ------------------------------------------------------------ */

void host_slots_endpoint(char *endpoint, const char *url)
{
    uint8_t digest[32];

    /* Without a digest all endpoints would share one name: no worse than a shared hold-back. */
    if (EVP_Digest(url, strlen(url), digest, NULL, EVP_sha256(), NULL) != 1)
        memset(digest, 0, sizeof digest);
    hex_encode(endpoint, digest, (HOST_SLOTS_ENDPOINT_SIZE - 1) / 2);
}

/* Every hold-back ends within WAKE_RETRY_AFTER_MAX_MS, so the oldest go first, roughly. */
static void forget_past(struct host_slots *slots, int64_t now_ms)
{
    struct held *held;

    while ((held = slots->first_held) != NULL && held->until_ms <= now_ms) {
        slots->first_held = held->next;
        if (held->next == NULL)
            slots->last_held = NULL;
        table_remove(slots->held, &held->item);
        free(held);
    }
}

void host_slots_hold(struct host_slots *slots, const char *endpoint, int64_t until_ms,
                     int64_t now_ms)
{
    struct held *held;

    forget_past(slots, now_ms);
    held = (struct held *)table_find(slots->held, endpoint);
    if (held != NULL) {
        held->until_ms = until_ms > held->until_ms ? until_ms : held->until_ms;
        return;
    }
    if (table_count(slots->held) >= HOST_SLOTS_HELD_MAX || (held = calloc(1, sizeof *held)) == NULL)
        return;
    memcpy(held->endpoint, endpoint, sizeof held->endpoint);
    held->item.key = held->endpoint;
    held->until_ms = until_ms;
    table_add(slots->held, &held->item);
    if (slots->last_held != NULL)
        slots->last_held->next = held;
    else
        slots->first_held = held;
    slots->last_held = held;
}

int64_t host_slots_held_until(struct host_slots *slots, const char *endpoint, int64_t now_ms)
{
    const struct held *held = (const struct held *)table_find(slots->held, endpoint);

    return held != NULL && held->until_ms > now_ms ? held->until_ms : INT64_MIN;
}
