/* mostro-push-fcgi: one worker process, started by spawn-fcgi with the listening socket as
 * descriptor 0. Any number of them share that socket. */
#include <stdlib.h>

#include "registry/registry_look.h"
#include "settings/settings.h"
#include "settings/startup.h"
#include "worker.h"

#define LISTEN_FD 0

static int run(const struct settings *settings)
{
    switch (worker_run(settings, LISTEN_FD)) {
    case WORKER_STOPPED:
        return EXIT_SUCCESS;
    case WORKER_UNUSABLE:
        return STARTUP_UNUSABLE;
    case WORKER_FAILED:
        break;
    }
    return EXIT_FAILURE;
}

static int check(const struct settings *settings)
{
    return worker_check(settings) ? EXIT_SUCCESS : STARTUP_UNUSABLE;
}

int main(int argc, char **argv)
{
    static const struct command_line_option options[] = {{.name = NULL}};
    static const struct startup_program program = {
        .name = "mostro-push-fcgi",
        .about = "Answers the HTTP API of Mostro Push. Started by spawn-fcgi under a web server:\n"
                 "  spawn-fcgi -n -s /run/mostro-push/fcgi.sock -- mostro-push-fcgi",
        .who = SETTINGS_FCGI,
        .options = options,
        .run = run,
        .check = check,
        .look = registry_look,
    };

    return startup_main(&program, argc, argv);
}
