#include "endpoint_keeper.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/durable_file.h"
#include "base/thread.h"
#include "endpoint_file.h"
#include "endpoint_text.h"
#include "endpoint_turns.h"
#include "log/log.h"
#include "registry/registry_endpoints.h"
#include "registry/stats.h"
#include "settings/settings.h"

#define BEAT_MS            1000
#define SOON_MS            250
#define RETRY_MS           5000
#define TELL_FULL_EVERY_MS 10000
#define STOP_S             5 /* that the disk has for the last write */

#define NS_PER_MS 1000000L
#define NS_PER_S  1000000000L

/* The most that reading all endpoints and writing them may take of the time. */
#define WRITE_SHARE 10

/* The most that one call of Redis counts there. What takes longer is a Redis that hangs, which has
 * lost enough time already. */
#define CALL_MOST_MS 20

/* Endpoints of the file that are read between two renewals of the claim to it: so few take no
 * second. */
#define RENEW_EVERY 4096

struct endpoint_keeper {
    const struct settings *settings;
    const char *instance;
    struct registry *registry;
    struct endpoint_file *file;
    struct registry_endpoints_state written; /* what the file stands for */
    uint64_t primary;                        /* registry_primary_changes() then */
    int64_t next_ms;                         /* the disk is let alone until then */
    int64_t hung_ms;                         /* how long Redis has hung since this was begun */
    bool failing;                            /* the log has been told */
    bool told_open;
    struct log_pace full;
    sem_t stop;
    pthread_t thread;
    bool running;
};

bool endpoint_keeper_is_off(const struct settings *settings)
{
    return strcmp(settings->unifiedpush_endpoints_file, "off") == 0;
}

/* ---- Trouble with the disk ------------------------------------------------------------------- */

static void failed(struct endpoint_keeper *keeper, const char *what)
{
    const char *why = strerror(errno);
    char *path = durable_file_absolute(keeper->settings->unifiedpush_endpoints_file);

    if (!keeper->failing)
        log_error("endpoint file: cannot be %s (%s): %s", what,
                  path != NULL ? path : keeper->settings->unifiedpush_endpoints_file, why);
    free(path);
    keeper->failing = true;
}

static void works(struct endpoint_keeper *keeper)
{
    if (keeper->failing)
        log_info("endpoint file: works again");
    keeper->failing = false;
}

static void set_aside(struct endpoint_keeper *keeper, const char *why)
{
    if (endpoint_file_set_aside(keeper->file))
        log_warn("endpoint file: it %s, and is kept as *.damaged", why);
    else
        log_error("endpoint file: it %s, and cannot be kept as *.damaged: %s", why,
                  strerror(errno));
}

/* ---- From the file to Redis ------------------------------------------------------------------ */

/* A call of Redis that was made then has ended. */
static enum registry_result called(struct endpoint_keeper *keeper, int64_t made_ms,
                                   enum registry_result result)
{
    int64_t took_ms = clock_monotonic_ms() - made_ms;

    keeper->hung_ms += took_ms > CALL_MOST_MS ? took_ms - CALL_MOST_MS : 0;
    return result;
}

struct loading {
    struct endpoint_keeper *keeper;
    struct endpoint_turns *turns;
    struct registry_endpoint batch[REGISTRY_ENDPOINTS_MAX];
    size_t n;
    size_t total, drawn;
};

static bool send_batch(struct loading *loading)
{
    struct endpoint_keeper *keeper = loading->keeper;
    int64_t made_ms = clock_monotonic_ms();
    size_t n = loading->n;

    loading->total += n;
    loading->n = 0;
    return n == 0 || called(keeper, made_ms,
                            registry_endpoints_load(keeper->registry, keeper->instance,
                                                    loading->batch, n)) == REGISTRY_OK;
}

static bool take_turn(const struct registry_endpoint *endpoint, void *arg)
{
    struct loading *loading = arg;
    struct registry_endpoints_state ignored;

    if (++loading->drawn % RENEW_EVERY == 0)
        (void)registry_endpoints_state(loading->keeper->registry, loading->keeper->instance,
                                       &ignored);
    return endpoint_turns_add(loading->turns, endpoint);
}

static bool take_loaded(const struct registry_endpoint *endpoint, void *arg)
{
    struct loading *loading = arg;

    loading->batch[loading->n] = *endpoint;
    loading->batch[loading->n++].turn = endpoint_turns_next(loading->turns);
    return loading->n < REGISTRY_ENDPOINTS_MAX || send_batch(loading);
}

/* Reads the text twice: whose turn it is when is known when all are. */
static enum endpoint_text_result read_and_send(struct loading *loading, const char *text,
                                               size_t len, size_t *skipped)
{
    bool allow_private = loading->keeper->settings->unifiedpush_allow_private;
    enum endpoint_text_result result;

    if (endpoint_text_read(text, len, allow_private, take_turn, loading, skipped) ==
        ENDPOINT_TEXT_STOPPED)
        return ENDPOINT_TEXT_STOPPED;
    endpoint_turns_draw(loading->turns);
    result = endpoint_text_read(text, len, allow_private, take_loaded, loading, skipped);
    return send_batch(loading) ? result : ENDPOINT_TEXT_STOPPED;
}

/* False where Redis did not take all of it. *trouble is set where it is to be set aside: why. */
static bool load_text(struct endpoint_keeper *keeper, const char *text, size_t len,
                      const char **trouble)
{
    struct loading *loading = calloc(1, sizeof *loading);
    enum endpoint_text_result result = ENDPOINT_TEXT_STOPPED;
    size_t skipped = 0, total;

    if (loading == NULL)
        return false;
    loading->keeper = keeper;
    loading->turns = endpoint_turns_new();
    if (loading->turns != NULL)
        result = read_and_send(loading, text, len, &skipped);
    total = loading->total;
    endpoint_turns_free(&loading->turns);
    explicit_bzero(loading, sizeof *loading);
    free(loading);
    if (result == ENDPOINT_TEXT_STOPPED)
        return false;
    if (skipped > 0)
        log_warn("endpoint file: %zu entries are no endpoints, and are left out", skipped);
    if (total > 0)
        log_info("endpoint file: %zu endpoints are brought back, and their phones woken", total);
    if (result == ENDPOINT_TEXT_DAMAGED)
        *trouble = "is damaged";
    else if (skipped > 0)
        *trouble = "holds what is no endpoint";
    return true;
}

/* Brings back what the file holds. It is set aside only when Redis has all that could be read. */
static void load(struct endpoint_keeper *keeper)
{
    const char *trouble = NULL;
    struct small_file found;
    bool loaded = true;

    if (registry_endpoints_begin(keeper->registry, keeper->instance) != REGISTRY_OK)
        return;
    switch (endpoint_file_read(keeper->file, ENDPOINT_TEXT_MAX, &found)) {
    case ENDPOINT_FILE_OK:
        loaded = load_text(keeper, found.text, found.len, &trouble);
        break;
    case ENDPOINT_FILE_ABSENT:
        break;
    case ENDPOINT_FILE_UNUSABLE:
        trouble = "is too large, or no regular file";
        break;
    case ENDPOINT_FILE_FAILED:
        failed(keeper, "read");
        return;
    }
    small_file_wipe(&found);
    if (loaded && registry_endpoints_loaded(keeper->registry, keeper->instance) == REGISTRY_OK &&
        trouble != NULL)
        set_aside(keeper, trouble);
}

/* ---- From Redis to the file ------------------------------------------------------------------ */

struct collecting {
    struct endpoint_text *text;
    enum endpoint_text_added last;
};

static bool take_one(const struct registry_endpoint *endpoint, void *arg)
{
    struct collecting *collecting = arg;

    collecting->last = endpoint_text_add(collecting->text, endpoint);
    return collecting->last == ENDPOINT_TEXT_ADDED || collecting->last == ENDPOINT_TEXT_LEFT_OUT;
}

/* Whether what was collected still stands for what is there: the data may have been lost meanwhile,
 * and what was collected with it, or another listener may look after the file by now. Asking also
 * renews the claim to the file, so that collecting may take longer than that holds. */
static bool still_stands(struct endpoint_keeper *keeper, uint64_t loaded)
{
    struct registry_endpoints_state state;
    int64_t made_ms = clock_monotonic_ms();

    if (called(keeper, made_ms,
               registry_endpoints_state(keeper->registry, keeper->instance, &state)) ==
            REGISTRY_OK &&
        state.is_writer && state.loaded == loaded)
        return true;
    log_info(
        "endpoint file: not written: another listener keeps it now, or Redis was lost meanwhile");
    return false;
}

static bool collect(struct endpoint_keeper *keeper, struct endpoint_text *text, uint64_t loaded)
{
    struct collecting collecting = {.text = text, .last = ENDPOINT_TEXT_ADDED};
    char cursor[REGISTRY_CURSOR_SIZE] = "0";

    do {
        int64_t made_ms = clock_monotonic_ms();

        if (called(keeper, made_ms,
                   registry_endpoints_read(keeper->registry, cursor, take_one, &collecting)) !=
                REGISTRY_OK ||
            !still_stands(keeper, loaded))
            return false;
    } while (strcmp(cursor, "0") != 0 && collecting.last != ENDPOINT_TEXT_NO_MEMORY);
    if (endpoint_text_dropped(text) > 0 &&
        log_is_due(&keeper->full, clock_monotonic_ms(), TELL_FULL_EVERY_MS))
        log_warn("endpoint file: not all endpoints fit in its %zu MB: it keeps the newest, and as "
                 "many bytes for each owner of hosts; UNIFIEDPUSH_ALLOWED_HOSTS_REGEX keeps out "
                 "whose you do not want",
                 ENDPOINT_TEXT_MAX >> 20);
    return collecting.last != ENDPOINT_TEXT_NO_MEMORY;
}

static void warn_of_open_folder(struct endpoint_keeper *keeper)
{
    if (!keeper->told_open && endpoint_file_folder_is_open(keeper->file))
        log_warn("endpoint file: others may look into its folder: chmod 700");
    keeper->told_open = true;
}

static void put_on_disk(struct endpoint_keeper *keeper, struct endpoint_text *text,
                        const struct registry_endpoints_state *state)
{
    size_t len;
    const char *whole = endpoint_text_end(text, &len);

    if (whole == NULL)
        return;
    if (!endpoint_file_prepare(keeper->file, whole, len)) {
        failed(keeper, "written");
    } else if (!still_stands(keeper, state->loaded)) {
        endpoint_file_discard(keeper->file);
    } else if (!endpoint_file_commit(keeper->file)) {
        failed(keeper, "written");
    } else {
        works(keeper);
        warn_of_open_folder(keeper);
        keeper->written = *state;
    }
}

static void write_anew(struct endpoint_keeper *keeper, const struct registry_endpoints_state *state)
{
    struct endpoint_text *text = endpoint_text_new(ENDPOINT_TEXT_MAX);

    if (text != NULL && collect(keeper, text, state->loaded))
        put_on_disk(keeper, text, state);
    endpoint_text_free(&text);
}

/* ---- The thread ------------------------------------------------------------------------------ */

static bool is_written(const struct endpoint_keeper *keeper,
                       const struct registry_endpoints_state *state)
{
    return state->loaded != 0 && state->loaded == keeper->written.loaded &&
           state->changes == keeper->written.changes;
}

/* Where another Redis has become the primary, the number of changes that the file stands for may be
 * of some that it is without. */
static void follow_primary(struct endpoint_keeper *keeper)
{
    uint64_t changes = registry_primary_changes();

    if (changes != keeper->primary)
        keeper->written = (struct registry_endpoints_state){0};
    keeper->primary = changes;
}

/* Returns after how many milliseconds to be called again: sooner where the file is another's, or
 * has just been loaded. */
static unsigned look_after(struct endpoint_keeper *keeper)
{
    struct registry_endpoints_state state;
    int64_t now_ms, took_ms;

    follow_primary(keeper);
    if (registry_endpoints_state(keeper->registry, keeper->instance, &state) != REGISTRY_OK ||
        !state.is_writer)
        return SOON_MS;
    if (state.loaded != 0)
        (void)registry_endpoints_wake(keeper->registry, keeper->instance);
    now_ms = clock_monotonic_ms();
    if (now_ms < keeper->next_ms || is_written(keeper, &state))
        return BEAT_MS;
    keeper->hung_ms = 0;
    if (state.loaded == 0)
        load(keeper);
    else
        write_anew(keeper, &state);
    took_ms = clock_monotonic_ms() - now_ms - keeper->hung_ms;
    keeper->next_ms = now_ms + (keeper->failing ? RETRY_MS : took_ms * WRITE_SHARE);
    return state.loaded == 0 ? SOON_MS : BEAT_MS;
}

/* False when the keeper is to stop. */
static bool wait_ms(struct endpoint_keeper *keeper, unsigned ms)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(ms % 1000) * NS_PER_MS;
    until.tv_sec += ms / 1000 + until.tv_nsec / NS_PER_S;
    until.tv_nsec %= NS_PER_S;
    return sem_clockwait(&keeper->stop, CLOCK_MONOTONIC, &until) != 0;
}

static void *run(void *arg)
{
    struct endpoint_keeper *keeper = arg;
    unsigned next;

    do {
        next = look_after(keeper);
    } while (wait_ms(keeper, next));
    if (!keeper->failing)
        keeper->next_ms = 0;
    (void)look_after(keeper);
    return NULL;
}

struct endpoint_keeper *endpoint_keeper_start(const struct settings *settings, const char *instance,
                                              struct stats *stats)
{
    struct endpoint_keeper *keeper = calloc(1, sizeof *keeper);

    if (keeper == NULL)
        return NULL;
    keeper->settings = settings;
    keeper->instance = instance;
    (void)sem_init(&keeper->stop, 0, 0);
    keeper->registry = registry_new(settings, stats);
    keeper->file = endpoint_file_new(settings->unifiedpush_endpoints_file, settings->listener_name);
    if (keeper->registry != NULL && keeper->file != NULL)
        keeper->running = thread_start(&keeper->thread, "endpoint file", run, keeper);
    if (!keeper->running) {
        log_error("endpoint file: its keeper cannot be started");
        endpoint_keeper_stop(&keeper);
    }
    return keeper;
}

/* False where the disk does not let it end. */
static bool join(struct endpoint_keeper *keeper)
{
    struct timespec until;

    (void)sem_post(&keeper->stop);
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += STOP_S;
    return pthread_clockjoin_np(keeper->thread, NULL, CLOCK_MONOTONIC, &until) == 0;
}

void endpoint_keeper_stop(struct endpoint_keeper **keeper)
{
    struct endpoint_keeper *it = *keeper;

    if (it == NULL)
        return;
    if (it->running && !join(it)) {
        log_warn("endpoint file: its disk does not answer, and is not waited for");
        return;
    }
    registry_free(&it->registry);
    endpoint_file_free(&it->file);
    (void)sem_destroy(&it->stop);
    free(it);
    *keeper = NULL;
}
