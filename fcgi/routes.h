/* routes: the one table of the API. */
#ifndef MOSTRO_ROUTES_H
#define MOSTRO_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "registry/stats.h"

struct request;
struct responder;
struct response;

typedef void routes_handler_fn(struct responder *responder, const struct request *request,
                               struct response *response);

struct route {
    const char *path;
    bool is_post;               /* else GET and HEAD */
    bool has_request_id;        /* every answer carries X-Request-Id */
    bool is_private;            /* exists only where the web server says so */
    enum stats_counter counter; /* the first of its counters, see stats_add_request() */
    routes_handler_fn *handle;
};

/* The route of a REQUEST_URI, or NULL. */
const struct route *routes_find(const char *request_uri);

/* The handlers, by the file that holds them. */
routes_handler_fn health_handle;     /* status.c */
routes_handler_fn info_handle;       /* status.c */
routes_handler_fn status_handle;     /* status.c */
routes_handler_fn ready_handle;      /* ready.c */
routes_handler_fn metrics_handle;    /* metrics.c */
routes_handler_fn register_handle;   /* register.c */
routes_handler_fn unregister_handle; /* register.c */
routes_handler_fn notify_handle;     /* notify.c */

#endif
