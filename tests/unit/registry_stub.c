#include "registry_stub.h"

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
