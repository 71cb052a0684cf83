/* mostro-push-fcgi: one worker process, started by spawn-fcgi with the listening socket as
 * descriptor 0. Any number of them share that socket. */
#include <stdlib.h>

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
    switch (worker_run(settings, LISTEN_FD)) {
    case WORKER_STOPPED:
        return EXIT_SUCCESS;
    case WORKER_UNUSABLE:
        return UNUSABLE;
    case WORKER_FAILED:
        break;
    }
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct settings *settings = NULL;
    enum startup_mode mode =
        startup_begin(argc, argv, "mostro-push-fcgi", about, SETTINGS_FCGI, &settings);
    int status = EXIT_SUCCESS;

    if (mode == STARTUP_DONE)
        return EXIT_SUCCESS;
    if (mode == STARTUP_RUN)
        status = run(settings);
    else if (mode == STARTUP_FAILED || !worker_check(settings))
        status = UNUSABLE;
    settings_free(&settings);
    return status;
}
