#include "wake_reader.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "log/log.h"
#include "notify_delay.h"
#include "registry/registry_wakes.h"
#include "registry/stats.h"
#include "settings/settings.h"

#define BATCH          128
#define BLOCK_MS       2000
#define PATIENCE_MS    1000 /* beyond what Redis may take by right */
#define RETRY_MS       250
#define RETRY_MOST_MS  1000
#define FULL_RETRY_MS  100
#define CLOCK_EVERY_MS 60000

/* Upper bound on clock drift in CLOCK_EVERY_MS, plus how early merging may send a wake. */
#define DRIFT_MS (30 + WAKE_SOON_MS)

/* Upper bound on the time between two readings of Redis's clock in one function. */
#define SAME_CALL_SLACK_MS 20

enum state {
    READER_DOWN, /* the group is to be made sure of first */
    READER_READY,
    READER_ASKED,
    READER_STOPPED
};

struct wake_reader {
    struct registry *registry;
    struct stats *stats;
    enum state state;
    bool up;
    bool may_own;  /* read our unacknowledged entries */
    bool own;      /* reading our unacknowledged entries, from the one after `after` */
    bool overflow; /* some of what was read did not fit: read our own again */
    char after[WAKE_ID_SIZE];
    unsigned asked;
    int64_t deadline_ms; /* READER_ASKED */
    int64_t retry_ms;    /* READER_DOWN, READER_READY */
    int64_t retry_wait_ms;
    int64_t own_again_ms;   /* when our own are to be read once more; INT64_MAX: not at all */
    int64_t redis_clock_ms; /* Redis's Unix clock less ours */
    int64_t clock_due_ms;
    struct wake wakes[BATCH];
};

struct wake_reader *wake_reader_new(const struct settings *settings, struct stats *stats)
{
    struct wake_reader *reader = calloc(1, sizeof *reader);

    if (reader == NULL)
        return NULL;
    reader->stats = stats;
    reader->registry = registry_new(settings, stats);
    reader->state = READER_STOPPED;
    reader->retry_wait_ms = RETRY_MS;
    if (reader->registry == NULL)
        wake_reader_free(&reader);
    return reader;
}

void wake_reader_free(struct wake_reader **reader)
{
    if (*reader == NULL)
        return;
    registry_free(&(*reader)->registry);
    explicit_bzero((*reader)->wakes, sizeof(*reader)->wakes);
    free(*reader);
    *reader = NULL;
}

void wake_reader_restart(struct wake_reader *reader, bool own)
{
    registry_disconnect(reader->registry);
    reader->state = READER_DOWN;
    reader->retry_ms = INT64_MIN;
    reader->overflow = false;
    reader->may_own = own;
}

static void read_own_from_start(struct wake_reader *reader)
{
    reader->own = true;
    memcpy(reader->after, "0", 2);
}

/* `broken`: Redis is away, as opposed to having lost the group. */
static void go_down(struct wake_reader *reader, bool broken, int64_t now_ms)
{
    registry_disconnect(reader->registry);
    reader->state = READER_DOWN;
    reader->retry_ms = now_ms + reader->retry_wait_ms;
    if (!broken)
        return;
    reader->retry_wait_ms *= 2;
    if (reader->retry_wait_ms > RETRY_MOST_MS)
        reader->retry_wait_ms = RETRY_MOST_MS;
    reader->up = false;
}

/* Our own clock is read after the answer, so that nothing seems due earlier than it is. */
static bool read_clock(struct wake_reader *reader, int64_t now_ms)
{
    int64_t unix_ms;

    if (registry_time(reader->registry, &unix_ms) != REGISTRY_OK)
        return false;
    reader->redis_clock_ms = unix_ms - clock_monotonic_ms();
    reader->clock_due_ms = now_ms + CLOCK_EVERY_MS;
    return true;
}

static void prepare(struct wake_reader *reader, int64_t now_ms)
{
    if (registry_wakes_prepare(reader->registry) != REGISTRY_OK || !read_clock(reader, now_ms)) {
        go_down(reader, true, now_ms);
        return;
    }
    if (!reader->up)
        log_info("wakes: being read from Redis");
    reader->up = true;
    reader->state = READER_READY;
    reader->own = false;
    reader->own_again_ms = INT64_MAX;
    if (!reader->may_own)
        return;
    reader->own_again_ms = now_ms + BLOCK_MS + PATIENCE_MS;
    read_own_from_start(reader);
}

static void ask(struct wake_reader *reader, struct wake_queue *queue, int64_t now_ms)
{
    size_t room = wake_queue_room(queue);

    if (room == 0) {
        reader->retry_ms = now_ms + FULL_RETRY_MS;
        return;
    }
    if (now_ms >= reader->own_again_ms) {
        reader->own_again_ms = INT64_MAX;
        read_own_from_start(reader);
    }
    reader->asked = room < BATCH ? (unsigned)room : BATCH;
    if (registry_wakes_ask(reader->registry, reader->own ? reader->after : NULL, reader->asked,
                           BLOCK_MS) != REGISTRY_OK) {
        go_down(reader, true, now_ms);
        return;
    }
    reader->state = READER_ASKED;
    reader->deadline_ms = now_ms + PATIENCE_MS + (reader->own ? 0 : BLOCK_MS);
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
static int64_t due_ms(const struct wake_reader *reader, const struct wake *wake, int64_t now_ms)
{
    int64_t due = wake->not_before_ms - reader->redis_clock_ms;
    int64_t pause = wake->via == WAKE_VIA_NOTIFY ? notify_delay_ms(random_up_to) : 0;

    if (!is_immediate(wake))
        return due + DRIFT_MS;
    return (due < now_ms ? due : now_ms) + pause;
}

/* For the debug log. One that is known was told of when it was added. */
static void tell(const struct wake *wake, enum wake_added added, int64_t wait_ms, unsigned merged)
{
    static const char *const causes[] = {
        [WAKE_VIA_NOTIFY] = "a notify",
        [WAKE_VIA_QUIET] = "an event, silently",
        [WAKE_VIA_RELAY] = "an event",
    };
    struct log_name name = log_debug_name(&wake->key);

    if (added == WAKE_FULL)
        log_debug("wakes: %s has a wake for which there is no room yet: it stays in Redis",
                  name.text);
    else if (added == WAKE_ADDED && merged > 0)
        log_debug("wakes: %s is to be woken by %s: merged, for one push covers it and another",
                  name.text, causes[wake->via]);
    else if (added == WAKE_ADDED && !is_immediate(wake))
        log_debug("wakes: %s is to be woken by %s: deferred by %lld ms", name.text,
                  causes[wake->via], (long long)wait_ms);
    else if (added == WAKE_ADDED)
        log_debug("wakes: %s is to be woken by %s: at once", name.text, causes[wake->via]);
}

static void take(struct wake_reader *reader, struct wake_queue *queue, size_t n, int64_t now_ms)
{
    for (size_t i = 0; i < n; i++) {
        const struct wake *wake = &reader->wakes[i];
        unsigned merged;

        int64_t due = due_ms(reader, wake, now_ms);
        enum wake_added added = wake_queue_add(queue, wake, due, now_ms, &merged);

        if (added == WAKE_FULL)
            reader->overflow = true;
        tell(wake, added, due - now_ms, merged);
        stats_add(reader->stats, STAT_WAKES_MERGED, merged);
    }
}

static void collect(struct wake_reader *reader, struct wake_queue *queue, int64_t now_ms)
{
    char last_id[WAKE_ID_SIZE];
    enum registry_result result;
    size_t n = 0;

    memcpy(last_id, reader->after, sizeof last_id);
    result = registry_wakes_collect(reader->registry, reader->wakes, reader->asked, &n, last_id);
    if (result == REGISTRY_PENDING)
        return;
    if (result != REGISTRY_OK) {
        go_down(reader, result != REGISTRY_NOT_FOUND, now_ms);
        return;
    }
    reader->state = READER_READY;
    reader->retry_ms = INT64_MIN;
    reader->retry_wait_ms = RETRY_MS;
    take(reader, queue, n, now_ms);
    if (reader->own && strcmp(last_id, reader->after) == 0)
        reader->own = false;
    else if (reader->own)
        memcpy(reader->after, last_id, sizeof last_id);
    if (reader->overflow && reader->may_own && !reader->own) {
        reader->overflow = false;
        reader->retry_ms = now_ms + RETRY_MS;
        read_own_from_start(reader);
    }
}

static bool is_readable(const struct wake_reader *reader)
{
    struct pollfd fd = {.fd = registry_fd(reader->registry), .events = POLLIN};

    return fd.fd >= 0 && poll(&fd, 1, 0) > 0;
}

/* Nothing has been asked, so what can be read is the end of the connection; and even if it were not
 * replaced by another server, a new connection begins with what prepare() does. */
static void check_connection(struct wake_reader *reader, int64_t now_ms)
{
    if (is_readable(reader)) {
        registry_disconnect(reader->registry);
        prepare(reader, now_ms);
    } else if (now_ms >= reader->clock_due_ms && !read_clock(reader, now_ms)) {
        go_down(reader, true, now_ms);
    }
}

int64_t wake_reader_run(struct wake_reader *reader, struct wake_queue *queue, int64_t now_ms)
{
    if (reader->state == READER_STOPPED)
        return INT64_MAX;
    if (reader->state == READER_ASKED) {
        if (is_readable(reader))
            collect(reader, queue, now_ms);
        else if (now_ms >= reader->deadline_ms)
            go_down(reader, true, now_ms);
    }
    if (reader->state == READER_DOWN && now_ms >= reader->retry_ms)
        prepare(reader, now_ms);
    if (reader->state == READER_READY && now_ms >= reader->retry_ms)
        check_connection(reader, now_ms);
    if (reader->state == READER_READY && now_ms >= reader->retry_ms)
        ask(reader, queue, now_ms);
    return reader->state == READER_ASKED ? reader->deadline_ms : reader->retry_ms;
}

int wake_reader_fd(const struct wake_reader *reader)
{
    return reader->state == READER_ASKED ? registry_fd(reader->registry) : -1;
}

bool wake_reader_reads_own(const struct wake_reader *reader)
{
    return reader->state == READER_ASKED && reader->own;
}

bool wake_reader_is_up(const struct wake_reader *reader)
{
    return reader->up;
}

void wake_reader_stop(struct wake_reader *reader)
{
    registry_disconnect(reader->registry);
    reader->state = READER_STOPPED;
}
