#include "log/trace.h"

#include <string.h>

#include "base/clock.h"
#include "captured_log.h"
#include "log/log.h"
#include "unit.h"

#define TRACED "00000000000000000000000000000000000000000000000000000000000000aa"
#define OTHER  "00000000000000000000000000000000000000000000000000000000000000bb"

static struct trade_pubkey key_of(const char *text)
{
    struct trade_pubkey key;

    ck_assert(trade_pubkey_parse(&key, text, 64));
    return key;
}

static void trace_one(int64_t for_ms)
{
    const struct traced traced = {.key = key_of(TRACED),
                                  .name = {.text = "0123abcd"},
                                  .until_ms = clock_monotonic_ms() + for_ms};

    trace_set(&traced, 1);
}

static void tell(const char *text, const char *what)
{
    struct trade_pubkey key = key_of(text);
    struct log_name name = log_step_name(&key);

    log_step(&name, "push: %s is %s", name.text, what);
}

START_TEST(a_step_of_a_traced_pubkey_is_told_at_any_level)
{
    int log = capture_log();

    log_open("test", LOG_LEVEL_ERROR, LOG_TARGET_STDERR);
    trace_one(60000);
    tell(TRACED, "pushed to");
    tell(OTHER, "pushed to");
    ck_assert_uint_eq(logged(log, "push: 0123abcd is pushed to"), 1);
    trace_set(NULL, 0);
    tell(TRACED, "pushed to");
    ck_assert_uint_eq(logged(log, "push:"), 0);
    (void)close(log);
}
END_TEST

START_TEST(a_trace_ends_by_itself)
{
    int log = capture_log();

    log_open("test", LOG_LEVEL_ERROR, LOG_TARGET_STDERR);
    trace_one(0);
    tell(TRACED, "pushed to");
    ck_assert_uint_eq(logged(log, "push:"), 0);
    (void)close(log);
}
END_TEST

START_TEST(one_that_is_not_traced_has_this_process_s_name_in_debug_lines)
{
    struct trade_pubkey other = key_of(OTHER);
    struct trace_step steps[TRACE_STEPS_MAX];
    int log = capture_log();

    log_open("test", LOG_LEVEL_DEBUG, LOG_TARGET_STDERR);
    trace_one(60000);
    tell(OTHER, "pushed to");
    ck_assert_uint_eq(logged(log, log_pubkey(&other).text), 1);
    ck_assert_uint_eq(trace_take(steps), 0);
    (void)close(log);
}
END_TEST

START_TEST(steps_are_kept_until_they_are_taken)
{
    static char longest[2 * TRACE_TEXT_SIZE];
    static const char formats[TRACE_STEPS_MAX + 5];
    const struct log_name name = {.text = "0123abcd", .is_traced = true};
    struct trace_step steps[TRACE_STEPS_MAX];
    int log = capture_log();

    memset(longest, 'x', sizeof longest - 1);
    log_open("test", LOG_LEVEL_ERROR, LOG_TARGET_STDERR);
    trace_one(60000);
    tell(TRACED, "pushed to");
    tell(TRACED, longest);
    ck_assert_uint_eq(trace_take(steps), 2);
    ck_assert_str_eq(steps[0].name, "0123abcd");
    ck_assert_str_eq(steps[0].text, "push: 0123abcd is pushed to");
    ck_assert_uint_eq(strlen(steps[1].text), TRACE_TEXT_SIZE - 1);
    ck_assert_uint_eq(trace_take(steps), 0);
    for (size_t i = 0; i < TRACE_STEPS_MAX + 5; i++)
        ck_assert(trace_keep(&name, &formats[i], "a step", 0));
    ck_assert_uint_eq(trace_take(steps), TRACE_STEPS_MAX);
    (void)close(log);
}
END_TEST

/* A flood of forgeries, for one, and what it must not hide. */
START_TEST(steps_of_a_kind_are_few_a_minute_and_the_rest_are_counted)
{
    struct trace_step steps[TRACE_STEPS_MAX];
    struct trade_pubkey key = key_of(TRACED);
    struct log_name name;
    int log = capture_log();

    log_open("test", LOG_LEVEL_ERROR, LOG_TARGET_STDERR);
    trace_one(120000);
    name = log_step_name(&key);
    for (int i = 0; i < 5000; i++)
        tell(TRACED, "flooded");
    log_step(&name, "intake: %s is woken", name.text);
    ck_assert_uint_eq(trace_take(steps), TRACE_KIND_MOST + 1);
    ck_assert_str_eq(steps[TRACE_KIND_MOST].text, "intake: 0123abcd is woken");
    ck_assert_uint_eq(logged(log, "0123abcd"), TRACE_KIND_MOST + 1);
    log_more_steps(clock_monotonic_ms());
    ck_assert_uint_eq(logged(log, "more"), 0);
    log_more_steps(clock_monotonic_ms() + TRACE_KIND_MS);
    ck_assert_uint_eq(
        logged(log, "trace: 0123abcd has 4992 more steps like: push: 0123abcd is flooded\n"), 1);
    ck_assert_uint_eq(trace_take(steps), 1);
    ck_assert_ptr_nonnull(strstr(steps[0].text, "4992 more"));
    log_more_steps(clock_monotonic_ms() + 2 * TRACE_KIND_MS);
    ck_assert_uint_eq(logged(log, "more"), 0);
    tell(TRACED, "pushed to");
    ck_assert_uint_eq(logged(log, "0123abcd"), 1);
    (void)close(log);
}
END_TEST

/* Also where nobody asks for their number meanwhile. */
START_TEST(a_minute_later_a_kind_is_told_again)
{
    static const char kind[] = "";
    struct log_name name = {.text = "0123abcd", .is_traced = true}, other = {.text = "89abcdef"};
    char text[TRACE_MORE_SIZE];

    for (unsigned i = 0; i < TRACE_KIND_MOST + 3; i++)
        ck_assert(trace_keep(&name, kind, "a step", 1000) == (i < TRACE_KIND_MOST));
    ck_assert(trace_keep(&other, kind, "a step", 1000));
    ck_assert(!trace_keep(&name, kind, "a step", 1000 + TRACE_KIND_MS - 1));
    ck_assert(trace_keep(&name, kind, "a step", 1000 + TRACE_KIND_MS));
    ck_assert(!trace_take_more(text, 1000 + 2 * TRACE_KIND_MS - 1));
    ck_assert(trace_take_more(text, 1000 + 2 * TRACE_KIND_MS));
    ck_assert_str_eq(text, "trace: 0123abcd has 4 more steps like: a step");
    ck_assert(!trace_take_more(text, 1000 + 2 * TRACE_KIND_MS));
}
END_TEST

/* Then the oldest is counted no more, and the newest is. */
START_TEST(there_is_a_bound_to_the_kinds)
{
    static const char formats[TRACE_KINDS_MAX + 1];
    struct log_name name = {.text = "0123abcd", .is_traced = true};

    for (size_t i = 0; i <= TRACE_KINDS_MAX; i++)
        for (unsigned n = 0; n < TRACE_KIND_MOST; n++)
            ck_assert(trace_keep(&name, &formats[i], "a step", (int64_t)i));
    ck_assert(!trace_keep(&name, &formats[TRACE_KINDS_MAX], "a step", TRACE_KINDS_MAX));
    ck_assert(!trace_keep(&name, &formats[1], "a step", TRACE_KINDS_MAX));
    ck_assert(trace_keep(&name, &formats[0], "a step", TRACE_KINDS_MAX));
}
END_TEST

START_TEST(no_more_than_a_few_are_traced)
{
    static struct traced many[TRACE_KEYS_MAX + 1];
    struct log_name name;

    for (int i = 0; i <= TRACE_KEYS_MAX; i++) {
        many[i].key = key_of(OTHER);
        many[i].key.hex[0] = (char)('0' + i);
        many[i].until_ms = clock_monotonic_ms() + 60000;
    }
    trace_set(many, TRACE_KEYS_MAX + 1);
    ck_assert(trace_find(&many[TRACE_KEYS_MAX - 1].key, &name));
    ck_assert(!trace_find(&many[TRACE_KEYS_MAX].key, &name));
}
END_TEST

UNIT_MAIN("trace", a_step_of_a_traced_pubkey_is_told_at_any_level, a_trace_ends_by_itself,
          one_that_is_not_traced_has_this_process_s_name_in_debug_lines,
          steps_are_kept_until_they_are_taken,
          steps_of_a_kind_are_few_a_minute_and_the_rest_are_counted,
          a_minute_later_a_kind_is_told_again, there_is_a_bound_to_the_kinds,
          no_more_than_a_few_are_traced)
