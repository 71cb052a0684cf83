/* request: what came in, before any of it is checked.
 *
 * The strings belong to the maker of the request and live until it is answered. A header that the
 * client did not send is NULL. This knows no FastCGI, so that tests and fuzzers can make requests.
 */
#ifndef MOSTRO_REQUEST_H
#define MOSTRO_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Up to `size` bytes of the body into `buffer`: their number, 0 at the end, -1 when it broke off.
 */
typedef ssize_t request_read_fn(void *arg, char *buffer, size_t size);

struct request {
    const char *method;
    const char *path; /* REQUEST_URI; what follows a `?` does not matter here */
    bool is_private;  /* the web server says that this address is for operators (MOSTRO_METRICS) */
    const char *content_type;
    const char *content_length;

    const char *remote_addr;
    const char *fly_client_ip;
    const char *forwarded_for;
    unsigned fly_client_ip_count; /* more than one: the client, too, has written one */
    unsigned forwarded_for_count; /* the same */

    request_read_fn *read;
    void *read_arg;
};

#endif
