/* played_redis: the test's end of a connection to Redis, or to a Sentinel.
 *
 * A Unix socket that a struct registry connects to, or a port; the test reads the commands and
 * writes the answers. */
#ifndef MOSTRO_PLAYED_REDIS_H
#define MOSTRO_PLAYED_REDIS_H

#include <arpa/inet.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit.h"

/* What a Redis that may be used answers to ROLE, CONFIG GET and SET. */
#define PLAYED_REDIS_GREETING                                                                    \
    "*1\r\n$6\r\nmaster\r\n"                                                                     \
    "*6\r\n$4\r\nsave\r\n$0\r\n\r\n$10\r\nappendonly\r\n$2\r\nno\r\n$16\r\nmaxmemory-policy\r\n" \
    "$10\r\nnoeviction\r\n"                                                                      \
    "$-1\r\n"

struct played_redis {
    char folder[64], url[128];
    int listening;
    int fd; /* of the connection that was accepted last, or -1 */
    redisReader *reader;
    char command[1024]; /* the last one's words, as far as they fit */
};

static inline void played_redis_begin(struct played_redis *redis)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(redis->folder, sizeof redis->folder, "/tmp/mostro-unit-redis.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(redis->folder));
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", redis->folder);
    (void)snprintf(redis->url, sizeof redis->url, "unix://%s", address.sun_path);
    redis->fd = -1;
    redis->reader = NULL;
    redis->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(redis->listening, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(redis->listening, 8), 0);
}

/* Has a port of 127.0.0.1, which it returns; nobody listens yet. */
static inline int played_redis_bind_a_port(struct played_redis *redis)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;

    *redis = (struct played_redis){.fd = -1};
    redis->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(redis->listening, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(getsockname(redis->listening, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

static void played_redis_hang_up(struct played_redis *redis)
{
    if (redis->fd >= 0)
        (void)close(redis->fd);
    redis->fd = -1;
    if (redis->reader != NULL)
        redisReaderFree(redis->reader);
    redis->reader = NULL;
}

/* Nobody can connect any more. */
static inline void played_redis_end(const struct played_redis *redis)
{
    char path[sizeof redis->folder + 8];

    (void)snprintf(path, sizeof path, "%s/socket", redis->folder);
    (void)unlink(path);
    (void)rmdir(redis->folder);
}

static void played_redis_accept(struct played_redis *redis)
{
    const struct timeval patience = {.tv_sec = 20};

    played_redis_hang_up(redis);
    redis->fd = accept4(redis->listening, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(redis->fd, 0);
    (void)setsockopt(redis->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    redis->reader = redisReaderCreate();
}

static void played_redis_note(struct played_redis *redis, const redisReply *words)
{
    size_t len = 0;

    for (size_t i = 0; i < words->elements && len < sizeof redis->command; i++)
        len += (size_t)snprintf(redis->command + len, sizeof redis->command - len, "%s%s",
                                i > 0 ? " " : "", words->element[i]->str);
}

/* Waits for the next command, whose words it returns; NULL when the connection has ended. */
static const char *played_redis_read(struct played_redis *redis)
{
    char buffer[65536];
    void *words = NULL;
    ssize_t n;

    for (;;) {
        ck_assert_int_eq(redisReaderGetReply(redis->reader, &words), REDIS_OK);
        if (words != NULL)
            break;
        n = read(redis->fd, buffer, sizeof buffer);
        if (n <= 0)
            return NULL;
        ck_assert_int_eq(redisReaderFeed(redis->reader, buffer, (size_t)n), REDIS_OK);
    }
    played_redis_note(redis, words);
    freeReplyObject(words);
    return redis->command;
}

static inline void played_redis_write(const struct played_redis *redis, const char *answer)
{
    ck_assert_int_eq(send(redis->fd, answer, strlen(answer), MSG_NOSIGNAL),
                     (ssize_t)strlen(answer));
}

#endif
