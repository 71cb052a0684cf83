/* overview: what the settings make of a listener, for --check-config and the log of a start. */
#ifndef MOSTRO_OVERVIEW_H
#define MOSTRO_OVERVIEW_H

#include <stdbool.h>

struct settings;

/* Reads the service account's file. `is_asked`: prints it, and what keeps FCM off, which a start
 * logs by itself; else logs it. */
void overview(const struct settings *settings, bool is_asked);

#endif
