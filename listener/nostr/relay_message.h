/* relay_message: what one text frame from a relay says (NIP-01, NIP-42).
 *
 * Knows no sockets and no clock. The frame is untrusted: it is bounded in size and nesting before
 * it is parsed, and a JSON object with a key twice is refused. */
#ifndef MOSTRO_RELAY_MESSAGE_H
#define MOSTRO_RELAY_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#define RELAY_MESSAGE_MAX_SIZE  (512 * 1024) /* a text of 65 KB in a gift wrap makes 131 KB */
#define RELAY_MESSAGE_MAX_DEPTH 16           /* an EVENT's tags are at 4 */

enum relay_message_type {
    RELAY_MESSAGE_EVENT,
    RELAY_MESSAGE_EOSE,
    RELAY_MESSAGE_CLOSED,
    RELAY_MESSAGE_NOTICE,
    RELAY_MESSAGE_AUTH,
    RELAY_MESSAGE_OK
};

/* A string of the frame: it need not end in a NUL, and may hold NULs. */
struct relay_text {
    const char *text;
    size_t len;
};

/* Everything in it belongs to `frame`. Unused members are empty. */
struct relay_message {
    enum relay_message_type type;
    struct relay_text subscription; /* EVENT, EOSE, CLOSED */
    struct relay_text text;     /* CLOSED, OK: the reason; NOTICE: the text; AUTH: the challenge */
    const json_t *event;        /* EVENT: an object, its form not yet checked */
    struct relay_text event_id; /* OK: as it came, not checked */
    bool accepted;              /* OK */
    json_t *frame;
};

/* False where the frame is none of these messages; nothing is owned then. Elements beyond those
 * that NIP-01 names are ignored. Release with relay_message_clear(). */
bool relay_message_parse(struct relay_message *message, const char *text, size_t len)
    __attribute__((warn_unused_result));
void relay_message_clear(struct relay_message *message);

#endif
