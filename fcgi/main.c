/* mostro-push-fcgi: one worker process, started by spawn-fcgi with the listening socket as
 * descriptor 0. Any number of them share that socket. */
#include <stdlib.h>

#include "fastcgi.h"
#include "log/log.h"
#include "settings/settings.h"
#include "settings/startup.h"
#include "worker.h"

#define LISTEN_FD 0
#define UNUSABLE  2 /* the exit status where another start would change nothing */

static const char about[] =
    "Answers the HTTP API of Mostro Push. Started by spawn-fcgi under a web server:\n"
    "  spawn-fcgi -n -s /run/mostro-push/fcgi.sock -- mostro-push-fcgi";

static int run(const struct settings *settings)
{
    if (!fastcgi_begin()) {
        log_error(
            "worker: descriptor 0 is not a listening socket: start this program with spawn-fcgi");
        return UNUSABLE;
    }
    return worker_run(settings, LISTEN_FD) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct settings *settings = NULL;
    enum startup_mode mode =
        startup_begin(argc, argv, "mostro-push-fcgi", about, SETTINGS_FCGI, &settings);
    int status = EXIT_SUCCESS;

    if (mode == STARTUP_DONE)
        return EXIT_SUCCESS;
    if (mode == STARTUP_FAILED || !worker_check(settings))
        status = UNUSABLE;
    else if (mode == STARTUP_RUN)
        status = run(settings);
    settings_free(&settings);
    return status;
}
