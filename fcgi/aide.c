#include "aide.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bell.h"
#include "base/clock.h"
#include "base/must.h"
#include "base/random.h"
#include "base/thread.h"
#include "log/log.h"
#include "registry/registry_stats.h"

#define TRY_EVERY_MS 250
#define TICK_MS      1000
#define FIRST_TRY_MS 1000

#define PIPELINES_MAX 2

STAILQ_HEAD(aide_questions, aide_question);

struct aide {
    struct stats *stats;

    /* The worker's thread's: */
    struct registry_pipeline
        *pipelines[PIPELINES_MAX]; /* the first one gets its connection first */
    size_t pipeline_count;
    pthread_t thread;
    bool is_started;
    bool has_key, is_refused;
    uint8_t key[ADDRESS_KEY_SIZE];

    /* The aide's thread's: */
    struct registry *registry; /* for ticks and questions */
    bool is_checked;           /* whether Redis has this program's library was looked at once */
    int64_t try_at_ms, tick_at_ms;

    /* Shared, under the lock. Each rings the other's bell when it has changed something. */
    pthread_mutex_t lock;
    int bell, workers_bell;
    bool ends;
    bool wants_connection;
    bool wants_another;           /* beside one that was just made: at once */
    bool has_tried, has_failed;   /* to make one */
    bool was_refused;             /* the last time */
    struct registry *connections; /* makes them; the aide's thread's, unless: */
    bool is_handed_over;          /* it has made one, and is the worker's until that is taken */
    bool has_found_key;
    uint8_t found_key[ADDRESS_KEY_SIZE];
    struct aide_questions asked, answered;
};

/* ---- The aide's thread -------------------------------------------------------------------------
 */

static void lock(struct aide *aide)
{
    (void)pthread_mutex_lock(&aide->lock);
}

static void unlock(struct aide *aide)
{
    (void)pthread_mutex_unlock(&aide->lock);
}

static void learn_key(struct aide *aide, struct registry *registry)
{
    uint8_t key[ADDRESS_KEY_SIZE];
    bool is_new;

    lock(aide);
    memcpy(key, aide->found_key, sizeof key);
    unlock(aide);
    if (registry_address_key(registry, key) == REGISTRY_OK) {
        lock(aide);
        is_new = !aide->has_found_key || memcmp(key, aide->found_key, sizeof key) != 0;
        memcpy(aide->found_key, key, sizeof key);
        aide->has_found_key = true;
        unlock(aide);
        if (is_new)
            bell_ring(aide->workers_bell);
    }
    explicit_bzero(key, sizeof key);
}

static bool wants_connection(struct aide *aide)
{
    bool wants;

    lock(aide);
    wants = aide->wants_connection;
    if (aide->wants_another)
        aide->try_at_ms = 0;
    aide->wants_another = false;
    unlock(aide);
    return wants;
}

/* The first time loads our library, as a program does when it starts; later on it is loaded where
 * Redis has none, so that a newer program's stays. */
static void connect_anew(struct aide *aide)
{
    struct registry *registry = aide->connections;
    bool is_first = !aide->is_checked;

    aide->is_checked = true;
    if (is_first)
        (void)registry_check(registry);
    if (!is_first || registry_is_connected(registry))
        learn_key(aide, registry);
    aide->try_at_ms = clock_monotonic_ms() + TRY_EVERY_MS;
    lock(aide);
    aide->has_tried = true;
    aide->is_handed_over = registry_is_connected(registry);
    aide->has_failed = !aide->is_handed_over;
    aide->was_refused = aide->has_failed && registry_is_refused(registry);
    aide->wants_connection = !aide->is_handed_over;
    unlock(aide);
    bell_ring(aide->workers_bell);
}

static void take_asked(struct aide *aide, bool wants_metrics, struct aide_questions *taken)
{
    struct aide_questions others = STAILQ_HEAD_INITIALIZER(others);
    struct aide_question *question;

    lock(aide);
    while ((question = STAILQ_FIRST(&aide->asked)) != NULL) {
        STAILQ_REMOVE_HEAD(&aide->asked, next);
        if (question->wants_metrics == wants_metrics)
            STAILQ_INSERT_TAIL(taken, question, next);
        else
            STAILQ_INSERT_TAIL(&others, question, next);
    }
    STAILQ_CONCAT(&aide->asked, &others);
    unlock(aide);
}

static void answer_as(struct aide_question *question, const struct aide_question *answer)
{
    question->result = answer->result;
    question->metrics = answer->metrics;
    if (answer->metrics.watch != NULL)
        answer->metrics.watch->users++;
    question->is_refused = answer->is_refused;
    (void)snprintf(question->reason, sizeof question->reason, "%s", answer->reason);
}

/* All that wait for the same are given one answer. */
static void answer_questions(struct aide *aide, bool wants_metrics)
{
    struct aide_questions taken = STAILQ_HEAD_INITIALIZER(taken);
    struct registry *registry = aide->registry;
    struct aide_question *question, answer;

    take_asked(aide, wants_metrics, &taken);
    if (STAILQ_EMPTY(&taken))
        return;
    memset(&answer, 0, sizeof answer);
    answer.result = wants_metrics ? registry_metrics(registry, &answer.metrics)
                                  : registry_state(registry, &answer.metrics.state);
    answer.is_refused = registry_is_refused(registry);
    (void)snprintf(answer.reason, sizeof answer.reason, "%s", registry_down_reason(registry));
    for (question = STAILQ_FIRST(&taken); question != NULL; question = STAILQ_NEXT(question, next))
        answer_as(question, &answer);
    registry_watch_free(&answer.metrics.watch);
    lock(aide);
    STAILQ_CONCAT(&aide->answered, &taken);
    unlock(aide);
    bell_ring(aide->workers_bell);
}

static void tick(struct aide *aide)
{
    aide->tick_at_ms = clock_monotonic_ms() + TICK_MS;
    learn_key(aide, aide->registry);
    (void)registry_flush_stats(aide->registry, aide->stats);
}

/* While there is no connection, nothing can be flushed either. Returns how long to wait. */
static int64_t work(struct aide *aide)
{
    answer_questions(aide, false);
    answer_questions(aide, true);
    if (wants_connection(aide)) {
        if (clock_monotonic_ms() >= aide->try_at_ms)
            connect_anew(aide);
    } else if (clock_monotonic_ms() >= aide->tick_at_ms) {
        tick(aide);
    }
    return (wants_connection(aide) ? aide->try_at_ms : aide->tick_at_ms) - clock_monotonic_ms();
}

static bool ends(struct aide *aide)
{
    bool it_ends;

    lock(aide);
    it_ends = aide->ends;
    unlock(aide);
    return it_ends;
}

static void *run(void *arg)
{
    struct aide *aide = arg;
    struct pollfd bell = {.fd = aide->bell, .events = POLLIN};
    int64_t wait_ms;

    while (!ends(aide)) {
        wait_ms = work(aide);
        if (wait_ms > 0)
            (void)poll(&bell, 1, (int)wait_ms);
        bell_hush(aide->bell);
    }
    (void)registry_flush_stats(aide->registry, aide->stats);
    return NULL;
}

/* ---- The worker's thread -----------------------------------------------------------------------
 */

struct aide *aide_new(const struct settings *settings, struct stats *stats,
                      struct registry_pipeline *pipeline)
{
    struct aide *aide = calloc(1, sizeof *aide);

    if (aide == NULL)
        return NULL;
    aide->stats = stats;
    aide_add_pipeline(aide, pipeline);
    (void)pthread_mutex_init(&aide->lock, NULL);
    STAILQ_INIT(&aide->asked);
    STAILQ_INIT(&aide->answered);
    random_bytes(aide->found_key, sizeof aide->found_key); /* for a Redis that has none */
    aide->bell = bell_new();
    aide->workers_bell = bell_new();
    aide->registry = registry_new(settings, stats);
    aide->connections = registry_new(settings, stats);
    if (aide->bell < 0 || aide->workers_bell < 0 || aide->registry == NULL ||
        aide->connections == NULL)
        aide_free(&aide);
    return aide;
}

void aide_add_pipeline(struct aide *aide, struct registry_pipeline *pipeline)
{
    MUST(aide->pipeline_count < PIPELINES_MAX);
    aide->pipelines[aide->pipeline_count++] = pipeline;
}

bool aide_is_replicated(const struct aide *aide)
{
    return registry_is_replicated(aide->registry);
}

bool aide_start(struct aide *aide)
{
    struct pollfd bell = {.fd = aide->workers_bell, .events = POLLIN};
    int64_t until_ms = clock_monotonic_ms() + FIRST_TRY_MS, left_ms;
    bool has_tried = false;

    aide->wants_connection = true;
    if (!thread_start(&aide->thread, "aide", run, aide)) {
        log_error("worker: cannot start a thread");
        return false;
    }
    aide->is_started = true;
    while (!has_tried && (left_ms = until_ms - clock_monotonic_ms()) > 0) {
        (void)poll(&bell, 1, (int)left_ms);
        aide_serve(aide);
        lock(aide);
        has_tried = aide->has_tried;
        unlock(aide);
    }
    aide_serve(aide);
    return true;
}

void aide_free(struct aide **aide)
{
    struct aide *it = *aide;

    if (it == NULL)
        return;
    if (it->is_started) {
        lock(it);
        it->ends = true;
        unlock(it);
        bell_ring(it->bell);
        (void)pthread_join(it->thread, NULL);
    }
    registry_free(&it->registry);
    registry_free(&it->connections);
    if (it->bell >= 0)
        (void)close(it->bell);
    if (it->workers_bell >= 0)
        (void)close(it->workers_bell);
    (void)pthread_mutex_destroy(&it->lock);
    explicit_bzero(it, sizeof *it);
    free(it);
    *aide = NULL;
}

int aide_fd(const struct aide *aide)
{
    return aide->workers_bell;
}

/* The first that has no connection, or NULL. */
static struct registry_pipeline *closed_one(const struct aide *aide)
{
    for (size_t i = 0; i < aide->pipeline_count; i++)
        if (!registry_pipeline_is_open(aide->pipelines[i]))
            return aide->pipelines[i];
    return NULL;
}

/* What was handed over is the worker's until it says so here. */
static void take_connection(struct aide *aide)
{
    struct registry_pipeline *taker = closed_one(aide), *next;
    bool is_taken = registry_pipeline_open(taker, aide->connections);

    next = closed_one(aide);
    lock(aide);
    aide->is_handed_over = false;
    aide->wants_another = is_taken && next != NULL;
    unlock(aide);
    aide_reconnect(aide);
}

static void give_up(const struct aide *aide)
{
    for (size_t i = 0; i < aide->pipeline_count; i++)
        registry_pipeline_give_up(aide->pipelines[i]);
}

void aide_serve(struct aide *aide)
{
    struct aide_questions answered = STAILQ_HEAD_INITIALIZER(answered);
    struct aide_question *question;
    bool is_handed_over, has_failed;

    bell_hush(aide->workers_bell);
    lock(aide);
    is_handed_over = aide->is_handed_over;
    has_failed = aide->has_failed;
    aide->has_failed = false;
    aide->is_refused = aide->was_refused;
    aide->has_key = aide->has_found_key;
    memcpy(aide->key, aide->found_key, sizeof aide->key);
    STAILQ_CONCAT(&answered, &aide->answered);
    unlock(aide);
    if (is_handed_over)
        take_connection(aide);
    else if (has_failed)
        give_up(aide);
    while ((question = STAILQ_FIRST(&answered)) != NULL) {
        STAILQ_REMOVE_HEAD(&answered, next);
        question->answered(question);
    }
}

void aide_reconnect(struct aide *aide)
{
    bool is_news;

    if (closed_one(aide) == NULL)
        return;
    lock(aide);
    is_news = !aide->wants_connection && !aide->is_handed_over;
    aide->wants_connection |= is_news;
    unlock(aide);
    if (is_news)
        bell_ring(aide->bell);
}

void aide_ask(struct aide *aide, struct aide_question *question)
{
    lock(aide);
    STAILQ_INSERT_TAIL(&aide->asked, question, next);
    unlock(aide);
    bell_ring(aide->bell);
}

bool aide_is_refused(const struct aide *aide)
{
    return aide->is_refused;
}

const uint8_t *aide_address_key(const struct aide *aide)
{
    return aide->has_key ? aide->key : NULL;
}
