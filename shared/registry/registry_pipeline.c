#include "registry_pipeline.h"

#include <stdlib.h>

#include "base/clock.h"
#include "redis/redis_pipeline.h"
#include "registry_priv.h"

STAILQ_HEAD(registry_calls, registry_call);

struct registry_pipeline {
    struct redis_pipeline *redis;
    struct stats *stats;
    struct registry_words words;
    struct registry_command command;
    struct registry_calls asked; /* not written yet */
    struct registry_calls sent;  /* in the order in which answers come */
    size_t repeated;             /* calls of these that are asked a second time */
    struct registry_call load;   /* among the sent, while the library is loaded */
    enum { NOT_LOADING, TO_BE_LOADED, LOADING } loading;
    enum registry_result load_result; /* of the last time */
    bool is_between;                  /* connections: the next one is to be there at once */
    bool confirms;
    struct registry_call wait; /* among the sent, until replicas have confirmed what is before it */
    bool is_confirming;        /* it is there; nothing is sent meanwhile */
    struct registry_calls held; /* answered, and to be confirmed */
};

struct registry_pipeline *registry_pipeline_new(const struct settings *settings,
                                                struct stats *stats)
{
    struct registry_pipeline *pipeline = calloc(1, sizeof *pipeline);

    if (pipeline == NULL)
        return NULL;
    pipeline->stats = stats;
    registry_words_set(&pipeline->words, settings);
    STAILQ_INIT(&pipeline->asked);
    STAILQ_INIT(&pipeline->sent);
    STAILQ_INIT(&pipeline->held);
    pipeline->redis = redis_pipeline_new();
    if (pipeline->redis == NULL)
        registry_pipeline_free(&pipeline);
    return pipeline;
}

void registry_pipeline_confirm(struct registry_pipeline *pipeline)
{
    pipeline->confirms = true;
}

void registry_pipeline_free(struct registry_pipeline **pipeline)
{
    if (*pipeline == NULL)
        return;
    redis_pipeline_free(&(*pipeline)->redis);
    free(*pipeline);
    *pipeline = NULL;
}

bool registry_pipeline_open(struct registry_pipeline *pipeline, struct registry *from)
{
    if (!redis_pipeline_open(pipeline->redis, from->redis))
        return false;
    pipeline->is_between = false;
    return true;
}

int registry_pipeline_fd(const struct registry_pipeline *pipeline)
{
    return redis_pipeline_fd(pipeline->redis);
}

bool registry_pipeline_is_open(const struct registry_pipeline *pipeline)
{
    return registry_pipeline_fd(pipeline) >= 0;
}

/* ---- Giving up ---------------------------------------------------------------------------------
 */

static void fail(struct registry_pipeline *pipeline, struct registry_call *call)
{
    registry_call_fail(call, registry_judge(pipeline->stats, REDIS_DOWN, NULL));
    call->answered(call);
}

static void fail_as_away(struct registry_pipeline *pipeline, struct registry_call *call,
                         bool may_have_run)
{
    call->is_away = true;
    call->may_have_run = may_have_run;
    fail(pipeline, call);
}

static void fail_list(struct registry_pipeline *pipeline, struct registry_calls *calls,
                      bool may_have_run)
{
    struct registry_call *call;

    while ((call = STAILQ_FIRST(calls)) != NULL) {
        STAILQ_REMOVE_HEAD(calls, next);
        if (call != &pipeline->load && call != &pipeline->wait)
            fail_as_away(pipeline, call, may_have_run);
    }
}

/* The connection is closed: no answers come any more. */
static void fail_all(struct registry_pipeline *pipeline)
{
    struct registry_calls sent = STAILQ_HEAD_INITIALIZER(sent);
    struct registry_calls asked = STAILQ_HEAD_INITIALIZER(asked);

    STAILQ_CONCAT(&sent, &pipeline->held);
    STAILQ_CONCAT(&sent, &pipeline->sent);
    STAILQ_CONCAT(&asked, &pipeline->asked);
    pipeline->repeated = 0;
    pipeline->loading = NOT_LOADING;
    pipeline->is_between = pipeline->is_confirming = false;
    fail_list(pipeline, &sent, true);
    fail_list(pipeline, &asked, false);
}

void registry_pipeline_give_up(struct registry_pipeline *pipeline)
{
    if (!registry_pipeline_is_open(pipeline))
        fail_all(pipeline);
}

static int64_t earliest_of(const struct registry_calls *calls, bool is_sorted)
{
    const struct registry_call *call = STAILQ_FIRST(calls);
    int64_t earliest = INT64_MAX;

    while (call != NULL) {
        if (call->deadline_ms < earliest)
            earliest = call->deadline_ms;
        call = is_sorted ? NULL : STAILQ_NEXT(call, next);
    }
    return earliest;
}

int registry_pipeline_expire(struct registry_pipeline *pipeline, int64_t now_ms)
{
    bool is_sorted = pipeline->repeated == 0;
    int64_t sent = earliest_of(&pipeline->sent, is_sorted);
    /* What waits for a confirmation has its time from when it is sent. */
    int64_t asked = pipeline->is_confirming ? INT64_MAX : earliest_of(&pipeline->asked, is_sorted);
    int64_t earliest = sent < asked ? sent : asked;

    if (earliest == INT64_MAX)
        return -1;
    if (now_ms < earliest)
        return (int)(earliest - now_ms);
    if (registry_pipeline_is_open(pipeline))
        redis_pipeline_lose(pipeline->redis, "no answer in time");
    fail_all(pipeline);
    return -1;
}

/* ---- Asking ------------------------------------------------------------------------------------
 */

void registry_pipeline_ask(struct registry_pipeline *pipeline, struct registry_call *call)
{
    call->is_repeated = call->is_away = call->may_have_run = false;
    if (!registry_pipeline_is_open(pipeline) && !pipeline->is_between) {
        fail_as_away(pipeline, call, false);
        return;
    }
    if (!registry_call_prepare(call)) {
        fail(pipeline, call);
        return;
    }
    call->deadline_ms = clock_monotonic_ms() + REDIS_TIMEOUT_MS;
    STAILQ_INSERT_TAIL(&pipeline->asked, call, next);
}

static void add_library(struct registry_pipeline *pipeline)
{
    const char *words[REGISTRY_LIBRARY_WORDS];
    size_t lens[REGISTRY_LIBRARY_WORDS];

    pipeline->loading = LOADING;
    pipeline->load.deadline_ms = clock_monotonic_ms() + REDIS_TIMEOUT_MS;
    STAILQ_INSERT_TAIL(&pipeline->sent, &pipeline->load, next);
    registry_library(words, lens);
    if (redis_pipeline_add(pipeline->redis, REGISTRY_LIBRARY_WORDS, words, lens) == REDIS_DOWN)
        fail_all(pipeline);
}

/* How many calls share the command of the first: notifies, or registers, that were asked one after
 * the other. */
static unsigned calls_in_one(const struct registry_call *first)
{
    const struct registry_call *call = first;
    unsigned calls = 1;

    if (first->kind == REGISTRY_CALL_NOTIFY || first->kind == REGISTRY_CALL_REGISTER)
        while (calls < REGISTRY_CALLS_MAX && (call = STAILQ_NEXT(call, next)) != NULL &&
               call->kind == first->kind)
            calls++;
    return calls;
}

static void move_first(struct registry_calls *from, struct registry_calls *to)
{
    struct registry_call *call = STAILQ_FIRST(from);

    STAILQ_REMOVE_HEAD(from, next);
    STAILQ_INSERT_TAIL(to, call, next);
}

/* Makes a command of the first that is asked, and of those that can share it. */
static void add_first(struct registry_pipeline *pipeline)
{
    struct registry_command *command = &pipeline->command;
    struct registry_call *first = STAILQ_FIRST(&pipeline->asked);

    first->calls = calls_in_one(first);
    registry_call_write(first, command, &pipeline->words);
    for (unsigned i = 0; i < first->calls; i++) {
        if (pipeline->confirms) /* it may have waited until what was sent before was confirmed */
            STAILQ_FIRST(&pipeline->asked)->deadline_ms = clock_monotonic_ms() + REDIS_TIMEOUT_MS;
        move_first(&pipeline->asked, &pipeline->sent);
    }
    if (redis_pipeline_add(pipeline->redis, command->count, command->word, command->len) ==
        REDIS_DOWN)
        fail_all(pipeline);
}

/* Redis answers it once a replica has all that this connection has written, or after that time. It
 * stops the connection meanwhile: what is asked then waits, so that two never follow each other. */
static void add_wait(struct registry_pipeline *pipeline)
{
    const char *words[REGISTRY_CONFIRM_WORDS];
    size_t lens[REGISTRY_CONFIRM_WORDS];

    registry_confirm_words(words, lens);
    pipeline->is_confirming = true;
    pipeline->wait.deadline_ms = clock_monotonic_ms() + REDIS_TIMEOUT_MS + REGISTRY_CONFIRM_MS;
    STAILQ_INSERT_TAIL(&pipeline->sent, &pipeline->wait, next);
    if (redis_pipeline_add(pipeline->redis, REGISTRY_CONFIRM_WORDS, words, lens) == REDIS_DOWN)
        fail_all(pipeline);
}

/* Makes commands of all that is asked. */
static void add_all(struct registry_pipeline *pipeline)
{
    if (pipeline->loading == TO_BE_LOADED)
        add_library(pipeline);
    while (!STAILQ_EMPTY(&pipeline->asked))
        add_first(pipeline);
    if (pipeline->confirms && registry_pipeline_is_open(pipeline))
        add_wait(pipeline);
}

bool registry_pipeline_send(struct registry_pipeline *pipeline)
{
    while (registry_pipeline_is_open(pipeline)) {
        if (redis_pipeline_has_written(pipeline->redis)) {
            if (STAILQ_EMPTY(&pipeline->asked) || pipeline->is_confirming)
                return false;
            add_all(pipeline);
        } else {
            if (redis_pipeline_write(pipeline->redis) == REDIS_DOWN)
                fail_all(pipeline);
            else if (!redis_pipeline_has_written(pipeline->redis))
                return true;
        }
    }
    return false;
}

/* ---- Answers -----------------------------------------------------------------------------------
 */

/* Redis has lost the library, or another program's functions were put into its place. */
static void repeat(struct registry_pipeline *pipeline, struct registry_call *call)
{
    call->is_repeated = true;
    pipeline->repeated++;
    if (pipeline->loading == NOT_LOADING)
        pipeline->loading = TO_BE_LOADED;
    STAILQ_INSERT_TAIL(&pipeline->asked, call, next);
}

static void take_loaded(struct registry_pipeline *pipeline, enum redis_status status,
                        redisReply *reply)
{
    freeReplyObject(reply);
    pipeline->loading = NOT_LOADING;
    pipeline->load_result =
        registry_judge(pipeline->stats, status, redis_pipeline_error(pipeline->redis));
}

static void answer_held(struct registry_pipeline *pipeline)
{
    struct registry_calls held = STAILQ_HEAD_INITIALIZER(held);
    struct registry_call *call;

    STAILQ_CONCAT(&held, &pipeline->held);
    while ((call = STAILQ_FIRST(&held)) != NULL) {
        STAILQ_REMOVE_HEAD(&held, next);
        call->answered(call);
    }
}

static void take_confirmed(struct registry_pipeline *pipeline, enum redis_status status,
                           redisReply *reply)
{
    const struct registry_call *call;
    uint64_t calls = 0;
    bool is_primary;

    for (call = STAILQ_FIRST(&pipeline->held); call != NULL; call = STAILQ_NEXT(call, next))
        calls++;
    is_primary = registry_confirm_read(pipeline->stats, status, reply,
                                       redis_pipeline_error(pipeline->redis), calls);
    freeReplyObject(reply);
    pipeline->is_confirming = !is_primary;
    if (is_primary)
        answer_held(pipeline);
    else /* all that is held fails with it */
        redis_pipeline_lose(pipeline->redis, "it is no primary any more");
}

/* What Redis has said to a command. */
struct said {
    enum redis_status status;
    const redisReply *reply; /* of REDIS_OK_REPLY */
    size_t calls;            /* that the command was for */
};

static void answer(struct registry_pipeline *pipeline, struct registry_call *call,
                   const struct said *said, size_t place)
{
    const char *error = redis_pipeline_error(pipeline->redis);
    bool is_not_found = said->status == REDIS_ERROR_REPLY && registry_is_not_found(error);

    if (is_not_found && !call->is_repeated) {
        repeat(pipeline, call);
        return;
    }
    pipeline->repeated -= call->is_repeated;
    if (said->status == REDIS_OK_REPLY)
        registry_call_read(call, pipeline->stats, said->reply, place, said->calls);
    else if (is_not_found && pipeline->load_result != REGISTRY_OK)
        registry_call_fail(call, pipeline->load_result); /* which the log has heard of */
    else
        registry_call_fail(call, registry_judge(pipeline->stats, said->status, error));
    if (pipeline->is_confirming &&
        (call->result == REGISTRY_OK || call->result == REGISTRY_NOT_FOUND))
        STAILQ_INSERT_TAIL(&pipeline->held, call, next);
    else
        call->answered(call);
}

/* Answers the calls of the command that was sent first. */
static void answer_first(struct registry_pipeline *pipeline, enum redis_status status,
                         redisReply *reply)
{
    const struct said said = {
        .status = status, .reply = reply, .calls = STAILQ_FIRST(&pipeline->sent)->calls};
    struct registry_calls calls = STAILQ_HEAD_INITIALIZER(calls);
    struct registry_call *call;

    for (size_t i = 0; i < said.calls; i++)
        move_first(&pipeline->sent, &calls);
    for (size_t i = 0; (call = STAILQ_FIRST(&calls)) != NULL; i++) {
        STAILQ_REMOVE_HEAD(&calls, next);
        answer(pipeline, call, &said, i);
    }
    freeReplyObject(reply);
}

/* Whether there may be another one. */
static bool take_one(struct registry_pipeline *pipeline)
{
    struct registry_call *call = STAILQ_FIRST(&pipeline->sent);
    redisReply *reply;
    enum redis_status status = redis_pipeline_take(pipeline->redis, &reply);

    if (status == REDIS_DOWN || (status == REDIS_OK_REPLY && reply == NULL))
        return false;
    if (call == NULL) {
        freeReplyObject(reply);
        redis_pipeline_lose(pipeline->redis, "it sent an answer to no question");
        return false;
    }
    if (call == &pipeline->load) {
        STAILQ_REMOVE_HEAD(&pipeline->sent, next);
        take_loaded(pipeline, status, reply);
    } else if (call == &pipeline->wait) {
        STAILQ_REMOVE_HEAD(&pipeline->sent, next);
        take_confirmed(pipeline, status, reply);
    } else {
        answer_first(pipeline, status, reply);
    }
    return true;
}

void registry_pipeline_read(struct registry_pipeline *pipeline)
{
    bool is_idle = STAILQ_EMPTY(&pipeline->sent);

    if (!registry_pipeline_is_open(pipeline))
        return;
    if (redis_pipeline_read(pipeline->redis, is_idle) == REDIS_DOWN) {
        if (is_idle)
            pipeline->is_between = true;
        else
            fail_all(pipeline);
        return;
    }
    while (registry_pipeline_is_open(pipeline) && take_one(pipeline))
        continue;
    if (!registry_pipeline_is_open(pipeline))
        fail_all(pipeline);
}
