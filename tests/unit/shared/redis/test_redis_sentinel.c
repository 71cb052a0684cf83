#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "redis/redis_sentinel.h"

/* ---- Answers ----------------------------------------------------------------------------------
 */

/* Of bytes as they come; free it with freeReplyObject(). */
static redisReply *reply_of(const char *bytes)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;

    ck_assert_int_eq(redisReaderFeed(reader, bytes, strlen(bytes)), REDIS_OK);
    ck_assert_int_eq(redisReaderGetReply(reader, &reply), REDIS_OK);
    ck_assert_ptr_nonnull(reply);
    redisReaderFree(reader);
    return reply;
}

static struct redis_sentinel_answer answer;
static struct redis_sentinel_trouble trouble;
static enum redis_sentinel_news news;

enum what { AUTH, MASTER, ADDRESS, REPLICAS, MESSAGE };

static bool reads(enum what what, const char *bytes)
{
    redisReply *reply = reply_of(bytes);
    bool good = false;

    trouble.what = NULL;
    switch (what) {
    case AUTH:
        good = redis_sentinel_read_auth(reply, &trouble);
        break;
    case MASTER:
        good = redis_sentinel_read_master(reply, &answer, &trouble);
        break;
    case ADDRESS:
        good = redis_sentinel_read_address(reply, &answer, &trouble);
        break;
    case REPLICAS:
        good = redis_sentinel_read_replicas(reply, &answer, &trouble);
        break;
    case MESSAGE:
        good = redis_sentinel_read_message(reply, "mostro", &news, &trouble);
        break;
    }
    freeReplyObject(reply);
    ck_assert_msg(good == (trouble.what == NULL), "%s", bytes);
    return good;
}

START_TEST(reads_whom_a_sentinel_names)
{
    ck_assert(reads(AUTH, "+OK\r\n"));
    ck_assert(reads(MASTER, "*6\r\n$4\r\nname\r\n$6\r\nmostro\r\n$12\r\nconfig-epoch\r\n$20\r\n"
                            "18446744073709551615\r\n$6\r\nquorum\r\n$1\r\n2\r\n"));
    ck_assert(answer.epoch == UINT64_MAX);
    ck_assert(reads(ADDRESS, "*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n"));
    ck_assert_str_eq(answer.primary.host, "10.0.0.1");
    ck_assert_int_eq(answer.primary.port, 6379);
    ck_assert(reads(ADDRESS, "*2\r\n$7\r\nfd00::1\r\n$5\r\n65535\r\n"));
    ck_assert_str_eq(answer.primary.host, "fd00::1");
    ck_assert(reads(ADDRESS, "*2\r\n$14\r\nredis-2.my_net\r\n$1\r\n1\r\n"));
    ck_assert_str_eq(answer.primary.host, "redis-2.my_net");
    ck_assert(reads(REPLICAS, "*2\r\n*4\r\n$2\r\nip\r\n$8\r\n10.0.0.2\r\n$4\r\nport\r\n$4\r\n6379"
                              "\r\n*2\r\n$2\r\nip\r\n$8\r\n10.0.0.3\r\n"));
    ck_assert_uint_eq(answer.replica_count, 1);
    ck_assert_str_eq(answer.replicas[0].host, "10.0.0.2");
}
END_TEST

START_TEST(takes_nothing_that_is_no_address)
{
    static const char *const bad[] = {
        "*2\r\n$0\r\n\r\n$4\r\n6379\r\n",
        "*2\r\n$1\r\na\r\n$1\r\n0\r\n",
        "*2\r\n$1\r\na\r\n$5\r\n65536\r\n",
        "*2\r\n$1\r\na\r\n$6\r\n006379\r\n",
        "*2\r\n$1\r\na\r\n$2\r\n-1\r\n",
        "*2\r\n$1\r\na\r\n$0\r\n\r\n",
        "*2\r\n$1\r\na\r\n:6379\r\n",
        "*2\r\n$3\r\na/b\r\n$4\r\n6379\r\n",
        "*2\r\n$3\r\na b\r\n$4\r\n6379\r\n",
        "*2\r\n$3\r\na:1\r\n$4\r\n6379\r\n",
        "*2\r\n$3\r\na@b\r\n$4\r\n6379\r\n",
        "*2\r\n$5\r\n127.1\r\n$4\r\n6379\r\n",
        "*2\r\n$15\r\n/run/redis.sock\r\n$4\r\n6379\r\n",
        "*3\r\n$1\r\na\r\n$4\r\n6379\r\n$1\r\nx\r\n",
        "*0\r\n",
        "$1\r\na\r\n",
        ":1\r\n",
    };
    char bytes[512], name[300];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        answer.primary.port = 7;
        ck_assert_msg(!reads(ADDRESS, bad[i]), "%s", bad[i]);
        ck_assert_int_eq(answer.primary.port, 7);
        ck_assert(!trouble.refused);
    }
    /* The longest name of DNS, of labels of at most 63 characters, and one more. */
    memset(name, 'a', sizeof name);
    name[63] = name[127] = name[191] = '.';
    for (int len = 253; len <= 254; len++) {
        (void)snprintf(bytes, sizeof bytes, "*2\r\n$%d\r\n%.*s\r\n$1\r\n1\r\n", len, len, name);
        ck_assert_int_eq(reads(ADDRESS, bytes), len == 253);
    }
}
END_TEST

START_TEST(takes_only_a_number_for_an_epoch)
{
    static const char *const bad[] = {"-1", "1x", " 1", "", "18446744073709551616"};
    char bytes[128];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        (void)snprintf(bytes, sizeof bytes, "*2\r\n$12\r\nconfig-epoch\r\n$%zu\r\n%s\r\n",
                       strlen(bad[i]), bad[i]);
        ck_assert_msg(!reads(MASTER, bytes), "%s", bad[i]);
    }
    ck_assert(!reads(MASTER, "*2\r\n$5\r\nepoch\r\n$1\r\n1\r\n"));
    ck_assert(!reads(MASTER, "*1\r\n$12\r\nconfig-epoch\r\n"));
}
END_TEST

START_TEST(looks_at_sixteen_replicas)
{
    char bytes[2048];
    int len;

    for (int replicas = 16; replicas <= 17; replicas++) {
        len = snprintf(bytes, sizeof bytes, "*%d\r\n", replicas);
        for (int i = 0; i < replicas; i++)
            len += snprintf(bytes + len, sizeof bytes - (size_t)len,
                            "*4\r\n$2\r\nip\r\n$1\r\n%c\r\n$4\r\nport\r\n$1\r\n1\r\n", 'a' + i);
        ck_assert(reads(REPLICAS, bytes));
        ck_assert_uint_eq(answer.replica_count, 16);
    }
    ck_assert(!reads(REPLICAS, ":1\r\n"));
}
END_TEST

/* As Redis 7.0 words it; the log repeats none of it. */
START_TEST(says_what_an_operator_can_do)
{
    static const struct {
        enum what what;
        const char *bytes, *says;
    } cases[] = {
        {MASTER, "-NOAUTH Authentication required.\r\n", "set REDIS_SENTINEL_PASSWORD"},
        {AUTH, "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
         "do not take REDIS_SENTINEL_PASSWORD"},
        {AUTH,
         "-ERR AUTH <password> called without any password configured for the default user. Are "
         "you sure your configuration is correct?\r\n",
         "unset REDIS_SENTINEL_PASSWORD"},
        {ADDRESS,
         "-NOPERM this user has no permissions to run the 'sentinel|get-master-addr-by-name' "
         "command\r\n",
         "ACL grants too little"},
        {MESSAGE, "-NOPERM this user has no permissions to access one of the channels\r\n",
         "ACL grants too little"},
        {MASTER, "-ERR No such master with that name\r\n", "watch no service"},
        {ADDRESS, "$-1\r\n", "watch no service"},
        {MASTER, "-ERR unknown command 'SENTINEL', with args beginning with: \r\n",
         "is no Sentinel"},
        {MASTER, "-DENIED Redis is running in protected mode\r\n", "protected-mode"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(!reads(cases[i].what, cases[i].bytes), "%s", cases[i].bytes);
        ck_assert_msg(strstr(trouble.what, cases[i].says) != NULL, "%s", trouble.what);
        ck_assert(trouble.refused);
    }
    ck_assert(!reads(MASTER, "-ERR whatever\r\n"));
    ck_assert(!trouble.refused);
}
END_TEST

START_TEST(hears_of_its_own_service_alone)
{
#define SWITCHED "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n"
#define SWITCHES "*3\r\n$7\r\nmessage\r\n$34\r\n+failover-state-send-slaveof-noone\r\n"
    static const struct {
        const char *bytes;
        enum redis_sentinel_news news;
    } cases[] = {
        {"*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n", REDIS_SENTINEL_NO_NEWS},
        {"*2\r\n$4\r\npong\r\n$0\r\n\r\n", REDIS_SENTINEL_NO_NEWS},
        {SWITCHED "$12\r\nmostro a 1 b\r\n", REDIS_SENTINEL_SWITCHED},
        {SWITCHED "$12\r\nmostro2 a 1 \r\n", REDIS_SENTINEL_NO_NEWS},
        {SWITCHED "$6\r\nmostro\r\n", REDIS_SENTINEL_NO_NEWS},
        {SWITCHED ":1\r\n", REDIS_SENTINEL_NO_NEWS},
        {SWITCHES "$26\r\nslave a:1 a 1 @ mostro b 2\r\n", REDIS_SENTINEL_SWITCHES},
        {SWITCHES "$27\r\nslave a:1 a 1 @ mostro2 b 2\r\n", REDIS_SENTINEL_NO_NEWS},
        {SWITCHES "$22\r\nslave a:1 a 1 @ mostro\r\n", REDIS_SENTINEL_NO_NEWS},
        {SWITCHES "$12\r\nmostro a 1 b\r\n", REDIS_SENTINEL_NO_NEWS},
        {"*3\r\n$7\r\nmessage\r\n$5\r\n+sdow\r\n$12\r\nmostro a 1 b\r\n", REDIS_SENTINEL_NO_NEWS},
    };
#undef SWITCHED
#undef SWITCHES

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(reads(MESSAGE, cases[i].bytes), "%s", cases[i].bytes);
        ck_assert_msg(news == cases[i].news, "%s", cases[i].bytes);
    }
    ck_assert(!reads(MESSAGE, "+PONG\r\n"));
}
END_TEST

/* ---- Whom to believe --------------------------------------------------------------------------
 */

/* Which of the answers counts, each a letter for the node and its epoch: 'a' of "a1 b2"; '-': none.
 */
static char chosen(const char *said, size_t all, uint64_t seen_epoch)
{
    struct redis_sentinel_answer list[4];
    const struct redis_sentinel_answer *pointers[4], *best;
    size_t count = 0;

    memset(list, 0, sizeof list);
    for (; *said != '\0'; said += said[2] == ' ' ? 3 : 2) {
        list[count].primary.host[0] = said[0];
        list[count].primary.port = 6379;
        list[count].epoch = (uint64_t)(said[1] - '0');
        pointers[count] = &list[count];
        count++;
    }
    best = redis_sentinel_choose(pointers, count, all, seen_epoch);
    return best != NULL ? best->primary.host[0] : '-';
}

START_TEST(believes_the_newest_fail_over)
{
    ck_assert_int_eq(chosen("", 3, 0), '-');
    ck_assert_int_eq(chosen("a0", 3, 0), 'a');
    ck_assert_int_eq(chosen("a1 a1 b2", 3, 0), 'b');
    ck_assert_int_eq(chosen("b2 a1 a1", 3, 1), 'b');
    ck_assert_int_eq(chosen("a1 b1 b1", 3, 0), 'b');
    ck_assert_int_eq(chosen("a1 b1", 3, 0), 'a');
}
END_TEST

/* One that was cut off with the old primary, while the others cannot be reached. */
START_TEST(does_not_go_back_for_a_few)
{
    ck_assert_int_eq(chosen("a1", 3, 2), '-');
    ck_assert_int_eq(chosen("b2", 3, 2), 'b');
    ck_assert_int_eq(chosen("a0 a0", 4, 2), '-');
    ck_assert_int_eq(chosen("a0 a0", 3, 2), 'a'); /* set up anew */
    ck_assert_int_eq(chosen("a0 b0", 3, 2), '-');
}
END_TEST

START_TEST(knows_the_nodes_of_the_service)
{
    struct redis_node node = {.host = "A", .port = 1};

    memset(&answer, 0, sizeof answer);
    answer.primary = (struct redis_node){.host = "a", .port = 1};
    answer.replicas[0] = (struct redis_node){.host = "b", .port = 2};
    answer.replica_count = 1;
    ck_assert(redis_sentinel_knows(&answer, &node));
    node = answer.replicas[0];
    ck_assert(redis_sentinel_knows(&answer, &node));
    node.port = 1;
    ck_assert(!redis_sentinel_knows(&answer, &node));
}
END_TEST

UNIT_MAIN("redis_sentinel", reads_whom_a_sentinel_names, takes_nothing_that_is_no_address,
          takes_only_a_number_for_an_epoch, looks_at_sixteen_replicas, says_what_an_operator_can_do,
          hears_of_its_own_service_alone, believes_the_newest_fail_over, does_not_go_back_for_a_few,
          knows_the_nodes_of_the_service)
