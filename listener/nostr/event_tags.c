#include "event_tags.h"

#include <string.h>

#define SECONDS_MAX_DIGITS 18 /* more digits are beyond every clock, and int64_t */

void event_tags_begin(struct event *event)
{
    event->expires_at = EVENT_NEVER;
    event->has_address = event->addressed = false;
}

static bool is_named(const char *name, size_t len, const char *wanted)
{
    return len == strlen(wanted) && memcmp(name, wanted, len) == 0;
}

/* Digits alone: any other text is no moment, and no reason to keep a phone asleep. */
static int64_t read_seconds(const char *text, size_t len)
{
    int64_t seconds = 0;

    if (len == 0 || len > SECONDS_MAX_DIGITS)
        return EVENT_NEVER;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return EVENT_NEVER;
        seconds = seconds * 10 + (text[i] - '0');
    }
    return seconds;
}

void event_tags_add(struct event *event, const char *name, size_t name_len, const char *value,
                    size_t value_len)
{
    if (value == NULL || value_len == 0)
        return;
    if (is_named(name, name_len, "p") && !event->has_address) {
        event->has_address = true;
        event->addressed = trade_pubkey_parse(&event->trade_pubkey, value, value_len);
    } else if (is_named(name, name_len, "expiration") && event->expires_at == EVENT_NEVER) {
        event->expires_at = read_seconds(value, value_len);
    }
}
