#include "registry_stub.h"

#include <stdio.h>

#include "aide.h"

struct registry_state registry_stub_state;

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

void registry_pipeline_ask(struct registry_pipeline *pipeline, struct registry_call *call)
{
    (void)pipeline;
    call->result = answer;
    call->refused_for_ms = 0;
    call->android = 1;
    call->ios = UINT64_MAX - 1;
    call->answered(call);
}

void aide_ask(struct aide *aide, struct aide_question *question)
{
    (void)aide;
    question->result = answer;
    question->is_refused = answer != REGISTRY_OK;
    (void)snprintf(question->reason, sizeof question->reason, "it is \"out of order\"");
    if (question->wants_metrics) {
        question->metrics = (struct registry_metrics){.state.queued = UINT64_MAX};
    } else {
        question->metrics.state = registry_stub_state;
        question->metrics.state.listeners.alive = 1;
        question->metrics.state.listeners.relays_connected = 1;
    }
    question->answered(question);
}

const uint8_t *aide_address_key(const struct aide *aide)
{
    static const uint8_t key[ADDRESS_KEY_SIZE];

    (void)aide;
    return key;
}
