#include "redis_pipeline.h"

#include <stdlib.h>

#include "base/clock.h"
#include "redis_primary.h"
#include "redis_priv.h"
#include "redis_report.h"

struct redis_pipeline {
    struct redis_wire wire;
    bool has_sentinels;
    char where[REDIS_WHERE_SIZE];
    char error[REDIS_ERROR_SIZE];
};

struct redis_pipeline *redis_pipeline_new(void)
{
    return calloc(1, sizeof(struct redis_pipeline));
}

void redis_pipeline_free(struct redis_pipeline **pipeline)
{
    if (*pipeline == NULL)
        return;
    redis_wire_free(&(*pipeline)->wire);
    free(*pipeline);
    *pipeline = NULL;
}

bool redis_pipeline_open(struct redis_pipeline *pipeline, struct redis *from)
{
    if (!redis_hand_over(from, &pipeline->wire))
        return false;
    redis_where(from, pipeline->where);
    pipeline->has_sentinels = redis_is_replicated(from);
    if (redis_wire_stop_blocking(&pipeline->wire))
        return true;
    redis_wire_close(&pipeline->wire);
    return false;
}

static enum redis_status lose(struct redis_pipeline *pipeline, const char *reason, bool refused)
{
    if (redis_membership_has_ended(pipeline->wire.membership))
        reason = REDIS_LEFT;
    /* First, since the reason may be a text of the connection. */
    redis_report_down(pipeline->where, reason, refused, clock_monotonic_ms());
    redis_wire_close(&pipeline->wire);
    return REDIS_DOWN;
}

void redis_pipeline_lose(struct redis_pipeline *pipeline, const char *reason)
{
    (void)lose(pipeline, reason, false);
}

int redis_pipeline_fd(const struct redis_pipeline *pipeline)
{
    return pipeline->wire.context != NULL ? pipeline->wire.context->fd : -1;
}

/* What a problem of the wire, or none, means. */
static enum redis_status status_of(struct redis_pipeline *pipeline, const char *problem)
{
    return problem == NULL ? REDIS_OK_REPLY : lose(pipeline, problem, false);
}

enum redis_status redis_pipeline_add(struct redis_pipeline *pipeline, int argc, const char **argv,
                                     const size_t *argvlen)
{
    return status_of(pipeline, redis_wire_append(&pipeline->wire, argc, argv, argvlen));
}

enum redis_status redis_pipeline_write(struct redis_pipeline *pipeline)
{
    return status_of(pipeline, redis_wire_write(&pipeline->wire));
}

bool redis_pipeline_has_written(const struct redis_pipeline *pipeline)
{
    return redis_wire_has_sent(&pipeline->wire);
}

enum redis_status redis_pipeline_read(struct redis_pipeline *pipeline, bool is_idle)
{
    const char *problem = redis_wire_read(&pipeline->wire);

    if (problem == NULL || !is_idle)
        return status_of(pipeline, problem);
    redis_wire_close(&pipeline->wire);
    return REDIS_DOWN;
}

enum redis_status redis_pipeline_take(struct redis_pipeline *pipeline, redisReply **reply)
{
    const char *problem = redis_wire_take(&pipeline->wire, reply);
    const struct redis_fault *fault;
    enum redis_status status;

    if (problem != NULL || *reply == NULL)
        return status_of(pipeline, problem);
    status = redis_judge(reply, pipeline->has_sentinels, pipeline->error, &fault);
    return status == REDIS_DOWN ? lose(pipeline, fault->what, fault->kind == REDIS_FAULT_REFUSED)
                                : status;
}

const char *redis_pipeline_error(const struct redis_pipeline *pipeline)
{
    return pipeline->error;
}
