#include "tally.h"

#include <string.h>
#include <unistd.h>

#include "captured_log.h"
#include "log/log.h"
#include "unit.h"

static struct tally tally;
static struct stats stats;
static const struct heartbeat beat = {
    .relays_connected = 2, .relays_configured = 3, .backlog = 7, .in_flight = 4};
static int lines;

static void setup(void)
{
    log_open("test", LOG_LEVEL_INFO, LOG_TARGET_STDERR);
    lines = capture_log();
    tally_begin(&tally, 1000);
}

static void teardown(void)
{
    (void)close(lines);
}

static unsigned tells(int64_t now_ms, const char *text)
{
    tally_tell(&tally, &stats, &beat, 99, now_ms);
    return logged(lines, text);
}

/* Whether they wait to be flushed or have been. */
START_TEST(what_was_counted_since_the_last_line_is_told)
{
    stats_add(&stats, STAT_EVENTS_RECEIVED, 10);
    stats.flushed[STAT_EVENTS_RECEIVED] = 5;
    stats_add(&stats, STAT_WAKES_QUEUED, 3);
    stats_add(&stats, STAT_WAKES_DEFERRED, 1);
    stats_add(&stats, STAT_WAKES_DELIVERED_FCM, 1);
    stats_add(&stats, STAT_WAKES_DELIVERED_UNIFIEDPUSH, 2);
    stats_add(&stats, STAT_PUSH_RETRIES, 6);
    stats_add(&stats, STAT_WAKES_GIVEN_UP_FCM, 1);
    stats_add(&stats, STAT_WAKES_DROPPED, 1);
    stats_add(&stats, STAT_WAKES_DEAD_UNIFIEDPUSH, 8);
    ck_assert_uint_eq(tells(1000 + TALLY_EVERY_MS - 1, "listener: in"), 0);
    ck_assert_uint_eq(
        tells(1000 + TALLY_EVERY_MS,
              " info: listener: in 10 min: 15 events came, 4 wakes queued for them; 3 pushes "
              "delivered, 6 to be tried again, 2 given up, 8 tokens dead; now 2 of 3 relays "
              "connected, 7 wakes here, 4 of them being pushed, 99 registrations\n"),
        1);
    stats.flushed[STAT_EVENTS_RECEIVED] += 1;
    ck_assert_uint_eq(tells(1000 + 2 * TALLY_EVERY_MS - 1, "listener: in"), 0);
    ck_assert_uint_eq(tells(1000 + 2 * TALLY_EVERY_MS,
                            "in 10 min: 1 events came, 0 wakes queued for them; 0 pushes"),
                      1);
}
END_TEST

/* A listener that was stopped for a while, as by Ctrl-Z. */
START_TEST(a_line_says_for_how_long_it_stands)
{
    ck_assert_uint_eq(tells(1000 + 3 * TALLY_EVERY_MS, "listener: in 30 min: 0 events"), 1);
    ck_assert_uint_eq(tells(1000 + 3 * TALLY_EVERY_MS + 1, "listener: in"), 0);
}
END_TEST

UNIT_MAIN_WITH("tally", setup, teardown, what_was_counted_since_the_last_line_is_told,
               a_line_says_for_how_long_it_stands)
