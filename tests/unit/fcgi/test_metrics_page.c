#include "metrics_page.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "metrics_listeners.h"
#include "registry/registry_watch.h"
#include "unit.h"

static char *text;
static size_t size;
static FILE *out;

static void setup(void)
{
    out = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(out);
}

static void teardown(void)
{
    if (out != NULL)
        (void)fclose(out);
    free(text);
}

static const char *page(void)
{
    (void)fclose(out);
    out = NULL;
    return text;
}

START_TEST(a_family_has_its_help_and_type)
{
    metrics_page_single(out, "paused", 1);
    metrics_page_family(out, "full");
    metrics_page_written(out, "full", "what=\"redis\"", 0);
    ck_assert_ptr_nonnull(strstr(page(), "# HELP mostro_paused 1 while an operator holds pushing"));
    ck_assert_ptr_nonnull(strstr(text, "\n# TYPE mostro_paused gauge\nmostro_paused 1\n# HELP"));
    ck_assert_ptr_nonnull(strstr(text, "\nmostro_full{what=\"redis\"} 0\n"));
}
END_TEST

START_TEST(values_of_labels_are_escaped)
{
    const struct metrics_label labels[] = {{"a", "\"\\\n{}"}, {"b", "\xc3\xa9"}};

    metrics_page_sample(out, "full", labels, 2, 1.5);
    ck_assert_str_eq(page(), "mostro_full{a=\"\\\"\\\\\\n{}\",b=\"\xc3\xa9\"} 1.5\n");
}
END_TEST

START_TEST(a_family_of_nobodys_ends_the_process)
{
    metrics_page_family(out, "nobodys");
}
END_TEST

static void has(const char *line)
{
    ck_assert_msg(strstr(text, line) != NULL, "no %s in\n%s", line, text);
}

static void has_none(const char *line)
{
    ck_assert_msg(strstr(text, line) == NULL, "%s in\n%s", line, text);
}

/* One that has two relays, and one of an older version, without a report. */
START_TEST(listeners_are_shown)
{
    struct registry_watch *watch = calloc(1, sizeof *watch + 2 * sizeof watch->listeners[0]);
    struct registry_watched *first = &watch->listeners[0];
    struct report_relay *relay;

    watch->count = 2;
    (void)strcpy(first->name, "l1");
    (void)strcpy(first->version, "1.0.0");
    (void)strcpy(watch->listeners[1].name, "l2");
    (void)strcpy(watch->listeners[1].version, "0.9.0");
    first->has_report = true;
    first->report.hosts_held = 3;
    first->report.backends[0] = REPORT_REFUSED;
    relay = listener_report_add_relay(&first->report, "wss://a.example");
    relay->is_connected = true;
    relay->event_age_s = 90;
    relay->kind_count = 2;
    relay->kinds[0] = (struct report_kind){1059, REPORT_NOT_ADMITTED};
    relay->kinds[1] = (struct report_kind){14, REPORT_SUBSCRIBED};
    (void)listener_report_add_relay(&first->report, "wss://b.example");
    metrics_listeners(out, watch);
    free(watch);
    (void)page();
    has("\nmostro_listener_info{listener=\"l1\",version=\"1.0.0\"} 1\n");
    has("\nmostro_listener_info{listener=\"l2\",version=\"0.9.0\"} 1\n");
    has("\nmostro_relay_connected{listener=\"l1\",relay=\"wss://a.example\"} 1\n");
    has("\nmostro_relay_connected{listener=\"l1\",relay=\"wss://b.example\"} 0\n");
    has("\nmostro_relay_subscribed{listener=\"l1\",relay=\"wss://a.example\",kind=\"1059\"} 0\n");
    has("\nmostro_relay_subscribed{listener=\"l1\",relay=\"wss://a.example\",kind=\"14\"} 1\n");
    has("\nmostro_relay_refused{listener=\"l1\",relay=\"wss://a.example\",kind=\"1059\"} 1\n");
    has("\nmostro_relay_refused{listener=\"l1\",relay=\"wss://a.example\",kind=\"14\"} 0\n");
    has("\nmostro_relay_last_event_age_seconds{listener=\"l1\",relay=\"wss://a.example\"} 90\n");
    has_none("age_seconds{listener=\"l1\",relay=\"wss://b.example\"}");
    has("\nmostro_relay_may_hide_wraps{listener=\"l1\",relay=\"wss://b.example\"} 0\n");
    has("\nmostro_backend_state{listener=\"l1\",backend=\"fcm\",state=\"refused\"} 1\n");
    has("\nmostro_backend_state{listener=\"l1\",backend=\"fcm\",state=\"up\"} 0\n");
    has("\nmostro_backend_state{listener=\"l1\",backend=\"unifiedpush\",state=\"up\"} 1\n");
    has_none("backend_state{listener=\"l2\"");
    has("\nmostro_unifiedpush_hosts_held{listener=\"l1\"} 3\n");
    has_none("hosts_held{listener=\"l2\"");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics_page");
    TCase *tcase = tcase_create("metrics_page");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_family_has_its_help_and_type);
    tcase_add_test(tcase, values_of_labels_are_escaped);
    tcase_add_test(tcase, listeners_are_shown);
    tcase_add_test_raise_signal(tcase, a_family_of_nobodys_ends_the_process, SIGABRT);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
