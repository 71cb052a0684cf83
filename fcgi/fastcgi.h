/* fastcgi: what the records of a whole request say, and the records of its answer, by libfcgi.
 *
 * The only file that knows libfcgi. libfcgi reads requests from a descriptor and blocks on it; so
 * that it never waits, it reads from a pipe into which the whole request was written before. It
 * writes answers to the connection, whose descriptor must not block. */
#ifndef MOSTRO_FASTCGI_H
#define MOSTRO_FASTCGI_H

#include <fcgiapp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct request;
struct request_frame;
struct response;

/* Whether descriptor 0 is a listening socket, as a FastCGI responder's is. To be called before the
 * others. From then on malloc(3) overwrites what is freed, but for small pieces. */
bool fastcgi_begin(void);

/* The pipe, and the room for one body. One for a worker. */
struct fastcgi_reader;

/* NULL, with an error logged, where the system gives no pipe or no memory. */
struct fastcgi_reader *fastcgi_reader_new(void);
void fastcgi_reader_free(struct fastcgi_reader **reader);

/* Has libfcgi read the request whose records `frame` holds, into `request`: its body lives until
 * fastcgi_wipe_body(), its strings until fastcgi_answer(), which must follow. False: libfcgi does
 * not take it, and nothing is kept of it. */
bool fastcgi_read(struct fastcgi_reader *reader, const struct request_frame *frame,
                  FCGX_Request *fcgx, struct request *request) __attribute__((warn_unused_result));

/* About how much memory libfcgi has for a request that was read from `frame`. */
size_t fastcgi_size(const struct request_frame *frame, const FCGX_Request *fcgx);
void fastcgi_wipe_body(struct fastcgi_reader *reader);

/* Writes the answer to `fd`. False: that failed, and `fd` has been closed. */
bool fastcgi_answer(FCGX_Request *fcgx, int fd, const struct response *response)
    __attribute__((warn_unused_result));

/* Says on `fd` that the request `id`, which the web server has given up, is over (FastCGI
 * Specification 1.0, section 5.4). False: that cannot be written now. */
bool fastcgi_end(int fd, uint16_t id) __attribute__((warn_unused_result));

#endif
