#include "redis_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "redis_primary.h"

#define NUMBER_SIZE 20 /* digits of the largest size_t */
#define ROOM_SIZE   4096

static const char too_late[] = "no answer in time";

#if HIREDIS_MAJOR >= 1
typedef size_t elements_count;
#else
typedef int elements_count;
#endif

static size_t depth_of(const redisReadTask *task)
{
    size_t depth = 1;

    while ((task = task->parent) != NULL)
        depth++;
    return depth;
}

/* Refuses arrays that are too long together, for which hiredis would allocate: within each other, a
 * few bytes could ask for half a megabyte each; and those that are too deep, which newer versions
 * of it take, and free by recursion. NULL ends the parsing. */
static void *create_array(const redisReadTask *task, elements_count elements)
{
    struct redis_wire *wire = task->privdata;

    if (elements > (elements_count)(REDIS_WIRE_ELEMENTS_MAX - wire->elements) ||
        depth_of(task) > REDIS_WIRE_DEPTH_MAX)
        return NULL;
    wire->elements += (size_t)elements;
    return wire->original->createArray(task, elements);
}

void redis_wire_open(struct redis_wire *wire, redisContext *context)
{
    wire->context = context;
    wire->original = context->reader->fn;
    wire->functions = *wire->original;
    wire->functions.createArray = create_array;
    context->reader->fn = &wire->functions;
    context->reader->privdata = wire;
    wire->received = wire->elements = 0;
    wire->len = wire->sent = 0;
}

/* The reader holds pointers into the wire. */
void redis_wire_take_over(struct redis_wire *wire, struct redis_wire *from)
{
    redisContext *context = from->context;

    context->reader->fn = (redisReplyObjectFunctions *)from->original;
    from->context = NULL;
    redis_wire_open(wire, context);
    wire->membership = from->membership;
    from->membership = NULL;
}

bool redis_wire_stop_blocking(struct redis_wire *wire)
{
    int flags = fcntl(wire->context->fd, F_GETFL);

    wire->context->flags &= ~REDIS_BLOCK;
    return flags >= 0 && fcntl(wire->context->fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

/* Some of what is sent is secret. */
static void wipe_sent(struct redis_wire *wire, size_t sent)
{
    if (wire->room != NULL)
        explicit_bzero(wire->room + wire->sent, sent - wire->sent);
    wire->sent = sent;
    if (wire->sent == wire->len)
        wire->len = wire->sent = 0;
}

void redis_wire_close(struct redis_wire *wire)
{
    redis_membership_end(&wire->membership);
    if (wire->context != NULL)
        redisFree(wire->context);
    wire->context = NULL;
    wipe_sent(wire, wire->len);
}

void redis_wire_free(struct redis_wire *wire)
{
    redis_wire_close(wire);
    free(wire->room);
    wire->room = NULL;
    wire->room_size = 0;
}

static bool is_blocked(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

/* ---- Out ---------------------------------------------------------------------------------------
 */

/* Writes `prefix`, a number and the end of a line; returns the place behind it. */
static char *put_number(char *at, char prefix, size_t number)
{
    char digits[NUMBER_SIZE];
    size_t len = 0;

    *at++ = prefix;
    do
        digits[len++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (len > 0)
        *at++ = digits[--len];
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

/* Makes room for `more` bytes behind those that wait. */
static bool make_room(struct redis_wire *wire, size_t more)
{
    size_t size = wire->room_size > 0 ? wire->room_size : ROOM_SIZE;
    char *room;

    if (more <= wire->room_size - wire->len)
        return true;
    while (size - wire->len < more)
        size *= 2;
    room = malloc(size);
    if (room == NULL)
        return false;
    if (wire->room != NULL) {
        memcpy(room, wire->room, wire->len);
        explicit_bzero(wire->room, wire->len);
    }
    free(wire->room);
    wire->room = room;
    wire->room_size = size;
    return true;
}

/* As the protocol wants it. hiredis could do that, but it formats each word's length with printf,
 * which took a fifth of a responder's time for a request. */
const char *redis_wire_append(struct redis_wire *wire, int argc, const char **argv,
                              const size_t *argvlen)
{
    size_t most = NUMBER_SIZE + 3;
    char *at;

    for (int i = 0; i < argc; i++)
        most += argvlen[i] + NUMBER_SIZE + 5;
    if (!make_room(wire, most))
        return "out of memory";
    at = put_number(wire->room + wire->len, '*', (size_t)argc);
    for (int i = 0; i < argc; i++) {
        at = put_number(at, '$', argvlen[i]);
        memcpy(at, argv[i], argvlen[i]);
        at += argvlen[i];
        *at++ = '\r';
        *at++ = '\n';
    }
    wire->len = (size_t)(at - wire->room);
    return NULL;
}

const char *redis_wire_write(struct redis_wire *wire)
{
    ssize_t n;

    if (wire->len == 0)
        return NULL;
    do
        n = send(wire->context->fd, wire->room + wire->sent, wire->len - wire->sent, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        wipe_sent(wire, wire->sent + (size_t)n);
    if (n >= 0 || (is_blocked() && !(wire->context->flags & REDIS_BLOCK)))
        return NULL;
    return is_blocked() ? too_late : strerror(errno);
}

bool redis_wire_has_sent(const struct redis_wire *wire)
{
    return wire->len == 0;
}

const char *redis_wire_send(struct redis_wire *wire)
{
    const char *problem = NULL;

    while (problem == NULL && !redis_wire_has_sent(wire))
        problem = redis_wire_write(wire);
    return problem;
}

/* ---- In ----------------------------------------------------------------------------------------
 */

/* An answer begins where the one before it has ended. */
const char *redis_wire_take(struct redis_wire *wire, redisReply **reply)
{
    redisReader *reader = wire->context->reader;
    void *answer = NULL;

    *reply = NULL;
    if (redisReaderGetReply(reader, &answer) != REDIS_OK)
        return reader->errstr;
    if (answer != NULL) {
        wire->received = reader->len - reader->pos;
        wire->elements = 0;
    }
    *reply = answer;
    return NULL;
}

const char *redis_wire_read(struct redis_wire *wire)
{
    size_t before = wire->context->reader->len;

    errno = 0;
    if (redisBufferRead(wire->context) != REDIS_OK)
        return is_blocked() ? too_late : wire->context->errstr;
    wire->received += wire->context->reader->len - before;
    return wire->received > REDIS_WIRE_ANSWER_MAX ? "an answer that does not end" : NULL;
}

const char *redis_wire_await(struct redis_wire *wire, redisReply **reply, unsigned timeout_ms)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms, left_ms;
    struct pollfd fd = {.fd = wire->context->fd, .events = POLLIN};
    const char *problem;

    for (;;) {
        problem = redis_wire_take(wire, reply);
        if (problem != NULL || *reply != NULL)
            return problem;
        left_ms = deadline - clock_monotonic_ms();
        if (left_ms < 0 || poll(&fd, 1, (int)left_ms) == 0)
            return too_late;
        if (fd.revents == 0)
            continue;
        problem = redis_wire_read(wire);
        if (problem != NULL)
            return problem;
    }
}

bool redis_wire_is_clean(const struct redis_wire *wire)
{
    return wire->context->reader->pos == wire->context->reader->len;
}
