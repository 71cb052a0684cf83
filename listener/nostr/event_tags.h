/* event_tags: an event's addressee (the first `p` tag that has a value) and its expiry (NIP-40),
 * from its tags.
 *
 * The parser feeds it the tags one after another. Pure. */
#ifndef MOSTRO_EVENT_TAGS_H
#define MOSTRO_EVENT_TAGS_H

#include <stdbool.h>
#include <stddef.h>

#include "event.h"

/* The start: an event without tags has no addressee and never expires. */
void event_tags_begin(struct event *event);

/* Takes the next tag's first two strings; `value` is NULL where the tag has fewer. Neither need end
 * in a NUL. */
void event_tags_add(struct event *event, const char *name, size_t name_len, const char *value,
                    size_t value_len);

#endif
