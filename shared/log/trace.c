#include "trace.h"

#include <inttypes.h>
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

/* Steps of one kind, of one pubkey. */
static struct kind {
    const char *format; /* NULL: there is none */
    int64_t since_ms;
    unsigned told; /* since then */
    uint64_t more; /* that were not told */
    char name[sizeof((struct log_name *)0)->text];
    char text[TRACE_TEXT_SIZE]; /* the first of these */
} kinds[TRACE_KINDS_MAX];

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

static void keep_locked(const char *name, const char *text, int64_t now_ms)
{
    struct trace_step *step = &kept[kept_count];

    if (kept_count == TRACE_STEPS_MAX)
        return;
    (void)strcpy(step->name, name);
    (void)snprintf(step->text, sizeof step->text, "%s", text);
    step->at_ms = now_ms;
    kept_count++;
}

/* Where there is none yet, the one that is free or the oldest becomes it. */
static struct kind *kind_locked(const struct log_name *name, const char *format, int64_t now_ms)
{
    struct kind *oldest = &kinds[0];

    for (size_t i = 0; i < TRACE_KINDS_MAX; i++) {
        if (kinds[i].format == format && strcmp(kinds[i].name, name->text) == 0)
            return &kinds[i];
        if (oldest->format != NULL &&
            (kinds[i].format == NULL || kinds[i].since_ms < oldest->since_ms))
            oldest = &kinds[i];
    }
    *oldest = (struct kind){.format = format, .since_ms = now_ms};
    (void)strcpy(oldest->name, name->text);
    return oldest;
}

bool trace_keep(const struct log_name *name, const char *format, const char *text, int64_t now_ms)
{
    struct kind *kind;
    bool told;

    (void)pthread_mutex_lock(&lock);
    kind = kind_locked(name, format, now_ms);
    if (now_ms - kind->since_ms >= TRACE_KIND_MS) {
        kind->since_ms = now_ms;
        kind->told = 0;
    }
    told = kind->told < TRACE_KIND_MOST;
    if (told) {
        kind->told++;
        keep_locked(name->text, text, now_ms);
    } else if (kind->more++ == 0) {
        (void)snprintf(kind->text, sizeof kind->text, "%s", text);
    }
    (void)pthread_mutex_unlock(&lock);
    return told;
}

bool trace_take_more(char text[TRACE_MORE_SIZE], int64_t now_ms)
{
    bool found = false;

    (void)pthread_mutex_lock(&lock);
    for (size_t i = 0; i < TRACE_KINDS_MAX && !found; i++) {
        struct kind *kind = &kinds[i];

        if (kind->format == NULL || now_ms - kind->since_ms < TRACE_KIND_MS)
            continue;
        if ((found = kind->more > 0)) {
            (void)snprintf(text, TRACE_MORE_SIZE, "trace: %s has %" PRIu64 " more steps like: %s",
                           kind->name, kind->more, kind->text);
            keep_locked(kind->name, text, now_ms);
        }
        *kind = (struct kind){.format = NULL};
    }
    (void)pthread_mutex_unlock(&lock);
    return found;
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
