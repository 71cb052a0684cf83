/* rebinding: preloaded into a listener, a resolver that lies and an internet on loopback.
 *
 *   *.moves.example   198.51.99.1 as long as the file in MOVES does not exist, then 127.0.0.1
 *   *.both.example    198.51.99.2, where nobody is, and 127.0.0.1
 *
 * Connections to 198.51.99.1 go to loopback and look as if they had not. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS 1024

static const char *const somebody = "198.51.99.1", *const nobody = "198.51.99.2";
static bool moved[FDS];

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

typedef int getaddrinfo_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    getaddrinfo_fn *real = (getaddrinfo_fn *)dlsym(RTLD_NEXT, "getaddrinfo");
    const char *file = getenv("MOVES");
    int error;

    if (node != NULL && ends_with(node, ".moves.example") && file != NULL)
        return real(access(file, F_OK) == 0 ? "127.0.0.1" : somebody, service, hints, found);
    if (node == NULL || !ends_with(node, ".both.example"))
        return real(node, service, hints, found);
    error = real(nobody, service, hints, found);
    return error != 0 ? error : real("127.0.0.1", service, hints, &(*found)->ai_next);
}

static bool is_address(const struct sockaddr *address, const char *text)
{
    struct in_addr wanted;

    return address->sa_family == AF_INET && inet_pton(AF_INET, text, &wanted) == 1 &&
           ((const struct sockaddr_in *)address)->sin_addr.s_addr == wanted.s_addr;
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
    int (*real)(int, const struct sockaddr *, socklen_t) =
        (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
    struct sockaddr_in loopback;

    if (fd >= 0 && fd < FDS)
        moved[fd] = is_address(address, somebody);
    if (is_address(address, nobody)) {
        errno = ECONNREFUSED;
        return -1;
    }
    if (!is_address(address, somebody))
        return real(fd, address, len);
    memcpy(&loopback, address, sizeof loopback);
    loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return real(fd, (const struct sockaddr *)&loopback, sizeof loopback);
}

int getpeername(int fd, struct sockaddr *address, socklen_t *len)
{
    int (*real)(int, struct sockaddr *, socklen_t *) =
        (int (*)(int, struct sockaddr *, socklen_t *))dlsym(RTLD_NEXT, "getpeername");
    int error = real(fd, address, len);

    if (error == 0 && fd >= 0 && fd < FDS && moved[fd])
        (void)inet_pton(AF_INET, somebody, &((struct sockaddr_in *)address)->sin_addr);
    return error;
}
