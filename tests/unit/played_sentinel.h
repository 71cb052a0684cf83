/* played_sentinel: a Sentinel at a port of 127.0.0.1, which answers whoever connects, in a thread
 * of its own, what the test has told it to. */
#ifndef MOSTRO_PLAYED_SENTINEL_H
#define MOSTRO_PLAYED_SENTINEL_H

#include <arpa/inet.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"

#define PLAYED_SENTINEL_MAX 8 /* connections; one more ends the test */

struct played_connection {
    int fd;
    bool hears;
    redisReader *reader;
};

struct played_sentinel {
    int port;
    int listening;
    int alarm[2]; /* written to where connections are to end */
    pthread_t thread;
    pthread_mutex_t lock;
    /* Under the lock: */
    bool ends, is_silent;
    unsigned asked;       /* times SENTINEL REPLICAS was */
    size_t hearing;       /* connections that have subscribed */
    char answers[3][256]; /* to SENTINEL MASTER, GET-MASTER-ADDR-BY-NAME and REPLICAS */
    struct played_connection connections[PLAYED_SENTINEL_MAX];
};

/* ---- The thread -------------------------------------------------------------------------------
 */

static void played_sentinel_say(const struct played_connection *connection, const char *bytes)
{
    (void)send(connection->fd, bytes, strlen(bytes), MSG_NOSIGNAL);
}

static void played_sentinel_answer(struct played_sentinel *sentinel,
                                   struct played_connection *connection, const redisReply *words)
{
    static const char *const questions[] = {"MASTER", "GET-MASTER-ADDR-BY-NAME", "REPLICAS"};
    const char *command = words->element[0]->str;

    if (sentinel->is_silent)
        return;
    if (strcmp(command, "SUBSCRIBE") == 0) {
        played_sentinel_say(connection, "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
                                        "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n");
        connection->hears = true;
        sentinel->hearing++;
        return;
    }
    if (strcmp(command, "PING") == 0)
        played_sentinel_say(connection, "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    else if (strcmp(command, "ROLE") == 0)
        played_sentinel_say(connection, "*2\r\n$8\r\nsentinel\r\n*1\r\n$6\r\nmostro\r\n");
    else if (strcmp(command, "SENTINEL") != 0)
        played_sentinel_say(connection, "-ERR unknown command\r\n");
    for (int i = 0; i < 3 && strcmp(command, "SENTINEL") == 0; i++)
        if (strcmp(words->element[1]->str, questions[i]) == 0) {
            played_sentinel_say(connection, sentinel->answers[i]);
            sentinel->asked += i == 2;
        }
}

static void played_sentinel_drop(struct played_sentinel *sentinel,
                                 struct played_connection *connection)
{
    sentinel->hearing -= connection->hears;
    redisReaderFree(connection->reader);
    (void)close(connection->fd);
    *connection = (struct played_connection){.fd = -1};
}

static void played_sentinel_hear(struct played_sentinel *sentinel,
                                 struct played_connection *connection)
{
    char bytes[4096];
    ssize_t n = read(connection->fd, bytes, sizeof bytes);
    void *words = NULL;

    if (n <= 0) {
        played_sentinel_drop(sentinel, connection);
        return;
    }
    (void)redisReaderFeed(connection->reader, bytes, (size_t)n);
    while (redisReaderGetReply(connection->reader, &words) == REDIS_OK && words != NULL) {
        played_sentinel_answer(sentinel, connection, words);
        freeReplyObject(words);
    }
}

static void played_sentinel_accept(struct played_sentinel *sentinel)
{
    for (int i = 0; i < PLAYED_SENTINEL_MAX; i++)
        if (sentinel->connections[i].fd < 0) {
            sentinel->connections[i].fd = accept4(sentinel->listening, NULL, NULL, SOCK_CLOEXEC);
            sentinel->connections[i].reader = redisReaderCreate();
            return;
        }
    abort();
}

static void *played_sentinel_run(void *arg)
{
    struct played_sentinel *sentinel = arg;
    struct pollfd fds[PLAYED_SENTINEL_MAX + 2];

    (void)pthread_mutex_lock(&sentinel->lock);
    while (!sentinel->ends) {
        for (int i = 0; i < PLAYED_SENTINEL_MAX; i++)
            fds[i] = (struct pollfd){.fd = sentinel->connections[i].fd, .events = POLLIN};
        fds[PLAYED_SENTINEL_MAX] = (struct pollfd){.fd = sentinel->listening, .events = POLLIN};
        fds[PLAYED_SENTINEL_MAX + 1] = (struct pollfd){.fd = sentinel->alarm[0], .events = POLLIN};
        (void)pthread_mutex_unlock(&sentinel->lock);
        (void)poll(fds, PLAYED_SENTINEL_MAX + 2, -1);
        (void)pthread_mutex_lock(&sentinel->lock);
        for (int i = 0; i < PLAYED_SENTINEL_MAX; i++)
            if (fds[i].revents != 0)
                played_sentinel_hear(sentinel, &sentinel->connections[i]);
        if (fds[PLAYED_SENTINEL_MAX].revents != 0 && !sentinel->ends)
            played_sentinel_accept(sentinel);
    }
    for (int i = 0; i < PLAYED_SENTINEL_MAX; i++)
        if (sentinel->connections[i].fd >= 0)
            played_sentinel_drop(sentinel, &sentinel->connections[i]);
    (void)close(sentinel->listening);
    (void)pthread_mutex_unlock(&sentinel->lock);
    return NULL;
}

/* ---- The test ---------------------------------------------------------------------------------
 */

static void played_sentinel_begin(struct played_sentinel *sentinel)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;

    *sentinel = (struct played_sentinel){.asked = 0};
    for (int i = 0; i < PLAYED_SENTINEL_MAX; i++)
        sentinel->connections[i].fd = -1;
    sentinel->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(sentinel->listening, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(listen(sentinel->listening, 8), 0);
    ck_assert_int_eq(getsockname(sentinel->listening, (struct sockaddr *)&address, &len), 0);
    sentinel->port = ntohs(address.sin_port);
    ck_assert_int_eq(pipe2(sentinel->alarm, O_CLOEXEC), 0);
    (void)pthread_mutex_init(&sentinel->lock, NULL);
    ck_assert_int_eq(pthread_create(&sentinel->thread, NULL, played_sentinel_run, sentinel), 0);
}

/* It is gone: its connections end, and nobody listens at its port. */
static void played_sentinel_end(struct played_sentinel *sentinel)
{
    if (sentinel->ends)
        return;
    (void)pthread_mutex_lock(&sentinel->lock);
    sentinel->ends = true;
    (void)pthread_mutex_unlock(&sentinel->lock);
    ck_assert_int_eq(write(sentinel->alarm[1], "", 1), 1);
    (void)pthread_join(sentinel->thread, NULL);
    (void)pthread_mutex_destroy(&sentinel->lock);
    (void)close(sentinel->alarm[0]);
    (void)close(sentinel->alarm[1]);
}

/* What it answers from here on: bytes. */
static void played_sentinel_set(struct played_sentinel *sentinel, const char *epoch,
                                const char *address, const char *replicas)
{
    const char *const answers[3] = {epoch, address, replicas};

    (void)pthread_mutex_lock(&sentinel->lock);
    for (int i = 0; i < 3; i++)
        (void)snprintf(sentinel->answers[i], sizeof sentinel->answers[i], "%s", answers[i]);
    (void)pthread_mutex_unlock(&sentinel->lock);
}

/* Whom it names from here on, and one replica of it. */
static void played_sentinel_name(struct played_sentinel *sentinel, int epoch, const char *host,
                                 int port, const char *replica)
{
    char epoch_text[64], address[96], replicas[128], digits[16];
    int len = snprintf(digits, sizeof digits, "%d", port);

    (void)snprintf(epoch_text, sizeof epoch_text, "*2\r\n$12\r\nconfig-epoch\r\n$1\r\n%d\r\n",
                   epoch);
    (void)snprintf(address, sizeof address, "*2\r\n$%zu\r\n%s\r\n$%d\r\n%s\r\n", strlen(host), host,
                   len, digits);
    (void)snprintf(replicas, sizeof replicas,
                   "*1\r\n*4\r\n$2\r\nip\r\n$%zu\r\n%s\r\n$4\r\nport\r\n$4\r\n6379\r\n",
                   strlen(replica), replica);
    played_sentinel_set(sentinel, epoch_text, address, replicas);
}

static void played_sentinel_be_silent(struct played_sentinel *sentinel)
{
    (void)pthread_mutex_lock(&sentinel->lock);
    sentinel->is_silent = true;
    (void)pthread_mutex_unlock(&sentinel->lock);
}

/* To all who have subscribed, of which there is one at least. */
static void played_sentinel_publish(struct played_sentinel *sentinel, const char *channel,
                                    const char *text)
{
    char bytes[512];

    (void)snprintf(bytes, sizeof bytes, "*3\r\n$7\r\nmessage\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n",
                   strlen(channel), channel, strlen(text), text);
    for (;;) {
        (void)pthread_mutex_lock(&sentinel->lock);
        if (sentinel->hearing > 0)
            break;
        (void)pthread_mutex_unlock(&sentinel->lock);
        (void)usleep(1000);
    }
    for (int i = 0; i < PLAYED_SENTINEL_MAX; i++)
        if (sentinel->connections[i].hears)
            played_sentinel_say(&sentinel->connections[i], bytes);
    (void)pthread_mutex_unlock(&sentinel->lock);
}

static unsigned played_sentinel_asked(struct played_sentinel *sentinel)
{
    unsigned asked;

    (void)pthread_mutex_lock(&sentinel->lock);
    asked = sentinel->asked;
    (void)pthread_mutex_unlock(&sentinel->lock);
    return asked;
}

/* Waits until what it answers now has been taken: the third question from here on shows that the
 * answers to the second, all of them new, have come. */
static void played_sentinel_await(struct played_sentinel *sentinel)
{
    const unsigned asked = played_sentinel_asked(sentinel);

    while (played_sentinel_asked(sentinel) < asked + 3)
        (void)usleep(1000);
}

#endif
