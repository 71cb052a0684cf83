/* unifiedpush: pushes to endpoint URLs, by a POST to the phone's own distributor (RFC 8030);
 * encrypted where the device gave keys for it, signed where we have a VAPID key.
 *
 * Endpoints come from strangers, so this takes https only, public addresses only (see
 * address_guard.h), no redirects, little time and a short answer. UNIFIEDPUSH_ALLOW_PRIVATE lifts
 * the first two. A URL is a secret of the device and is never logged; a host that is in trouble is
 * named once an hour (see push_notices.h).
 *
 * A push that is refused for its form is sent once more without it, at once and as part of the same
 * push: a message in the clear (400) empty, a signed one (401) unsigned.
 *
 * Belongs to the thread of its HTTP client. */
#ifndef MOSTRO_UNIFIEDPUSH_H
#define MOSTRO_UNIFIEDPUSH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/url.h"
#include "http_client.h"
#include "push_backend.h"

struct settings_regex;

/* Whether a device token is an endpoint URL. */
bool unifiedpush_is_endpoint(const char *token);

/* Writes the endpoint's host in its one spelling (url_write_host()) and its port, `host:port`.
 * False for an endpoint that may not be registered, by the same functions: it is not pushed to.
 * Pure. */
bool unifiedpush_host(const char *url, const struct settings_regex *allowed, bool allow_private,
                      char host[PUSH_HOST_MAX]);

/* Writes the endpoint's origin (RFC 6454, section 6.2): without path, and without the scheme's own
 * port. False where there is none to sign for. Pure. */
#define UNIFIEDPUSH_ORIGIN_MAX (PUSH_HOST_MAX + sizeof "https://")
bool unifiedpush_origin(const char *url, char origin[UNIFIEDPUSH_ORIGIN_MAX]);

/* What follows from the answer. Pure. */
struct push_result unifiedpush_classify(const struct http_answer *answer);

#define UNIFIEDPUSH_BODY_SIZE 64

/* Writes the message and a NUL; returns its length. Pure. */
size_t unifiedpush_message(char body[UNIFIEDPUSH_BODY_SIZE], int64_t unix_s);

/* unifiedpush_backend is declared in push_backend.h. Both kinds of push are the same to it. */

#endif
