/* many_addresses: preloaded into a listener, a resolver by which *.wide.example has 64 addresses,
 * 198.51.99.1 and on. Nobody is there. Every attempt to connect to one of them leaves a byte in the
 * file that ATTEMPTS names. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESSES 64

static int is_wide(const char *node)
{
    static const char end[] = ".wide.example";
    size_t len = strlen(node);

    return len >= strlen(end) && strcmp(node + len - strlen(end), end) == 0;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(
            RTLD_NEXT, "getaddrinfo");
    char address[INET_ADDRSTRLEN];
    int error = 0;

    if (node == NULL || !is_wide(node))
        return real(node, service, hints, found);
    for (int i = 1; i <= ADDRESSES && error == 0; i++) {
        (void)snprintf(address, sizeof address, "198.51.99.%d", i);
        error = real(address, service, hints, found);
        while (error == 0 && *found != NULL)
            found = &(*found)->ai_next;
    }
    return error;
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
    int (*real)(int, const struct sockaddr *, socklen_t) =
        (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    const char *path = getenv("ATTEMPTS");
    int file;

    if (address->sa_family != AF_INET || ntohl(v4->sin_addr.s_addr) >> 8 != 0xc63363)
        return real(fd, address, len);
    file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0 || write(file, ".", 1) != 1)
        abort();
    (void)close(file);
    errno = ECONNREFUSED;
    return -1;
}
