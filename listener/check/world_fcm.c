/* Whether Google gives us an access token, and FCM would take a message of ours: one to a topic,
 * which wants no phone's token, and to validate only, so that it is sent to nobody. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/clock.h"
#include "base/findings.h"
#include "push/fcm_account.h"
#include "push/http_client.h"
#include "push/oauth.h"
#include "settings/settings.h"
#include "world_priv.h"

#define STEP_MS     50
#define ANSWER_MAX  (16 * 1024)
#define CONNECTIONS 1
#define FCM_LOOK_MSG                                                       \
    "{\"validate_only\":true,\"message\":{\"topic\":\"mostro-push-look\"," \
    "\"data\":{\"type\":\"chat_wake\"}}}"

static const char what[] = "FCM";

struct look {
    const struct settings *settings;
    const struct fcm_account *opened;
    struct http_client *client;
    struct oauth *oauth;
    struct findings *findings;
    bool is_done;
};

static void take_answer(const struct http_answer *answer, void *arg)
{
    struct look *look = arg;
    const char *project = look->opened->project;

    look->is_done = true;
    if (answer->result != HTTP_ANSWERED)
        findings_bad(look->findings, what,
                     "%s cannot be reached: see that this machine may go there",
                     look->settings->fcm_endpoint);
    else if (answer->status == 200)
        findings_good(look->findings, what,
                      "gives access tokens, and takes our messages for project %s", project);
    else if (answer->status == 403)
        findings_bad(look->findings, what,
                     "the service account may not send in project %s: switch its Firebase Cloud "
                     "Messaging API (V1) on, and grant the account the role Firebase Cloud "
                     "Messaging API Admin",
                     project);
    else if (answer->status == 404)
        findings_bad(look->findings, what,
                     "there is no project %s for this account: set FIREBASE_PROJECT_ID to its own",
                     project);
    else if (answer->status == 401)
        findings_bad(look->findings, what,
                     "does not take its own access token: see that FCM_ENDPOINT and the account's "
                     "token_uri are Google's");
    else
        findings_bad(look->findings, what, "answered %d to a message that is only to be validated",
                     answer->status);
}

static bool ask(struct look *look, const char *access)
{
    char authorization[sizeof "Authorization: Bearer " + OAUTH_TOKEN_MAX], *url;
    const char *const headers[] = {authorization, "Content-Type: application/json; charset=UTF-8",
                                   "Accept: application/json", NULL};
    struct http_request request = {.headers = headers,
                                   .body = FCM_LOOK_MSG,
                                   .body_len = strlen(FCM_LOOK_MSG),
                                   .connect_timeout_ms = WORLD_LOOK_MS / 2,
                                   .timeout_ms = WORLD_LOOK_MS,
                                   .answer_limit = ANSWER_MAX};
    bool started;

    if (asprintf(&url, "%s/v1/projects/%s/messages:send", look->settings->fcm_endpoint,
                 look->opened->project) < 0)
        return false;
    (void)snprintf(authorization, sizeof authorization, "Authorization: Bearer %s", access);
    request.url = url;
    started = http_client_start(look->client, &request, take_answer, look);
    OPENSSL_cleanse(authorization, sizeof authorization);
    free(url);
    return started;
}

/* NULL: there is none; it was told why. */
static const char *await_token(struct look *look)
{
    int64_t until = clock_monotonic_ms() + WORLD_LOOK_MS;
    const char *token = NULL;
    uint64_t generation;

    while (token == NULL && oauth_trouble(look->oauth)[0] == '\0' && clock_monotonic_ms() < until) {
        (void)oauth_run(look->oauth, clock_monotonic_ms(), clock_unix_s());
        http_client_wait(look->client, STEP_MS);
        token = oauth_token(look->oauth, clock_monotonic_ms(), &generation);
    }
    if (token == NULL)
        findings_bad(look->findings, what, "%s",
                     oauth_trouble(look->oauth)[0] != '\0' ? oauth_trouble(look->oauth)
                                                           : "no access token within 10 s");
    return token;
}

static void look_with(struct look *look)
{
    const char *token = await_token(look);

    if (token == NULL)
        return;
    if (!ask(look, token)) {
        findings_bad(look->findings, what, "out of memory");
        return;
    }
    while (!look->is_done)
        http_client_wait(look->client, STEP_MS);
}

void world_look_at_fcm(const struct settings *settings, struct findings *findings)
{
    const struct http_client_options options = {
        .ca_file = settings->tls_ca_file, .http2 = true, .host_connections = CONNECTIONS};
    struct fcm_account opened;
    struct look look = {.settings = settings, .opened = &opened, .findings = findings};

    fcm_account_open(&opened, settings);
    if (opened.account == NULL) {
        if (opened.is_wanted && settings->firebase_service_account_path != NULL)
            findings_bad(findings, what, "it is off: %s", opened.why_off);
        else
            findings_good(findings, what, "off: %s", opened.why_off);
        return;
    }
    look.client = http_client_new(&options);
    look.oauth = look.client != NULL ? oauth_new(look.client, opened.account) : NULL;
    if (look.client == NULL)
        fcm_account_close(&opened);
    if (look.oauth != NULL)
        look_with(&look);
    else
        findings_bad(findings, what, "out of memory");
    if (look.client != NULL)
        http_client_cancel_all(look.client);
    oauth_free(&look.oauth);
    http_client_free(&look.client);
}
