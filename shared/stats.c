#include "stats.h"

const char *stats_name(enum stats_counter which)
{
    static const char *const names[STAT_COUNT] = {
#define X(name, text) text,
        STATS_TABLE(X)
#undef X
    };

    return names[which];
}
