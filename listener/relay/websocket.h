/* websocket: one outgoing WebSocket connection at a time (RFC 6455), made with libwebsockets.
 *
 * Owns the libwebsockets context, so that nothing else shares its loop. Whole messages are handed
 * over, reassembled up to a limit. Compression (RFC 7692) is not offered: what is encrypted hardly
 * gets shorter, and with it libwebsockets up to 4.3 (its issue 2794) hands a message that came
 * uncompressed, or a pong, over for ever. A peer that stops answering is found by pings within
 * WEBSOCKET_HANG_UP_S. It does not connect again by itself: the owner decides when.
 *
 * All functions but websocket_wake() belong to one thread, in which all callbacks are called, from
 * websocket_connect() or websocket_service(). No callback may call websocket_free() or
 * websocket_connect(). */
#ifndef MOSTRO_WEBSOCKET_H
#define MOSTRO_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nostr/relay_url.h"

#define WEBSOCKET_STEP_MS    10000 /* for the name, and then for each of its addresses */
#define WEBSOCKET_PING_S     15    /* without a word from the peer */
#define WEBSOCKET_HANG_UP_S  25
#define WEBSOCKET_FRAME_SIZE 4096 /* the largest frame to be sent */

struct websocket_callbacks {
    void (*on_open)(void *arg);

    /* One whole text message, valid until it returns. False: drop the connection. */
    bool (*on_text)(void *arg, const char *text, size_t len);

    /* A message that was binary or too long has ended; `what` says so. False as above. */
    bool (*on_unusable)(void *arg, const char *what);

    /* The connection takes a frame: write at most WEBSOCKET_FRAME_SIZE bytes and return how many,
     * 0 for none. Called again until it has none. */
    size_t (*on_writable)(void *arg, char *out);

    /* The connection is over, or could not be made. `why` is our own text or the library's. */
    void (*on_close)(void *arg, const char *why);
};

struct websocket_options {
    const struct relay_url *url;
    const char *ca_file; /* trusted beside the system's, or NULL */
    size_t max_message;
    const struct websocket_callbacks *callbacks;
    void *arg;
};

struct websocket;

/* The options' url and callbacks must outlive it. NULL with a line in the log. May be called for
 * several websockets one after another, while others are in use. */
struct websocket *websocket_new(const struct websocket_options *options);

/* Calls no callback. */
void websocket_free(struct websocket **websocket);

/* Starts to connect; on_open or on_close will tell. To be called when there is no connection. */
void websocket_connect(struct websocket *websocket);

/* Asks for on_writable. Does nothing while there is no open connection. */
void websocket_want_write(struct websocket *websocket);

/* Reads nothing more from the open connection until websocket_resume(), or reads again. A peer is
 * not taken for dead while it is not read. Does nothing while there is no open connection; a new
 * one is read. */
void websocket_pause(struct websocket *websocket);
void websocket_resume(struct websocket *websocket);

/* Waits until something happened, or for `wait_ms`, or until woken, and deals with it. */
void websocket_service(struct websocket *websocket, int64_t wait_ms);

/* When the peer of this or the last connection last ended a message or answered a ping: what it
 * sent before then has been handed over. Stands still while the connection is paused, and for
 * WEBSOCKET_BEHIND_MS after: what is read then may have been sent long before. */
#define WEBSOCKET_BEHIND_MS 1000
int64_t websocket_heard_ms(const struct websocket *websocket);

/* Ends the wait of websocket_service(), or the next one. Any thread. Does nothing where no
 * descriptor was left for this when the websocket was made. */
void websocket_wake(struct websocket *websocket);

#endif
