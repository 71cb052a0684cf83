/* mostro-push-fcgi: one responder process, started by spawn-fcgi with the listening socket as
 * descriptor 0. Any number of them share that socket. */
#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "exchange.h"
#include "log.h"
#include "process.h"
#include "responder.h"
#include "wiping_json.h"

#define LISTEN_FD 0
#define TICK_MS   1000

static const char about[] =
    "Answers the HTTP API of Mostro Push. Started by spawn-fcgi under a web server:\n"
    "  spawn-fcgi -n -s /run/mostro-push/fcgi.sock -- mostro-push-fcgi";

/* Stop signals stay blocked but while the process waits, so that none cuts a request short. */
static void block_stop_signals(sigset_t *while_waiting)
{
    sigset_t stop;

    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTERM);
    (void)sigaddset(&stop, SIGINT);
    (void)sigaddset(&stop, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, &stop, while_waiting);
}

static volatile sig_atomic_t stopping;

static void stop(int signal_number)
{
    (void)signal_number;
    stopping = 1;
}

static void catch_stop_signals(void)
{
    struct sigaction action = {.sa_handler = stop};

    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGUSR1, &action, NULL);
}

/* All workers wait on one socket; each connection shall wake one of them, not all. */
static int watch_socket(void)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};
    int flags = fcntl(LISTEN_FD, F_GETFL);
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (flags < 0 || fcntl(LISTEN_FD, F_SETFL, flags | O_NONBLOCK) < 0 || epoll < 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, LISTEN_FD, &event) < 0) {
        log_error("cannot wait on the listening socket: %s", strerror(errno));
        return -1;
    }
    return epoll;
}

/* Waits for a connection, a stop signal, or the moment for a tick. */
static void wait_for_work(int epoll, const struct responder *responder,
                          const sigset_t *while_waiting)
{
    struct epoll_event event;
    int timeout = responder->counted ? TICK_MS : -1;

    (void)epoll_pwait(epoll, &event, 1, timeout, while_waiting);
}

/* Under load the process never waits, so it looks for a stop signal itself now and then. */
static void look_for_stop_signal(void)
{
    sigset_t pending;

    (void)sigpending(&pending);
    if (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1 ||
        sigismember(&pending, SIGUSR1) == 1)
        stopping = 1;
}

static void tick_if_due(struct responder *responder, uint64_t *ticked_ms)
{
    uint64_t now = clock_monotonic_ms();

    if (now - *ticked_ms < TICK_MS)
        return;
    *ticked_ms = now;
    responder_tick(responder);
    look_for_stop_signal();
}

static int serve(struct responder *responder, int epoll, const sigset_t *while_waiting)
{
    FCGX_Request fcgx;
    uint64_t ticked_ms = clock_monotonic_ms();

    if (FCGX_InitRequest(&fcgx, LISTEN_FD, FCGI_FAIL_ACCEPT_ON_INTR) != 0)
        return EXIT_FAILURE;
    while (!stopping) {
        int rc = FCGX_Accept_r(&fcgx);

        if (rc >= 0) {
            tick_if_due(responder, &ticked_ms);
            exchange_answer(&fcgx, responder);
            FCGX_Finish_r(&fcgx);
        } else if (rc == -EAGAIN || rc == -EINTR) {
            wait_for_work(epoll, responder, while_waiting);
            if (responder->counted)
                tick_if_due(responder, &ticked_ms);
        } else {
            log_error("cannot accept a connection: %s", strerror(-rc));
            FCGX_Free(&fcgx, 1);
            return EXIT_FAILURE;
        }
    }
    responder_tick(responder);
    FCGX_Free(&fcgx, 1);
    return EXIT_SUCCESS;
}

static int run(struct responder *responder)
{
    sigset_t while_waiting;
    int status = EXIT_FAILURE, epoll;

    if (FCGX_Init() != 0 || FCGX_IsCGI()) {
        log_error("descriptor 0 is not a listening socket: start this program with spawn-fcgi");
        return 2;
    }
    wiping_json_init();
    block_stop_signals(&while_waiting);
    catch_stop_signals();
    epoll = watch_socket();
    if (registry_check(responder->registry) != REGISTRY_OK &&
        registry_is_refused(responder->registry))
        log_error("refusing to start: Redis: %s", registry_down_reason(responder->registry));
    else if (epoll >= 0)
        status = serve(responder, epoll, &while_waiting);
    if (epoll >= 0)
        (void)close(epoll);
    return status;
}

int main(int argc, char **argv)
{
    struct settings *settings = NULL;
    struct responder *responder;
    enum process_mode mode =
        process_begin(argc, argv, "mostro-push-fcgi", about, SETTINGS_FCGI, &settings);
    int status = EXIT_SUCCESS;

    if (mode == PROCESS_DONE)
        return EXIT_SUCCESS;
    if (mode == PROCESS_FAILED)
        return 2;
    responder = responder_new(settings, stderr);
    if (responder == NULL)
        status = 2;
    else if (mode == PROCESS_RUN)
        status = run(responder);
    responder_free(&responder);
    settings_free(&settings);
    return status;
}
