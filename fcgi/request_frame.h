/* request_frame: finds where one FastCGI request begins and ends (FastCGI Specification 1.0,
 * sections 3.3, 5 and 6.2).
 *
 * libfcgi reads a descriptor until it has what it wants, and blocks meanwhile; a worker serves many
 * connections. So libfcgi is only handed whole requests, and this says when one is whole: it copies
 * the records of one request into a buffer of its own, joining those of a kind, without padding.
 * Since libfcgi never sees a byte beyond them, no part of one client's request can become part of
 * another's on a connection that is kept. Pure: no descriptors, no clock. Not thread-safe.
 *
 * Refused (the caller closes the connection): a version other than 1; anything before
 * BEGIN_REQUEST; a role other than responder; request id 0 for what is not a management record;
 * another id, or a second BEGIN_REQUEST, within a request; records out of order (PARAMS to their
 * end, then STDIN to its end); unknown types; more than REQUEST_FRAME_PARAMS_MAX of
 * parameters; parameters whose lengths do not fit together, which libfcgi would allocate memory by;
 * more than REQUEST_FRAME_DROPPED_MAX of what is dropped.
 *
 * Dropped are what a body has beyond REQUEST_FRAME_BODY_MAX; management records (id 0), for no web
 * server sends them and waits for an answer; and ends before BEGIN_REQUEST (aborted_id tells of one
 * that gives up). For HAProxy
 * 2.6 announces an empty chunked body as CONTENT_LENGTH 0 and never ends it: where the one
 * CONTENT_LENGTH is "0", a request is whole at the end of its PARAMS, and the end of STDIN that
 * other web servers send comes late. */
#ifndef MOSTRO_REQUEST_FRAME_H
#define MOSTRO_REQUEST_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUEST_FRAME_HEAD_SIZE   8
#define REQUEST_FRAME_PARAMS_MAX  65528            /* all that one record holds in whole octets */
#define REQUEST_FRAME_BODY_MAX    (128 * 1024 + 1) /* kept: one byte more than any route takes */
#define REQUEST_FRAME_DROPPED_MAX (8 * 1024 * 1024)

/* More than all records of a request can take. */
#define REQUEST_FRAME_MAX (REQUEST_FRAME_PARAMS_MAX + REQUEST_FRAME_BODY_MAX + 1024)

enum request_frame_state {
    REQUEST_FRAME_OPEN,    /* more is to come; where nothing has come yet, the connection is idle */
    REQUEST_FRAME_WHOLE,   /* the request's records are in `bytes` */
    REQUEST_FRAME_ABORTED, /* the web server has given it up (as HAProxy does when a client leaves):
                              to be ended, and cleared */
    REQUEST_FRAME_REFUSED  /* not a request, or no memory: to be cleared */
};

/* All zero is a frame in which nothing has come; it owns no memory then. The caller reads the first
 * part. */
struct request_frame {
    uint8_t *bytes; /* the records; secret: request_frame_clear() wipes them */
    size_t len;
    uint16_t id;           /* of the request; 0: BEGIN_REQUEST is to come */
    bool keeps_connection; /* FCGI_KEEP_CONN; known when it is whole */
    bool ends_early;       /* it is whole, and the end of its STDIN may still come */
    uint16_t aborted_id;   /* of a request before this one, given up after it was whole; or 0 */
    uint32_t params_size;  /* of this one, announced by heads so far */
    enum request_frame_state state;

    /* The frame's own. */
    uint8_t head[REQUEST_FRAME_HEAD_SIZE]; /* of the record that comes */
    uint8_t head_len;
    uint8_t padding_left;
    uint16_t content_left;
    uint16_t kept_left; /* of it: what is to be copied */
    bool has_params;    /* to their end */
    uint32_t size;      /* of the memory at `bytes` */
    uint32_t record;    /* where in `bytes` the record is that may be continued */
    uint32_t body_size; /* of what is kept, announced so far; the same for the next */
    uint32_t dropped_size;
};

/* Takes the next bytes; *used says how many of them belong to this request: fewer than `len` only
 * when it is whole (or refused, when it does not matter). A frame that is not open takes none. */
enum request_frame_state request_frame_feed(struct request_frame *frame, const uint8_t *bytes,
                                            size_t len, size_t *used);

/* Whether nothing of a request has come, nor a part of any record. */
bool request_frame_is_empty(const struct request_frame *frame);

/* Wipes and frees; the frame is then as new. */
void request_frame_clear(struct request_frame *frame);

#endif
