#include "endpoints/endpoint_keeper.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "registry/registry_endpoints.h"
#include "registry/stats.h"
#include "settings/settings.h"
#include "unit.h"

/* ---- A registry that answers as it is told --------------------------------------------------- */

#define STATES   8
#define INSTANCE "an instance"

/* What Redis says each time it is asked, the last of them from then on. */
static struct registry_endpoints_state states[STATES];
static size_t state_count;
static atomic_size_t asked;
static size_t changes_after; /* being asked so often, the primary; 0: never */
static unsigned loads, loaded, wakes;
static int64_t turns[4]; /* of what was loaded */
static enum registry_result load_answer;
static bool hangs; /* when it is read from */
static sem_t never;
static unsigned reads_lost;      /* how many of the first time out */
static _Atomic int64_t ahead_ms; /* of its clock, which only such reads set */

int64_t clock_monotonic_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000 + ahead_ms;
}

int64_t clock_unix_ms(void)
{
    return 7; /* in the log alone */
}

int64_t clock_unix_s(void)
{
    return 7;
}

struct registry *registry_new(const struct settings *settings, struct stats *stats)
{
    (void)settings;
    (void)stats;
    return (struct registry *)states; /* any address */
}

void registry_free(struct registry **registry)
{
    *registry = NULL;
}

uint64_t registry_primary_changes(void)
{
    return changes_after > 0 && asked >= changes_after;
}

enum registry_result registry_endpoints_state(struct registry *registry, const char *instance,
                                              struct registry_endpoints_state *state)
{
    size_t i = atomic_fetch_add(&asked, 1);

    (void)registry;
    ck_assert_str_eq(instance, INSTANCE);
    *state = states[i < state_count ? i : state_count - 1];
    return REGISTRY_OK;
}

enum registry_result registry_endpoints_read(struct registry *registry,
                                             char cursor[REGISTRY_CURSOR_SIZE],
                                             registry_endpoint_fn *take, void *arg)
{
    const struct registry_endpoint endpoint = {.id.hex = "0123456789abcdef0123456789abcdef",
                                               .url = "https://push.example/from-redis"};

    (void)registry;
    if (hangs)
        (void)sem_wait(&never);
    if (reads_lost > 0) {
        reads_lost--;
        ahead_ms += 300;
        return REGISTRY_UNAVAILABLE;
    }
    (void)take(&endpoint, arg);
    memcpy(cursor, "0", 2);
    return REGISTRY_OK;
}

enum registry_result registry_endpoints_begin(struct registry *registry, const char *instance)
{
    (void)registry;
    (void)instance;
    return REGISTRY_OK;
}

enum registry_result registry_endpoints_load(struct registry *registry, const char *instance,
                                             const struct registry_endpoint *endpoints, size_t n)
{
    (void)registry;
    (void)instance;
    for (size_t i = 0; i < n && loads + i < 4; i++)
        turns[loads + i] = endpoints[i].turn;
    loads += (unsigned)n;
    return load_answer;
}

enum registry_result registry_endpoints_loaded(struct registry *registry, const char *instance)
{
    (void)registry;
    (void)instance;
    loaded++;
    return REGISTRY_OK;
}

enum registry_result registry_endpoints_wake(struct registry *registry, const char *instance)
{
    (void)registry;
    (void)instance;
    wakes++;
    return REGISTRY_OK;
}

/* ---- The keeper ------------------------------------------------------------------------------ */

#define OLD "{\"a\":{\"endpoint_url\":\"https://push.example/old\"}}"

static char folder[] = "/tmp/mostro-push-keeper-XXXXXX";
static char path[64];
static char listener_name[] = "one";
static struct settings settings;
static struct stats stats;

static void setup(void)
{
    FILE *file;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/endpoints.json", folder);
    settings.unifiedpush_endpoints_file = path;
    settings.listener_name = listener_name;
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    (void)fputs(OLD, file);
    (void)fclose(file);
}

static void teardown(void)
{
    (void)unlink(path);
    ck_assert_int_eq(rmdir(folder), 0); /* nothing else was left behind */
}

static bool file_holds(const char *what)
{
    char text[512] = "";
    FILE *file = fopen(path, "r");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_gt(fread(text, 1, sizeof text - 1, file), 0);
    (void)fclose(file);
    return strstr(text, what) != NULL;
}

/* Two beats: the first, and the last. */
static void run(const struct registry_endpoints_state *answers, size_t n)
{
    struct endpoint_keeper *keeper;

    memcpy(states, answers, n * sizeof *answers);
    state_count = n;
    keeper = endpoint_keeper_start(&settings, INSTANCE, &stats);
    ck_assert_ptr_nonnull(keeper);
    endpoint_keeper_stop(&keeper);
    ck_assert(hangs == (keeper != NULL));
}

#define RUN(...)                                                \
    run((const struct registry_endpoints_state[]){__VA_ARGS__}, \
        sizeof((const struct registry_endpoints_state[]){__VA_ARGS__}) / sizeof states[0])

static const struct registry_endpoints_state another_ones = {false, 1, 1};

START_TEST(what_is_in_redis_is_written)
{
    RUN({true, 1, 1}, {true, 1, 2}, {true, 1, 2}, another_ones);
    ck_assert(file_holds("from-redis"));
    ck_assert(!file_holds("old"));
    ck_assert_uint_eq(loads, 0);
    ck_assert_uint_eq(wakes, 1);
}
END_TEST

START_TEST(what_is_written_is_not_written_again)
{
    RUN({true, 1, 1});
    /* Each beat, after each page, and before the new file takes the old one's place. */
    ck_assert_uint_eq(asked, 4);
}
END_TEST

START_TEST(a_change_while_it_is_written_has_it_written_again)
{
    RUN({true, 1, 1}, {true, 1, 2}, {true, 1, 2});
    ck_assert_uint_eq(asked, 6);
}
END_TEST

/* The same number may be of other changes. */
START_TEST(another_primary_has_it_written_again)
{
    changes_after = 3;
    RUN({true, 1, 1});
    ck_assert_uint_eq(asked, 6);
}
END_TEST

START_TEST(another_listener_s_file_is_let_alone)
{
    RUN(another_ones);
    ck_assert(file_holds("old"));
    ck_assert_uint_eq(wakes, 0);
}
END_TEST

START_TEST(a_file_that_became_another_s_meanwhile_is_let_alone)
{
    RUN({true, 1, 1}, another_ones);
    ck_assert(file_holds("old"));
    asked = 0;
    RUN({true, 1, 1}, {true, 1, 1}, another_ones);
    ck_assert(file_holds("old"));
}
END_TEST

/* What was read from Redis may have been read after the loss. */
START_TEST(data_lost_meanwhile_costs_no_endpoint)
{
    RUN({true, 1, 1}, {true, 0, 0}, another_ones);
    ck_assert(file_holds("old"));
    asked = 0;
    RUN({true, 1, 1}, {true, 1, 1}, {true, 0, 0}, another_ones);
    ck_assert(file_holds("old"));
}
END_TEST

START_TEST(data_lost_and_loaded_meanwhile_costs_no_endpoint)
{
    RUN({true, 1, 1}, {true, 2, 1}, another_ones);
    ck_assert(file_holds("old"));
}
END_TEST

START_TEST(the_file_is_loaded_before_it_is_written)
{
    RUN({true, 0, 5}, {true, 1, 5});
    ck_assert_uint_eq(loads, 1);
    ck_assert_uint_eq(loaded, 1);
    ck_assert_uint_eq(wakes, 1); /* and before any phone is woken */
    ck_assert(file_holds("from-redis"));
}
END_TEST

START_TEST(owners_of_hosts_have_turns)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    (void)fputs("{\"a\":{\"endpoint_url\":\"https://x.flood.test/1\",\"registered_at\":9},"
                "\"b\":{\"endpoint_url\":\"https://y.flood.test/2\",\"registered_at\":8},"
                "\"c\":{\"endpoint_url\":\"https://y.flood.test/3\",\"registered_at\":7},"
                "\"d\":{\"endpoint_url\":\"https://push.example/4\",\"registered_at\":1}}",
                file);
    (void)fclose(file);
    RUN({true, 0, 5}, {true, 1, 5});
    ck_assert_uint_eq(loads, 4);
    ck_assert_int_lt(turns[3], 2);
    ck_assert_int_eq(turns[2], 3);
}
END_TEST

START_TEST(a_file_that_redis_did_not_take_is_not_loaded)
{
    load_answer = REGISTRY_FULL;
    RUN({true, 0, 5});
    ck_assert_uint_ge(loads, 1);
    ck_assert_uint_eq(loaded, 0);
    ck_assert(file_holds("old"));
}
END_TEST

START_TEST(a_keeper_that_hangs_does_not_hold_up_the_end)
{
    (void)sem_init(&never, 0, 0);
    hangs = true;
    RUN({true, 1, 1});
    ck_assert(file_holds("old"));
}
END_TEST

/* Not after ten times what the hang has taken: at the next beat, which comes within a second. */
START_TEST(a_redis_that_hung_delays_the_file_by_no_more)
{
    struct endpoint_keeper *keeper;
    int64_t began_ms = clock_monotonic_ms();

    states[0] = (struct registry_endpoints_state){true, 1, 1};
    state_count = 1;
    reads_lost = 1;
    keeper = endpoint_keeper_start(&settings, INSTANCE, &stats);
    ck_assert_ptr_nonnull(keeper);
    while (!file_holds("from-redis"))
        (void)usleep(10000);
    ck_assert_int_eq(ahead_ms, 300);
    ck_assert_int_lt(clock_monotonic_ms() - began_ms, 300 + 2000);
    endpoint_keeper_stop(&keeper);
}
END_TEST

START_TEST(off_is_no_file)
{
    static char off[] = "off";

    ck_assert(!endpoint_keeper_is_off(&settings));
    settings.unifiedpush_endpoints_file = off;
    ck_assert(endpoint_keeper_is_off(&settings));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        what_is_in_redis_is_written,
        what_is_written_is_not_written_again,
        a_change_while_it_is_written_has_it_written_again,
        another_primary_has_it_written_again,
        another_listener_s_file_is_let_alone,
        a_file_that_became_another_s_meanwhile_is_let_alone,
        data_lost_meanwhile_costs_no_endpoint,
        data_lost_and_loaded_meanwhile_costs_no_endpoint,
        the_file_is_loaded_before_it_is_written,
        owners_of_hosts_have_turns,
        a_file_that_redis_did_not_take_is_not_loaded,
        a_keeper_that_hangs_does_not_hold_up_the_end,
        a_redis_that_hung_delays_the_file_by_no_more,
        off_is_no_file,
    };
    Suite *suite = suite_create("endpoint_keeper");
    TCase *tcase = tcase_create("endpoint_keeper");

    tcase_set_timeout(tcase, 20); /* one of them takes 5 s */
    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
