#include "registry_stats.h"

#include "redis/redis_primary.h"
#include "registry_priv.h"

/* redis/ counts them for the process. */
static void take_primary_changes(struct stats *stats)
{
    uint64_t changes = redis_primary_changes();

    stats_add(stats, STAT_PRIMARY_CHANGES,
              changes - atomic_exchange(&stats->primary_changes, changes));
}

enum registry_result registry_flush_stats(struct registry *registry, struct stats *stats)
{
    struct registry_command *command = &registry->command;
    uint64_t taken[STAT_COUNT];
    enum registry_result result = REGISTRY_OK;
    int64_t ignored;
    bool any = false;

    take_primary_changes(stats);
    REGISTRY_BEGIN(registry, "add");
    for (int i = 0; i < STAT_COUNT; i++) {
        taken[i] = atomic_exchange_explicit(&stats->pending[i], 0, memory_order_relaxed);
        if (taken[i] > 0)
            registry_add_pair(command, stats_series((enum stats_counter)i)->field,
                              (int64_t)taken[i]);
        any |= taken[i] > 0;
    }
    if (any)
        result = registry_call_for_integer(registry, &ignored);
    for (int i = 0; i < STAT_COUNT; i++)
        if (result == REGISTRY_OK)
            stats->flushed[i] += taken[i];
        else
            stats_add(stats, (enum stats_counter)i, taken[i]);
    return result;
}
