#include "registry/registry_why.h"

#include <hiredis/hiredis.h>
#include <string.h>

#include "registry/registry_priv.h"
#include "unit.h"

#define PUBKEY "00000000000000000000000000000000000000000000000000000000000000aa"

/* Lines of what Redis writes, each of which ends with \n alone here. */
static redisReply *reply_of(const char *lines)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;

    for (; *lines != '\0'; lines++) {
        if (*lines == '\n')
            (void)redisReaderFeed(reader, "\r", 1);
        (void)redisReaderFeed(reader, lines, 1);
    }
    ck_assert_int_eq(redisReaderGetReply(reader, &reply), REDIS_OK);
    ck_assert_ptr_nonnull(reply);
    redisReaderFree(reader);
    return reply;
}

/* A host is what is behind the last slash. */
static bool host_of(const struct settings *none, const char *url, char host[URL_AUTHORITY_SIZE])
{
    const char *slash = strrchr(url, '/');

    ck_assert_ptr_null(none);
    if (slash == NULL)
        return false;
    (void)snprintf(host, URL_AUTHORITY_SIZE, "%s", slash + 1);
    return true;
}

static bool reads(const char *lines, struct registry_why *why)
{
    redisReply *reply = reply_of(lines);
    bool is_good;

    *why = (struct registry_why){0};
    is_good = registry_why_read(reply, NULL, host_of, why);
    freeReplyObject(reply);
    return is_good;
}

#define NOBODY  "*0\n"
#define LIMITS  "*5\n:0\n:0\n:0\n:0\n:0\n"
#define NOTHING "*0\n"
#define STATE   "*4\n:0\n:0\n:0\n:0\n"
#define NO_ONE  "*0\n"
#define NO_STEP "*2\n$0\n\n:0\n"

START_TEST(nobody_is_known)
{
    struct registry_why why;

    ck_assert(reads("*7\n:5\n" NOBODY LIMITS NOTHING STATE NO_ONE NO_STEP, &why));
    ck_assert_int_eq(why.now_ms, 5);
    ck_assert(!why.is_registered);
    ck_assert_uint_eq(why.wake_count + why.listener_count + why.step_count, 0);
    ck_assert_str_eq(why.trace, "");
}
END_TEST

START_TEST(all_that_is_known_is_read)
{
    struct registry_why why;

    ck_assert(reads("*7\n:1000\n"
                    "*7\n$3\nios\n:1\n:1\n:1\n:7\n:9000\n$4\n//up\n"
                    "*5\n:12\n:13\n:14\n:2\n:900\n"
                    "*4\n$1\na\n:1\n$5\nquiet\n:950\n"
                    "*4\n:3\n:1\n:4\n:5\n"
                    "*5\n$1\na\n:2\n:6\n$27\n{\"backends\":{\"fcm\":\"down\"}}\n$8\nup:1 up \n"
                    "*3\n$8\n0123abcd\n:8000\n$17\n990 a push: a \x1b[m\n",
                    &why));
    ck_assert(why.is_registered && why.has_token && why.is_endpoint && why.is_encrypted);
    ck_assert_int_eq(why.platform, PLATFORM_IOS);
    ck_assert_int_eq(why.since_s, 7);
    ck_assert_int_eq(why.until_ms, 9000);
    ck_assert_int_eq(why.limit_wait_ms, 12);
    ck_assert_int_eq(why.visible_wait_ms, 13);
    ck_assert_int_eq(why.deferred_wait_ms, 14);
    ck_assert_uint_eq(why.events, 2);
    ck_assert_int_eq(why.event_ms, 900);
    ck_assert_uint_eq(why.wake_count, 1);
    ck_assert_int_eq(why.wakes[0].via, WAKE_VIA_QUIET);
    ck_assert_int_eq(why.wakes[0].due_ms, 950);
    ck_assert_uint_eq(why.inbox, 3);
    ck_assert(why.is_paused);
    ck_assert_int_eq(why.lost_s, 4);
    ck_assert_uint_eq(why.lost_registrations, 5);
    ck_assert_uint_eq(why.listener_count, 1);
    ck_assert_uint_eq(why.listeners[0].relays_configured, 6);
    ck_assert(why.listeners[0].has_report);
    ck_assert_int_eq(why.listeners[0].backends[STATS_BACKEND_FCM], REPORT_DOWN);
    ck_assert(why.listeners[0].holds_host && !why.listeners[0].holds_unnamed);
    ck_assert_str_eq(why.trace, "0123abcd");
    ck_assert_uint_eq(why.step_count, 1);
    ck_assert_int_eq(why.steps[0].at_ms, 990);
    ck_assert_str_eq(why.steps[0].listener, "a");
    ck_assert_str_eq(why.steps[0].text, "push: a ?[m");
}
END_TEST

/* Which hosts a listener says it holds, and whether the endpoint's is among them. */
START_TEST(a_host_is_found_among_those_held)
{
    static const struct {
        const char *token, *held;
        bool holds_host, holds_unnamed;
    } cases[] = {
        {"//a:1", "a:1 ", true, false},    {"//a:1", "b:1 a:1 c:1 ", true, false},
        {"//a:1", "", false, false},       {"//a:1", "a:10 aa:1 :1 ", false, false},
        {"//a:1", "a:1", false, false},    {"//a:1", "b:1 ...", false, true},
        {"//a:1", "a:1 ...", true, true},  {"//", " b:1 ", false, false},
        {"no host", "b:1 ", false, false}, {"", "b:1 ", false, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct registry_why why;
        char text[512];

        (void)snprintf(text, sizeof text,
                       "*7\n:5\n*7\n$3\nios\n:1\n:1\n:1\n:7\n:9\n$%zu\n%s\n" LIMITS NOTHING STATE
                       "*5\n$1\na\n:1\n:1\n$0\n\n$%zu\n%s\n" NO_STEP,
                       strlen(cases[i].token), cases[i].token, strlen(cases[i].held),
                       cases[i].held);
        ck_assert(reads(text, &why));
        ck_assert_msg(why.listeners[0].holds_host == cases[i].holds_host &&
                          why.listeners[0].holds_unnamed == cases[i].holds_unnamed,
                      "case %zu", i);
        ck_assert(!why.listeners[0].has_report);
    }
}
END_TEST

START_TEST(what_is_no_answer_is_refused)
{
    static const char *const answers[] = {
        ":1\n",
        "*0\n",
        "*6\n:5\n" NOBODY LIMITS NOTHING STATE NO_ONE,
        "*7\n$1\n5\n" NOBODY LIMITS NOTHING STATE NO_ONE NO_STEP,
        "*7\n:5\n:0\n" LIMITS NOTHING STATE NO_ONE NO_STEP,
        "*7\n:5\n*2\n$3\nios\n:1\n" LIMITS NOTHING STATE NO_ONE NO_STEP,
        "*7\n:5\n" NOBODY "*4\n:0\n:0\n:0\n:0\n" NOTHING STATE NO_ONE NO_STEP,
        "*7\n:5\n" NOBODY LIMITS "*3\n$1\na\n:1\n$5\nquiet\n" STATE NO_ONE NO_STEP,
        "*7\n:5\n" NOBODY LIMITS "*4\n$1\na\n:1\n$5\nnoisy\n:1\n" STATE NO_ONE NO_STEP,
        "*7\n:5\n" NOBODY LIMITS NOTHING "*1\n:0\n" NO_ONE NO_STEP,
        "*7\n:5\n*6\n$3\nios\n:1\n:1\n:1\n:7\n:9\n" LIMITS NOTHING STATE NO_ONE NO_STEP,
        "*7\n:5\n" NOBODY LIMITS NOTHING STATE "*2\n$1\na\n:1\n" NO_STEP,
        "*7\n:5\n" NOBODY LIMITS NOTHING STATE "*4\n$1\na\n:1\n:1\n$0\n\n" NO_STEP,
        "*7\n:5\n" NOBODY LIMITS NOTHING STATE "*5\n$1\na\n:1\n:1\n$0\n\n:1\n" NO_STEP,
        "*7\n:5\n" NOBODY LIMITS NOTHING STATE NO_ONE "*1\n$0\n\n",
        "*7\n:5\n" NOBODY LIMITS NOTHING STATE NO_ONE "*3\n$0\n\n:0\n$3\n990\n",
        "*7\n:5\n" NOBODY LIMITS NOTHING STATE NO_ONE "*3\n$0\n\n:0\n:990\n",
    };
    struct registry_why why;

    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        ck_assert_msg(!reads(answers[i], &why), "answer %zu", i);
}
END_TEST

START_TEST(lists_end_where_there_is_no_more_room)
{
    static char text[65536];
    struct registry_why why;
    size_t used = (size_t)snprintf(text, sizeof text, "*7\n:5\n" NOBODY LIMITS "*%d\n", 4 * 50);

    for (int i = 0; i < 50; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "$1\na\n:1\n$6\nnotify\n:1\n");
    used += (size_t)snprintf(text + used, sizeof text - used, STATE "*%d\n", 5 * 50);
    for (int i = 0; i < 50; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "$1\na\n:1\n:1\n$0\n\n$0\n\n");
    used += (size_t)snprintf(text + used, sizeof text - used, "*%d\n$0\n\n:0\n", 2 + 50);
    for (int i = 0; i < 50; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "$5\n1 a b\n");
    ck_assert(reads(text, &why));
    ck_assert_uint_eq(why.wake_count, REGISTRY_WHY_MAX);
    ck_assert_uint_eq(why.listener_count, REGISTRY_WHY_MAX);
    ck_assert_uint_eq(why.step_count, REGISTRY_STEPS_MAX);
}
END_TEST

static bool reads_traced(const char *lines, struct registry_traced *traced, size_t *count)
{
    redisReply *reply = reply_of(lines);
    bool is_good = registry_traced_read(reply, traced, count);

    freeReplyObject(reply);
    return is_good;
}

START_TEST(traces_are_read_or_refused)
{
    static const char one[] = "*3\n$8\n0123abcd\n$64\n" PUBKEY "\n:7\n";
    struct registry_traced traced[REGISTRY_TRACES_MAX];
    char nine[1024] = "*27\n";
    size_t count;

    ck_assert(reads_traced("*0\n", traced, &count));
    ck_assert_uint_eq(count, 0);
    ck_assert(reads_traced(one, traced, &count));
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(traced[0].key.hex, PUBKEY);
    ck_assert_int_eq(traced[0].for_ms, 7);
    for (int i = 0; i < 9; i++)
        (void)strcat(nine, one + 3);
    ck_assert(!reads_traced(nine, traced, &count));
    ck_assert(!reads_traced("*2\n$1\na\n$1\nb\n", traced, &count));
    ck_assert(!reads_traced("*3\n$8\n0123abcd\n$2\naa\n:7\n", traced, &count));
    ck_assert(!reads_traced("*3\n:8\n$64\n" PUBKEY "\n:7\n", traced, &count));
    ck_assert(!reads_traced("*3\n$8\n0123abcd\n$64\n" PUBKEY "\n$1\n7\n", traced, &count));
}
END_TEST

UNIT_MAIN("registry_why", nobody_is_known, all_that_is_known_is_read,
          a_host_is_found_among_those_held, what_is_no_answer_is_refused,
          lists_end_where_there_is_no_more_room, traces_are_read_or_refused)
