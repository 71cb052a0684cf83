#include "aide.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/hex.h"
#include "captured_log.h"
#include "log/log.h"
#include "played_redis.h"
#include "settings/settings.h"

#define KEY_A       "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
#define KEY_B       "b0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
#define PATIENCE_MS 20000

/* What registry.lua answers to `state`, which is what its answer to `metrics` begins with. */
#define STATE_VALUES 14

/* What it answers to ROLE, CONFIG GET and SET then. */
#define PERSISTING                                                          \
    "*1\r\n$6\r\nmaster\r\n"                                                \
    "*4\r\n$4\r\nsave\r\n$6\r\n3600 1\r\n$10\r\nappendonly\r\n$2\r\nno\r\n" \
    "$-1\r\n"

static struct settings *settings;
static struct stats stats;
static struct registry_pipeline *pipeline;
static struct aide *aide;
static int lines;

/* ---- A Redis that threads play -----------------------------------------------------------------
 */

static struct played_redis redis; /* only listens */
static pthread_mutex_t holds_states = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool hangs_up; /* on each new connection */
static atomic_bool persists;
static const char *_Atomic address_key;
static atomic_uint accepted, greeted, loaded, asked_states, states, metrics, flushes;

static void answer_numbers(const struct played_redis *connection, size_t n)
{
    char answer[4096];
    size_t len = (size_t)snprintf(answer, sizeof answer, "*%zu\r\n", n);

    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(answer + len, sizeof answer - len, ":%zu\r\n", i);
    played_redis_write(connection, answer);
}

static void answer_command(const struct played_redis *connection, const char *command)
{
    char answer[128];

    if (strncmp(command, "SET ", 4) == 0) {
        greeted++;
        played_redis_write(connection, persists ? PERSISTING : PLAYED_REDIS_GREETING);
    } else if (strncmp(command, "FUNCTION LOAD", 13) == 0) {
        loaded++;
        played_redis_write(connection, "$13\r\nmostro_push_3\r\n");
    } else if (strstr(command, "_address_key ") != NULL) {
        (void)snprintf(answer, sizeof answer, "$64\r\n%s\r\n", address_key);
        played_redis_write(connection, answer);
    } else if (strstr(command, "_state ") != NULL) {
        asked_states++;
        (void)pthread_mutex_lock(&holds_states);
        (void)pthread_mutex_unlock(&holds_states);
        states++;
        answer_numbers(connection, STATE_VALUES);
    } else if (strstr(command, "_metrics ") != NULL) {
        metrics++;
        answer_numbers(connection, STATE_VALUES + STAT_COUNT);
    } else if (strstr(command, "_watch ") != NULL) {
        played_redis_write(connection, "*1\r\n*2\r\n$9\r\noldest_ms\r\n:1500\r\n");
    } else if (strstr(command, "_add ") != NULL) {
        flushes++;
        played_redis_write(connection, ":1\r\n");
    }
}

static void *play_connection(void *arg)
{
    struct played_redis *connection = arg;
    const char *command;

    while ((command = played_redis_read(connection)) != NULL)
        answer_command(connection, command);
    played_redis_hang_up(connection);
    free(connection);
    return NULL;
}

static void *play(void *arg)
{
    (void)arg;
    for (;;) {
        struct played_redis *connection = calloc(1, sizeof *connection);
        pthread_t thread;

        connection->listening = redis.listening;
        connection->fd = -1;
        played_redis_accept(connection);
        accepted++;
        if (hangs_up) {
            played_redis_hang_up(connection);
            free(connection);
        } else {
            ck_assert_int_eq(pthread_create(&thread, NULL, play_connection, connection), 0);
            (void)pthread_detach(thread);
        }
    }
    return NULL;
}

/* ---- A worker ----------------------------------------------------------------------------------
 */

static const char *url(const char *name, void *arg)
{
    (void)arg;
    return strcmp(name, "REDIS_URL") == 0 ? redis.url : NULL;
}

/* Each test is a process, with which the threads end. */
static void setup(void)
{
    pthread_t thread;

    address_key = KEY_A;
    played_redis_begin(&redis);
    ck_assert_int_eq(pthread_create(&thread, NULL, play, NULL), 0);
    settings =
        settings_read(SETTINGS_FCGI, url, NULL, &(const struct settings_tell){stderr, stderr});
    ck_assert_ptr_nonnull(settings);
    pipeline = registry_pipeline_new(settings, &stats);
    aide = aide_new(settings, &stats, pipeline);
    ck_assert_ptr_nonnull(aide);
    log_open("test", LOG_LEVEL_INFO, LOG_TARGET_STDERR);
    lines = capture_log();
}

static void teardown(void)
{
    aide_free(&aide);
    registry_pipeline_free(&pipeline);
    settings_free(&settings);
    played_redis_end(&redis);
}

/* Serves the aide until it is so. */
static void until(bool (*is_so)(void))
{
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    struct pollfd bell = {.fd = aide_fd(aide), .events = POLLIN};

    while (!is_so()) {
        ck_assert_int_lt(clock_monotonic_ms(), deadline);
        if (poll(&bell, 1, 10) > 0)
            aide_serve(aide);
    }
}

static bool is_open(void)
{
    return registry_pipeline_is_open(pipeline);
}

static void has_key(const char *hex)
{
    uint8_t key[ADDRESS_KEY_SIZE];

    ck_assert(hex_decode(key, sizeof key, hex, strlen(hex)));
    ck_assert_ptr_nonnull(aide_address_key(aide));
    ck_assert_mem_eq(aide_address_key(aide), key, sizeof key);
}

/* At once, unless the machine is so busy that Redis does not answer in time. */
static void starts(void)
{
    ck_assert(aide_start(aide));
    until(is_open);
}

/* ---- Connections -------------------------------------------------------------------------------
 */

START_TEST(a_start_makes_a_connection_and_reads_the_key)
{
    ck_assert_ptr_null(aide_address_key(aide));
    starts();
    ck_assert_uint_eq(loaded, 1);
    has_key(KEY_A);
    ck_assert_uint_eq(logged(lines, "redis"), 0);
}
END_TEST

static bool has_tried_some_times(void)
{
    return accepted >= 4;
}

START_TEST(a_start_without_redis_goes_on_trying)
{
    int64_t before = clock_monotonic_ms();

    hangs_up = true;
    ck_assert(aide_start(aide));
    ck_assert(!is_open());
    ck_assert_ptr_null(aide_address_key(aide));
    until(has_tried_some_times);
    ck_assert_int_ge(clock_monotonic_ms() - before, (accepted - 1) * INT64_C(250));
    hangs_up = false;
    until(is_open);
    has_key(KEY_A);
    ck_assert_uint_eq(loaded, 1); /* at the first connection that there is */
    ck_assert_uint_eq(logged(lines, "redis: in use again"), 1);
}
END_TEST

static void lose_connection(void)
{
    ck_assert_int_eq(shutdown(registry_pipeline_fd(pipeline), SHUT_RDWR), 0);
    registry_pipeline_read(pipeline);
    ck_assert(!is_open());
}

/* A newer program's library may have come since. */
START_TEST(a_lost_connection_is_made_again_without_the_library)
{
    starts();
    lose_connection();
    aide_reconnect(aide);
    aide_reconnect(aide);
    until(is_open);
    ck_assert_uint_ge(greeted, 2); /* a tick may have made one of its own */
    ck_assert_uint_eq(loaded, 1);
    aide_reconnect(aide); /* as it is open, this asks for nothing */
    ck_assert(is_open());
}
END_TEST

START_TEST(connections_that_do_not_last_are_made_four_times_a_second)
{
    int64_t before = clock_monotonic_ms();

    starts();
    for (int i = 0; i < 3; i++) {
        lose_connection();
        aide_reconnect(aide);
        until(is_open);
    }
    ck_assert_int_ge(clock_monotonic_ms() - before, 3 * 250);
}
END_TEST

static bool is_refused(void)
{
    return aide_is_refused(aide);
}

static bool has_noticed(void)
{
    return !aide_is_refused(aide) && !is_open();
}

START_TEST(a_redis_that_may_not_be_used_is_told_from_one_that_is_away)
{
    hangs_up = true;
    ck_assert(aide_start(aide));
    until(has_tried_some_times);
    ck_assert(!aide_is_refused(aide));
    persists = true;
    hangs_up = false;
    until(is_refused);
    ck_assert(!is_open());
    hangs_up = true;
    until(has_noticed);
    persists = hangs_up = false;
    until(is_open);
    ck_assert(!aide_is_refused(aide));
}
END_TEST

static struct registry_call waiting;

static void call_answered(struct registry_call *call)
{
    ck_assert_ptr_eq(call, &waiting);
}

static bool is_answered(void)
{
    return waiting.result != REGISTRY_PENDING;
}

START_TEST(a_connection_that_cannot_be_made_answers_calls_that_wait_for_it)
{
    starts();
    hangs_up = true;
    lose_connection();
    waiting = (struct registry_call){
        .kind = REGISTRY_CALL_COUNT, .answered = call_answered, .result = REGISTRY_PENDING};
    registry_pipeline_ask(pipeline, &waiting);
    ck_assert(!is_answered());
    aide_reconnect(aide);
    until(is_answered);
    ck_assert_int_eq(waiting.result, REGISTRY_UNAVAILABLE);
}
END_TEST

/* ---- Questions ---------------------------------------------------------------------------------
 */

static size_t answers;

static void question_answered(struct aide_question *question)
{
    ck_assert_int_eq(question->result, REGISTRY_OK);
    answers++;
}

static bool is_asked(void)
{
    return asked_states > 0;
}

static bool are_all_answered(void)
{
    return answers == 4;
}

START_TEST(questions_that_wait_share_an_answer_on_a_new_connection)
{
    struct aide_question questions[4] = {{.answered = question_answered},
                                         {.answered = question_answered},
                                         {.answered = question_answered, .wants_metrics = true},
                                         {.answered = question_answered}};

    starts();
    (void)pthread_mutex_lock(&holds_states);
    aide_ask(aide, &questions[0]);
    until(is_asked);
    for (size_t i = 1; i < 4; i++)
        aide_ask(aide, &questions[i]);
    ck_assert_uint_eq(answers, 0);
    (void)pthread_mutex_unlock(&holds_states);
    until(are_all_answered);
    ck_assert_uint_eq(states, 2);
    ck_assert_uint_eq(metrics, 1);
    ck_assert_uint_ge(greeted, 4); /* the pipeline's is one, and a tick may have made one */
    ck_assert_uint_eq(questions[3].metrics.state.ios, 1);
    ck_assert_uint_eq(questions[2].metrics.counter[0], STATE_VALUES);
    ck_assert_uint_eq(questions[2].metrics.watch->oldest_ms, 1500);
    ck_assert_uint_eq(questions[2].metrics.watch->users, 1);
    registry_watch_free(&questions[2].metrics.watch);
    ck_assert(is_open());
}
END_TEST

static void question_refused(struct aide_question *question)
{
    ck_assert_int_eq(question->result, REGISTRY_UNAVAILABLE);
    ck_assert_str_ne(question->reason, "");
    answers = 4;
}

START_TEST(a_question_without_redis_is_told_why)
{
    struct aide_question question = {.answered = question_refused};

    starts();
    hangs_up = true;
    aide_ask(aide, &question);
    until(are_all_answered);
    ck_assert(!question.is_refused);
}
END_TEST

/* ---- Counters and the key ----------------------------------------------------------------------
 */

static bool is_flushed(void)
{
    return flushes > 0;
}

static bool has_another_key(void)
{
    return aide_address_key(aide)[0] == 0xb0;
}

START_TEST(counters_are_flushed_and_the_key_is_read_again)
{
    starts();
    address_key = KEY_B;
    stats_add(&stats, STAT_REFUSED_NEW, 1);
    until(is_flushed);
    until(has_another_key);
    has_key(KEY_B);
    ck_assert_uint_eq(stats.pending[STAT_REFUSED_NEW], 0);
}
END_TEST

START_TEST(what_was_counted_last_is_flushed_at_the_end)
{
    starts();
    stats_add(&stats, STAT_REFUSED_NEW, 1);
    aide_free(&aide);
    ck_assert_uint_eq(flushes, 1);
    ck_assert_uint_eq(stats.pending[STAT_REFUSED_NEW], 0);
}
END_TEST

UNIT_MAIN_WITH("aide", setup, teardown, a_start_makes_a_connection_and_reads_the_key,
               a_start_without_redis_goes_on_trying,
               a_lost_connection_is_made_again_without_the_library,
               connections_that_do_not_last_are_made_four_times_a_second,
               a_redis_that_may_not_be_used_is_told_from_one_that_is_away,
               a_connection_that_cannot_be_made_answers_calls_that_wait_for_it,
               questions_that_wait_share_an_answer_on_a_new_connection,
               a_question_without_redis_is_told_why, counters_are_flushed_and_the_key_is_read_again,
               what_was_counted_last_is_flushed_at_the_end)
