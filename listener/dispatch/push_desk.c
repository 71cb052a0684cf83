#include "push_desk.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/wipe.h"
#include "host_slots.h"
#include "log/log.h"
#include "push/fcm.h"
#include "push/push.h"
#include "push/unifiedpush.h"
#include "registry/registration.h"
#include "registry/stats.h"
#include "settings/settings.h"

#define HOLD_ENDPOINT_MS 1000 /* at least, whatever it asks for */
#define NO_MEMORY_MS     1000
#define SLOW_MS          2000 /* a push that takes so long is as bad as one without an answer */
#define SLOW_SHARE       4    /* slow hosts may take one in so many of UnifiedPush's slots */

/* A push under way, or one whose token turned out to be dead and is still to be removed. */
struct flight {
    struct push_desk *desk;
    struct flight *next;
    struct wake_target *target;
    struct log_name name; /* its, for the debug log */
    enum wake_lane lane;
    int64_t started_ms;
    char *token;
    int64_t expires_ms; /* the registration's */
    char host[];        /* UNIFIEDPUSH_HOST_MAX in WAKE_LANE_UNIFIEDPUSH, none in the other */
};

struct push_desk {
    const struct settings *settings;
    struct http_client *client;
    struct wake_queue *queue;
    struct stats *stats;
    struct fcm *fcm; /* NULL: off */
    struct unifiedpush *unifiedpush;
    struct host_slots *hosts;
    struct push_health health[WAKE_LANES];
    unsigned in_flight[WAKE_LANES];
    struct flight *dead_first, *dead_last;
};

static const struct lane_words {
    const char *name;
    enum stats_counter delivered, dead, given_up, first_bucket;
} words[WAKE_LANES] = {
    [WAKE_LANE_FCM] = {"FCM", STAT_WAKES_DELIVERED_FCM, STAT_WAKES_DEAD_FCM,
                       STAT_WAKES_GIVEN_UP_FCM, STAT_PUSH_FCM_10},
    [WAKE_LANE_UNIFIEDPUSH] = {"UnifiedPush", STAT_WAKES_DELIVERED_UNIFIEDPUSH,
                               STAT_WAKES_DEAD_UNIFIEDPUSH, STAT_WAKES_GIVEN_UP_UNIFIEDPUSH,
                               STAT_PUSH_UNIFIEDPUSH_10},
};

/* ---- The desk -------------------------------------------------------------------------------- */

static unsigned slow_slots(const struct settings *settings)
{
    unsigned share = (unsigned)settings->push_max_in_flight / SLOW_SHARE;

    return share > 0 ? share : 1;
}

struct push_desk *push_desk_new(const struct settings *settings, struct http_client *client,
                                struct wake_queue *queue, struct stats *stats)
{
    struct push_desk *desk = calloc(1, sizeof *desk);

    if (desk == NULL)
        return NULL;
    desk->settings = settings;
    desk->client = client;
    desk->queue = queue;
    desk->stats = stats;
    for (int lane = 0; lane < WAKE_LANES; lane++)
        push_health_init(&desk->health[lane]);
    desk->fcm = fcm_new(settings, client);
    desk->unifiedpush = unifiedpush_new(settings, client);
    desk->hosts = host_slots_new(slow_slots(settings));
    if (desk->unifiedpush == NULL || desk->hosts == NULL)
        push_desk_free(&desk);
    return desk;
}

static void flight_free(struct flight *flight)
{
    wipe_free(flight->token);
    free(flight);
}

void push_desk_free(struct push_desk **desk)
{
    struct flight *flight;

    if (*desk == NULL)
        return;
    http_client_cancel_all((*desk)->client);
    while ((flight = (*desk)->dead_first) != NULL) {
        (*desk)->dead_first = flight->next;
        flight_free(flight);
    }
    fcm_free(&(*desk)->fcm);
    unifiedpush_free(&(*desk)->unifiedpush);
    host_slots_free(&(*desk)->hosts);
    free(*desk);
    *desk = NULL;
}

/* They line up for another look. */
static void call(struct push_desk *desk, struct wake_list *released)
{
    struct wake_target *target;

    while ((target = wake_list_shift(released)) != NULL)
        wake_queue_put_back(desk->queue, target, WAKE_LANE_UNIFIEDPUSH);
}

int64_t push_desk_run(struct push_desk *desk, int64_t now_ms)
{
    struct wake_list released = {0};
    int64_t hosts_ms = host_slots_run(desk->hosts, now_ms, &released), fcm_ms = INT64_MAX;

    call(desk, &released);
    if (desk->fcm != NULL)
        fcm_ms = fcm_run(desk->fcm, now_ms, clock_unix_s());
    return fcm_ms < hosts_ms ? fcm_ms : hosts_ms;
}

/* ---- Slots ----------------------------------------------------------------------------------- */

static bool lane_is_off(const struct push_desk *desk, enum wake_lane lane)
{
    return (lane == WAKE_LANE_FCM && desk->fcm == NULL) ||
           (lane == WAKE_LANE_UNIFIEDPUSH && !desk->settings->unifiedpush_enabled);
}

size_t push_desk_slots(const struct push_desk *desk, enum wake_lane lane, int64_t now_ms)
{
    if (lane == WAKE_LANE_UNKNOWN || lane_is_off(desk, lane))
        return SIZE_MAX; /* finding out, or giving up, needs no slot */
    if (lane == WAKE_LANE_FCM && !fcm_ready(desk->fcm, now_ms))
        return 0;
    return push_health_slots(&desk->health[lane], now_ms, desk->in_flight[lane],
                             (unsigned)desk->settings->push_max_in_flight);
}

int64_t push_desk_next_slot_ms(const struct push_desk *desk, enum wake_lane lane, int64_t now_ms)
{
    const struct push_health *health = &desk->health[lane];

    if (push_desk_slots(desk, lane, now_ms) > 0)
        return now_ms;
    if (push_health_is_down(health) && health->probe_at_ms > now_ms)
        return health->probe_at_ms;
    return INT64_MAX; /* a push that ends, or push_desk_run(), makes room */
}

bool push_desk_is_down(const struct push_desk *desk, enum wake_lane lane, int64_t now_ms)
{
    if (lane == WAKE_LANE_FCM && desk->fcm != NULL && !fcm_ready(desk->fcm, now_ms))
        return true;
    return push_health_is_down(&desk->health[lane]);
}

unsigned push_desk_in_flight(const struct push_desk *desk)
{
    return desk->in_flight[WAKE_LANE_FCM] + desk->in_flight[WAKE_LANE_UNIFIEDPUSH];
}

/* ---- Outcomes -------------------------------------------------------------------------------- */

static void tell_outcome(const struct flight *flight, const struct push_result *result)
{
    static const char *const texts[] = {
        [PUSH_DELIVERED] = "delivered",
        [PUSH_DEAD_TOKEN] = "its token is dead",
        [PUSH_RETRY] = "failed",
        [PUSH_BACKEND_FAULT] = "failed, perhaps with the back end",
        [PUSH_HELD_BACK] = "held back",
        [PUSH_UNAUTHORIZED] = "our credentials were refused",
        [PUSH_GIVEN_UP] = "given up",
        [PUSH_MISTAKE] = "given up, for a mistake of the operator's",
        [PUSH_CANCELLED] = "cancelled, for this server stops",
    };

    log_debug("push: %s was pushed to by %s (%s): %s", flight->name.text, words[flight->lane].name,
              result->answer, texts[result->outcome]);
}

/* One push had this outcome, for so many of the wakes it covered. */
static void count(struct push_desk *desk, enum stats_counter outcome, unsigned wakes)
{
    if (wakes == 0)
        return;
    stats_add(desk->stats, outcome, 1);
    stats_add(desk->stats, STAT_WAKES_MERGED, wakes - 1);
}

static void settle(struct push_desk *desk, struct wake_target *target, enum stats_counter outcome,
                   int64_t now_ms)
{
    count(desk, outcome, wake_queue_finish(desk->queue, target, now_ms));
}

/* `result` NULL: no push was made. */
static void release_slot(struct push_desk *desk, const struct flight *flight,
                         const struct push_result *result, int64_t now_ms)
{
    struct wake_list released = {0};

    desk->in_flight[flight->lane]--;
    if (flight->lane != WAKE_LANE_UNIFIEDPUSH)
        return;
    if (result != NULL && (result->timed_out || now_ms - flight->started_ms >= SLOW_MS))
        host_slots_was_slow(desk->hosts, flight->host, now_ms);
    host_slots_leave(desk->hosts, flight->host, result, now_ms, &released);
    call(desk, &released);
}

/* UnifiedPush is as many backends as there are hosts, and strangers choose them: their failures
 * must not hold up anybody else, so it is never down as a whole; but while there is nothing else,
 * no push is to be blamed for them. What was not answered says nothing good of the network. */
static void note_health(struct push_desk *desk, enum wake_lane lane,
                        const struct push_result *result, int64_t now_ms)
{
    struct push_health *health = &desk->health[lane];

    switch (result->outcome) {
    case PUSH_BACKEND_FAULT:
        if (lane == WAKE_LANE_FCM && push_health_fault(health, now_ms))
            log_error("push: FCM cannot be reached or answers 5xx alone; its wakes wait");
        break;
    case PUSH_UNAUTHORIZED: /* oauth deals with that */
    case PUSH_CANCELLED:
        break;
    case PUSH_DELIVERED:
    case PUSH_DEAD_TOKEN:
    case PUSH_RETRY:
    case PUSH_HELD_BACK:
    case PUSH_GIVEN_UP:
    case PUSH_MISTAKE:
        if (result->answered && push_health_good(health, now_ms))
            log_info("push: %s works again", words[lane].name);
        break;
    }
}

static void retry(struct push_desk *desk, const struct flight *flight,
                  const struct push_result *result, bool blamed, int64_t now_ms)
{
    unsigned given_up;

    if (wake_queue_retry(desk->queue, flight->target, now_ms, blamed, result->retry_after_ms,
                         &given_up))
        stats_add(desk->stats, STAT_PUSH_RETRIES, 1);
    if (given_up > 0)
        log_debug("push: %s has had %d tries: %u of its wakes are given up", flight->name.text,
                  WAKE_TRIES_MAX, given_up);
    count(desk, words[flight->lane].given_up, given_up);
}

/* Nothing else goes to this endpoint before its time, whichever trade key is to be woken there. */
static void hold_endpoint(struct push_desk *desk, const struct flight *flight, int64_t hold_ms,
                          int64_t now_ms)
{
    char endpoint[HOST_SLOTS_ENDPOINT_SIZE];

    if (hold_ms < HOLD_ENDPOINT_MS)
        hold_ms = HOLD_ENDPOINT_MS;
    if (hold_ms > WAKE_RETRY_AFTER_MAX_MS)
        hold_ms = WAKE_RETRY_AFTER_MAX_MS;
    host_slots_endpoint(endpoint, flight->token);
    host_slots_hold(desk->hosts, endpoint, now_ms + hold_ms, now_ms);
}

/* Before its slot is given back, so that nobody else of a held host is called. Returns until when
 * the push waits. */
static int64_t hold(struct push_desk *desk, const struct flight *flight,
                    const struct push_result *result, int64_t now_ms)
{
    if (result->outcome != PUSH_HELD_BACK || flight->lane != WAKE_LANE_UNIFIEDPUSH)
        return now_ms;
    if (result->holds_host)
        return host_slots_hold_host(desk->hosts, flight->host, now_ms);
    hold_endpoint(desk, flight, result->retry_after_ms, now_ms);
    return now_ms;
}

/* It spends no try. An endpoint that only ever asks to wait is asked ever more rarely; a host is as
 * a whole. */
static void hold_back(struct push_desk *desk, const struct flight *flight,
                      const struct push_result *result, int64_t held_until_ms, int64_t now_ms)
{
    if (!result->holds_host) {
        retry(desk, flight, result, false, now_ms);
        return;
    }
    wake_queue_hold_back(desk->queue, flight->target, held_until_ms);
    stats_add(desk->stats, STAT_PUSH_RETRIES, 1);
}

static void add_dead(struct push_desk *desk, struct flight *flight)
{
    flight->next = NULL;
    if (desk->dead_last != NULL)
        desk->dead_last->next = flight;
    else
        desk->dead_first = flight;
    desk->dead_last = flight;
}

static void push_done(const struct push_result *result, void *arg)
{
    struct flight *flight = arg;
    struct push_desk *desk = flight->desk;
    int64_t now_ms = (int64_t)clock_monotonic_ms(), held_until_ms;
    bool blamed =
        push_health_blames(&desk->health[flight->lane], wake_target_failing_ms(flight->target));

    tell_outcome(flight, result);
    if (result->outcome != PUSH_CANCELLED)
        stats_add_push(desk->stats, words[flight->lane].first_bucket,
                       (uint64_t)(now_ms - flight->started_ms));
    held_until_ms = hold(desk, flight, result, now_ms);
    release_slot(desk, flight, result, now_ms);
    note_health(desk, flight->lane, result, now_ms);
    switch (result->outcome) {
    case PUSH_DELIVERED:
        settle(desk, flight->target, words[flight->lane].delivered, now_ms);
        break;
    case PUSH_DEAD_TOKEN:
        add_dead(desk, flight);
        return;
    case PUSH_RETRY:
        retry(desk, flight, result, true, now_ms);
        break;
    case PUSH_BACKEND_FAULT:
        retry(desk, flight, result, blamed, now_ms);
        break;
    case PUSH_HELD_BACK:
        hold_back(desk, flight, result, held_until_ms, now_ms);
        break;
    case PUSH_UNAUTHORIZED:
        if (!wake_queue_once_more(desk->queue, flight->target, now_ms))
            settle(desk, flight->target, words[flight->lane].given_up, now_ms);
        break;
    case PUSH_GIVEN_UP:
    case PUSH_MISTAKE:
        settle(desk, flight->target, words[flight->lane].given_up, now_ms);
        break;
    case PUSH_CANCELLED:
        wake_queue_abandon(desk->queue, flight->target);
        break;
    }
    flight_free(flight);
}

bool push_desk_first_dead(const struct push_desk *desk, struct push_desk_dead *dead)
{
    const struct flight *first = desk->dead_first;

    if (first == NULL)
        return false;
    *dead = (struct push_desk_dead){
        .key = wake_target_key(first->target),
        .token = first->token,
        .expires_ms = first->expires_ms,
    };
    return true;
}

void push_desk_forgotten(struct push_desk *desk, bool renewed, int64_t now_ms)
{
    struct flight *flight = desk->dead_first;

    desk->dead_first = flight->next;
    if (desk->dead_first == NULL)
        desk->dead_last = NULL;
    log_debug(renewed ? "push: %s stays registered, for it has registered anew meanwhile"
                      : "push: %s is unregistered, for its token is dead",
              flight->name.text);
    if (renewed)
        wake_queue_abandon(desk->queue, flight->target);
    else
        settle(desk, flight->target, words[flight->lane].dead, now_ms);
    flight_free(flight);
}

/* ---- Sending --------------------------------------------------------------------------------- */

static struct flight *flight_new(struct push_desk *desk, struct wake_target *target,
                                 const struct registration *registration, enum wake_lane lane,
                                 int64_t now_ms)
{
    size_t host_size = lane == WAKE_LANE_UNIFIEDPUSH ? UNIFIEDPUSH_HOST_MAX : 0;
    struct flight *flight = calloc(1, sizeof *flight + host_size);

    if (flight == NULL)
        return NULL;
    flight->desk = desk;
    flight->target = target;
    flight->name = log_debug_name(wake_target_key(target));
    flight->lane = lane;
    flight->started_ms = now_ms;
    flight->expires_ms = registration->expires_ms;
    flight->token = strdup(registration->token);
    if (flight->token == NULL) {
        free(flight);
        return NULL;
    }
    return flight;
}

static void tell_begun(const struct flight *flight, bool begun, enum push_kind kind,
                       unsigned expired)
{
    if (expired > 0)
        log_debug("push: %s has waited for too long: %u of its wakes are given up",
                  flight->name.text, expired);
    if (begun)
        log_debug("push: %s is pushed to by %s%s", flight->name.text, words[flight->lane].name,
                  kind == PUSH_VISIBLE ? ", visibly where that can be" : ", silently");
}

/* The slot is taken; every way out of here gives it back in the end. */
static void take_off(struct push_desk *desk, struct flight *flight,
                     const struct registration *registration, int64_t now_ms)
{
    enum push_kind kind;
    unsigned expired, given_up;
    enum push_start started = PUSH_STARTED;

    bool begun;

    desk->in_flight[flight->lane]++;
    begun = wake_queue_begin(desk->queue, flight->target, flight->lane, now_ms, &kind, &expired);
    stats_add(desk->stats, words[flight->lane].given_up, expired);
    tell_begun(flight, begun, kind, expired);
    if (!begun) {
        release_slot(desk, flight, NULL, now_ms);
        flight_free(flight);
        return;
    }
    if (flight->lane == WAKE_LANE_UNIFIEDPUSH)
        started =
            unifiedpush_push(desk->unifiedpush, registration, clock_unix_s(), push_done, flight);
    else if (!fcm_push(desk->fcm, kind, registration->token, now_ms, clock_unix_s(), push_done,
                       flight))
        started = PUSH_NO_MEMORY;
    if (started == PUSH_STARTED)
        return;
    release_slot(desk, flight, NULL, now_ms);
    if (started == PUSH_BAD_REGISTRATION) {
        log_debug("push: %s cannot be pushed to, for its registration is damaged: given up",
                  flight->name.text);
        settle(desk, flight->target, words[flight->lane].given_up, now_ms);
    } else {
        log_warn("push: %s: a push could not be started for want of memory; it will be tried again",
                 words[flight->lane].name);
        (void)wake_queue_retry(desk->queue, flight->target, now_ms, false, NO_MEMORY_MS, &given_up);
    }
    flight_free(flight);
}

/* Whether UnifiedPush may push to it now; if not, its wakes are given up or wait. */
static bool may_enter(struct push_desk *desk, struct flight *flight,
                      const struct registration *registration, int64_t now_ms)
{
    const struct settings *settings = desk->settings;
    char endpoint[HOST_SLOTS_ENDPOINT_SIZE];
    int64_t held_until;

    if (registration->platform != PLATFORM_ANDROID ||
        !unifiedpush_host(registration->token, &settings->unifiedpush_allowed_hosts,
                          settings->unifiedpush_allow_private, flight->host)) {
        log_debug("push: %s cannot be pushed to, for its endpoint is not admitted: given up",
                  flight->name.text);
        settle(desk, flight->target, STAT_WAKES_GIVEN_UP_UNIFIEDPUSH, now_ms);
        return false;
    }
    host_slots_endpoint(endpoint, registration->token);
    held_until = host_slots_held_until(desk->hosts, endpoint, now_ms);
    if (held_until > now_ms) {
        log_debug("push: %s waits, for its endpoint takes nothing yet", flight->name.text);
        wake_queue_postpone(desk->queue, flight->target, WAKE_LANE_UNIFIEDPUSH, held_until);
        return false;
    }
    switch (host_slots_enter(desk->hosts, flight->host, flight->target, now_ms)) {
    case HOST_ENTERED:
        return true;
    case HOST_WAITS:
        log_debug("push: %s waits, for its distributor takes nothing yet", flight->name.text);
        return false;
    case HOST_NO_MEMORY:
        break;
    }
    wake_queue_postpone(desk->queue, flight->target, WAKE_LANE_UNIFIEDPUSH, now_ms + NO_MEMORY_MS);
    return false;
}

/* Once, however often it is looked at while it waits. */
static void tell_waiting(const struct wake_target *target, enum wake_lane lane)
{
    if (wake_target_lane(target) != lane)
        log_debug("push: %s waits, for %s is down or busy",
                  log_debug_name(wake_target_key(target)).text, words[lane].name);
}

void push_desk_serve(struct push_desk *desk, struct wake_target *target,
                     const struct registration *registration, int64_t now_ms)
{
    enum wake_lane lane;
    struct flight *flight;

    if (registration == NULL) {
        log_debug("push: %s is not registered, or no longer: not pushed to",
                  log_debug_name(wake_target_key(target)).text);
        settle(desk, target, STAT_WAKES_UNREGISTERED, now_ms);
        return;
    }
    lane = unifiedpush_is_endpoint(registration->token) ? WAKE_LANE_UNIFIEDPUSH : WAKE_LANE_FCM;
    if (lane_is_off(desk, lane)) {
        log_debug("push: %s cannot be pushed to, for %s is off: given up",
                  log_debug_name(wake_target_key(target)).text, words[lane].name);
        settle(desk, target, words[lane].given_up, now_ms);
        return;
    }
    if (push_desk_slots(desk, lane, now_ms) == 0) {
        tell_waiting(target, lane);
        wake_queue_put_back(desk->queue, target, lane);
        return;
    }
    flight = flight_new(desk, target, registration, lane, now_ms);
    if (flight == NULL)
        wake_queue_postpone(desk->queue, target, lane, now_ms + NO_MEMORY_MS);
    else if (lane == WAKE_LANE_FCM || may_enter(desk, flight, registration, now_ms))
        take_off(desk, flight, registration, now_ms);
    else
        flight_free(flight);
}
