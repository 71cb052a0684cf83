#include "redis_greeting.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "redis_fault.h"

#define WORDS_MAX 5
#define STEPS_MAX 5

#define COMPARE " (compare users.acl.example)"

/* One command, and how its answer is judged. */
struct step {
    const char *words[WORDS_MAX];
    int count;
    void (*judge)(struct redis_greeting *greeting, const struct redis_greeting_options *options,
                  const redisReply *reply);
};

/* ---- What an answer means ----------------------------------------------------------------------
 */

/* Keeps the first problem, which is the one to report. */
static void fail(struct redis_greeting *greeting, const char *problem, bool refused)
{
    if (greeting->problem[0] != '\0')
        return;
    (void)snprintf(greeting->problem, sizeof greeting->problem, "%s", problem);
    greeting->refused = refused;
}

static void refuse(struct redis_greeting *greeting, const char *problem)
{
    fail(greeting, problem, true);
}

static bool is_error(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR;
}

/* Whether the answer is about the server's state rather than about the command. */
static bool tells_of_server(struct redis_greeting *greeting,
                            const struct redis_greeting_options *options, const redisReply *reply)
{
    const struct redis_fault *fault;

    if (!is_error(reply))
        return false;
    fault = redis_fault_of(reply->str, options->has_sentinels);
    if (fault->kind == REDIS_FAULT_PASSING || fault->kind == REDIS_FAULT_REFUSED)
        fail(greeting, fault->what, fault->kind == REDIS_FAULT_REFUSED);
    return fault->kind == REDIS_FAULT_PASSING || fault->kind == REDIS_FAULT_REFUSED;
}

static bool is_denied(const redisReply *reply)
{
    return is_error(reply) && redis_denial_of(reply->str) != REDIS_DENIAL_NONE;
}

static void judge_auth(struct redis_greeting *greeting,
                       const struct redis_greeting_options *options, const redisReply *reply)
{
    if (!is_error(reply) || tells_of_server(greeting, options, reply))
        return;
    if (strstr(reply->str, "without any password") != NULL)
        refuse(greeting, "it has no password: take it out of REDIS_URL, or put a user before it");
    else
        refuse(greeting, "it does not take the user or the password of REDIS_URL");
}

static void judge_select(struct redis_greeting *greeting,
                         const struct redis_greeting_options *options, const redisReply *reply)
{
    if (!is_error(reply) || tells_of_server(greeting, options, reply))
        return;
    refuse(greeting, is_denied(reply) ? "its ACL lacks +select" COMPARE
                                      : "it has no database of the number in REDIS_URL");
}

/* ROLE of a replica: that word, the host, and the port of its primary. */
static void note_primary(struct redis_greeting *greeting, const redisReply *reply)
{
    char port[24];

    if (reply->elements < 3 || reply->element[1]->type != REDIS_REPLY_STRING ||
        reply->element[2]->type != REDIS_REPLY_INTEGER)
        return;
    (void)snprintf(port, sizeof port, "%lld", reply->element[2]->integer);
    if (!redis_node_read(&greeting->replica_of, reply->element[1]->str, reply->element[1]->len,
                         port, strlen(port)))
        greeting->replica_of.port = 0; /* of none that can be used */
}

static void judge_replica(struct redis_greeting *greeting,
                          const struct redis_greeting_options *options, const redisReply *reply)
{
    if (!options->has_sentinels) {
        refuse(greeting, REDIS_FAULT_REPLICA);
        return;
    }
    note_primary(greeting, reply);
    fail(greeting, "its Sentinels name it as the primary, and it is a replica", false);
}

/* A server without ROLE shows what it is by refusing to write. */
static void judge_role(struct redis_greeting *greeting,
                       const struct redis_greeting_options *options, const redisReply *reply)
{
    const char *role = reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
                               reply->element[0]->type == REDIS_REPLY_STRING
                           ? reply->element[0]->str
                           : "";

    if (tells_of_server(greeting, options, reply))
        return;
    if (is_denied(reply))
        refuse(greeting, "its ACL hides whether it is a primary: grant +role" COMPARE);
    else if (strcmp(role, "slave") == 0 || strcmp(role, "replica") == 0)
        judge_replica(greeting, options, reply);
    else if (strcmp(role, "sentinel") == 0)
        refuse(greeting, "it is a Sentinel: point REDIS_URL at the primary");
}

/* The value of one of the names asked for, which come in any order, or NULL. */
static const char *config_value(const redisReply *reply, const char *name)
{
    if (reply->type != REDIS_REPLY_ARRAY)
        return NULL;
    for (size_t i = 0; i + 1 < reply->elements; i += 2)
        if (reply->element[i]->type == REDIS_REPLY_STRING &&
            reply->element[i + 1]->type == REDIS_REPLY_STRING &&
            strcmp(reply->element[i]->str, name) == 0)
            return reply->element[i + 1]->str;
    return NULL;
}

static void judge_config(struct redis_greeting *greeting,
                         const struct redis_greeting_options *options, const redisReply *reply)
{
    const char *save = config_value(reply, "save");
    const char *appendonly = config_value(reply, "appendonly");
    const char *policy = config_value(reply, "maxmemory-policy");

    if (tells_of_server(greeting, options, reply))
        return;
    greeting->may_evict = policy != NULL && strcmp(policy, "noeviction") != 0;
    if (options->allow_persistence)
        return;
    if (save == NULL || appendonly == NULL)
        refuse(greeting, "CONFIG GET is not allowed or unknown there: grant it, or set "
                         "REDIS_ALLOW_PERSISTENCE=true if you know it keeps nothing on disk");
    else if (save[0] != '\0')
        refuse(greeting, "it persists to disk: set save \"\"");
    else if (strcmp(appendonly, "no") != 0)
        refuse(greeting, "it persists to disk: set appendonly no");
}

static void judge_probe(struct redis_greeting *greeting,
                        const struct redis_greeting_options *options, const redisReply *reply)
{
    char problem[REDIS_PROBLEM_SIZE];

    if (!is_error(reply) || tells_of_server(greeting, options, reply))
        return;
    greeting->full = redis_fault_of(reply->str, options->has_sentinels)->kind == REDIS_FAULT_FULL;
    if (redis_denial_of(reply->str) == REDIS_DENIAL_KEY) {
        (void)snprintf(problem, sizeof problem, "its ACL lacks ~%s*" COMPARE, options->prefix);
        refuse(greeting, problem);
    } else if (is_denied(reply)) {
        refuse(greeting, "its ACL lacks +set" COMPARE);
    }
}

/* ---- Asking ------------------------------------------------------------------------------------
 */

static void add_login(struct step *step, const struct redis_url *url)
{
    *step = (struct step){.words = {"AUTH", url->password}, .count = 2, .judge = judge_auth};
    if (url->user[0] != '\0')
        *step = (struct step){
            .words = {"AUTH", url->user, url->password}, .count = 3, .judge = judge_auth};
}

/* Sends one command a step; NULL, or what went wrong. */
static const char *ask(struct redis_wire *wire, const struct step *steps, size_t count)
{
    const char *problem = NULL;

    for (size_t i = 0; i < count && problem == NULL; i++) {
        size_t lens[WORDS_MAX];
        const char *words[WORDS_MAX];

        for (int j = 0; j < steps[i].count; j++) {
            words[j] = steps[i].words[j];
            lens[j] = strlen(words[j]);
        }
        problem = redis_wire_append(wire, steps[i].count, words, lens);
    }
    return problem != NULL ? problem : redis_wire_send(wire);
}

/* When the connection breaks, the server may already have said why it closes it. */
static void listen_to(struct redis_wire *wire, const struct redis_greeting_options *options,
                      const struct step *steps, size_t count, struct redis_greeting *greeting)
{
    int64_t deadline = clock_monotonic_ms() + options->timeout_ms, now;
    const char *broken;
    redisReply *reply;

    for (size_t i = 0; i < count; i++) {
        now = clock_monotonic_ms();
        broken = redis_wire_await(wire, &reply, deadline > now ? (unsigned)(deadline - now) : 0);
        if (broken != NULL) {
            fail(greeting, broken, false);
            return;
        }
        steps[i].judge(greeting, options, reply);
        freeReplyObject(reply);
    }
}

void redis_greet(struct redis_wire *wire, const struct redis_greeting_options *options,
                 struct redis_greeting *greeting)
{
    static const struct step role = {.words = {"ROLE"}, .count = 1, .judge = judge_role};
    static const struct step config = {
        .words = {"CONFIG", "GET", "save", "appendonly", "maxmemory-policy"},
        .count = 5,
        .judge = judge_config};
    char database[12], probe[REDIS_PROBLEM_SIZE];
    const struct step select = {.words = {"SELECT", database}, .count = 2, .judge = judge_select};
    const struct step set = {.words = {"SET", probe, "1", "XX"}, .count = 4, .judge = judge_probe};
    struct step steps[STEPS_MAX];
    const char *problem;
    size_t count = 0;

    memset(greeting, 0, sizeof *greeting);
    if (options->url->password[0] != '\0')
        add_login(&steps[count++], options->url);
    if (options->url->database != 0) {
        (void)snprintf(database, sizeof database, "%d", options->url->database);
        steps[count++] = select;
    }
    steps[count++] = role;
    steps[count++] = config;
    /* Sets a key only if it exists, which it does not: changes nothing, and is refused where any
     * write would be. */
    (void)snprintf(probe, sizeof probe, "%sprobe", options->prefix);
    steps[count++] = set;
    problem = ask(wire, steps, count);
    if (problem != NULL)
        fail(greeting, problem, false);
    else
        listen_to(wire, options, steps, count, greeting);
}
