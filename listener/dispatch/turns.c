#include "turns.h"

#include "base/must.h"
#include "log/log.h"
#include "push/push_backend.h"
#include "registry/stats.h"

static const struct push_backend *backend_of(const struct turns *turns, unsigned lane)
{
    return push_desk_backend(turns->desk, lane);
}

static struct log_name name_of(const struct wake_target *target)
{
    return log_step_name(wake_target_key(target));
}

/* One push had this outcome, for so many of the wakes it covered. */
static void count(const struct turns *turns, enum stats_counter outcome, unsigned wakes)
{
    if (wakes == 0)
        return;
    stats_add(turns->stats, outcome, 1);
    stats_add(turns->stats, STAT_WAKES_MERGED, wakes - 1);
}

static void finish(const struct turns *turns, struct wake_target *target,
                   enum stats_counter outcome, int64_t now_ms)
{
    count(turns, outcome, wake_queue_finish(turns->queue, target, now_ms));
}

/* Those that the desk had kept line up for another look, or are given up. */
static void take_kept(const struct turns *turns, int64_t now_ms)
{
    struct wake_target *target;
    unsigned lane;

    while ((target = push_desk_called(turns->desk, &lane)) != NULL)
        wake_queue_put_back(turns->queue, target, lane);
    while ((target = push_desk_dropped(turns->desk, &lane)) != NULL) {
        struct log_name name = name_of(target);

        log_step(&name, "push: %s is dropped, for too many wait for their distributors", name.text);
        finish(turns, target, STAT_WAKES_DROPPED, now_ms);
    }
}

int64_t turns_run(const struct turns *turns, int64_t now_ms)
{
    int64_t next_ms = push_desk_run(turns->desk, now_ms);

    take_kept(turns, now_ms);
    return next_ms;
}

/* ---- A turn ---------------------------------------------------------------------------------- */

static void tell_begun(const struct log_name *name, const struct push_backend *backend, bool begun,
                       enum push_kind kind, unsigned expired)
{
    if (expired > 0)
        log_step(name, "push: %s has waited for too long: %u of its wakes are given up", name->text,
                 expired);
    if (begun)
        log_step(name, "push: %s is pushed to by %s%s", name->text, backend->name,
                 kind == PUSH_VISIBLE ? ", visibly where that can be" : ", silently");
}

/* The slot is taken; every way out of here gives it back in the end. */
static void push(const struct turns *turns, struct wake_target *target, unsigned lane,
                 struct push_flight *flight, const struct registration *registration,
                 int64_t now_ms)
{
    const struct push_backend *backend = backend_of(turns, lane);
    struct log_name name = name_of(target);
    enum push_kind kind;
    unsigned expired;
    bool begun = wake_queue_begin(turns->queue, target, lane, now_ms, &kind, &expired);

    stats_add(turns->stats, backend->counters.given_up, expired);
    tell_begun(&name, backend, begun, kind, expired);
    if (!begun) {
        push_desk_leave(turns->desk, flight, now_ms);
        return;
    }
    push_desk_push(turns->desk, flight, registration, kind, wake_target_failing_ms(target), now_ms);
}

static void tell_entry(enum push_desk_entry entry, const struct wake_target *target, unsigned lane,
                       const struct push_backend *backend)
{
    struct log_name name = name_of(target);

    switch (entry) {
    case PUSH_DESK_NO_SLOT: /* said once, however often it is looked at while it waits */
        if (wake_target_lane(target) != lane)
            log_step(&name, "push: %s waits, for %s is down or busy", name.text, backend->name);
        break;
    case PUSH_DESK_WAITS:
        log_step(&name, "push: %s waits, for its distributor takes nothing yet", name.text);
        break;
    case PUSH_DESK_HELD:
        log_step(&name, "push: %s waits, for its endpoint takes nothing yet", name.text);
        break;
    case PUSH_DESK_OFF:
        log_step(&name, "push: %s cannot be pushed to, for %s is off: given up", name.text,
                 backend->name);
        break;
    case PUSH_DESK_NOT_ADMITTED:
        log_step(&name, "push: %s cannot be pushed to, for its endpoint is not admitted: given up",
                 name.text);
        break;
    case PUSH_DESK_ENTERED:
    case PUSH_DESK_NO_MEMORY:
        break;
    }
}

static void serve_in(const struct turns *turns, unsigned lane, struct wake_target *target,
                     const struct registration *registration, int64_t now_ms)
{
    const struct push_backend *backend = backend_of(turns, lane);
    struct push_flight *flight;
    enum push_desk_entry entry =
        push_desk_enter(turns->desk, lane, target, registration, now_ms, &flight);

    tell_entry(entry, target, lane, backend);
    switch (entry) {
    case PUSH_DESK_ENTERED:
        push(turns, target, lane, flight, registration, now_ms);
        break;
    case PUSH_DESK_NO_SLOT:
        wake_queue_put_back(turns->queue, target, lane);
        break;
    case PUSH_DESK_WAITS:
    case PUSH_DESK_HELD:
        break;
    case PUSH_DESK_NO_MEMORY:
        wake_queue_postpone(turns->queue, target, lane, now_ms + PUSH_DESK_NO_MEMORY_MS);
        break;
    case PUSH_DESK_OFF:
    case PUSH_DESK_NOT_ADMITTED:
        finish(turns, target, backend->counters.given_up, now_ms);
        break;
    }
}

void turns_serve(const struct turns *turns, struct wake_target *target,
                 const struct registration *registration, int64_t now_ms)
{
    unsigned lane = WAKE_LANE_UNKNOWN;

    if (registration != NULL)
        lane = push_desk_lane_of(turns->desk, registration);
    if (lane == WAKE_LANE_UNKNOWN) {
        struct log_name name = name_of(target);

        log_step(&name, "push: %s is not registered, or no longer: not pushed to", name.text);
        finish(turns, target, STAT_WAKES_UNREGISTERED, now_ms);
        return;
    }
    serve_in(turns, lane, target, registration, now_ms);
    take_kept(turns, now_ms);
}

/* ---- The end of a push ----------------------------------------------------------------------- */

static void tell_outcome(const struct push_ended *ended, const struct push_backend *backend)
{
    static const char *const texts[] = {
        [PUSH_DELIVERED] = "delivered",
        [PUSH_DEAD_TOKEN] = "its token is dead",
        [PUSH_RETRY] = "failed",
        [PUSH_BACKEND_FAULT] = "failed, perhaps with the back end",
        [PUSH_HELD_BACK] = "held back",
        [PUSH_UNAUTHORIZED] = "our credentials were refused",
        [PUSH_GIVEN_UP] = "given up",
        [PUSH_MISTAKE] = "refused, for a mistake of the operator's",
        [PUSH_CANCELLED] = "cancelled, for this server stops",
        [PUSH_UNBEGUN] = "not begun, for its turn came too late",
        [PUSH_NO_ROOM] = "not begun, for want of memory",
        [PUSH_DAMAGED] = "given up, for its registration is damaged",
    };
    struct log_name name = name_of(ended->target);

    if (push_was_not_made(ended->result.outcome)) {
        log_step(&name, "push: %s was not pushed to by %s: %s", name.text, backend->name,
                 texts[ended->result.outcome]);
        return;
    }
    log_step(&name, "push: %s was pushed to by %s (%s): %s", name.text, backend->name,
             ended->result.answer, texts[ended->result.outcome]);
}

static void retry(const struct turns *turns, const struct push_ended *ended, bool blamed,
                  int64_t now_ms)
{
    struct log_name name = name_of(ended->target);
    unsigned given_up;

    if (wake_queue_retry(turns->queue, ended->target, now_ms, blamed, ended->result.retry_after_ms,
                         &given_up))
        stats_add(turns->stats, STAT_PUSH_RETRIES, 1);
    if (given_up > 0)
        log_step(&name, "push: %s has had %d tries: %u of its wakes are given up", name.text,
                 PUSH_TRIES_MAX, given_up);
    count(turns, backend_of(turns, ended->lane)->counters.given_up, given_up);
}

/* It waits with its peer or its endpoint, which is asked ever more rarely, or for itself. None of
 * these spends a try. */
static void wait_or_retry(const struct turns *turns, const struct push_ended *ended, int64_t now_ms)
{
    int64_t until_ms = ended->until_ms, asked_ms = ended->result.retry_after_ms;

    if (!ended->waits) {
        retry(turns, ended, ended->blamed, now_ms);
        return;
    }
    if (asked_ms > WAKE_RETRY_AFTER_MAX_MS)
        asked_ms = WAKE_RETRY_AFTER_MAX_MS;
    if (now_ms + asked_ms > until_ms)
        until_ms = now_ms + asked_ms;
    wake_queue_hold_back(turns->queue, ended->target, until_ms);
    stats_add(turns->stats, STAT_PUSH_RETRIES, 1);
}

static void wait_for_memory(const struct turns *turns, const struct push_ended *ended,
                            int64_t now_ms)
{
    unsigned given_up;

    log_warn("push: %s: a push could not be started for want of memory; it will be tried again",
             backend_of(turns, ended->lane)->name);
    (void)wake_queue_retry(turns->queue, ended->target, now_ms, false, PUSH_DESK_NO_MEMORY_MS,
                           &given_up);
}

/* A push was taken: how long its event has waited for that. */
static void time_event(const struct turns *turns, const struct push_ended *ended, int64_t now_ms)
{
    int64_t due_ms = wake_target_event_due_ms(ended->target);

    if (due_ms == INT64_MAX)
        return;
    stats_add_event_to_push(turns->stats, backend_of(turns, ended->lane)->counters.event_time,
                            now_ms > due_ms ? now_ms - due_ms : 0);
}

/* All but PUSH_DEAD_TOKEN. */
static void settle(const struct turns *turns, const struct push_ended *ended, int64_t now_ms)
{
    const struct push_counters *counters = &backend_of(turns, ended->lane)->counters;

    switch (ended->result.outcome) {
    case PUSH_DELIVERED:
        time_event(turns, ended, now_ms);
        count(turns, counters->delivered,
              wake_queue_deliver(turns->queue, ended->target, ended->version));
        break;
    case PUSH_RETRY:
        retry(turns, ended, true, now_ms);
        break;
    case PUSH_BACKEND_FAULT:
    case PUSH_MISTAKE:
    case PUSH_HELD_BACK:
        wait_or_retry(turns, ended, now_ms);
        break;
    case PUSH_UNAUTHORIZED:
        if (!wake_queue_once_more(turns->queue, ended->target, now_ms))
            finish(turns, ended->target, counters->given_up, now_ms);
        break;
    case PUSH_UNBEGUN:
        wake_queue_hold_back(turns->queue, ended->target, now_ms);
        break;
    case PUSH_NO_ROOM:
        wait_for_memory(turns, ended, now_ms);
        break;
    case PUSH_GIVEN_UP:
    case PUSH_DAMAGED:
        finish(turns, ended->target, counters->given_up, now_ms);
        break;
    case PUSH_CANCELLED:
        wake_queue_abandon(turns->queue, ended->target);
        break;
    case PUSH_DEAD_TOKEN:
        MUST(false);
    }
}

struct push_ended *turns_settle(const struct turns *turns, int64_t now_ms)
{
    struct push_ended *ended;

    push_desk_collect(turns->desk, now_ms);
    take_kept(turns, now_ms);
    while ((ended = push_desk_take_ended(turns->desk)) != NULL) {
        const struct push_backend *backend = backend_of(turns, ended->lane);

        tell_outcome(ended, backend);
        if (ended->result.outcome != PUSH_CANCELLED && !push_was_not_made(ended->result.outcome))
            stats_add_push(turns->stats, backend->counters.time, ended->took_ms);
        if (ended->result.outcome == PUSH_DEAD_TOKEN)
            return ended;
        settle(turns, ended, now_ms);
        push_ended_free(&ended);
    }
    return NULL;
}

void turns_settle_dead(const struct turns *turns, struct push_ended **dead, bool renewed,
                       int64_t now_ms)
{
    struct wake_target *target;
    struct log_name name;

    MUST(*dead != NULL && (*dead)->result.outcome == PUSH_DEAD_TOKEN);
    target = (*dead)->target;
    name = name_of(target);
    log_step(&name,
             renewed ? "push: %s stays registered, for it has registered anew meanwhile"
                     : "push: %s is unregistered, for its token is dead",
             name.text);
    if (renewed)
        wake_queue_abandon(turns->queue, target);
    else
        finish(turns, target, backend_of(turns, (*dead)->lane)->counters.dead, now_ms);
    push_ended_free(dead);
}
