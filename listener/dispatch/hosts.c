#include "hosts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/backoff.h"
#include "base/due_heap.h"
#include "base/hash_table.h"
#include "base/must.h"
#include "device/address_network.h"
#include "device/device_id.h"
#include "device/registered_domain.h"
#include "held_endpoints.h"
#include "slots.h"
#include "weights.h"

#define FALLS_BY   8 /* with each push a host's time falls by one part in so many */
#define GROUP_SIZE (sizeof "domain:" + PUSH_HOST_MAX)

/* Who waits for a host, those called first in front. A suspect's endpoint is one of those by which
 * the host is thought to be down. */
enum { WAIT_VISIBLE, WAIT_SILENT, WAIT_SUSPECT, WAITS };

struct host {
    struct hash_table_item item; /* by name; first */
    struct due_item plan;        /* when to look at it although no push begins or ends */
    struct slots_party party;
    struct weight waits, kept; /* by targets that wait; 1 where it is only remembered */
    struct push_health health;
    unsigned in_flight;
    unsigned called;  /* slots reserved for targets that were called */
    unsigned allowed; /* at once, since it was held: 1, doubling; 0: all */
    unsigned holds;   /* in a row */
    bool is_located;
    bool is_listed;         /* among those that are down, or held */
    TAILQ_ENTRY(host) down; /* while it is */
    int64_t called_ms;      /* the last */
    int64_t held_until_ms;
    int64_t proven_until_ms; /* INT64_MIN: it is not */
    int64_t used_ms;
    int64_t push_ms; /* what its pushes take: it rises at once, and falls slowly */
    struct wake_list waiting[WAITS];
    size_t waiting_count;
    struct held_waits held; /* who waits for an endpoint of its */
    bool calls_held;        /* those have had the last turn */
    char network[ADDRESS_NETWORK_SIZE];
    char name[];
};

struct hosts {
    struct hash_table *table;
    struct due_heap plans; /* has room for all of them */
    struct slots *slots;
    struct weights *waits, *kept;
    struct held_endpoints *held;
    TAILQ_HEAD(host_list, host) down; /* hosts, down or held */
    size_t down_count;
    uint64_t down_version;
    size_t waiting_most, waiting_each;
    random_up_to_fn *random;
};

struct hosts *hosts_new(const struct hosts_limits *limits, random_up_to_fn *random)
{
    struct hosts *hosts = calloc(1, sizeof *hosts);

    if (hosts == NULL)
        return NULL;
    hosts->waiting_most = limits->waiting;
    hosts->waiting_each = limits->waiting_each;
    hosts->random = random;
    TAILQ_INIT(&hosts->down);
    hosts->table = hash_table_new();
    hosts->slots = slots_new(limits->slots);
    hosts->waits = weights_new();
    hosts->kept = weights_new();
    hosts->held = held_endpoints_new();
    if (hosts->table == NULL || hosts->slots == NULL || hosts->waits == NULL ||
        hosts->kept == NULL || hosts->held == NULL)
        hosts_free(&hosts);
    return hosts;
}

static void list_held(struct hosts *hosts, struct host *host, bool is_held)
{
    if (is_held == host->is_listed)
        return;
    if (is_held) {
        TAILQ_INSERT_TAIL(&hosts->down, host, down);
        hosts->down_count++;
    } else {
        TAILQ_REMOVE(&hosts->down, host, down);
        hosts->down_count--;
    }
    hosts->down_version++;
    host->is_listed = is_held;
}

static void forget(struct hosts *hosts, struct host *host)
{
    list_held(hosts, host, false);
    due_heap_remove(&hosts->plans, &host->plan);
    while (host->party.taken > 0)
        slots_give(hosts->slots, &host->party);
    slots_part(hosts->slots, &host->party);
    (void)weights_set(hosts->waits, &host->waits, "", 0);
    (void)weights_set(hosts->kept, &host->kept, "", 0);
    hash_table_remove(hosts->table, &host->item);
    free(host);
}

void hosts_free(struct hosts **hosts)
{
    struct hash_table_item *item;

    if (*hosts == NULL)
        return;
    while ((*hosts)->table != NULL && (item = hash_table_any((*hosts)->table)) != NULL)
        forget(*hosts, (struct host *)item);
    hash_table_free(&(*hosts)->table);
    due_heap_clear(&(*hosts)->plans);
    slots_free(&(*hosts)->slots);
    weights_free(&(*hosts)->waits);
    weights_free(&(*hosts)->kept);
    held_endpoints_free(&(*hosts)->held);
    free(*hosts);
    *hosts = NULL;
}

/* ---- Where a host is ------------------------------------------------------------------------- */

/* Writes a name without its port and brackets. */
static void write_bare(char bare[PUSH_HOST_MAX], const char *name)
{
    const char *end = strrchr(name, ':');
    size_t len = end != NULL ? (size_t)(end - name) : strlen(name);

    if (len >= 2 && name[0] == '[' && name[len - 1] == ']')
        name++, len -= 2;
    memcpy(bare, name, len);
    bare[len] = '\0';
}

static void locate_by_name(struct host *host)
{
    char bare[PUSH_HOST_MAX];

    write_bare(bare, host->name);
    host->is_located = address_network(host->network, bare);
}

static void write_group(char group[GROUP_SIZE], const struct host *host)
{
    char bare[PUSH_HOST_MAX];

    if (host->is_located) {
        (void)strcpy(group, host->network);
        return;
    }
    write_bare(bare, host->name);
    (void)snprintf(group, GROUP_SIZE, "domain:%s", registered_domain(bare));
}

/* Moves a host into the class and group that it belongs to now. If memory is out, it stays. */
static bool place(struct hosts *hosts, struct host *host, int64_t now_ms)
{
    enum slots_class in = host->proven_until_ms > now_ms ? SLOTS_PROVEN : SLOTS_NEWCOMERS;
    char group[GROUP_SIZE];

    write_group(group, host);
    return slots_join(hosts->slots, &host->party, in, group);
}

/* ---- What a host may have -------------------------------------------------------------------- */

static bool is_held(const struct host *host, int64_t now_ms)
{
    return host->held_until_ms > now_ms;
}

static unsigned most_of(const struct host *host)
{
    unsigned most = HOSTS_SLOTS_MAX;

    if (host->party.in == SLOTS_NEWCOMERS)
        most = host->is_located ? SLOTS_GROUP_NEWCOMERS : 1;
    return host->allowed > 0 && host->allowed < most ? host->allowed : most;
}

static size_t waiting(const struct host *host)
{
    return host->waiting_count + host->held.targets;
}

/* How many more pushes the host itself would take. */
static unsigned room(const struct host *host, int64_t now_ms)
{
    if (is_held(host, now_ms))
        return 0;
    return push_health_slots(&host->health, now_ms, host->in_flight + host->called, most_of(host));
}

static void ask(struct hosts *hosts, struct host *host, int64_t now_ms)
{
    bool asks = host->waiting_count > 0 || !TAILQ_EMPTY(&host->held.ready);

    if (asks && room(host, now_ms) > 0)
        slots_ask(hosts->slots, &host->party);
    else
        slots_ask_no_more(hosts->slots, &host->party);
}

static void give_up_calls(struct hosts *hosts, struct host *host)
{
    for (; host->called > 0; host->called--)
        slots_give(hosts->slots, &host->party);
}

/* ---- What is remembered ---------------------------------------------------------------------- */

static struct host *host_new(struct hosts *hosts, const char *name, int64_t now_ms)
{
    size_t size = strlen(name) + 1;
    struct host *host;

    if (size > PUSH_HOST_MAX ||
        !due_heap_reserve(&hosts->plans, hash_table_count(hosts->table) + 1) ||
        (host = calloc(1, sizeof *host + size)) == NULL)
        return NULL;
    memcpy(host->name, name, size);
    host->item.key = host->name;
    host->held_until_ms = host->proven_until_ms = INT64_MIN;
    push_health_init(&host->health);
    held_waits_init(&host->held);
    locate_by_name(host);
    if (!place(hosts, host, now_ms)) {
        free(host);
        return NULL;
    }
    hash_table_add(hosts->table, &host->item);
    return host;
}

static bool is_idle(const struct host *host)
{
    return host->in_flight + host->called == 0 && waiting(host) == 0;
}

static int64_t forget_ms(const struct host *host)
{
    int64_t kept_ms = host->used_ms + HOSTS_KEPT_MS;

    return host->proven_until_ms > kept_ms ? host->proven_until_ms : kept_ms;
}

/* When a host changes by the passing of time alone. */
static int64_t plan_ms(const struct host *host, int64_t now_ms)
{
    if (host->called > 0)
        return host->called_ms + HOSTS_CALL_AGAIN_MS;
    if (is_idle(host))
        return is_held(host, now_ms) ? host->held_until_ms : forget_ms(host);
    if (waiting(host) == 0)
        return INT64_MAX;
    if (is_held(host, now_ms))
        return host->held_until_ms;
    if (push_health_is_down(&host->health) && host->health.probe_at_ms > now_ms)
        return host->health.probe_at_ms;
    return INT64_MAX; /* its network, or its half of the slots, is full */
}

static struct host *host_of_kept(struct weight *kept)
{
    return (struct host *)((char *)kept - offsetof(struct host, kept));
}

/* Call it after every change of a host. The host may be freed by it. */
static void plan(struct hosts *hosts, struct host *host, int64_t now_ms)
{
    bool idle = is_idle(host);
    int64_t next_ms = plan_ms(host, now_ms);
    char group[GROUP_SIZE];

    ask(hosts, host, now_ms);
    list_held(hosts, host, is_held(host, now_ms) || push_health_is_down(&host->health));
    write_group(group, host);
    due_heap_remove(&hosts->plans, &host->plan);
    if (!weights_set(hosts->kept, &host->kept, group, idle) || (idle && next_ms <= now_ms)) {
        forget(hosts, host); /* without memory it is idle */
        return;
    }
    if (next_ms != INT64_MAX)
        due_heap_add(&hosts->plans, &host->plan, next_ms);
    while (weights_total(hosts->kept) > HOSTS_KEPT_MOST)
        forget(hosts, host_of_kept(weights_heaviest(hosts->kept)));
}

/* ---- Who waits ------------------------------------------------------------------------------- */

/* Sets the weight that a host has by how many targets wait for it, and so many more. */
static bool weigh(struct hosts *hosts, struct host *host, size_t more)
{
    size_t count = waiting(host) + more;
    char group[GROUP_SIZE];

    write_group(group, host);
    return weights_set(hosts->waits, &host->waits, group,
                       count > 0 ? count + (1 + host->held.endpoints) * HOSTS_WEIGHT : 0);
}

static struct wake_target *shift(struct host *host, unsigned from)
{
    struct wake_target *target = wake_list_shift(&host->waiting[from]);

    if (target == NULL)
        return NULL;
    host->waiting_count--;
    return target;
}

/* Those who wait for their endpoints, and all others, in turn. */
static void call(struct hosts *hosts, struct host *host, int64_t now_ms, struct hosts_moved *moved)
{
    size_t n = host->in_flight + host->called == 0 ? HOSTS_CALLED : 1;
    struct wake_target *target;

    host->called++;
    host->called_ms = now_ms;
    host->calls_held = !host->calls_held;
    if (host->calls_held)
        n -= held_endpoints_call(hosts->held, &host->held, n, now_ms, &moved->called);
    for (unsigned from = 0; from < WAITS; from++)
        while (n > 0 && (target = shift(host, from)) != NULL) {
            wake_list_append(&moved->called, target);
            n--;
        }
    if (!host->calls_held)
        (void)held_endpoints_call(hosts->held, &host->held, n, now_ms, &moved->called);
    (void)weigh(hosts, host, 0);
}

static struct host *host_of_party(struct slots_party *party)
{
    return (struct host *)((char *)party - offsetof(struct host, party));
}

/* Calls targets whose turn has come. */
static void call_next(struct hosts *hosts, int64_t now_ms, struct hosts_moved *moved)
{
    struct slots_party *party;

    while ((party = slots_next(hosts->slots)) != NULL) {
        struct host *host = host_of_party(party);

        call(hosts, host, now_ms, moved);
        plan(hosts, host, now_ms);
    }
}

/* Drops one of a host's waiting targets, a silent one if there is any; rather one whose endpoint is
 * held than another. */
static void drop(struct hosts *hosts, struct host *host, int64_t now_ms, struct hosts_moved *moved)
{
    struct wake_target *target = held_endpoints_drop(hosts->held, &host->held, PUSH_SILENT);

    if (target == NULL)
        target = shift(host, WAIT_SILENT);
    if (target == NULL)
        target = shift(host, WAIT_SUSPECT);
    if (target == NULL)
        target = held_endpoints_drop(hosts->held, &host->held, PUSH_VISIBLE);
    if (target == NULL)
        target = shift(host, WAIT_VISIBLE);
    MUST(target != NULL);
    wake_list_append(&moved->dropped, target);
    (void)weigh(hosts, host, 0);
    plan(hosts, host, now_ms);
}

static struct host *host_of_waits(struct weight *waits)
{
    return (struct host *)((char *)waits - offsetof(struct host, waits));
}

static void line_up(struct host *host, push_endpoint_id endpoint, struct wake_target *target)
{
    unsigned where = WAIT_SILENT;

    if (push_health_suspects(&host->health, endpoint))
        where = WAIT_SUSPECT;
    else if (wake_target_kind(target) == PUSH_VISIBLE)
        where = WAIT_VISIBLE;
    wake_list_append(&host->waiting[where], target);
    host->waiting_count++;
}

/* For its endpoint, where that is (or may still be) held, or for the host. */
static enum hosts_entry have_wait(struct hosts *hosts, struct host *host, push_endpoint_id endpoint,
                                  struct held_endpoint *held, struct wake_target *target,
                                  int64_t now_ms, struct hosts_moved *moved)
{
    if (!weigh(hosts, host, 1)) {
        plan(hosts, host, now_ms);
        return HOSTS_NO_MEMORY;
    }
    if (held != NULL)
        held_endpoint_wait(hosts->held, held, &host->held, target, now_ms);
    else
        line_up(host, endpoint, target);
    (void)weigh(hosts, host, 0);
    plan(hosts, host, now_ms);
    if (waiting(host) > hosts->waiting_each)
        drop(hosts, host, now_ms, moved);
    while (weights_total(hosts->waits) > hosts->waiting_most)
        drop(hosts, host_of_waits(weights_heaviest(hosts->waits)), now_ms, moved);
    return HOSTS_WAITS;
}

/* ---- A push begins --------------------------------------------------------------------------- */

/* Whoever was called and must go on waiting leaves the slot to the next. */
static enum hosts_entry wait_for_endpoint(struct hosts *hosts, struct host *host,
                                          struct held_endpoint *held, struct wake_target *target,
                                          int64_t now_ms, struct hosts_moved *moved)
{
    enum hosts_entry entry;
    bool was_called = held_endpoint_was_called(held) && host->called > 0;

    if (was_called) {
        host->called--;
        slots_give(hosts->slots, &host->party);
    }
    entry = have_wait(hosts, host, 0, held, target, now_ms, moved);
    if (was_called)
        call_next(hosts, now_ms, moved);
    return entry == HOSTS_WAITS ? HOSTS_HELD : entry;
}

enum hosts_entry hosts_enter(struct hosts *hosts, const char *name, push_endpoint_id endpoint,
                             struct wake_target *target, int64_t now_ms, struct hosts_moved *moved)
{
    struct host *host = (struct host *)hash_table_find(hosts->table, name);
    struct held_endpoint *held;

    if (host == NULL && (host = host_new(hosts, name, now_ms)) == NULL)
        return HOSTS_NO_MEMORY;
    host->used_ms = now_ms;
    held = held_endpoints_find(hosts->held, &host->held, endpoint, now_ms);
    if (held != NULL && !held_endpoint_admits(held, now_ms))
        return wait_for_endpoint(hosts, host, held, target, now_ms, moved);
    if (host->party.in == SLOTS_PROVEN && host->proven_until_ms <= now_ms)
        (void)place(hosts, host, now_ms);
    if (host->called > 0)
        host->called--;
    else if (room(host, now_ms) == 0 || !slots_take(hosts->slots, &host->party))
        return have_wait(hosts, host, endpoint, held, target, now_ms, moved);
    if (held != NULL)
        held_endpoint_begin(held, now_ms);
    host->in_flight++;
    plan(hosts, host, now_ms);
    return HOSTS_ENTERED;
}

/* ---- A push ends ----------------------------------------------------------------------------- */

static bool has_no_more_room(const struct push_result *result)
{
    return result->outcome == PUSH_HELD_BACK && result->holds_host;
}

/* Holds a host that refuses some of our pushes and does not say until when. */
static void hold(struct host *host, int64_t now_ms)
{
    static const struct backoff holds = {HOSTS_HOLD_LEAST_MS, HOSTS_HOLD_MOST_MS, 0};

    if (is_held(host, now_ms)) /* this push began before the hold */
        return;
    host->allowed = 1;
    host->held_until_ms = now_ms + backoff_ms(&holds, ++host->holds, 0);
}

/* Allows more pushes at once, since the host has taken one after its hold. */
static void allow_more(struct host *host, int64_t now_ms)
{
    if (host->allowed == 0 || is_held(host, now_ms))
        return;
    host->holds = 0;
    host->allowed *= 2;
    if (host->allowed >= HOSTS_SLOTS_MAX)
        host->allowed = 0;
}

/* How much of the slots' time its pushes take. */
static void learn_time(struct hosts *hosts, struct host *host, const struct hosts_push *push)
{
    int64_t took_ms = push->ended_ms - push->begun_ms;

    if (took_ms >= HOSTS_SLOW_MS)
        took_ms = HOSTS_SLOW_MS - 1;
    host->push_ms =
        took_ms > host->push_ms ? took_ms : host->push_ms - (host->push_ms - took_ms) / FALLS_BY;
    slots_slow(hosts->slots, &host->party, (unsigned)(host->push_ms / HOSTS_SLOWER_MS));
}

/* Whether it is proven, and where it is. */
static void learn_place(struct hosts *hosts, struct host *host, const struct hosts_push *push,
                        const struct push_result *result, bool works, int64_t now_ms)
{
    char network[ADDRESS_NETWORK_SIZE];
    bool slow = result->timed_out || push->ended_ms - push->begun_ms >= HOSTS_SLOW_MS;

    if (address_network(network, result->peer)) {
        memcpy(host->network, network, sizeof network);
        host->is_located = true;
    }
    if (slow)
        host->proven_until_ms = INT64_MIN;
    else if (works)
        host->proven_until_ms = now_ms + HOSTS_PROVEN_MS;
    (void)place(hosts, host, now_ms);
}

static bool is_fault(const struct push_result *result)
{
    return result->outcome == PUSH_BACKEND_FAULT;
}

static bool says_that_it_works(const struct push_result *result)
{
    return result->answered && !is_fault(result) && result->outcome != PUSH_CANCELLED;
}

static struct hosts_verdict learn(struct hosts *hosts, struct host *host,
                                  const struct hosts_push *push, const struct push_result *result,
                                  int64_t now_ms)
{
    struct hosts_verdict verdict = {.until_ms = now_ms};
    bool works = says_that_it_works(result), down;

    if (works)
        (void)push_health_good(&host->health, push->endpoint, now_ms);
    else if (is_fault(result))
        (void)push_health_fault(&host->health, push->endpoint, result->answered, push->begun_ms,
                                now_ms, hosts->random);
    if (has_no_more_room(result))
        hold(host, now_ms);
    else if (works && result->outcome != PUSH_HELD_BACK)
        allow_more(host, now_ms);
    down = push_health_is_down(&host->health);
    if (down || is_held(host, now_ms))
        give_up_calls(hosts, host);
    learn_time(hosts, host, push);
    learn_place(hosts, host, push, result, works, now_ms);
    if (has_no_more_room(result))
        verdict.until_ms = host->held_until_ms;
    verdict.waits = has_no_more_room(result) || (is_fault(result) && down);
    verdict.blamed = is_fault(result) && !down &&
                     push_health_blames(&host->health, push->endpoint, push->failing_ms);
    return verdict;
}

struct hosts_verdict hosts_leave(struct hosts *hosts, const char *name,
                                 const struct hosts_push *push, const struct push_result *result,
                                 int64_t now_ms, struct hosts_moved *moved)
{
    struct host *host = (struct host *)hash_table_find(hosts->table, name);
    struct hosts_verdict verdict = {.until_ms = now_ms};

    MUST(host != NULL && host->in_flight > 0);
    if (result != NULL)
        verdict = learn(hosts, host, push, result, now_ms);
    if (held_endpoints_leave(hosts->held, &host->held, push->endpoint, push->begun_ms, result,
                             now_ms, &verdict.until_ms))
        verdict.waits = true;
    host->in_flight--;
    host->used_ms = now_ms;
    slots_give(hosts->slots, &host->party);
    plan(hosts, host, now_ms);
    call_next(hosts, now_ms, moved);
    return verdict;
}

static struct host *host_of_held(struct held_waits *held)
{
    return (struct host *)((char *)held - offsetof(struct host, held));
}

int64_t hosts_run(struct hosts *hosts, int64_t now_ms, struct hosts_moved *moved)
{
    struct due_item *first;
    struct held_waits *held;
    int64_t next_ms;

    while ((held = held_endpoints_due(hosts->held, now_ms)) != NULL)
        plan(hosts, host_of_held(held), now_ms);
    while ((first = due_heap_first(&hosts->plans)) != NULL && first->ready_ms <= now_ms) {
        struct host *host = (struct host *)((char *)first - offsetof(struct host, plan));

        give_up_calls(hosts, host);
        plan(hosts, host, now_ms);
    }
    call_next(hosts, now_ms, moved);
    next_ms = held_endpoints_next_ms(hosts->held);
    first = due_heap_first(&hosts->plans);
    return first != NULL && first->ready_ms < next_ms ? first->ready_ms : next_ms;
}

size_t hosts_held(const struct hosts *hosts)
{
    return hosts->down_count;
}

size_t hosts_write_held(const struct hosts *hosts, char *out, size_t size)
{
    const struct host *host;
    size_t used = 0;

    TAILQ_FOREACH(host, &hosts->down, down) {
        size_t len = strlen(host->name);

        if (used + len + sizeof " " HEARTBEAT_HELD_MORE > size)
            return used + (size_t)snprintf(out + used, size - used, HEARTBEAT_HELD_MORE);
        used += (size_t)snprintf(out + used, size - used, "%s ", host->name);
    }
    out[used] = '\0';
    return used;
}

uint64_t hosts_held_version(const struct hosts *hosts)
{
    return hosts->down_version;
}

push_endpoint_id hosts_endpoint(const char *url)
{
    struct device_id id;
    push_endpoint_id endpoint = 0;

    if (device_id_of(&id, url))
        (void)sscanf(id.hex, "%16" SCNx64, &endpoint);
    return endpoint;
}
