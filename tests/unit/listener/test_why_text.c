#include "why_text.h"

#include <string.h>

#include "unit.h"

#define NOW INT64_C(1700000000000) /* 2023-11-14 22:13:20 UTC */

static char prefix[] = "mostro:";
static struct settings settings;
static struct registry_why why;
static char *text;

static void set_up(void)
{
    settings =
        (struct settings){.redis_prefix = prefix, .fcm_enabled = true, .unifiedpush_enabled = true};
    why = (struct registry_why){.now_ms = NOW};
    text = NULL;
}

static void tear_down(void)
{
    free(text);
}

static bool says(const char *what)
{
    size_t size;
    FILE *out;

    free(text);
    text = NULL;
    out = open_memstream(&text, &size);
    why_text_write(out, &why, &settings);
    (void)fclose(out);
    return strstr(text, what) != NULL;
}

static void registered(bool is_endpoint)
{
    why.is_registered = why.has_token = true;
    why.is_endpoint = is_endpoint;
    why.since_s = NOW / 1000;
    why.until_ms = NOW + INT64_C(1000) * (29 * 86400 + 23 * 3600 + 1);
}

START_TEST(who_is_not_registered_is_told_so)
{
    ck_assert(says("registration:   none"));
    ck_assert(!says("lost data:"));
    ck_assert(!says("events:"));
    why.lost_s = NOW / 1000;
    ck_assert(says("lost its data before 2023-11-14 22:13:20 UTC, an unknown number"));
    why.lost_registrations = 7;
    ck_assert(says("UTC, 7 registrations among them"));
}
END_TEST

START_TEST(a_registration_is_told_by_back_end_and_time)
{
    registered(false);
    ck_assert(says("by FCM (android) since 2023-11-14 22:13:20 UTC, until 2023-12-14 21:13:21 UTC "
                   "(29 d 23 h more)"));
    ck_assert(!says("back end:"));
    settings.fcm_enabled = false;
    ck_assert(says("back end:       off by these settings (FCM_ENABLED=false)"));
    why.platform = PLATFORM_IOS;
    ck_assert(says("by FCM (ios)"));
    registered(true);
    ck_assert(says("by UnifiedPush, not encrypted (ios)"));
    ck_assert(!says("back end:"));
    settings.unifiedpush_enabled = false;
    ck_assert(says("(UNIFIEDPUSH_ENABLED=false)"));
    why.is_encrypted = true;
    ck_assert(says("by UnifiedPush, encrypted"));
    ck_assert(!says("endpoint:"));
    why.has_token = false;
    ck_assert(says("endpoint:       its record is gone"));
}
END_TEST

START_TEST(limits_are_told)
{
    ck_assert(says("limit:          within it\n"));
    ck_assert(says("visible wakes:  within their limit\n"));
    ck_assert(!says("deferred wake:"));
    why.limit_wait_ms = 1;
    ck_assert(says("over it: one more wake is admitted in 1 s\n"));
    why.deferred_wait_ms = 61000;
    ck_assert(says("deferred wake:  due in 1 min 1 s;"));
    why.visible_wait_ms = INT64_C(7260001);
    ck_assert(says("silent for 2 h 1 min\n"));
}
END_TEST

START_TEST(what_waits_is_told_with_its_listener)
{
    ck_assert(says("waiting:        nothing\n"));
    why.wakes[0] = (struct registry_why_wake){
        .listener = "a", .is_alive = true, .via = WAKE_VIA_RELAY, .due_ms = NOW + 3000};
    why.wakes[1] =
        (struct registry_why_wake){.listener = "b", .via = WAKE_VIA_QUIET, .due_ms = NOW - 9000};
    why.wake_count = 2;
    ck_assert(says("an event's wake, with listener a, due in 3 s\n"));
    ck_assert(says("an event's silent wake, with listener b (which is gone"));
    ck_assert(says("due since 9 s: pushing is held, or"));
    ck_assert(!says("nothing\n"));
    why.wakes[0].due_ms = NOW - 1000;
    ck_assert(says("with listener a, due since 1 s\n"));
    ck_assert(!says("inbox:"));
    why.inbox = 2;
    ck_assert(says("inbox:          2 wakes of anybody"));
}
END_TEST

START_TEST(what_concerns_all_is_told)
{
    ck_assert(says("pushing:        not held\n"));
    ck_assert(says("listeners:      none has a heartbeat"));
    why.is_paused = true;
    ck_assert(says("redis-cli DEL mostro:paused"));
    why.listeners[0] =
        (struct registry_why_listener){.name = "a", .relays_connected = 2, .relays_configured = 3};
    why.listener_count = 1;
    ck_assert(says("listeners:      a is connected to 2 of 3 relays\n"));
    ck_assert(!says("none has a heartbeat"));
}
END_TEST

START_TEST(events_and_steps_are_told)
{
    registered(false);
    ck_assert(says("events:         none"));
    why.events = 3;
    why.event_ms = NOW;
    ck_assert(says("3 from relays in four days, the last at 2023-11-14 22:13:20 UTC\n"));
    why.events = 64;
    ck_assert(says("64 or more from relays in four days,"));
    ck_assert(says("trace:          none\n"));
    (void)strcpy(why.trace, "0123abcd");
    why.traced_until_ms = NOW;
    ck_assert(says("as 0123abcd until 2023-11-14 22:13:20 UTC: no step yet\n"));
    why.steps[0] = (struct registry_step){.at_ms = NOW, .listener = "a", .text = "push: done"};
    why.step_count = 1;
    ck_assert(says("as 0123abcd until 2023-11-14 22:13:20 UTC\n"
                   "  2023-11-14 22:13:20 UTC a: push: done\n"));
}
END_TEST

START_TEST(what_holds_its_wakes_is_told_as_each_listener_sees_it)
{
    struct registry_why_listener *one = &why.listeners[0], *other = &why.listeners[1];

    why.listener_count = 2;
    (void)strcpy(one->name, "l1");
    (void)strcpy(other->name, "l2");
    one->holds_host = true;
    ck_assert(!says("held: "));
    registered(true);
    ck_assert(says("held:           its distributor is down, or takes nothing for a while, as l1 "
                   "sees it: its wakes wait there\n"));
    ck_assert(!says("as l2"));
    one->holds_host = false;
    other->holds_unnamed = true;
    ck_assert(
        says("held:           so many distributors are down that its own may be, as l2 sees"));
    ck_assert(!says("as l1"));
    registered(false);
    one->backends[STATS_BACKEND_FCM] = other->backends[STATS_BACKEND_FCM] = REPORT_REFUSED;
    ck_assert(!says("held: "));
    one->has_report = true;
    ck_assert(says("held:           FCM refuses us, for what the listener's log says, as l1 sees"));
    ck_assert(!says("as l2"));
    one->backends[STATS_BACKEND_FCM] = REPORT_UP;
    ck_assert(!says("held: "));
    one->backends[STATS_BACKEND_UNIFIEDPUSH] = REPORT_OFF;
    ck_assert(!says("back end:"));
    one->backends[STATS_BACKEND_FCM] = REPORT_OFF;
    ck_assert(says("back end:       off at l1, whose log says why: its wakes are given up\n"));
    ck_assert(!says("at l2"));
    registered(true);
    one->backends[STATS_BACKEND_FCM] = REPORT_UP;
    ck_assert(says("back end:       off at l1, whose"));
}
END_TEST

UNIT_MAIN_WITH("why_text", set_up, tear_down, who_is_not_registered_is_told_so,
               a_registration_is_told_by_back_end_and_time, limits_are_told,
               what_waits_is_told_with_its_listener, what_concerns_all_is_told,
               events_and_steps_are_told, what_holds_its_wakes_is_told_as_each_listener_sees_it)
