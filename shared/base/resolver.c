#include "resolver.h"

#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "thread.h"

/* Owned by the asker and the thread together; the last of them to let go frees it. */
struct resolver {
    pthread_mutex_t lock;
    bool done;
    bool abandoned;
    resolver_done_fn *notify;
    void *arg;
    int error;
    size_t count;
    char address[RESOLVER_MAX_ADDRESSES][RESOLVER_ADDRESS_SIZE];
    char host[];
};

void resolver_bound_time(void)
{
    (void)setenv("RES_OPTIONS", "timeout:1 attempts:2", 0);
}

static void destroy(struct resolver *resolver)
{
    pthread_mutex_destroy(&resolver->lock);
    free(resolver);
}

/* Needs no lock: the asker reads the addresses only when done. */
static void look_up(struct resolver *resolver)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;

    resolver->error = getaddrinfo(resolver->host, NULL, &hints, &list);
    if (resolver->error != 0)
        return;
    for (struct addrinfo *a = list; a != NULL && resolver->count < RESOLVER_MAX_ADDRESSES;
         a = a->ai_next) {
        if (getnameinfo(a->ai_addr, a->ai_addrlen, resolver->address[resolver->count],
                        RESOLVER_ADDRESS_SIZE, NULL, 0, NI_NUMERICHOST) == 0)
            resolver->count++;
    }
    freeaddrinfo(list);
}

static void *run(void *arg)
{
    struct resolver *resolver = arg;
    bool abandoned;

    look_up(resolver);
    pthread_mutex_lock(&resolver->lock);
    resolver->done = true;
    abandoned = resolver->abandoned;
    if (!abandoned)
        resolver->notify(resolver->arg);
    pthread_mutex_unlock(&resolver->lock);
    if (abandoned)
        destroy(resolver);
    return NULL;
}

static bool start_detached(struct resolver *resolver)
{
    pthread_t thread;

    if (!thread_start(&thread, "resolver", run, resolver))
        return false;
    (void)pthread_detach(thread); /* cannot fail for a thread that nothing else joins */
    return true;
}

struct resolver *resolver_start(const char *host, resolver_done_fn *done, void *arg)
{
    size_t size = strlen(host) + 1;
    struct resolver *resolver = calloc(1, sizeof *resolver + size);

    if (resolver == NULL)
        return NULL;
    memcpy(resolver->host, host, size);
    resolver->notify = done;
    resolver->arg = arg;
    if (pthread_mutex_init(&resolver->lock, NULL) != 0) {
        free(resolver);
        return NULL;
    }
    if (!start_detached(resolver)) {
        destroy(resolver);
        return NULL;
    }
    return resolver;
}

void resolver_free(struct resolver **resolver)
{
    struct resolver *it = *resolver;
    bool done;

    if (it == NULL)
        return;
    *resolver = NULL;
    pthread_mutex_lock(&it->lock);
    it->abandoned = true;
    done = it->done;
    pthread_mutex_unlock(&it->lock);
    if (done)
        destroy(it);
}

bool resolver_is_done(struct resolver *resolver)
{
    bool done;

    pthread_mutex_lock(&resolver->lock);
    done = resolver->done;
    pthread_mutex_unlock(&resolver->lock);
    return done;
}

const char *resolver_address(const struct resolver *resolver, size_t index)
{
    return index < resolver->count ? resolver->address[index] : NULL;
}

const char *resolver_error(const struct resolver *resolver)
{
    return resolver->error != 0 ? gai_strerror(resolver->error) : "the name has no address";
}
