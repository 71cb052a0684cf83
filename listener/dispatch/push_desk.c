#include "push_desk.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/bell.h"
#include "base/must.h"
#include "base/random.h"
#include "base/wipe.h"
#include "hosts.h"
#include "log/log.h"
#include "push/push_backend.h"
#include "push/push_thread.h"
#include "registry/registration.h"
#include "settings/settings.h"

#define WAITING_EACH   100000 /* targets that wait for one host */
#define TELL_EVERY_MS  10000
#define LIMITED_FOR_MS 60000 /* after a push that was answered 429 */

struct push_flight {
    struct push_ended ended; /* first, so that what has ended is its flight */
    struct push_job job;
    struct hosts_push push;
    char host[]; /* PUSH_HOST_MAX, where the back end has hosts; else none */
};

/* A back end, and what becomes of its pushes. */
struct lane {
    const struct push_backend *backend;
    struct push_thread *thread; /* NULL: off */
    struct push_jobs begun;     /* to be handed over */
    struct hosts *hosts;        /* NULL: there is one peer */
    struct push_health health;  /* of that one, */
    bool refuses_us;            /* by an operator's mistake, where it is down, */
    int64_t limited_until_ms;   /* and whether it has lately taken no more */
    unsigned in_flight;
    struct hosts_moved moved;
    int64_t tell_ms;      /* not before this again that too many wait */
    int64_t busy_ms;      /* since then it has no slot, and others wait; INT64_MAX: it has one */
    int64_t tell_busy_ms; /* not before this (again) that it is so */
};

struct push_desk {
    int bell;
    unsigned most; /* pushes in flight, a lane */
    struct push_ended_list ended;
    unsigned count;
    struct lane lanes[]; /* from 1 on */
};

/* ---- The desk -------------------------------------------------------------------------------- */

static struct lane *lane_of(struct push_desk *desk, unsigned lane)
{
    MUST(lane > WAKE_LANE_UNKNOWN && lane <= desk->count);
    return &desk->lanes[lane];
}

static const struct lane *lane_in(const struct push_desk *desk, unsigned lane)
{
    MUST(lane > WAKE_LANE_UNKNOWN && lane <= desk->count);
    return &desk->lanes[lane];
}

static bool open_lane(const struct push_desk *desk, struct lane *lane,
                      const struct push_backend *backend, const struct settings *settings)
{
    const struct hosts_limits limits = {.slots = desk->most,
                                        .waiting = (size_t)settings->waiting_max / 2,
                                        .waiting_each = WAITING_EACH};

    lane->backend = backend;
    lane->tell_ms = lane->limited_until_ms = INT64_MIN;
    lane->busy_ms = INT64_MAX;
    STAILQ_INIT(&lane->begun);
    push_health_init(&lane->health);
    if (backend->host != NULL && (lane->hosts = hosts_new(&limits, random_up_to)) == NULL)
        return false;
    return push_thread_start(backend, settings, desk->bell, &lane->thread);
}

struct push_desk *push_desk_new(const struct push_backend *const *backends, unsigned count,
                                const struct settings *settings, int bell)
{
    struct push_desk *desk = calloc(1, sizeof *desk + (count + 1) * sizeof desk->lanes[0]);

    if (desk == NULL)
        return NULL;
    desk->bell = bell;
    desk->most = (unsigned)settings->push_max_in_flight;
    STAILQ_INIT(&desk->ended);
    while (desk->count < count) {
        struct lane *lane = &desk->lanes[desk->count + 1];

        desk->count++;
        if (!open_lane(desk, lane, backends[desk->count - 1], settings)) {
            push_desk_free(&desk);
            return NULL;
        }
    }
    return desk;
}

static void flight_free(struct push_flight *flight)
{
    push_job_clear(&flight->job);
    wipe_free(flight->ended.token);
    free(flight);
}

void push_ended_free(struct push_ended **ended)
{
    flight_free((struct push_flight *)*ended);
    *ended = NULL;
}

static struct push_flight *flight_of(struct push_job *job)
{
    return (struct push_flight *)((char *)job - offsetof(struct push_flight, job));
}

static void close_lane(struct lane *lane)
{
    struct push_job *job;

    if (lane->thread != NULL) {
        push_thread_stop(lane->thread);
        push_thread_collect(lane->thread, &lane->begun);
        while ((job = STAILQ_FIRST(&lane->begun)) != NULL) {
            STAILQ_REMOVE_HEAD(&lane->begun, next);
            flight_free(flight_of(job));
        }
        push_thread_free(&lane->thread);
    }
    hosts_free(&lane->hosts);
}

void push_desk_free(struct push_desk **desk)
{
    struct push_ended *ended;

    if (*desk == NULL)
        return;
    for (unsigned i = 1; i <= (*desk)->count; i++)
        close_lane(&(*desk)->lanes[i]);
    while ((ended = push_desk_take_ended(*desk)) != NULL)
        push_ended_free(&ended);
    free(*desk);
    *desk = NULL;
}

unsigned push_desk_lanes(const struct push_desk *desk)
{
    return desk->count + 1;
}

const struct push_backend *push_desk_backend(const struct push_desk *desk, unsigned lane)
{
    return lane_in(desk, lane)->backend;
}

static int64_t run_lane(struct lane *lane, int64_t now_ms)
{
    int64_t hosts_ms = INT64_MAX, guard_ms = INT64_MAX;

    if (lane->hosts != NULL)
        hosts_ms = hosts_run(lane->hosts, now_ms, &lane->moved);
    if (lane->in_flight > 0) {
        push_thread_guard(lane->thread, now_ms);
        guard_ms = now_ms + PUSH_THREAD_GUARD_MS;
    }
    return hosts_ms < guard_ms ? hosts_ms : guard_ms;
}

int64_t push_desk_run(struct push_desk *desk, int64_t now_ms)
{
    int64_t next_ms = INT64_MAX;

    for (unsigned i = 1; i <= desk->count; i++) {
        int64_t lane_ms = run_lane(&desk->lanes[i], now_ms);

        next_ms = lane_ms < next_ms ? lane_ms : next_ms;
    }
    return next_ms;
}

/* ---- Slots ----------------------------------------------------------------------------------- */

size_t push_desk_slots(const struct push_desk *desk, unsigned number, int64_t now_ms)
{
    const struct lane *lane;

    if (number == WAKE_LANE_UNKNOWN)
        return SIZE_MAX; /* finding out, or giving up, needs no slot */
    lane = lane_in(desk, number);
    if (lane->thread == NULL)
        return SIZE_MAX;
    if (!push_thread_is_ready(lane->thread))
        return 0;
    return push_health_slots(&lane->health, now_ms, lane->in_flight, desk->most);
}

int64_t push_desk_next_slot_ms(const struct push_desk *desk, unsigned number, int64_t now_ms)
{
    const struct push_health *health;

    if (push_desk_slots(desk, number, now_ms) > 0)
        return now_ms;
    health = &lane_in(desk, number)->health;
    if (push_health_is_down(health) && health->probe_at_ms > now_ms)
        return health->probe_at_ms;
    return INT64_MAX; /* a ring of the bell, or push_desk_run(), makes room */
}

bool push_desk_is_down(const struct push_desk *desk, unsigned number)
{
    const struct lane *lane;

    if (number == WAKE_LANE_UNKNOWN)
        return false;
    lane = lane_in(desk, number);
    return lane->thread != NULL &&
           (!push_thread_is_ready(lane->thread) || push_health_is_down(&lane->health));
}

enum report_state push_desk_state(const struct push_desk *desk, unsigned number, int64_t now_ms)
{
    const struct lane *lane = lane_in(desk, number);

    if (lane->thread == NULL)
        return REPORT_OFF;
    if (push_health_is_down(&lane->health))
        return lane->refuses_us ? REPORT_REFUSED : REPORT_DOWN;
    if (!push_thread_is_ready(lane->thread))
        return REPORT_NO_ACCESS_TOKEN;
    return now_ms < lane->limited_until_ms ? REPORT_LIMITED : REPORT_UP;
}

size_t push_desk_hosts_held(const struct push_desk *desk)
{
    size_t n = 0;

    for (unsigned i = 1; i <= desk->count; i++)
        n += desk->lanes[i].hosts != NULL ? hosts_held(desk->lanes[i].hosts) : 0;
    return n;
}

void push_desk_write_held(const struct push_desk *desk, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (unsigned i = 1; i <= desk->count; i++)
        if (desk->lanes[i].hosts != NULL)
            used += hosts_write_held(desk->lanes[i].hosts, out + used, size - used);
}

uint64_t push_desk_held_version(const struct push_desk *desk)
{
    uint64_t version = 0;

    for (unsigned i = 1; i <= desk->count; i++)
        version += desk->lanes[i].hosts != NULL ? hosts_held_version(desk->lanes[i].hosts) : 0;
    return version;
}

unsigned push_desk_in_flight(const struct push_desk *desk)
{
    unsigned n = 0;

    for (unsigned i = 1; i <= desk->count; i++)
        n += desk->lanes[i].in_flight;
    return n;
}

void push_desk_look_busy(struct push_desk *desk, unsigned number, bool others_wait, int64_t now_ms)
{
    struct lane *lane;

    if (number == WAKE_LANE_UNKNOWN)
        return;
    lane = lane_of(desk, number);
    if (!others_wait || lane->in_flight < desk->most) {
        lane->busy_ms = INT64_MAX;
        return;
    }
    if (lane->busy_ms == INT64_MAX) {
        lane->busy_ms = now_ms;
        lane->tell_busy_ms = now_ms + TELL_EVERY_MS;
    }
    if (now_ms < lane->tell_busy_ms)
        return;
    lane->tell_busy_ms = now_ms + TELL_EVERY_MS;
    log_warn("push: %u pushes are in flight by %s, and others have waited for %lld s: see why it "
             "answers slowly, or raise PUSH_MAX_IN_FLIGHT",
             lane->in_flight, lane->backend->name, (long long)(now_ms - lane->busy_ms) / 1000);
}

struct wake_target *push_desk_called(struct push_desk *desk, unsigned *number)
{
    struct wake_target *target = NULL;

    for (unsigned i = 1; i <= desk->count && target == NULL; i++) {
        target = wake_list_shift(&desk->lanes[i].moved.called);
        *number = i;
    }
    return target;
}

struct wake_target *push_desk_dropped(struct push_desk *desk, unsigned *number)
{
    struct wake_target *target = NULL;

    for (unsigned i = 1; i <= desk->count && target == NULL; i++) {
        target = wake_list_shift(&desk->lanes[i].moved.dropped);
        *number = i;
    }
    return target;
}

/* ---- Outcomes -------------------------------------------------------------------------------- */

static void tell_down(const struct lane *lane, bool mistake)
{
    if (mistake)
        log_error(
            "push: %s is down (it refuses us, see above): its wakes wait until that is mended",
            lane->backend->name);
    else
        log_error("push: %s is down (unreachable or only 5xx): its wakes are paused",
                  lane->backend->name);
}

/* The end of a push to the one peer that a back end has. An operator's mistake is one for all, as
 * far as nothing else succeeds. */
static struct hosts_verdict note_health(struct lane *lane, const struct hosts_push *push,
                                        const struct push_result *result, int64_t now_ms)
{
    struct push_health *health = &lane->health;
    struct hosts_verdict verdict = {.until_ms = now_ms};

    switch (result->outcome) {
    case PUSH_BACKEND_FAULT:
    case PUSH_MISTAKE:
        lane->refuses_us = result->outcome == PUSH_MISTAKE;
        if (push_health_fault(health, push->endpoint, result->answered, push->begun_ms, now_ms,
                              random_up_to))
            tell_down(lane, result->outcome == PUSH_MISTAKE);
        verdict.waits = push_health_is_down(health);
        verdict.blamed =
            !verdict.waits && push_health_blames(health, push->endpoint, push->failing_ms);
        break;
    case PUSH_UNAUTHORIZED: /* the back end deals with that */
    case PUSH_CANCELLED:
    case PUSH_UNBEGUN:
    case PUSH_NO_ROOM:
    case PUSH_DAMAGED:
        break;
    case PUSH_DELIVERED:
    case PUSH_DEAD_TOKEN:
    case PUSH_RETRY:
    case PUSH_HELD_BACK:
    case PUSH_GIVEN_UP:
        if (result->outcome == PUSH_HELD_BACK)
            lane->limited_until_ms = now_ms + LIMITED_FOR_MS;
        if (result->answered && push_health_good(health, push->endpoint, now_ms))
            log_info("push: %s works again", lane->backend->name);
        break;
    }
    return verdict;
}

/* Gives a slot back. `result` NULL: no push was made. */
static struct hosts_verdict release_slot(struct lane *lane, const struct push_flight *flight,
                                         const struct push_result *result, int64_t now_ms)
{
    MUST(lane->in_flight > 0);
    lane->in_flight--;
    if (lane->hosts != NULL)
        return hosts_leave(lane->hosts, flight->host, &flight->push, result, now_ms, &lane->moved);
    if (result != NULL)
        return note_health(lane, &flight->push, result, now_ms);
    return (struct hosts_verdict){.until_ms = now_ms};
}

static void end_flight(struct lane *lane, struct push_flight *flight, int64_t now_ms)
{
    const struct push_result *result =
        push_was_not_made(flight->job.result.outcome) ? NULL : &flight->job.result;
    struct push_ended *ended = &flight->ended;
    struct hosts_verdict verdict;

    flight->push.ended_ms = flight->job.ended_ms;
    verdict = release_slot(lane, flight, result, now_ms);
    ended->result = flight->job.result;
    ended->took_ms = flight->push.ended_ms - flight->push.begun_ms;
    ended->blamed = verdict.blamed;
    ended->waits = verdict.waits;
    ended->until_ms = verdict.until_ms;
}

void push_desk_collect(struct push_desk *desk, int64_t now_ms)
{
    for (unsigned i = 1; i <= desk->count; i++) {
        struct lane *lane = &desk->lanes[i];
        struct push_jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);
        struct push_job *job;

        if (lane->thread != NULL)
            push_thread_collect(lane->thread, &jobs);
        while ((job = STAILQ_FIRST(&jobs)) != NULL) {
            STAILQ_REMOVE_HEAD(&jobs, next);
            end_flight(lane, flight_of(job), now_ms);
            STAILQ_INSERT_TAIL(&desk->ended, &flight_of(job)->ended, next);
        }
    }
}

void push_desk_cancel(struct push_desk *desk)
{
    for (unsigned i = 1; i <= desk->count; i++)
        if (desk->lanes[i].thread != NULL)
            push_thread_cancel(desk->lanes[i].thread);
}

struct push_ended *push_desk_take_ended(struct push_desk *desk)
{
    struct push_ended *first = STAILQ_FIRST(&desk->ended);

    if (first != NULL)
        STAILQ_REMOVE_HEAD(&desk->ended, next);
    return first;
}

/* ---- Beginning ------------------------------------------------------------------------------- */

unsigned push_desk_lane_of(const struct push_desk *desk, const struct registration *registration)
{
    for (unsigned i = 1; i <= desk->count; i++) {
        if (desk->lanes[i].backend->accepts(registration))
            return i;
    }
    return WAKE_LANE_UNKNOWN;
}

static struct push_flight *flight_new(struct push_desk *desk, unsigned lane,
                                      struct wake_target *target,
                                      const struct registration *registration, int64_t now_ms)
{
    size_t host_size = lane_of(desk, lane)->hosts != NULL ? PUSH_HOST_MAX : 0;
    struct push_flight *flight = calloc(1, sizeof *flight + host_size);

    if (flight == NULL)
        return NULL;
    flight->push.begun_ms = now_ms;
    flight->push.endpoint = hosts_endpoint(registration->token);
    flight->ended.target = target;
    flight->ended.lane = lane;
    flight->ended.version = registration->version;
    flight->ended.token = strdup(registration->token);
    if (flight->ended.token == NULL) {
        free(flight);
        return NULL;
    }
    return flight;
}

static void tell_dropped(struct lane *lane, int64_t now_ms)
{
    if (lane->moved.dropped.first == NULL || now_ms < lane->tell_ms)
        return;
    lane->tell_ms = now_ms + TELL_EVERY_MS;
    log_warn("push: too many wakes wait for distributors that are down or busy: the oldest are "
             "given up; see which those are, or raise WAITING_MAX");
}

static enum push_desk_entry enter_host(struct lane *lane, struct push_flight *flight,
                                       const struct registration *registration, int64_t now_ms)
{
    enum hosts_entry entry;

    if (!lane->backend->host(push_thread_service(lane->thread), registration, flight->host))
        return PUSH_DESK_NOT_ADMITTED;
    entry = hosts_enter(lane->hosts, flight->host, flight->push.endpoint, flight->ended.target,
                        now_ms, &lane->moved);
    tell_dropped(lane, now_ms);
    switch (entry) {
    case HOSTS_ENTERED:
        return PUSH_DESK_ENTERED;
    case HOSTS_WAITS:
        return PUSH_DESK_WAITS;
    case HOSTS_HELD:
        return PUSH_DESK_HELD;
    case HOSTS_NO_MEMORY:
        break;
    }
    return PUSH_DESK_NO_MEMORY;
}

enum push_desk_entry push_desk_enter(struct push_desk *desk, unsigned number,
                                     struct wake_target *target,
                                     const struct registration *registration, int64_t now_ms,
                                     struct push_flight **flight)
{
    struct lane *lane = lane_of(desk, number);
    enum push_desk_entry entry = PUSH_DESK_ENTERED;

    if (lane->thread == NULL)
        return PUSH_DESK_OFF;
    if (push_desk_slots(desk, number, now_ms) == 0)
        return PUSH_DESK_NO_SLOT;
    *flight = flight_new(desk, number, target, registration, now_ms);
    if (*flight == NULL)
        return PUSH_DESK_NO_MEMORY;
    if (lane->hosts != NULL)
        entry = enter_host(lane, *flight, registration, now_ms);
    if (entry == PUSH_DESK_ENTERED)
        lane->in_flight++;
    else
        flight_free(*flight);
    return entry;
}

void push_desk_push(struct push_desk *desk, struct push_flight *flight,
                    const struct registration *registration, enum push_kind kind,
                    int64_t failing_ms, int64_t now_ms)
{
    struct lane *lane = lane_of(desk, flight->ended.lane);

    flight->push.failing_ms = failing_ms;
    if (push_job_init(&flight->job, kind, registration, now_ms)) {
        STAILQ_INSERT_TAIL(&lane->begun, &flight->job, next);
        return;
    }
    flight->job.result = (struct push_result){.outcome = PUSH_NO_ROOM, .retry_after_ms = -1};
    flight->job.ended_ms = now_ms;
    end_flight(lane, flight, now_ms);
    STAILQ_INSERT_TAIL(&desk->ended, &flight->ended, next);
    bell_ring(desk->bell);
}

void push_desk_hand_over(struct push_desk *desk)
{
    for (unsigned i = 1; i <= desk->count; i++)
        if (desk->lanes[i].thread != NULL)
            push_thread_order(desk->lanes[i].thread, &desk->lanes[i].begun);
}

void push_desk_leave(struct push_desk *desk, struct push_flight *flight, int64_t now_ms)
{
    (void)release_slot(lane_of(desk, flight->ended.lane), flight, NULL, now_ms);
    flight_free(flight);
}
