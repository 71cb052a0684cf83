/* resolver: looks one name up in DNS without waiting for it.
 *
 * getaddrinfo() cannot be interrupted and may block for long, so it runs in a thread of its own.
 * Freeing a resolver that is not done abandons that thread, which ends by itself and touches
 * nothing of the asker's. */
#ifndef MOSTRO_RESOLVER_H
#define MOSTRO_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>

#define RESOLVER_MAX_ADDRESSES 4
#define RESOLVER_ADDRESS_SIZE  46 /* numeric, as getnameinfo() writes it without a scope */

struct resolver;

/* Has every look-up of this process, libcurl's too, ask each name server twice, for a second each
 * time: so where they say nothing it ends after two seconds for each of them, of which glibc asks
 * three at most, and twice that where there is a search domain, instead of ten. Nobody waits for
 * an address any longer by then, but a look-up that nobody waits for still has its thread, and
 * strangers, who choose what is looked up, must not heap those up. A packet that is lost costs a
 * second; an answer to the first that comes during the second is taken. RES_OPTIONS, where an
 * operator has set it (resolv.conf(5)), stays.
 *
 * Call it before any thread is started. */
void resolver_bound_time(void);

/* Called once, from the resolver's thread, when it is done; never after resolver_free(). */
typedef void resolver_done_fn(void *arg);

/* NULL when out of memory or threads. */
struct resolver *resolver_start(const char *host, resolver_done_fn *done, void *arg);
void resolver_free(struct resolver **resolver);

bool resolver_is_done(struct resolver *resolver);

/* The address at `index`, in the order to try them, or NULL; call it only when done. */
const char *resolver_address(const struct resolver *resolver, size_t index);

/* Why there is no address, for the log; call it only when done. */
const char *resolver_error(const struct resolver *resolver);

#endif
