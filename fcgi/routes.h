/* routes: the one table of the API. */
#ifndef MOSTRO_ROUTES_H
#define MOSTRO_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "registry/stats.h"

struct exchange;
struct responder;

/* What a request needs once its handler has looked at it. */
enum routes_step {
    ROUTES_ANSWERED,  /* nothing: the response is whole */
    ROUTES_ASK_REDIS, /* the answer to exchange->call */
    ROUTES_ASK_AIDE   /* the answer to exchange->with.question */
};

typedef enum routes_step routes_begin_fn(struct responder *responder, struct exchange *exchange);

/* Makes the response of what was asked. */
typedef void routes_finish_fn(struct responder *responder, struct exchange *exchange);

struct route {
    const char *path;
    bool is_post;               /* else GET and HEAD */
    bool has_request_id;        /* every answer carries X-Request-Id */
    bool is_private;            /* exists only where the web server says so */
    bool may_wait;              /* for a Redis that is away (patience.h) */
    enum stats_counter counter; /* the first of its counters, see stats_add_request() */
    routes_begin_fn *begin;
    routes_finish_fn *finish; /* NULL where nothing is ever asked */
};

/* The route of a REQUEST_URI, or NULL. */
const struct route *routes_find(const char *request_uri);

/* The handlers, by the file that holds them. */
routes_begin_fn health_begin;       /* status.c */
routes_begin_fn info_begin;         /* status.c */
routes_begin_fn status_begin;       /* status.c */
routes_finish_fn status_finish;     /* status.c */
routes_begin_fn ready_begin;        /* ready.c */
routes_finish_fn ready_finish;      /* ready.c */
routes_begin_fn metrics_begin;      /* metrics.c */
routes_finish_fn metrics_finish;    /* metrics.c */
routes_begin_fn register_begin;     /* register.c */
routes_finish_fn register_finish;   /* register.c */
routes_begin_fn unregister_begin;   /* register.c */
routes_finish_fn unregister_finish; /* register.c */
routes_begin_fn notify_begin;       /* notify.c */
routes_finish_fn notify_finish;     /* notify.c */

#endif
