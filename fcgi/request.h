/* request: what came in, before any of it is checked.
 *
 * The strings belong to the maker of the request and live until it is answered; the body lives
 * until responder_answer() returns. A header that the client did not send is NULL. This knows no
 * FastCGI, so that tests and fuzzers can make requests. */
#ifndef MOSTRO_REQUEST_H
#define MOSTRO_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#define REQUEST_BODY_MAX (128 * 1024) /* the largest that any route takes */

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

    char *body;      /* may be decoded in place; its owner wipes it */
    size_t body_len; /* REQUEST_BODY_MAX + 1 stands for any longer one */
};

#endif
