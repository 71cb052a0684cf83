/* metrics_listeners: what each listener reports of itself (registry_watch.h), for Prometheus. */
#ifndef MOSTRO_METRICS_LISTENERS_H
#define MOSTRO_METRICS_LISTENERS_H

#include <stdio.h>

struct registry_watch;

void metrics_listeners(FILE *out, const struct registry_watch *watch);

#endif
