#include "registry_stub.h"

#include <stdio.h>

#include "aide.h"
#include "registry/registry_stats.h"

struct registry_state registry_stub_state;

static enum registry_result answer;

void registry_stub_answer(const char *text)
{
    int digit = text[0] - '0';

    answer = digit >= REGISTRY_OK && digit <= REGISTRY_UNAVAILABLE ? (enum registry_result)digit
                                                                   : REGISTRY_OK;
}

struct registry {
    int unused;
};

struct registry *registry_new(const struct settings *settings, struct stats *stats)
{
    static struct registry registry;

    (void)settings;
    (void)stats;
    return &registry;
}

enum registry_result registry_check(struct registry *registry)
{
    (void)registry;
    return answer;
}

void registry_free(struct registry **registry)
{
    *registry = NULL;
}

const char *platform_name(enum platform platform)
{
    return platform == PLATFORM_IOS ? "ios" : "android";
}

enum registry_result registry_address_key(struct registry *registry, uint8_t key[ADDRESS_KEY_SIZE])
{
    (void)registry;
    (void)key;
    return REGISTRY_OK;
}

enum registry_result registry_spend(struct registry *registry, enum registry_bucket bucket,
                                    const struct address_hash *address)
{
    (void)registry;
    (void)bucket;
    (void)address;
    return answer;
}

unsigned registry_refused_for_ms(const struct registry *registry)
{
    (void)registry;
    return 0;
}

enum registry_result registry_notify(struct registry *registry, const struct address_hash *address,
                                     const struct trade_pubkey *key)
{
    (void)registry;
    (void)address;
    (void)key;
    return answer;
}

enum registry_result registry_register(struct registry *registry,
                                       const struct address_hash *address,
                                       const struct address_hash *site,
                                       const struct trade_pubkey *key,
                                       const struct registration *registration)
{
    (void)registry;
    (void)address;
    (void)site;
    (void)key;
    (void)registration;
    return answer;
}

enum registry_result registry_unregister(struct registry *registry,
                                         const struct address_hash *address,
                                         const struct trade_pubkey *key)
{
    (void)registry;
    (void)address;
    (void)key;
    return answer;
}

enum registry_result registry_count(struct registry *registry, uint64_t *android, uint64_t *ios)
{
    (void)registry;
    *android = 1;
    *ios = UINT64_MAX - 1;
    return answer;
}

enum registry_result registry_state(struct registry *registry, struct registry_state *state)
{
    (void)registry;
    *state = registry_stub_state;
    state->listeners.alive = state->listeners.relays_connected = 1;
    return answer;
}

enum registry_result registry_metrics(struct registry *registry, struct registry_metrics *metrics)
{
    (void)registry;
    *metrics = (struct registry_metrics){.state.queued = UINT64_MAX};
    return answer;
}

const char *registry_down_reason(const struct registry *registry)
{
    (void)registry;
    return "it is \"out of order\"";
}

bool registry_is_refused(const struct registry *registry)
{
    (void)registry;
    return answer != REGISTRY_OK;
}

enum registry_result registry_flush_stats(struct registry *registry, struct stats *stats)
{
    (void)registry;
    (void)stats;
    return answer;
}

/* ---- A worker's calls: each is answered while it is asked ---------------------------------------
 */

struct registry_pipeline {
    int unused;
};

struct registry_pipeline *registry_pipeline_new(const struct settings *settings,
                                                struct stats *stats)
{
    static struct registry_pipeline pipeline;

    (void)settings;
    (void)stats;
    return &pipeline;
}

void registry_pipeline_free(struct registry_pipeline **pipeline)
{
    *pipeline = NULL;
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

struct aide {
    int unused;
};

struct aide *aide_new(const struct settings *settings, struct stats *stats,
                      struct registry_pipeline *pipeline)
{
    static struct aide aide;

    (void)settings;
    (void)stats;
    (void)pipeline;
    return &aide;
}

bool aide_start(struct aide *aide)
{
    (void)aide;
    return true;
}

void aide_free(struct aide **aide)
{
    *aide = NULL;
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
