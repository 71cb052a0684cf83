#include "trace.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static atomic_size_t count; /* of `keys`; read without the lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct traced keys[TRACE_KEYS_MAX];
static struct trace_step kept[TRACE_STEPS_MAX];
static size_t kept_count;

void trace_set(const struct traced *traced, size_t n)
{
    if (n == 0 && atomic_load(&count) == 0)
        return;
    (void)pthread_mutex_lock(&lock);
    explicit_bzero(keys, sizeof keys);
    for (size_t i = 0; i < n && i < TRACE_KEYS_MAX; i++)
        keys[i] = traced[i];
    atomic_store(&count, n < TRACE_KEYS_MAX ? n : TRACE_KEYS_MAX);
    (void)pthread_mutex_unlock(&lock);
}

static bool find_locked(const struct trade_pubkey *key, struct log_name *name)
{
    size_t n = atomic_load(&count);

    for (size_t i = 0; i < n; i++) {
        if (memcmp(keys[i].key.hex, key->hex, TRADE_PUBKEY_LEN) == 0 &&
            clock_monotonic_ms() < keys[i].until_ms) {
            *name = keys[i].name;
            name->is_traced = true;
            return true;
        }
    }
    return false;
}

bool trace_find(const struct trade_pubkey *key, struct log_name *name)
{
    bool found;

    if (atomic_load_explicit(&count, memory_order_relaxed) == 0)
        return false;
    (void)pthread_mutex_lock(&lock);
    found = find_locked(key, name);
    (void)pthread_mutex_unlock(&lock);
    return found;
}

void trace_keep(const struct log_name *name, const char *text)
{
    (void)pthread_mutex_lock(&lock);
    if (kept_count < TRACE_STEPS_MAX) {
        struct trace_step *step = &kept[kept_count++];

        (void)strcpy(step->name, name->text);
        (void)snprintf(step->text, sizeof step->text, "%s", text);
        step->at_ms = clock_monotonic_ms();
    }
    (void)pthread_mutex_unlock(&lock);
}

size_t trace_take(struct trace_step steps[TRACE_STEPS_MAX])
{
    size_t n;

    (void)pthread_mutex_lock(&lock);
    n = kept_count;
    memcpy(steps, kept, n * sizeof *steps);
    kept_count = 0;
    (void)pthread_mutex_unlock(&lock);
    return n;
}
