/* The bytes of a connection that is kept, in pieces: the first byte says how they are cut. Whole
 * requests go through libfcgi, as in a worker. What comes out of it is compared with what a reader
 * of its own makes of the same bytes: the same requests with the same parameters and bodies, so
 * never a byte of another request, and the same end. */
#include <fastcgi.h>
#include <fcntl.h>
#include <stdio.h>

#include "fastcgi.h"
#include "fuzz_input.h"
#include "log/log.h"
#include "request.h"
#include "request_frame.h"
#include "response.h"

/* ---- Another reader: of all bytes at once, and of whole records only */

struct bytes {
    uint8_t *at;
    size_t len;
};

static void add(struct bytes *to, const uint8_t *bytes, size_t len)
{
    to->at = realloc(to->at, to->len + len + 1);
    if (to->at == NULL)
        abort();
    if (len > 0)
        memcpy(to->at + to->len, bytes, len);
    to->len += len;
}

struct reading {
    const uint8_t *at, *end;
    unsigned id, flags;
    struct bytes params, body;
};

enum verdict { MORE, WHOLE, GIVEN_UP, WRONG };

static unsigned number(const uint8_t *bytes)
{
    return bytes[0] * 256U + bytes[1];
}

/* The next pair's length, or -1. */
static long long pair_length(const uint8_t **at, const uint8_t *end)
{
    long long length = 0;

    if (*at == end)
        return -1;
    if (**at < 128)
        return *(*at)++;
    if (end - *at < 4)
        return -1;
    for (int i = 0; i < 4; i++)
        length = length * 256 + *(*at)++;
    return length - 128LL * 256 * 256 * 256;
}

static bool next_pair(const uint8_t **at, const uint8_t *end, long long *name, long long *value)
{
    *name = pair_length(at, end);
    *value = *name >= 0 ? pair_length(at, end) : -1;
    return *value >= 0 && *name + *value <= end - *at;
}

static bool are_pairs(const struct bytes *params)
{
    const uint8_t *at = params->at, *end = params->at + params->len;
    long long name, value;

    while (at < end) {
        if (!next_pair(&at, end, &name, &value))
            return false;
        at += name + value;
    }
    return true;
}

/* Whether the one CONTENT_LENGTH is 0. */
static bool is_bodiless(const struct bytes *params)
{
    const uint8_t *at = params->at, *end = params->at + params->len;
    long long name, value;
    int lengths = 0, zeros = 0;

    while (at < end && next_pair(&at, end, &name, &value)) {
        if (name == 14 && memcmp(at, "CONTENT_LENGTH", 14) == 0) {
            lengths++;
            zeros += value == 1 && at[14] == '0';
        }
        at += name + value;
    }
    return lengths == 1 && zeros == 1;
}

/* What a head says by itself, as far as that can be wrong. */
static bool is_good_head(const struct reading *reading, const uint8_t *head, bool params_ended)
{
    unsigned type = head[1], id = number(head + 2), len = number(head + 4);

    if (head[0] != 1)
        return false;
    if (id == 0)
        return type >= 9 && type <= 11;
    if (reading->id == 0)
        return (type == 1 && len == 8) || ((type == 5 || type == 2) && len == 0);
    if (type == 2)
        return id == reading->id && len == 0;
    if (!params_ended && reading->params.len + len > REQUEST_FRAME_PARAMS_MAX)
        return false;
    return id == reading->id && type == (params_ended ? 5 : 4);
}

static enum verdict take(struct reading *reading, const uint8_t *head, bool *params_ended)
{
    const uint8_t *content = head + 8;
    unsigned type = head[1], id = number(head + 2), len = number(head + 4);

    if (id == 0 || (reading->id == 0 && (type == 5 || type == 2)))
        return MORE;
    if (type == 2)
        return GIVEN_UP;
    if (type == 1) {
        reading->id = id;
        reading->flags = content[2];
        return number(content) == 1 ? MORE : WRONG;
    }
    add(type == 4 ? &reading->params : &reading->body, content, len);
    if (len > 0)
        return MORE;
    if (type == 5)
        return WHOLE;
    *params_ended = true;
    if (!are_pairs(&reading->params))
        return WRONG;
    return is_bodiless(&reading->params) ? WHOLE : MORE;
}

/* Reads one request. Inputs are too short for the other limits. */
static enum verdict read_one(struct reading *reading)
{
    bool params_ended = false;
    enum verdict verdict = MORE;

    reading->id = 0;
    reading->params.len = reading->body.len = 0;
    add(&reading->params, NULL, 0);
    add(&reading->body, NULL, 0);
    while (verdict == MORE && reading->end - reading->at >= 8) {
        const uint8_t *head = reading->at;
        long size = 8L + number(head + 4) + head[6];

        if (!is_good_head(reading, head, params_ended))
            return WRONG;
        if (reading->end - head < size)
            return MORE;
        verdict = take(reading, head, &params_ended);
        reading->at += size;
    }
    return verdict;
}

/* ---- The worker's way */

static struct fastcgi_reader *reader;
static int nowhere; /* where answers go */

static void check_params(const struct reading *reading, char *const *envp)
{
    const uint8_t *at = reading->params.at, *end = at + reading->params.len;
    long long name, value;

    if (strcmp(*envp++, "FCGI_ROLE=RESPONDER") != 0)
        abort();
    while (at < end && next_pair(&at, end, &name, &value)) {
        const char *entry = *envp++;

        if (entry == NULL || memcmp(entry, at, (size_t)name) != 0 || entry[name] != '=' ||
            memcmp(entry + name + 1, at + name, (size_t)value) != 0 ||
            entry[name + 1 + value] != '\0')
            abort();
        at += name + value;
    }
    if (*envp != NULL)
        abort();
}

static void check_whole(const struct request_frame *frame, const struct reading *reading)
{
    FCGX_Request fcgx;
    struct request request;
    struct response response = {0};

    if (frame->keeps_connection != (reading->flags % 2 == 1))
        abort();
    if (!fastcgi_read(reader, frame, &fcgx, &request))
        abort();
    if ((unsigned)fcgx.requestId != reading->id)
        abort();
    check_params(reading, fcgx.envp);
    if (request.body_len != reading->body.len ||
        memcmp(request.body, reading->body.at, request.body_len) != 0)
        abort();
    response_constant(&response, 200, "{}");
    if (!fastcgi_answer(&fcgx, nowhere, &response))
        abort();
    fastcgi_wipe_body(reader);
}

/* Feeds pieces until a request is whole, refused, or all has been fed; returns what was used. */
static size_t feed(struct request_frame *frame, const uint8_t *data, size_t size, size_t piece)
{
    size_t at = 0, used = 0;

    while (at < size && frame->state == REQUEST_FRAME_OPEN) {
        size_t len = size - at < piece ? size - at : piece;
        char *copy = fuzz_text(data + at, len);

        (void)request_frame_feed(frame, (const uint8_t *)copy, len, &used);
        if (used > len || (used < len && frame->state == REQUEST_FRAME_OPEN))
            abort();
        at += used;
        free(copy);
    }
    return at;
}

static enum request_frame_state state_of(enum verdict verdict)
{
    static const enum request_frame_state states[] = {[MORE] = REQUEST_FRAME_OPEN,
                                                      [WHOLE] = REQUEST_FRAME_WHOLE,
                                                      [GIVEN_UP] = REQUEST_FRAME_ABORTED,
                                                      [WRONG] = REQUEST_FRAME_REFUSED};

    return states[verdict];
}

static void set_up(void)
{
    log_open("fuzz", LOG_LEVEL_ERROR, LOG_TARGET_STDERR);
    /* No descriptor 0 is needed, but the library's own beginning is. */
    nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere < 0 || FCGX_Init() != 0 || (reader = fastcgi_reader_new()) == NULL)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reading reading = {.at = data + 1, .end = data + size};
    struct request_frame frame = {0};
    enum verdict verdict;

    if (reader == NULL)
        set_up();
    if (size == 0)
        return 0;
    do {
        const uint8_t *begin = reading.at;
        size_t used = feed(&frame, begin, (size_t)(reading.end - begin), data[0] + 1U);

        verdict = read_one(&reading);
        if (frame.state != state_of(verdict))
            abort();
        if ((verdict == WHOLE || verdict == GIVEN_UP) && begin + used != reading.at)
            abort();
        if (verdict == WHOLE)
            check_whole(&frame, &reading);
        if (verdict == GIVEN_UP && frame.id != reading.id)
            abort();
        request_frame_clear(&frame);
    } while (verdict == WHOLE || verdict == GIVEN_UP);
    free(reading.params.at);
    free(reading.body.at);
    return 0;
}
