/* registry_stats: where the programs' counters (stats.h) add up. */
#ifndef MOSTRO_REGISTRY_STATS_H
#define MOSTRO_REGISTRY_STATS_H

#include "registry.h"

/* Adds the pending counters to Redis's. Where that fails they stay pending. */
enum registry_result registry_flush_stats(struct registry *registry, struct stats *stats);

#endif
