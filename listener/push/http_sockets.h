/* http_sockets: the sockets that libcurl has open for one HTTP client, and how long each may keep
 * the client's thread.
 *
 * libcurl is trusted to come back, but a peer that always has something for it to read might keep
 * it: then another thread breaks the connection off, and it finds the connection's end. libcurl
 * closes sockets when it likes (7.88 does not always call CURLOPT_CLOSESOCKETFUNCTION), so each is
 * known by its inode, too: a descriptor that has become something else is left alone. Times are
 * milliseconds of clock_monotonic_ms(). */
#ifndef MOSTRO_HTTP_SOCKETS_H
#define MOSTRO_HTTP_SOCKETS_H

#include <stdint.h>

#define HTTP_SOCKETS_KEPT_MS 1000 /* kept inside libcurl for so long, the thread is to be freed */

struct http_sockets;

/* NULL when out of memory. */
struct http_sockets *http_sockets_new(void);

/* Closes none. */
void http_sockets_free(struct http_sockets **sockets);

/* As socket(2), close-on-exec; the request it is for is to end by `until_ms`. -1: none. */
int http_sockets_open(struct http_sockets *sockets, int family, int type, int protocol,
                      int64_t until_ms);

/* It is used for another request as well. */
void http_sockets_use(struct http_sockets *sockets, int fd, int64_t until_ms);

/* The client's thread calls libcurl, and has come back. */
void http_sockets_enter(struct http_sockets *sockets, int64_t now_ms);
void http_sockets_leave(struct http_sockets *sockets);

/* Any thread. Shuts down what should have ended HTTP_SOCKETS_KEPT_MS ago (idle connections too) if
 * the client's thread has been inside libcurl as long; returns how many. */
unsigned http_sockets_break_off(struct http_sockets *sockets, int64_t now_ms);

#endif
