#include "registry/registry_watch.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

/* Of Redis's bytes; the caller's, with one user, or NULL. */
static struct registry_watch *read_watch(const char *bytes)
{
    redisReader *reader = redisReaderCreate();
    struct registry_watch *watch;
    void *reply = NULL;

    ck_assert_int_eq(redisReaderFeed(reader, bytes, strlen(bytes)), REDIS_OK);
    ck_assert_int_eq(redisReaderGetReply(reader, &reply), REDIS_OK);
    ck_assert_ptr_nonnull(reply);
    watch = registry_watch_read(reply);
    freeReplyObject(reply);
    redisReaderFree(reader);
    return watch;
}

#define NUMBERS "*2\r\n$9\r\noldest_ms\r\n:1234\r\n"

START_TEST(reads_what_the_library_answers)
{
    struct registry_watch *watch = read_watch(
                              "*3\r\n*6\r\n$5\r\nlater\r\n:7\r\n$9\r\noldest_ms\r\n:1234\r\n"
                              "$6\r\ntraced\r\n:3\r\n"
                              "*3\r\n$2\r\nl1\r\n$5\r\n1.0.0\r\n$16\r\n{\"hosts_held\":9}\r\n"
                              "*3\r\n$2\r\nl2\r\n$5\r\n0.9.0\r\n$0\r\n\r\n"),
                          *other = watch;

    ck_assert_ptr_nonnull(watch);
    ck_assert_uint_eq(watch->oldest_ms, 1234);
    ck_assert_uint_eq(watch->traced, 3);
    ck_assert_uint_eq(watch->count, 2);
    ck_assert_str_eq(watch->listeners[0].name, "l1");
    ck_assert_str_eq(watch->listeners[0].version, "1.0.0");
    ck_assert(watch->listeners[0].has_report);
    ck_assert_uint_eq(watch->listeners[0].report.hosts_held, 9);
    ck_assert_str_eq(watch->listeners[1].name, "l2");
    ck_assert(!watch->listeners[1].has_report);
    watch->users++;
    registry_watch_free(&other);
    ck_assert_ptr_null(other);
    ck_assert_uint_eq(watch->users, 1);
    registry_watch_free(&watch);
    registry_watch_free(&watch); /* none */
}
END_TEST

START_TEST(another_answer_is_none)
{
    static const char *const none[] = {":1\r\n", "*0\r\n", "*-1\r\n", "$2\r\nOK\r\n",
                                       "*1\r\n:1\r\n"};
    char many[4096];
    size_t len = (size_t)snprintf(many, sizeof many, "*%d\r\n" NUMBERS, REGISTRY_WATCHED_MAX + 2);

    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        ck_assert_ptr_null(read_watch(none[i]));
    for (unsigned i = 0; i < REGISTRY_WATCHED_MAX + 1; i++)
        len += (size_t)snprintf(many + len, sizeof many - len, "*3\r\n$2\r\nl%u\r\n+v\r\n+r\r\n",
                                i % 10);
    ck_assert_ptr_null(read_watch(many));
}
END_TEST

START_TEST(listeners_that_cannot_be_are_left_out)
{
    struct registry_watch *watch =
        read_watch("*8\r\n*5\r\n$9\r\noldest_ms\r\n$1\r\n5\r\n$6\r\ntraced\r\n:-1\r\n:1\r\n"
                   ":5\r\n"
                   "*2\r\n$2\r\nl1\r\n$5\r\n1.0.0\r\n"
                   "*3\r\n$3\r\na\"b\r\n$5\r\n1.0.0\r\n$0\r\n\r\n"
                   "*3\r\n$0\r\n\r\n$5\r\n1.0.0\r\n$0\r\n\r\n"
                   "*3\r\n$65\r\n00000000000000000000000000000000000000000000000000000000000000000"
                   "\r\n$5\r\n1.0.0\r\n$0\r\n\r\n"
                   "*3\r\n$2\r\nl9\r\n$33\r\n000000000000000000000000000000000\r\n:1\r\n"
                   "*3\r\n$2\r\nl9\r\n$5\r\n1.0.0\r\n$0\r\n\r\n");

    ck_assert_ptr_nonnull(watch);
    ck_assert_uint_eq(watch->oldest_ms, 0);
    ck_assert_uint_eq(watch->traced, 0);
    ck_assert_uint_eq(watch->count, 1);
    ck_assert_str_eq(watch->listeners[0].name, "l9");
    ck_assert_str_eq(watch->listeners[0].version, "unknown");
    ck_assert(!watch->listeners[0].has_report);
    registry_watch_free(&watch);
}
END_TEST

UNIT_MAIN("registry_watch", reads_what_the_library_answers, another_answer_is_none,
          listeners_that_cannot_be_are_left_out)
