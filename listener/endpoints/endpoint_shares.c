#include "endpoint_shares.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash_table.h"
#include "device/registered_domain.h"

struct owner {
    struct hash_table_item item; /* by name; first */
    struct due_item rank;        /* in shares->owners, the largest first */
    struct due_heap hosts;       /* the largest first */
    int64_t size;
    char name[];
};

struct endpoint_shares_host {
    struct hash_table_item item; /* by name; first */
    struct due_item rank;        /* in owner->hosts */
    struct due_heap items;       /* the oldest first */
    struct owner *owner;
    int64_t size;
    char name[];
};

struct endpoint_shares {
    struct hash_table *hosts_by_name, *owners_by_name;
    struct due_heap owners;
};

#define OF(type, member, pointer) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct endpoint_shares *endpoint_shares_new(void)
{
    struct endpoint_shares *shares = calloc(1, sizeof *shares);

    if (shares == NULL)
        return NULL;
    shares->hosts_by_name = hash_table_new();
    shares->owners_by_name = hash_table_new();
    if (shares->hosts_by_name == NULL || shares->owners_by_name == NULL)
        endpoint_shares_free(&shares);
    return shares;
}

void endpoint_shares_free(struct endpoint_shares **shares)
{
    if (*shares == NULL)
        return;
    if ((*shares)->hosts_by_name != NULL && (*shares)->owners_by_name != NULL)
        while (endpoint_shares_shift(*shares) != NULL)
            ;
    hash_table_free(&(*shares)->hosts_by_name);
    hash_table_free(&(*shares)->owners_by_name);
    due_heap_clear(&(*shares)->owners);
    free(*shares);
    *shares = NULL;
}

/* ---- Owners ---------------------------------------------------------------------------------- */

static void network_of(char out[URL_HOST_SIZE], const char *host, enum url_host_kind kind)
{
    char bare[URL_HOST_SIZE];
    uint8_t address[16] = {0};

    (void)snprintf(bare, sizeof bare, "%.*s", (int)strcspn(host + (*host == '['), "]"),
                   host + (*host == '['));
    (void)inet_pton(kind == URL_HOST_IPV4 ? AF_INET : AF_INET6, bare, address);
    if (kind == URL_HOST_IPV4)
        (void)snprintf(out, URL_HOST_SIZE, "%u.%u.%u.", address[0], address[1], address[2]);
    else
        (void)snprintf(out, URL_HOST_SIZE, "[%02x%02x:%02x%02x:%02x%02x:", address[0], address[1],
                       address[2], address[3], address[4], address[5]);
}

void endpoint_shares_owner(char out[URL_HOST_SIZE], const struct url *url)
{
    char host[URL_HOST_SIZE];

    url_write_host(host, url);
    if (url->host_kind == URL_HOST_IPV4 || url->host_kind == URL_HOST_IPV6)
        network_of(out, host, url->host_kind);
    else
        (void)snprintf(out, URL_HOST_SIZE, "%s", registered_domain(host));
}

/* ---- Adding ---------------------------------------------------------------------------------- */

static struct owner *owner_of(struct endpoint_shares *shares, const struct url *url)
{
    char name[URL_HOST_SIZE];
    struct owner *owner;

    endpoint_shares_owner(name, url);
    owner = (struct owner *)hash_table_find(shares->owners_by_name, name);
    if (owner != NULL)
        return owner;
    if (!due_heap_reserve(&shares->owners, hash_table_count(shares->owners_by_name) + 1))
        return NULL;
    owner = calloc(1, sizeof *owner + strlen(name) + 1);
    if (owner == NULL)
        return NULL;
    memcpy(owner->name, name, strlen(name));
    owner->item.key = owner->name;
    hash_table_add(shares->owners_by_name, &owner->item);
    due_heap_add(&shares->owners, &owner->rank, 0);
    return owner;
}

/* One without items goes. */
static void settle_owner(struct endpoint_shares *shares, struct owner *owner)
{
    due_heap_remove(&shares->owners, &owner->rank);
    if (owner->hosts.count > 0) {
        due_heap_add(&shares->owners, &owner->rank, -owner->size);
        return;
    }
    hash_table_remove(shares->owners_by_name, &owner->item);
    due_heap_clear(&owner->hosts);
    free(owner);
}

static void settle_host(struct endpoint_shares *shares, struct endpoint_shares_host *host)
{
    struct owner *owner = host->owner;

    due_heap_remove(&owner->hosts, &host->rank);
    if (host->items.count > 0) {
        due_heap_add(&owner->hosts, &host->rank, -host->size);
    } else {
        hash_table_remove(shares->hosts_by_name, &host->item);
        due_heap_clear(&host->items);
        free(host);
    }
    settle_owner(shares, owner);
}

static struct endpoint_shares_host *host_new(struct endpoint_shares *shares, const char *name,
                                             struct owner *owner)
{
    struct endpoint_shares_host *host = calloc(1, sizeof *host + strlen(name) + 1);

    if (host == NULL || !due_heap_reserve(&owner->hosts, owner->hosts.count + 1)) {
        free(host);
        return NULL;
    }
    memcpy(host->name, name, strlen(name));
    host->item.key = host->name;
    host->owner = owner;
    hash_table_add(shares->hosts_by_name, &host->item);
    due_heap_add(&owner->hosts, &host->rank, 0);
    return host;
}

static struct endpoint_shares_host *host_of(struct endpoint_shares *shares, const struct url *url)
{
    char name[URL_HOST_SIZE];
    struct endpoint_shares_host *host;
    struct owner *owner;

    url_write_host(name, url);
    host = (struct endpoint_shares_host *)hash_table_find(shares->hosts_by_name, name);
    if (host != NULL || (owner = owner_of(shares, url)) == NULL)
        return host;
    host = host_new(shares, name, owner);
    if (host == NULL)
        settle_owner(shares, owner);
    return host;
}

bool endpoint_shares_add(struct endpoint_shares *shares, struct endpoint_shares_item *item,
                         const struct url *url, size_t size, int64_t since)
{
    struct endpoint_shares_host *host = host_of(shares, url);
    bool has_room = host != NULL && due_heap_reserve(&host->items, host->items.count + 1);

    if (has_room) {
        item->host = host;
        item->size = size;
        due_heap_add(&host->items, &item->age, since);
        host->size += (int64_t)size;
        host->owner->size += (int64_t)size;
    }
    if (host != NULL)
        settle_host(shares, host);
    return has_room;
}

struct endpoint_shares_item *endpoint_shares_shift(struct endpoint_shares *shares)
{
    struct due_item *largest = due_heap_first(&shares->owners);
    struct endpoint_shares_item *item;
    struct endpoint_shares_host *host;
    struct owner *owner;

    if (largest == NULL)
        return NULL;
    owner = OF(struct owner, rank, largest);
    host = OF(struct endpoint_shares_host, rank, due_heap_first(&owner->hosts));
    item = OF(struct endpoint_shares_item, age, due_heap_first(&host->items));
    due_heap_remove(&host->items, &item->age);
    host->size -= (int64_t)item->size;
    owner->size -= (int64_t)item->size;
    settle_host(shares, host);
    return item;
}
