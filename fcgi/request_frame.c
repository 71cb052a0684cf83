#include "request_frame.h"

#include <fastcgi.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/wipe.h"
#include "request.h"

/* A usual request fits: its headers take 500 to 1,500 bytes of parameters. */
#define FIRST_SIZE 2048

/* The most in one record that leaves it a multiple of 8 bytes. */
#define RECORD_MAX 65528

#define BEGIN_SIZE ((uint32_t)sizeof(FCGI_BeginRequestBody))

_Static_assert(REQUEST_FRAME_HEAD_SIZE == FCGI_HEADER_LEN, "the heads that we keep");
_Static_assert(REQUEST_FRAME_BODY_MAX == REQUEST_BODY_MAX + 1, "a body that is too long shows");
_Static_assert(REQUEST_FRAME_PARAMS_MAX <= RECORD_MAX, "the parameters are one piece");

/* ---- Heads, as they are sent */

struct head {
    uint8_t version, type;
    uint16_t id, content;
    uint8_t padding;
};

static struct head read_head(const uint8_t *bytes)
{
    return (struct head){
        .version = bytes[0],
        .type = bytes[1],
        .id = (uint16_t)(bytes[2] << 8 | bytes[3]),
        .content = (uint16_t)(bytes[4] << 8 | bytes[5]),
        .padding = bytes[6],
    };
}

static void write_content_length(uint8_t *head, size_t len)
{
    head[4] = (uint8_t)(len >> 8);
    head[5] = (uint8_t)len;
}

/* ---- The copy */

static void refuse(struct request_frame *frame)
{
    frame->state = REQUEST_FRAME_REFUSED;
}

/* No realloc(3): what it leaves behind would not be wiped. */
static bool make_room(struct request_frame *frame, size_t more)
{
    size_t size = frame->size > 0 ? frame->size : FIRST_SIZE;
    uint8_t *bytes;

    MUST(frame->len + more <= REQUEST_FRAME_MAX);
    if (frame->len + more <= frame->size)
        return true;
    while (size < frame->len + more)
        size *= 2;
    bytes = malloc(size);
    if (bytes == NULL)
        return false;
    if (frame->len > 0)
        memcpy(bytes, frame->bytes, frame->len);
    wipe_free_bytes((char *)frame->bytes, frame->len);
    frame->bytes = bytes;
    frame->size = (uint32_t)size;
    return true;
}

static bool append(struct request_frame *frame, const uint8_t *bytes, size_t len)
{
    if (!make_room(frame, len))
        return false;
    memcpy(frame->bytes + frame->len, bytes, len);
    frame->len += len;
    return true;
}

/* Begins a record of the request that comes. */
static bool append_head(struct request_frame *frame, uint8_t type)
{
    uint8_t head[FCGI_HEADER_LEN] = {FCGI_VERSION_1, type, frame->head[2], frame->head[3]};

    frame->record = (uint32_t)frame->len;
    return append(frame, head, sizeof head);
}

/* How much more content the last record takes: none where there is no record yet. */
static size_t room_in_record(const struct request_frame *frame)
{
    if (frame->len == 0 || frame->bytes[frame->record + 1] != frame->head[1])
        return 0;
    return RECORD_MAX - (frame->len - frame->record - FCGI_HEADER_LEN);
}

/* Copies as content of the type that comes: into the last record, if that is of this type, and into
 * new ones. */
static void copy_content(struct request_frame *frame, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        size_t room = room_in_record(frame), take;

        if (room == 0 && !append_head(frame, frame->head[1])) {
            refuse(frame);
            return;
        }
        room = room > 0 ? room : RECORD_MAX;
        take = len < room ? len : room;
        if (!append(frame, bytes, take)) {
            refuse(frame);
            return;
        }
        write_content_length(frame->bytes + frame->record,
                             frame->len - frame->record - FCGI_HEADER_LEN);
        bytes += take;
        len -= take;
    }
}

/* ---- Parameters */

/* One byte, or four where the first bit is set. */
static bool take_length(const uint8_t **at, const uint8_t *end, size_t *length)
{
    const uint8_t *bytes = *at;
    size_t size = bytes < end && bytes[0] >= 0x80 ? 4 : 1;

    if ((size_t)(end - bytes) < size)
        return false;
    if (size == 1)
        *length = bytes[0];
    else
        *length = (size_t)(bytes[0] & 0x7f) << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 |
                  bytes[3];
    *at += size;
    return true;
}

/* Whether pairs of name and value fill the bytes; *has_no_body where one of them says so. libfcgi
 * allocates what the lengths say before it sees that so much is not there, and before 2.4.5 their
 * sum could overflow. */
static bool read_pairs(const uint8_t *at, size_t len, bool *has_no_body)
{
    static const char length[] = "CONTENT_LENGTH";
    const uint8_t *end = at + len;
    unsigned lengths = 0;
    size_t name, value;

    while (at < end) {
        if (!take_length(&at, end, &name) || !take_length(&at, end, &value) ||
            name > (size_t)(end - at) || value > (size_t)(end - at) - name)
            return false;
        if (name == sizeof length - 1 && memcmp(at, length, name) == 0) {
            lengths++;
            *has_no_body = lengths == 1 && value == 1 && at[name] == '0';
        }
        at += name + value;
    }
    return true;
}

static bool read_params(const struct request_frame *frame, bool *has_no_body)
{
    *has_no_body = false;
    if (frame->params_size == 0)
        return true;
    return read_pairs(frame->bytes + FCGI_HEADER_LEN + BEGIN_SIZE + FCGI_HEADER_LEN,
                      frame->params_size, has_no_body);
}

/* ---- What comes */

/* Counts what a record will bring to be dropped; false where that is too much. */
static bool may_drop(struct request_frame *frame, size_t size)
{
    frame->dropped_size += (uint32_t)size;
    return frame->dropped_size <= REQUEST_FRAME_DROPPED_MAX;
}

static bool may_manage(struct request_frame *frame, const struct head *head)
{
    return head->type >= FCGI_GET_VALUES && head->type <= FCGI_UNKNOWN_TYPE &&
           may_drop(frame, (size_t)FCGI_HEADER_LEN + head->content + head->padding);
}

static bool is_abort(const struct head *head)
{
    return head->type == FCGI_ABORT_REQUEST && head->content == 0;
}

/* The end of the body of a request that was whole before it (CONTENT_LENGTH 0), or the end of one
 * that is given up too late. */
static bool is_late_end(const struct head *head)
{
    return (head->type == FCGI_STDIN && head->content == 0) || is_abort(head);
}

static bool may_begin(struct request_frame *frame, const struct head *head)
{
    if (is_abort(head))
        frame->aborted_id = head->id;
    if (is_late_end(head))
        return may_drop(frame, (size_t)FCGI_HEADER_LEN + head->padding);
    frame->id = head->id;
    return head->type == FCGI_BEGIN_REQUEST && head->content == BEGIN_SIZE;
}

static bool may_bring_body(struct request_frame *frame, const struct head *head)
{
    uint32_t kept = frame->body_size + head->content;

    kept = kept < REQUEST_FRAME_BODY_MAX ? kept : REQUEST_FRAME_BODY_MAX;
    frame->kept_left = (uint16_t)(kept - frame->body_size);
    frame->body_size = kept;
    return may_drop(frame, head->content - frame->kept_left);
}

/* Whether a record may come now; counts what it announces. */
static bool may_come(struct request_frame *frame, const struct head *head)
{
    if (head->version != FCGI_VERSION_1)
        return false;
    frame->kept_left = 0;
    if (head->id == FCGI_NULL_REQUEST_ID)
        return may_manage(frame, head);
    frame->kept_left = head->content;
    if (frame->id == 0)
        return may_begin(frame, head);
    if (head->id != frame->id)
        return false;
    if (is_abort(head))
        return true;
    if (frame->has_params)
        return head->type == FCGI_STDIN && may_bring_body(frame, head);
    frame->params_size += head->content;
    return head->type == FCGI_PARAMS && frame->params_size <= REQUEST_FRAME_PARAMS_MAX;
}

static size_t take_head(struct request_frame *frame, const uint8_t *bytes, size_t len)
{
    size_t take = (size_t)FCGI_HEADER_LEN - frame->head_len;
    struct head head;

    take = len < take ? len : take;
    memcpy(frame->head + frame->head_len, bytes, take);
    frame->head_len += (uint8_t)take;
    if (frame->head_len == FCGI_HEADER_LEN) {
        head = read_head(frame->head);
        frame->content_left = head.content;
        frame->padding_left = head.padding;
        if (!may_come(frame, &head))
            refuse(frame);
    }
    return take;
}

/* Copies what is to be kept, which comes first, and drops the rest. */
static size_t take_content(struct request_frame *frame, const uint8_t *bytes, size_t len)
{
    size_t take = len < frame->content_left ? len : frame->content_left;
    size_t kept = take < frame->kept_left ? take : frame->kept_left;

    copy_content(frame, bytes, kept);
    frame->content_left -= (uint16_t)take;
    frame->kept_left -= (uint16_t)kept;
    return take;
}

static size_t take_padding(struct request_frame *frame, size_t len)
{
    size_t take = len < frame->padding_left ? len : frame->padding_left;

    frame->padding_left -= (uint8_t)take;
    return take;
}

static void end_begin(struct request_frame *frame)
{
    const uint8_t *body = frame->bytes + FCGI_HEADER_LEN;

    if ((body[0] << 8 | body[1]) != FCGI_RESPONDER)
        refuse(frame);
    frame->keeps_connection = (body[2] & FCGI_KEEP_CONN) != 0;
}

static void end_body(struct request_frame *frame)
{
    frame->state = append_head(frame, FCGI_STDIN) ? REQUEST_FRAME_WHOLE : REQUEST_FRAME_REFUSED;
}

static void end_params(struct request_frame *frame)
{
    bool has_no_body;

    frame->has_params = true;
    if (!append_head(frame, FCGI_PARAMS) || !read_params(frame, &has_no_body))
        refuse(frame);
    else if (has_no_body)
        end_body(frame);
    frame->ends_early = frame->state == REQUEST_FRAME_WHOLE;
}

static void end_record(struct request_frame *frame)
{
    struct head head = read_head(frame->head);

    frame->head_len = 0;
    if (head.id == FCGI_NULL_REQUEST_ID || frame->id == 0)
        return; /* it was dropped */
    if (head.type == FCGI_BEGIN_REQUEST)
        end_begin(frame);
    else if (head.type == FCGI_ABORT_REQUEST)
        frame->state = REQUEST_FRAME_ABORTED;
    else if (head.content == 0 && frame->has_params)
        end_body(frame);
    else if (head.content == 0)
        end_params(frame);
}

static size_t take_next(struct request_frame *frame, const uint8_t *bytes, size_t len)
{
    if (frame->head_len < FCGI_HEADER_LEN)
        return take_head(frame, bytes, len);
    if (frame->content_left > 0)
        return take_content(frame, bytes, len);
    return take_padding(frame, len);
}

enum request_frame_state request_frame_feed(struct request_frame *frame, const uint8_t *bytes,
                                            size_t len, size_t *used)
{
    *used = 0;
    while (*used < len && frame->state == REQUEST_FRAME_OPEN) {
        *used += take_next(frame, bytes + *used, len - *used);
        if (frame->state == REQUEST_FRAME_OPEN && frame->head_len == FCGI_HEADER_LEN &&
            frame->content_left == 0 && frame->padding_left == 0)
            end_record(frame);
    }
    return frame->state;
}

bool request_frame_is_empty(const struct request_frame *frame)
{
    return frame->id == 0 && frame->head_len == 0;
}

void request_frame_clear(struct request_frame *frame)
{
    wipe_free_bytes((char *)frame->bytes, frame->len);
    *frame = (struct request_frame){0};
}
