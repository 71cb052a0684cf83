/* exchange: one request on its way through the responder, with what is asked for it in between.
 *
 * Owned by whoever made the request, and kept by him until `answered` is called. Knows no FastCGI.
 */
#ifndef MOSTRO_EXCHANGE_H
#define MOSTRO_EXCHANGE_H

#include "aide.h"
#include "device/address_hash.h"
#include "registry/registration.h"
#include "registry/registry_pipeline.h"
#include "request.h"
#include "response.h"

struct responder;
struct route;

struct exchange {
    struct request request;
    struct response response; /* whole when `answered` is called; its reader clears it */

    /* Called exactly once, in the worker's thread; perhaps before responder_answer() returns. */
    void (*answered)(struct exchange *exchange);

    /* The responder's own: */
    struct responder *responder;
    const struct route *route; /* NULL: there is none */
    struct address_hash address, site;
    struct registry_call call;
    union {
        struct registration registration; /* of register: secret, wiped once it is answered */
        struct aide_question question;
    } with;
};

#endif
