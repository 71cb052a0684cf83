/* startup: how both programs start: command line, settings, log, hardening. Main thread only. */
#ifndef MOSTRO_STARTUP_H
#define MOSTRO_STARTUP_H

#include <stdbool.h>

#include "command_line.h"
#include "settings.h"

#define STARTUP_UNUSABLE 2 /* the exit status where another start would change nothing */

struct findings;

struct startup_program {
    const char *name;
    const char *about; /* for --help */
    enum settings_who who;
    const struct command_line_option *options; /* its own, beside those that both programs have */
    /* Its work; the log is open. Returns the exit status. */
    int (*run)(const struct settings *settings);
    /* For --check-config: says on stderr what is wrong, or on stdout what the settings make.
     * Returns the exit status. */
    int (*check)(const struct settings *settings);
    /* For --check-config --live, after that: looks at all that the program talks to. The log is
     * silent meanwhile. */
    void (*look)(const struct settings *settings, struct findings *findings);
};

/* Does what the command line asks for, and returns the exit status. Before settings are read the
 * process is hardened: no core dump, no tracer of the same user; before it works, no SIGPIPE. */
int startup_main(const struct startup_program *program, int argc, char **argv);

/* Forbids core files and tracers of the same user, which would show every secret that this process
 * has touched. startup_main() calls it before it reads settings. */
void startup_keep_memory_private(void);

#endif
