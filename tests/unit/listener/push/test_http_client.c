#include "push/http_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "own_certificate.h"
#include "unit.h"

/* ---- Names ------------------------------------------------------------------------------------
 */

static int hang[2] = {-1, -1};

/* 127.0.0.1 is the last of so many addresses, 127.0.0.2 the one before it. */
static unsigned addresses;

static struct addrinfo *address_new(unsigned last_octet, unsigned port, struct addrinfo *next)
{
    struct addrinfo *info = calloc(1, sizeof *info + sizeof(struct sockaddr_in));
    struct sockaddr_in *address = (struct sockaddr_in *)(info + 1);

    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address->sin_addr.s_addr = htonl(0x7f000000 + last_octet);
    *info = (struct addrinfo){.ai_family = AF_INET,
                              .ai_socktype = SOCK_STREAM,
                              .ai_protocol = IPPROTO_TCP,
                              .ai_addrlen = sizeof *address,
                              .ai_addr = (struct sockaddr *)address,
                              .ai_next = next};
    return info;
}

/* libcurl's resolver calls this one. `many.example` has `addresses`; other names return when the
 * test closes hang[1]. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **result)
{
    char byte;

    (void)hints;
    if (strcmp(node, "many.example") == 0) {
        *result = NULL;
        for (unsigned i = 1; i <= addresses; i++)
            *result = address_new(i, (unsigned)atoi(service), *result);
        return 0;
    }
    (void)!read(hang[0], &byte, 1);
    return EAI_AGAIN;
}

void freeaddrinfo(struct addrinfo *info)
{
    while (info != NULL) {
        struct addrinfo *next = info->ai_next;

        free(info);
        info = next;
    }
}

/* ---- A server that says what it is told to ----------------------------------------------------
 */

struct server {
    int fd;
    unsigned port;
    const char *answer; /* NULL: none, until the peer hangs up */
    const char *filler; /* follows it so many times */
    size_t fillers;
    unsigned connections;
    char request[8192]; /* the last one */
    SSL_CTX *tls;
    pthread_t thread;
};

static void serve(struct server *server, int fd, SSL *tls)
{
    size_t len = 0;
    ssize_t n;
    char *body;

    for (;;) {
        n = tls != NULL
                ? SSL_read(tls, server->request + len, (int)(sizeof server->request - 1 - len))
                : read(fd, server->request + len, sizeof server->request - 1 - len);
        if (n <= 0)
            return;
        len += (size_t)n;
        server->request[len] = '\0';
        body = strstr(server->request, "\r\n\r\n");
        if (body == NULL || strstr(body, "END") == NULL || server->answer == NULL)
            continue;
        if (tls != NULL)
            (void)SSL_write(tls, server->answer, (int)strlen(server->answer));
        else
            (void)!write(fd, server->answer, strlen(server->answer));
        for (size_t i = 0; i < server->fillers && tls == NULL; i++)
            if (write(fd, server->filler, strlen(server->filler)) <= 0)
                break;
        if (strstr(server->answer, "Connection: close") != NULL)
            return;
        len = 0;
    }
}

static void *serve_all(void *arg)
{
    struct server *server = arg;
    int fd;

    while ((fd = accept(server->fd, NULL, NULL)) >= 0) {
        SSL *tls = server->tls != NULL ? SSL_new(server->tls) : NULL;

        server->connections++;
        if (tls == NULL || (SSL_set_fd(tls, fd) == 1 && SSL_accept(tls) == 1))
            serve(server, fd, tls);
        SSL_free(tls);
        (void)close(fd);
    }
    return NULL;
}

static void server_start(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(server->fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(server->fd, 16), 0);
    ck_assert_int_eq(getsockname(server->fd, (struct sockaddr *)&address, &len), 0);
    server->port = ntohs(address.sin_port);
    ck_assert_int_eq(pthread_create(&server->thread, NULL, serve_all, server), 0);
}

/* The client's connections must be closed by now. */
static void server_stop(struct server *server)
{
    (void)shutdown(server->fd, SHUT_RDWR);
    (void)pthread_join(server->thread, NULL);
    (void)close(server->fd);
}

/* ---- One request ------------------------------------------------------------------------------
 */

struct outcome {
    bool done;
    struct http_answer answer;
    char body[4096];
};

static void take_answer(const struct http_answer *answer, void *arg)
{
    struct outcome *outcome = arg;

    ck_assert(!outcome->done);
    outcome->done = true;
    outcome->answer = *answer;
    ck_assert_uint_lt(answer->body_len, sizeof outcome->body);
    memcpy(outcome->body, answer->body, answer->body_len + 1);
}

static const char *const headers[] = {"Content-Type: application/json", "TTL: 86400", NULL};

static const struct http_request post = {
    .headers = headers,
    .body = "{\"a\":1} END",
    .body_len = 11,
    .connect_timeout_ms = 5000,
    .timeout_ms = 5000,
    .answer_limit = 64,
    .allow_http = true,
};

static struct http_client *client;

/* HTTP/1.1 alone, as UnifiedPush's. */
static struct http_client *new_client(const char *ca_file)
{
    const struct http_client_options options = {.ca_file = ca_file, .host_connections = 6};

    return http_client_new(&options);
}

/* As FCM's. */
static struct http_client *new_http2_client(void)
{
    const struct http_client_options options = {.http2 = true, .host_connections = 4};

    return http_client_new(&options);
}

static void finish(struct outcome *outcome)
{
    while (!outcome->done)
        http_client_wait(client, 10000);
}

/* One POST to the server, or to `url`. */
static struct outcome ask(struct http_request request, const struct server *server,
                          const char *scheme)
{
    struct outcome outcome = {0};
    char url[64];

    (void)snprintf(url, sizeof url, "%s://127.0.0.1:%u/a/../b?c", scheme, server->port);
    if (request.url == NULL)
        request.url = url;
    ck_assert(http_client_start(client, &request, take_answer, &outcome));
    finish(&outcome);
    return outcome;
}

static struct outcome ask_and_stop(struct http_request request, struct server *server)
{
    struct outcome outcome = ask(request, server, "http");

    http_client_free(&client);
    server_stop(server);
    return outcome;
}

static void setup(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setenv("http_proxy", "http://127.0.0.1:1", 1);
    (void)setenv("all_proxy", "http://127.0.0.1:1", 1);
    (void)setenv("https_proxy", "http://127.0.0.1:1", 1);
    client = new_client(NULL);
    ck_assert_ptr_nonnull(client);
}

static void teardown(void)
{
    http_client_free(&client);
}

START_TEST(a_post_arrives_as_it_was_made)
{
    struct server server = {.answer = "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n"
                                      "Retry-After: 17\r\n\r\nok"};
    struct outcome outcome;

    server_start(&server);
    outcome = ask_and_stop(post, &server);
    ck_assert_int_eq(outcome.answer.result, HTTP_ANSWERED);
    ck_assert_int_eq(outcome.answer.status, 201);
    ck_assert_str_eq(outcome.body, "ok");
    ck_assert(!outcome.answer.cut_short);
    ck_assert(!outcome.answer.timed_out);
    ck_assert(!outcome.answer.multiplexed);
    ck_assert_int_eq(outcome.answer.retry_after_ms, 17000);
    ck_assert(strncmp(server.request, "POST /a/../b?c HTTP/1.1\r\n", 25) == 0);
    ck_assert_ptr_nonnull(strstr(server.request, "\r\nTTL: 86400\r\n"));
    ck_assert_ptr_nonnull(strstr(server.request, "\r\nContent-Length: 11\r\n"));
    ck_assert_ptr_nonnull(
        strstr(server.request, "\r\nUser-Agent: mostro-push/" PACKAGE_VERSION "\r\n"));
    ck_assert_ptr_nonnull(strstr(server.request, "\r\n\r\n{\"a\":1} END"));
}
END_TEST

/* A file of passwords is somebody's who logs in here, not ours. */
START_TEST(netrc_is_not_read)
{
    struct server server = {.answer = "HTTP/1.1 204 No Content\r\n\r\n"};
    char home[] = "/tmp/test_http_client.XXXXXX", path[sizeof home + 8];
    FILE *file;

    ck_assert_ptr_nonnull(mkdtemp(home));
    (void)sprintf(path, "%s/.netrc", home);
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    (void)fputs("default login somebody password secret\n", file);
    ck_assert_int_eq(fclose(file), 0);
    (void)setenv("HOME", home, 1);
    server_start(&server);
    ck_assert_int_eq(ask_and_stop(post, &server).answer.status, 204);
    (void)unlink(path);
    (void)rmdir(home);
    ck_assert_ptr_null(strcasestr(server.request, "authorization"));
}
END_TEST

START_TEST(cookies_are_not_kept)
{
    struct server server = {.answer = "HTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\n\r\n"};

    server_start(&server);
    ck_assert_int_eq(ask(post, &server, "http").answer.status, 204);
    ck_assert_int_eq(ask_and_stop(post, &server).answer.status, 204);
    ck_assert_ptr_null(strcasestr(server.request, "cookie"));
}
END_TEST

START_TEST(connections_are_kept)
{
    struct server server = {.answer = "HTTP/1.1 204 No Content\r\n\r\n"};

    server_start(&server);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(ask(post, &server, "http").answer.status, 204);
    http_client_free(&client);
    server_stop(&server);
    ck_assert_uint_eq(server.connections, 1);
}
END_TEST

START_TEST(requests_have_their_own_headers)
{
    static const char *const lists[][4] = {
        {"A: 1", "B: 1", NULL}, {"A: 1", "B: 1", NULL}, {"A: 1", NULL}, {"A: 1", "B: 1", NULL},
        {"A: 1", "B: 2", NULL}, {"B: 2", "A: 1", NULL}, {NULL},         {"A: 1", NULL},
    };
    struct server server = {.answer = "HTTP/1.1 204 No Content\r\n\r\n"};
    struct http_request request = post;

    server_start(&server);
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        const char *a, *b;

        request.headers = lists[i];
        (void)ask(request, &server, "http");
        a = strstr(server.request, "\r\nA: ");
        b = strstr(server.request, "\r\nB: ");
        ck_assert_msg((a != NULL) == (i != 6), "%zu", i);
        ck_assert_msg((b != NULL) == (i != 2 && i < 6), "%zu", i);
        ck_assert(b == NULL || b[5] == (i < 4 ? '1' : '2'));
        ck_assert(a == NULL || b == NULL || (a < b) == (i != 5));
    }
    http_client_free(&client);
    server_stop(&server);
}
END_TEST

/* Those of a request last until it has ended, whatever has been asked since. */
START_TEST(headers_outlive_the_next_request)
{
    static const char *const others[] = {"Other: 1", NULL};
    struct server server = {.answer = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"};
    struct http_request request = post;
    struct outcome first = {0}, second = {0};
    char url[64];

    server_start(&server);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", server.port);
    request.url = url;
    ck_assert(http_client_start(client, &request, take_answer, &first));
    request.headers = others;
    ck_assert(http_client_start(client, &request, take_answer, &second));
    finish(&first);
    finish(&second);
    ck_assert_int_eq(first.answer.status, 204);
    ck_assert_int_eq(second.answer.status, 204);
    http_client_free(&client);
    server_stop(&server);
    ck_assert_ptr_nonnull(strstr(server.request, "\r\nOther: 1\r\n"));
    ck_assert_ptr_null(strstr(server.request, "\r\nTTL: "));
}
END_TEST

START_TEST(redirects_are_not_followed)
{
    struct server server = {.answer = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\n"
                                      "Content-Length: 0\r\nConnection: close\r\n\r\n"};

    server_start(&server);
    ck_assert_int_eq(ask_and_stop(post, &server).answer.status, 307);
    ck_assert_uint_eq(server.connections, 1);
}
END_TEST

START_TEST(answers_are_bounded)
{
    struct server server = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n"
                                      "Connection: close\r\n\r\n",
                            .filler = "x",
                            .fillers = 100000};
    struct outcome outcome;

    server_start(&server);
    outcome = ask_and_stop(post, &server);
    ck_assert_int_eq(outcome.answer.result, HTTP_ANSWERED);
    ck_assert_int_eq(outcome.answer.status, 200);
    ck_assert_uint_eq(outcome.answer.body_len, 64);
    ck_assert(outcome.answer.cut_short);
}
END_TEST

START_TEST(a_status_counts_though_the_body_is_cut_short)
{
    struct server server = {.answer = "HTTP/1.1 410 Gone\r\nContent-Length: 100\r\n"
                                      "Connection: close\r\n\r\nabc"};
    struct outcome outcome;

    server_start(&server);
    outcome = ask_and_stop(post, &server);
    ck_assert_int_eq(outcome.answer.result, HTTP_ANSWERED);
    ck_assert_int_eq(outcome.answer.status, 410);
    ck_assert_str_eq(outcome.body, "abc");
    ck_assert(outcome.answer.cut_short);
    ck_assert(!outcome.answer.timed_out);
}
END_TEST

/* What is said before the answer is not yet the answer. */
START_TEST(interim_answers_count_for_nothing)
{
    struct server server = {.answer = "HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n"
                                      "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n"
                                      "Connection: close\r\n\r\n"};
    struct server never = {.answer = "HTTP/1.1 103 Early Hints\r\nLink: Connection: close\r\n\r\n"};
    struct outcome outcome;

    server_start(&server);
    outcome = ask(post, &server, "http");
    ck_assert_int_eq(outcome.answer.status, 503);
    ck_assert_int_eq(outcome.answer.retry_after_ms, -1);
    server_start(&never);
    ck_assert_int_eq(ask_and_stop(post, &never).answer.result, HTTP_BROKEN);
    server_stop(&server);
}
END_TEST

START_TEST(an_answer_that_trickles_has_timed_out)
{
    struct server server = {.answer = "HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\nabc"};
    struct http_request request = post;
    struct outcome outcome;

    request.timeout_ms = 150;
    server_start(&server);
    outcome = ask_and_stop(request, &server);
    ck_assert_int_eq(outcome.answer.result, HTTP_ANSWERED);
    ck_assert_int_eq(outcome.answer.status, 503);
    ck_assert(outcome.answer.cut_short);
    ck_assert(outcome.answer.timed_out);
}
END_TEST

START_TEST(endless_headers_are_cut_off)
{
    struct server server = {
        .answer = "HTTP/1.1 200 OK\r\n", .filler = "X: y\r\n", .fillers = 10000};

    server_start(&server);
    ck_assert_int_eq(ask_and_stop(post, &server).answer.result, HTTP_BROKEN);
}
END_TEST

#define REQUESTS_MAX 8

/* How many connections so many requests make to somebody who does not even speak TLS. */
static unsigned connections_to_silence(bool shares, size_t requests)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    struct http_request request = post;
    struct outcome outcomes[REQUESTS_MAX] = {{0}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), accepted[REQUESTS_MAX];
    unsigned n = 0;
    char url[64];

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(fd, 16), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/", ntohs(address.sin_port));
    request.url = url;
    request.timeout_ms = 60000; /* a request that timed out would leave its place to another */
    request.shares_connection = shares;
    for (size_t i = 0; i < requests; i++)
        ck_assert(http_client_start(client, &request, take_answer, &outcomes[i]));
    for (int round = 0; round < 50; round++) /* far more than connecting takes */
        http_client_wait(client, 5);
    http_client_cancel_all(client);
    while (n < REQUESTS_MAX && (accepted[n] = accept(fd, NULL, NULL)) >= 0)
        n++;
    for (unsigned i = 0; i < n; i++)
        (void)close(accepted[i]);
    (void)close(fd);
    return n;
}

/* Those that wait for a connection do so in one line, strangers' hosts and FCM. */
START_TEST(only_who_shares_a_connection_waits_for_one)
{
    http_client_free(&client);
    client = new_http2_client();
    ck_assert_uint_eq(connections_to_silence(false, 3), 3);
    ck_assert_uint_lt(connections_to_silence(true, 3), 3);
}
END_TEST

START_TEST(a_host_has_few_connections)
{
    ck_assert_uint_eq(connections_to_silence(false, REQUESTS_MAX), 6);
    http_client_free(&client);
    client = new_http2_client();
    ck_assert_uint_eq(connections_to_silence(false, REQUESTS_MAX), 4);
}
END_TEST

START_TEST(silence_times_out)
{
    struct server server = {.answer = NULL};
    struct http_request request = post;
    int64_t begun = clock_monotonic_ms();
    struct outcome outcome;

    request.timeout_ms = 150;
    server_start(&server);
    outcome = ask_and_stop(request, &server);
    ck_assert_int_eq(outcome.answer.result, HTTP_TIMED_OUT);
    ck_assert(outcome.answer.timed_out);
    ck_assert_int_lt(clock_monotonic_ms() - begun, 3000);
}
END_TEST

START_TEST(nobody_there_is_unreachable)
{
    struct server server = {0};
    struct outcome outcome;

    server_start(&server);
    server_stop(&server);
    outcome = ask(post, &server, "http");
    ck_assert_int_eq(outcome.answer.result, HTTP_UNREACHABLE);
    ck_assert(!outcome.answer.timed_out);
}
END_TEST

START_TEST(garbage_is_broken)
{
    struct server server = {.answer = "220 mail.example ESMTP Connection: close\r\n"};

    server_start(&server);
    ck_assert_int_eq(ask_and_stop(post, &server).answer.result, HTTP_BROKEN);
}
END_TEST

START_TEST(only_urls_of_admitted_schemes)
{
    static const char *const urls[] = {"http://127.0.0.1:1/", "ftp://127.0.0.1/",
                                       "file:///etc/passwd",  "https://",
                                       "nonsense://x",        ""};
    struct server nobody = {0};
    struct http_request request = post;

    request.allow_http = false;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        request.url = urls[i];
        ck_assert_int_eq(ask(request, &nobody, "").answer.result, HTTP_INVALID);
    }
}
END_TEST

static bool refuse(const struct sockaddr *address, socklen_t len)
{
    (void)address, (void)len;
    return false;
}

START_TEST(refused_addresses_are_not_connected_to)
{
    struct server server = {.answer = "HTTP/1.1 204 No Content\r\n\r\n"};
    struct http_request request = post;

    request.address_check = refuse;
    server_start(&server);
    ck_assert_int_eq(ask(request, &server, "http").answer.result, HTTP_ADDRESS_REFUSED);
    /* Nor is a connection used that another request has opened. */
    ck_assert_int_eq(ask(post, &server, "http").answer.status, 204);
    server.request[0] = '\0';
    ck_assert_int_eq(ask(request, &server, "http").answer.result, HTTP_ADDRESS_REFUSED);
    http_client_free(&client);
    server_stop(&server);
    ck_assert_str_eq(server.request, "");
    ck_assert_uint_eq(server.connections, 1); /* they are accepted one after the other */
}
END_TEST

static unsigned tried;

static bool count_tries(const struct sockaddr *address, socklen_t len)
{
    (void)address;
    (void)len;
    tried++;
    return true;
}

/* Whatever a name's owner says: each would cost a socket. */
START_TEST(four_addresses_are_tried)
{
    struct http_request request = post;
    struct server server = {.port = 1}; /* nobody listens */
    struct outcome outcome;

    addresses = 50;
    request.url = "http://many.example:1/";
    request.address_check = count_tries;
    outcome = ask(request, &server, "http");
    ck_assert_int_eq(outcome.answer.result, HTTP_UNREACHABLE);
    ck_assert_uint_eq(tried, 4);
}
END_TEST

START_TEST(a_name_that_hangs_holds_nobody_up)
{
    struct server server = {.answer = "HTTP/1.1 204 No Content\r\n\r\n"};
    struct http_request request = post;
    struct outcome hung = {0};
    int64_t begun = clock_monotonic_ms();

    ck_assert_int_eq(pipe(hang), 0);
    server_start(&server);
    request.url = "http://hangs.example/";
    request.connect_timeout_ms = 100;
    ck_assert(http_client_start(client, &request, take_answer, &hung));
    ck_assert_int_eq(ask(post, &server, "http").answer.status, 204);
    finish(&hung);
    ck_assert_int_eq(hung.answer.result, HTTP_UNREACHABLE);
    ck_assert(hung.answer.timed_out);
    hung.done = false;
    ck_assert(http_client_start(client, &request, take_answer, &hung));
    http_client_cancel_all(client);
    ck_assert_int_eq(hung.answer.result, HTTP_CANCELLED);
    http_client_free(&client);
    ck_assert_int_lt(clock_monotonic_ms() - begun, 3000);
    (void)close(hang[1]);
    server_stop(&server);
}
END_TEST

static void *wake_up(void *arg)
{
    http_client_wakeup(arg);
    return NULL;
}

START_TEST(another_thread_can_wake_it)
{
    int64_t begun = clock_monotonic_ms();
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, wake_up, client), 0);
    http_client_wait(client, 20000);
    (void)pthread_join(thread, NULL);
    ck_assert_int_lt(clock_monotonic_ms() - begun, 10000);
}
END_TEST

START_TEST(cancelling_calls_back)
{
    struct server server = {.answer = NULL};
    struct http_request request = post;
    struct outcome outcome = {0};
    char url[64];

    server_start(&server);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", server.port);
    request.url = url;
    ck_assert(http_client_start(client, &request, take_answer, &outcome));
    http_client_cancel_all(client);
    ck_assert(outcome.done);
    ck_assert_int_eq(outcome.answer.result, HTTP_CANCELLED);
    http_client_free(&client);
    server_stop(&server);
}
END_TEST

/* ---- TLS ---------------------------------------------------------------------------------------
 */

static char certificate_path[] = "/tmp/test_http_client.XXXXXX";

START_TEST(tls_is_verified_with_the_operators_file_too)
{
    struct server server = {.answer = "HTTP/1.1 204 No Content\r\n\r\n"};
    FILE *file = fdopen(mkstemp(certificate_path), "w");

    /* It may hold several. */
    SSL_CTX_free(tls_of_its_own("IP:127.0.0.3", file));
    server.tls = tls_of_its_own("IP:127.0.0.1", file);
    ck_assert_int_eq(fclose(file), 0);
    server_start(&server);
    ck_assert_int_eq(ask(post, &server, "https").answer.result, HTTP_UNREACHABLE);
    http_client_free(&client);
    client = new_client(certificate_path);
    (void)unlink(certificate_path);
    ck_assert_ptr_nonnull(client);
    ck_assert_int_eq(ask(post, &server, "https").answer.status, 204);
    http_client_free(&client);
    server_stop(&server);
    SSL_CTX_free(server.tls);
    ck_assert_ptr_null(new_client("/nonexistent"));
    ck_assert_ptr_null(new_client("/dev/null"));
}
END_TEST

/* It is trusted, but a connection would cost us much (see tls_policy.h). */
START_TEST(a_costly_key_exchange_is_refused)
{
    struct server server = {.answer = "HTTP/1.1 204 No Content\r\n\r\n"};
    FILE *file = fdopen(mkstemp(certificate_path), "w");

    server.tls = tls_of_its_own("IP:127.0.0.1", file);
    ck_assert_int_eq(fclose(file), 0);
    http_client_free(&client);
    client = new_client(certificate_path);
    (void)unlink(certificate_path);
    ck_assert_int_eq(SSL_CTX_set_max_proto_version(server.tls, TLS1_2_VERSION), 1);
    ck_assert_int_eq(SSL_CTX_set_dh_auto(server.tls, 1), 1);
    ck_assert_int_eq(SSL_CTX_set_cipher_list(server.tls, "DHE-RSA-AES128-GCM-SHA256"), 1);
    server_start(&server);
    ck_assert_int_eq(ask(post, &server, "https").answer.result, HTTP_UNREACHABLE);
    ck_assert_int_eq(SSL_CTX_set_cipher_list(server.tls, "ECDHE-RSA-AES128-GCM-SHA256"), 1);
    ck_assert_int_eq(ask(post, &server, "https").answer.status, 204);
    http_client_free(&client);
    server_stop(&server);
    SSL_CTX_free(server.tls);
}
END_TEST

START_TEST(a_certificate_is_for_one_name)
{
    struct server server = {.answer = "HTTP/1.1 204 No Content\r\n\r\n"};
    FILE *file = fdopen(mkstemp(certificate_path), "w");

    server.tls = tls_of_its_own("IP:127.0.0.2", file);
    ck_assert_int_eq(fclose(file), 0);
    http_client_free(&client);
    client = new_client(certificate_path);
    (void)unlink(certificate_path);
    server_start(&server);
    ck_assert_int_eq(ask(post, &server, "https").answer.result, HTTP_UNREACHABLE);
    http_client_free(&client);
    server_stop(&server);
    SSL_CTX_free(server.tls);
    ck_assert_str_eq(server.request, "");
}
END_TEST

/* ---- Retry-After -------------------------------------------------------------------------------
 */

static int64_t retry_after(const char *text)
{
    return http_client_retry_after(text, strlen(text), 784111777); /* the RFC's example */
}

START_TEST(retry_after_is_seconds_or_a_date)
{
    ck_assert_int_eq(retry_after("120"), 120000);
    ck_assert_int_eq(retry_after(" 0\r\n"), 0);
    ck_assert_int_eq(retry_after("\t120 \t\r\n"), 120000);
    ck_assert_int_eq(retry_after("99999999999999999999"), 86400000);
    ck_assert_int_eq(retry_after("Sun, 06 Nov 1994 08:50:37 GMT"), 60000);
    ck_assert_int_eq(retry_after(" Sunday, 06-Nov-94 08:50:37 GMT\r\n"), 60000);
    ck_assert_int_eq(retry_after("Sun Nov  6 08:50:37 1994"), 60000);
    ck_assert_int_eq(retry_after("Sun, 06 Nov 1994 08:00:00 GMT"), 0);
    ck_assert_int_eq(retry_after("Sun, 06 Nov 2094 08:00:00 GMT"), 86400000);
    ck_assert_int_eq(retry_after(""), -1);
    ck_assert_int_eq(retry_after("-1"), -1);
    ck_assert_int_eq(retry_after("1.5"), -1);
    ck_assert_int_eq(retry_after("soon"), -1);
    ck_assert_int_eq(http_client_retry_after("1\0", 2, 0), -1);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_post_arrives_as_it_was_made,
                                  netrc_is_not_read,
                                  cookies_are_not_kept,
                                  connections_are_kept,
                                  requests_have_their_own_headers,
                                  headers_outlive_the_next_request,
                                  redirects_are_not_followed,
                                  answers_are_bounded,
                                  a_status_counts_though_the_body_is_cut_short,
                                  interim_answers_count_for_nothing,
                                  an_answer_that_trickles_has_timed_out,
                                  endless_headers_are_cut_off,
                                  only_who_shares_a_connection_waits_for_one,
                                  a_host_has_few_connections,
                                  silence_times_out,
                                  nobody_there_is_unreachable,
                                  garbage_is_broken,
                                  only_urls_of_admitted_schemes,
                                  refused_addresses_are_not_connected_to,
                                  four_addresses_are_tried,
                                  a_name_that_hangs_holds_nobody_up,
                                  another_thread_can_wake_it,
                                  cancelling_calls_back,
                                  a_costly_key_exchange_is_refused,
                                  tls_is_verified_with_the_operators_file_too,
                                  a_certificate_is_for_one_name,
                                  retry_after_is_seconds_or_a_date};
    Suite *suite = suite_create("http_client");
    TCase *tcase = tcase_create("http_client");

    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
