/* slow_dns: preloaded into a worker, a resolver that knows redis.example, and that takes a minute
 * for it once the file in SLOW exists. */
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int getaddrinfo_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    getaddrinfo_fn *real = (getaddrinfo_fn *)dlsym(RTLD_NEXT, "getaddrinfo");

    if (node == NULL || strcmp(node, "redis.example") != 0)
        return real(node, service, hints, found);
    if (access(getenv("SLOW"), F_OK) == 0)
        (void)sleep(60);
    return real("127.0.0.1", service, hints, found);
}
