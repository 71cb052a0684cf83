/* fcm: pushes to device tokens through Firebase Cloud Messaging, HTTP v1.
 *
 * Belongs to the thread of its HTTP client. No token is logged, and nothing that FCM says. */
#ifndef MOSTRO_FCM_H
#define MOSTRO_FCM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http_client.h"
#include "oauth.h"
#include "push_backend.h"

/* ---- What is said: pure ---------------------------------------------------------------------- */

/* The request's body. NULL when out of memory; wiped and freed by the caller. */
char *fcm_message(enum push_kind kind, const char *token, int64_t unix_s);

/* `proven`: FCM has accepted a push with these credentials before. */
enum push_outcome fcm_classify(const struct http_answer *answer, bool proven);

/* ---- The service ----------------------------------------------------------------------------- */

/* fcm_backend is declared in push_backend.h. It is off: disabled, or (with a warning) without a
 * usable service account or project. */

#endif
