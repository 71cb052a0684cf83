/* http_client: many HTTPS requests at once in one thread, none of which blocks it.
 *
 * HTTP/1.1, or, where that is wanted and TLS offers it, HTTP/2 with connections that requests
 * share. TLS is always verified; TLS_CA_FILE is trusted beside the system's authorities. A key
 * exchange by Diffie-Hellman in a finite field is refused, for it costs us more than the peer.
 * Redirects are never followed; proxy variables, netrc and cookies do not exist here. What was sent
 * and received is wiped afterwards (libcurl's own buffers cannot be). No URL, header or body is
 * ever logged.
 *
 * One thread owns a client; http_client_wakeup() and http_client_guard() alone may be called from
 * another. That thread has SIGPIPE blocked or ignored. Times are milliseconds. */
#ifndef MOSTRO_HTTP_CLIENT_H
#define MOSTRO_HTTP_CLIENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct http_client;

/* How a request ended, by what the caller can conclude from it. */
enum http_result {
    HTTP_ANSWERED,        /* there is a status, though the body may have been cut short */
    HTTP_UNREACHABLE,     /* no connection: name, route, refusal, TLS, or not in time */
    HTTP_TIMED_OUT,       /* connected and asked; no answer in time */
    HTTP_BROKEN,          /* the connection failed, or what came is not HTTP */
    HTTP_ADDRESS_REFUSED, /* address_check admitted none of the host's addresses */
    HTTP_INVALID,         /* not a URL of an admitted scheme */
    HTTP_CANCELLED        /* by http_client_cancel_all() */
};

struct http_answer {
    enum http_result result;
    int status;                  /* HTTP_ANSWERED only, else 0 */
    const char *body;            /* a string; may hold NULs */
    size_t body_len;             /* at most answer_limit */
    bool cut_short;              /* HTTP_ANSWERED: there is more of the body than this */
    bool timed_out;              /* however it ended, it took all the time it was given */
    int64_t retry_after_ms;      /* -1: none was given */
    bool multiplexed;            /* HTTP/2: one connection carries many requests at once */
    char peer[INET6_ADDRSTRLEN]; /* the address connected to; "": there was no connection */
};

/* Called once a request, from http_client_wait() or http_client_cancel_all(); `answer` lives until
 * it returns. It may start further requests. */
typedef void http_done_fn(const struct http_answer *answer, void *arg);

/* Whether this address may be connected to. */
typedef bool http_address_fn(const struct sockaddr *address, socklen_t len);

/* Everything is copied. */
struct http_request {
    const char *url;
    const char *const *headers; /* "Name: value", ends with NULL */
    bool is_get;                /* else it is a POST */
    const char *body;
    size_t body_len;
    long connect_timeout_ms;
    long timeout_ms;     /* of the whole request */
    size_t answer_limit; /* bytes of body that are kept, at most HTTP_CLIENT_ANSWER_MAX; more are
                          * not waited for */
    bool allow_http;
    /* To wait for a connection that is being made rather than make another. Those who wait do so in
     * one line, whatever their host: not for hosts that strangers choose. */
    bool shares_connection;
    http_address_fn *address_check; /* NULL: any address */
};

#define HTTP_CLIENT_ANSWER_MAX (64 * 1024)

/* Whether a certificate can be read from this file. */
bool http_client_can_trust(const char *ca_file);

struct http_client_options {
    const char *ca_file; /* NULL: the system's authorities alone */
    bool http2;          /* else HTTP/1.1 alone, which takes a hostile peer's time, not ours */
    unsigned host_connections; /* at most, to one host */
};

/* NULL where the file cannot be read or memory is out, with an error logged. */
struct http_client *http_client_new(const struct http_client_options *options);

/* Cancels what is under way first. */
void http_client_free(struct http_client **client);

/* False where memory is out; then `done` is never called. `done` is never called from here. */
bool http_client_start(struct http_client *client, const struct http_request *request,
                       http_done_fn *done, void *arg) __attribute__((warn_unused_result));

/* Sends and receives, waiting for at most `timeout_ms` until something can be done or
 * http_client_wakeup() was called. */
void http_client_wait(struct http_client *client, int timeout_ms);
void http_client_wakeup(struct http_client *client);

/* The watchdog, for another thread: where the client's thread has been kept inside libcurl for
 * HTTP_SOCKETS_KEPT_MS, breaks off each connection whose last request should have ended as long
 * ago, so that libcurl has nothing more to read there. Returns how many. */
unsigned http_client_guard(struct http_client *client, int64_t now_ms);

void http_client_cancel_all(struct http_client *client);

/* Retry-After (RFC 9110 section 10.2.3): seconds or a date, as milliseconds from `now_s` (Unix),
 * at most a day; a date that has passed is 0. -1 for anything else. Pure. */
int64_t http_client_retry_after(const char *value, size_t len, int64_t now_s);

#endif
