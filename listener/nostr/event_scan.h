/* event_scan: reads an EVENT frame (NIP-01) in the form in which nearly all come, without building
 * a tree of it: a quarter of what an event costs otherwise.
 *
 * That form is: no whitespace, printable ASCII without escapes, the seven members of an event once
 * each. What has another form is not refused, only not read: relay_message_parse() and event_read()
 * decide on it, and agree with this wherever this reads. Knows no sockets and no clock. */
#ifndef MOSTRO_EVENT_SCAN_H
#define MOSTRO_EVENT_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "event.h"
#include "relay_message.h"

/* `event` and `subscription` borrow from `text`. False: not of that form; both are undefined. */
bool event_scan(struct event *event, struct relay_text *subscription, const char *text, size_t len)
    __attribute__((warn_unused_result));

#endif
