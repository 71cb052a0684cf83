#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "aide.h"
#include "base/clock.h"
#include "connections.h"
#include "fastcgi.h"
#include "log/log.h"
#include "registry/registry_pipeline.h"
#include "registry/stats.h"
#include "responder.h"
#include "responder_overview.h"
#include "watch.h"

#define EVENTS_MAX 64 /* of one turn of the loop, and so about the most calls in one write */
#define TURN_MS    1000

/* New connections in one turn: enough for their calls to share a write to Redis, and few, so that
 * several workers get their share of those that are kept. */
#define ACCEPTED_MAX 8

/* When it is to end: how long for a request that comes late to a connection that is kept, and how
 * long for one that comes slowly. */
#define IDLE_GRACE_MS 1000
#define BUSY_GRACE_MS 10000

#define COMPLAIN_EVERY_MS 10000

#define LINES_MAX 2

struct worker {
    int epoll;
    int listen_fd;
    int signal_fd;
    bool accepts;  /* listen_fd is waited for */
    bool stopping; /* since stopping_ms */
    bool failed;
    int64_t stopping_ms;
    struct stats stats;
    struct line {
        struct watch watch;
        struct registry_pipeline *pipeline;
        bool is_watched, is_full; /* its descriptor; it is also waited for to write */
    } lines[LINES_MAX]; /* to Redis: for all, or for all but registrations, and for these */
    size_t line_count;
    struct aide *aide;
    struct responder *responder;
    struct connections *connections;
    struct watch listen_watch, signal_watch, aide_watch;
};

/* Static, because a process has one, and the watches are told nothing but themselves. */
static struct worker worker = {.epoll = -1, .signal_fd = -1};

/* ---- Accepting or not ------------------------------------------------------------------------ */

/* Several workers share the socket: only some of them are to wake up for a connection. */
static void begin_accepting(void)
{
    worker.accepts =
        watch_add(worker.epoll, worker.listen_fd, &worker.listen_watch, EPOLLIN | EPOLLEXCLUSIVE);
}

static void pause_accepting(void)
{
    if (worker.accepts)
        watch_remove(worker.epoll, worker.listen_fd);
    worker.accepts = false;
}

/* ---- The end --------------------------------------------------------------------------------- */

/* Not closed: the next file that is opened would get its number, and be taken for it. */
static void give_up_listening(void)
{
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

    pause_accepting();
    if (nothing < 0)
        return; /* it goes with the process, then */
    (void)dup2(nothing, worker.listen_fd);
    (void)close(nothing);
}

static void stop(void)
{
    if (worker.stopping)
        return;
    worker.stopping = true;
    worker.stopping_ms = clock_monotonic_ms();
    give_up_listening();
    connections_finish(worker.connections);
}

static void signal_ready(struct watch *watch, uint32_t events)
{
    struct signalfd_siginfo info;

    (void)watch;
    (void)events;
    if (read(worker.signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        stop();
}

static bool is_done(int64_t now)
{
    int64_t waited = now - worker.stopping_ms;

    if (!worker.stopping)
        return false;
    return connections_are_gone(worker.connections) || waited >= BUSY_GRACE_MS ||
           (waited >= IDLE_GRACE_MS && !connections_are_busy(worker.connections));
}

/* ---- New connections ------------------------------------------------------------------------- */

/* Makes room by the connection that has been idle longest; where none is, waits a turn. */
static void run_short_of_descriptors(void)
{
    static struct log_pace pace;

    if (log_is_due(&pace, clock_monotonic_ms(), COMPLAIN_EVERY_MS))
        log_warn("worker: no descriptor is left for a connection: raise the limit of open files");
    if (!connections_close_idlest(worker.connections))
        pause_accepting();
}

/* False where there is none, or none can be had now. */
static bool accept_one(void)
{
    int fd = accept4(worker.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        connections_take(worker.connections, fd);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        run_short_of_descriptors();
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        log_error("worker: cannot accept a connection: %s", strerror(errno));
        worker.failed = true;
        stop();
    }
    return false;
}

static void listen_ready(struct watch *watch, uint32_t events)
{
    (void)watch;
    (void)events;
    for (int i = 0; i < ACCEPTED_MAX && !worker.stopping; i++)
        if (!accept_one())
            break;
}

/* ---- Redis ----------------------------------------------------------------------------------- */

static uint32_t redis_events(const struct line *line)
{
    return line->is_full ? EPOLLIN | EPOLLOUT : EPOLLIN;
}

/* Waits for a pipeline's descriptor, which goes from the set by itself when it is closed. */
static void watch_line(struct line *line)
{
    if (!registry_pipeline_is_open(line->pipeline)) {
        line->is_watched = line->is_full = false;
        aide_reconnect(worker.aide);
    } else if (!line->is_watched) {
        line->is_watched = watch_add(worker.epoll, registry_pipeline_fd(line->pipeline),
                                     &line->watch, redis_events(line));
    }
}

static void send_on(struct line *line)
{
    bool full = registry_pipeline_send(line->pipeline);

    if (full == line->is_full)
        return;
    line->is_full = full;
    if (line->is_watched && registry_pipeline_is_open(line->pipeline))
        watch_change(worker.epoll, registry_pipeline_fd(line->pipeline), &line->watch,
                     redis_events(line));
}

static void line_ready(struct watch *watch, uint32_t events)
{
    const struct line *line = (const struct line *)(void *)watch;

    if ((events & ~(uint32_t)EPOLLOUT) != 0 && registry_pipeline_is_open(line->pipeline))
        registry_pipeline_read(line->pipeline);
}

static void aide_ready(struct watch *watch, uint32_t events)
{
    (void)watch;
    (void)events;
    aide_serve(worker.aide);
}

/* ---- The loop -------------------------------------------------------------------------------- */

/* The earlier of two waits, of which a negative one is none. */
static int earlier(int one, int other)
{
    return one < 0 || (other >= 0 && other < one) ? other : one;
}

/* Does what is due now, and returns how long to wait for events. */
static int do_due(int64_t now)
{
    int wait_ms = worker.stopping ? IDLE_GRACE_MS / 10 : TURN_MS;

    for (size_t i = 0; i < worker.line_count; i++)
        wait_ms = earlier(wait_ms, registry_pipeline_expire(worker.lines[i].pipeline, now));
    wait_ms = earlier(wait_ms, responder_tend(worker.responder, now));
    for (size_t i = 0; i < worker.line_count; i++) {
        send_on(&worker.lines[i]);
        watch_line(&worker.lines[i]);
    }
    return wait_ms;
}

static void wait_for_events(int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(worker.epoll, events, EVENTS_MAX, timeout_ms);

    for (int i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;

        watch->ready(watch, events[i].events);
    }
}

static void serve(void)
{
    int64_t now = clock_monotonic_ms(), accepted_anew_ms = now;

    while (!is_done(now)) {
        wait_for_events(do_due(now));
        now = clock_monotonic_ms();
        connections_tidy(worker.connections, now);
        if (now - accepted_anew_ms >= TURN_MS && !worker.accepts && !worker.stopping) {
            accepted_anew_ms = now;
            begin_accepting();
        }
    }
}

/* ---- The beginning --------------------------------------------------------------------------- */

bool worker_check(const struct settings *settings)
{
    const struct responder_parts parts = {.settings = settings};
    struct responder *responder = responder_new(&parts, stderr);
    bool good = responder != NULL;

    if (good)
        responder_overview(responder, true);
    responder_free(&responder);
    return good;
}

/* A connection that is kept costs a descriptor: as many as the system lets us have. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static size_t most_descriptors(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (size_t)limit.rlim_cur : 0;
}

static bool open_signals(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGUSR1);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGHUP, SIG_IGN); /* it is for `workers`, which replaces this process */
    worker.signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return worker.signal_fd >= 0;
}

/* All workers share the socket: one that another worker was faster at must not block. Its flags are
 * shared with everybody who holds it, and systemd takes O_NONBLOCK back whenever it runs a command
 * of the unit, such as that of a reload: accept(2) then ends after this time (socket(7)). */
static bool open_listening(void)
{
    const struct timeval shortly = {.tv_usec = 1000};
    int flags = fcntl(worker.listen_fd, F_GETFL);

    return flags >= 0 && fcntl(worker.listen_fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
           setsockopt(worker.listen_fd, SOL_SOCKET, SO_RCVTIMEO, &shortly, sizeof(shortly)) == 0;
}

static bool open_descriptors(void)
{
    worker.epoll = epoll_create1(EPOLL_CLOEXEC);
    worker.listen_watch.ready = listen_ready;
    worker.signal_watch.ready = signal_ready;
    worker.aide_watch.ready = aide_ready;
    if (worker.epoll >= 0 && open_listening() && open_signals() &&
        watch_add(worker.epoll, worker.signal_fd, &worker.signal_watch, EPOLLIN) &&
        watch_add(worker.epoll, aide_fd(worker.aide), &worker.aide_watch, EPOLLIN))
        return true;
    log_error("worker: cannot set up what it waits for: %s", strerror(errno));
    return false;
}

static bool add_line(const struct settings *settings)
{
    struct line *line = &worker.lines[worker.line_count];

    line->watch.ready = line_ready;
    line->pipeline = registry_pipeline_new(settings, &worker.stats);
    worker.line_count += line->pipeline != NULL;
    return line->pipeline != NULL;
}

static bool make_parts(const struct settings *settings)
{
    bool good = add_line(settings);

    if (good)
        worker.aide = aide_new(settings, &worker.stats, worker.lines[0].pipeline);
    good = worker.aide != NULL;
    if (good && aide_is_replicated(worker.aide)) {
        good = add_line(settings);
        if (good) {
            registry_pipeline_confirm(worker.lines[1].pipeline);
            aide_add_pipeline(worker.aide, worker.lines[1].pipeline);
        }
    }
    if (!good)
        log_error("worker: out of memory");
    return good;
}

/* False: with this environment no worker can be of use. */
static bool make_responder(const struct settings *settings)
{
    const struct responder_parts parts = {.settings = settings,
                                          .stats = &worker.stats,
                                          .pipeline = worker.lines[0].pipeline,
                                          .registrar = worker.lines[worker.line_count - 1].pipeline,
                                          .aide = worker.aide,
                                          .waiting_max = most_descriptors() / 2};

    worker.responder = responder_new(&parts, stderr);
    if (worker.responder == NULL)
        return false;
    if (!fastcgi_begin()) {
        log_error(
            "worker: descriptor 0 is not a listening socket: start this program with spawn-fcgi");
        return false;
    }
    return true;
}

static bool start(void)
{
    return open_descriptors() &&
           (worker.connections = connections_new(worker.epoll, worker.responder)) != NULL &&
           aide_start(worker.aide);
}

static void free_parts(void)
{
    aide_free(&worker.aide);
    connections_free(&worker.connections);
    responder_free(&worker.responder);
    for (size_t i = 0; i < worker.line_count; i++)
        registry_pipeline_free(&worker.lines[i].pipeline);
    if (worker.signal_fd >= 0)
        (void)close(worker.signal_fd);
    if (worker.epoll >= 0)
        (void)close(worker.epoll);
}

static enum worker_end run(const struct settings *settings)
{
    if (!make_parts(settings))
        return WORKER_FAILED;
    if (!make_responder(settings))
        return WORKER_UNUSABLE;
    responder_overview(worker.responder, false);
    if (!start())
        return WORKER_FAILED;
    begin_accepting();
    serve();
    return worker.failed ? WORKER_FAILED : WORKER_STOPPED;
}

enum worker_end worker_run(const struct settings *settings, int listen_fd)
{
    enum worker_end end;

    worker.listen_fd = listen_fd;
    raise_descriptors();
    end = run(settings);
    free_parts();
    return end;
}
