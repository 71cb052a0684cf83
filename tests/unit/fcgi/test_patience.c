#include "patience.h"

#include <stdio.h>

#include "registry_stub.h"
#include "responder_priv.h"
#include "told_clock.h"
#include "unit.h"

#define KEY      "00a1b2c3d4e5f60718293a4b5c6d7e8f00a1b2c3d4e5f60718293a4b5c6d7e8f"
#define REGISTER "{\"trade_pubkey\":\"" KEY "\",\"token\":\"a-token\",\"platform\":\"android\"}"
#define PUBKEY   "{\"trade_pubkey\":\"" KEY "\"}"
#define MOST     4
#define SIZE     ((size_t)(30 * 1024))

static struct settings *settings;
static struct responder *responder;
static struct stats stats;
static struct exchange exchanges[MOST + 2];
static unsigned answers;
static size_t size;

static const char *nothing(const char *name, void *arg)
{
    (void)name;
    (void)arg;
    return NULL;
}

static void setup(void)
{
    struct responder_parts parts = {.stats = &stats, .waiting_max = MOST};

    now = 1000000;
    size = SIZE;
    registry_stub_answer("0");
    registry_stub_redis = (struct registry_stub_redis){.is_away = true};
    parts.settings = settings =
        settings_read(SETTINGS_FCGI, nothing, NULL, &(const struct settings_tell){stderr, stderr});
    responder = responder_new(&parts, stderr);
    ck_assert_ptr_nonnull(responder);
}

static void teardown(void)
{
    for (size_t i = 0; i < sizeof exchanges / sizeof exchanges[0]; i++)
        response_clear(&exchanges[i].response);
    responder_free(&responder);
    settings_free(&settings);
}

static void answered(struct exchange *exchange)
{
    answers++;
    ck_assert(!exchange->waits);
}

static int status(size_t i)
{
    return exchanges[i].response.status;
}

/* Asks; its address is IPv6, so that it has a site, too. */
static void ask(size_t i, const char *path, const char *body)
{
    char room[256];

    memcpy(room, body, strlen(body));
    response_clear(&exchanges[i].response);
    exchanges[i].size = size;
    exchanges[i].answered = answered;
    exchanges[i].request = (struct request){.method = "POST",
                                            .path = path,
                                            .content_type = "application/json",
                                            .remote_addr = "2001:db8::1",
                                            .body = room,
                                            .body_len = strlen(body)};
    responder_answer(responder, &exchanges[i]);
    memset(room, 0, sizeof room);
}

static void registers(size_t i)
{
    ask(i, "/api/register", REGISTER);
}

/* Redis is there again. */
static void comes_back(void)
{
    registry_stub_redis.is_away = false;
    (void)responder_tend(responder, now);
}

/* Redis is there, and the connection ends as soon as something is asked. */
static void dies(void)
{
    registry_stub_redis = (struct registry_stub_redis){.is_dying = true};
}

START_TEST(a_register_is_asked_again_as_soon_as_redis_is_back)
{
    registers(0);
    now += 1200;
    ck_assert_int_eq(responder_tend(responder, now), 1300);
    ck_assert_uint_eq(answers, 0);
    comes_back();
    ck_assert_uint_eq(answers, 1);
    ck_assert_int_eq(status(0), 200);
    ck_assert_str_eq(registry_stub_last.call.key.hex, KEY);
    ck_assert_int_eq(responder_tend(responder, now), -1);
    for (size_t i = 0; i < sizeof exchanges[0].with.registration.token; i++)
        ck_assert_int_eq(exchanges[0].with.registration.token[i], 0);
}
END_TEST

START_TEST(an_unregister_is_told_what_redis_says_in_the_end)
{
    const char absent[] = {'0' + REGISTRY_NOT_FOUND, '\0'};

    dies();
    ask(0, "/api/unregister", PUBKEY);
    registry_stub_answer(absent);
    comes_back();
    ck_assert_uint_eq(answers, 1);
    ck_assert_int_eq(status(0), 200);
    ck_assert_ptr_nonnull(strstr(exchanges[0].response.body, "may have already been unregistered"));
}
END_TEST

START_TEST(it_waits_so_long_and_no_longer)
{
    registers(0);
    now += PATIENCE_MS - 1;
    ck_assert_int_eq(responder_tend(responder, now), 1);
    ck_assert_uint_eq(answers, 0);
    now++;
    ck_assert_int_eq(responder_tend(responder, now), -1);
    ck_assert_uint_eq(answers, 1);
    ck_assert_int_eq(status(0), 503);
    ck_assert_uint_eq(exchanges[0].response.retry_after_s, 1);
    ck_assert_int_eq(exchanges[0].with.registration.token[0], 0);
}
END_TEST

/* However often it is asked in between. */
START_TEST(the_time_counts_from_when_it_came)
{
    dies();
    registers(0);
    now += 1000;
    registers(1);
    for (int i = 1; i <= 3; i++) {
        now += 400;
        dies();
        ck_assert_int_eq(responder_tend(responder, now), 1500 - 400 * i);
    }
    ck_assert_uint_eq(registry_stub_asked, 5);
    now += 300;
    ck_assert_int_eq(responder_tend(responder, now), 1000);
    ck_assert_uint_eq(answers, 1);
    ck_assert_int_eq(status(0), 503);
    comes_back();
    ck_assert_int_eq(status(1), 200);
}
END_TEST

START_TEST(nobody_else_waits)
{
    static const struct {
        const char *path, *body;
    } cases[] = {
        {"/api/notify", PUBKEY},
        {"/api/notify", "{}"},
        {"/api/register", "{}"},
        {"/api/unregister", "{}"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ask(i, cases[i].path, cases[i].body);
        ck_assert_uint_eq(answers, i + 1);
        ck_assert_int_eq(status(i), 503);
    }
}
END_TEST

START_TEST(what_needs_an_operator_is_not_waited_for)
{
    registers(0);
    ck_assert_uint_eq(answers, 0);
    registry_stub_redis.is_refused = true;
    ck_assert_int_eq(responder_tend(responder, now), -1);
    ck_assert_uint_eq(answers, 1);
    ck_assert_int_eq(status(0), 503);
    registers(1);
    ck_assert_uint_eq(answers, 2);
    ck_assert_int_eq(status(1), 503);
}
END_TEST

START_TEST(what_redis_itself_says_is_final)
{
    static const enum registry_result results[] = {REGISTRY_FULL, REGISTRY_UNAVAILABLE,
                                                   REGISTRY_REFUSED_ADDRESS};

    registry_stub_redis.is_away = false;
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        const char digit[] = {(char)('0' + results[i]), '\0'};

        registry_stub_answer(digit);
        registers(i);
        ck_assert_uint_eq(answers, i + 1);
    }
}
END_TEST

/* One more, and one that would take too much memory, are answered at once. */
START_TEST(so_many_wait_and_no_more)
{
    for (size_t i = 0; i < MOST; i++)
        registers(i);
    ck_assert_uint_eq(answers, 0);
    registers(MOST);
    ck_assert_uint_eq(answers, 1);
    ck_assert_int_eq(status(MOST), 503);
    comes_back();
    ck_assert_uint_eq(answers, 1 + MOST);
}
END_TEST

START_TEST(they_hold_so_many_bytes_and_no_more)
{
    registers(0);
    size = PATIENCE_BYTES_MAX - SIZE + 1;
    registers(1);
    ck_assert_uint_eq(answers, 1);
    size--;
    registers(2);
    ck_assert_uint_eq(answers, 1);
    size = 1;
    registers(3);
    ck_assert_uint_eq(answers, 2);
    responder_give_up(&exchanges[0]);
    registers(3);
    ck_assert_uint_eq(answers, 3);
}
END_TEST

START_TEST(a_client_that_leaves_frees_its_place)
{
    for (size_t i = 0; i < MOST; i++)
        registers(i);
    responder_give_up(&exchanges[1]);
    ck_assert_uint_eq(answers, 1);
    ck_assert_int_eq(status(1), 503);
    ck_assert_int_eq(exchanges[1].with.registration.token[0], 0);
    registers(1);
    ck_assert_uint_eq(answers, 1);
    comes_back();
    ck_assert_uint_eq(answers, 1 + MOST);
}
END_TEST

/* More than are asked in one turn. */
START_TEST(a_turn_asks_so_many)
{
    static struct exchange many[70];

    responder->patience.most = 70;
    registers(0);
    for (size_t i = 1; i < 70; i++) {
        many[i] = exchanges[0];
        ck_assert(patience_keeps(&many[i]));
    }
    registry_stub_redis.is_away = false;
    ck_assert_int_eq(responder_tend(responder, now), 0);
    ck_assert_uint_eq(answers, 64);
    ck_assert_int_eq(responder_tend(responder, now), -1);
    ck_assert_uint_eq(answers, 70);
    for (size_t i = 0; i < 70; i++)
        response_clear(&many[i].response);
}
END_TEST

/* ---- Limits ------------------------------------------------------------------------------------
 */

/* A Redis that has lost its data may have another key. */
START_TEST(what_has_not_run_spends_its_limits_by_the_key_that_holds_now)
{
    struct address_hash before;

    registers(0);
    before = registry_stub_last.address;
    registry_stub_redis.key = 7;
    comes_back();
    ck_assert_ptr_eq(registry_stub_last.call.address, &exchanges[0].address);
    ck_assert_ptr_eq(registry_stub_last.call.site, &exchanges[0].site);
    ck_assert_str_ne(registry_stub_last.address.hex, before.hex);
    ck_assert_str_ne(registry_stub_last.site.hex, registry_stub_last.address.hex);
}
END_TEST

/* Else it could be refused by a limit that it has passed. */
START_TEST(what_may_have_run_spends_them_no_more)
{
    dies();
    registers(0);
    ck_assert_ptr_nonnull(registry_stub_last.call.address);
    comes_back();
    ck_assert_int_eq(status(0), 200);
    ck_assert_ptr_null(registry_stub_last.call.address);
    ck_assert_ptr_null(registry_stub_last.call.site);
}
END_TEST

/* At a start without Redis: nobody is asked without his limit. */
START_TEST(the_key_is_waited_for)
{
    registry_stub_redis.has_no_key = true;
    registers(0);
    ck_assert_uint_eq(registry_stub_asked, 0);
    ck_assert_uint_eq(answers, 0);
    ask(1, "/api/notify", PUBKEY);
    ck_assert_int_eq(status(1), 503);
    ask(2, "/api/register", "{}");
    ck_assert_int_eq(status(2), 503);
    registry_stub_redis.has_no_key = false;
    comes_back();
    ck_assert_uint_eq(answers, 3);
    ck_assert_int_eq(status(0), 200);
    ck_assert_ptr_nonnull(registry_stub_last.call.address);
    ck_assert_ptr_nonnull(registry_stub_last.call.site);
}
END_TEST

START_TEST(a_redis_that_gives_no_key_is_not_waited_for)
{
    registry_stub_redis.has_no_key = true;
    registers(0);
    comes_back();
    ck_assert_uint_eq(answers, 1);
    ck_assert_int_eq(status(0), 503);
    ck_assert_uint_eq(registry_stub_asked, 0);
}
END_TEST

UNIT_MAIN_WITH("patience", setup, teardown, a_register_is_asked_again_as_soon_as_redis_is_back,
               an_unregister_is_told_what_redis_says_in_the_end, it_waits_so_long_and_no_longer,
               the_time_counts_from_when_it_came, nobody_else_waits,
               what_needs_an_operator_is_not_waited_for, what_redis_itself_says_is_final,
               so_many_wait_and_no_more, they_hold_so_many_bytes_and_no_more,
               a_client_that_leaves_frees_its_place, a_turn_asks_so_many,
               what_has_not_run_spends_its_limits_by_the_key_that_holds_now,
               what_may_have_run_spends_them_no_more, the_key_is_waited_for,
               a_redis_that_gives_no_key_is_not_waited_for)
