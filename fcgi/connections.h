/* connections: the web servers' connections to one worker.
 *
 * A connection carries one request at a time, and stays open after the answer where the web server
 * asks for that (FCGI_KEEP_CONN): then it costs a descriptor and this file's small record until the
 * next request. A request is read as its bytes come, however slowly, and begun when it is whole;
 * one that comes before the last one's answer waits for that. The worker closes no connection by
 * itself but one that makes no sense, is too slow, or was asked not to be kept: a request that is
 * on its way to a connection that is being closed is lost. A web server that closes the connection,
 * or gives the request up, has a request that waits for Redis answered at once (patience.h).
 *
 * A request with CONTENT_LENGTH 0 is answered before the end of its STDIN has come
 * (request_frame.h). Where the connection is then not kept, the worker waits for that end, or
 * LINGERING_MS.
 *
 * Bounds: READING_MS for a request to become whole; READING_BYTES_MAX for all that are being read,
 * beyond which those are closed, after their answer, that have sent a part of the next request
 * before it, and then the one that takes longest. */
#ifndef MOSTRO_CONNECTIONS_H
#define MOSTRO_CONNECTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct connections;
struct responder;

/* `epoll` is the set that the worker waits for (watch.h). Both must outlive it. NULL, with an error
 * logged, where it cannot be made. */
struct connections *connections_new(int epoll, struct responder *responder);

/* Closes all; no request may be under way. */
void connections_free(struct connections **connections);

/* Takes over an accepted connection, which must not block, and begins its request if that is there.
 */
void connections_take(struct connections *connections, int fd);

/* Call after the events of a turn: frees what was closed meanwhile, and closes what is too slow. */
void connections_tidy(struct connections *connections, int64_t now_ms);

/* Closes the connection that has been idle longest, to make room for another one; false where none
 * is. */
bool connections_close_idlest(struct connections *connections);

/* From now on every connection is closed after its answer. */
void connections_finish(struct connections *connections);

bool connections_are_gone(const struct connections *connections);

/* Whether requests are being read or are under way. */
bool connections_are_busy(const struct connections *connections);

#endif
