#include "routes.h"

#include <string.h>

static const struct route routes[] = {
    {"/api/notify", true, true, false, STAT_REQUESTS_NOTIFY_200, notify_handle},
    {"/api/register", true, false, false, STAT_REQUESTS_REGISTER_200, register_handle},
    {"/api/unregister", true, false, false, STAT_REQUESTS_UNREGISTER_200, unregister_handle},
    {"/api/health", false, false, false, STAT_REQUESTS_HEALTH_200, health_handle},
    {"/api/info", false, false, false, STAT_REQUESTS_INFO_200, info_handle},
    {"/api/status", false, false, false, STAT_REQUESTS_STATUS_200, status_handle},
    {"/api/ready", false, false, false, STAT_REQUESTS_READY_200, ready_handle},
    {"/api/metrics", false, false, true, STAT_REQUESTS_METRICS_200, metrics_handle},
};

const struct route *routes_find(const char *request_uri)
{
    size_t len = request_uri != NULL ? strcspn(request_uri, "?") : 0;

    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (strlen(routes[i].path) == len && memcmp(routes[i].path, request_uri, len) == 0)
            return &routes[i];
    return NULL;
}
