#include "redis_sentinel_link.h"

#include <stdlib.h>
#include <string.h>

#include "redis_address.h"
#include "redis_wire.h"

#define ASK_EVERY_MS    500
#define PING_EVERY_MS   1000
#define LATE_MS         250 /* from here on nothing is waited for, */
#define LATE_LEAST_MS   50  /* and from here on at the earliest */
#define GONE_MS         3000
#define RETRY_MS        500
#define RESOLVE_MS      20  /* between looks at whether a name is known */
#define RESOLVE_LATE_MS 250 /* the same where that takes long */
#define WORDS_MAX       3
#define ANSWERS_AT_ONCE 3 /* of one question */

struct redis_sentinel_link {
    struct redis_sentinel_link_options options;
    struct redis_address address;
    size_t tries; /* each takes the next address of the name */
    struct redis_wire wire;
    bool is_resolving;  /* its name */
    int64_t took_ms;    /* the last answer; 0: none on this connection */
    int64_t began_ms;   /* to resolve, to connect, or to wait for answers */
    int64_t again_ms;   /* when to connect, ask or ping next */
    unsigned awaited;   /* answers */
    bool is_logging_in; /* the first of them is AUTH's */
    uint64_t question;  /* that is being asked or was asked last */
    uint64_t answered;  /* the last one that was answered */
    bool has_answer;
    enum redis_sentinel_news heard;
    struct redis_sentinel_answer answer, coming;
    struct redis_sentinel_trouble trouble;
};

struct redis_sentinel_link *
redis_sentinel_link_new(const struct redis_sentinel_link_options *options)
{
    struct redis_sentinel_link *link = calloc(1, sizeof *link);

    if (link == NULL)
        return NULL;
    link->options = *options;
    link->again_ms = INT64_MIN;
    redis_address_init(&link->address);
    return link;
}

void redis_sentinel_link_free(struct redis_sentinel_link **link)
{
    if (*link == NULL)
        return;
    redis_wire_free(&(*link)->wire);
    redis_address_free(&(*link)->address);
    free(*link);
    *link = NULL;
}

static bool is_open(const struct redis_sentinel_link *link)
{
    return link->wire.context != NULL;
}

static void fail(struct redis_sentinel_link *link, const struct redis_sentinel_trouble *trouble,
                 int64_t now_ms)
{
    link->trouble = *trouble;
    link->has_answer = false;
    link->awaited = 0;
    link->is_resolving = link->is_logging_in = false;
    link->took_ms = 0;
    link->again_ms = now_ms + RETRY_MS;
    redis_wire_close(&link->wire);
}

static void lose(struct redis_sentinel_link *link, int64_t now_ms)
{
    static const struct redis_sentinel_trouble gone = {.what = "none of its Sentinels answers"};

    fail(link, &gone, now_ms);
}

/* ---- Out ---------------------------------------------------------------------------------------
 */

static bool say(struct redis_sentinel_link *link, const char *const words[WORDS_MAX])
{
    const char *given[WORDS_MAX];
    size_t lens[WORDS_MAX];
    int count = 0;

    for (; count < WORDS_MAX && words[count] != NULL; count++) {
        given[count] = words[count];
        lens[count] = strlen(words[count]);
    }
    link->awaited++;
    return redis_wire_append(&link->wire, count, given, lens) == NULL;
}

static bool log_in(struct redis_sentinel_link *link)
{
    const char *const auth[WORDS_MAX] = {"AUTH", link->options.password};

    link->is_logging_in = link->options.password[0] != '\0';
    return !link->is_logging_in || say(link, auth);
}

static bool ask(struct redis_sentinel_link *link, uint64_t question)
{
    static const char *const commands[ANSWERS_AT_ONCE] = {"MASTER", "GET-MASTER-ADDR-BY-NAME",
                                                          "REPLICAS"};

    link->question = question;
    for (int i = 0; i < ANSWERS_AT_ONCE; i++) {
        const char *const words[WORDS_MAX] = {"SENTINEL", commands[i], link->options.service};

        if (!say(link, words))
            return false;
    }
    return true;
}

/* Asks, or subscribes: what a new connection is for. */
static bool begin(struct redis_sentinel_link *link, uint64_t question)
{
    static const char *const subscribe[WORDS_MAX] = {"SUBSCRIBE", REDIS_SENTINEL_SWITCHES_CHANNEL,
                                                     REDIS_SENTINEL_SWITCHED_CHANNEL};

    if (!log_in(link))
        return false;
    return link->options.kind == REDIS_SENTINEL_ASKS ? ask(link, question) : say(link, subscribe);
}

static bool begin_again(struct redis_sentinel_link *link, uint64_t question)
{
    static const char *const ping[WORDS_MAX] = {"PING"};

    return link->options.kind == REDIS_SENTINEL_ASKS ? ask(link, question) : say(link, ping);
}

/* False: not yet, or not at all. */
static bool resolve(struct redis_sentinel_link *link, int64_t now_ms)
{
    bool is_late;

    if (!link->is_resolving)
        link->began_ms = now_ms;
    link->is_resolving = true;
    if (redis_address_find(&link->address, link->options.node->host, 0) == NULL)
        return true;
    if (link->address.resolver == NULL) {
        lose(link, now_ms);
        return false;
    }
    is_late = now_ms - link->began_ms >= LATE_MS;
    link->again_ms = now_ms + (is_late ? RESOLVE_LATE_MS : RESOLVE_MS);
    return false;
}

static void open_link(struct redis_sentinel_link *link, uint64_t question, int64_t now_ms)
{
    struct redis_address *address = &link->address;
    redisContext *context;

    if (!resolve(link, now_ms))
        return;
    link->is_resolving = false;
    context = redisConnectNonBlock(address->text[link->tries++ % address->count],
                                   link->options.node->port);
    link->began_ms = now_ms;
    if (context == NULL || context->err != 0) {
        if (context != NULL)
            redisFree(context);
        lose(link, now_ms);
        return;
    }
    redis_wire_open(&link->wire, context);
    if (!begin(link, question))
        lose(link, now_ms);
}

/* ---- In ----------------------------------------------------------------------------------------
 */

static bool judge_asked(struct redis_sentinel_link *link, const redisReply *reply,
                        struct redis_sentinel_trouble *trouble)
{
    switch (link->awaited) {
    case 3:
        return redis_sentinel_read_master(reply, &link->coming, trouble);
    case 2:
        return redis_sentinel_read_address(reply, &link->coming, trouble);
    default:
        if (!redis_sentinel_read_replicas(reply, &link->coming, trouble))
            return false;
    }
    link->answer = link->coming;
    link->has_answer = true;
    link->answered = link->question;
    return true;
}

static bool judge_heard(struct redis_sentinel_link *link, const redisReply *reply,
                        struct redis_sentinel_trouble *trouble)
{
    enum redis_sentinel_news news;

    if (!redis_sentinel_read_message(reply, link->options.service, &news, trouble))
        return false;
    if (news > link->heard)
        link->heard = news;
    return true;
}

static bool judge(struct redis_sentinel_link *link, const redisReply *reply,
                  struct redis_sentinel_trouble *trouble)
{
    if (link->is_logging_in) {
        link->is_logging_in = false;
        return redis_sentinel_read_auth(reply, trouble);
    }
    return link->options.kind == REDIS_SENTINEL_ASKS ? judge_asked(link, reply, trouble)
                                                     : judge_heard(link, reply, trouble);
}

/* Anything that is said counts for one that hears: a message comes unasked. */
static void take(struct redis_sentinel_link *link, int64_t now_ms)
{
    struct redis_sentinel_trouble trouble;
    redisReply *reply;
    bool good;

    while (is_open(link)) {
        if (redis_wire_take(&link->wire, &reply) != NULL) {
            lose(link, now_ms);
            return;
        }
        if (reply == NULL)
            return;
        good = link->options.kind == REDIS_SENTINEL_HEARS || link->awaited > 0;
        trouble.what = "a Sentinel answers what none would";
        trouble.refused = false;
        good = good && judge(link, reply, &trouble);
        freeReplyObject(reply);
        if (!good) {
            fail(link, &trouble, now_ms);
            return;
        }
        link->awaited -= link->awaited > 0;
        if (link->awaited == 0) {
            link->trouble.what = NULL;
            link->took_ms = now_ms - link->began_ms;
            link->again_ms =
                link->began_ms +
                (link->options.kind == REDIS_SENTINEL_ASKS ? ASK_EVERY_MS : PING_EVERY_MS);
        }
    }
}

static int64_t late_ms(const struct redis_sentinel_link *link)
{
    int64_t usual_ms = 2 * link->took_ms + LATE_LEAST_MS;

    return !link->has_answer || usual_ms > LATE_MS ? LATE_MS : usual_ms;
}

/* ---- Kept up -----------------------------------------------------------------------------------
 */

static void serve(struct redis_sentinel_link *link, uint64_t question, int64_t now_ms)
{
    bool is_new = link->options.kind == REDIS_SENTINEL_ASKS && question > link->question;

    if (link->awaited == 0 && (is_new || now_ms >= link->again_ms)) {
        link->began_ms = now_ms;
        if (!begin_again(link, question)) {
            lose(link, now_ms);
            return;
        }
    }
    if (redis_wire_write(&link->wire) != NULL || redis_wire_read(&link->wire) != NULL) {
        lose(link, now_ms);
        return;
    }
    take(link, now_ms);
    if (is_open(link) && link->awaited > 0 && now_ms - link->began_ms >= GONE_MS)
        lose(link, now_ms);
}

int64_t redis_sentinel_link_run(struct redis_sentinel_link *link, uint64_t question, int64_t now_ms)
{
    if (!is_open(link) && now_ms >= link->again_ms)
        open_link(link, question, now_ms);
    if (is_open(link))
        serve(link, question, now_ms);
    if (!is_open(link))
        return link->again_ms;
    if (link->awaited > 0)
        return link->began_ms + (now_ms - link->began_ms < late_ms(link) ? late_ms(link) : GONE_MS);
    return question > link->question && link->options.kind == REDIS_SENTINEL_ASKS ? now_ms
                                                                                  : link->again_ms;
}

struct pollfd redis_sentinel_link_pollfd(const struct redis_sentinel_link *link)
{
    struct pollfd fd = {.fd = -1, .events = POLLIN};

    if (is_open(link)) {
        fd.fd = link->wire.context->fd;
        if (!redis_wire_has_sent(&link->wire))
            fd.events |= POLLOUT;
    }
    return fd;
}

const struct redis_sentinel_answer *
redis_sentinel_link_answer(const struct redis_sentinel_link *link)
{
    return link->has_answer ? &link->answer : NULL;
}

uint64_t redis_sentinel_link_answered(const struct redis_sentinel_link *link)
{
    return link->answered;
}

bool redis_sentinel_link_is_awaited(const struct redis_sentinel_link *link, uint64_t question,
                                    int64_t now_ms)
{
    return (is_open(link) || link->is_resolving) && link->answered < question &&
           now_ms - link->began_ms < late_ms(link);
}

enum redis_sentinel_news redis_sentinel_link_heard(struct redis_sentinel_link *link)
{
    enum redis_sentinel_news heard = link->heard;

    link->heard = REDIS_SENTINEL_NO_NEWS;
    return heard;
}

struct redis_sentinel_trouble redis_sentinel_link_trouble(const struct redis_sentinel_link *link)
{
    return link->trouble;
}
