#include "routes.h"

#include <string.h>

static const struct route routes[] = {
    {.path = "/api/notify",
     .is_post = true,
     .has_request_id = true,
     .counter = STAT_REQUESTS_NOTIFY_200,
     .begin = notify_begin,
     .finish = notify_finish},
    {.path = "/api/register",
     .is_post = true,
     .may_wait = true,
     .counter = STAT_REQUESTS_REGISTER_200,
     .begin = register_begin,
     .finish = register_finish},
    {.path = "/api/unregister",
     .is_post = true,
     .may_wait = true,
     .counter = STAT_REQUESTS_UNREGISTER_200,
     .begin = unregister_begin,
     .finish = unregister_finish},
    {.path = "/api/health", .counter = STAT_REQUESTS_HEALTH_200, .begin = health_begin},
    {.path = "/api/info", .counter = STAT_REQUESTS_INFO_200, .begin = info_begin},
    {.path = "/api/status",
     .counter = STAT_REQUESTS_STATUS_200,
     .begin = status_begin,
     .finish = status_finish},
    {.path = "/api/ready",
     .counter = STAT_REQUESTS_READY_200,
     .begin = ready_begin,
     .finish = ready_finish},
    {.path = "/api/metrics",
     .is_private = true,
     .counter = STAT_REQUESTS_METRICS_200,
     .begin = metrics_begin,
     .finish = metrics_finish},
};

const struct route *routes_find(const char *request_uri)
{
    size_t len = request_uri != NULL ? strcspn(request_uri, "?") : 0;

    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (strlen(routes[i].path) == len && memcmp(routes[i].path, request_uri, len) == 0)
            return &routes[i];
    return NULL;
}
