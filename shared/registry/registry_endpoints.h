/* registry_endpoints: what the keeper of the endpoint file asks of the registry. */
#ifndef MOSTRO_REGISTRY_ENDPOINTS_H
#define MOSTRO_REGISTRY_ENDPOINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/device_id.h"
#include "device/endpoint_url.h"
#include "registry.h"

/* An endpoint that registrations use, or that the endpoint file has brought back. The URL is a
 * secret of the device. */
struct registry_endpoint {
    struct device_id id;
    char url[ENDPOINT_URL_MAX + 1];
    int64_t registered_at; /* Unix seconds of its first registration; REGISTRY_NO_MOMENT: unknown */
    bool encrypted;        /* its device has given keys, so nothing may be sent to it unencrypted */
    int64_t turn;          /* of those that are brought back: the lowest is woken first */
};

struct registry_endpoints_state {
    bool is_writer;   /* this listener writes the file, for 30 s at least */
    uint64_t loaded;  /* when the file was loaded into this data, which names the data; 0: never */
    uint64_t changes; /* how often the endpoints have changed since */
};

/* Also renews this listener's claim to the file, or makes the claim where no listener has one.
 * `instance` is that of the heartbeat, here and below: a process that has lost its name has lost
 * the file. */
enum registry_result registry_endpoints_state(struct registry *registry, const char *instance,
                                              struct registry_endpoints_state *state);

/* Calls `take` for some endpoints that are in use; one may come twice in a round. `cursor` is "0"
 * at the beginning of a round, and again at its end. False from `take` ends the call early. */
typedef bool registry_endpoint_fn(const struct registry_endpoint *endpoint, void *arg);
enum registry_result registry_endpoints_read(struct registry *registry,
                                             char cursor[REGISTRY_CURSOR_SIZE],
                                             registry_endpoint_fn *take, void *arg);

/* Drops some endpoints whose last registration has expired; `cursor` as above. */
enum registry_result registry_endpoints_sweep(struct registry *registry,
                                              char cursor[REGISTRY_CURSOR_SIZE]);

/* Begins to bring back what the file holds. NOT_FOUND: this listener has lost its claim to the
 * file. */
enum registry_result registry_endpoints_begin(struct registry *registry, const char *instance);

#define REGISTRY_ENDPOINTS_MAX 64 /* in one call */

/* Brings back n (up to REGISTRY_ENDPOINTS_MAX) endpoints from the file. They are to be woken, each
 * in its turn, and expire like registrations unless their phones register again. NOT_FOUND: as
 * above, or Redis has lost what was brought back, and all begins again. */
enum registry_result registry_endpoints_load(struct registry *registry, const char *instance,
                                             const struct registry_endpoint *endpoints, size_t n);

/* All are there: from now on the file may be written. NOT_FOUND as above. */
enum registry_result registry_endpoints_loaded(struct registry *registry, const char *instance);

/* Queues the wakes of one second for those that were brought back; to be called once a second. */
enum registry_result registry_endpoints_wake(struct registry *registry, const char *instance);

#endif
