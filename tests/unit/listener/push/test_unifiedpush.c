#include "push/unifiedpush.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "captured_log.h"
#include "device/address_guard.h"
#include "device/endpoint_url.h"
#include "push/web_push.h"
#include "registry/registration.h"
#include "settings/settings.h"
#include "unit.h"

/* ---- An HTTP client that keeps what it is given -----------------------------------------------
 */

static struct {
    unsigned requests;
    char headers[2048]; /* each and a line feed */
    uint8_t body[4096];
    size_t body_len;
    struct http_request request; /* as far as it points to nothing */
    bool has_memory;
    const int *statuses; /* of answers, 0 after the last; then, or where NULL, 201 */
    bool runs_short;     /* of memory, after the first */
} http = {.has_memory = true};

bool http_client_start(struct http_client *client, const struct http_request *request,
                       http_done_fn *done, void *arg)
{
    struct http_answer answer = {
        .result = HTTP_ANSWERED, .status = 201, .body = "", .retry_after_ms = -1};

    (void)client;
    if (!http.has_memory)
        return false;
    http.has_memory = !http.runs_short;
    http.requests++;
    if (http.statuses != NULL && *http.statuses != 0)
        answer.status = *http.statuses++;
    http.headers[0] = '\0';
    for (size_t i = 0; request->headers[i] != NULL; i++) {
        (void)strcat(http.headers, request->headers[i]);
        (void)strcat(http.headers, "\n");
    }
    memcpy(http.body, request->body, request->body_len);
    http.body_len = request->body_len;
    http.request = *request;
    done(&answer, arg);
    return true;
}

/* ---- Endpoints ------------------------------------------------------------------------------- */

static const struct settings_regex any;

static const char *host_of(const char *url, bool allow_private)
{
    static char host[PUSH_HOST_MAX];

    return unifiedpush_host(url, &any, allow_private, host) ? host : "";
}

START_TEST(endpoints_are_known_by_their_scheme)
{
    ck_assert(unifiedpush_is_endpoint("https://push.example.org/up?id=1"));
    ck_assert(!unifiedpush_is_endpoint("dGVzdA:APA91b-x_y"));
}
END_TEST

START_TEST(hosts_are_found)
{
    ck_assert_str_eq(host_of("https://push.example.org/up1", false), "push.example.org:443");
    ck_assert_str_eq(host_of("https://PUSH.Example.org:8443/up1", false), "push.example.org:8443");
    ck_assert_str_eq(host_of("https://[2606:4700::1]/x", false), "[2606:4700::1]:443");
    ck_assert_str_eq(host_of("http://127.0.0.1:9000/x", true), "127.0.0.1:9000");
    ck_assert_str_eq(host_of("http://push.example.org/x", false), "");
    ck_assert_str_eq(host_of("ftp://push.example.org/x", true), "");
    ck_assert_str_eq(host_of("file:///etc/passwd", true), "");
    ck_assert_str_eq(host_of("https://", true), "");
    ck_assert_str_eq(host_of("://x", true), "");
    /* One server has one name, however it is written. */
    ck_assert_str_eq(host_of("https://[2606:4700:0:0::0001]:0443/x", false), "[2606:4700::1]:443");
}
END_TEST

/* What cannot be registered is not pushed to, whoever has put it into Redis. */
START_TEST(hosts_are_those_that_registration_takes)
{
    static const char *const urls[] = {
        "https://push.example.org/up1",
        "https://push.example.org:80/up1",
        "https://push.example.org:/up1",
        "https://user:pass@push.example.org/up1",
        "https://push.example.org/up1#f",
        "https://push.example.org./up1",
        "https://push%2eexample.org/up1",
        "https://intranet/up1",
        "https://printer.local/up1",
        "https://127.1/up1",
        "https://2130706433/up1",
        "https://10.0.0.1/up1",
        "https://[::1]/up1",
        "https://[fe80::1%25eth0]/up1",
        "http://push.example.org/up1",
        "https://push.example.org/up 1",
        "https://[2606:4700::1]:1024/up",
    };
    unsigned taken = 0;

    for (size_t i = 0; i < 2 * sizeof urls / sizeof urls[0]; i++) {
        const char *url = urls[i / 2];
        bool allow_private = i % 2;
        bool registers = endpoint_url_is_valid(url, strlen(url), allow_private);

        ck_assert_msg((*host_of(url, allow_private) != '\0') == registers, "%s", url);
        taken += registers;
    }
    ck_assert_uint_eq(taken, 10);
}
END_TEST

START_TEST(hosts_can_be_narrowed)
{
    struct settings_regex allowed = {.set = true};
    char host[PUSH_HOST_MAX];

    ck_assert_int_eq(
        regcomp(&allowed.compiled, "^(.*\\.)?example\\.org$", REG_EXTENDED | REG_NOSUB), 0);
    ck_assert(unifiedpush_host("https://Push.Example.ORG/x", &allowed, false, host));
    ck_assert(!unifiedpush_host("https://push.example.net/example.org", &allowed, false, host));
    ck_assert(!unifiedpush_host("https://notexample.org/x", &allowed, false, host));
    ck_assert(!unifiedpush_host("https://example.org@evil.test/", &allowed, false, host));
    ck_assert(!unifiedpush_host("https://example.org.evil.test/", &allowed, false, host));
    regfree(&allowed.compiled);
}
END_TEST

static const char *origin_of(const char *url)
{
    static char origin[UNIFIEDPUSH_ORIGIN_MAX];

    return unifiedpush_origin(url, origin) ? origin : "";
}

START_TEST(origins_have_no_path_and_no_default_port)
{
    ck_assert_str_eq(origin_of("https://push.example.org/up1?x=1"), "https://push.example.org");
    ck_assert_str_eq(origin_of("HTTPS://PUSH.Example.org:443/up1"), "https://push.example.org");
    ck_assert_str_eq(origin_of("https://push.example.org:8443/"), "https://push.example.org:8443");
    ck_assert_str_eq(origin_of("https://push.example.org:80/"), "https://push.example.org:80");
    ck_assert_str_eq(origin_of("http://127.0.0.1:80/x"), "http://127.0.0.1");
    ck_assert_str_eq(origin_of("http://127.0.0.1:443/x"), "http://127.0.0.1:443");
    ck_assert_str_eq(origin_of("https://[2606:4700::1]:8443/x"), "https://[2606:4700::1]:8443");
    ck_assert_str_eq(origin_of("https://user:pass@push.example.org/"), "https://push.example.org");
    ck_assert_str_eq(origin_of("https://push.ex\xc3\xa4mple/"), "");
    ck_assert_str_eq(origin_of("https://a|b/"), "");
    ck_assert_str_eq(origin_of("https://"), "");
}
END_TEST

START_TEST(the_message_is_the_contracts)
{
    char body[UNIFIEDPUSH_BODY_SIZE];

    ck_assert_uint_eq(unifiedpush_message(body, 1700000000), strlen(body));
    ck_assert_str_eq(body, "{\"type\":\"silent_wake\",\"timestamp\":1700000000}");
}
END_TEST

static enum push_outcome outcome_of(int status)
{
    struct http_answer answer = {
        .result = HTTP_ANSWERED, .status = status, .body = "", .retry_after_ms = -1};

    return unifiedpush_classify(&answer).outcome;
}

START_TEST(statuses_are_classified)
{
    for (int status = 200; status < 600; status++) {
        enum push_outcome expected = PUSH_GIVEN_UP;

        if (status < 300)
            expected = PUSH_DELIVERED;
        else if (status == 404 || status == 410)
            expected = PUSH_DEAD_TOKEN;
        else if (status == 408 || status == 425)
            expected = PUSH_RETRY;
        else if (status == 429)
            expected = PUSH_HELD_BACK;
        else if (status >= 500)
            expected = PUSH_BACKEND_FAULT;
        ck_assert_msg(outcome_of(status) == expected, "%d", status);
    }
}
END_TEST

/* Its endpoint, for as long as it says; its host where it does not. */
START_TEST(a_429_holds_back)
{
    static const struct {
        int status;
        int64_t retry_after_ms;
        bool holds_host;
    } cases[] = {
        {429, 7000, false}, {429, 0, false}, {429, -1, true}, {503, 7000, false}, {503, -1, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_answer answer = {.result = HTTP_ANSWERED,
                                     .status = cases[i].status,
                                     .body = "",
                                     .retry_after_ms = cases[i].retry_after_ms};
        struct push_result result = unifiedpush_classify(&answer);

        ck_assert(result.answered);
        ck_assert(result.holds_host == cases[i].holds_host);
        ck_assert_int_eq(result.retry_after_ms, cases[i].retry_after_ms);
    }
}
END_TEST

START_TEST(failures_are_classified)
{
    static const struct {
        enum http_result result;
        enum push_outcome outcome;
    } cases[] = {
        {HTTP_UNREACHABLE, PUSH_BACKEND_FAULT}, {HTTP_TIMED_OUT, PUSH_BACKEND_FAULT},
        {HTTP_BROKEN, PUSH_BACKEND_FAULT},      {HTTP_ADDRESS_REFUSED, PUSH_GIVEN_UP},
        {HTTP_INVALID, PUSH_GIVEN_UP},          {HTTP_CANCELLED, PUSH_CANCELLED},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_answer answer = {.result = cases[i].result, .body = "", .retry_after_ms = -1};

        ck_assert_int_eq(unifiedpush_classify(&answer).outcome, cases[i].outcome);
        ck_assert(!unifiedpush_classify(&answer).answered);
        ck_assert(!unifiedpush_classify(&answer).timed_out);
        answer.timed_out = true;
        ck_assert(unifiedpush_classify(&answer).timed_out);
    }
}
END_TEST

/* ---- What goes out --------------------------------------------------------------------------- */

#define P256DH \
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
#define AUTH  "BTBZMqHH6r4Tts7J_aSIgg"
#define PLAIN "{\"type\":\"silent_wake\",\"timestamp\":1700000000}"

static unsigned ended;
static enum push_outcome outcome; /* of the last */

static void count(const struct push_result *result, void *arg)
{
    (void)arg;
    outcome = result->outcome;
    ended++;
}

static enum push_start push(const struct settings *settings, const char *token, const char *p256dh,
                            const char *auth)
{
    struct settings enabled = *settings;
    struct registration registration = {.platform = PLATFORM_ANDROID};
    const struct push_order order = {.registration = &registration, .unix_s = 1700000000};
    void *service;
    enum push_start started;
    unsigned ended_before = ended, requests_before = http.requests;

    (void)snprintf(registration.token, sizeof registration.token, "%s", token);
    (void)snprintf(registration.p256dh, sizeof registration.p256dh, "%s", p256dh);
    (void)snprintf(registration.auth, sizeof registration.auth, "%s", auth);
    enabled.unifiedpush_enabled = true;
    ck_assert(unifiedpush_backend.open(&enabled, NULL, &service));
    started = unifiedpush_backend.push(service, &order, count, NULL);
    ck_assert_uint_eq(ended - ended_before, started == PUSH_STARTED);
    if (http.statuses == NULL) {
        ck_assert_uint_eq(http.requests - requests_before, started == PUSH_STARTED);
        ck_assert(started != PUSH_STARTED || outcome == PUSH_DELIVERED);
    }
    unifiedpush_backend.close(service);
    return started;
}

#define ENDPOINT "https://push.example.org/up1"

START_TEST(without_keys_it_is_plain)
{
    static const struct settings settings;

    ck_assert_int_eq(push(&settings, ENDPOINT, "", ""), PUSH_STARTED);
    ck_assert_uint_eq(http.body_len, strlen(PLAIN));
    ck_assert_mem_eq(http.body, PLAIN, strlen(PLAIN));
    ck_assert_str_eq(http.headers, "TTL: 86400\nUrgency: high\nContent-Type: application/json\n");
}
END_TEST

/* What keeps a stranger's host from taking more than its share of time and of this network. */
START_TEST(strangers_are_trusted_with_little)
{
    struct settings settings = {.unifiedpush_allow_private = false};

    ck_assert_int_eq(push(&settings, ENDPOINT, "", ""), PUSH_STARTED);
    ck_assert_int_eq(http.request.connect_timeout_ms, 2000);
    ck_assert_int_eq(http.request.timeout_ms, 5000);
    ck_assert_uint_eq(http.request.answer_limit, 4096);
    ck_assert(http.request.address_check == address_guard_is_public);
    ck_assert(!http.request.allow_http);
    ck_assert(!http.request.shares_connection);
    settings.unifiedpush_allow_private = true;
    ck_assert_int_eq(push(&settings, ENDPOINT, "", ""), PUSH_STARTED);
    ck_assert_int_eq(http.request.connect_timeout_ms, 2000);
    ck_assert_int_eq(http.request.timeout_ms, 5000);
    ck_assert_uint_eq(http.request.answer_limit, 4096);
    ck_assert(http.request.address_check == NULL);
    ck_assert(http.request.allow_http);
    ck_assert(!http.request.shares_connection);
}
END_TEST

START_TEST(with_keys_it_is_encrypted)
{
    static const struct settings settings;

    ck_assert_int_eq(push(&settings, ENDPOINT, P256DH, AUTH), PUSH_STARTED);
    ck_assert_uint_eq(http.body_len, strlen(PLAIN) + WEB_PUSH_OVERHEAD);
    ck_assert_ptr_null(memmem(http.body, http.body_len, "silent", 6));
    ck_assert_str_eq(http.headers, "TTL: 86400\nUrgency: high\n"
                                   "Content-Type: application/octet-stream\n"
                                   "Content-Encoding: aes128gcm\n");
}
END_TEST

START_TEST(with_keys_that_are_lost_it_is_empty)
{
    static const struct settings settings;

    ck_assert_int_eq(push(&settings, ENDPOINT, REGISTRY_KEYS_LOST, ""), PUSH_STARTED);
    ck_assert_uint_eq(http.body_len, 0);
    ck_assert_str_eq(http.headers, "TTL: 86400\nUrgency: high\nContent-Type:\n");
}
END_TEST

START_TEST(stored_keys_that_are_none_send_nothing)
{
    static const char off_curve[] =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiwA";
    static const char *const cases[][2] = {
        {P256DH, ""},       {"", AUTH},         {off_curve, AUTH}, {AUTH, P256DH},
        {P256DH "A", AUTH}, {P256DH, AUTH "A"}, {"!", "!"},        {"\xff\xfe", AUTH},
    };
    static const struct settings settings;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_int_eq(push(&settings, ENDPOINT, cases[i][0], cases[i][1]),
                         PUSH_BAD_REGISTRATION);
}
END_TEST

START_TEST(without_memory_nothing_is_sent)
{
    static const struct settings settings;

    http.has_memory = false;
    ck_assert_int_eq(push(&settings, ENDPOINT, P256DH, AUTH), PUSH_NO_MEMORY);
}
END_TEST

/* A key of this server's, and its public half. */
static struct vapid_key *make_vapid_key(char public_half[VAPID_KEY_PUBLIC_SIZE])
{
    char directory[] = "/tmp/mostro-push-vapid-XXXXXX", path[sizeof directory + 4];
    struct vapid_key *key;
    const char *problem;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    (void)sprintf(path, "%s/key", directory);
    ck_assert_ptr_null(vapid_key_generate(path, public_half));
    key = vapid_key_read(path, &problem);
    (void)unlink(path);
    (void)rmdir(directory);
    return key;
}

START_TEST(with_a_vapid_key_both_are_signed)
{
    char public_half[VAPID_KEY_PUBLIC_SIZE], end[VAPID_KEY_PUBLIC_SIZE + 8];
    struct settings settings = {.vapid_key = make_vapid_key(public_half)};

    (void)sprintf(end, ", k=%s\n", public_half);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(push(&settings, ENDPOINT, i ? P256DH : "", i ? AUTH : ""), PUSH_STARTED);
        ck_assert_ptr_nonnull(strstr(http.headers, "\nAuthorization: vapid t=eyJ"));
        ck_assert_ptr_nonnull(strstr(http.headers, end));
    }
    ck_assert_int_eq(push(&settings, "https://a|b/", "", ""), PUSH_BAD_REGISTRATION);
    vapid_key_free(&settings.vapid_key);
}
END_TEST

/* ---- What is refused for its form ------------------------------------------------------------ */

/* A push that is answered like this one status after another; returns how many requests it was. */
static unsigned push_and_be_answered(const int *statuses, const struct settings *settings,
                                     bool encrypted)
{
    unsigned before = http.requests;

    http.statuses = statuses;
    ck_assert_int_eq(push(settings, ENDPOINT, encrypted ? P256DH : "", encrypted ? AUTH : ""),
                     PUSH_STARTED);
    http.statuses = NULL;
    return http.requests - before;
}

START_TEST(a_plain_message_that_is_refused_is_sent_empty)
{
    static const struct settings settings;
    static const int refused[] = {400, 0};

    ck_assert_uint_eq(push_and_be_answered(refused, &settings, false), 2);
    ck_assert_int_eq(outcome, PUSH_DELIVERED);
    ck_assert_uint_eq(http.body_len, 0);
    ck_assert_str_eq(http.headers, "TTL: 86400\nUrgency: high\nContent-Type:\n");
    ck_assert(http.request.address_check == address_guard_is_public);
    ck_assert_int_le(http.request.timeout_ms, 5000);
}
END_TEST

/* Once; and only one in the clear that was told so. */
START_TEST(an_empty_one_is_sent_once)
{
    static const struct settings settings;
    static const int always[] = {400, 400, 400, 0}, then_busy[] = {400, 503, 0}, busy[] = {503, 0},
                     unsigned_anyway[] = {401, 0};

    ck_assert_uint_eq(push_and_be_answered(always, &settings, false), 2);
    ck_assert_int_eq(outcome, PUSH_GIVEN_UP);
    ck_assert_uint_eq(push_and_be_answered(then_busy, &settings, false), 2);
    ck_assert_int_eq(outcome, PUSH_BACKEND_FAULT);
    ck_assert_uint_eq(push_and_be_answered(busy, &settings, false), 1);
    ck_assert_int_eq(outcome, PUSH_BACKEND_FAULT);
    ck_assert_uint_eq(push_and_be_answered(unsigned_anyway, &settings, false), 1);
    ck_assert_int_eq(outcome, PUSH_GIVEN_UP);
    ck_assert_uint_eq(push_and_be_answered(always, &settings, true), 1);
    ck_assert_int_eq(outcome, PUSH_GIVEN_UP);
}
END_TEST

START_TEST(a_signed_one_that_is_refused_is_sent_unsigned)
{
    static const int refused[] = {401, 0}, always[] = {401, 401, 401, 0}, both[] = {401, 400, 0},
                     other[] = {403, 0};
    char public_half[VAPID_KEY_PUBLIC_SIZE];
    struct settings settings = {.vapid_key = make_vapid_key(public_half)};

    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(push_and_be_answered(refused, &settings, i), 2);
        ck_assert_int_eq(outcome, PUSH_DELIVERED);
        ck_assert_ptr_null(strstr(http.headers, "Authorization"));
        ck_assert_uint_eq(http.body_len, strlen(PLAIN) + (i ? WEB_PUSH_OVERHEAD : 0));
        ck_assert_uint_eq(push_and_be_answered(always, &settings, i), 2);
        ck_assert_int_eq(outcome, PUSH_GIVEN_UP);
        ck_assert_uint_eq(push_and_be_answered(other, &settings, i), 1);
        ck_assert_int_eq(outcome, PUSH_GIVEN_UP);
    }
    ck_assert_uint_eq(push_and_be_answered(both, &settings, false), 3);
    ck_assert_int_eq(outcome, PUSH_DELIVERED);
    ck_assert_uint_eq(http.body_len, 0);
    ck_assert_ptr_null(strstr(http.headers, "Authorization"));
    vapid_key_free(&settings.vapid_key);
}
END_TEST

START_TEST(an_empty_one_stays_signed)
{
    static const int refused[] = {400, 0};
    char public_half[VAPID_KEY_PUBLIC_SIZE];
    struct settings settings = {.vapid_key = make_vapid_key(public_half)};

    ck_assert_uint_eq(push_and_be_answered(refused, &settings, false), 2);
    ck_assert_ptr_nonnull(strstr(http.headers, "\nAuthorization: vapid t="));
    vapid_key_free(&settings.vapid_key);
}
END_TEST

START_TEST(without_memory_for_another_form_it_is_tried_again)
{
    static const struct settings settings;
    static const int refused[] = {400, 0};

    http.runs_short = true;
    ck_assert_uint_eq(push_and_be_answered(refused, &settings, false), 1);
    ck_assert_int_eq(outcome, PUSH_RETRY);
}
END_TEST

/* ---- What operators are told ------------------------------------------------------------------
 */

START_TEST(failures_are_told_and_nothing_else)
{
    static const struct settings settings;
    static const struct {
        int statuses[3];
        unsigned lines;
    } cases[] = {
        {{201}, 0}, {{400}, 0}, {{404}, 0}, {{410}, 0},      {{302}, 1},
        {{403}, 1}, {{429}, 1}, {{503}, 1}, {{400, 507}, 1},
    };
    int log = capture_log();

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)push_and_be_answered(cases[i].statuses, &settings, false);
        ck_assert_uint_eq(logged(log, "warn: UnifiedPush: push.example.org answers"),
                          cases[i].lines);
    }
    (void)close(log);
}
END_TEST

UNIT_MAIN("unifiedpush", endpoints_are_known_by_their_scheme, hosts_are_found,
          hosts_are_those_that_registration_takes, hosts_can_be_narrowed,
          origins_have_no_path_and_no_default_port, the_message_is_the_contracts,
          statuses_are_classified, a_429_holds_back, failures_are_classified,
          without_keys_it_is_plain, strangers_are_trusted_with_little, with_keys_it_is_encrypted,
          with_keys_that_are_lost_it_is_empty, stored_keys_that_are_none_send_nothing,
          without_memory_nothing_is_sent, with_a_vapid_key_both_are_signed,
          a_plain_message_that_is_refused_is_sent_empty, an_empty_one_is_sent_once,
          a_signed_one_that_is_refused_is_sent_unsigned, an_empty_one_stays_signed,
          without_memory_for_another_form_it_is_tried_again, failures_are_told_and_nothing_else)
