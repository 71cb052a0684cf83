#include "inbox.h"

#include <openssl/crypto.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/random.h"
#include "log/log.h"
#include "notify_delay.h"
#include "registry/registry_wakes.h"
#include "registry/stats.h"
#include "settings/settings.h"

#define BATCH          128
#define BLOCK_MS       2000
#define PATIENCE_MS    1000  /* beyond what Redis may take by right */
#define MEMORY_MS      10000 /* until what there was no memory for is read again */
#define CLOCK_EVERY_MS 60000

/* Upper bound on clock drift in CLOCK_EVERY_MS, plus how early merging may send a wake. */
#define DRIFT_MS (30 + WAKE_SOON_MS)

/* Upper bound on the time between two readings of Redis's clock in one function. */
#define SAME_CALL_SLACK_MS 20

static const struct backoff retries = {250, 1000, 0};

enum state {
    INBOX_DOWN, /* the group is to be made sure of first */
    INBOX_READY,
    INBOX_ASKED,
    INBOX_STOPPED /* until it is restarted */
};

struct inbox {
    struct registry *registry;
    struct stats *stats;
    enum state state;
    bool up;
    int64_t since_us; /* of the lease under which it reads */
    bool may_own;     /* have our unacknowledged entries, and what waits in Redis */
    bool own;         /* reading our unacknowledged entries, from the one after `after` */
    bool wants_restore;
    char after[WAKE_ID_SIZE];
    int64_t deadline_ms;    /* INBOX_ASKED */
    int64_t retry_ms;       /* INBOX_DOWN, INBOX_READY */
    unsigned failures;      /* in a row */
    int64_t own_again_ms;   /* when all of that is to be read once more; INT64_MAX: not at all */
    int64_t redis_clock_ms; /* Redis's Unix clock less ours */
    int64_t clock_due_ms;
    struct wake wakes[BATCH];
    struct registry_at_once at_once;
    size_t at_once_next; /* where inbox_registration() looks first */
};

struct inbox *inbox_new(const struct settings *settings, struct stats *stats)
{
    struct inbox *inbox = calloc(1, sizeof *inbox);

    if (inbox == NULL)
        return NULL;
    inbox->stats = stats;
    inbox->registry = registry_new(settings, stats);
    inbox->state = INBOX_STOPPED;
    if (inbox->registry == NULL)
        inbox_free(&inbox);
    return inbox;
}

void inbox_free(struct inbox **inbox)
{
    if (*inbox == NULL)
        return;
    registry_free(&(*inbox)->registry);
    inbox_forget_registrations(*inbox);
    explicit_bzero((*inbox)->wakes, sizeof(*inbox)->wakes);
    free(*inbox);
    *inbox = NULL;
}

void inbox_restart(struct inbox *inbox, int64_t since_us, bool own)
{
    registry_disconnect(inbox->registry);
    inbox->state = INBOX_DOWN;
    inbox->retry_ms = INT64_MIN;
    inbox->since_us = since_us;
    inbox->may_own = own;
    inbox->wants_restore = false;
}

static void read_own_from_start(struct inbox *inbox)
{
    inbox->own = true;
    inbox->wants_restore = true;
    memcpy(inbox->after, "0", 2);
}

bool inbox_wants_restore(struct inbox *inbox)
{
    bool wants = inbox->wants_restore;

    inbox->wants_restore = false;
    return wants;
}

/* `broken`: Redis is away, as opposed to having lost the group. */
static void go_down(struct inbox *inbox, bool broken, int64_t now_ms)
{
    registry_disconnect(inbox->registry);
    inbox->state = INBOX_DOWN;
    inbox->retry_ms = now_ms + backoff_ms(&retries, inbox->failures + 1, 0);
    if (!broken)
        return;
    inbox->failures++;
    inbox->up = false;
}

/* Our own clock is read after the answer, so that nothing seems due earlier than it is. */
static bool read_clock(struct inbox *inbox, int64_t now_ms)
{
    int64_t unix_ms;

    if (registry_time(inbox->registry, &unix_ms) != REGISTRY_OK)
        return false;
    inbox->redis_clock_ms = unix_ms - clock_monotonic_ms();
    inbox->clock_due_ms = now_ms + CLOCK_EVERY_MS;
    return true;
}

static void prepare(struct inbox *inbox, int64_t now_ms)
{
    if (registry_wakes_prepare(inbox->registry) != REGISTRY_OK || !read_clock(inbox, now_ms)) {
        go_down(inbox, true, now_ms);
        return;
    }
    if (!inbox->up)
        log_info("wakes: reading from Redis");
    inbox->up = true;
    inbox->state = INBOX_READY;
    inbox->own = false;
    inbox->own_again_ms = INT64_MAX;
    if (!inbox->may_own)
        return;
    inbox->own_again_ms = now_ms + BLOCK_MS + PATIENCE_MS;
    read_own_from_start(inbox);
}

static void ask(struct inbox *inbox, int64_t now_ms)
{
    if (now_ms >= inbox->own_again_ms) {
        inbox->own_again_ms = INT64_MAX;
        read_own_from_start(inbox);
    }
    if (registry_wakes_ask(inbox->registry, inbox->own ? inbox->after : NULL, BATCH, BLOCK_MS) !=
        REGISTRY_OK) {
        go_down(inbox, true, now_ms);
        return;
    }
    inbox->state = INBOX_ASKED;
    inbox->deadline_ms = now_ms + PATIENCE_MS + (inbox->own ? 0 : BLOCK_MS);
}

/* Whether a wake was due when it was queued. Its id and not_before were then read from one clock in
 * one breath; the id is ahead where that clock was set back, and then this cannot be told. */
static bool is_immediate(const struct wake *wake)
{
    int64_t wait = wake->not_before_ms - wake->queued_ms;

    return wait >= -SAME_CALL_SLACK_MS && wait <= 1;
}

/* When a wake is due by our clock. A deferred one must not be taken early: as long as
 * due:<trade_pubkey> is there it stands for others that are still to come. */
static int64_t due_ms(const struct inbox *inbox, const struct wake *wake, int64_t now_ms)
{
    int64_t due = wake->not_before_ms - inbox->redis_clock_ms;
    int64_t pause = wake->via == WAKE_VIA_NOTIFY ? notify_delay_ms(random_up_to) : 0;

    if (!is_immediate(wake))
        return due + DRIFT_MS;
    return (due < now_ms ? due : now_ms) + pause;
}

/* For traces and the debug log. */
static void tell(const struct wake *wake, bool waits, int64_t wait_ms, unsigned merged)
{
    static const char *const causes[] = {
        [WAKE_VIA_NOTIFY] = "a notify",
        [WAKE_VIA_QUIET] = "an event, silently",
        [WAKE_VIA_RELAY] = "an event",
    };
    struct log_name name = log_step_name(&wake->key);

    if (!waits)
        log_step(&name,
                 "wakes: %s is to be woken by %s: not registered, or no longer: not pushed to",
                 name.text, causes[wake->via]);
    else if (merged > 0)
        log_step(&name,
                 "wakes: %s is to be woken by %s: merged, for one push covers it and another",
                 name.text, causes[wake->via]);
    else if (!is_immediate(wake))
        log_step(&name, "wakes: %s is to be woken by %s: deferred by %lld ms", name.text,
                 causes[wake->via], (long long)wait_ms);
    else
        log_step(&name, "wakes: %s is to be woken by %s: at once", name.text, causes[wake->via]);
}

static void put(struct inbox *inbox, struct wake_queue *queue, const struct wake *wake, bool waits,
                int64_t now_ms)
{
    int64_t due = due_ms(inbox, wake, now_ms);
    unsigned merged = 0;

    if (!waits)
        stats_add(inbox->stats, STAT_WAKES_UNREGISTERED, 1);
    else if (wake_queue_add(queue, wake, due, now_ms, &merged) == WAKE_NO_MEMORY)
        inbox->own_again_ms = now_ms + MEMORY_MS; /* it waits in Redis */
    stats_add(inbox->stats, STAT_WAKES_MERGED, merged);
    tell(wake, waits, due - now_ms, merged);
}

static bool is_readable(const struct inbox *inbox)
{
    struct pollfd fd = {.fd = registry_fd(inbox->registry), .events = POLLIN};

    return fd.fd >= 0 && poll(&fd, 1, 0) > 0;
}

/* Where the answer is lost the entries may have been taken all the same: a new connection begins
 * with reading what waits. False: nothing was taken. */
static bool take(struct inbox *inbox, struct wake_queue *queue, size_t n, int64_t now_ms)
{
    bool waits[BATCH];
    enum registry_result result;

    if (n == 0)
        return true;
    if (is_readable(inbox)) { /* see check_connection() */
        go_down(inbox, false, now_ms);
        return false;
    }
    result = registry_wakes_take(inbox->registry, inbox->since_us, inbox->wakes, n, waits,
                                 &inbox->at_once);
    if (result == REGISTRY_LAPSED) {
        inbox_stop(inbox);
        return false;
    }
    if (result != REGISTRY_OK) {
        go_down(inbox, true, now_ms);
        return false;
    }
    for (size_t i = 0; i < n; i++)
        put(inbox, queue, &inbox->wakes[i], waits[i], now_ms);
    return true;
}

static void collect(struct inbox *inbox, struct wake_queue *queue, int64_t now_ms)
{
    char last_id[WAKE_ID_SIZE];
    enum registry_result result;
    size_t n = 0;

    memcpy(last_id, inbox->after, sizeof last_id);
    result = registry_wakes_collect(inbox->registry, inbox->wakes, BATCH, &n, last_id);
    if (result == REGISTRY_PENDING)
        return;
    if (result != REGISTRY_OK) {
        go_down(inbox, result != REGISTRY_NOT_FOUND, now_ms);
        return;
    }
    inbox->state = INBOX_READY;
    inbox->retry_ms = INT64_MIN;
    inbox->failures = 0;
    if (!take(inbox, queue, n, now_ms))
        return;
    if (inbox->own && strcmp(last_id, inbox->after) == 0)
        inbox->own = false;
    else if (inbox->own)
        memcpy(inbox->after, last_id, sizeof last_id);
}

/* Nothing has been asked, so what can be read is the end of the connection; and even if it were not
 * replaced by another server, a new connection begins with what prepare() does. */
static void check_connection(struct inbox *inbox, int64_t now_ms)
{
    if (is_readable(inbox)) {
        registry_disconnect(inbox->registry);
        prepare(inbox, now_ms);
    } else if (now_ms >= inbox->clock_due_ms && !read_clock(inbox, now_ms)) {
        go_down(inbox, true, now_ms);
    }
}

int64_t inbox_run(struct inbox *inbox, struct wake_queue *queue, int64_t now_ms)
{
    if (inbox->state == INBOX_STOPPED)
        return INT64_MAX;
    if (inbox->state == INBOX_ASKED) {
        if (is_readable(inbox))
            collect(inbox, queue, now_ms);
        else if (now_ms >= inbox->deadline_ms)
            go_down(inbox, true, now_ms);
    }
    if (inbox->state == INBOX_DOWN && now_ms >= inbox->retry_ms)
        prepare(inbox, now_ms);
    if (inbox->state == INBOX_READY && now_ms >= inbox->retry_ms)
        check_connection(inbox, now_ms);
    if (inbox->state == INBOX_READY && now_ms >= inbox->retry_ms)
        ask(inbox, now_ms);
    return inbox->state == INBOX_ASKED ? inbox->deadline_ms : inbox->retry_ms;
}

/* They are asked for in the order in which they came, nearly always. */
const struct registration *inbox_registration(struct inbox *inbox, const struct trade_pubkey *key)
{
    const struct registry_at_once *known = &inbox->at_once;

    for (size_t i = 0; i < known->n; i++) {
        size_t at = (inbox->at_once_next + i) % known->n;

        if (memcmp(known->keys[at].hex, key->hex, TRADE_PUBKEY_LEN) == 0) {
            inbox->at_once_next = at + 1;
            return &known->registrations[at];
        }
    }
    return NULL;
}

void inbox_forget_registrations(struct inbox *inbox)
{
    struct registry_at_once *known = &inbox->at_once;

    OPENSSL_cleanse(known->keys, known->n * sizeof known->keys[0]);
    OPENSSL_cleanse(known->registrations, known->n * sizeof known->registrations[0]);
    known->n = 0;
    inbox->at_once_next = 0;
}

int inbox_fd(const struct inbox *inbox)
{
    return inbox->state == INBOX_ASKED ? registry_fd(inbox->registry) : -1;
}

void inbox_stop(struct inbox *inbox)
{
    registry_disconnect(inbox->registry);
    inbox->state = INBOX_STOPPED;
}
