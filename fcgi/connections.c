#include "connections.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "exchange.h"
#include "fastcgi.h"
#include "log/log.h"
#include "request_frame.h"
#include "responder.h"
#include "watch.h"

#define READING_MS        60000
#define LINGERING_MS      2000
#define READING_BYTES_MAX (16 * 1024 * 1024)
#define READ_SIZE         (64 * 1024)
#define CLOSED            (-1)

/* A request under way. */
struct turn {
    struct exchange exchange;
    FCGX_Request fcgx;
    struct connection *connection;
};

/* In one of the lists of `connections`. */
struct connection {
    struct watch watch;
    struct connections *all;
    int fd;          /* or CLOSED */
    bool is_watched; /* by epoll */
    bool is_last;    /* no request will be taken after the one under way */
    bool is_beginning;
    bool awaits_end; /* of the last request's STDIN, which is whole without it */
    bool has_served; /* until then its first request is on its way */
    struct turn *turn;
    struct request_frame frame; /* of the next request */
    int64_t since_ms;           /* when it came into its list */
    enum list { IDLE, READING, UNDER_WAY, LINGERING, GONE, LISTS } list;
    TAILQ_ENTRY(connection) next;
};

struct connections {
    int epoll;
    struct responder *responder;
    struct fastcgi_reader *reader;
    bool finishing;
    size_t reading_bytes;                                /* in the frames of all */
    TAILQ_HEAD(connection_list, connection) list[LISTS]; /* each with the longest in it first */
    uint8_t bytes[READ_SIZE];
};

struct connections *connections_new(int epoll, struct responder *responder)
{
    struct connections *all = calloc(1, sizeof *all);

    if (all == NULL) {
        log_error("worker: out of memory");
        return NULL;
    }
    all->epoll = epoll;
    all->responder = responder;
    for (int i = 0; i < LISTS; i++)
        TAILQ_INIT(&all->list[i]);
    all->reader = fastcgi_reader_new();
    if (all->reader == NULL)
        connections_free(&all);
    return all;
}

/* ---- From list to list ----------------------------------------------------------------------- */

static void move(struct connection *connection, enum list list)
{
    struct connections *all = connection->all;

    if (connection->list == list)
        return;
    TAILQ_REMOVE(&all->list[connection->list], connection, next);
    TAILQ_INSERT_TAIL(&all->list[list], connection, next);
    connection->list = list;
    connection->since_ms = clock_monotonic_ms();
}

static void forget_frame(struct connection *connection)
{
    connection->all->reading_bytes -= connection->frame.len;
    request_frame_clear(&connection->frame);
}

/* Its memory stays until connections_tidy(): epoll may already have told of it. */
static void close_connection(struct connection *connection)
{
    if (connection->fd != CLOSED)
        (void)close(connection->fd);
    connection->fd = CLOSED;
    forget_frame(connection);
    move(connection, GONE);
}

static bool try_to_watch(struct connection *connection)
{
    if (!connection->is_watched)
        connection->is_watched =
            watch_add(connection->all->epoll, connection->fd, &connection->watch, EPOLLIN);
    return connection->is_watched;
}

static void watch_it(struct connection *connection)
{
    if (!try_to_watch(connection)) {
        log_error("worker: cannot wait for a connection: %s", strerror(errno));
        close_connection(connection);
    }
}

static void ignore_it(struct connection *connection)
{
    if (connection->is_watched)
        watch_remove(connection->all->epoll, connection->fd);
    connection->is_watched = false;
}

/* ---- A request ------------------------------------------------------------------------------- */

static void settle(struct connection *connection);

static struct turn *turn_of(struct exchange *exchange)
{
    return (struct turn *)(void *)((char *)exchange - offsetof(struct turn, exchange));
}

/* One that is not kept is not watched otherwise, which would cost each request more. */
static void turn_delayed(struct exchange *exchange)
{
    struct connection *connection = turn_of(exchange)->connection;

    if (connection->frame.state != REQUEST_FRAME_WHOLE)
        (void)try_to_watch(connection);
}

static void turn_answered(struct exchange *exchange)
{
    struct turn *turn = turn_of(exchange);
    struct connection *connection = turn->connection;

    /* A web server that has gone away is its own business. */
    if (!fastcgi_answer(&turn->fcgx, connection->fd, &exchange->response)) {
        connection->fd = CLOSED;
        connection->is_last = true;
    }
    response_clear(&exchange->response);
    free(turn);
    connection->turn = NULL;
    connection->has_served = true;
    connection->is_last |= connection->all->finishing;
    if (!connection->is_beginning)
        settle(connection);
}

/* Hands the whole request to the responder, which may answer it at once. */
static void begin(struct connection *connection)
{
    struct connections *all = connection->all;
    struct turn *turn = malloc(sizeof *turn);
    bool is_read = turn != NULL && fastcgi_read(all->reader, &connection->frame, &turn->fcgx,
                                                &turn->exchange.request);

    connection->is_last |= !connection->frame.keeps_connection || !is_read;
    connection->awaits_end = connection->frame.ends_early;
    if (is_read)
        turn->exchange.size = sizeof *turn + fastcgi_size(&connection->frame, &turn->fcgx);
    forget_frame(connection);
    if (!is_read) {
        free(turn);
        return;
    }
    turn->connection = connection;
    turn->exchange.answered = turn_answered;
    turn->exchange.delayed = turn_delayed;
    memset(&turn->exchange.response, 0, sizeof turn->exchange.response);
    connection->turn = turn;
    move(connection, UNDER_WAY);
    connection->is_beginning = true;
    responder_answer(all->responder, &turn->exchange);
    connection->is_beginning = false;
    fastcgi_wipe_body(all->reader);
}

/* A web server that could not write the end of its request any more would take the answer for lost:
 * says that no more will be said, and waits for that end, or for the web server to close. */
static void linger(struct connection *connection)
{
    (void)shutdown(connection->fd, SHUT_WR);
    move(connection, LINGERING);
    watch_it(connection);
}

/* Takes the end from the socket: closed with it there, it would tell the web server of an error. */
static void end_lingering(struct connection *connection)
{
    uint8_t end[64];

    (void)recv(connection->fd, end, sizeof end, 0);
    close_connection(connection);
}

/* Puts a connection into the list where it belongs, once nothing more can be done with it now. */
static void settle(struct connection *connection)
{
    while (connection->turn == NULL && !connection->is_last &&
           connection->frame.state == REQUEST_FRAME_WHOLE)
        begin(connection);
    if (connection->turn != NULL)
        return;
    if (connection->is_last && connection->awaits_end && connection->fd != CLOSED) {
        linger(connection);
        return;
    }
    if (connection->is_last) {
        close_connection(connection);
        return;
    }
    move(connection, request_frame_is_empty(&connection->frame) ? IDLE : READING);
    watch_it(connection);
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* As the web server has given its request up. */
static void give_up(struct connection *connection)
{
    bool is_told = fastcgi_end(connection->fd, connection->frame.id);

    connection->is_last |= !connection->frame.keeps_connection || !is_told;
    forget_frame(connection);
}

static void feed(struct connection *connection, const uint8_t *bytes, size_t len)
{
    struct connections *all = connection->all;

    while (len > 0 && !connection->is_last) {
        struct request_frame *frame = &connection->frame;
        size_t before = frame->len, used;

        if (frame->state == REQUEST_FRAME_WHOLE) { /* one request may come early, no more */
            connection->is_last = true;
            return;
        }
        (void)request_frame_feed(frame, bytes, len, &used);
        all->reading_bytes += frame->len - before;
        if (frame->state == REQUEST_FRAME_REFUSED) {
            connection->is_last = true;
            return;
        }
        bytes += used;
        len -= used;
        if (frame->state == REQUEST_FRAME_ABORTED)
            give_up(connection);
        if (frame->state == REQUEST_FRAME_WHOLE && connection->turn == NULL)
            begin(connection);
        /* What has come after it is that end, or comes from a web server that wants no answer. */
        if (len > 0)
            connection->awaits_end = false;
    }
}

/* Whether the client of the request under way has left: the web server says so, or has closed the
 * connection. */
static bool has_left(const struct connection *connection, bool is_closed)
{
    const struct turn *turn = connection->turn;

    return turn != NULL && (is_closed || connection->frame.aborted_id == turn->fcgx.requestId);
}

/* Reads once. */
static void read_some(struct connection *connection)
{
    struct connections *all = connection->all;
    ssize_t n = recv(connection->fd, all->bytes, sizeof all->bytes, 0);
    bool is_closed = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);

    if (n > 0) {
        feed(connection, all->bytes, (size_t)n);
        explicit_bzero(all->bytes, (size_t)n);
    } else if (is_closed) {
        /* No request will come any more; one under way is answered all the same. */
        connection->is_last = true;
        connection->awaits_end = false;
    }
    if (is_closed || connection->frame.state == REQUEST_FRAME_WHOLE ||
        (connection->is_last && connection->turn == NULL))
        ignore_it(connection);
    if (has_left(connection, is_closed))
        responder_give_up(&connection->turn->exchange);
    settle(connection);
}

static void connection_ready(struct watch *watch, uint32_t events)
{
    struct connection *connection = (struct connection *)(void *)watch;

    (void)events;
    if (connection->list == LINGERING)
        end_lingering(connection);
    else if (connection->fd != CLOSED)
        read_some(connection);
}

void connections_take(struct connections *all, int fd)
{
    struct connection *connection = calloc(1, sizeof *connection);

    if (connection == NULL) {
        (void)close(fd);
        return;
    }
    connection->watch.ready = connection_ready;
    connection->all = all;
    connection->fd = fd;
    connection->list = IDLE;
    connection->since_ms = clock_monotonic_ms();
    TAILQ_INSERT_TAIL(&all->list[IDLE], connection, next);
    read_some(connection);
}

/* ---- All ------------------------------------------------------------------------------------- */

static void free_gone(struct connections *all)
{
    struct connection *connection;

    while ((connection = TAILQ_FIRST(&all->list[GONE])) != NULL) {
        TAILQ_REMOVE(&all->list[GONE], connection, next);
        free(connection);
    }
}

/* A web server may send its next request before the last one is answered, but cannot count on its
 * being taken: where memory is short, such a connection is closed after that answer. */
static void refuse_early(struct connections *all)
{
    struct connection *connection;

    for (connection = TAILQ_FIRST(&all->list[UNDER_WAY]);
         connection != NULL && all->reading_bytes > READING_BYTES_MAX;
         connection = TAILQ_NEXT(connection, next)) {
        if (connection->frame.len == 0)
            continue;
        forget_frame(connection);
        connection->is_last = true;
        ignore_it(connection);
    }
}

void connections_tidy(struct connections *all, int64_t now_ms)
{
    struct connection *slowest;

    refuse_early(all);
    while ((slowest = TAILQ_FIRST(&all->list[READING])) != NULL &&
           (now_ms - slowest->since_ms > READING_MS || all->reading_bytes > READING_BYTES_MAX))
        close_connection(slowest);
    while ((slowest = TAILQ_FIRST(&all->list[LINGERING])) != NULL &&
           now_ms - slowest->since_ms > LINGERING_MS)
        close_connection(slowest);
    free_gone(all);
}

bool connections_close_idlest(struct connections *all)
{
    struct connection *idlest = TAILQ_FIRST(&all->list[IDLE]);

    while (idlest != NULL && !idlest->has_served)
        idlest = TAILQ_NEXT(idlest, next);
    if (idlest != NULL)
        close_connection(idlest);
    return idlest != NULL;
}

void connections_finish(struct connections *all)
{
    all->finishing = true;
}

bool connections_are_busy(const struct connections *all)
{
    return !TAILQ_EMPTY(&all->list[READING]) || !TAILQ_EMPTY(&all->list[UNDER_WAY]);
}

bool connections_are_gone(const struct connections *all)
{
    return !connections_are_busy(all) && TAILQ_EMPTY(&all->list[IDLE]) &&
           TAILQ_EMPTY(&all->list[LINGERING]);
}

void connections_free(struct connections **connections)
{
    struct connections *all = *connections;

    if (all == NULL)
        return;
    for (int i = 0; i < GONE; i++)
        while (!TAILQ_EMPTY(&all->list[i]))
            close_connection(TAILQ_FIRST(&all->list[i]));
    free_gone(all);
    fastcgi_reader_free(&all->reader);
    free(all);
    *connections = NULL;
}
