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
    for (int i = 0; i < TRACE_STEPS_MAX + 5; i++)
        tell(TRACED, "pushed to");
    ck_assert_uint_eq(trace_take(steps), TRACE_STEPS_MAX);
    (void)close(log);
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
          steps_are_kept_until_they_are_taken, no_more_than_a_few_are_traced)
