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

struct settings;

/* ---- What is said: pure ---------------------------------------------------------------------- */

/* The request's body. NULL when out of memory; wiped and freed by the caller. */
char *fcm_message(enum push_kind kind, const char *token, int64_t unix_s);

/* `proven`: FCM has accepted a push with these credentials before. */
enum push_outcome fcm_classify(const struct http_answer *answer, bool proven);

/* ---- The service ----------------------------------------------------------------------------- */

/* The project to push to: FIREBASE_PROJECT_ID, or the account's own where that is not set. NULL
 * where neither has the form of a project's name. Lives as long as both. */
const char *fcm_project(const struct settings *settings, const struct oauth_account *account);

/* Whether the setting and the account name different projects. An account may be allowed to push to
 * another project, but most often it is the wrong file. */
bool fcm_project_differs(const struct settings *settings, const struct oauth_account *account);

/* fcm_backend is declared in push_backend.h. It is off: disabled, or (with a warning) without a
 * usable service account or project. */

#endif
