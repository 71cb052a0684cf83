#include "redis/redis_wire.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"

static int ends[2];
static struct redis_wire wire;

static void setup(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    redis_wire_open(&wire, redisConnectFd(ends[0]));
}

static void teardown(void)
{
    redis_wire_free(&wire);
    (void)close(ends[1]);
}

static void append(const char *word)
{
    const char *words[] = {"SET", word};
    const size_t lens[] = {3, strlen(word)};

    ck_assert_ptr_null(redis_wire_append(&wire, 2, words, lens));
}

static bool holds(const char *word)
{
    return memmem(wire.room, wire.room_size, word, strlen(word)) != NULL;
}

START_TEST(commands_are_sent_as_redis_reads_them)
{
    char got[64] = "";

    append("x");
    append("0123456789");
    ck_assert_ptr_null(redis_wire_send(&wire));
    ck_assert(redis_wire_has_sent(&wire));
    ck_assert_int_gt(read(ends[1], got, sizeof got - 1), 0);
    ck_assert_str_eq(got, "*2\r\n$3\r\nSET\r\n$1\r\nx\r\n*2\r\n$3\r\nSET\r\n$10\r\n0123456789\r\n");
}
END_TEST

START_TEST(what_is_sent_is_wiped)
{
    append("a secret");
    ck_assert(holds("a secret"));
    ck_assert_ptr_null(redis_wire_send(&wire));
    ck_assert(!holds("a secret"));
}
END_TEST

START_TEST(what_is_not_sent_any_more_is_wiped)
{
    append("a secret");
    redis_wire_close(&wire);
    ck_assert(!holds("a secret"));
}
END_TEST

START_TEST(a_peer_that_is_gone_is_a_problem_and_no_signal)
{
    ck_assert_int_eq(shutdown(ends[1], SHUT_RDWR), 0);
    append("x");
    ck_assert_str_eq(redis_wire_send(&wire), "Broken pipe");
}
END_TEST

static void feed(const char *bytes)
{
    ck_assert_int_eq(redisReaderFeed(wire.context->reader, bytes, strlen(bytes)), REDIS_OK);
}

/* What goes wrong with an answer of three elements, of which one is an array, and one an array of
 * two; or NULL. */
static const char *problem_of_array(int elements)
{
    char header[32];
    redisReply *reply;
    const char *problem;

    (void)snprintf(header, sizeof header, "*3\r\n*%d\r\n", elements);
    feed(header);
    for (int i = 0; i < elements; i++)
        feed(":1\r\n");
    feed("*2\r\n:1\r\n:2\r\n:3\r\n");
    problem = redis_wire_take(&wire, &reply);
    ck_assert((problem == NULL) == (reply != NULL));
    freeReplyObject(reply);
    return problem;
}

/* And those of each answer anew. */
START_TEST(arrays_are_bounded_together)
{
    ck_assert_ptr_null(problem_of_array(REDIS_WIRE_ELEMENTS_MAX - 3 - 2));
    ck_assert_ptr_null(problem_of_array(REDIS_WIRE_ELEMENTS_MAX - 3 - 2));
    ck_assert_ptr_nonnull(problem_of_array(REDIS_WIRE_ELEMENTS_MAX - 3 - 1));
}
END_TEST

static const char *problem_of_depth(size_t depth)
{
    redisReply *reply;
    const char *problem;

    for (size_t i = 0; i < depth; i++)
        feed("*1\r\n");
    feed(":1\r\n");
    problem = redis_wire_take(&wire, &reply);
    freeReplyObject(reply);
    return problem;
}

START_TEST(arrays_are_not_too_deep)
{
    ck_assert_ptr_null(problem_of_depth(REDIS_WIRE_DEPTH_MAX));
    ck_assert_ptr_nonnull(problem_of_depth(REDIS_WIRE_DEPTH_MAX + 1));
}
END_TEST

UNIT_MAIN_WITH("redis_wire", setup, teardown, commands_are_sent_as_redis_reads_them,
               what_is_sent_is_wiped, what_is_not_sent_any_more_is_wiped,
               a_peer_that_is_gone_is_a_problem_and_no_signal, arrays_are_bounded_together,
               arrays_are_not_too_deep)
