#include "subscription.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void subscription_init(struct subscription *subscription, uint32_t kind)
{
    memset(subscription, 0, sizeof *subscription);
    subscription->kind = kind;
}

void subscription_reset(struct subscription *subscription)
{
    subscription->state = SUBSCRIPTION_UNASKED;
    subscription->answered = false;
    subscription->old_id[0] = '\0';
    subscription->due_ms = 0;
}

void subscription_renew(struct subscription *subscription)
{
    bool live = subscription->state == SUBSCRIPTION_LIVE;

    if (!live && subscription->state != SUBSCRIPTION_ASKED)
        return;
    subscription_reset(subscription);
    memcpy(subscription->old_id, subscription->id, sizeof subscription->old_id);
    subscription->old_is_live = live;
}

void subscription_hurry(struct subscription *subscription)
{
    if (subscription->state == SUBSCRIPTION_CLOSED)
        subscription_reset(subscription);
}

bool subscription_was_asked(const struct subscription *subscription)
{
    return subscription->state != SUBSCRIPTION_UNASKED;
}

bool subscription_is_asked(const struct subscription *subscription)
{
    return subscription->state == SUBSCRIPTION_ASKED;
}

bool subscription_is_live(const struct subscription *subscription)
{
    return subscription->state == SUBSCRIPTION_LIVE;
}

bool subscription_is_answered(const struct subscription *subscription)
{
    return subscription->answered;
}

static size_t ask(struct subscription *subscription, int64_t now_ms, uint64_t random, char *out)
{
    (void)snprintf(subscription->id, sizeof subscription->id, "%016" PRIx64, random);
    subscription->state = SUBSCRIPTION_ASKED;
    subscription->due_ms = now_ms + SUBSCRIPTION_ANSWER_MS;
    return (size_t)snprintf(out, SUBSCRIPTION_FRAME_SIZE,
                            "[\"REQ\",\"%s\",{\"kinds\":[%" PRIu32 "],\"limit\":1}]",
                            subscription->id, subscription->kind);
}

size_t subscription_close_frame(const char *id, char out[SUBSCRIPTION_FRAME_SIZE])
{
    return (size_t)snprintf(out, SUBSCRIPTION_FRAME_SIZE, "[\"CLOSE\",\"%s\"]", id);
}

size_t subscription_next_frame(struct subscription *subscription, int64_t now_ms, uint64_t random,
                               char out[SUBSCRIPTION_FRAME_SIZE])
{
    size_t len;

    if (subscription_due_ms(subscription) > now_ms)
        return 0;
    switch (subscription->state) {
    case SUBSCRIPTION_LIVE:
        len = subscription_close_frame(subscription->old_id, out);
        subscription_old_closed(subscription);
        return len;
    case SUBSCRIPTION_ASKED:
        return 0;
    default:
        return ask(subscription, now_ms, random, out);
    }
}

int64_t subscription_due_ms(const struct subscription *subscription)
{
    if (subscription->state == SUBSCRIPTION_LIVE)
        return subscription->old_id[0] != '\0' ? 0 : SUBSCRIPTION_NEVER;
    return subscription->due_ms;
}

enum subscription_match subscription_match(const struct subscription *subscription, const char *id,
                                           size_t len)
{
    if (len != SUBSCRIPTION_ID_LEN)
        return SUBSCRIPTION_MATCH_NONE;
    if ((subscription->state == SUBSCRIPTION_ASKED || subscription->state == SUBSCRIPTION_LIVE) &&
        memcmp(id, subscription->id, len) == 0)
        return SUBSCRIPTION_MATCH_NOW;
    return memcmp(id, subscription->old_id, len) == 0 ? SUBSCRIPTION_MATCH_OLD
                                                      : SUBSCRIPTION_MATCH_NONE;
}

bool subscription_shows_live(const struct subscription *subscription, enum subscription_match match)
{
    return match == SUBSCRIPTION_MATCH_OLD ? subscription->old_is_live
                                           : subscription->state == SUBSCRIPTION_LIVE;
}

void subscription_old_closed(struct subscription *subscription)
{
    subscription->old_id[0] = '\0';
}

bool subscription_is_late(const struct subscription *subscription, int64_t now_ms)
{
    return subscription->state == SUBSCRIPTION_ASKED && now_ms >= subscription->due_ms;
}

void subscription_on_eose(struct subscription *subscription, int64_t now_ms)
{
    if (subscription->state != SUBSCRIPTION_ASKED)
        return;
    subscription->state = SUBSCRIPTION_LIVE;
    subscription->answered = true;
    subscription->live_since_ms = now_ms;
}

static bool begins_with(const char *text, size_t len, const char *prefix)
{
    return len >= strlen(prefix) && memcmp(text, prefix, strlen(prefix)) == 0;
}

void subscription_on_closed(struct subscription *subscription, int64_t now_ms, uint64_t random)
{
    int64_t held_ms = 0;

    if (subscription->state == SUBSCRIPTION_LIVE)
        held_ms = now_ms - subscription->live_since_ms;
    subscription->state = SUBSCRIPTION_CLOSED;
    subscription->answered = true;
    subscription->due_ms = now_ms + relay_backoff_failed(&subscription->backoff, held_ms, random);
}

enum subscription_refusal subscription_refusal(const char *reason, size_t len)
{
    static const struct {
        const char *prefix;
        enum subscription_refusal refusal;
    } words[] = {
        {"auth-required:", SUBSCRIPTION_REFUSED_AUTH_REQUIRED},
        {"restricted:", SUBSCRIPTION_REFUSED_RESTRICTED},
        /* rust-nostr's relay builder */
        {"error: you cannot request another user's gift wrap", SUBSCRIPTION_REFUSED_RESTRICTED},
    };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (begins_with(reason, len, words[i].prefix))
            return words[i].refusal;
    return SUBSCRIPTION_REFUSED_OTHER;
}
