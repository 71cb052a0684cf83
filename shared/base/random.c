#include "random.h"

#include <errno.h>
#include <sys/random.h>

#include "hex.h"
#include "must.h"

void random_bytes(void *out, size_t len)
{
    uint8_t *at = out;

    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        MUST(n > 0); /* every kernel that we run on has getrandom(2) */
        at += n;
        len -= (size_t)n;
    }
}

void random_hex(char *out, size_t digits)
{
    uint8_t byte;

    for (size_t i = 0; i < digits; i += 2) {
        random_bytes(&byte, sizeof byte);
        hex_encode(out + i, &byte, sizeof byte);
    }
}

uint64_t random_up_to(uint64_t limit)
{
    uint64_t value, bound;

    if (limit == UINT64_MAX) {
        random_bytes(&value, sizeof value);
        return value;
    }
    /* Values from the last, incomplete multiple of limit + 1 would favour small results. */
    bound = UINT64_MAX - UINT64_MAX % (limit + 1);
    do
        random_bytes(&value, sizeof value);
    while (value >= bound);
    return value % (limit + 1);
}
