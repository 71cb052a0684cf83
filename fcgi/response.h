/* response: what goes out.
 *
 * Made by the handlers, written by exchange.c. Owns its body. */
#ifndef MOSTRO_RESPONSE_H
#define MOSTRO_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESPONSE_REQUEST_ID_SIZE 37 /* a UUID in text and a NUL */

struct response {
    int status;
    const char *allow;                         /* of a 405, or NULL */
    unsigned retry_after_s;                    /* 0: no such header */
    char request_id[RESPONSE_REQUEST_ID_SIZE]; /* "" : no such header */
    bool without_body;        /* HEAD: headers as for GET, Content-Length included */
    const char *content_type; /* NULL: application/json */
    const char *body;
    size_t body_len;
    char *owned; /* the body where it was made for this response, or NULL */
};

void response_clear(struct response *response);

/* A body that is always the same; `body` must outlive the response. */
void response_constant(struct response *response, int status, const char *body);

/* Makes the body from a format. Out of memory: a 500 without a body. */
void response_json(struct response *response, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Takes over `body` (from malloc; NULL where memory ran out), of another type than JSON */
void response_text(struct response *response, int status, const char *content_type, char *body,
                   size_t len);

/* {"success":false,"message":"..."}; `message` must need no escaping. */
void response_error(struct response *response, int status, const char *message);

/* The same, with `text` (UTF-8, of any length) JSON-escaped between the two parts of the message.
 */
void response_error_about(struct response *response, int status, const char *before,
                          const char *text, const char *after);

/* Makes a UUIDv4 (RFC 9562, section 5.4) of random bytes, for X-Request-Id. */
#define RESPONSE_RANDOM_SIZE 16
void response_set_request_id(struct response *response, const uint8_t random[RESPONSE_RANDOM_SIZE]);

/* Status line and headers with the blank line, as the FastCGI server passes them on. Returns the
 * length, always below `size` for RESPONSE_HEAD_SIZE. */
#define RESPONSE_HEAD_SIZE 512
size_t response_head(const struct response *response, char *out, size_t size);

#endif
