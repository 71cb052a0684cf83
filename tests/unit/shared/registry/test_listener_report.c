#include "registry/listener_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

static struct listener_report report;

static bool reads(const char *text)
{
    return listener_report_read(&report, text, strlen(text));
}

/* As large as one can be. */
static void fill(struct listener_report *out)
{
    char name[LISTENER_REPORT_NAME_SIZE];

    memset(name, 'r', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (unsigned i = 0; i < LISTENER_REPORT_RELAYS; i++) {
        struct report_relay *relay = listener_report_add_relay(out, name);

        relay->is_connected = i % 2 == 0;
        relay->may_hide_wraps = i % 3 == 0;
        relay->event_age_s = i % 4 == 0 ? LISTENER_REPORT_NO_EVENT : LISTENER_REPORT_NUMBER_MAX;
        relay->kind_count = LISTENER_REPORT_KINDS;
        for (uint32_t j = 0; j < LISTENER_REPORT_KINDS; j++)
            relay->kinds[j] =
                (struct report_kind){UINT32_MAX - j, (enum report_subscription)(j % 3)};
    }
    for (size_t i = 0; i < STATS_BACKEND_COUNT; i++)
        out->backends[i] = (enum report_state)(REPORT_STATE_COUNT - 1 - i);
    out->hosts_held = LISTENER_REPORT_NUMBER_MAX;
}

START_TEST(what_is_written_is_read)
{
    static struct listener_report written;
    char *text;

    fill(&written);
    text = listener_report_write(&written);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_lt(strlen(text), LISTENER_REPORT_SIZE_MAX);
    ck_assert(reads(text));
    free(text);
    ck_assert_uint_eq(report.relay_count, LISTENER_REPORT_RELAYS);
    for (size_t i = 0; i < LISTENER_REPORT_RELAYS; i++) {
        const struct report_relay *a = &written.relays[i], *b = &report.relays[i];

        ck_assert_str_eq(a->name, b->name);
        ck_assert(a->is_connected == b->is_connected && a->may_hide_wraps == b->may_hide_wraps);
        ck_assert_int_eq(a->event_age_s, b->event_age_s);
        ck_assert_uint_eq(b->kind_count, LISTENER_REPORT_KINDS);
        for (size_t j = 0; j < LISTENER_REPORT_KINDS; j++) {
            ck_assert_uint_eq(a->kinds[j].kind, b->kinds[j].kind);
            ck_assert_int_eq(a->kinds[j].subscription, b->kinds[j].subscription);
        }
    }
    ck_assert_mem_eq(written.backends, report.backends, sizeof report.backends);
    ck_assert_uint_eq(written.hosts_held, report.hosts_held);
}
END_TEST

START_TEST(names_of_relays_differ)
{
    static struct listener_report it;

    ck_assert_str_eq(listener_report_add_relay(&it, "wss://a/[...]")->name, "wss://a/[...]");
    ck_assert_str_eq(listener_report_add_relay(&it, "wss://b")->name, "wss://b");
    ck_assert_str_eq(listener_report_add_relay(&it, "wss://a/[...]")->name, "wss://a/[...] (2)");
    ck_assert_str_eq(listener_report_add_relay(&it, "wss://a/[...]")->name, "wss://a/[...] (3)");
    while (it.relay_count < LISTENER_REPORT_RELAYS)
        ck_assert_ptr_nonnull(listener_report_add_relay(&it, "wss://c"));
    ck_assert_ptr_null(listener_report_add_relay(&it, "wss://d"));
}
END_TEST

/* For people, with redis-cli; and for programs of other versions. */
START_TEST(a_report_looks_like_this)
{
    static struct listener_report it;
    struct report_relay *relay = listener_report_add_relay(&it, "wss://a.example");
    char *text;

    relay->is_connected = true;
    relay->event_age_s = 12;
    relay->kind_count = 2;
    relay->kinds[0] = (struct report_kind){1059, REPORT_SUBSCRIBED};
    relay->kinds[1] = (struct report_kind){14, REPORT_NOT_ADMITTED};
    it.backends[1] = REPORT_OFF;
    it.hosts_held = 3;
    text = listener_report_write(&it);
    ck_assert_str_eq(text, "{\"relays\":[{\"relay\":\"wss://a.example\",\"connected\":true,"
                           "\"may_hide_wraps\":false,\"kinds\":{\"1059\":\"yes\",\"14\":\"refused\""
                           "},\"event_age_s\":12}],\"backends\":{\"fcm\":\"up\",\"unifiedpush\":"
                           "\"off\"},\"hosts_held\":3}");
    free(text);
}
END_TEST

START_TEST(what_is_no_report_is_told)
{
    static const char *const none[] = {
        "", "[]", "1", "null", "{", "{}x", "{\"relays\":1,\"relays\":2}", "{\"relays\":\"\xff\"}"};
    static char large[LISTENER_REPORT_SIZE_MAX + 2];

    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        ck_assert_msg(!reads(none[i]), "%s", none[i]);
    memset(large, ' ', sizeof large - 1);
    memcpy(large, "{}", 2);
    ck_assert(!reads(large));
    large[LISTENER_REPORT_SIZE_MAX] = '\0';
    ck_assert(reads(large));
}
END_TEST

START_TEST(what_cannot_be_is_left_out)
{
    ck_assert(
        reads("{\"relays\":[1,{},{\"relay\":\"\"},{\"relay\":\"a\\nb\"},{\"relay\":\"\\u00e9\"},"
              "{\"relay\":\"a\"},{\"relay\":\"a\",\"connected\":true},"
              "{\"relay\":\"b\",\"connected\":1,\"may_hide_wraps\":\"true\","
              "\"event_age_s\":-1,\"kinds\":{\"014\":\"yes\",\"14 \":\"yes\",\"+14\":\"yes\","
              "\"4294967296\":\"yes\",\"-1\":\"yes\",\"x\":\"yes\",\"1\":\"no\","
              "\"2\":\"often\",\"3\":1}},{\"relay\":\"c\",\"kinds\":[1],"
              "\"event_age_s\":1e3}],"
              "\"backends\":{\"fcm\":\"lost\"},\"hosts_held\":-3}"));
    ck_assert_uint_eq(report.relay_count, 3);
    ck_assert_str_eq(report.relays[0].name, "a");
    ck_assert(!report.relays[0].is_connected);
    ck_assert_str_eq(report.relays[1].name, "b");
    ck_assert(!report.relays[1].is_connected && !report.relays[1].may_hide_wraps);
    ck_assert_int_eq(report.relays[1].event_age_s, LISTENER_REPORT_NO_EVENT);
    ck_assert_uint_eq(report.relays[1].kind_count, 1);
    ck_assert_uint_eq(report.relays[1].kinds[0].kind, 1);
    ck_assert_uint_eq(report.relays[2].kind_count, 0);
    ck_assert_int_eq(report.relays[2].event_age_s, LISTENER_REPORT_NO_EVENT);
    ck_assert_int_eq(report.backends[0], REPORT_OFF);
    ck_assert_int_eq(report.backends[1], REPORT_OFF);
    ck_assert_uint_eq(report.hosts_held, 0);
}
END_TEST

/* A name one longer than may be, more relays than may be, and more kinds. */
START_TEST(a_report_is_bounded)
{
    static char text[LISTENER_REPORT_SIZE_MAX];
    size_t len = (size_t)snprintf(text, sizeof text, "{\"relays\":[{\"relay\":\"%0*d\"}",
                                  LISTENER_REPORT_NAME_SIZE, 0);

    for (unsigned i = 0; i < LISTENER_REPORT_RELAYS + 1; i++) {
        len += (size_t)snprintf(text + len, sizeof text - len, ",{\"relay\":\"%u\",\"kinds\":{", i);
        for (unsigned j = 0; j < LISTENER_REPORT_KINDS + 1; j++)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s\"%u\":\"yes\"",
                                    j > 0 ? "," : "", j);
        len += (size_t)snprintf(text + len, sizeof text - len, "}}");
    }
    (void)snprintf(text + len, sizeof text - len, "]}");
    ck_assert(reads(text));
    ck_assert_uint_eq(report.relay_count, LISTENER_REPORT_RELAYS);
    ck_assert_str_eq(report.relays[0].name, "0");
    ck_assert_uint_eq(report.relays[0].kind_count, LISTENER_REPORT_KINDS);
}
END_TEST

UNIT_MAIN("listener_report", what_is_written_is_read, names_of_relays_differ,
          a_report_looks_like_this, what_is_no_report_is_told, what_cannot_be_is_left_out,
          a_report_is_bounded)
