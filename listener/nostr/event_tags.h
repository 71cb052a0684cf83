/* event_tags: what an event's tags say to us: whom it is addressed to (the first `p` tag that has a
 * value), and when it expires (NIP-40).
 *
 * The parser feeds it the tags one after another. Pure. */
#ifndef MOSTRO_EVENT_TAGS_H
#define MOSTRO_EVENT_TAGS_H

#include <stdbool.h>
#include <stddef.h>

#include "event.h"

/* An event of no tags: addressed to nobody, and never expiring. */
void event_tags_begin(struct event *event);

/* The next tag's first two strings; `value` is NULL where it has fewer. Neither need end in a NUL.
 */
void event_tags_add(struct event *event, const char *name, size_t name_len, const char *value,
                    size_t value_len);

#endif
