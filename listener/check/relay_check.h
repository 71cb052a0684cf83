/* relay_check: --check-relay: whether a relay shows the listener what it needs, tried with events
 * between keys that are made for this and thrown away. */
#ifndef MOSTRO_RELAY_CHECK_H
#define MOSTRO_RELAY_CHECK_H

#include <stdbool.h>

struct settings;

/* Prints what it sees, and returns the exit status. Publishes only where that is wanted. */
int relay_check(const struct settings *settings, const char *url, bool publishes);

#endif
