#include "bell.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int bell_new(void)
{
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* It fails only where it is at its maximum, and so rings. */
void bell_ring(int bell)
{
    const uint64_t one = 1;

    while (write(bell, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

void bell_hush(int bell)
{
    uint64_t rings;

    while (read(bell, &rings, sizeof rings) < 0 && errno == EINTR)
        continue;
}
