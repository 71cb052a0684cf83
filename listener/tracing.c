#include "tracing.h"

#include <string.h>

#include "base/clock.h"
#include "log/log.h"
#include "log/trace.h"
#include "registry/registry_why.h"

_Static_assert(TRACE_KEYS_MAX == REGISTRY_TRACES_MAX && TRACE_STEPS_MAX == REGISTRY_STEPS_MAX &&
                   TRACE_TEXT_SIZE == REGISTRY_STEP_SIZE &&
                   sizeof((struct log_name *)0)->text == REGISTRY_TRACE_NAME + 1,
               "the log and Redis hold the same");

static void follow(const struct registry_traced *traced, size_t n, int64_t now_ms)
{
    struct traced keys[TRACE_KEYS_MAX];

    for (size_t i = 0; i < n; i++) {
        keys[i] = (struct traced){.key = traced[i].key, .until_ms = now_ms + traced[i].for_ms};
        memcpy(keys[i].name.text, traced[i].name, sizeof keys[i].name.text);
    }
    trace_set(keys, n);
    explicit_bzero(keys, sizeof keys);
}

/* So that nobody is traced without a trace. */
static void tell_count(size_t count, size_t *told)
{
    if (count != *told)
        log_info("listener: pubkeys traced now: %zu, at most %d", count, TRACE_KEYS_MAX);
    *told = count;
}

void tracing_refresh(struct registry *registry, size_t *told)
{
    struct trace_step kept[TRACE_STEPS_MAX];
    struct registry_traced_step steps[TRACE_STEPS_MAX];
    struct registry_traced traced[REGISTRY_TRACES_MAX];
    int64_t now_ms = clock_monotonic_ms();
    size_t n, count;

    log_more_steps(now_ms);
    n = trace_take(kept);
    for (size_t i = 0; i < n; i++)
        steps[i] = (struct registry_traced_step){
            .name = kept[i].name, .text = kept[i].text, .age_ms = now_ms - kept[i].at_ms};
    if (registry_traced(registry, steps, n, traced, &count) == REGISTRY_OK) {
        follow(traced, count, clock_monotonic_ms());
        tell_count(count, told);
    }
    explicit_bzero(traced, sizeof traced);
}
