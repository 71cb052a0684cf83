#include "redis/redis_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit.h"

#define SHORT_MS 50
#define LONG_MS  20000

/* ---- DNS as the test wants it ---------------------------------------------------------------- */

static int gate[2]; /* a look-up takes a byte out of it */
static _Atomic(const char *) says;
static _Atomic unsigned look_ups;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **result)
{
    struct addrinfo *made;
    struct sockaddr_in *address;
    char byte;

    (void)node, (void)service, (void)hints;
    look_ups++;
    ck_assert_int_eq(read(gate[0], &byte, 1), 1);
    if (says == NULL)
        return EAI_NONAME;
    made = calloc(1, sizeof *made + sizeof *address);
    ck_assert_ptr_nonnull(made);
    address = (struct sockaddr_in *)(made + 1);
    *address = (struct sockaddr_in){.sin_family = AF_INET};
    ck_assert_int_eq(inet_pton(AF_INET, says, &address->sin_addr), 1);
    made->ai_addr = (struct sockaddr *)address;
    made->ai_addrlen = sizeof *address;
    *result = made;
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    free(list);
}

static void let_it_end(void)
{
    ck_assert_int_eq(write(gate[1], "", 1), 1);
}

static struct redis_address address;

static void setup(void)
{
    ck_assert_int_eq(pipe(gate), 0);
    look_ups = 0;
    redis_address_init(&address);
}

static void teardown(void)
{
    redis_address_free(&address);
}

/* The look-up that begins now ends with this one. */
static void is_found(const char *text)
{
    says = text;
    let_it_end();
    ck_assert_ptr_null(redis_address_find(&address, "redis", LONG_MS));
    ck_assert_str_eq(address.text[0], text);
}

/* ---- The tests ------------------------------------------------------------------------------- */

START_TEST(a_literal_is_not_looked_up)
{
    ck_assert_ptr_null(redis_address_find(&address, "192.0.2.7", LONG_MS));
    ck_assert_str_eq(address.text[0], "192.0.2.7");
    ck_assert_ptr_null(redis_address_find(&address, "2001:db8::7", LONG_MS));
    ck_assert_str_eq(address.text[0], "2001:db8::7");
    ck_assert_uint_eq(address.count, 1);
    ck_assert_uint_eq(look_ups, 0);
}
END_TEST

START_TEST(a_name_is_looked_up_anew_each_time)
{
    is_found("192.0.2.1");
    is_found("192.0.2.2");
    ck_assert_uint_eq(address.count, 1);
    ck_assert_uint_eq(look_ups, 2);
}
END_TEST

/* And one look-up is enough, however often it is asked for. */
START_TEST(a_name_that_hangs_is_not_waited_for)
{
    int64_t began = clock_monotonic_ms();

    says = "192.0.2.1";
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_nonnull(strstr(redis_address_find(&address, "redis", SHORT_MS), "in time"));
    ck_assert_int_ge(clock_monotonic_ms() - began, 3 * SHORT_MS);
    ck_assert_int_lt(clock_monotonic_ms() - began, LONG_MS / 2);
    let_it_end();
    ck_assert_ptr_null(redis_address_find(&address, "redis", LONG_MS));
    ck_assert_str_eq(address.text[0], "192.0.2.1");
    ck_assert_uint_eq(look_ups, 1);
}
END_TEST

START_TEST(what_is_known_is_used_meanwhile)
{
    says = "192.0.2.1";
    let_it_end();
    ck_assert_ptr_null(redis_address_find(&address, "redis", LONG_MS));
    says = "192.0.2.2";
    ck_assert_ptr_null(redis_address_find(&address, "redis", SHORT_MS));
    ck_assert_str_eq(address.text[0], "192.0.2.1");
    let_it_end();
    ck_assert_ptr_null(redis_address_find(&address, "redis", LONG_MS));
    ck_assert_str_eq(address.text[0], "192.0.2.2");
}
END_TEST

START_TEST(a_name_that_is_not_there)
{
    const char *problem;

    says = NULL;
    let_it_end();
    problem = redis_address_find(&address, "redis", LONG_MS);
    ck_assert_str_eq(problem, gai_strerror(EAI_NONAME));
    says = "192.0.2.1";
    let_it_end();
    ck_assert_ptr_null(redis_address_find(&address, "redis", LONG_MS));
    says = NULL;
    let_it_end();
    ck_assert_ptr_null(redis_address_find(&address, "redis", LONG_MS));
    ck_assert_str_eq(address.text[0], "192.0.2.1");
}
END_TEST

UNIT_MAIN_WITH("redis_address", setup, teardown, a_literal_is_not_looked_up,
               a_name_is_looked_up_anew_each_time, a_name_that_hangs_is_not_waited_for,
               what_is_known_is_used_meanwhile, a_name_that_is_not_there)
