#include "patience.h"

#include "base/clock.h"
#include "log/log.h"
#include "responder_priv.h"
#include "routes.h"

/* In one turn, so that other requests get between them. */
#define ASKED_AGAIN_MAX 64

void patience_init(struct patience *patience, size_t most)
{
    TAILQ_INIT(&patience->waiting);
    patience->count = patience->bytes = 0;
    patience->most = most;
}

void patience_begin(struct exchange *exchange)
{
    const struct route *route = exchange->route;

    exchange->waits = false;
    exchange->until_ms = route != NULL && route->may_wait ? clock_monotonic_ms() + PATIENCE_MS : 0;
}

/* A malformed request has its answer already, and waits for nothing. */
static bool may_wait(const struct exchange *exchange)
{
    const struct registry_call *call = &exchange->call;

    return exchange->until_ms != 0 && call->kind != REGISTRY_CALL_SPEND &&
           call->result == REGISTRY_UNAVAILABLE && call->is_away &&
           !aide_is_refused(exchange->responder->aide);
}

/* Those that came earlier may come back later. */
static void insert(struct patience *patience, struct exchange *exchange)
{
    struct exchange *before = TAILQ_LAST(&patience->waiting, patience_list);

    while (before != NULL && before->until_ms > exchange->until_ms)
        before = TAILQ_PREV(before, patience_list, next);
    if (before != NULL)
        TAILQ_INSERT_AFTER(&patience->waiting, before, exchange, next);
    else
        TAILQ_INSERT_HEAD(&patience->waiting, exchange, next);
    patience->count++;
    patience->bytes += exchange->size;
    exchange->waits = true;
}

static void take_out(struct patience *patience, struct exchange *exchange)
{
    TAILQ_REMOVE(&patience->waiting, exchange, next);
    patience->count--;
    patience->bytes -= exchange->size;
    exchange->waits = false;
}

bool patience_keeps(struct exchange *exchange)
{
    struct patience *patience = &exchange->responder->patience;
    struct log_name name;

    if (!may_wait(exchange) || clock_monotonic_ms() >= exchange->until_ms ||
        patience->count >= patience->most || exchange->size > PATIENCE_BYTES_MAX - patience->bytes)
        return false;
    insert(patience, exchange);
    name = log_step_name(&exchange->call.key);
    log_step(&name, "register: %s waits for Redis, which is away", name.text);
    if (exchange->delayed != NULL)
        exchange->delayed(exchange);
    return true;
}

/* The key of the hashes may be another one now. */
static void ask_again(struct responder *responder, struct exchange *exchange)
{
    struct registry_call *call = &exchange->call;

    if (call->may_have_run)
        exchange->is_limited = false;
    call->address = call->site = NULL;
    if (exchange->is_limited && !responder_hash_client(responder, exchange)) {
        responder_finish(exchange);
        return;
    }
    if (exchange->is_limited && call->kind == REGISTRY_CALL_REGISTER)
        responder_hash_site(responder, exchange);
    responder_ask_redis(exchange);
}

/* When the first one is to be answered 503. */
static int wait_ms(const struct patience *patience, int64_t now_ms)
{
    const struct exchange *first = TAILQ_FIRST(&patience->waiting);

    if (first == NULL)
        return -1;
    return first->until_ms > now_ms ? (int)(first->until_ms - now_ms) : 0;
}

int responder_tend(struct responder *responder, int64_t now_ms)
{
    struct patience *patience = &responder->patience;
    struct exchange *first;
    int asked = 0;

    while ((first = TAILQ_FIRST(&patience->waiting)) != NULL && asked < ASKED_AGAIN_MAX) {
        bool is_over = first->until_ms <= now_ms || aide_is_refused(responder->aide);

        if (!is_over && !registry_pipeline_is_open(responder->registrar))
            break;
        take_out(patience, first);
        if (is_over) {
            responder_finish(first);
        } else {
            ask_again(responder, first);
            asked++;
        }
    }
    return asked == ASKED_AGAIN_MAX ? 0 : wait_ms(patience, now_ms);
}

void responder_give_up(struct exchange *exchange)
{
    exchange->until_ms = 0;
    if (!exchange->waits)
        return;
    take_out(&exchange->responder->patience, exchange);
    responder_finish(exchange);
}
