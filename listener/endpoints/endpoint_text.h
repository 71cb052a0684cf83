/* endpoint_text: reads and writes the text of the endpoint file.
 *
 * It is a JSON object of device_id -> {device_id, endpoint_url, registered_at}, the last in Unix
 * seconds, and with "encrypted": true where the device has given keys. It is read a member at a
 * time, so that hostile text costs no more memory than its own length. Texts hold secrets of
 * devices and are wiped. Pure but for memory: no files, no clock. */
#ifndef MOSTRO_ENDPOINT_TEXT_H
#define MOSTRO_ENDPOINT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "registry/registry_endpoints.h"

#define ENDPOINT_TEXT_MAX ((size_t)64 * 1024 * 1024)

/* The most that one member's name, or its value, may take. */
#define ENDPOINT_TEXT_VALUE_MAX ((size_t)32 * 1024)

enum endpoint_text_result {
    ENDPOINT_TEXT_OK,
    ENDPOINT_TEXT_DAMAGED, /* what came before the damage has been taken */
    ENDPOINT_TEXT_STOPPED  /* `take` returned false */
};

/* Calls `take` for each endpoint. The device id is made from the URL, whatever the text says, and a
 * registered_at that is no number is REGISTRY_NO_MOMENT. `*skipped` gets the number of members that
 * are no endpoints (`allow_private` as in endpoint_url.h). */
enum endpoint_text_result endpoint_text_read(const char *text, size_t len, bool allow_private,
                                             registry_endpoint_fn *take, void *arg,
                                             size_t *skipped);

/* A text being composed. */
struct endpoint_text;

/* NULL when out of memory. The text is at most `max` bytes: where there is not room for all that is
 * added, some of it goes (see endpoint_shares.h). */
struct endpoint_text *endpoint_text_new(size_t max);
void endpoint_text_free(struct endpoint_text **text);

enum endpoint_text_added {
    ENDPOINT_TEXT_ADDED,
    ENDPOINT_TEXT_LEFT_OUT, /* it is a repeated one, or one that could not be read again */
    ENDPOINT_TEXT_NO_MEMORY
};
enum endpoint_text_added endpoint_text_add(struct endpoint_text *text,
                                           const struct registry_endpoint *endpoint);

/* How many were left out for want of room. */
size_t endpoint_text_dropped(const struct endpoint_text *text);

/* The whole text, in the order in which it was added; nothing may be added any more. It lives as
 * long as its owner. NULL when out of memory. */
const char *endpoint_text_end(struct endpoint_text *text, size_t *len);

#endif
