#include "takeover.h"

void takeover_begin(struct takeover *takeover, int64_t since_us, int64_t now_ms)
{
    *takeover = (struct takeover){.since_us = since_us, .due_ms = now_ms + TAKEOVER_EVERY_MS};
}

enum registry_result takeover_run(struct takeover *takeover, struct registry *registry,
                                  int64_t now_ms, int64_t *adopted)
{
    enum registry_result result;
    int64_t n;

    *adopted = 0;
    if (takeover->since_us == 0 || now_ms < takeover->due_ms)
        return REGISTRY_OK;
    takeover->due_ms = now_ms + TAKEOVER_EVERY_MS; /* also if it fails */
    result = registry_wakes_adopt(registry, takeover->since_us, TAKEOVER_PAGE, &n);
    if (result != REGISTRY_OK)
        return result;
    takeover->adopted += n;
    if (n == TAKEOVER_PAGE) {
        takeover->due_ms = now_ms;
        return REGISTRY_OK;
    }
    *adopted = takeover->adopted;
    takeover->adopted = 0;
    return REGISTRY_OK;
}
