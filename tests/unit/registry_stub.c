#include "registry_stub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aide.h"

struct registry_state registry_stub_state;
struct registry_stub_redis registry_stub_redis;
unsigned registry_stub_asked;
struct registry_stub_call registry_stub_last;

static enum registry_result answer;

void registry_stub_answer(const char *text)
{
    int digit = text[0] - '0';

    answer = digit >= REGISTRY_OK && digit <= REGISTRY_UNAVAILABLE ? (enum registry_result)digit
                                                                   : REGISTRY_OK;
}

const char *platform_name(enum platform platform)
{
    return platform == PLATFORM_IOS ? "ios" : "android";
}

static void note(const struct registry_call *call)
{
    registry_stub_asked++;
    registry_stub_last.call = *call;
    if (call->address != NULL)
        registry_stub_last.address = *call->address;
    if (call->site != NULL)
        registry_stub_last.site = *call->site;
}

void registry_pipeline_ask(struct registry_pipeline *pipeline, struct registry_call *call)
{
    (void)pipeline;
    note(call);
    call->may_have_run = registry_stub_redis.is_dying;
    registry_stub_redis.is_away |= registry_stub_redis.is_dying;
    registry_stub_redis.is_dying = false;
    call->is_away = registry_stub_redis.is_away;
    call->result = call->is_away ? REGISTRY_UNAVAILABLE : answer;
    call->refused_for_ms = 0;
    call->android = 1;
    call->ios = UINT64_MAX - 1;
    call->answered(call);
}

bool registry_pipeline_is_open(const struct registry_pipeline *pipeline)
{
    (void)pipeline;
    return !registry_stub_redis.is_away;
}

void aide_ask(struct aide *aide, struct aide_question *question)
{
    (void)aide;
    question->result = answer;
    question->is_refused = answer != REGISTRY_OK;
    (void)snprintf(question->reason, sizeof question->reason, "it is \"out of order\"");
    if (question->wants_metrics) {
        question->metrics = (struct registry_metrics){
            .state.queued = UINT64_MAX, .watch = calloc(1, sizeof(struct registry_watch))};
        if (question->metrics.watch == NULL)
            abort();
        question->metrics.watch->users = 1;
    } else {
        question->metrics.state = registry_stub_state;
        question->metrics.state.listeners.alive = 1;
        question->metrics.state.listeners.relays_connected = 1;
    }
    question->answered(question);
}

const uint8_t *aide_address_key(const struct aide *aide)
{
    static uint8_t key[ADDRESS_KEY_SIZE];

    (void)aide;
    memset(key, registry_stub_redis.key, sizeof key);
    return registry_stub_redis.has_no_key ? NULL : key;
}

bool aide_is_refused(const struct aide *aide)
{
    (void)aide;
    return registry_stub_redis.is_refused;
}
