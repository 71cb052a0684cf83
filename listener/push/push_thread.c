#include "push_thread.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/bell.h"
#include "base/clock.h"
#include "base/must.h"
#include "base/thread.h"
#include "http_client.h"
#include "log/log.h"
#include "push_backend.h"
#include "registry/registration.h"
#include "settings/settings.h"

#define WAIT_MOST_MS 60000
#define JOIN_TRY_S   1

struct push_thread {
    const struct push_backend *backend;
    void *service;
    struct http_client *client;
    int bell;
    pthread_t id;
    bool running;
    atomic_bool is_ready;
    struct push_jobs over; /* ended, and not handed back yet: the thread's own */

    pthread_mutex_t lock; /* of all that follows */
    struct push_jobs ordered, ended;
    bool cancel, stop;
};

/* ---- Jobs ------------------------------------------------------------------------------------ */

bool push_job_init(struct push_job *job, enum push_kind kind,
                   const struct registration *registration, int64_t now_ms)
{
    *job = (struct push_job){.kind = kind, .ordered_ms = now_ms};
    job->registration = malloc(sizeof *job->registration);
    if (job->registration == NULL)
        return false;
    *job->registration = *registration;
    return true;
}

void push_job_clear(struct push_job *job)
{
    if (job->registration != NULL)
        OPENSSL_cleanse(job->registration, sizeof *job->registration);
    free(job->registration);
    job->registration = NULL;
}

/* ---- The thread's side ----------------------------------------------------------------------- */

static void job_done(const struct push_result *result, void *arg)
{
    struct push_job *job = arg;

    job->result = *result;
    job->ended_ms = clock_monotonic_ms();
    STAILQ_INSERT_TAIL(&job->thread->over, job, next);
}

static void end_unbegun(struct push_job *job, enum push_outcome outcome)
{
    job_done(&(struct push_result){.outcome = outcome, .retry_after_ms = -1}, job);
}

static bool is_ready(const struct push_thread *thread, int64_t now_ms)
{
    return thread->backend->ready == NULL || thread->backend->ready(thread->service, now_ms);
}

static void begin(struct push_thread *thread, struct push_job *job)
{
    int64_t now_ms = clock_monotonic_ms();
    const struct push_order order = {.kind = job->kind,
                                     .registration = job->registration,
                                     .now_ms = now_ms,
                                     .unix_s = clock_unix_s()};

    job->thread = thread;
    if (now_ms - job->ordered_ms > PUSH_THREAD_SOON_MS || !is_ready(thread, now_ms)) {
        end_unbegun(job, PUSH_UNBEGUN);
        return;
    }
    switch (thread->backend->push(thread->service, &order, job_done, job)) {
    case PUSH_STARTED:
        break;
    case PUSH_NO_MEMORY:
        end_unbegun(job, PUSH_NO_ROOM);
        break;
    case PUSH_BAD_REGISTRATION:
        end_unbegun(job, PUSH_DAMAGED);
        break;
    }
}

/* Takes what has been ordered; false: the thread is to end. */
static bool take_orders(struct push_thread *thread)
{
    struct push_jobs ordered = STAILQ_HEAD_INITIALIZER(ordered);
    struct push_job *job;
    bool cancel, stop;

    (void)pthread_mutex_lock(&thread->lock);
    STAILQ_CONCAT(&ordered, &thread->ordered);
    cancel = thread->cancel;
    stop = thread->stop;
    thread->cancel = false;
    (void)pthread_mutex_unlock(&thread->lock);
    while ((job = STAILQ_FIRST(&ordered)) != NULL) {
        STAILQ_REMOVE_HEAD(&ordered, next);
        if (cancel || stop) {
            job->thread = thread;
            end_unbegun(job, PUSH_CANCELLED);
        } else {
            begin(thread, job);
        }
        push_job_clear(job);
    }
    if (cancel || stop)
        http_client_cancel_all(thread->client);
    return !stop;
}

static void publish_ready(struct push_thread *thread, int64_t now_ms)
{
    bool ready = is_ready(thread, now_ms);

    if (atomic_exchange(&thread->is_ready, ready) != ready)
        bell_ring(thread->bell);
}

static void hand_back(struct push_thread *thread)
{
    if (STAILQ_EMPTY(&thread->over))
        return;
    (void)pthread_mutex_lock(&thread->lock);
    STAILQ_CONCAT(&thread->ended, &thread->over);
    (void)pthread_mutex_unlock(&thread->lock);
    bell_ring(thread->bell);
}

static void wait_until(struct push_thread *thread, int64_t until_ms)
{
    int64_t wait = until_ms - clock_monotonic_ms();

    if (wait > WAIT_MOST_MS)
        wait = WAIT_MOST_MS;
    http_client_wait(thread->client, wait > 0 ? (int)wait : 0);
}

/* Whether it is ready is told before what has ended for that. */
static void *run(void *arg)
{
    struct push_thread *thread = arg;

    do {
        int64_t now_ms = clock_monotonic_ms(), next_ms = INT64_MAX;

        if (thread->backend->run != NULL)
            next_ms = thread->backend->run(thread->service, now_ms, clock_unix_s());
        publish_ready(thread, now_ms);
        hand_back(thread);
        wait_until(thread, STAILQ_EMPTY(&thread->over) ? next_ms : now_ms);
    } while (take_orders(thread));
    hand_back(thread);
    return NULL;
}

/* ---- The owner's side ------------------------------------------------------------------------ */

bool push_thread_start(const struct push_backend *backend, const struct settings *settings,
                       int bell, struct push_thread **thread)
{
    const struct http_client_options options = {.ca_file = settings->tls_ca_file,
                                                .http2 = backend->host == NULL,
                                                .host_connections = backend->host_connections};
    struct push_thread *it = calloc(1, sizeof *it);

    *thread = NULL;
    if (it == NULL)
        return false;
    it->backend = backend;
    it->bell = bell;
    STAILQ_INIT(&it->over);
    STAILQ_INIT(&it->ordered);
    STAILQ_INIT(&it->ended);
    (void)pthread_mutex_init(&it->lock, NULL);
    it->client = http_client_new(&options);
    if (it->client == NULL || !backend->open(settings, it->client, &it->service)) {
        push_thread_free(&it);
        return false;
    }
    if (it->service == NULL) {
        push_thread_free(&it);
        return true;
    }
    atomic_store(&it->is_ready, is_ready(it, clock_monotonic_ms()));
    it->running = thread_start(&it->id, backend->name, run, it);
    if (!it->running) {
        log_error("push: the thread of %s cannot be started", backend->name);
        push_thread_free(&it);
        return false;
    }
    *thread = it;
    return true;
}

const void *push_thread_service(const struct push_thread *thread)
{
    return thread->service;
}

bool push_thread_is_ready(const struct push_thread *thread)
{
    return atomic_load(&thread->is_ready);
}

void push_thread_order(struct push_thread *thread, struct push_jobs *jobs)
{
    if (STAILQ_EMPTY(jobs))
        return;
    (void)pthread_mutex_lock(&thread->lock);
    STAILQ_CONCAT(&thread->ordered, jobs);
    (void)pthread_mutex_unlock(&thread->lock);
    http_client_wakeup(thread->client);
}

void push_thread_collect(struct push_thread *thread, struct push_jobs *jobs)
{
    (void)pthread_mutex_lock(&thread->lock);
    STAILQ_CONCAT(jobs, &thread->ended);
    (void)pthread_mutex_unlock(&thread->lock);
}

void push_thread_cancel(struct push_thread *thread)
{
    (void)pthread_mutex_lock(&thread->lock);
    thread->cancel = true;
    (void)pthread_mutex_unlock(&thread->lock);
    http_client_wakeup(thread->client);
}

void push_thread_guard(struct push_thread *thread, int64_t now_ms)
{
    unsigned ended = http_client_guard(thread->client, now_ms);

    if (ended > 0)
        log_warn("push: %s was kept by a peer: %u connections past their time have been ended",
                 thread->backend->name, ended);
}

void push_thread_stop(struct push_thread *thread)
{
    struct timespec until;

    if (!thread->running)
        return;
    (void)pthread_mutex_lock(&thread->lock);
    thread->stop = true;
    (void)pthread_mutex_unlock(&thread->lock);
    http_client_wakeup(thread->client);
    for (;;) {
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += JOIN_TRY_S;
        if (pthread_timedjoin_np(thread->id, NULL, &until) != ETIMEDOUT)
            break;
        (void)http_client_guard(thread->client, INT64_MAX);
    }
    thread->running = false;
}

void push_thread_free(struct push_thread **thread)
{
    struct push_thread *it = *thread;

    if (it == NULL)
        return;
    push_thread_stop(it);
    MUST(STAILQ_EMPTY(&it->ordered) && STAILQ_EMPTY(&it->ended));
    if (it->service != NULL)
        it->backend->close(it->service);
    http_client_free(&it->client);
    (void)pthread_mutex_destroy(&it->lock);
    free(it);
    *thread = NULL;
}
