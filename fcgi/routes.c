#include "routes.h"

#include <string.h>

static const struct route routes[] = {
    {.path = "/api/notify",
     .is_post = true,
     .has_request_id = true,
     .counter = STAT_REQUESTS_NOTIFY_200,
     .handle = notify_handle},
    {.path = "/api/register",
     .is_post = true,
     .counter = STAT_REQUESTS_REGISTER_200,
     .handle = register_handle},
    {.path = "/api/unregister",
     .is_post = true,
     .counter = STAT_REQUESTS_UNREGISTER_200,
     .handle = unregister_handle},
    {.path = "/api/health", .counter = STAT_REQUESTS_HEALTH_200, .handle = health_handle},
    {.path = "/api/info", .counter = STAT_REQUESTS_INFO_200, .handle = info_handle},
    {.path = "/api/status", .counter = STAT_REQUESTS_STATUS_200, .handle = status_handle},
    {.path = "/api/ready", .counter = STAT_REQUESTS_READY_200, .handle = ready_handle},
    {.path = "/api/metrics",
     .is_private = true,
     .counter = STAT_REQUESTS_METRICS_200,
     .handle = metrics_handle},
};

const struct route *routes_find(const char *request_uri)
{
    size_t len = request_uri != NULL ? strcspn(request_uri, "?") : 0;

    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (strlen(routes[i].path) == len && memcmp(routes[i].path, request_uri, len) == 0)
            return &routes[i];
    return NULL;
}
