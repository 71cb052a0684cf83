#include "redis_report.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "log/log.h"

#define REMIND_MS 60000 /* between two lines on what an operator must mend */
#define SETTLE_MS 10000 /* a server that comes and goes is logged once in this time */
#define CHANGE_MS 1000  /* and a change of reason once in this time */

/* Static, because the process has one log. */
static struct {
    pthread_mutex_t lock;
    bool ever, down, refused;
    int64_t told_ms;
    char why[256];
} told = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_due(const char *why, bool refused, int64_t now_ms)
{
    int64_t age = now_ms - told.told_ms;
    bool is_new = strcmp(told.why, why) != 0;

    if (!told.ever || (refused && !told.refused))
        return true;
    if (!told.down)
        return age >= (is_new ? CHANGE_MS : SETTLE_MS);
    return refused && age >= (is_new ? CHANGE_MS : REMIND_MS);
}

void redis_report_down(const char *where, const char *why, bool refused, int64_t now_ms)
{
    (void)pthread_mutex_lock(&told.lock);
    if (is_due(why, refused, now_ms)) {
        told.ever = told.down = true;
        told.refused = refused;
        told.told_ms = now_ms;
        (void)snprintf(told.why, sizeof told.why, "%s", why);
        if (refused)
            log_error("redis: %s cannot be used: %s", where, why);
        else
            log_warn("redis: %s cannot be used: %s; waiting for it", where, why);
    }
    (void)pthread_mutex_unlock(&told.lock);
}

void redis_report_up(void)
{
    (void)pthread_mutex_lock(&told.lock);
    if (told.down)
        log_info("redis: in use again");
    told.down = false;
    (void)pthread_mutex_unlock(&told.lock);
}
