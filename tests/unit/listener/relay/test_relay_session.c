#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log/log.h"
#include "relay/relay_gaps_priv.h"
#include "relay/relay_session_priv.h"
#include "unit.h"

#define T0     INT64_C(5000000)
#define UNIX_S INT64_C(1785600123)

static struct settings_kinds kinds = {.kind = {1059, 14}, .count = 2};
static struct taken_ids *taken_ids;
static struct stats stats;
static struct intake *intake;
static struct event_verifier *verifier;
static struct relay_auth *auth;
static struct relay_session *session;
static _Atomic int64_t last_event_s;
static unsigned taken;
static bool taken_as_stored;
static int64_t taken_stored_by_ms;
static bool redis_is_up;
static char frame[RELAY_SESSION_FRAME_SIZE];
static char gift_wrap[65536]; /* a sound event of kind 1059 */
static char other_wrap[65536];
static char message_14[65536];

static enum registry_result take(void *arg, struct registry_relay_event *events, size_t n,
                                 size_t *count)
{
    (void)arg;
    if (!redis_is_up)
        return REGISTRY_UNAVAILABLE;
    for (*count = 0; *count < n; ++*count) {
        taken++;
        taken_as_stored = events[*count].stored;
        taken_stored_by_ms = events[*count].stored_by_ms;
        events[*count].outcome = REGISTRY_EVENT_QUEUED;
    }
    return REGISTRY_OK;
}

static void load_event(const char *name, char *out)
{
    FILE *file = fopen(TEST_DATA_DIR "/events.jsonl", "r");
    char *line = NULL;
    size_t size = 0;
    bool found = false;

    ck_assert_ptr_nonnull(file);
    while (!found && getline(&line, &size, file) > 0) {
        json_t *one = json_loads(line, JSON_ALLOW_NUL, NULL);

        found = strcmp(json_string_value(json_object_get(one, "name")), name) == 0;
        if (found) {
            char *text = json_dumps(json_object_get(one, "event"), JSON_COMPACT);

            strcpy(out, text);
            free(text);
        }
        json_decref(one);
    }
    ck_assert(found);
    free(line);
    (void)fclose(file);
}

static void set_up(void)
{
    struct intake_options intake_options = {
        .relay = "wss://one.example", .stats = &stats, .take = take, .max_held = 1};
    struct relay_session_options options = {
        .name = "test", .kinds = &kinds, .stats = &stats, .last_event_s = &last_event_s};

    log_open("test", LOG_LEVEL_ERROR, LOG_TARGET_STDERR);
    memset(&stats, 0, sizeof stats);
    taken = 0;
    redis_is_up = true;
    atomic_store(&last_event_s, 0);
    options.taken_ids = intake_options.taken_ids = taken_ids = taken_ids_new(100);
    options.intake = intake = intake_new(&intake_options);
    options.verifier = verifier = event_verifier_new();
    options.auth = auth = relay_auth_new("wss://relay.example.com", NULL);
    session = relay_session_new(&options);
    ck_assert_ptr_nonnull(session);
    load_event("gift wrap 0", gift_wrap);
    load_event("gift wrap 1", other_wrap);
    load_event("plain", message_14);
}

static void tear_down(void)
{
    relay_session_free(&session);
    intake_free(&intake);
    event_verifier_free(&verifier);
    relay_auth_free(&auth);
    taken_ids_free(&taken_ids);
}

static uint64_t counted(enum stats_counter which)
{
    return atomic_load(&stats.pending[which]);
}

static bool receive(const char *text)
{
    return relay_session_receive(session, text, strlen(text), T0, UNIX_S);
}

/* Begins a connection and keeps the ids of its two REQs. */
static char id_1059[17], id_14[17], page_id[17];

static void learn(int64_t cursor_ms);
static void expect_page(unsigned kind, int64_t now_ms);

static void ask(void)
{
    relay_session_begin(session);
    ck_assert_uint_gt(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    ck_assert_int_eq(sscanf(frame, "[\"REQ\",\"%16[0-9a-f]\",{\"kinds\":[1059],", id_1059), 1);
    ck_assert_uint_gt(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    ck_assert_int_eq(sscanf(frame, "[\"REQ\",\"%16[0-9a-f]\",{\"kinds\":[14],", id_14), 1);
    ck_assert_uint_eq(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
}

static void say_eose(const char *id)
{
    char text[64];

    (void)snprintf(text, sizeof text, "[\"EOSE\",\"%s\"]", id);
    ck_assert(receive(text));
}

static void go_live(void)
{
    ask();
    say_eose(id_1059);
    say_eose(id_14);
}

static void give(const char *id, const char *event)
{
    static char text[140000];

    (void)snprintf(text, sizeof text, "[\"EVENT\",\"%s\",%s]", id, event);
    ck_assert(receive(text));
    (void)intake_flush(intake);
}

/* Distinct events that are handed on, and no others. */
START_TEST(events_that_are_taken_spend_the_budget)
{
    char forged[65536];
    int64_t before;

    event_budget_init(&session->budget, 1);
    go_live();
    give(id_1059, gift_wrap);
    before = session->budget.spent_us;
    ck_assert_int_eq(before, 1000 * T0 + 1000000);
    strcpy(forged, other_wrap);
    forged[strlen(forged) - 3] ^= 1; /* of the signature, or of whatever comes last */
    give(id_1059, gift_wrap);
    give(id_1059, forged);
    give("0123456789abcdef", other_wrap);
    ck_assert_int_eq(session->budget.spent_us, before);
    ck_assert_int_eq(relay_session_pause_ms(session, T0), 0);
    give(id_1059, other_wrap);
    ck_assert_int_eq(session->budget.spent_us, before + 1000000);
    ck_assert_int_eq(relay_session_pause_ms(session, T0 - 8000), 1000);
}
END_TEST

START_TEST(asks_once_for_each_kind)
{
    ask();
    ck_assert_str_ne(id_1059, id_14);
    ck_assert(!relay_session_is_settled(session));
    ck_assert_int_eq(relay_session_due_ms(session), T0 + SUBSCRIPTION_ANSWER_MS);
    say_eose(id_1059);
    ck_assert(!relay_session_is_settled(session));
    say_eose(id_14);
    ck_assert(relay_session_is_settled(session));
    ck_assert_int_eq(relay_session_due_ms(session), SUBSCRIPTION_NEVER);
}
END_TEST

START_TEST(takes_a_live_event)
{
    go_live();
    give(id_1059, gift_wrap);
    ck_assert_uint_eq(taken, 1);
    ck_assert(!taken_as_stored);
    ck_assert_int_eq(atomic_load(&last_event_s), UNIX_S);
    give(id_14, message_14);
    ck_assert_uint_eq(taken, 2);
    ck_assert_uint_eq(counted(STAT_EVENTS_RECEIVED), 2);
    ck_assert_uint_eq(counted(STAT_EVENTS_TAKEN), 2);
}
END_TEST

START_TEST(takes_nothing_before_eose)
{
    ask();
    give(id_1059, gift_wrap);
    ck_assert_uint_eq(taken, 0);
    ck_assert_uint_eq(counted(STAT_EVENTS_RECEIVED), 1);
    ck_assert_uint_eq(counted(STAT_EVENTS_STORED), 1);
    say_eose(id_14);
    give(id_1059, gift_wrap);
    ck_assert_uint_eq(taken, 0);
    say_eose(id_1059);
    give(id_1059, gift_wrap); /* a stored copy has not made it known */
    ck_assert_uint_eq(taken, 1);
}
END_TEST

START_TEST(takes_events_as_live_when_the_time_for_eose_is_over)
{
    int64_t late = T0 + SUBSCRIPTION_ANSWER_MS;

    ask();
    say_eose(id_14);
    give(id_1059, gift_wrap);
    ck_assert_uint_eq(taken, 0);
    ck_assert_int_eq(relay_session_due_ms(session), late);
    ck_assert_uint_eq(relay_session_next_frame(session, late - 1, UNIX_S, frame), 0);
    ck_assert(!relay_session_is_settled(session));
    ck_assert_uint_eq(relay_session_next_frame(session, late, UNIX_S, frame), 0);
    ck_assert(relay_session_is_settled(session));
    ck_assert_int_eq(relay_session_due_ms(session), SUBSCRIPTION_NEVER);
    give(id_1059, gift_wrap);
    ck_assert_uint_eq(taken, 1);
    say_eose(id_1059); /* which changes nothing */
    give(id_1059, other_wrap);
    ck_assert_uint_eq(taken, 2);
    ck_assert_int_eq(relay_session_due_ms(session), SUBSCRIPTION_NEVER);
}
END_TEST

/* After a gap, pages ask for it. */
START_TEST(asks_for_what_came_before_the_time_for_eose_was_over)
{
    int64_t late = T0 + SUBSCRIPTION_ANSWER_MS;

    learn((UNIX_S - 60) * 1000);
    ask();
    expect_page(1059, late);
}
END_TEST

START_TEST(takes_an_event_once)
{
    go_live();
    give(id_1059, gift_wrap);
    give(id_1059, gift_wrap);
    go_live(); /* connected anew */
    give(id_1059, gift_wrap);
    ck_assert_uint_eq(taken, 1);
    ck_assert_uint_eq(counted(STAT_EVENTS_REPEATED), 2);
    give(id_1059, other_wrap);
    ck_assert_uint_eq(taken, 2);
}
END_TEST

/* Any form is read; the quick parser reads only the usual one. */
START_TEST(knows_a_copy_in_any_form)
{
    static char spaced[65536];
    char *id = strstr(gift_wrap, "\"id\":\"");
    size_t before = (size_t)(id - gift_wrap);

    go_live();
    give(id_1059, gift_wrap);
    (void)snprintf(spaced, sizeof spaced, "%.*s\"id\" : %s", (int)before, gift_wrap, id + 5);
    give(id_1059, spaced);
    ck_assert_uint_eq(taken, 1);
    ck_assert_uint_eq(counted(STAT_EVENTS_REPEATED), 1);
    ck_assert_uint_eq(counted(STAT_EVENTS_RECEIVED), 2);
}
END_TEST

START_TEST(is_not_misled_by_what_looks_like_a_copy)
{
    static char cut[65536];
    char *id = strstr(gift_wrap, "\"id\":\"");

    go_live();
    give(id_1059, gift_wrap);
    /* Cut off in the id, and with another subscription. */
    (void)snprintf(cut, sizeof cut, "[\"EVENT\",\"%s\",{%.40s", id_1059, id);
    ck_assert(receive(cut));
    (void)snprintf(cut, sizeof cut, "[\"EVENT\",\"%s", id_1059);
    ck_assert(receive(cut));
    ck_assert_uint_eq(counted(STAT_EVENTS_REPEATED), 0);
    give("somebody", gift_wrap);
    ck_assert_uint_eq(counted(STAT_EVENTS_REPEATED), 0);
}
END_TEST

START_TEST(a_forged_copy_has_no_effect_and_hides_nothing)
{
    static char forged[65536];
    char *signature;

    go_live();
    strcpy(forged, gift_wrap);
    signature = strstr(forged, "\"sig\":\"") + 7;
    signature[5] = signature[5] == '0' ? '1' : '0';
    give(id_1059, forged);
    ck_assert_uint_eq(counted(STAT_EVENTS_INVALID), 1);
    strcpy(forged, gift_wrap);
    strstr(forged, "\"content\":\"")[11] ^= 1;
    give(id_1059, forged);
    ck_assert_uint_eq(counted(STAT_EVENTS_INVALID), 2);
    ck_assert_uint_eq(taken, 0);
    ck_assert_int_eq(atomic_load(&last_event_s), 0);
    give(id_1059, gift_wrap);
    ck_assert_uint_eq(taken, 1);
}
END_TEST

START_TEST(refuses_kinds_that_were_not_asked_for)
{
    go_live();
    give(id_14, gift_wrap);
    give(id_1059, message_14);
    ck_assert_uint_eq(taken, 0);
    ck_assert_uint_eq(counted(STAT_EVENTS_INVALID), 2);
}
END_TEST

START_TEST(ignores_subscriptions_that_are_not_its_own)
{
    char old[17];

    go_live();
    strcpy(old, id_1059);
    give("somebody", gift_wrap);
    go_live();
    give(old, gift_wrap);
    ck_assert(receive("[\"EOSE\",\"somebody\"]"));
    ck_assert(receive("[\"CLOSED\",\"somebody\",\"error: x\"]"));
    ck_assert_uint_eq(taken, 0);
    give(id_1059, gift_wrap);
    ck_assert_uint_eq(taken, 1);
}
END_TEST

START_TEST(counts_what_is_addressed_to_nobody)
{
    static char unaddressed[65536];

    load_event("no p tag", unaddressed);
    go_live();
    give(id_14, unaddressed);
    ck_assert_uint_eq(taken, 0);
    ck_assert_uint_eq(counted(STAT_EVENTS_UNADDRESSED), 1);
}
END_TEST

/* By the clock that is given. */
START_TEST(what_has_expired_is_not_taken)
{
    static char expired[65536], expiring[65536];

    load_event("expired", expired);
    load_event("expiring", expiring);
    go_live();
    give(id_14, expired);
    ck_assert_uint_eq(taken, 0);
    ck_assert_uint_eq(counted(STAT_EVENTS_EXPIRED), 1);
    ck_assert_int_eq(atomic_load(&last_event_s), UNIX_S);
    give(id_14, expiring);
    ck_assert_uint_eq(taken, 1);
    ck_assert_uint_eq(counted(STAT_EVENTS_EXPIRED), 1);
}
END_TEST

/* ---- Catching up ----------------------------------------------------------------------------- */

static void learn(int64_t cursor_ms)
{
    struct registry_now now = {.epoch = "00000000000000aa", .now_ms = UNIX_S * 1000};
    struct registry_cursor cursors[SETTINGS_MAX_KINDS] = {{.cursor_ms = cursor_ms},
                                                          {.cursor_ms = cursor_ms}};

    ck_assert(!relay_gaps_learn(session->gaps, &now, cursors, T0));
}

/* The cursor is a minute old. */
static void go_live_after_a_gap(void)
{
    learn((UNIX_S - 60) * 1000);
    go_live();
}

/* The next frame at this moment is a REQ for a page of the kind. */
static void expect_page(unsigned kind, int64_t now_ms)
{
    unsigned asked;
    size_t len = relay_session_next_frame(session, now_ms, UNIX_S, frame);

    ck_assert_uint_gt(len, 0);
    frame[len] = '\0';
    ck_assert_int_eq(
        sscanf(frame, "[\"REQ\",\"%16[0-9a-f]\",{\"kinds\":[%u],\"since\":", page_id, &asked), 2);
    ck_assert_uint_eq(asked, kind);
}

static void expect_close(int64_t now_ms)
{
    ck_assert_uint_gt(relay_session_next_frame(session, now_ms, UNIX_S, frame), 0);
    ck_assert_int_eq(strncmp(frame, "[\"CLOSE\",\"", 10), 0);
    ck_assert_int_eq(strncmp(frame + 10, page_id, 16), 0);
}

START_TEST(asks_for_stored_events_after_a_gap)
{
    go_live_after_a_gap();
    expect_page(1059, T0);
    give(page_id, gift_wrap);
    ck_assert_uint_eq(taken, 0); /* it is years old */
    ck_assert_uint_eq(counted(STAT_EVENTS_STORED), 1);
    say_eose(page_id);
    expect_close(T0);
    ck_assert_uint_eq(counted(STAT_CATCH_UP_PAGES), 1);
}
END_TEST

START_TEST(takes_a_stored_event_as_stored)
{
    struct catch_up *wraps = &session->gaps->kind[0].catch_up;
    int64_t wraps_live_ms;

    go_live_after_a_gap();
    wraps_live_ms = session->gaps->kind[0].live_ms;
    ck_assert_int_eq(wraps_live_ms / 1000, UNIX_S);
    expect_page(1059, T0);
    wraps->since_s = 0; /* so that the event is of the gap's time */
    wraps->until_s = INT64_MAX - 1;
    give(page_id, gift_wrap);
    ck_assert_uint_eq(taken, 1);
    ck_assert(taken_as_stored);
    ck_assert_int_eq(taken_stored_by_ms, wraps_live_ms);
    give(page_id, gift_wrap);
    ck_assert_uint_eq(taken, 1);
    give(page_id, message_14);
    ck_assert_uint_eq(counted(STAT_EVENTS_INVALID), 1);
    give(id_1059, other_wrap);
    ck_assert(!taken_as_stored);
    ck_assert_uint_eq(wraps->in_page, 2);
}
END_TEST

START_TEST(asks_for_one_page_at_a_time_and_two_a_second)
{
    go_live_after_a_gap();
    expect_page(1059, T0);
    ck_assert_uint_eq(relay_session_next_frame(session, T0 + 19999, UNIX_S, frame), 0);
    say_eose(page_id);
    expect_close(T0);
    ck_assert_int_eq(relay_session_due_ms(session), T0 + RELAY_SESSION_PAGE_MS);
    ck_assert_uint_eq(
        relay_session_next_frame(session, T0 + RELAY_SESSION_PAGE_MS - 1, UNIX_S, frame), 0);
    expect_page(14, T0 + RELAY_SESSION_PAGE_MS);
    say_eose(page_id);
    expect_close(T0 + RELAY_SESSION_PAGE_MS);
    ck_assert_int_eq(relay_session_due_ms(session), SUBSCRIPTION_NEVER);
}
END_TEST

START_TEST(asks_for_no_page_while_redis_takes_nothing)
{
    go_live_after_a_gap();
    redis_is_up = false;
    give(id_1059, gift_wrap);
    ck_assert_uint_eq(intake_held(intake), 1);
    ck_assert_int_eq(relay_session_due_ms(session), SUBSCRIPTION_NEVER);
    ck_assert_uint_eq(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    redis_is_up = true;
    (void)intake_flush(intake);
    expect_page(1059, T0);
}
END_TEST

START_TEST(asks_for_a_page_again_that_the_relay_closed)
{
    char text[128];

    go_live_after_a_gap();
    expect_page(1059, T0);
    (void)snprintf(text, sizeof text, "[\"CLOSED\",\"%s\",\"rate-limited: slow down\"]", page_id);
    ck_assert(receive(text));
    expect_page(14, T0 + RELAY_SESSION_PAGE_MS); /* the other kind meanwhile */
    say_eose(page_id);
    expect_close(T0 + RELAY_SESSION_PAGE_MS);
    ck_assert_uint_eq(relay_session_next_frame(session, T0 + 3749, UNIX_S, frame), 0);
    expect_page(1059, T0 + 5000);
    give(id_1059, gift_wrap); /* the live subscription has not been touched */
    ck_assert_uint_eq(taken, 1);
}
END_TEST

/* Older events are asked for, too, no matter what fills the page. */
START_TEST(goes_past_what_it_cannot_read_in_a_page)
{
    struct catch_up *wraps = &session->gaps->kind[0].catch_up;
    char dated[128];

    go_live_after_a_gap();
    expect_page(1059, T0);
    give(page_id, "{\"created_at\":\"x\",\"tags\":[[]]}");
    ck_assert(receive("[[[[[[[[[[[[[[[[[[[[[[[["));
    ck_assert(relay_session_reject(session, "a message over the limit", T0));
    ck_assert_uint_eq(wraps->in_page, 3);
    ck_assert_uint_eq(wraps->unread, 3);
    (void)snprintf(dated, sizeof dated, "{\"created_at\":%lld,\"tags\":[[]]}",
                   (long long)UNIX_S - 5000);
    give(page_id, dated);
    ck_assert_int_eq(wraps->oldest_s, UNIX_S - 5000);
    say_eose(page_id);
    ck_assert_int_eq(wraps->until_s, UNIX_S - 4999);
    ck_assert_uint_eq(counted(STAT_EVENTS_INVALID), 2);
}
END_TEST

START_TEST(asks_for_no_page_while_redis_may_have_lost_its_data)
{
    go_live_after_a_gap();
    relay_gaps_unsure(session->gaps);
    ck_assert_int_eq(relay_session_due_ms(session), SUBSCRIPTION_NEVER);
    learn((UNIX_S - 60) * 1000);
    expect_page(1059, T0);
}
END_TEST

START_TEST(goes_on_at_its_page_after_a_reconnect)
{
    go_live_after_a_gap();
    expect_page(1059, T0);
    relay_session_end(session);
    ck_assert(!catch_up_is_busy(&session->gaps->kind[0].catch_up));
    go_live();
    expect_page(14, T0 + RELAY_SESSION_PAGE_MS); /* whose turn it is */
    say_eose(page_id);
    expect_close(T0 + RELAY_SESSION_PAGE_MS);
    expect_page(1059, T0 + 2 * RELAY_SESSION_PAGE_MS);
}
END_TEST

START_TEST(settles_what_redis_has_taken)
{
    struct relay_gaps *gaps = session->gaps;

    go_live_after_a_gap();
    relay_session_settle(session, T0 + 100, T0 + 100);
    ck_assert_int_eq(gaps->kind[0].to_ms, UNIX_S * 1000 + 100);
    redis_is_up = false;
    give(id_1059, gift_wrap);
    relay_session_settle(session, T0 + 200, T0 + 200);
    ck_assert_int_eq(gaps->kind[0].to_ms, UNIX_S * 1000 + 100);
    redis_is_up = true;
    (void)intake_flush(intake);
    relay_session_settle(session, T0 + 200, T0 + 300);
    ck_assert_int_eq(gaps->kind[0].to_ms, UNIX_S * 1000 + 200);
}
END_TEST

START_TEST(what_the_intake_loses_is_a_gap)
{
    struct relay_gaps *gaps = session->gaps;

    learn(UNIX_S * 1000);
    go_live();
    relay_session_settle(session, T0 + 100, T0 + 100);
    redis_is_up = false;
    give(id_1059, gift_wrap); /* there is place for one */
    give(id_1059, other_wrap);
    ck_assert(intake_has_lost(intake));
    redis_is_up = true;
    (void)intake_flush(intake);
    relay_session_settle(session, T0 + 200, T0 + 300);
    ck_assert(!intake_has_lost(intake));
    ck_assert_int_eq(gaps->kind[0].gap_ms, UNIX_S * 1000 + 100);
    expect_page(1059, T0 + 300);
}
END_TEST

START_TEST(asks_again_for_what_was_closed_and_keeps_the_other)
{
    char text[128];

    go_live();
    (void)snprintf(text, sizeof text, "[\"CLOSED\",\"%s\",\"auth-required: no\"]", id_1059);
    ck_assert(receive(text));
    give(id_14, message_14);
    ck_assert_uint_eq(taken, 1);
    ck_assert(relay_session_is_settled(session));
    ck_assert_int_ge(relay_session_due_ms(session), T0 + 3750);
    ck_assert_int_le(relay_session_due_ms(session), T0 + 5000);
    ck_assert_uint_eq(relay_session_next_frame(session, T0 + 3749, UNIX_S, frame), 0);
    ck_assert_uint_gt(relay_session_next_frame(session, T0 + 5000, UNIX_S, frame), 0);
    ck_assert_ptr_nonnull(strstr(frame, "\"kinds\":[1059]"));
    ck_assert_uint_eq(relay_session_next_frame(session, T0 + 5000, UNIX_S, frame), 0);
}
END_TEST

/* ---- Authentication (NIP-42) ----------------------------------------------------------------- */

static char auth_id[65];

static void expect_auth(const char *challenge)
{
    const char *id;
    size_t len = relay_session_next_frame(session, T0, UNIX_S, frame);

    frame[len] = '\0';
    ck_assert_int_eq(strncmp(frame, "[\"AUTH\",", 8), 0);
    ck_assert_ptr_nonnull(strstr(frame, challenge));
    id = strstr(frame, "\"id\":\"");
    ck_assert_ptr_nonnull(id);
    (void)snprintf(auth_id, sizeof auth_id, "%.64s", id + 6);
}

static void say_ok(const char *id, const char *verdict)
{
    char text[256];

    (void)snprintf(text, sizeof text, "[\"OK\",\"%s\",%s,\"\"]", id, verdict);
    ck_assert(receive(text));
}

static void say_closed(const char *id, const char *reason)
{
    char text[256];

    (void)snprintf(text, sizeof text, "[\"CLOSED\",\"%s\",\"%s\"]", id, reason);
    ck_assert(receive(text));
}

static void expect_req_for_wraps(void)
{
    ck_assert_uint_gt(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    ck_assert_int_eq(sscanf(frame, "[\"REQ\",\"%16[0-9a-f]\",{\"kinds\":[1059],", id_1059), 1);
}

/* The page is asked for under a new id, which replaces `id`. */
static void expect_renewal(char id[17], const char *kind)
{
    char filter[64], old[17];

    strcpy(old, id);
    ck_assert_uint_gt(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    (void)snprintf(filter, sizeof filter, "{\"kinds\":[%s],\"limit\":1}]", kind);
    ck_assert_ptr_nonnull(strstr(frame, filter));
    ck_assert_int_eq(sscanf(frame, "[\"REQ\",\"%16[0-9a-f]\",", id), 1);
    ck_assert_str_ne(id, old);
}

static void expect_close_of(const char *id)
{
    char close[64];

    ck_assert_uint_gt(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    (void)snprintf(close, sizeof close, "[\"CLOSE\",\"%s\"]", id);
    ck_assert_int_eq(strncmp(frame, close, strlen(close)), 0);
}

/* A relay that shows less to a client that has not authenticated, and does not say so. */
START_TEST(asks_anew_for_what_was_asked_before_it_was_authenticated)
{
    struct relay_gaps *gaps = session->gaps;
    char old_1059[17], old_14[17];

    go_live_after_a_gap();
    strcpy(old_1059, id_1059);
    strcpy(old_14, id_14);
    ck_assert(receive("[\"AUTH\",\"x\"]"));
    expect_auth("x");
    ck_assert_uint_eq(relay_session_next_frame(session, T0, UNIX_S, frame), 0); /* no page yet */
    say_ok(auth_id, "true");
    ck_assert(!gaps->kind[0].live && !gaps->kind[1].live);
    expect_renewal(id_1059, "1059");
    expect_renewal(id_14, "14");
    ck_assert_uint_eq(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    give(old_1059, gift_wrap); /* in force until the new one is */
    ck_assert_uint_eq(taken, 1);
    give(id_1059, other_wrap); /* stored */
    ck_assert_uint_eq(taken, 1);
    say_eose(old_1059);
    ck_assert(!gaps->kind[0].live);
    say_eose(id_1059);
    expect_close_of(old_1059);
    give(old_1059, other_wrap);
    ck_assert_uint_eq(taken, 1);
    expect_page(1059, T0);
    say_closed(old_14, "error: gone");
    ck_assert_uint_eq(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    say_eose(id_14);
    ck_assert_uint_eq(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
}
END_TEST

START_TEST(asks_for_pages_where_no_verdict_comes)
{
    go_live_after_a_gap();
    ck_assert(receive("[\"AUTH\",\"x\"]"));
    expect_auth("x");
    ck_assert_int_eq(relay_session_due_ms(session), T0 + SUBSCRIPTION_ANSWER_MS);
    expect_page(1059, T0 + SUBSCRIPTION_ANSWER_MS);
}
END_TEST

START_TEST(answers_a_challenge_at_connect)
{
    relay_session_begin(session);
    ck_assert(receive("[\"AUTH\",\"first\"]"));
    ck_assert_int_eq(relay_session_due_ms(session), 0);
    expect_auth("first");
    ck_assert_uint_gt(relay_session_next_frame(session, T0, UNIX_S, frame), 0); /* and goes on */
    ck_assert_int_eq(strncmp(frame, "[\"REQ\"", 6), 0);
    ck_assert_uint_gt(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    say_ok(auth_id, "true"); /* what was asked for after it need not be renewed */
    ck_assert_uint_eq(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
}
END_TEST

START_TEST(asks_again_once_it_is_authenticated)
{
    ask();
    say_eose(id_14);
    ck_assert(receive("[\"AUTH\",\"later\"]"));
    say_closed(id_1059, "auth-required: who are you?");
    expect_auth("later");
    ck_assert_uint_eq(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    say_ok("00", "true"); /* of something else */
    ck_assert_uint_eq(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    say_ok(auth_id, "true");
    expect_req_for_wraps();
    expect_renewal(id_14, "14");
    ck_assert_uint_eq(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    say_eose(id_1059);
    give(id_1059, gift_wrap);
    ck_assert_uint_eq(taken, 1);
    /* A second challenge changes nothing. */
    ck_assert(receive("[\"AUTH\",\"again\"]"));
    expect_auth("again");
    say_ok(auth_id, "true");
    ck_assert_uint_eq(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
}
END_TEST

START_TEST(asks_again_once_where_the_refusal_comes_late)
{
    relay_session_begin(session);
    ck_assert(receive("[\"AUTH\",\"x\"]"));
    expect_auth("x");
    expect_req_for_wraps();
    ck_assert_uint_gt(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    say_ok(auth_id, "true");
    say_closed(id_1059, "auth-required: too late");
    expect_req_for_wraps();
    say_closed(id_1059, "auth-required: no");
    ck_assert_uint_eq(relay_session_next_frame(session, T0 + 3749, UNIX_S, frame), 0);
}
END_TEST

/* A relay that refuses page and subscription in turns would otherwise get a REQ for each. */
START_TEST(is_not_talked_out_of_its_back_off)
{
    unsigned reqs = 0;

    go_live_after_a_gap();
    ck_assert(receive("[\"AUTH\",\"x\"]"));
    expect_auth("x");
    say_ok(auth_id, "true");
    for (int i = 0; i < 200; i++) {
        size_t len = relay_session_next_frame(session, T0 + 600, UNIX_S, frame);

        frame[len] = '\0';
        if (sscanf(frame, "[\"REQ\",\"%16[0-9a-f]\",", page_id) != 1)
            continue;
        reqs++;
        say_closed(page_id, i % 2 ? "auth-required: no" : "error: no");
    }
    ck_assert_uint_le(reqs, 8);
}
END_TEST

/* strfry's word before its reason, and others' words. */
START_TEST(asks_again_once_it_is_authenticated_whatever_the_words_were)
{
    ask();
    ck_assert(receive("[\"AUTH\",\"x\"]"));
    say_closed(id_1059, "ERROR: auth-required: requested filter requires authentication");
    say_closed(id_14, "blocked: who are you?");
    expect_auth("x");
    ck_assert_uint_eq(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    say_ok(auth_id, "true");
    expect_req_for_wraps();
    ck_assert_uint_gt(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    ck_assert_ptr_nonnull(strstr(frame, "\"kinds\":[14]"));
    ck_assert_uint_eq(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
}
END_TEST

START_TEST(asks_again_once_where_any_refusal_comes_late)
{
    relay_session_begin(session);
    ck_assert(receive("[\"AUTH\",\"x\"]"));
    expect_auth("x");
    expect_req_for_wraps();
    ck_assert_uint_gt(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    say_ok(auth_id, "true");
    say_closed(id_1059, "blocked: too late");
    expect_req_for_wraps();
    say_closed(id_1059, "blocked: no");
    ck_assert_uint_eq(relay_session_next_frame(session, T0 + 3749, UNIX_S, frame), 0);
}
END_TEST

/* It may show them to their addressees alone. */
START_TEST(knows_a_relay_that_may_hide_gift_wraps)
{
    ask();
    ck_assert(receive("[\"AUTH\",\"x\"]"));
    ck_assert(!relay_session_may_hide_wraps(session));
    say_closed(id_1059, "ERROR: auth-required: who are you?");
    say_eose(id_14);
    expect_auth("x");
    say_ok(auth_id, "true");
    expect_req_for_wraps();
    say_eose(id_1059);
    ck_assert(relay_session_may_hide_wraps(session));
    give(id_14, message_14);
    ck_assert(relay_session_may_hide_wraps(session));
    give(id_1059, gift_wrap);
    ck_assert(!relay_session_may_hide_wraps(session));
}
END_TEST

START_TEST(a_relay_that_refuses_gift_wraps_hides_them)
{
    ask();
    say_closed(id_1059, "error: could not connect to the database");
    ck_assert(!relay_session_may_hide_wraps(session));
    relay_session_end(session);
    ask();
    say_closed(id_14, "restricted: no");
    ck_assert(!relay_session_may_hide_wraps(session));
    say_closed(id_1059, "restricted: no");
    ck_assert(relay_session_may_hide_wraps(session));
}
END_TEST

START_TEST(does_not_insist_where_its_answer_is_refused)
{
    ask();
    ck_assert(receive("[\"AUTH\",\"x\"]"));
    say_closed(id_1059, "auth-required: who are you?");
    expect_auth("x");
    say_ok(auth_id, "false");
    ck_assert_uint_eq(relay_session_next_frame(session, T0 + 3749, UNIX_S, frame), 0);
}
END_TEST

START_TEST(asks_for_a_page_again_once_it_is_authenticated)
{
    char old_1059[17], old_14[17];

    go_live_after_a_gap();
    expect_page(1059, T0);
    ck_assert(receive("[\"AUTH\",\"x\"]"));
    say_closed(page_id, "auth-required: who are you?");
    expect_auth("x");
    say_ok(auth_id, "true");
    strcpy(old_1059, id_1059);
    strcpy(old_14, id_14);
    expect_renewal(id_1059, "1059");
    expect_renewal(id_14, "14");
    say_eose(id_1059);
    say_eose(id_14);
    expect_close_of(old_1059);
    expect_close_of(old_14);
    expect_page(14, T0 + RELAY_SESSION_PAGE_MS);
    say_eose(page_id);
    expect_close(T0 + RELAY_SESSION_PAGE_MS);
    expect_page(1059, T0 + 2 * RELAY_SESSION_PAGE_MS);
}
END_TEST

START_TEST(bears_challenges_that_cannot_be_answered)
{
    static char text[4000];

    ask();
    memset(text, 'x', sizeof text - 1);
    memcpy(text, "[\"AUTH\",\"", 9);
    memcpy(text + sizeof text - 3, "\"]", 3);
    ck_assert(receive(text));
    ck_assert(receive("[\"AUTH\",\"\"]"));
    ck_assert_uint_eq(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
}
END_TEST

START_TEST(is_not_settled_with_a_relay_that_shows_nothing)
{
    ask();
    say_closed(id_1059, "restricted: no");
    say_closed(id_14, "restricted: no");
    ck_assert(!relay_session_is_settled(session));
}
END_TEST

/* What it shows of other kinds wakes for no trade. */
START_TEST(is_not_settled_without_a_kind_that_trades_are_woken_by)
{
    const struct settings_kinds before = kinds;

    kinds.kind[1] = 4;
    relay_session_begin(session);
    ck_assert_uint_gt(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    ck_assert_int_eq(sscanf(frame, "[\"REQ\",\"%16[0-9a-f]\",", id_1059), 1);
    ck_assert_uint_gt(relay_session_next_frame(session, T0, UNIX_S, frame), 0);
    ck_assert_int_eq(sscanf(frame, "[\"REQ\",\"%16[0-9a-f]\",", id_14), 1);
    say_eose(id_14); /* of kind 4 now */
    say_closed(id_1059, "restricted: no");
    ck_assert_int_eq(relay_session_subscription(session, 1), REPORT_SUBSCRIBED);
    ck_assert(!relay_session_is_settled(session));
    kinds = before;
}
END_TEST

START_TEST(bears_garbage_but_not_for_ever)
{
    ask();
    for (int i = 1; i < RELAY_SESSION_MAX_BAD; i++)
        ck_assert(receive("garbage"));
    ck_assert(receive("[\"NOTICE\",\"sense\"]"));
    for (int i = 1; i < RELAY_SESSION_MAX_BAD; i++)
        ck_assert(relay_session_reject(session, "a binary message", T0));
    ck_assert(!receive("garbage"));
    relay_session_begin(session);
    ck_assert(receive("garbage"));
    ck_assert_uint_eq(counted(STAT_FRAMES_UNUSABLE), 2 * RELAY_SESSION_MAX_BAD);
}
END_TEST

/* Otherwise a stranger whose unreadable events a relay passes on would cut us off from it. */
START_TEST(bears_any_garbage_from_a_relay_that_serves_us)
{
    go_live();
    for (int i = 0; i < 3 * RELAY_SESSION_MAX_BAD; i++)
        ck_assert(receive("garbage"));
    give(id_1059, gift_wrap);
    ck_assert_uint_eq(taken, 1);
}
END_TEST

START_TEST(bears_all_it_need_not_act_on)
{
    go_live();
    ck_assert(receive("[\"NOTICE\",\"\"]"));
    ck_assert(receive("[\"AUTH\",\"challenge\"]"));
    ck_assert(receive("[\"OK\",\"00\",true,\"\"]"));
    give(id_1059, "{}");
    ck_assert_uint_eq(counted(STAT_EVENTS_INVALID), 1);
}
END_TEST

/* From here on all of the log goes to the file returned. */
static FILE *log_to_file(void)
{
    FILE *file = tmpfile();

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(dup2(fileno(file), STDERR_FILENO), 0);
    log_open("test", LOG_LEVEL_DEBUG, LOG_TARGET_STDERR);
    return file;
}

static size_t lines_of(FILE *file, const char *planted)
{
    char *line = NULL;
    size_t size = 0, n = 0;

    rewind(file);
    while (getline(&line, &size, file) > 0) {
        ck_assert_msg(planted == NULL || strstr(line, planted) == NULL, "%s", line);
        n++;
    }
    free(line);
    return n;
}

START_TEST(a_relay_cannot_fill_the_log)
{
    static const char notice[] = "[\"NOTICE\",\"hello\"]";
    FILE *file = log_to_file();

    for (int i = 0; i < 1000; i++)
        ck_assert(receive(notice));
    for (int i = 1; i < RELAY_SESSION_MAX_BAD; i++)
        ck_assert(receive("garbage"));
    ask();
    for (int i = 0; i < 50; i++) {
        char text[64];

        (void)snprintf(text, sizeof text, "[\"CLOSED\",\"%s\",\"error: %d\"]", id_14, i);
        ck_assert(receive(text));
        say_eose(id_1059);
    }
    ck_assert_uint_eq(lines_of(file, NULL), RELAY_SESSION_MAX_LINES);
    ck_assert(relay_session_receive(session, notice, strlen(notice), T0 + 60000, UNIX_S));
    ck_assert_uint_eq(lines_of(file, NULL), RELAY_SESSION_MAX_LINES + 1);
    (void)fclose(file);
}
END_TEST

START_TEST(logs_no_secret_that_a_relay_sends)
{
    static const char secret[] = "d69c3509bb99e412e68b0fe8544e72837dfa30746d8be2aa65975f29d22dc7b9";
    FILE *file = log_to_file();
    char text[256];

    go_live();
    (void)snprintf(text, sizeof text, "[\"NOTICE\",\"you are %s\"]", secret);
    ck_assert(receive(text));
    (void)snprintf(text, sizeof text, "[\"CLOSED\",\"%s\",\"restricted: %s\"]", id_1059, secret);
    ck_assert(receive(text));
    (void)snprintf(text, sizeof text, "[\"%s\"]", secret);
    ck_assert(receive(text));
    give(id_14, gift_wrap);
    ck_assert_uint_eq(lines_of(file, "d69c3509bb"), 7);
    (void)fclose(file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("relay_session");
    TCase *tcase = tcase_create("relay_session");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, asks_once_for_each_kind);
    tcase_add_test(tcase, takes_a_live_event);
    tcase_add_test(tcase, takes_nothing_before_eose);
    tcase_add_test(tcase, takes_events_as_live_when_the_time_for_eose_is_over);
    tcase_add_test(tcase, asks_for_what_came_before_the_time_for_eose_was_over);
    tcase_add_test(tcase, takes_an_event_once);
    tcase_add_test(tcase, knows_a_copy_in_any_form);
    tcase_add_test(tcase, is_not_misled_by_what_looks_like_a_copy);
    tcase_add_test(tcase, asks_for_stored_events_after_a_gap);
    tcase_add_test(tcase, takes_a_stored_event_as_stored);
    tcase_add_test(tcase, asks_for_one_page_at_a_time_and_two_a_second);
    tcase_add_test(tcase, asks_for_no_page_while_redis_takes_nothing);
    tcase_add_test(tcase, asks_for_a_page_again_that_the_relay_closed);
    tcase_add_test(tcase, goes_past_what_it_cannot_read_in_a_page);
    tcase_add_test(tcase, asks_for_no_page_while_redis_may_have_lost_its_data);
    tcase_add_test(tcase, goes_on_at_its_page_after_a_reconnect);
    tcase_add_test(tcase, settles_what_redis_has_taken);
    tcase_add_test(tcase, what_the_intake_loses_is_a_gap);
    tcase_add_test(tcase, a_forged_copy_has_no_effect_and_hides_nothing);
    tcase_add_test(tcase, refuses_kinds_that_were_not_asked_for);
    tcase_add_test(tcase, ignores_subscriptions_that_are_not_its_own);
    tcase_add_test(tcase, counts_what_is_addressed_to_nobody);
    tcase_add_test(tcase, what_has_expired_is_not_taken);
    tcase_add_test(tcase, asks_again_for_what_was_closed_and_keeps_the_other);
    tcase_add_test(tcase, asks_anew_for_what_was_asked_before_it_was_authenticated);
    tcase_add_test(tcase, asks_for_pages_where_no_verdict_comes);
    tcase_add_test(tcase, answers_a_challenge_at_connect);
    tcase_add_test(tcase, asks_again_once_it_is_authenticated);
    tcase_add_test(tcase, asks_again_once_where_the_refusal_comes_late);
    tcase_add_test(tcase, is_not_talked_out_of_its_back_off);
    tcase_add_test(tcase, asks_again_once_it_is_authenticated_whatever_the_words_were);
    tcase_add_test(tcase, asks_again_once_where_any_refusal_comes_late);
    tcase_add_test(tcase, knows_a_relay_that_may_hide_gift_wraps);
    tcase_add_test(tcase, a_relay_that_refuses_gift_wraps_hides_them);
    tcase_add_test(tcase, does_not_insist_where_its_answer_is_refused);
    tcase_add_test(tcase, asks_for_a_page_again_once_it_is_authenticated);
    tcase_add_test(tcase, bears_challenges_that_cannot_be_answered);
    tcase_add_test(tcase, is_not_settled_with_a_relay_that_shows_nothing);
    tcase_add_test(tcase, is_not_settled_without_a_kind_that_trades_are_woken_by);
    tcase_add_test(tcase, bears_garbage_but_not_for_ever);
    tcase_add_test(tcase, bears_any_garbage_from_a_relay_that_serves_us);
    tcase_add_test(tcase, bears_all_it_need_not_act_on);
    tcase_add_test(tcase, a_relay_cannot_fill_the_log);
    tcase_add_test(tcase, events_that_are_taken_spend_the_budget);
    tcase_add_test(tcase, logs_no_secret_that_a_relay_sends);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
