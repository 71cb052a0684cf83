#include "relay/websocket.h"

#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit.h"

static const struct websocket_callbacks callbacks; /* nothing is connected */

static struct websocket *new_websocket(void)
{
    static struct relay_url url;
    const struct websocket_options options = {
        .url = &url, .max_message = 1000, .callbacks = &callbacks};

    ck_assert(relay_url_parse(&url, "ws://relay.example"));
    return websocket_new(&options);
}

/* With no more descriptors than it takes; of those, libwebsockets goes without the one by which it
 * is woken. */
static struct websocket *new_with_too_few_descriptors(void)
{
    struct rlimit limit;
    struct websocket *websocket;
    int first_free = dup(STDERR_FILENO);

    ck_assert_int_ge(first_free, 0);
    (void)close(first_free);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)first_free;
    do {
        limit.rlim_cur++;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        websocket = new_websocket();
    } while (websocket == NULL && limit.rlim_cur < (rlim_t)first_free + 10);
    ck_assert_ptr_nonnull(websocket);
    return websocket;
}

/* It slept until the next of libwebsockets' own timers, of half a minute. */
START_TEST(it_waits_no_longer_than_it_is_told_though_it_cannot_be_woken)
{
    struct websocket *websocket = new_with_too_few_descriptors();
    int64_t began_ms = clock_monotonic_ms();

    for (int64_t wait_ms = 0; wait_ms < 3; wait_ms++)
        websocket_service(websocket, wait_ms);
    ck_assert_int_lt(clock_monotonic_ms() - began_ms, 2000);
    websocket_free(&websocket);
}
END_TEST

START_TEST(it_waits_as_long_as_it_is_told)
{
    struct websocket *websocket = new_websocket();
    int64_t began_ms = clock_monotonic_ms();

    ck_assert_ptr_nonnull(websocket);
    for (int i = 0; i < 10 && clock_monotonic_ms() - began_ms < 50; i++)
        websocket_service(websocket, 50);
    ck_assert_int_ge(clock_monotonic_ms() - began_ms, 50);
    websocket_free(&websocket);
    ck_assert_ptr_null(websocket);
}
END_TEST

START_TEST(a_wait_is_ended)
{
    struct websocket *websocket = new_websocket();
    int64_t began_ms = clock_monotonic_ms();

    ck_assert_ptr_nonnull(websocket);
    websocket_wake(websocket);
    websocket_service(websocket, 60000);
    ck_assert_int_lt(clock_monotonic_ms() - began_ms, 2000);
    websocket_free(&websocket);
}
END_TEST

UNIT_MAIN("websocket", it_waits_no_longer_than_it_is_told_though_it_cannot_be_woken,
          it_waits_as_long_as_it_is_told, a_wait_is_ended)
