/* responder_overview: what the settings make of a worker, for --check-config and the log of a
 * start. */
#ifndef MOSTRO_RESPONDER_OVERVIEW_H
#define MOSTRO_RESPONDER_OVERVIEW_H

#include <stdbool.h>

struct responder;

/* `is_asked`: prints it; else logs it. */
void responder_overview(const struct responder *responder, bool is_asked);

#endif
