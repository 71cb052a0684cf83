#include "redis_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define NUMBER_SIZE 20 /* digits of the largest size_t */

static const char too_late[] = "no answer in time";

#if HIREDIS_MAJOR >= 1
typedef size_t elements_count;
#else
typedef int elements_count;
#endif

/* Refuses an array that is too long, for which hiredis would allocate. NULL ends the parsing. */
static void *create_array(const redisReadTask *task, elements_count elements)
{
    const struct redis_wire *wire = task->privdata;

    if (elements > REDIS_WIRE_ELEMENTS_MAX)
        return NULL;
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
    wire->received = 0;
}

void redis_wire_close(struct redis_wire *wire)
{
    if (wire->context != NULL)
        redisFree(wire->context);
    wire->context = NULL;
}

void redis_wire_free(struct redis_wire *wire)
{
    redis_wire_close(wire);
    free(wire->room);
    wire->room = NULL;
    wire->room_size = 0;
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

/* Writes the command into wire->room as the protocol wants it; returns its length, or 0 without
 * memory. hiredis could do that, but it formats each word's length with printf, which took a fifth
 * of a responder's time for a request. */
static size_t write_command(struct redis_wire *wire, int argc, const char **argv,
                            const size_t *argvlen)
{
    size_t most = NUMBER_SIZE + 3;
    char *at;

    for (int i = 0; i < argc; i++)
        most += argvlen[i] + NUMBER_SIZE + 5;
    if (most > wire->room_size) {
        at = malloc(most);
        if (at == NULL)
            return 0;
        free(wire->room);
        wire->room = at;
        wire->room_size = most;
    }
    at = put_number(wire->room, '*', (size_t)argc);
    for (int i = 0; i < argc; i++) {
        at = put_number(at, '$', argvlen[i]);
        memcpy(at, argv[i], argvlen[i]);
        at += argvlen[i];
        *at++ = '\r';
        *at++ = '\n';
    }
    return (size_t)(at - wire->room);
}

const char *redis_wire_append(struct redis_wire *wire, int argc, const char **argv,
                              const size_t *argvlen)
{
    size_t len = write_command(wire, argc, argv, argvlen);
    int result;

    if (len == 0)
        return "out of memory";
    result = redisAppendFormattedCommand(wire->context, wire->room, len);
    explicit_bzero(wire->room, len);
    return result == REDIS_OK ? NULL : wire->context->errstr;
}

static const char *broken(const redisContext *context)
{
    return errno == EAGAIN || errno == EWOULDBLOCK ? too_late : context->errstr;
}

const char *redis_wire_send(struct redis_wire *wire)
{
    int done = 0;

    wire->received = 0;
    errno = 0;
    while (!done)
        if (redisBufferWrite(wire->context, &done) != REDIS_OK)
            return broken(wire->context);
    return NULL;
}

/* ---- In ----------------------------------------------------------------------------------------
 */

static const char *feed(struct redis_wire *wire)
{
    size_t before = wire->context->reader->len;

    errno = 0;
    if (redisBufferRead(wire->context) != REDIS_OK)
        return broken(wire->context);
    wire->received += wire->context->reader->len - before;
    return wire->received > REDIS_WIRE_ANSWER_MAX ? "an answer that does not end" : NULL;
}

static const char *take(struct redis_wire *wire, redisReply **reply)
{
    void *answer = NULL;

    if (redisReaderGetReply(wire->context->reader, &answer) != REDIS_OK)
        return wire->context->reader->errstr;
    *reply = answer;
    return NULL;
}

const char *redis_wire_read(struct redis_wire *wire, redisReply **reply)
{
    const char *problem = feed(wire);

    *reply = NULL;
    return problem == NULL ? take(wire, reply) : problem;
}

const char *redis_wire_await(struct redis_wire *wire, redisReply **reply, unsigned timeout_ms)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    const char *problem;

    *reply = NULL;
    for (;;) {
        problem = take(wire, reply);
        if (problem != NULL || *reply != NULL)
            return problem;
        if (clock_monotonic_ms() > deadline)
            return too_late;
        problem = feed(wire);
        if (problem != NULL)
            return problem;
    }
}

bool redis_wire_is_clean(const struct redis_wire *wire)
{
    return wire->context->reader->pos == wire->context->reader->len;
}
