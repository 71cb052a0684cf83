/* Answers over HTTP/2, frame by frame: of every size and cut, for several requests at once. */
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "own_certificate.h"
#include "push/http_client.h"
#include "unit.h"

#define REQUESTS_MAX 4
#define FRAME_MAX    16384
#define OUT_SIZE     (4 * 1024 * 1024)
#define TIMEOUT_MS   8000
#define STALLED_MS   4000 /* an answer that takes so long has waited for a timer */
#define HEADER_VALUE 3000 /* one of so many bytes, a single byte on the wire from the second on */
#define SHORT_ANSWER 100

/* RFC 9113 section 6 */
enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, GOAWAY = 7 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

/* ---- The server ------------------------------------------------------------------------------ */

/* What it does with the next requests, once there are so many of them. */
static struct plan {
    unsigned requests;
    size_t body; /* of each answer */
    size_t frame;
    bool with_length;
    bool with_header; /* of HEADER_VALUE bytes */
    bool interleaved; /* a frame of each answer in turn, else one answer after the other */
    unsigned first;   /* whose answer comes first */
    size_t first_body;
    unsigned instead; /* of answers: a frame of this type, and the connection ends */
} plan;

static struct {
    int fd;
    unsigned port;
    unsigned connections;
    SSL_CTX *tls;
    pthread_t thread;
} server;

struct connection {
    SSL *ssl;
    bool header_sent;
    unsigned waiting[REQUESTS_MAX], count; /* streams */
};

static uint8_t body[1024 * 1024], out[OUT_SIZE];
static size_t out_len;

static void put_number(uint8_t *at, size_t bytes, size_t number)
{
    while (bytes-- > 0) {
        at[bytes] = (uint8_t)number;
        number >>= 8;
    }
}

static size_t number_at(const uint8_t *at, size_t bytes)
{
    size_t number = 0;

    while (bytes-- > 0)
        number = number << 8 | *at++;
    return number;
}

static void add_frame(unsigned type, unsigned flags, unsigned stream, const void *data, size_t len)
{
    uint8_t *at = out + out_len;

    ck_assert_uint_lt(out_len + 9 + len, sizeof out);
    put_number(at, 3, len);
    at[3] = (uint8_t)type;
    at[4] = (uint8_t)flags;
    put_number(at + 5, 4, stream);
    if (len > 0)
        memcpy(at + 9, data, len);
    out_len += 9 + len;
}

static void flush(SSL *ssl)
{
    if (out_len > 0)
        (void)SSL_write(ssl, out, (int)out_len);
    out_len = 0;
}

static size_t body_of(unsigned i)
{
    return i == plan.first && plan.first_body > 0 ? plan.first_body : plan.body;
}

/* RFC 7541: `:status 200`, a length in plain digits, and one more, indexed the first time. */
static void add_headers(struct connection *connection, unsigned stream, size_t length)
{
    uint8_t block[HEADER_VALUE + 64] = {0x88};
    size_t n = 1;

    if (plan.with_length) {
        block[n++] = 0x0f;
        block[n++] = 0x0d;
        block[n] = (uint8_t)snprintf((char *)block + n + 1, 32, "%zu", length);
        n += 1 + block[n];
    }
    if (plan.with_header && connection->header_sent) {
        block[n++] = 0x80 | 62;
    } else if (plan.with_header) {
        size_t more = HEADER_VALUE - 127;

        block[n++] = 0x40;
        block[n++] = 1;
        block[n++] = 'x';
        block[n++] = 0x7f;
        block[n++] = (uint8_t)(0x80 | (more & 0x7f));
        block[n++] = (uint8_t)(more >> 7);
        memset(block + n, 'y', HEADER_VALUE);
        n += HEADER_VALUE;
        connection->header_sent = true;
    }
    add_frame(HEADERS, END_HEADERS, stream, block, n);
}

/* The next frame of its body; false after the last. */
static bool add_data(unsigned stream, size_t size, size_t *at)
{
    size_t len = size - *at < plan.frame ? size - *at : plan.frame;
    bool last = *at + len == size;

    add_frame(DATA, last ? END_STREAM : 0, stream, body + *at, len);
    *at += len;
    return !last;
}

static void answer(struct connection *connection)
{
    size_t at[REQUESTS_MAX] = {0};
    bool left[REQUESTS_MAX] = {false}, any = true;

    for (unsigned n = 0; n < connection->count; n++) {
        unsigned i = (plan.first + n) % connection->count;

        add_headers(connection, connection->waiting[i], body_of(i));
        left[i] = true;
        while (!plan.interleaved && left[i])
            left[i] = add_data(connection->waiting[i], body_of(i), &at[i]);
    }
    while (any) {
        any = false;
        for (unsigned i = 0; i < connection->count; i++)
            if (left[i])
                any |= left[i] = add_data(connection->waiting[i], body_of(i), &at[i]);
    }
}

/* False: the connection ends. */
static bool serve_requests(struct connection *connection)
{
    uint8_t data[8] = {0};
    unsigned last = connection->waiting[connection->count - 1];

    if (plan.instead == RST_STREAM)
        add_frame(RST_STREAM, 0, last, "\0\0\0\2", 4); /* INTERNAL_ERROR */
    else if (plan.instead == GOAWAY) {
        put_number(data, 4, last);
        data[7] = 11; /* ENHANCE_YOUR_CALM */
        add_frame(GOAWAY, 0, 0, data, sizeof data);
    } else if (plan.instead == 0)
        answer(connection);
    flush(connection->ssl);
    connection->count = 0;
    return plan.instead == 0;
}

static bool take_frame(struct connection *connection, const uint8_t *frame)
{
    unsigned type = frame[3], flags = frame[4];

    if (type == SETTINGS && !(flags & ACK)) {
        add_frame(SETTINGS, ACK, 0, NULL, 0);
        flush(connection->ssl);
    }
    if ((type == DATA || type == HEADERS) && (flags & END_STREAM)) {
        connection->waiting[connection->count++] = (unsigned)number_at(frame + 5, 4);
        if (connection->count == plan.requests)
            return serve_requests(connection);
    }
    return true;
}

static void serve(SSL *ssl)
{
    static const size_t preface = 24;
    static uint8_t in[256 * 1024];
    struct connection connection = {.ssl = ssl};
    size_t len = 0, at = 0;
    int n;

    add_frame(SETTINGS, 0, 0, NULL, 0);
    flush(ssl);
    while ((n = SSL_read(ssl, in + len, (int)(sizeof in - len))) > 0) {
        len += (size_t)n;
        if (at == 0 && len >= preface)
            at = preface;
        while (at > 0 && len - at >= 9 && len - at >= 9 + number_at(in + at, 3)) {
            if (!take_frame(&connection, in + at))
                return;
            at += 9 + number_at(in + at, 3);
        }
        ck_assert_uint_lt(len, sizeof in);
    }
}

static void *serve_all(void *arg)
{
    int fd;

    while ((fd = accept(server.fd, NULL, NULL)) >= 0) {
        SSL *ssl = SSL_new(server.tls);

        server.connections++;
        if (SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1)
            serve(ssl);
        SSL_free(ssl);
        (void)close(fd);
    }
    return arg;
}

static int choose_http2(SSL *ssl, const unsigned char **chosen, unsigned char *len,
                        const unsigned char *offered, unsigned offered_len, void *arg)
{
    (void)ssl, (void)arg;
    return SSL_select_next_proto((unsigned char **)chosen, len, (const unsigned char *)"\x02h2", 3,
                                 offered, offered_len) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- The client ------------------------------------------------------------------------------ */

static struct http_client *client;

static void setup(void)
{
    char path[] = "/tmp/test_http2_answers.XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;

    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)(i % 251);
    server.tls = tls_of_its_own("IP:127.0.0.1", file);
    ck_assert_int_eq(fclose(file), 0);
    SSL_CTX_set_alpn_select_cb(server.tls, choose_http2, NULL);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(server.fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(server.fd, 16), 0);
    ck_assert_int_eq(getsockname(server.fd, (struct sockaddr *)&address, &len), 0);
    server.port = ntohs(address.sin_port);
    server.connections = 0;
    ck_assert_int_eq(pthread_create(&server.thread, NULL, serve_all, NULL), 0);
    client = http_client_new(
        &(struct http_client_options){.ca_file = path, .http2 = true, .host_connections = 4});
    ck_assert_ptr_nonnull(client);
    (void)unlink(path);
}

static void teardown(void)
{
    http_client_free(&client);
    (void)shutdown(server.fd, SHUT_RDWR);
    (void)pthread_join(server.thread, NULL);
    (void)close(server.fd);
    SSL_CTX_free(server.tls);
}

struct outcome {
    bool done;
    struct http_answer answer;
    bool is_whole; /* as far as it goes */
    int64_t at_ms;
};

static void take_answer(const struct http_answer *answer, void *arg)
{
    struct outcome *outcome = arg;

    outcome->done = true;
    outcome->answer = *answer;
    outcome->is_whole = memcmp(answer->body, body, answer->body_len) == 0;
    outcome->at_ms = clock_monotonic_ms();
}

/* As many requests at once as the plan wants. */
static void ask(struct outcome outcomes[REQUESTS_MAX], size_t limit)
{
    static const char *const headers[] = {"TTL: 86400", NULL};
    char url[64];
    const struct http_request request = {
        .url = url,
        .headers = headers,
        .body = "x",
        .body_len = 1,
        .connect_timeout_ms = TIMEOUT_MS,
        .timeout_ms = TIMEOUT_MS,
        .answer_limit = limit,
        .shares_connection = true,
    };
    int64_t begun = clock_monotonic_ms();

    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/", server.port);
    memset(outcomes, 0, REQUESTS_MAX * sizeof *outcomes);
    for (unsigned i = 0; i < plan.requests; i++)
        ck_assert(http_client_start(client, &request, take_answer, &outcomes[i]));
    for (unsigned i = 0; i < plan.requests; i++)
        while (!outcomes[i].done)
            http_client_wait(client, TIMEOUT_MS);
    for (unsigned i = 0; i < plan.requests; i++)
        outcomes[i].at_ms -= begun;
}

static void expect_whole(const struct outcome *outcome, size_t size)
{
    ck_assert_msg(outcome->at_ms < STALLED_MS && !outcome->answer.timed_out,
                  "%zu bytes in frames of %zu stalled, %s length", size, plan.frame,
                  plan.with_length ? "with" : "without");
    ck_assert_int_eq(outcome->answer.result, HTTP_ANSWERED);
    ck_assert_int_eq(outcome->answer.status, 200);
    ck_assert(outcome->answer.multiplexed);
    ck_assert(!outcome->answer.cut_short);
    ck_assert_uint_eq(outcome->answer.body_len, size);
    ck_assert(outcome->is_whole);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static const size_t sizes[] = {0, 1, 1023, 1024, 4096, 16200, 16375, 16384, 16385, 32768, 65536};
static const size_t frames[] = {1, 100, 1024, 16367, FRAME_MAX};

/* libcurl puts headers and body into one buffer, and there, too, what arrives for one request while
 * it reads for another. */
START_TEST(answers_arrive_at_once)
{
    struct outcome outcomes[REQUESTS_MAX];

    plan = (struct plan){
        .requests = _i & 1 ? REQUESTS_MAX : 1, .with_header = _i & 2, .interleaved = _i & 4};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t j = 0; j < sizeof frames / sizeof frames[0]; j++)
            for (int with_length = 0; with_length < 2; with_length++) {
                plan.body = sizes[i];
                plan.frame = frames[j];
                plan.with_length = with_length == 1;
                if (plan.frame == 1 && plan.body > 4096)
                    continue;
                ask(outcomes, HTTP_CLIENT_ANSWER_MAX);
                for (unsigned k = 0; k < plan.requests; k++)
                    expect_whole(&outcomes[k], plan.body);
            }
    ck_assert_uint_eq(server.connections, 1);
}
END_TEST

/* One answer is over its limit, by so much that libcurl's buffer may not hold it. */
START_TEST(a_long_answer_holds_up_no_other)
{
    static const size_t limit = 4096;
    struct outcome outcomes[REQUESTS_MAX];

    plan = (struct plan){
        .requests = 3, .body = SHORT_ANSWER, .frame = FRAME_MAX, .first = (unsigned)_i};
    for (size_t size = limit + 1; size < 160000; size += 1777) {
        plan.first_body = size;
        ask(outcomes, limit);
        for (unsigned i = 0; i < plan.requests; i++) {
            if (i != plan.first) {
                expect_whole(&outcomes[i], SHORT_ANSWER);
                continue;
            }
            ck_assert_int_lt(outcomes[i].at_ms, STALLED_MS);
            ck_assert_int_eq(outcomes[i].answer.result, HTTP_ANSWERED);
            ck_assert(outcomes[i].answer.cut_short && !outcomes[i].answer.timed_out);
            ck_assert_uint_eq(outcomes[i].answer.body_len, limit);
        }
    }
    ck_assert_uint_eq(server.connections, 1);
}
END_TEST

/* libcurl has two errors for it, by who ends what. */
START_TEST(a_connection_that_ends_is_replaced)
{
    static const unsigned instead[] = {RST_STREAM, GOAWAY, SETTINGS /* nothing is said */};
    struct outcome outcomes[REQUESTS_MAX];

    for (size_t i = 0; i < sizeof instead / sizeof instead[0]; i++) {
        plan = (struct plan){.requests = 1, .instead = instead[i]};
        ask(outcomes, 64);
        ck_assert_int_eq(outcomes[0].answer.result, HTTP_BROKEN);
        ck_assert(!outcomes[0].answer.timed_out);
        plan = (struct plan){.requests = 1, .body = 10, .frame = 10};
        ask(outcomes, 64);
        expect_whole(&outcomes[0], 10);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http2_answers");
    TCase *tcase = tcase_create("http2_answers");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, answers_arrive_at_once, 0, 8);
    tcase_add_loop_test(tcase, a_long_answer_holds_up_no_other, 0, 3);
    tcase_add_test(tcase, a_connection_that_ends_is_replaced);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
