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
#include "push.h"

struct settings;

/* ---- What is said: pure ---------------------------------------------------------------------- */

/* The request's body. NULL when out of memory; wiped and freed by the caller. */
char *fcm_message(enum push_kind kind, const char *token, int64_t unix_s);

/* `proven`: FCM has accepted a push with these credentials before. */
enum push_outcome fcm_classify(const struct http_answer *answer, bool proven);

/* ---- The service ----------------------------------------------------------------------------- */

struct fcm;

/* The project to push to: FIREBASE_PROJECT_ID, or the account's own where that is not set. NULL
 * where neither may be one. It lives as long as both. */
const char *fcm_project(const struct settings *settings, const struct oauth_account *account);

/* Whether the two are there and differ. An account may be allowed to push to another project; most
 * often it is the wrong file. */
bool fcm_project_differs(const struct settings *settings, const struct oauth_account *account);

/* NULL where FCM is off: disabled, or (with a warning) without a usable service account or
 * project. */
struct fcm *fcm_new(const struct settings *settings, struct http_client *client);

/* After http_client_cancel_all(), before the HTTP client is freed. */
void fcm_free(struct fcm **fcm);

/* Keeps the access token fresh; returns when to be called again. */
int64_t fcm_run(struct fcm *fcm, int64_t now_ms, int64_t unix_s);

/* Whether there is an access token: without, nothing can be pushed yet. */
bool fcm_ready(const struct fcm *fcm, int64_t now_ms);

/* False where nothing could be started, and then `done` is never called. */
bool fcm_push(struct fcm *fcm, enum push_kind kind, const char *token, int64_t now_ms,
              int64_t unix_s, push_done_fn *done, void *arg) __attribute__((warn_unused_result));

#endif
