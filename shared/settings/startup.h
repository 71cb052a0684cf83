/* startup: how both programs start: command line, settings, log, hardening. Main thread only. */
#ifndef MOSTRO_STARTUP_H
#define MOSTRO_STARTUP_H

#include <stdbool.h>

#include "settings.h"

/* What the command line asked for. */
enum startup_mode {
    STARTUP_RUN,
    STARTUP_CHECK, /* --check-config, and the settings are good: *settings is set */
    STARTUP_DONE,  /* --help or --version: exit 0 */
    STARTUP_FAILED /* a bad option or setting, described on stderr: exit 2 */
};

/* Reads the command line and the settings that concern `who`. STARTUP_RUN: *settings is set, the
 * log is open, and the process is hardened: no core dump, no tracer of the same user, no SIGPIPE.
 * `about` is one sentence for --help. */
enum startup_mode startup_begin(int argc, char **argv, const char *program, const char *about,
                                enum settings_who who, struct settings **settings);

/* Forbids core files and tracers of the same user, which would show every secret that this process
 * has touched. startup_begin() calls it, too. */
void startup_keep_memory_private(void);

#endif
