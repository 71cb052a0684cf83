/* unifiedpush: pushes to endpoint URLs, by a POST to the phone's own distributor (RFC 8030);
 * encrypted where the device gave keys for it, signed where we have a VAPID key.
 *
 * Endpoints come from strangers: https only, public addresses only (see address_guard.h), no
 * redirects, little time and little answer. UNIFIEDPUSH_ALLOW_PRIVATE lifts the first two. A URL is
 * a secret of the device and is never logged; a host that is in trouble is named once an hour (see
 * push_notices.h).
 *
 * What is refused for its form is sent once more without it, at once and as part of the same push:
 * a message in the clear (400) empty, a signed one (401) unsigned.
 *
 * Belongs to the thread of its HTTP client. */
#ifndef MOSTRO_UNIFIEDPUSH_H
#define MOSTRO_UNIFIEDPUSH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/url.h"
#include "http_client.h"
#include "push.h"

struct registration;
struct settings;
struct settings_regex;

/* Whether a device token is an endpoint URL. */
bool unifiedpush_is_endpoint(const char *token);

#define UNIFIEDPUSH_HOST_MAX URL_AUTHORITY_SIZE

/* The endpoint's host in its one spelling (url_write_host()) and its port, `host:port`. False for
 * what may not be registered, by the same functions, and so is not pushed to. Pure. */
bool unifiedpush_host(const char *url, const struct settings_regex *allowed, bool allow_private,
                      char host[UNIFIEDPUSH_HOST_MAX]);

/* The endpoint's origin (RFC 6454, section 6.2): without path, and without the scheme's own port.
 * False where it is none to sign for. Pure. */
#define UNIFIEDPUSH_ORIGIN_MAX (UNIFIEDPUSH_HOST_MAX + sizeof "https://")
bool unifiedpush_origin(const char *url, char origin[UNIFIEDPUSH_ORIGIN_MAX]);

/* What follows from the answer. Pure. */
struct push_result unifiedpush_classify(const struct http_answer *answer);

#define UNIFIEDPUSH_BODY_SIZE 64

/* Writes the message and a NUL; returns its length. Pure. */
size_t unifiedpush_message(char body[UNIFIEDPUSH_BODY_SIZE], int64_t unix_s);

struct unifiedpush;

/* The arguments must outlive it. NULL when out of memory. */
struct unifiedpush *unifiedpush_new(const struct settings *settings, struct http_client *client);
void unifiedpush_free(struct unifiedpush **unifiedpush);

/* Both kinds of push are the same to UnifiedPush. */
enum push_start unifiedpush_push(struct unifiedpush *unifiedpush,
                                 const struct registration *registration, int64_t unix_s,
                                 push_done_fn *done, void *arg) __attribute__((warn_unused_result));

#endif
