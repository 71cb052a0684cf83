/* push_thread_stub: in place of push_thread.c, a back end's service without a thread or a client.
 * Pushes begin when they are ordered, and end when the test has them end. */
#ifndef MOSTRO_PUSH_THREAD_STUB_H
#define MOSTRO_PUSH_THREAD_STUB_H

#include <stdlib.h>

#include "base/clock.h"
#include "push/http_client.h"
#include "push/push_backend.h"
#include "push/push_thread.h"
#include "registry/registration.h"
#include "unit.h"

struct push_thread {
    const struct push_backend *backend;
    void *service;
    struct http_client *client; /* NULL: the test's own functions want none */
    struct push_jobs ended;
};

static struct push_thread *push_threads[8]; /* those that are on */

static struct push_thread **push_thread_place(const struct push_thread *thread)
{
    size_t i = 0;

    while (push_threads[i] != thread)
        ck_assert_uint_lt(++i, sizeof push_threads / sizeof push_threads[0]);
    return &push_threads[i];
}

/* What all of them do between pushes; returns when to be called again. */
static __attribute__((unused)) int64_t push_threads_run(int64_t now_ms)
{
    int64_t next_ms = INT64_MAX, its_ms;

    for (size_t i = 0; i < sizeof push_threads / sizeof push_threads[0]; i++) {
        struct push_thread *it = push_threads[i];

        if (it == NULL || it->backend->run == NULL)
            continue;
        its_ms = it->backend->run(it->service, now_ms, clock_unix_s());
        next_ms = its_ms < next_ms ? its_ms : next_ms;
    }
    return next_ms;
}

bool push_job_init(struct push_job *job, enum push_kind kind,
                   const struct registration *registration, int64_t now_ms)
{
    *job = (struct push_job){.kind = kind, .ordered_ms = now_ms};
    job->registration = malloc(sizeof *job->registration);
    *job->registration = *registration;
    return true;
}

void push_job_clear(struct push_job *job)
{
    free(job->registration);
    job->registration = NULL;
}

bool push_thread_start(const struct push_backend *backend, const struct settings *settings,
                       int bell, struct push_thread **thread)
{
    (void)bell;
    *thread = calloc(1, sizeof **thread);
    (*thread)->backend = backend;
    STAILQ_INIT(&(*thread)->ended);
    ck_assert(backend->open(settings, (*thread)->client, &(*thread)->service));
    if ((*thread)->service == NULL) {
        free(*thread);
        *thread = NULL;
    } else {
        *push_thread_place(NULL) = *thread;
    }
    return true;
}

const void *push_thread_service(const struct push_thread *thread)
{
    return thread->service;
}

bool push_thread_is_ready(const struct push_thread *thread)
{
    return thread->backend->ready == NULL ||
           thread->backend->ready(thread->service, clock_monotonic_ms());
}

static void push_job_done(const struct push_result *result, void *arg)
{
    struct push_job *job = arg;

    job->result = *result;
    job->ended_ms = clock_monotonic_ms();
    STAILQ_INSERT_TAIL(&job->thread->ended, job, next);
}

static void push_job_begin(struct push_thread *thread, struct push_job *job)
{
    const struct push_order order = {.kind = job->kind,
                                     .registration = job->registration,
                                     .now_ms = clock_monotonic_ms(),
                                     .unix_s = clock_unix_s()};
    struct push_result result = {.retry_after_ms = -1};

    job->thread = thread;
    switch (thread->backend->push(thread->service, &order, push_job_done, job)) {
    case PUSH_STARTED:
        break;
    case PUSH_NO_MEMORY:
        result.outcome = PUSH_NO_ROOM;
        push_job_done(&result, job);
        break;
    case PUSH_BAD_REGISTRATION:
        result.outcome = PUSH_DAMAGED;
        push_job_done(&result, job);
        break;
    }
    push_job_clear(job);
}

void push_thread_order(struct push_thread *thread, struct push_jobs *jobs)
{
    struct push_job *job;

    while ((job = STAILQ_FIRST(jobs)) != NULL) {
        STAILQ_REMOVE_HEAD(jobs, next);
        push_job_begin(thread, job);
    }
}

void push_thread_collect(struct push_thread *thread, struct push_jobs *jobs)
{
    STAILQ_CONCAT(jobs, &thread->ended);
}

void push_thread_cancel(struct push_thread *thread)
{
    http_client_cancel_all(thread->client);
}

void push_thread_guard(struct push_thread *thread, int64_t now_ms)
{
    (void)thread;
    (void)now_ms;
}

void push_thread_stop(struct push_thread *thread)
{
    push_thread_cancel(thread);
}

void push_thread_free(struct push_thread **thread)
{
    *push_thread_place(*thread) = NULL;
    (*thread)->backend->close((*thread)->service);
    free(*thread);
    *thread = NULL;
}

#endif
