#include "registry/registry_pipeline.h"

#include <pthread.h>
#include <sys/syscall.h>

#include "captured_log.h"
#include "log/log.h"
#include "played_redis.h"
#include "redis/redis.h"
#include "settings/settings.h"
#include "told_clock.h"

#define HASH      "0123456789abcdef0123456789abcdef"
#define KEY       "00a1b2c3d4e5f60718293a4b5c6d7e8f00a1b2c3d4e5f60718293a4b5c6d7e8f"
#define DEVICE_ID "572ed3dbb3c937f4344e8eecdfed6a12"
#define NOT_FOUND "-ERR Function not found\r\n"
#define LOADED    "$13\r\nmostro_push_3\r\n"
#define OK_WORD   "*2\r\n$2\r\nok\r\n:0\r\n"
#define CALLS     600

static struct played_redis redis;
static struct settings *settings;
static struct stats stats;
static struct registry *registry;
static struct registry_pipeline *pipeline;
static int lines;

static const struct address_hash address = {.hex = HASH};

/* ---- What is asked, and what came of it --------------------------------------------------------
 */

static struct registry_call calls[CALLS];
static size_t order[2 * CALLS]; /* of the answers: indices of calls */
static size_t answers;
static unsigned writes;

/* What the pipeline writes with, too. */
ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    writes += fd == registry_pipeline_fd(pipeline);
    return syscall(SYS_sendto, fd, bytes, len, flags, NULL, 0);
}

static void answered(struct registry_call *call)
{
    order[answers++] = (size_t)(call - calls);
}

static void ask_of(size_t i, enum registry_call_kind kind, const struct registration *registration)
{
    calls[i] = (struct registry_call){.kind = kind,
                                      .bucket = REGISTRY_BUCKET_REGISTER,
                                      .address = &address,
                                      .key = {.hex = KEY},
                                      .registration = registration,
                                      .answered = answered,
                                      .result = REGISTRY_PENDING};
    registry_pipeline_ask(pipeline, &calls[i]);
}

static void ask(size_t i, enum registry_call_kind kind)
{
    ask_of(i, kind, NULL);
}

static void ask_register(size_t i, const struct registration *registration)
{
    ask_of(i, REGISTRY_CALL_REGISTER, registration);
}

static void ask_some(size_t count)
{
    for (size_t i = 0; i < count; i++)
        ask(i, REGISTRY_CALL_UNREGISTER);
}

static void sends_all(void)
{
    ck_assert(!registry_pipeline_send(pipeline));
}

/* Reads until so many answers have come in all; the socket has them already. */
static void has_answered(size_t count)
{
    while (answers < count && registry_pipeline_is_open(pipeline))
        registry_pipeline_read(pipeline);
    ck_assert_uint_eq(answers, count);
}

static void all_are(size_t count, enum registry_result result)
{
    ck_assert_uint_eq(answers, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(calls[i].result, result);
}

static uint64_t redis_errors(void)
{
    return atomic_exchange(&stats.pending[STAT_REDIS_ERRORS], 0);
}

/* ---- The connection ----------------------------------------------------------------------------
 */

/* Reads a command that begins like this, and answers it. */
static void answers_to(const char *command, const char *answer)
{
    const char *words = played_redis_read(&redis);

    ck_assert_ptr_nonnull(words);
    ck_assert_msg(strncmp(words, command, strlen(command)) == 0, "%s came for %s", words, command);
    played_redis_write(&redis, answer);
}

static const char *url(const char *name, void *arg)
{
    (void)arg;
    if (strcmp(name, "TOKEN_TTL_HOURS") == 0)
        return "1";
    return strcmp(name, "REDIS_URL") == 0 ? redis.url : NULL;
}

static void *greet(void *arg)
{
    (void)arg;
    played_redis_accept(&redis);
    (void)played_redis_read(&redis); /* ROLE */
    (void)played_redis_read(&redis); /* CONFIG GET */
    (void)played_redis_read(&redis); /* SET */
    played_redis_write(&redis, PLAYED_REDIS_GREETING);
    answers_to("FUNCTION LOAD REPLACE", LOADED);
    return NULL;
}

static void connects(void)
{
    pthread_t greeter;

    registry_free(&registry);
    registry = registry_new(settings, &stats);
    ck_assert_int_eq(pthread_create(&greeter, NULL, greet, NULL), 0);
    ck_assert_int_eq(registry_check(registry), REGISTRY_OK);
    ck_assert_int_eq(pthread_join(greeter, NULL), 0);
    ck_assert(registry_pipeline_open(pipeline, registry));
    ck_assert(!registry_is_connected(registry));
}

static void setup(void)
{
    played_redis_begin(&redis);
    settings =
        settings_read(SETTINGS_FCGI, url, NULL, &(const struct settings_tell){stderr, stderr});
    ck_assert_ptr_nonnull(settings);
    pipeline = registry_pipeline_new(settings, &stats);
    ck_assert_ptr_nonnull(pipeline);
    connects();
    log_open("test", LOG_LEVEL_INFO, LOG_TARGET_STDERR);
    lines = capture_log();
    now = 1000000;
}

static void teardown(void)
{
    registry_pipeline_free(&pipeline);
    registry_free(&registry);
    settings_free(&settings);
    played_redis_hang_up(&redis);
    played_redis_end(&redis);
    (void)close(lines);
}

/* ---- Answers -----------------------------------------------------------------------------------
 */

START_TEST(each_kind_has_its_answer)
{
    static const struct registration registration = {.token = "t", .platform = PLATFORM_IOS};

    ask(0, REGISTRY_CALL_SPEND);
    ask(1, REGISTRY_CALL_UNREGISTER);
    ask(2, REGISTRY_CALL_COUNT);
    ask_register(3, &registration);
    ask(4, REGISTRY_CALL_SPEND);
    sends_all();
    answers_to("FCALL mostro3_spend 1 mostro: register " HASH, ":59999999\r\n");
    answers_to("FCALL mostro3_unregister 1 mostro: " HASH, "*2\r\n$6\r\nabsent\r\n:0\r\n");
    answers_to("FCALL mostro3_count 1 mostro:", "*2\r\n:7\r\n:5\r\n");
    answers_to("FCALL mostro3_registers 1 mostro: 500000 100 3600000 1000000 43200000 500 " HASH
               " " KEY " ios t     " HASH " ",
               "*2\r\n$7\r\naddress\r\n:1999\r\n");
    answers_to("FCALL mostro3_spend", ":0\r\n");
    has_answered(5);
    ck_assert_int_eq(calls[0].result, REGISTRY_REFUSED_ADDRESS);
    ck_assert_uint_eq(calls[0].refused_for_ms, 59999);
    ck_assert_int_eq(calls[1].result, REGISTRY_NOT_FOUND);
    ck_assert_int_eq(calls[2].result, REGISTRY_OK);
    ck_assert_uint_eq(calls[2].android, 7);
    ck_assert_uint_eq(calls[2].ios, 5);
    ck_assert_int_eq(calls[3].result, REGISTRY_REFUSED_ADDRESS);
    ck_assert_uint_eq(calls[3].refused_for_ms, 1);
    ck_assert_int_eq(calls[4].result, REGISTRY_OK);
    ck_assert_uint_eq(redis_errors(), 0);
}
END_TEST

/* The places of the answers are those of the questions; what lies between parts commands. */
START_TEST(notifies_share_a_command)
{
    static const enum registry_result results[] = {
        REGISTRY_OK, REGISTRY_REFUSED_PUBKEY, REGISTRY_OK, REGISTRY_QUEUE_FULL, REGISTRY_OK,
        REGISTRY_OK, REGISTRY_REFUSED_ADDRESS};

    for (size_t i = 0; i < 7; i++)
        ask(i, i == 4 ? REGISTRY_CALL_SPEND : REGISTRY_CALL_NOTIFY);
    calls[1].address = NULL;
    sends_all();
    answers_to("FCALL mostro3_notify 1 mostro: 500000 30 2000000 10 100000 " HASH " " KEY "  " KEY
               " " HASH " " KEY " " HASH " " KEY,
               "*4\r\n:0\r\n:-1\r\n:0\r\n:-2\r\n");
    answers_to("FCALL mostro3_spend", ":0\r\n");
    answers_to("FCALL mostro3_notify", "*2\r\n:0\r\n:7000\r\n");
    has_answered(7);
    for (size_t i = 0; i < 7; i++) {
        ck_assert_uint_eq(order[i], i);
        ck_assert_int_eq(calls[i].result, results[i]);
    }
    ck_assert_uint_eq(calls[6].refused_for_ms, 7);
}
END_TEST

START_TEST(so_many_notifies_share_a_command_and_no_more)
{
    const size_t most = 64;
    char answer[16 + 64 * 4] = "*64\r\n";

    for (size_t i = 0; i < most; i++)
        strcat(answer, ":0\r\n");
    for (size_t i = 0; i < most + 1; i++)
        ask(i, REGISTRY_CALL_NOTIFY);
    sends_all();
    answers_to("FCALL mostro3_notify", answer);
    answers_to("FCALL mostro3_notify", "*1\r\n:0\r\n");
    has_answered(most + 1);
    all_are(most + 1, REGISTRY_OK);
}
END_TEST

START_TEST(an_error_or_nonsense_answers_all_notifies_of_a_command)
{
    static const struct {
        const char *said;
        enum registry_result result;
    } cases[] = {
        {"-OOM command not allowed\r\n", REGISTRY_QUEUE_FULL},
        {"*2\r\n:0\r\n:0\r\n", REGISTRY_UNAVAILABLE}, /* of three */
        {"*4\r\n:0\r\n:0\r\n:0\r\n:0\r\n", REGISTRY_UNAVAILABLE},
        {":0\r\n", REGISTRY_UNAVAILABLE},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        answers = 0;
        for (size_t j = 0; j < 3; j++)
            ask(j, REGISTRY_CALL_NOTIFY);
        sends_all();
        answers_to("FCALL mostro3_notify", cases[i].said);
        has_answered(3);
        all_are(3, cases[i].result);
    }
}
END_TEST

START_TEST(notifies_are_asked_again_together_once_the_library_is_loaded)
{
    for (size_t i = 0; i < 3; i++)
        ask(i, REGISTRY_CALL_NOTIFY);
    sends_all();
    answers_to("FCALL mostro3_notify", NOT_FOUND);
    registry_pipeline_read(pipeline);
    ck_assert_uint_eq(answers, 0);
    sends_all();
    answers_to("FUNCTION LOAD REPLACE", LOADED);
    answers_to("FCALL mostro3_notify", "*3\r\n:0\r\n:0\r\n:0\r\n");
    has_answered(3);
    all_are(3, REGISTRY_OK);
}
END_TEST

/* Each with what it asks for and what it is answered, an error included; notifies part them. */
START_TEST(registers_share_a_command)
{
    static const struct registration token = {.token = "t", .mostro_pubkey = "m"},
                                     endpoint = {.token = "https://push.example.org/1",
                                                 .p256dh = "p",
                                                 .auth = "a"};
    static const enum registry_result results[] = {
        REGISTRY_OK,   REGISTRY_REFUSED_NEW, REGISTRY_UNAVAILABLE, REGISTRY_REFUSED_ADDRESS,
        REGISTRY_FULL, REGISTRY_OK,          REGISTRY_OK};

    for (size_t i = 0; i < 7; i++)
        if (i == 5)
            ask(i, REGISTRY_CALL_NOTIFY);
        else
            ask_register(i, i == 1 ? &endpoint : &token);
    calls[0].address = NULL;
    calls[1].site = &(struct address_hash){.hex = "site"};
    sends_all();
    answers_to("FCALL mostro3_registers 1 mostro: 500000 100 3600000 1000000 43200000 500 "
               " " KEY " android t    m   " HASH " " KEY
               " android https://push.example.org/1 p a " DEVICE_ID "  " HASH " site " HASH " " KEY
               " android t    m " HASH "  " HASH,
               "*10\r\n$2\r\nok\r\n:0\r\n$3\r\nnew\r\n:9\r\n-ERR WRONGTYPE\r\n:0\r\n"
               "$7\r\naddress\r\n:7000\r\n$4\r\nfull\r\n:0\r\n");
    answers_to("FCALL mostro3_notify", "*1\r\n:0\r\n");
    answers_to("FCALL mostro3_registers", OK_WORD);
    has_answered(7);
    for (size_t i = 0; i < 7; i++) {
        ck_assert_uint_eq(order[i], i);
        ck_assert_int_eq(calls[i].result, results[i]);
        ck_assert_uint_eq(calls[i].refused_for_ms, i == 3 ? 7 : 0);
    }
    ck_assert_uint_eq(redis_errors(), 1);
    ck_assert_uint_eq(logged(lines, "Redis refused a command: ERR WRONGTYPE"), 1);
}
END_TEST

START_TEST(so_many_registers_share_a_command_and_no_more)
{
    static struct registration registration;
    const size_t most = 64;
    char answer[16 + 64 * 12] = "*128\r\n";

    memset(registration.token, 't', 1000); /* all of it fits into the socket */
    for (size_t i = 0; i < most; i++)
        strcat(answer, &OK_WORD[strlen("*2\r\n")]);
    for (size_t i = 0; i < most + 1; i++)
        ask_register(i, &registration);
    sends_all();
    answers_to("FCALL mostro3_registers", answer);
    answers_to("FCALL mostro3_registers", OK_WORD);
    has_answered(most + 1);
    all_are(most + 1, REGISTRY_OK);
}
END_TEST

START_TEST(an_error_or_nonsense_answers_all_registers_of_a_command)
{
    static const struct registration registration = {.token = "t"};
    static const struct {
        const char *said;
        enum registry_result result;
    } cases[] = {
        {"-OOM command not allowed\r\n", REGISTRY_FULL},
        {OK_WORD, REGISTRY_UNAVAILABLE}, /* of two */
        {"*6\r\n$2\r\nok\r\n:0\r\n$2\r\nok\r\n:0\r\n$2\r\nok\r\n:0\r\n", REGISTRY_UNAVAILABLE},
        {"*4\r\n:0\r\n$2\r\nok\r\n:0\r\n$2\r\nok\r\n", REGISTRY_UNAVAILABLE},
        {"*4\r\n-ERR a\r\n-ERR b\r\n-ERR a\r\n-ERR b\r\n", REGISTRY_UNAVAILABLE},
        {"*4\r\n$-1\r\n:0\r\n$3\r\nokk\r\n:0\r\n", REGISTRY_UNAVAILABLE},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        answers = 0;
        ask_register(0, &registration);
        ask_register(1, &registration);
        sends_all();
        answers_to("FCALL mostro3_registers", cases[i].said);
        has_answered(2);
        all_are(2, cases[i].result);
    }
}
END_TEST

START_TEST(all_that_is_asked_goes_out_in_one_write_and_is_answered_in_order)
{
    ask_some(CALLS / 4);
    writes = 0;
    sends_all();
    ck_assert_uint_eq(writes, 1);
    for (size_t i = 0; i < CALLS / 4; i++)
        answers_to("FCALL mostro3_unregister", OK_WORD);
    registry_pipeline_read(pipeline); /* once */
    all_are(CALLS / 4, REGISTRY_OK);
    for (size_t i = 0; i < CALLS / 4; i++)
        ck_assert_uint_eq(order[i], i);
}
END_TEST

START_TEST(an_answer_may_come_in_pieces)
{
    static const char both[] = OK_WORD "*2\r\n$7\r\naddress\r\n:2000\r\n";
    char byte[2] = "";

    ask_some(2);
    sends_all();
    for (size_t i = 0; i < sizeof both - 1; i++) {
        ck_assert_uint_eq(answers, i < strlen(OK_WORD) ? 0 : 1);
        byte[0] = both[i];
        played_redis_write(&redis, byte);
        registry_pipeline_read(pipeline);
    }
    ck_assert_uint_eq(answers, 2);
    ck_assert_int_eq(calls[1].result, REGISTRY_REFUSED_ADDRESS);
}
END_TEST

static void *read_commands(void *arg)
{
    size_t *count = arg;

    while (*count < CALLS && played_redis_read(&redis) != NULL)
        (*count)++;
    return NULL;
}

/* More than the socket takes at once. */
START_TEST(what_is_left_goes_out_when_the_socket_takes_it)
{
    const int size = 4096;
    size_t count = 0;
    pthread_t reader;

    ck_assert_int_eq(
        setsockopt(registry_pipeline_fd(pipeline), SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    ask_some(CALLS - 1);
    ck_assert(registry_pipeline_send(pipeline));
    ck_assert(registry_pipeline_send(pipeline));
    ck_assert_int_ne(fcntl(registry_pipeline_fd(pipeline), F_GETFL) & O_NONBLOCK, 0);
    ask(CALLS - 1, REGISTRY_CALL_COUNT);
    ck_assert_int_eq(pthread_create(&reader, NULL, read_commands, &count), 0);
    while (registry_pipeline_send(pipeline))
        (void)usleep(1000);
    ck_assert_int_eq(pthread_join(reader, NULL), 0);
    ck_assert_uint_eq(count, CALLS);
    ck_assert_str_eq(redis.command, "FCALL mostro3_count 1 mostro:");
    ck_assert_uint_eq(answers, 0);
}
END_TEST

static void ask_again(struct registry_call *call)
{
    answered(call);
    if (answers < 3)
        registry_pipeline_ask(pipeline, call);
}

START_TEST(an_answer_may_ask_again)
{
    ask(0, REGISTRY_CALL_COUNT);
    calls[0].answered = ask_again;
    for (int i = 0; i < 3; i++) {
        sends_all();
        answers_to("FCALL mostro3_count", "*2\r\n:1\r\n:1\r\n");
        has_answered((size_t)i + 1);
    }
    /* Where there is no connection, too. */
    answers = 0;
    ask(0, REGISTRY_CALL_COUNT);
    calls[0].answered = ask_again;
    sends_all();
    played_redis_hang_up(&redis);
    registry_pipeline_read(pipeline);
    ck_assert_uint_eq(answers, 3);
    ck_assert_int_eq(calls[0].result, REGISTRY_UNAVAILABLE);
}
END_TEST

/* ---- What goes wrong ---------------------------------------------------------------------------
 */

START_TEST(a_call_has_300_ms)
{
    ck_assert_int_eq(registry_pipeline_expire(pipeline, now), -1);
    ask(0, REGISTRY_CALL_COUNT);
    sends_all();
    now += 100;
    ask(1, REGISTRY_CALL_COUNT);
    ck_assert_int_eq(registry_pipeline_expire(pipeline, now), 200);
    ck_assert_int_eq(registry_pipeline_expire(pipeline, now + 199), 1);
    ck_assert_uint_eq(answers, 0);
    ck_assert_int_eq(registry_pipeline_expire(pipeline, now + 200), -1);
    all_are(2, REGISTRY_UNAVAILABLE);
    ck_assert(!registry_pipeline_is_open(pipeline));
    ck_assert_uint_eq(logged(lines, "cannot be used: no answer in time; waiting for it"), 1);
    ck_assert_uint_eq(redis_errors(), 2);
    /* So that a late answer is nobody's. */
    ck_assert_str_eq(played_redis_read(&redis), "FCALL mostro3_count 1 mostro:");
    ck_assert_ptr_null(played_redis_read(&redis));
    answers = 0;
    ask(0, REGISTRY_CALL_COUNT);
    all_are(1, REGISTRY_UNAVAILABLE);
}
END_TEST

START_TEST(an_answer_to_no_question_closes_the_connection)
{
    ask(0, REGISTRY_CALL_COUNT);
    sends_all();
    played_redis_write(&redis, "*2\r\n:1\r\n:1\r\n*2\r\n:9\r\n:9\r\n");
    registry_pipeline_read(pipeline);
    ck_assert_uint_eq(answers, 1);
    ck_assert_uint_eq(calls[0].android, 1);
    ck_assert(!registry_pipeline_is_open(pipeline));
    ck_assert_uint_eq(logged(lines, "it sent an answer to no question"), 1);
}
END_TEST

START_TEST(errors_that_concern_the_server_close_the_connection)
{
    static const struct {
        const char *error, *line;
    } cases[] = {
        {"-READONLY You can't write against a read only replica.\r\n", "point REDIS_URL at"},
        {"-LOADING Redis is loading the dataset in memory\r\n", "it is loading its data"},
        {"-NOAUTH Authentication required.\r\n", "it wants a password"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (i > 0)
            connects();
        now += 100000;
        answers = 0;
        ask_some(3);
        sends_all();
        answers_to("FCALL", OK_WORD);
        answers_to("FCALL", cases[i].error);
        registry_pipeline_read(pipeline);
        ck_assert_uint_eq(answers, 3);
        ck_assert_int_eq(calls[0].result, REGISTRY_OK);
        ck_assert_int_eq(calls[1].result, REGISTRY_UNAVAILABLE);
        ck_assert_int_eq(calls[2].result, REGISTRY_UNAVAILABLE);
        ck_assert(!registry_pipeline_is_open(pipeline));
        ck_assert_uint_eq(logged(lines, cases[i].line), 1);
        ck_assert_uint_eq(redis_errors(), 2);
    }
}
END_TEST

START_TEST(errors_that_concern_a_call_do_not)
{
    ask_register(0, &(struct registration){.token = "t"});
    ask(1, REGISTRY_CALL_NOTIFY);
    ask(2, REGISTRY_CALL_UNREGISTER);
    ask(3, REGISTRY_CALL_UNREGISTER);
    ask(4, REGISTRY_CALL_COUNT);
    ask(5, REGISTRY_CALL_COUNT);
    sends_all();
    answers_to("FCALL mostro3_registers", "-OOM command not allowed\r\n");
    answers_to("FCALL mostro3_notify", "-OOM command not allowed\r\n");
    answers_to("FCALL", "-ERR user_script:1: something\r\n");
    answers_to("FCALL", "-ERR user_script:1: something\r\n");
    answers_to("FCALL", "+PONG\r\n"); /* which registry.lua never gives */
    answers_to("FCALL", "*2\r\n:1\r\n:1\r\n");
    has_answered(6);
    ck_assert_int_eq(calls[0].result, REGISTRY_FULL);
    ck_assert_int_eq(calls[1].result, REGISTRY_QUEUE_FULL);
    ck_assert_int_eq(calls[2].result, REGISTRY_UNAVAILABLE);
    ck_assert_int_eq(calls[3].result, REGISTRY_UNAVAILABLE);
    ck_assert_int_eq(calls[4].result, REGISTRY_UNAVAILABLE);
    ck_assert_int_eq(calls[5].result, REGISTRY_OK);
    ck_assert(registry_pipeline_is_open(pipeline));
    ck_assert_uint_eq(logged(lines, "error: registry: "), 3); /* each kind once */
    ck_assert_uint_eq(redis_errors(), 4);
}
END_TEST

START_TEST(what_does_not_end_ends)
{
    static char many[65536];
    size_t sent = 0;

    ask(0, REGISTRY_CALL_COUNT);
    sends_all();
    answers_to("FCALL", "*65537\r\n");
    registry_pipeline_read(pipeline);
    all_are(1, REGISTRY_UNAVAILABLE);

    answers = 0;
    connects();
    ask(0, REGISTRY_CALL_COUNT);
    sends_all();
    answers_to("FCALL", "$99999999\r\n");
    memset(many, 'x', sizeof many - 1);
    while (registry_pipeline_is_open(pipeline)) {
        ssize_t n = syscall(SYS_sendto, redis.fd, many, sizeof many, MSG_DONTWAIT, NULL, 0);

        sent += n > 0 ? (size_t)n : 0;
        registry_pipeline_read(pipeline);
    }
    all_are(1, REGISTRY_UNAVAILABLE);
    ck_assert_uint_ge(sent, 8u << 20);
    ck_assert_uint_le(sent, 9u << 20);
}
END_TEST

/* The bound is on one answer, not on all that are under way. */
START_TEST(many_answers_may_be_long_together)
{
    static char text[1 << 18];
    int n = snprintf(text, sizeof text, "$%zu\r\n", sizeof text - 100);

    memset(text + n, 'x', sizeof text - 100);
    (void)snprintf(text + n + sizeof text - 100, 3, "\r\n");
    ask_some(50);
    sends_all();
    for (size_t i = 0; i < 50; i++) {
        const char *left = text;

        while (*left != '\0') {
            ssize_t sent = syscall(SYS_sendto, redis.fd, left, strlen(left), MSG_DONTWAIT, NULL, 0);

            left += sent > 0 ? sent : 0;
            registry_pipeline_read(pipeline);
        }
    }
    has_answered(50);
    ck_assert(registry_pipeline_is_open(pipeline));
}
END_TEST

/* ---- The library -------------------------------------------------------------------------------
 */

START_TEST(a_library_that_is_missing_is_loaded_once_and_the_calls_asked_again)
{
    ask_some(3);
    sends_all();
    for (size_t i = 0; i < 2; i++)
        answers_to("FCALL mostro3_unregister", NOT_FOUND);
    registry_pipeline_read(pipeline);
    ask(3, REGISTRY_CALL_COUNT);
    sends_all();
    /* The third was sent before the library. */
    answers_to("FCALL mostro3_unregister", NOT_FOUND);
    registry_pipeline_read(pipeline);
    sends_all();
    answers_to("FUNCTION LOAD REPLACE #!lua name=", LOADED);
    for (size_t i = 0; i < 2; i++)
        answers_to("FCALL mostro3_unregister", OK_WORD);
    answers_to("FCALL mostro3_count", "*2\r\n:1\r\n:1\r\n");
    answers_to("FCALL mostro3_unregister", OK_WORD);
    has_answered(4);
    all_are(4, REGISTRY_OK);
    ck_assert_uint_eq(redis_errors(), 0);
    /* Then it is missing anew. */
    answers = 0;
    ask(0, REGISTRY_CALL_UNREGISTER);
    sends_all();
    answers_to("FCALL", NOT_FOUND);
    registry_pipeline_read(pipeline);
    sends_all();
    answers_to("FUNCTION LOAD", LOADED);
    answers_to("FCALL", OK_WORD);
    has_answered(1);
    all_are(1, REGISTRY_OK);
}
END_TEST

START_TEST(a_library_that_does_not_help_is_loaded_once)
{
    ask(0, REGISTRY_CALL_UNREGISTER);
    sends_all();
    answers_to("FCALL", NOT_FOUND);
    registry_pipeline_read(pipeline);
    sends_all();
    answers_to("FUNCTION LOAD", LOADED);
    answers_to("FCALL", NOT_FOUND);
    has_answered(1);
    all_are(1, REGISTRY_UNAVAILABLE);
    ck_assert_uint_eq(logged(lines, "Redis refused a command: ERR Function not found"), 1);
    sends_all();
    ck_assert_int_eq(registry_pipeline_expire(pipeline, now), -1); /* nothing is under way */
    ck_assert(registry_pipeline_is_open(pipeline));
}
END_TEST

START_TEST(a_library_that_cannot_be_loaded_is_why)
{
    ask(0, REGISTRY_CALL_UNREGISTER);
    sends_all();
    answers_to("FCALL", NOT_FOUND);
    registry_pipeline_read(pipeline);
    sends_all();
    answers_to("FUNCTION LOAD", "-OOM command not allowed\r\n");
    answers_to("FCALL", NOT_FOUND);
    has_answered(1);
    all_are(1, REGISTRY_FULL);
    ck_assert_uint_eq(logged(lines, "error: registry: Redis is full"), 1);
}
END_TEST

/* From when it was first asked, though others were asked and answered since. */
START_TEST(a_call_that_is_asked_again_has_no_more_time)
{
    ask_some(2);
    sends_all();
    now += 250;
    ask(2, REGISTRY_CALL_UNREGISTER);
    answers_to("FCALL", NOT_FOUND);
    registry_pipeline_read(pipeline);
    sends_all();
    answers_to("FCALL", OK_WORD);
    has_answered(1);
    ck_assert_int_eq(registry_pipeline_expire(pipeline, now + 49), 1);
    ck_assert_int_eq(registry_pipeline_expire(pipeline, now + 50), -1);
    ck_assert_uint_eq(answers, 3);
    ck_assert_int_eq(calls[0].result, REGISTRY_UNAVAILABLE);
}
END_TEST

/* ---- Between two connections -------------------------------------------------------------------
 */

static void loses_an_idle_connection(void)
{
    played_redis_hang_up(&redis);
    registry_pipeline_read(pipeline);
    ck_assert(!registry_pipeline_is_open(pipeline));
    ask(0, REGISTRY_CALL_UNREGISTER);
    ck_assert_uint_eq(answers, 0);
}

START_TEST(an_idle_connection_that_redis_closes_costs_no_call)
{
    loses_an_idle_connection();
    connects();
    sends_all();
    answers_to("FCALL", OK_WORD);
    has_answered(1);
    all_are(1, REGISTRY_OK);
    ck_assert_uint_eq(logged(lines, "redis:"), 0);
}
END_TEST

START_TEST(calls_do_not_wait_for_a_connection_that_does_not_come)
{
    loses_an_idle_connection();
    registry_pipeline_give_up(pipeline);
    all_are(1, REGISTRY_UNAVAILABLE);
    ask(1, REGISTRY_CALL_UNREGISTER);
    all_are(2, REGISTRY_UNAVAILABLE);

    answers = 0;
    connects();
    loses_an_idle_connection();
    ck_assert_int_eq(registry_pipeline_expire(pipeline, now + 299), 1);
    ck_assert_int_eq(registry_pipeline_expire(pipeline, now + 300), -1);
    all_are(1, REGISTRY_UNAVAILABLE);
    ask(1, REGISTRY_CALL_UNREGISTER);
    all_are(2, REGISTRY_UNAVAILABLE);
}
END_TEST

START_TEST(a_connection_that_ends_answers_what_was_sent)
{
    ask_some(2);
    sends_all();
    answers_to("FCALL", OK_WORD);
    played_redis_hang_up(&redis);
    has_answered(2);
    ck_assert_int_eq(calls[0].result, REGISTRY_OK);
    ck_assert_int_eq(calls[1].result, REGISTRY_UNAVAILABLE);
    ck_assert_uint_eq(logged(lines, "warn: redis: "), 1);
    ask(0, REGISTRY_CALL_UNREGISTER);
    ck_assert_uint_eq(answers, 3); /* without a wait */
}
END_TEST

/* ---- What may be asked again -------------------------------------------------------------------
 */

static void is_away(size_t i, bool may_have_run)
{
    ck_assert_int_eq(calls[i].result, REGISTRY_UNAVAILABLE);
    ck_assert(calls[i].is_away);
    ck_assert(calls[i].may_have_run == may_have_run);
}

START_TEST(what_was_sent_may_have_run_when_the_connection_ends)
{
    ask_some(2);
    sends_all();
    ask(2, REGISTRY_CALL_UNREGISTER);
    answers_to("FCALL", OK_WORD);
    played_redis_hang_up(&redis);
    has_answered(3);
    ck_assert(!calls[0].is_away);
    is_away(1, true);
    is_away(2, false);
    ask(0, REGISTRY_CALL_UNREGISTER);
    is_away(0, false);
}
END_TEST

/* Redis has said of it that it has not run. */
START_TEST(what_waits_for_the_library_has_not_run)
{
    ask_some(2);
    sends_all();
    answers_to("FCALL", NOT_FOUND);
    registry_pipeline_read(pipeline);
    played_redis_hang_up(&redis);
    has_answered(2);
    is_away(0, false);
    is_away(1, true);
}
END_TEST

START_TEST(what_redis_has_answered_is_not_away)
{
    /* As when it is asked again. */
    calls[0] = (struct registry_call){.kind = REGISTRY_CALL_UNREGISTER,
                                      .key = {.hex = KEY},
                                      .answered = answered,
                                      .is_away = true,
                                      .may_have_run = true};
    registry_pipeline_ask(pipeline, &calls[0]);
    ask(1, REGISTRY_CALL_UNREGISTER);
    sends_all();
    answers_to("FCALL", "-ERR user_script:1: something\r\n");
    answers_to("FCALL", "+PONG\r\n");
    has_answered(2);
    all_are(2, REGISTRY_UNAVAILABLE);
    ck_assert(!calls[0].is_away && !calls[0].may_have_run && !calls[1].is_away);
}
END_TEST

/* ---- What a replica is to confirm --------------------------------------------------------------
 */

static void confirms(size_t count)
{
    registry_pipeline_confirm(pipeline);
    ask_some(count);
    sends_all();
    for (size_t i = 0; i < count; i++)
        answers_to("FCALL", OK_WORD);
}

static uint64_t unconfirmed(void)
{
    return stats.pending[STAT_REGISTRATIONS_UNCONFIRMED];
}

START_TEST(what_was_done_is_answered_when_a_replica_has_it)
{
    confirms(2);
    ask(2, REGISTRY_CALL_UNREGISTER);
    registry_pipeline_read(pipeline);
    sends_all();
    ck_assert_uint_eq(answers, 0);
    answers_to("WAIT 1 100", ":1\r\n");
    has_answered(2);
    all_are(2, REGISTRY_OK);
    sends_all(); /* what has waited until then */
    answers_to("FCALL", "*2\r\n$6\r\nabsent\r\n:0\r\n");
    answers_to("WAIT 1 100", ":2\r\n");
    has_answered(3);
    ck_assert_int_eq(calls[2].result, REGISTRY_NOT_FOUND);
    ck_assert_uint_eq(unconfirmed(), 0);
}
END_TEST

START_TEST(what_was_refused_waits_for_no_replica)
{
    registry_pipeline_confirm(pipeline);
    ask(0, REGISTRY_CALL_UNREGISTER);
    sends_all();
    answers_to("FCALL", "*2\r\n$7\r\naddress\r\n:1000000\r\n");
    has_answered(1);
    ck_assert_int_eq(calls[0].result, REGISTRY_REFUSED_ADDRESS);
    answers_to("WAIT 1 100", ":0\r\n");
    registry_pipeline_read(pipeline);
    ck_assert_uint_eq(unconfirmed(), 0);
    ck_assert_uint_eq(logged(lines, "registry: "), 0);
}
END_TEST

START_TEST(what_no_replica_has_is_answered_and_counted)
{
    static const struct {
        const char *answer, *line;
        unsigned lines;
    } cases[] = {
        {":0\r\n", "warn: registry: no replica has confirmed", 1},
        {"-NOPERM this user has no permissions to run the 'wait' command\r\n", "grant +wait", 1},
        {"+OK\r\n", "registry:", 0}, /* within a minute */
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        answers = 0;
        confirms(3);
        answers_to("WAIT", cases[i].answer);
        has_answered(3);
        all_are(3, REGISTRY_OK);
        ck_assert_uint_eq(unconfirmed(), 3 * (i + 1));
        ck_assert_uint_eq(logged(lines, cases[i].line), cases[i].lines);
    }
}
END_TEST

/* It may not be on any other node. */
START_TEST(what_is_not_confirmed_is_asked_again_when_the_connection_ends)
{
    confirms(2);
    registry_pipeline_read(pipeline);
    played_redis_hang_up(&redis);
    has_answered(2);
    is_away(0, true);
    is_away(1, true);
    ck_assert_uint_eq(unconfirmed(), 0);

    answers = 0;
    connects();
    confirms(1);
    answers_to("WAIT", "-UNBLOCKED force unblock from blocking operation\r\n");
    has_answered(1);
    is_away(0, true);
    ck_assert(!registry_pipeline_is_open(pipeline));
}
END_TEST

/* Redis may take 100 ms of it by itself, and what waits meanwhile must not run out of time, either:
 * Redis may be far away. */
START_TEST(a_confirmation_has_its_time)
{
    confirms(1);
    registry_pipeline_read(pipeline);
    now += 50;
    ask(1, REGISTRY_CALL_UNREGISTER);
    now += 349;
    ck_assert_int_eq(registry_pipeline_expire(pipeline, now), 1);
    answers_to("WAIT", ":1\r\n");
    has_answered(1);
    sends_all();
    ck_assert_int_eq(registry_pipeline_expire(pipeline, now + 299), 1);
    ck_assert_int_eq(registry_pipeline_expire(pipeline, now + 300), -1);
    is_away(1, true);

    answers = 0;
    connects();
    confirms(1);
    registry_pipeline_read(pipeline);
    ck_assert_int_eq(registry_pipeline_expire(pipeline, now + 400), -1);
    is_away(0, true);
}
END_TEST

UNIT_MAIN_WITH(
    "registry_pipeline", setup, teardown, each_kind_has_its_answer, notifies_share_a_command,
    so_many_notifies_share_a_command_and_no_more,
    an_error_or_nonsense_answers_all_notifies_of_a_command,
    notifies_are_asked_again_together_once_the_library_is_loaded, registers_share_a_command,
    so_many_registers_share_a_command_and_no_more,
    an_error_or_nonsense_answers_all_registers_of_a_command,
    all_that_is_asked_goes_out_in_one_write_and_is_answered_in_order, an_answer_may_come_in_pieces,
    what_is_left_goes_out_when_the_socket_takes_it, an_answer_may_ask_again, a_call_has_300_ms,
    an_answer_to_no_question_closes_the_connection,
    errors_that_concern_the_server_close_the_connection, errors_that_concern_a_call_do_not,
    what_does_not_end_ends, many_answers_may_be_long_together,
    a_library_that_is_missing_is_loaded_once_and_the_calls_asked_again,
    a_library_that_does_not_help_is_loaded_once, a_library_that_cannot_be_loaded_is_why,
    a_call_that_is_asked_again_has_no_more_time, an_idle_connection_that_redis_closes_costs_no_call,
    calls_do_not_wait_for_a_connection_that_does_not_come,
    a_connection_that_ends_answers_what_was_sent,
    what_was_sent_may_have_run_when_the_connection_ends, what_waits_for_the_library_has_not_run,
    what_redis_has_answered_is_not_away, what_was_done_is_answered_when_a_replica_has_it,
    what_was_refused_waits_for_no_replica, what_no_replica_has_is_answered_and_counted,
    what_is_not_confirmed_is_asked_again_when_the_connection_ends, a_confirmation_has_its_time)
