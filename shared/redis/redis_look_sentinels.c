/* Each Sentinel is asked by itself, since a process asks them together otherwise, and is content
 * with one that answers. */
#include <string.h>

#include "base/clock.h"
#include "base/findings.h"
#include "redis_look.h"
#include "redis_priv.h"
#include "redis_sentinel.h"

#define TIMEOUT_MS 2000 /* for each step */
#define WORDS_MAX  3

/* One Sentinel, while it is asked. */
struct look {
    struct redis_wire wire;
    const char *password;
    const char *service;
    struct redis_sentinel_answer answer;
    struct redis_sentinel_trouble trouble;
};

static bool fail(struct look *look, const char *why)
{
    look->trouble.what = why;
    return false;
}

/* NULL: it was not answered, and look->trouble says so. Wants a freeReplyObject(). */
static redisReply *say(struct look *look, const char *const words[WORDS_MAX])
{
    const char *given[WORDS_MAX], *problem;
    size_t lens[WORDS_MAX];
    redisReply *reply = NULL;
    int count = 0;

    for (; count < WORDS_MAX && words[count] != NULL; count++) {
        given[count] = words[count];
        lens[count] = strlen(words[count]);
    }
    problem = redis_wire_append(&look->wire, count, given, lens);
    if (problem == NULL)
        problem = redis_wire_send(&look->wire);
    if (problem == NULL)
        problem = redis_wire_await(&look->wire, &reply, TIMEOUT_MS);
    if (problem != NULL)
        look->trouble.what = problem;
    return problem == NULL ? reply : NULL;
}

static bool log_in(struct look *look)
{
    const char *const auth[WORDS_MAX] = {"AUTH", look->password};
    redisReply *reply;
    bool good;

    if (look->password[0] == '\0')
        return true;
    reply = say(look, auth);
    good = reply != NULL && redis_sentinel_read_auth(reply, &look->trouble);
    freeReplyObject(reply);
    return good;
}

static bool ask(struct look *look)
{
    static bool (*const read[])(const redisReply *, struct redis_sentinel_answer *,
                                struct redis_sentinel_trouble *) = {
        redis_sentinel_read_master, redis_sentinel_read_address, redis_sentinel_read_replicas};
    static const char *const commands[] = {"MASTER", "GET-MASTER-ADDR-BY-NAME", "REPLICAS"};
    bool good = true;

    for (int i = 0; i < 3 && good; i++) {
        const char *const words[WORDS_MAX] = {"SENTINEL", commands[i], look->service};
        redisReply *reply = say(look, words);

        good = reply != NULL && read[i](reply, &look->answer, &look->trouble);
        freeReplyObject(reply);
    }
    return good;
}

/* Whether it lets us hear of a change. */
static bool subscribe(struct look *look)
{
    static const char *const words[WORDS_MAX] = {"SUBSCRIBE", REDIS_SENTINEL_SWITCHES_CHANNEL,
                                                 REDIS_SENTINEL_SWITCHED_CHANNEL};
    redisReply *reply = say(look, words);
    bool good = reply != NULL && reply->type != REDIS_REPLY_ERROR;

    if (reply != NULL && !good)
        look->trouble.what = "its ACL lets us not hear of a change: compare users.acl.example";
    freeReplyObject(reply);
    return good;
}

static bool connect_to(struct look *look, const struct redis_node *node)
{
    const struct timeval timeout = {.tv_sec = TIMEOUT_MS / 1000};
    struct redis_address address;
    redisContext *context = NULL;

    redis_address_init(&address);
    if (redis_address_find(&address, node->host, TIMEOUT_MS) != NULL) {
        redis_address_free(&address);
        return fail(look, "its name cannot be looked up");
    }
    for (size_t i = 0; i < address.count && (context == NULL || context->err != 0); i++) {
        redisFree(context);
        context = redisConnectWithTimeout(address.text[i], node->port, timeout);
    }
    redis_address_free(&address);
    if (context == NULL || context->err != 0) {
        redisFree(context);
        return fail(look, "no connection: see that it runs, and that nothing is between");
    }
    (void)redisSetTimeout(context, timeout);
    redis_wire_open(&look->wire, context);
    return true;
}

static void tell(const struct look *look, const char *what, const struct redis_node *named,
                 struct findings *findings)
{
    char primary[REDIS_NODE_TEXT_SIZE], other[REDIS_NODE_TEXT_SIZE];

    redis_node_write(primary, &look->answer.primary);
    if (named->port != 0 && !redis_node_is_same(named, &look->answer.primary)) {
        redis_node_write(other, named);
        findings_bad(findings, what,
                     "it names %s, and another names %s: if that lasts, see the "
                     "Sentinels' logs",
                     primary, other);
    } else {
        findings_good(findings, what, "it names %s, with %zu replicas", primary,
                      look->answer.replica_count);
    }
}

/* `named`: whom an earlier one has named, or none. */
static void look_at(const struct redis_node *node, struct look *look, struct redis_node *named,
                    struct findings *findings)
{
    char where[REDIS_NODE_TEXT_SIZE], what[sizeof where + sizeof "Sentinel "];

    redis_node_write(where, node);
    (void)snprintf(what, sizeof what, "Sentinel %s", where);
    if (connect_to(look, node) && log_in(look) && ask(look) && subscribe(look)) {
        tell(look, what, named, findings);
        *named = look->answer.primary;
    } else {
        findings_bad(findings, what, "%s", look->trouble.what);
    }
    redis_wire_free(&look->wire);
}

void redis_look_at_sentinels(const struct redis_options *options, struct findings *findings)
{
    const char *password = options->sentinel_password;
    struct redis_node named = {.port = 0};
    struct redis_url url;

    if (redis_url_parse(&url, options->url) == NULL)
        for (size_t i = 0; i < url.sentinel_count; i++) {
            struct look look = {.password = password != NULL ? password : "",
                                .service = url.service};

            look_at(&url.sentinels[i], &look, &named, findings);
        }
    explicit_bzero(&url, sizeof url);
}
