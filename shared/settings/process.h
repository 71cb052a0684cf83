/* process: what both programs do with themselves at start. Main thread only. */
#ifndef MOSTRO_PROCESS_H
#define MOSTRO_PROCESS_H

#include <stdbool.h>

#include "settings.h"

/* What the command line asked for. */
enum process_mode {
    PROCESS_RUN,
    PROCESS_CHECK, /* --check-config, and the settings are good: *settings is set */
    PROCESS_DONE,  /* --help or --version: exit 0 */
    PROCESS_FAILED /* a bad option or setting, described on stderr: exit 2 */
};

/* Reads the command line and the settings that concern `who`. PROCESS_RUN: *settings is set, the
 * log is open, and the process is hardened: no core dump, no tracer of the same user, no SIGPIPE.
 * `about` is one sentence for --help. */
enum process_mode process_begin(int argc, char **argv, const char *program, const char *about,
                                enum settings_who who, struct settings **settings);

/* No core file and no tracer of the same user: they would show every secret that this process has
 * touched. process_begin() sees to it, too. */
void process_keep_memory_private(void);

#endif
