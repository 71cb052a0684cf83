#include "intake.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "log/log.h"
#include "nostr/catch_up.h"

/* `held` is a ring: `count` events from `first` on. */
struct intake {
    struct intake_options options;
    struct registry_relay_event *held;
    size_t first;
    size_t count;
    bool stuck;
    uint64_t lost; /* in this outage */
    bool has_lost;
};

_Static_assert(EVENT_ID_SIZE == REGISTRY_EVENT_ID_SIZE, "an id is copied as it is");
_Static_assert(EVENT_PUBKEY_SIZE == REGISTRY_AUTHOR_SIZE, "and so is an author");

struct intake *intake_new(const struct intake_options *options)
{
    struct intake *intake = calloc(1, sizeof *intake);

    if (intake == NULL)
        return NULL;
    intake->options = *options;
    if (intake->options.max_held == 0)
        intake->options.max_held = INTAKE_MAX_HELD;
    intake->held = calloc(intake->options.max_held, sizeof *intake->held);
    if (intake->held == NULL) {
        free(intake);
        return NULL;
    }
    return intake;
}

void intake_free(struct intake **intake)
{
    if (*intake == NULL)
        return;
    explicit_bzero((*intake)->held, (*intake)->options.max_held * sizeof *(*intake)->held);
    free((*intake)->held);
    free(*intake);
    *intake = NULL;
}

static void count_outcome(struct stats *stats, enum registry_event outcome)
{
    stats_add(stats, STAT_EVENTS_TAKEN, 1);
    switch (outcome) {
    case REGISTRY_EVENT_QUEUED:
        stats_add(stats, STAT_WAKES_QUEUED, 1);
        break;
    case REGISTRY_EVENT_DEFERRED:
        stats_add(stats, STAT_WAKES_DEFERRED, 1);
        break;
    case REGISTRY_EVENT_REPEATED:
        stats_add(stats, STAT_EVENTS_REPEATED, 1);
        break;
    case REGISTRY_EVENT_COVERED:
        stats_add(stats, STAT_WAKES_COVERED, 1);
        break;
    case REGISTRY_EVENT_UNREGISTERED:
        break;
    }
}

static void tell_outcome(const struct intake *intake, const struct registry_relay_event *event)
{
    static const char *const texts[] = {
        [REGISTRY_EVENT_UNREGISTERED] = "nobody is registered for it",
        [REGISTRY_EVENT_QUEUED] = "a wake is queued",
        [REGISTRY_EVENT_DEFERRED] = "over the limit, its one deferred wake waits",
        [REGISTRY_EVENT_COVERED] = "a wake that is queued already covers it",
        [REGISTRY_EVENT_REPEATED] = "it is repeated, and has woken before",
    };
    struct log_name name = log_step_name(&event->key);

    log_step(&name, "intake: %s has a %s event from %s: %s", name.text,
             event->stored ? "stored" : "live", intake->options.relay, texts[event->outcome]);
}

static void tell_stuck(const struct trade_pubkey *key, size_t more)
{
    struct log_name name = log_step_name(key);

    log_step(&name, "intake: %s has an event that Redis does not take yet: it waits, and %zu more",
             name.text, more);
}

/* Offers a command's worth, as far as it lies in one piece; how many were taken. */
static size_t offer(struct intake *intake)
{
    struct registry_relay_event *events = &intake->held[intake->first];
    size_t n = intake->options.max_held - intake->first, taken = 0;
    bool was_stuck = intake->stuck;

    if (n > intake->count)
        n = intake->count;
    if (n > REGISTRY_EVENTS_MAX)
        n = REGISTRY_EVENTS_MAX;
    intake->stuck =
        intake->options.take(intake->options.arg, events, n, &taken) != REGISTRY_OK || taken < n;
    if (taken < n && !was_stuck)
        tell_stuck(&events[taken].key, intake->count - taken - 1);
    for (size_t i = 0; i < taken; i++) {
        taken_ids_add(intake->options.taken_ids, events[i].id);
        count_outcome(intake->options.stats, events[i].outcome);
        tell_outcome(intake, &events[i]);
    }
    explicit_bzero(events, taken * sizeof *events);
    intake->first = (intake->first + taken) % intake->options.max_held;
    intake->count -= taken;
    return taken;
}

bool intake_flush(struct intake *intake)
{
    size_t flushed = 0;

    do
        flushed += intake->count > 0 ? offer(intake) : 0;
    while (intake->count > 0 && !intake->stuck && flushed < INTAKE_FLUSH_MAX);
    if (intake->count == 0 && intake->lost > 0) {
        log_warn("intake: Redis takes events again; %" PRIu64 " dropped ones will be fetched",
                 intake->lost);
        intake->lost = 0;
    }
    return intake->count > 0 && !intake->stuck;
}

static void lose(struct intake *intake, const struct event *event)
{
    struct log_name name = log_step_name(&event->trade_pubkey);

    log_step(&name,
             "intake: %s has an event for which there is no room: it will be asked for again",
             name.text);
    if (intake->lost++ == 0)
        log_warn("intake: Redis takes no events and the buffer (%zu) is full: further events are "
                 "dropped and fetched later",
                 intake->options.max_held);
    intake->has_lost = true;
    stats_add(intake->options.stats, STAT_EVENTS_LOST_TO_REDIS, 1);
}

/* The place for one more; NULL where there is none. */
static struct registry_relay_event *hold(struct intake *intake, const struct event *event)
{
    struct registry_relay_event *new;

    if (intake->count == intake->options.max_held) {
        lose(intake, event);
        return NULL;
    }
    new = &intake->held[(intake->first + intake->count++) % intake->options.max_held];
    memset(new, 0, sizeof *new);
    memcpy(new->id, event->id, sizeof new->id);
    new->key = event->trade_pubkey;
    new->has_author = event->kind == EVENT_DIRECT_MESSAGE;
    memcpy(new->author, event->pubkey, sizeof new->author);
    return new;
}

static void offer_if_enough(struct intake *intake)
{
    if (intake->count >= REGISTRY_EVENTS_MAX && !intake->stuck)
        (void)offer(intake);
}

void intake_live(struct intake *intake, const struct event *event)
{
    if (hold(intake, event) != NULL)
        offer_if_enough(intake);
}

void intake_stored(struct intake *intake, const struct event *event, int64_t by_ms)
{
    struct registry_relay_event *new = hold(intake, event);

    if (new == NULL)
        return;
    new->stored = true;
    new->stored_by_ms = by_ms;
    new->sent_by_ms = 1000 * catch_up_sent_by_s(event->kind, event->created_at);
    offer_if_enough(intake);
}

size_t intake_held(const struct intake *intake)
{
    return intake->count;
}

bool intake_is_stuck(const struct intake *intake)
{
    return intake->stuck;
}

bool intake_has_lost(const struct intake *intake)
{
    return intake->has_lost;
}

void intake_forget_loss(struct intake *intake)
{
    intake->has_lost = false;
}
