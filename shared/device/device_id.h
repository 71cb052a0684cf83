/* device_id: the name of an endpoint in Redis and in the endpoint file, in place of its URL, which
 * is a secret of its device.
 *
 * The first 32 hexadecimal digits of SHA-256 of the URL. Pure, thread-safe. */
#ifndef MOSTRO_DEVICE_ID_H
#define MOSTRO_DEVICE_ID_H

#include <stdbool.h>

#define DEVICE_ID_LEN 32

struct device_id {
    char hex[DEVICE_ID_LEN + 1];
};

/* False, with an empty id, when out of memory. */
bool device_id_of(struct device_id *id, const char *url);

#endif
