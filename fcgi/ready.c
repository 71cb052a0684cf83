/* ready: whether this server does its work at all: Redis may be used, and a listener is connected
 * to a relay. For load balancers and operators; only the latter are told what is wrong. */
#include "routes.h"

#include "base/clock.h"

/* Anybody may ask, and every question costs a new connection to Redis. */
#define KEEP_MS 1000

/* What is wrong, or NULL. */
static const char *find_out(struct responder *responder)
{
    struct registry_listeners listeners;

    if (registry_listeners(responder->registry, &listeners) != REGISTRY_OK)
        return registry_is_refused(responder->registry) ? "Redis persists to disk, or hides it"
                                                        : "Redis cannot be reached";
    if (listeners.alive == 0)
        return "no listener has a fresh heartbeat";
    if (listeners.relays_connected == 0)
        return "no listener is connected to a relay";
    return NULL;
}

void ready_handle(struct responder *responder, const struct request *request,
                  struct response *response)
{
    uint64_t now = clock_monotonic_ms();

    if (!responder->ready_asked || now - responder->ready_asked_ms >= KEEP_MS) {
        responder->ready_asked = true;
        responder->ready_asked_ms = now;
        responder->not_ready = find_out(responder);
    }
    if (responder->not_ready == NULL)
        response_constant(response, 200, "{\"status\":\"ready\"}");
    else if (request->is_private)
        response_json(response, 503, "{\"status\":\"not ready\",\"reason\":\"%s\"}",
                      responder->not_ready);
    else
        response_constant(response, 503, "{\"status\":\"not ready\"}");
}
