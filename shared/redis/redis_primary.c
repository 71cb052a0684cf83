#include "redis_primary.h"

#include <stdatomic.h>

static _Atomic uint64_t changes;

uint64_t redis_primary_changes(void)
{
    return atomic_load(&changes);
}
