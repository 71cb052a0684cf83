#include "intake.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "hex.h"
#include "log.h"

struct held {
    uint8_t id[EVENT_ID_SIZE];
    struct trade_pubkey key;
    bool stored;
};

/* `held` is a ring: `count` events from `first` on. */
struct intake {
    struct intake_options options;
    struct held *held;
    size_t first;
    size_t count;
    uint64_t lost; /* in this outage */
};

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
    case REGISTRY_EVENT_UNREGISTERED:
        break;
    }
}

/* False: not taken, offer it again later. */
static bool offer(struct intake *intake, const struct held *event)
{
    enum registry_event outcome = REGISTRY_EVENT_UNREGISTERED;
    char id[2 * EVENT_ID_SIZE + 1];
    bool taken;

    hex_encode(id, event->id, sizeof event->id);
    taken = intake->options.take(intake->options.arg, id, &event->key, event->stored, &outcome) ==
            REGISTRY_OK;
    if (taken) {
        seen_add(intake->options.seen, event->id);
        count_outcome(intake->options.stats, outcome);
    }
    return taken;
}

static void hold(struct intake *intake, const struct held *event)
{
    size_t max = intake->options.max_held;

    if (intake->count < max) {
        intake->held[(intake->first + intake->count) % max] = *event;
        intake->count++;
        return;
    }
    if (intake->lost++ == 0)
        log_warn("%zu events are held for Redis already: more are lost until it takes them", max);
    stats_add(intake->options.stats, STAT_EVENTS_LOST_TO_REDIS, 1);
}

void intake_event(struct intake *intake, const struct event *event, bool stored)
{
    struct held new = {.key = event->trade_pubkey, .stored = stored};

    memcpy(new.id, event->id, sizeof new.id);
    if (intake->count > 0 || !offer(intake, &new))
        hold(intake, &new);
}

bool intake_retry(struct intake *intake)
{
    for (int i = 0; i < INTAKE_RETRY_BATCH && intake->count > 0; i++) {
        struct held *event = &intake->held[intake->first];

        if (!offer(intake, event))
            return false;
        explicit_bzero(event, sizeof *event);
        intake->first = (intake->first + 1) % intake->options.max_held;
        intake->count--;
    }
    if (intake->count == 0 && intake->lost > 0) {
        log_warn("Redis takes events again; %" PRIu64 " were lost", intake->lost);
        intake->lost = 0;
    }
    return intake->count > 0;
}

size_t intake_held(const struct intake *intake)
{
    return intake->count;
}
