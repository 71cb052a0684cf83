#include "unit.h"

#include <fastcgi.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "request_frame.h"

#define ID         0x1234
#define RECORD_MAX 65528
#define SECRET     "dE1c7-a-token-0fA9"

/* ---- Memory (this program is linked with --wrap) */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void __real_free(void *memory);
void __wrap_free(void *memory);
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static bool is_watched; /* while the frame works */
static unsigned allocations, allowed_allocations = UINT32_MAX;
static unsigned secrets_left; /* in memory that was given back */

static void look_for_secrets(void *memory)
{
    if (is_watched && memory != NULL &&
        memmem(memory, malloc_usable_size(memory), SECRET, sizeof SECRET - 1) != NULL)
        secrets_left++;
}

void *__wrap_malloc(size_t size)
{
    if (is_watched && allocations++ >= allowed_allocations)
        return NULL;
    return __real_malloc(size);
}

void __wrap_free(void *memory)
{
    look_for_secrets(memory);
    __real_free(memory);
}

void *__wrap_realloc(void *memory, size_t size)
{
    look_for_secrets(memory);
    return __real_realloc(memory, size);
}

static void allow_allocations(unsigned count)
{
    allocations = 0;
    allowed_allocations = count;
}

/* ---- What is sent */

struct wire {
    size_t len;
    uint8_t bytes[10 * 1024 * 1024];
};

static struct wire wire, expected;

static void put(struct wire *to, const void *bytes, size_t len)
{
    ck_assert_uint_le(len, sizeof to->bytes - to->len);
    memcpy(to->bytes + to->len, bytes, len);
    to->len += len;
}

static void put_record(struct wire *to, uint8_t type, uint16_t id, const void *content, size_t len,
                       uint8_t padding)
{
    static const uint8_t noise[255] = {1, 1, 1, 1, 1, 5, 5, 5};
    const uint8_t head[] = {
        1, type, (uint8_t)(id >> 8), (uint8_t)id, (uint8_t)(len >> 8), (uint8_t)len, padding, 0x77};

    ck_assert_uint_le(len, UINT16_MAX);
    put(to, head, sizeof head);
    put(to, content, len);
    put(to, noise, padding);
}

/* In records of `size` bytes of content. */
static void put_stream(struct wire *to, uint8_t type, const void *content, size_t len, size_t size,
                       uint8_t padding)
{
    const uint8_t *bytes = content;

    for (size_t take; len > 0; bytes += take, len -= take) {
        take = len < size ? len : size;
        put_record(to, type, ID, bytes, take, padding);
    }
    put_record(to, type, ID, "", 0, padding);
}

static const uint8_t begin[8] = {0, FCGI_RESPONDER, FCGI_KEEP_CONN, 9, 8, 7, 6, 5};

/* A request's records in `to`: of `size` bytes of content each. */
static void put_request(struct wire *to, const void *params, size_t params_len, const void *body,
                        size_t body_len, size_t size, uint8_t padding)
{
    put_record(to, FCGI_BEGIN_REQUEST, ID, begin, sizeof begin, padding);
    put_stream(to, FCGI_PARAMS, params, params_len, size, padding);
    put_stream(to, FCGI_STDIN, body, body_len, size, padding);
}

static const char params[] = "\x0e\x04REQUEST_METHODPOST"
                             "\x0b\x0dREQUEST_URI/api/register"
                             "\x05\x00"
                             "EMPTY"
                             "\x00\x01x";
static const char body[] = "{\"token\":\"" SECRET "\"}";

#define PARAMS params, sizeof params - 1
#define BODY   body, sizeof body - 1

/* The frame's copy, byte for byte; the reserved byte of heads is zero in it. */
static void expect(const void *params_bytes, size_t params_len, const void *body_bytes,
                   size_t body_len)
{
    expected.len = 0;
    put_request(&expected, params_bytes, params_len, body_bytes, body_len, RECORD_MAX, 0);
    for (size_t at = 0; at < expected.len;
         at += 8 + (size_t)(expected.bytes[at + 4] << 8 | expected.bytes[at + 5]))
        expected.bytes[at + 7] = 0;
}

/* ---- Frames */

static struct request_frame frame;

static void teardown(void)
{
    request_frame_clear(&frame);
    wire.len = 0;
}

static void assert_whole(void)
{
    ck_assert_int_eq(frame.state, REQUEST_FRAME_WHOLE);
    ck_assert(frame.keeps_connection);
    ck_assert(!request_frame_is_empty(&frame));
    ck_assert_uint_eq(frame.len, expected.len);
    ck_assert_mem_eq(frame.bytes, expected.bytes, expected.len);
    ck_assert_uint_le(frame.len, REQUEST_FRAME_MAX);
}

/* Feeds it all, `piece` bytes at a time, to a frame that is new. */
static enum request_frame_state feed_in_pieces(size_t piece)
{
    enum request_frame_state state = REQUEST_FRAME_OPEN;
    size_t used = 0;

    request_frame_clear(&frame);
    for (size_t at = 0; at < wire.len; at += used) {
        size_t len = wire.len - at < piece ? wire.len - at : piece;
        /* A copy of its own size, so that a sanitizer sees a step beyond. */
        uint8_t *copy = __real_malloc(len);

        memcpy(copy, wire.bytes + at, len);
        is_watched = true;
        state = request_frame_feed(&frame, copy, len, &used);
        is_watched = false;
        __real_free(copy);
        if (state != frame.state || (state == REQUEST_FRAME_OPEN && used != len))
            ck_abort_msg("state %d, %zu bytes of %zu used", state, used, len);
        if (state != REQUEST_FRAME_OPEN)
            break;
    }
    return state;
}

static enum request_frame_state feed(void)
{
    return feed_in_pieces(SIZE_MAX);
}

START_TEST(a_request_is_whole_at_its_last_byte)
{
    size_t used;

    put_request(&wire, PARAMS, BODY, 100, 3);
    expect(PARAMS, BODY);
    ck_assert(request_frame_is_empty(&frame));
    ck_assert_int_eq(request_frame_feed(&frame, wire.bytes, wire.len - 1, &used),
                     REQUEST_FRAME_OPEN);
    ck_assert_uint_eq(used, wire.len - 1);
    ck_assert_int_eq(request_frame_feed(&frame, wire.bytes + wire.len - 1, 1, &used),
                     REQUEST_FRAME_WHOLE);
    ck_assert_uint_eq(used, 1);
    assert_whole();

    request_frame_clear(&frame);
    ck_assert(request_frame_is_empty(&frame));
    ck_assert_ptr_null(frame.bytes);
}
END_TEST

START_TEST(pieces_do_not_matter)
{
    put_request(&wire, PARAMS, BODY, 17, 5);
    expect(PARAMS, BODY);
    for (size_t split = 0; split <= wire.len; split++) {
        size_t used;

        request_frame_clear(&frame);
        request_frame_feed(&frame, wire.bytes, split, &used);
        ck_assert_uint_eq(used, split);
        ck_assert_int_eq(request_frame_is_empty(&frame), split == 0);
        request_frame_feed(&frame, wire.bytes + split, wire.len - split, &used);
        ck_assert_uint_eq(used, wire.len - split);
        assert_whole();
    }
    for (size_t piece = 1; piece < 30; piece++) {
        feed_in_pieces(piece);
        assert_whole();
    }
}
END_TEST

/* On a kept connection the next request's bytes may come with the last ones of this. */
START_TEST(the_next_request_is_left)
{
    size_t first, used;

    put_request(&wire, PARAMS, BODY, 100, 3);
    first = wire.len;
    put_request(&wire, PARAMS, "other", 5, 100, 0);
    ck_assert_int_eq(request_frame_feed(&frame, wire.bytes, wire.len, &used), REQUEST_FRAME_WHOLE);
    ck_assert_uint_eq(used, first);
    expect(PARAMS, BODY);
    assert_whole();

    ck_assert_int_eq(request_frame_feed(&frame, wire.bytes + first, wire.len - first, &used),
                     REQUEST_FRAME_WHOLE);
    ck_assert_uint_eq(used, 0);
    assert_whole();

    request_frame_clear(&frame);
    request_frame_feed(&frame, wire.bytes + first, wire.len - first, &used);
    ck_assert_uint_eq(used, wire.len - first);
    expect(PARAMS, "other", 5);
    assert_whole();
}
END_TEST

START_TEST(records_are_joined_and_lose_their_padding)
{
    static const size_t sizes[] = {1, 2, 7, 8, 64, 65535};

    expect(PARAMS, BODY);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (unsigned padding = 0; padding < 256; padding += 15) {
            wire.len = 0;
            put_request(&wire, PARAMS, BODY, sizes[i], (uint8_t)padding);
            feed();
            assert_whole();
        }
}
END_TEST

START_TEST(nothing_but_begin_is_a_request_too)
{
    put_request(&wire, "", 0, "", 0, 1, 0);
    expect("", 0, "", 0);
    feed();
    assert_whole();
}
END_TEST

START_TEST(keep_conn_is_one_bit)
{
    static const struct {
        uint8_t flags;
        bool keeps;
    } cases[] = {{0, false}, {1, true}, {0xfe, false}, {0xff, true}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t content[8] = {0, FCGI_RESPONDER, cases[i].flags};

        wire.len = 0;
        put_record(&wire, FCGI_BEGIN_REQUEST, ID, content, sizeof content, 0);
        put_stream(&wire, FCGI_PARAMS, PARAMS, 100, 0);
        put_stream(&wire, FCGI_STDIN, BODY, 100, 0);
        ck_assert_int_eq(feed(), REQUEST_FRAME_WHOLE);
        ck_assert_int_eq(frame.keeps_connection, cases[i].keeps);
    }
}
END_TEST

/* ---- Limits */

/* One parameter of so many bytes in all. */
static const uint8_t *param_of(size_t len)
{
    static uint8_t bytes[REQUEST_FRAME_PARAMS_MAX + 1];
    size_t value = len - 1 - 4 - 1;

    bytes[0] = 1;
    bytes[1] = (uint8_t)(0x80 | value >> 24);
    bytes[2] = (uint8_t)(value >> 16);
    bytes[3] = (uint8_t)(value >> 8);
    bytes[4] = (uint8_t)value;
    memset(bytes + 5, 'n', len - 5);
    return bytes;
}

START_TEST(parameters_have_a_limit)
{
    static const size_t sizes[] = {65535, 40000, 8};
    const size_t max = REQUEST_FRAME_PARAMS_MAX;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        wire.len = 0;
        put_request(&wire, param_of(max), max, BODY, sizes[i], 0);
        expect(param_of(max), max, BODY);
        feed();
        assert_whole();
        feed_in_pieces(1);
        assert_whole();

        wire.len = 0;
        put_request(&wire, param_of(max + 1), max + 1, BODY, sizes[i], 0);
        ck_assert_int_eq(feed(), REQUEST_FRAME_REFUSED);
        ck_assert_uint_le(frame.size, 128 * 1024);
    }
}
END_TEST

static uint8_t large[REQUEST_FRAME_BODY_MAX + REQUEST_FRAME_DROPPED_MAX + 1];

static void fill_large(void)
{
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)(i % 251);
}

/* What is beyond the limit is not kept, but counted, so that the answer can say 413. */
START_TEST(a_body_has_a_limit)
{
    static const size_t sizes[] = {65535, 65528, 32768, 1021};
    const size_t max = REQUEST_FRAME_BODY_MAX;

    fill_large();
    expect(PARAMS, large, max);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t len = max; len <= max + 1; len++) {
            wire.len = 0;
            put_request(&wire, PARAMS, large, len, sizes[i], 0);
            feed();
            assert_whole();
            feed_in_pieces(4096);
            assert_whole();
        }
    }
    expect(PARAMS, large, max - 1);
    wire.len = 0;
    put_request(&wire, PARAMS, large, max - 1, 65535, 0);
    feed();
    assert_whole();
}
END_TEST

START_TEST(what_is_dropped_has_a_limit)
{
    fill_large();
    expect(PARAMS, large, REQUEST_FRAME_BODY_MAX);
    put_request(&wire, PARAMS, large, sizeof large - 1, 65535, 0);
    feed();
    assert_whole();
    ck_assert_uint_le(frame.size, 2 * REQUEST_FRAME_MAX);

    wire.len = 0;
    put_request(&wire, PARAMS, large, sizeof large, 65535, 0);
    ck_assert_int_eq(feed(), REQUEST_FRAME_REFUSED);
}
END_TEST

START_TEST(the_largest_request_fits)
{
    fill_large();
    put_request(&wire, param_of(REQUEST_FRAME_PARAMS_MAX), REQUEST_FRAME_PARAMS_MAX, large,
                sizeof large - 1, 65535, 255);
    expect(param_of(REQUEST_FRAME_PARAMS_MAX), REQUEST_FRAME_PARAMS_MAX, large,
           REQUEST_FRAME_BODY_MAX);
    feed();
    assert_whole();
}
END_TEST

/* ---- Management records */

START_TEST(management_records_are_dropped)
{
    static const uint8_t types[] = {FCGI_GET_VALUES, FCGI_GET_VALUES_RESULT, FCGI_UNKNOWN_TYPE};
    size_t ends[16], count = 0;
    struct wire *request = calloc(1, sizeof *request);

    ck_assert_ptr_nonnull(request);
    put_request(request, PARAMS, BODY, 30, 1);
    expect(PARAMS, BODY);
    for (size_t at = 0; at < request->len; count++) {
        ends[count] = at;
        at += 9 + (size_t)request->bytes[at + 5];
    }
    for (size_t i = 0; i < count; i++) {
        wire.len = 0;
        put(&wire, request->bytes, ends[i]);
        for (size_t type = 0; type < sizeof types; type++)
            for (size_t len = 0; len < sizeof params; len += sizeof params - 1)
                put_record(&wire, types[type], 0, params, len, 3);
        put(&wire, request->bytes + ends[i], request->len - ends[i]);
        feed();
        assert_whole();
        feed_in_pieces(1);
        assert_whole();
    }
    free(request);
}
END_TEST

START_TEST(management_records_alone_are_no_request)
{
    size_t used;

    put_record(&wire, FCGI_GET_VALUES, 0, PARAMS, 3);
    request_frame_feed(&frame, wire.bytes, wire.len - 1, &used);
    ck_assert(!request_frame_is_empty(&frame));
    request_frame_feed(&frame, wire.bytes + used, 1, &used);
    ck_assert(request_frame_is_empty(&frame));
    ck_assert_ptr_null(frame.bytes);
}
END_TEST

START_TEST(management_records_have_a_limit)
{
    const size_t each = 8 + 65528 - 8, count = REQUEST_FRAME_DROPPED_MAX / each;
    const size_t rest = REQUEST_FRAME_DROPPED_MAX - count * each;

    ck_assert_uint_ge(rest, 8 + 1);
    for (size_t i = 0; i < count; i++)
        put_record(&wire, FCGI_GET_VALUES, 0, large, each - 8 - 5, 5);
    put_record(&wire, FCGI_GET_VALUES, 0, large, rest - 8, 0);
    ck_assert_int_eq(feed(), REQUEST_FRAME_OPEN);
    put_request(&wire, PARAMS, BODY, 100, 0);
    ck_assert_int_eq(feed(), REQUEST_FRAME_WHOLE);

    wire.len = 0;
    for (size_t i = 0; i < count; i++)
        put_record(&wire, FCGI_GET_VALUES, 0, large, each - 8 - 5, 5);
    put_record(&wire, FCGI_GET_VALUES, 0, large, rest - 8, 1);
    ck_assert_int_eq(feed(), REQUEST_FRAME_REFUSED);
}
END_TEST

/* ---- Requests that say that they have no body */

#define NO_BODY \
    "\x0e\x01"  \
    "CONTENT_LENGTH0"
#define HTTP_1 \
    "\x13\x01" \
    "HTTP_CONTENT_LENGTH0"
#define SHORT  \
    "\x0d\x01" \
    "CONTENT_LENGT0"

static void put_bodiless(const char *told, size_t len)
{
    wire.len = 0;
    put_record(&wire, FCGI_BEGIN_REQUEST, ID, begin, sizeof begin, 0);
    put_stream(&wire, FCGI_PARAMS, told, len, 5, 3);
}

START_TEST(without_a_body_a_request_is_whole_at_the_end_of_its_parameters)
{
    static const struct {
        const char *told;
        size_t len;
        bool is_whole;
    } cases[] = {
        {NO_BODY, 17, true},
        {HTTP_1 NO_BODY SHORT, 22 + 17 + 16, true},
        {NO_BODY NO_BODY, 34, false},
        {NO_BODY "\x0e\x01"
                 "CONTENT_LENGTH5",
         34, false},
        {"\x0e\x01"
         "CONTENT_LENGTH5" NO_BODY,
         34, false},
        {HTTP_1, 22, false},
        {SHORT, 16, false},
        {"\x0e\x00"
         "CONTENT_LENGTH",
         16, false},
        {"\x0e\x02"
         "CONTENT_LENGTH00",
         18, false},
        {"\x0e\x01"
         "CONTENT_LENGTH1",
         17, false},
        {"\x0e\x01"
         "CONTENT_LENGTI0",
         17, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_bodiless(cases[i].told, cases[i].len);
        expect(cases[i].told, cases[i].len, "", 0);
        ck_assert_msg((feed() == REQUEST_FRAME_WHOLE) == cases[i].is_whole, "case %zu", i);
        if (cases[i].is_whole)
            assert_whole();
        put_record(&wire, FCGI_STDIN, ID, "", 0, 0);
        ck_assert_int_eq(feed(), REQUEST_FRAME_WHOLE);
        assert_whole();
        ck_assert_int_eq(frame.ends_early, cases[i].is_whole);
    }
}
END_TEST

START_TEST(the_late_end_of_a_body_is_dropped)
{
    size_t used, whole;

    put_bodiless(NO_BODY, 17);
    whole = wire.len;
    put_record(&wire, FCGI_STDIN, ID, "", 0, 7);
    request_frame_feed(&frame, wire.bytes, wire.len, &used);
    ck_assert_uint_eq(used, whole);
    request_frame_clear(&frame);
    ck_assert_int_eq(request_frame_feed(&frame, wire.bytes + whole, wire.len - whole, &used),
                     REQUEST_FRAME_OPEN);
    ck_assert(request_frame_is_empty(&frame));
    ck_assert_ptr_null(frame.bytes);

    wire.len = 0;
    put_request(&wire, PARAMS, BODY, 100, 0);
    expect(PARAMS, BODY);
    request_frame_feed(&frame, wire.bytes, wire.len, &used);
    assert_whole();
}
END_TEST

START_TEST(late_ends_have_a_limit)
{
    for (size_t i = 0; i < REQUEST_FRAME_DROPPED_MAX / 256; i++)
        put_record(&wire, FCGI_STDIN, ID, "", 0, 248);
    ck_assert_int_eq(feed(), REQUEST_FRAME_OPEN);
    put_record(&wire, FCGI_STDIN, ID, "", 0, 0);
    ck_assert_int_eq(feed(), REQUEST_FRAME_REFUSED);
}
END_TEST

/* ---- What is refused */

enum after { NOTHING, BEGUN, TOLD, TOLD_ALL };

/* One record after so much of a request. */
struct intruder {
    enum after after;
    uint8_t version, type;
    uint16_t id;
    const char *content;
    uint8_t len;
};

static void put_until(enum after after)
{
    if (after >= BEGUN)
        put_record(&wire, FCGI_BEGIN_REQUEST, ID, begin, sizeof begin, 0);
    if (after >= TOLD)
        put_record(&wire, FCGI_PARAMS, ID, PARAMS, 0);
    if (after >= TOLD_ALL)
        put_record(&wire, FCGI_PARAMS, ID, "", 0, 0);
}

static const struct intruder intruders[] = {
    {NOTHING, 0, FCGI_BEGIN_REQUEST, ID, "\0\1\1\0\0\0\0", 8},
    {NOTHING, 2, FCGI_BEGIN_REQUEST, ID, "\0\1\1\0\0\0\0", 8},
    {NOTHING, 1, FCGI_BEGIN_REQUEST, ID, "\0\1\1\0\0\0", 7},
    {NOTHING, 1, FCGI_BEGIN_REQUEST, ID, "\0\1\1\0\0\0\0\0", 9},
    {NOTHING, 1, FCGI_BEGIN_REQUEST, ID, "", 0},
    {NOTHING, 1, FCGI_BEGIN_REQUEST, ID, "\0\0\1\0\0\0\0", 8},
    {NOTHING, 1, FCGI_BEGIN_REQUEST, ID, "\0\2\1\0\0\0\0", 8},
    {NOTHING, 1, FCGI_BEGIN_REQUEST, ID, "\0\3\1\0\0\0\0", 8},
    {NOTHING, 1, FCGI_BEGIN_REQUEST, ID, "\1\1\1\0\0\0\0", 8},
    {NOTHING, 1, FCGI_BEGIN_REQUEST, 0, "\0\1\1\0\0\0\0", 8},
    {NOTHING, 1, FCGI_ABORT_REQUEST, ID, "x", 1},
    {NOTHING, 1, FCGI_ABORT_REQUEST, 0, "", 0},
    {NOTHING, 1, FCGI_PARAMS, ID, "\1\1xy", 4},
    {NOTHING, 1, FCGI_PARAMS, ID, "\0\1\1\0\0\0\0", 8},
    {NOTHING, 1, FCGI_STDIN, ID, "x", 1},
    {NOTHING, 1, FCGI_STDIN, 0, "x", 1},
    {NOTHING, 1, FCGI_STDIN, 0, "", 0},
    {NOTHING, 1, FCGI_PARAMS, ID, "", 0},
    {NOTHING, 1, FCGI_DATA, ID, "", 0},
    {NOTHING, 1, FCGI_GET_VALUES, ID, "", 0},
    {NOTHING, 1, 0, 0, "", 0},
    {NOTHING, 1, FCGI_DATA, 0, "", 0},
    {NOTHING, 1, FCGI_UNKNOWN_TYPE + 1, 0, "", 0},
    {NOTHING, 2, FCGI_GET_VALUES, 0, "", 0},

    {BEGUN, 1, FCGI_BEGIN_REQUEST, ID, "\0\1\1\0\0\0\0", 8},
    {BEGUN, 1, FCGI_BEGIN_REQUEST, ID + 1, "\0\1\1\0\0\0\0", 8},
    {BEGUN, 1, FCGI_STDIN, ID, "x", 1},
    {BEGUN, 1, FCGI_STDIN, ID, "", 0},
    {BEGUN, 1, FCGI_PARAMS, ID + 1, "\1\1xy", 4},
    {BEGUN, 1, FCGI_PARAMS, ID + 0x100, "\1\1xy", 4},
    {BEGUN, 1, FCGI_PARAMS, 0, "\1\1xy", 4},
    {BEGUN, 2, FCGI_PARAMS, ID, "\1\1xy", 4},
    {BEGUN, 1, FCGI_ABORT_REQUEST, ID, "x", 1},
    {BEGUN, 1, FCGI_ABORT_REQUEST, ID + 1, "", 0},
    {BEGUN, 1, FCGI_ABORT_REQUEST, 0, "", 0},

    {TOLD, 1, FCGI_STDIN, ID, "x", 1},
    {TOLD, 1, FCGI_STDIN, ID, "", 0},
    {TOLD, 1, FCGI_BEGIN_REQUEST, ID, "\0\1\1\0\0\0\0", 8},

    {TOLD_ALL, 1, FCGI_PARAMS, ID, "\1\1xy", 4},
    {TOLD_ALL, 1, FCGI_PARAMS, ID, "", 0},
    {TOLD_ALL, 1, FCGI_BEGIN_REQUEST, ID, "\0\1\1\0\0\0\0", 8},
    {TOLD_ALL, 1, FCGI_BEGIN_REQUEST, ID + 1, "\0\1\1\0\0\0\0", 8},
    {TOLD_ALL, 1, FCGI_STDIN, ID - 1, "x", 1},
    {TOLD_ALL, 1, FCGI_STDIN, 0, "x", 1},
    {TOLD_ALL, 1, FCGI_ABORT_REQUEST, ID, "x", 1},
    {TOLD_ALL, 1, FCGI_DATA, ID, "x", 1},
    {TOLD_ALL, 1, FCGI_END_REQUEST, ID, "\0\0\0\0\0\0\0", 8},
    {TOLD_ALL, 1, FCGI_STDOUT, ID, "x", 1},
    {TOLD_ALL, 1, FCGI_STDERR, ID, "x", 1},
    {TOLD_ALL, 1, FCGI_UNKNOWN_TYPE + 1, ID, "", 0},
    {TOLD_ALL, 1, 0xff, ID, "", 0},
    {TOLD_ALL, 0, FCGI_STDIN, ID, "x", 1},
};

START_TEST(what_is_out_of_order_is_refused)
{
    for (size_t i = 0; i < sizeof intruders / sizeof intruders[0]; i++) {
        const struct intruder *one = &intruders[i];
        size_t before;

        wire.len = 0;
        put_until(one->after);
        ck_assert_int_eq(feed(), REQUEST_FRAME_OPEN);
        before = wire.len;
        put_record(&wire, one->type, one->id, one->content, one->len, 0);
        wire.bytes[before] = one->version;
        ck_assert_msg(feed() == REQUEST_FRAME_REFUSED, "case %zu", i);
        ck_assert_msg(feed_in_pieces(1) == REQUEST_FRAME_REFUSED, "case %zu, in pieces", i);
    }
}
END_TEST

START_TEST(a_request_may_be_given_up)
{
    static const enum after afters[] = {BEGUN, TOLD, TOLD_ALL};
    size_t used;

    for (size_t i = 0; i < sizeof afters / sizeof afters[0]; i++) {
        size_t end;

        wire.len = 0;
        put_until(afters[i]);
        put_record(&wire, FCGI_ABORT_REQUEST, ID, "", 0, 3);
        end = wire.len;
        put_request(&wire, PARAMS, BODY, 100, 0);
        ck_assert_int_eq(feed_in_pieces(1), REQUEST_FRAME_ABORTED);
        request_frame_clear(&frame);
        ck_assert_int_eq(request_frame_feed(&frame, wire.bytes, wire.len, &used),
                         REQUEST_FRAME_ABORTED);
        ck_assert_uint_eq(used, end);
        ck_assert_uint_eq(frame.id, ID);
        request_frame_clear(&frame);
        ck_assert(request_frame_is_empty(&frame));
        expect(PARAMS, BODY);
        ck_assert_int_eq(request_frame_feed(&frame, wire.bytes + end, wire.len - end, &used),
                         REQUEST_FRAME_WHOLE);
        assert_whole();
        request_frame_clear(&frame);
    }
}
END_TEST

/* When its answer may be on its way already. */
START_TEST(a_whole_request_is_given_up_too_late)
{
    put_record(&wire, FCGI_ABORT_REQUEST, ID, "", 0, 0);
    ck_assert_int_eq(feed(), REQUEST_FRAME_OPEN);
    ck_assert(request_frame_is_empty(&frame));
    ck_assert_uint_eq(frame.aborted_id, ID);
}
END_TEST

START_TEST(a_refused_frame_takes_nothing_more)
{
    size_t used;

    put_record(&wire, FCGI_STDIN, ID, "x", 1, 0);
    ck_assert_int_eq(feed(), REQUEST_FRAME_REFUSED);
    ck_assert_int_eq(request_frame_feed(&frame, wire.bytes, wire.len, &used),
                     REQUEST_FRAME_REFUSED);
    ck_assert_uint_eq(used, 0);
}
END_TEST

/* libfcgi would allocate by these lengths, or read beyond what there is. */
START_TEST(parameters_must_fit_together)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool is_sound;
    } cases[] = {
        {"\1\1ab", 4, true},
        {"\1\0a", 3, true},
        {"\0\0", 2, true},
        {"\x80\0\0\1\x80\0\0\1ab", 10, true},
        {"\1\1ab\1", 5, false},
        {"\1\1a", 3, false},
        {"\1\1abc", 5, false},
        {"\2\1ab", 4, false},
        {"\1\2ab", 4, false},
        {"\3\0ab", 4, false},
        {"\x80\0\0", 3, false},
        {"\x80\0\0\1", 4, false},
        {"\x80\0\0\1\x80\0\0", 7, false},
        {"\x80\0\0\1\x80\0\0\1a", 9, false},
        {"\xff\xff\xff\xff\xff\xff\xff\xff", 8, false},
        {"\1\xff\xff\xff\xff\0", 6, false},
        {"\xff\xff\xff\xff\1", 5, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t size = 1; size < 12; size++) {
            wire.len = 0;
            put_request(&wire, cases[i].bytes, cases[i].len, BODY, size, 0);
            ck_assert_msg(feed() ==
                              (cases[i].is_sound ? REQUEST_FRAME_WHOLE : REQUEST_FRAME_REFUSED),
                          "case %zu", i);
        }
}
END_TEST

/* ---- Memory */

START_TEST(a_usual_request_takes_one_allocation)
{
    char text[1400];

    memset(text, 'x', sizeof text);
    put_request(&wire, param_of(500), 500, text, sizeof text, 100, 0);
    allow_allocations(1);
    ck_assert_int_eq(feed(), REQUEST_FRAME_WHOLE);
    ck_assert_uint_eq(allocations, 1);
}
END_TEST

START_TEST(without_memory_it_is_refused)
{
    fill_large();
    put_request(&wire, PARAMS, large, REQUEST_FRAME_BODY_MAX, 30000, 0);
    allow_allocations(UINT32_MAX);
    ck_assert_int_eq(feed(), REQUEST_FRAME_WHOLE);
    for (unsigned allowed = 0, needed = allocations; allowed < needed; allowed++) {
        allow_allocations(allowed);
        ck_assert_int_eq(feed(), REQUEST_FRAME_REFUSED);
        ck_assert_int_eq(feed_in_pieces(1000), REQUEST_FRAME_REFUSED);
    }
    allow_allocations(UINT32_MAX);
    ck_assert_int_eq(feed(), REQUEST_FRAME_WHOLE);
}
END_TEST

START_TEST(what_is_freed_was_wiped)
{
    char *unwiped;

    memset(large, 'x', 50000);
    for (size_t at = 0; at < 50000; at += 500)
        memcpy(large + at, SECRET, sizeof SECRET - 1);
    put_request(&wire, PARAMS, large, 50000, 30000, 0);
    allow_allocations(UINT32_MAX);
    ck_assert_int_eq(feed(), REQUEST_FRAME_WHOLE);
    ck_assert_uint_gt(allocations, 2);
    is_watched = true;
    request_frame_clear(&frame);
    is_watched = false;
    ck_assert_uint_eq(secrets_left, 0);

    /* And what was not wiped is seen. */
    unwiped = malloc(sizeof SECRET);
    ck_assert_ptr_nonnull(unwiped);
    memcpy(unwiped, SECRET, sizeof SECRET);
    is_watched = true;
    __wrap_free(unwiped);
    is_watched = false;
    ck_assert_uint_eq(secrets_left, 1);
}
END_TEST

/* ---- libfcgi */

/* A pipe with the frame's bytes and nothing after them. */
static int piped(void)
{
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_ge(fcntl(ends[1], F_SETPIPE_SZ, REQUEST_FRAME_MAX), REQUEST_FRAME_MAX);
    ck_assert_int_eq(write(ends[1], frame.bytes, frame.len), (ssize_t)frame.len);
    close(ends[1]);
    return ends[0];
}

static FCGX_Request fcgx;

static void accept_frame(void)
{
    ck_assert_int_eq(FCGX_Init(), 0);
    ck_assert_int_eq(FCGX_InitRequest(&fcgx, -1, 0), 0);
    fcgx.ipcFd = piped();
    fcgx.keepConnection = fcgx.detached = 1;
    ck_assert_int_eq(FCGX_Accept_r(&fcgx), 0);
}

static void assert_body(const void *bytes, size_t len)
{
    static char read[REQUEST_FRAME_BODY_MAX + 1];

    ck_assert_int_eq(FCGX_GetStr(read, sizeof read, fcgx.in), (int)len);
    ck_assert_mem_eq(read, bytes, len);
    ck_assert_int_ne(FCGX_HasSeenEOF(fcgx.in), 0);
    ck_assert_int_eq(FCGX_GetError(fcgx.in), 0);
    FCGX_Free(&fcgx, 1);
}

START_TEST(libfcgi_reads_what_was_sent)
{
    static const size_t sizes[] = {1, 13, 65535};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        wire.len = 0;
        put_record(&wire, FCGI_GET_VALUES, 0, PARAMS, 4);
        put_request(&wire, PARAMS, BODY, sizes[i], (uint8_t)(3 * i));
        ck_assert_int_eq(feed(), REQUEST_FRAME_WHOLE);
        accept_frame();
        ck_assert_str_eq(fcgx.envp[0], "FCGI_ROLE=RESPONDER");
        ck_assert_str_eq(fcgx.envp[1], "REQUEST_METHOD=POST");
        ck_assert_str_eq(fcgx.envp[2], "REQUEST_URI=/api/register");
        ck_assert_str_eq(fcgx.envp[3], "EMPTY=");
        ck_assert_str_eq(fcgx.envp[4], "=x");
        ck_assert_ptr_null(fcgx.envp[5]);
        ck_assert_int_eq(fcgx.requestId, ID);
        ck_assert_int_ne(fcgx.keepConnection, 0);
        assert_body(BODY);
    }
}
END_TEST

START_TEST(libfcgi_reads_the_largest_request)
{
    const size_t value = REQUEST_FRAME_PARAMS_MAX - 6;

    fill_large();
    put_request(&wire, param_of(REQUEST_FRAME_PARAMS_MAX), REQUEST_FRAME_PARAMS_MAX, large,
                REQUEST_FRAME_BODY_MAX + 1, 65535, 1);
    ck_assert_int_eq(feed(), REQUEST_FRAME_WHOLE);
    accept_frame();
    ck_assert_uint_eq(strlen(fcgx.envp[1]), 2 + value);
    ck_assert_uint_eq(strspn(fcgx.envp[1], "n="), 2 + value);
    ck_assert_ptr_null(fcgx.envp[2]);
    assert_body(large, REQUEST_FRAME_BODY_MAX);
}
END_TEST

START_TEST(libfcgi_reads_a_request_of_nothing)
{
    put_request(&wire, "", 0, "", 0, 1, 0);
    ck_assert_int_eq(feed(), REQUEST_FRAME_WHOLE);
    accept_frame();
    ck_assert_ptr_null(fcgx.envp[1]);
    assert_body("", 0);
}
END_TEST

UNIT_MAIN_WITH("request_frame", NULL, teardown, a_request_is_whole_at_its_last_byte,
               pieces_do_not_matter, the_next_request_is_left,
               records_are_joined_and_lose_their_padding, nothing_but_begin_is_a_request_too,
               keep_conn_is_one_bit, parameters_have_a_limit, a_body_has_a_limit,
               what_is_dropped_has_a_limit, the_largest_request_fits,
               management_records_are_dropped, management_records_alone_are_no_request,
               management_records_have_a_limit,
               without_a_body_a_request_is_whole_at_the_end_of_its_parameters,
               the_late_end_of_a_body_is_dropped, late_ends_have_a_limit,
               what_is_out_of_order_is_refused, a_request_may_be_given_up,
               a_whole_request_is_given_up_too_late, a_refused_frame_takes_nothing_more,
               parameters_must_fit_together, a_usual_request_takes_one_allocation,
               without_memory_it_is_refused, what_is_freed_was_wiped, libfcgi_reads_what_was_sent,
               libfcgi_reads_the_largest_request, libfcgi_reads_a_request_of_nothing)
