/* mostro-push-fcgi: one responder process, started by spawn-fcgi with the listening socket as
 * descriptor 0. Any number of them share that socket. */
#include <errno.h>
#include <fcgiapp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/clock.h"
#include "exchange.h"
#include "log/log.h"
#include "responder.h"
#include "settings/settings.h"
#include "settings/startup.h"
#include "stop_signal.h"

#define LISTEN_FD 0
#define TICK_MS   1000

/* The longest wait for a connection before the next look whether it is to stop. */
#define WAIT_MS     250
#define TCP_WAIT_MS 2000

static const char about[] =
    "Answers the HTTP API of Mostro Push. Started by spawn-fcgi under a web server:\n"
    "  spawn-fcgi -n -s /run/mostro-push/fcgi.sock -- mostro-push-fcgi";

static bool is_tcp(void)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;

    return getsockname(LISTEN_FD, (struct sockaddr *)&address, &len) == 0 &&
           address.ss_family != AF_UNIX;
}

/* Makes accept(2) end after a while without a connection. All workers share the socket and this. A
 * TCP connection inherits it, so that a read waits no longer than that for a packet that was lost:
 * libfcgi would take the rest of the request for its end. */
static bool bound_the_wait(void)
{
    const long ms = is_tcp() ? TCP_WAIT_MS : WAIT_MS;
    const struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    if (setsockopt(LISTEN_FD, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0)
        return true;
    log_error("worker: cannot set up the listening socket: %s", strerror(errno));
    return false;
}

static int serve(struct responder *responder, const struct stop_signal *stop)
{
    FCGX_Request fcgx;
    int64_t ticked_ms = clock_monotonic_ms(), now;
    int status = EXIT_SUCCESS, rc;

    if (FCGX_InitRequest(&fcgx, LISTEN_FD, FCGI_FAIL_ACCEPT_ON_INTR) != 0)
        return EXIT_FAILURE;
    while (!stop_signal_seen(stop)) {
        rc = FCGX_Accept_r(&fcgx);
        now = clock_monotonic_ms();
        if (rc >= 0) {
            exchange_answer(&fcgx, responder);
            FCGX_Finish_r(&fcgx);
        } else if (rc != -EAGAIN && rc != -EINTR && !stop_signal_seen(stop)) {
            log_error("worker: cannot accept a connection: %s", strerror(-rc));
            status = EXIT_FAILURE;
            break;
        }
        /* After the answer: requests that need no Redis do not wait for it. */
        if (now - ticked_ms >= TICK_MS && (rc >= 0 || responder_wants_tick(responder))) {
            ticked_ms = now;
            responder_tick(responder);
        }
    }
    responder_tick(responder);
    FCGX_Free(&fcgx, 1);
    return status;
}

static int run(struct responder *responder)
{
    struct stop_signal stop;
    int status = EXIT_FAILURE;

    if (FCGX_Init() != 0 || FCGX_IsCGI()) {
        log_error(
            "worker: descriptor 0 is not a listening socket: start this program with spawn-fcgi");
        return 2;
    }
    if (!stop_signal_begin(&stop, LISTEN_FD))
        return EXIT_FAILURE;
    responder_begin(responder);
    if (bound_the_wait())
        status = serve(responder, &stop);
    stop_signal_end(&stop);
    return status;
}

int main(int argc, char **argv)
{
    struct settings *settings = NULL;
    struct responder *responder;
    enum startup_mode mode =
        startup_begin(argc, argv, "mostro-push-fcgi", about, SETTINGS_FCGI, &settings);
    int status = EXIT_SUCCESS;

    if (mode == STARTUP_DONE)
        return EXIT_SUCCESS;
    if (mode == STARTUP_FAILED)
        return 2;
    responder = responder_new(settings, stderr);
    if (responder == NULL)
        status = 2;
    else if (mode == STARTUP_RUN)
        status = run(responder);
    responder_free(&responder);
    settings_free(&settings);
    return status;
}
