#include "dispatcher.h"

#include <openssl/crypto.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bell.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/thread.h"
#include "log/log.h"
#include "push/push_backend.h"
#include "push_desk.h"
#include "registry/registry_wakes.h"
#include "registry/stats.h"
#include "settings/settings.h"
#include "turns.h"
#include "wakes/inbox.h"
#include "wakes/pauses.h"
#include "wakes/restore.h"
#include "wakes/takeover.h"
#include "wakes/wake_queue.h"

#define LOOKUP_BATCH      64
#define DONE_EVERY_MS     10 /* a process that is killed repeats the pushes that ended since */
#define DRAIN_MS          10000
#define CANCEL_MS         3000 /* by then push_thread_guard() has freed a thread from its peer */
#define DRAIN_TELL_MS     1000
#define COMMANDS_RETRY_MS 250
#define SORT_EVERY_MS     100
#define WAIT_MOST_MS      60000
#define TELL_EVERY_MS     10000

struct dispatcher {
    int bell; /* rung by other threads; -1: none */
    struct wake_queue *queue;
    struct inbox *inbox;
    struct push_desk *desk;
    struct registry *registry;
    struct registration *registrations; /* LOOKUP_BATCH of them */
    int64_t registry_retry_ms;          /* Redis is left alone until then */
    int64_t done_again_ms;              /* when Redis may next be told what is done with */
    int64_t *sort_due_ms;               /* by lane: see lookups() */
    struct turns turns;                 /* made of the queue and the desk */
    struct push_ended_list dead;        /* pushes whose registration is to be removed */
    struct lease lease;                 /* under which wakes are read */
    struct takeover takeover;
    struct restore restore;
    struct pauses pauses;
    struct log_pace dropped;
    pthread_t thread;
    bool running;
    _Atomic int64_t held_since_us; /* what the main thread says of the lease */
    atomic_bool held_alone;
    atomic_bool stop;
    atomic_uint in_flight, backlog, hosts_held; /* what it tells of itself, */
    _Atomic int backends[STATS_BACKEND_COUNT];  /* an enum report_state each, */
    pthread_mutex_t held_lock;
    char held_hosts[HEARTBEAT_HELD_SIZE]; /* and this, under the lock */
    uint64_t held_version;
};

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- Commands to Redis ----------------------------------------------------------------------- */

static bool commands_work(const struct dispatcher *dispatcher, int64_t now_ms)
{
    return now_ms >= dispatcher->registry_retry_ms;
}

/* Reads the clock anew, since a command may have taken long to fail. */
static bool succeeded(struct dispatcher *dispatcher, enum registry_result result)
{
    if (result == REGISTRY_OK || result == REGISTRY_NOT_FOUND)
        return true;
    dispatcher->registry_retry_ms = clock_monotonic_ms() + COMMANDS_RETRY_MS;
    return false;
}

/* Tells the queue which pushes have ended. */
static void settle(struct dispatcher *dispatcher, int64_t now_ms)
{
    struct push_ended *dead;

    while ((dead = turns_settle(&dispatcher->turns, now_ms)) != NULL)
        STAILQ_INSERT_TAIL(&dispatcher->dead, dead, next);
}

/* Removes dead tokens from the registry, and only then ends their wakes. */
static void forget_dead(struct dispatcher *dispatcher, int64_t now_ms)
{
    struct push_ended *dead;

    while (commands_work(dispatcher, now_ms) && (dead = STAILQ_FIRST(&dispatcher->dead)) != NULL) {
        enum registry_result result = registry_forget(
            dispatcher->registry, wake_target_key(dead->target), dead->token, dead->version);

        if (!succeeded(dispatcher, result))
            continue; /* commands do not work now */
        STAILQ_REMOVE_HEAD(&dispatcher->dead, next);
        turns_settle_dead(&dispatcher->turns, &dead, result == REGISTRY_NOT_FOUND, now_ms);
    }
}

/* Tells Redis which wakes are done with: of a lone one at once, of many in one call every
 * DONE_EVERY_MS, since a call for one costs as much as taking it did. */
static void acknowledge(struct dispatcher *dispatcher, int64_t now_ms)
{
    struct wake_done done[REGISTRY_DONE_MAX];
    size_t n;

    if (now_ms < dispatcher->done_again_ms)
        return;
    while (commands_work(dispatcher, now_ms) &&
           (n = wake_queue_done(dispatcher->queue, done, REGISTRY_DONE_MAX)) > 0) {
        if (succeeded(dispatcher, registry_wakes_done(dispatcher->registry, done, n)))
            wake_queue_acknowledged(dispatcher->queue, n);
        dispatcher->done_again_ms = now_ms + DONE_EVERY_MS;
    }
}

/* When there is something to tell Redis; INT64_MAX: there is nothing. */
static int64_t news_ms(const struct dispatcher *dispatcher, int64_t now_ms)
{
    struct wake_done done;

    if (!STAILQ_EMPTY(&dispatcher->dead))
        return now_ms;
    if (wake_queue_done(dispatcher->queue, &done, 1) > 0)
        return dispatcher->done_again_ms;
    return INT64_MAX;
}

/* ---- Whose wakes they are -------------------------------------------------------------------- */

/* Reads the lease's time first, so that `alone` never belongs to the lease before. */
static void follow_tenure(struct dispatcher *dispatcher, int64_t now_ms)
{
    struct lease held = {.since_us = atomic_load(&dispatcher->held_since_us),
                         .alone = atomic_load(&dispatcher->held_alone)};

    if (held.since_us == 0 ||
        (held.since_us == dispatcher->lease.since_us && held.alone == dispatcher->lease.alone))
        return;
    if (held.since_us != dispatcher->lease.since_us) {
        if (dispatcher->lease.since_us != 0)
            log_warn("dispatcher: Redis had lost this listener's heartbeat; its wakes are read "
                     "anew");
        wake_queue_disown(dispatcher->queue);
        takeover_begin(&dispatcher->takeover, held.since_us, now_ms);
    }
    dispatcher->lease = held;
    inbox_restart(dispatcher->inbox, held.since_us, held.alone);
}

static void take_over(struct dispatcher *dispatcher, int64_t now_ms)
{
    int64_t adopted;

    if (!commands_work(dispatcher, now_ms) ||
        !succeeded(dispatcher,
                   takeover_run(&dispatcher->takeover, dispatcher->registry, now_ms, &adopted)) ||
        adopted == 0)
        return;
    log_warn("dispatcher: took over %lld wakes of listeners that are gone", (long long)adopted);
    inbox_restart(dispatcher->inbox, dispatcher->lease.since_us, dispatcher->lease.alone);
}

/* Takes the wakes that have come, and reads those that wait in Redis but not here. Returns when to
 * be called again. */
static int64_t take_in(struct dispatcher *dispatcher, int64_t now_ms)
{
    int64_t next_ms = inbox_run(dispatcher->inbox, dispatcher->queue, now_ms);
    struct restore *restore = &dispatcher->restore;
    unsigned dropped;

    if (inbox_wants_restore(dispatcher->inbox))
        restore_begin(restore, dispatcher->lease.since_us, now_ms);
    if (commands_work(dispatcher, now_ms))
        (void)succeeded(dispatcher,
                        restore_run(restore, dispatcher->registry, dispatcher->queue, now_ms));
    dropped = wake_queue_dropped(dispatcher->queue);
    stats_add(dispatcher->turns.stats, STAT_WAKES_DROPPED, dropped);
    if (dropped > 0 && log_is_due(&dispatcher->dropped, now_ms, TELL_EVERY_MS))
        log_warn("dispatcher: WAITING_MAX is reached, so that the oldest silent wakes are dropped: "
                 "see why "
                 "pushes do not go out, or raise it");
    return next_ms;
}

/* ---- Pushing --------------------------------------------------------------------------------- */

/* How many of a lane's targets to look up now. A back end that is down takes no pushes, but phones
 * that wait for it may have moved to another or unregistered. So a few are looked up now and then;
 * those that are still there line up again behind the rest. */
static size_t lookups(struct dispatcher *dispatcher, unsigned lane, int64_t now_ms)
{
    size_t n = push_desk_slots(dispatcher->desk, lane, now_ms);

    if (n == 0 && push_desk_is_down(dispatcher->desk, lane) &&
        now_ms >= dispatcher->sort_due_ms[lane]) {
        dispatcher->sort_due_ms[lane] = now_ms + SORT_EVERY_MS;
        n = LOOKUP_BATCH;
    }
    return n < LOOKUP_BATCH ? n : LOOKUP_BATCH;
}

/* When lookups() may become more than 0 although no push ends. */
static int64_t next_lookup_ms(const struct dispatcher *dispatcher, unsigned lane, int64_t now_ms)
{
    int64_t next = push_desk_next_slot_ms(dispatcher->desk, lane, now_ms);

    if (push_desk_is_down(dispatcher->desk, lane))
        next = earlier(next, dispatcher->sort_due_ms[lane]);
    return next;
}

/* Serves targets whose registrations came with their wakes in this round: they are as new as looked
 * up ones, for no push leaves later than PUSH_THREAD_SOON_MS after its round began. Returns how
 * many are left, which become the first of `targets`. */
static size_t serve_known(struct dispatcher *dispatcher, struct wake_target **targets, size_t n,
                          int64_t now_ms)
{
    size_t left = 0;

    for (size_t i = 0; i < n; i++) {
        const struct registration *known =
            inbox_registration(dispatcher->inbox, wake_target_key(targets[i]));

        if (known != NULL)
            turns_serve(&dispatcher->turns, targets[i], known, now_ms);
        else
            targets[left++] = targets[i];
    }
    return left;
}

/* Looks up targets of a lane, right before they are pushed to. */
static void serve_unknown(struct dispatcher *dispatcher, unsigned lane,
                          struct wake_target *const *targets, size_t n, int64_t now_ms)
{
    struct trade_pubkey keys[LOOKUP_BATCH];
    bool found[LOOKUP_BATCH];
    enum registry_result result;

    for (size_t i = 0; i < n; i++)
        keys[i] = *wake_target_key(targets[i]);
    result = registry_lookup(dispatcher->registry, dispatcher->lease.since_us, keys, n,
                             dispatcher->registrations, found);
    if (result == REGISTRY_PENDING)
        dispatcher->pauses.due_ms = now_ms; /* pushing is held: see pauses_run() */
    if (result != REGISTRY_PENDING && succeeded(dispatcher, result)) {
        for (size_t i = 0; i < n; i++)
            turns_serve(&dispatcher->turns, targets[i],
                        found[i] ? &dispatcher->registrations[i] : NULL, now_ms);
    } else {
        for (size_t i = 0; i < n; i++)
            wake_queue_put_back(dispatcher->queue, targets[i], lane);
    }
    OPENSSL_cleanse(dispatcher->registrations, n * sizeof *dispatcher->registrations);
    OPENSSL_cleanse(keys, sizeof keys);
}

/* Serves one batch of those whose turn it is in this lane. */
static void serve_lane(struct dispatcher *dispatcher, unsigned lane, int64_t now_ms)
{
    struct wake_target *targets[LOOKUP_BATCH];
    size_t n = wake_queue_take(dispatcher->queue, lane, now_ms, targets,
                               lookups(dispatcher, lane, now_ms));

    if (n == 0)
        return;
    n = serve_known(dispatcher, targets, n, now_ms);
    if (n > 0)
        serve_unknown(dispatcher, lane, targets, n, now_ms);
    push_desk_hand_over(dispatcher->desk);
}

static void serve(struct dispatcher *dispatcher, int64_t now_ms)
{
    if (commands_work(dispatcher, now_ms))
        (void)succeeded(dispatcher, pauses_run(&dispatcher->pauses, dispatcher->registry, now_ms));
    for (unsigned lane = 0; lane < push_desk_lanes(dispatcher->desk) &&
                            commands_work(dispatcher, now_ms) && !dispatcher->pauses.held;
         lane++) {
        serve_lane(dispatcher, lane, now_ms);
        push_desk_look_busy(dispatcher->desk, lane, wake_queue_waiting(dispatcher->queue, lane),
                            now_ms);
    }
}

/* ---- The thread ------------------------------------------------------------------------------ */

static enum report_state state_of(const struct dispatcher *dispatcher, unsigned backend,
                                  int64_t now_ms)
{
    enum report_state state = push_desk_state(dispatcher->desk, backend + 1, now_ms);

    return dispatcher->pauses.held && state != REPORT_OFF ? REPORT_PAUSED : state;
}

static void publish_held(struct dispatcher *dispatcher)
{
    uint64_t version = push_desk_held_version(dispatcher->desk);

    if (version == dispatcher->held_version)
        return;
    dispatcher->held_version = version;
    (void)pthread_mutex_lock(&dispatcher->held_lock);
    push_desk_write_held(dispatcher->desk, dispatcher->held_hosts, sizeof dispatcher->held_hosts);
    (void)pthread_mutex_unlock(&dispatcher->held_lock);
}

static void publish_status(struct dispatcher *dispatcher, int64_t now_ms)
{
    for (unsigned i = 0; i < push_backends_count; i++)
        atomic_store(&dispatcher->backends[i], (int)state_of(dispatcher, i, now_ms));
    atomic_store(&dispatcher->hosts_held, (unsigned)push_desk_hosts_held(dispatcher->desk));
    publish_held(dispatcher);
    atomic_store(&dispatcher->in_flight, push_desk_in_flight(dispatcher->desk));
    atomic_store(&dispatcher->backlog, (unsigned)wake_queue_backlog(dispatcher->queue));
}

/* When to act although nothing happens. */
static int64_t next_work_ms(struct dispatcher *dispatcher, int64_t now_ms)
{
    int64_t next = dispatcher->pauses.due_ms;

    if (!dispatcher->pauses.held)
        next = earlier(next, wake_queue_next_ms(dispatcher->queue));
    for (unsigned lane = 0; lane < push_desk_lanes(dispatcher->desk) && !dispatcher->pauses.held;
         lane++) {
        if (wake_queue_waiting(dispatcher->queue, lane))
            next = earlier(next, next_lookup_ms(dispatcher, lane, now_ms));
    }
    if (dispatcher->takeover.since_us != 0)
        next = earlier(next, dispatcher->takeover.due_ms);
    if (restore_is_on(&dispatcher->restore))
        next = earlier(next, dispatcher->restore.due_ms);
    next = earlier(next, news_ms(dispatcher, now_ms));
    if (next < dispatcher->registry_retry_ms) /* all of this needs Redis */
        next = dispatcher->registry_retry_ms;
    return next;
}

static void wait_until(struct dispatcher *dispatcher, int64_t until_ms)
{
    struct pollfd fds[] = {{.fd = dispatcher->bell, .events = POLLIN},
                           {.fd = inbox_fd(dispatcher->inbox), .events = POLLIN}};
    int64_t wait = until_ms == INT64_MIN ? 0 : until_ms - clock_monotonic_ms();

    if (until_ms == INT64_MAX || wait > WAIT_MOST_MS)
        wait = WAIT_MOST_MS;
    if (poll(fds, sizeof fds / sizeof fds[0], wait > 0 ? (int)wait : 0) > 0 && fds[0].revents != 0)
        bell_hush(dispatcher->bell);
}

static void work(struct dispatcher *dispatcher)
{
    while (!atomic_load(&dispatcher->stop)) {
        int64_t now_ms = clock_monotonic_ms(), next_ms;

        settle(dispatcher, now_ms);
        follow_tenure(dispatcher, now_ms);
        take_over(dispatcher, now_ms);
        next_ms = take_in(dispatcher, now_ms);
        serve(dispatcher, now_ms);
        next_ms = earlier(next_ms, turns_run(&dispatcher->turns, now_ms)); /* of those, too */
        inbox_forget_registrations(dispatcher->inbox);
        acknowledge(dispatcher, now_ms);
        forget_dead(dispatcher, now_ms);
        publish_status(dispatcher, now_ms);
        wait_until(dispatcher, earlier(next_ms, next_work_ms(dispatcher, now_ms)));
    }
}

/* Redis must hear of every push that ended, or the next process would repeat it: so this waits for
 * a Redis that is away for a moment. */
static void tell_the_rest(struct dispatcher *dispatcher)
{
    int64_t now_ms = clock_monotonic_ms(), deadline_ms = now_ms + DRAIN_TELL_MS, next_ms;

    while ((next_ms = news_ms(dispatcher, now_ms)) != INT64_MAX && now_ms < deadline_ms) {
        if (next_ms < dispatcher->registry_retry_ms)
            next_ms = dispatcher->registry_retry_ms;
        wait_until(dispatcher, earlier(next_ms, deadline_ms));
        now_ms = clock_monotonic_ms();
        settle(dispatcher, now_ms);
        forget_dead(dispatcher, now_ms);
        acknowledge(dispatcher, now_ms);
    }
}

/* Waits for pushes in flight to end. False where some have not after `ms`. */
static bool let_end(struct dispatcher *dispatcher, int64_t ms)
{
    int64_t now_ms = clock_monotonic_ms(), deadline_ms = now_ms + ms;

    for (;;) {
        int64_t next_ms;

        settle(dispatcher, now_ms);
        forget_dead(dispatcher, now_ms);
        acknowledge(dispatcher, now_ms);
        next_ms = turns_run(&dispatcher->turns, now_ms);
        publish_status(dispatcher, now_ms);
        if (push_desk_in_flight(dispatcher->desk) == 0)
            return true;
        if (now_ms >= deadline_ms)
            return false;
        wait_until(dispatcher, earlier(next_ms, deadline_ms));
        now_ms = clock_monotonic_ms();
    }
}

/* Begins no push, and lets those in flight end. */
static void drain(struct dispatcher *dispatcher)
{
    inbox_stop(dispatcher->inbox);
    if (!let_end(dispatcher, DRAIN_MS)) {
        log_warn("dispatcher: %u pushes did not end in time; they will be made again",
                 push_desk_in_flight(dispatcher->desk));
        push_desk_cancel(dispatcher->desk);
        (void)let_end(dispatcher, CANCEL_MS);
    }
    tell_the_rest(dispatcher);
    log_info("dispatcher: stopped; %zu wakes stay in Redis", wake_queue_backlog(dispatcher->queue));
    publish_status(dispatcher, clock_monotonic_ms());
}

static void *run(void *arg)
{
    work(arg);
    drain(arg);
    return NULL;
}

static bool start_thread(struct dispatcher *dispatcher)
{
    dispatcher->running = thread_start(&dispatcher->thread, "dispatcher", run, dispatcher);
    return dispatcher->running;
}

/* With a lane for each of the desk's back ends. */
static bool make_turns(struct dispatcher *dispatcher, const struct settings *settings,
                       struct stats *stats)
{
    unsigned lanes = push_desk_lanes(dispatcher->desk);

    dispatcher->queue = wake_queue_new((size_t)settings->waiting_max, lanes, random_up_to);
    dispatcher->sort_due_ms = calloc(lanes, sizeof *dispatcher->sort_due_ms);
    dispatcher->turns =
        (struct turns){.queue = dispatcher->queue, .desk = dispatcher->desk, .stats = stats};
    if (dispatcher->queue != NULL)
        wake_queue_follow(dispatcher->queue, &dispatcher->pauses);
    return dispatcher->queue != NULL && dispatcher->sort_due_ms != NULL;
}

struct dispatcher *dispatcher_start(const struct settings *settings, struct stats *stats)
{
    struct dispatcher *dispatcher = calloc(1, sizeof *dispatcher);

    if (dispatcher == NULL)
        return NULL;
    (void)pthread_mutex_init(&dispatcher->held_lock, NULL);
    dispatcher->registry_retry_ms = INT64_MIN;
    dispatcher->done_again_ms = INT64_MIN;
    STAILQ_INIT(&dispatcher->dead);
    dispatcher->bell = bell_new();
    if (dispatcher->bell >= 0)
        dispatcher->desk =
            push_desk_new(push_backends, push_backends_count, settings, dispatcher->bell);
    dispatcher->inbox = inbox_new(settings, stats);
    dispatcher->registry = registry_new(settings, stats);
    dispatcher->registrations = calloc(LOOKUP_BATCH, sizeof *dispatcher->registrations);
    if (dispatcher->desk == NULL || dispatcher->inbox == NULL || dispatcher->registry == NULL ||
        dispatcher->registrations == NULL || !make_turns(dispatcher, settings, stats) ||
        !start_thread(dispatcher)) {
        log_error("dispatcher: cannot be started");
        dispatcher_free(&dispatcher);
    }
    return dispatcher;
}

void dispatcher_hold(struct dispatcher *dispatcher, const struct lease *lease)
{
    bool same = atomic_load(&dispatcher->held_since_us) == lease->since_us &&
                atomic_load(&dispatcher->held_alone) == lease->alone;

    if (same)
        return;
    atomic_store(&dispatcher->held_alone, lease->alone);
    atomic_store(&dispatcher->held_since_us, lease->since_us);
    bell_ring(dispatcher->bell);
}

void dispatcher_status(struct dispatcher *dispatcher, struct dispatcher_status *out)
{
    out->in_flight = atomic_load(&dispatcher->in_flight);
    out->backlog = atomic_load(&dispatcher->backlog);
    out->hosts_held = atomic_load(&dispatcher->hosts_held);
    for (unsigned i = 0; i < push_backends_count; i++)
        out->backends[i] = (enum report_state)atomic_load(&dispatcher->backends[i]);
    (void)pthread_mutex_lock(&dispatcher->held_lock);
    memcpy(out->held_hosts, dispatcher->held_hosts, sizeof out->held_hosts);
    (void)pthread_mutex_unlock(&dispatcher->held_lock);
}

void dispatcher_stop(struct dispatcher *dispatcher)
{
    atomic_store(&dispatcher->stop, true);
    bell_ring(dispatcher->bell);
}

void dispatcher_free(struct dispatcher **dispatcher)
{
    struct dispatcher *it = *dispatcher;
    struct push_ended *dead;

    if (it == NULL)
        return;
    if (it->running) {
        dispatcher_stop(it);
        (void)pthread_join(it->thread, NULL);
    }
    while ((dead = STAILQ_FIRST(&it->dead)) != NULL) {
        STAILQ_REMOVE_HEAD(&it->dead, next);
        push_ended_free(&dead);
    }
    push_desk_free(&it->desk);
    if (it->bell >= 0)
        (void)close(it->bell);
    inbox_free(&it->inbox);
    registry_free(&it->registry);
    wake_queue_free(&it->queue);
    free(it->registrations);
    free(it->sort_due_ms);
    (void)pthread_mutex_destroy(&it->held_lock);
    free(it);
    *dispatcher = NULL;
}
