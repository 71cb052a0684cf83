/* exchange: one request on its way through the responder, with what is asked for it in between.
 *
 * Owned by whoever made the request, and kept by him until `answered` is called. Knows no FastCGI.
 */
#ifndef MOSTRO_EXCHANGE_H
#define MOSTRO_EXCHANGE_H

#include <sys/queue.h>

#include "aide.h"
#include "client_address.h"
#include "device/address_hash.h"
#include "registry/registration.h"
#include "registry/registry_pipeline.h"
#include "request.h"
#include "response.h"

struct responder;
struct route;

struct exchange {
    struct request request;
    size_t size;              /* of the memory that all of it takes until it is answered, about */
    struct response response; /* whole when `answered` is called; its reader clears it */

    /* Called exactly once, in the worker's thread; perhaps before responder_answer() returns. */
    void (*answered)(struct exchange *exchange);

    /* Called before that, perhaps more than once: it will take a while (patience.h), so that it is
     * worth knowing whether the client has left (responder_give_up()). May be NULL. */
    void (*delayed)(struct exchange *exchange);

    /* The responder's own: */
    struct responder *responder;
    const struct route *route; /* NULL: there is none */
    bool is_limited;           /* by the address of: */
    struct client_address client;
    struct address_hash address, site;
    struct registry_call call;
    bool waits;       /* for a Redis that is away, until: */
    int64_t until_ms; /* of clock_monotonic_ms(); 0: it never does */
    TAILQ_ENTRY(exchange) next;
    union {
        struct registration registration; /* of register: secret, wiped once it is answered */
        struct aide_question question;
    } with;
};

#endif
