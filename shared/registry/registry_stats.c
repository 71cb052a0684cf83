#include "registry_stats.h"

#include "registry_priv.h"

enum registry_result registry_flush_stats(struct registry *registry, struct stats *stats)
{
    struct registry_command *command = &registry->command;
    uint64_t taken[STAT_COUNT];
    enum registry_result result = REGISTRY_OK;
    int64_t ignored;
    bool any = false;

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
    for (int i = 0; result != REGISTRY_OK && i < STAT_COUNT; i++)
        stats_add(stats, (enum stats_counter)i, taken[i]);
    return result;
}
