#include "redis_sentinel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COMPARE " (compare users.acl.example)"

static bool refuse(struct redis_sentinel_trouble *trouble, const char *what)
{
    *trouble = (struct redis_sentinel_trouble){.what = what, .refused = true};
    return false;
}

static bool is_confused(struct redis_sentinel_trouble *trouble)
{
    *trouble = (struct redis_sentinel_trouble){.what = "a Sentinel answers what none would"};
    return false;
}

static bool begins(const redisReply *reply, const char *text)
{
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, text, strlen(text)) == 0;
}

/* Whether a command was taken. */
static bool is_taken(const redisReply *reply, struct redis_sentinel_trouble *trouble)
{
    if (reply->type != REDIS_REPLY_ERROR)
        return true;
    if (begins(reply, "NOAUTH"))
        return refuse(trouble, "its Sentinels want a password: set REDIS_SENTINEL_PASSWORD");
    if (begins(reply, "NOPERM"))
        return refuse(trouble, "its Sentinels' ACL grants too little" COMPARE);
    if (begins(reply, "ERR No such master") || begins(reply, "IDONTKNOW"))
        return refuse(trouble, "its Sentinels watch no service of this name: see REDIS_URL");
    if (begins(reply, "DENIED"))
        return refuse(trouble, "its Sentinels take no other machines: they are in protected-mode");
    if (begins(reply, "ERR unknown command"))
        return refuse(
            trouble,
            "REDIS_URL names a server that is no Sentinel: those listen at 26379 by default");
    *trouble = (struct redis_sentinel_trouble){.what = "a Sentinel answers with an error"};
    return false;
}

bool redis_sentinel_read_auth(const redisReply *reply, struct redis_sentinel_trouble *trouble)
{
    if (reply->type != REDIS_REPLY_ERROR)
        return true;
    if (strstr(reply->str, "without any password") != NULL)
        return refuse(trouble, "its Sentinels have no password: unset REDIS_SENTINEL_PASSWORD");
    return refuse(trouble, "its Sentinels do not take REDIS_SENTINEL_PASSWORD");
}

static bool is_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
}

/* The value of a name, in a list of both in turn, or NULL. */
static const redisReply *value_of(const redisReply *list, const char *name)
{
    if (list->type != REDIS_REPLY_ARRAY)
        return NULL;
    for (size_t i = 0; i + 1 < list->elements; i += 2)
        if (is_text(list->element[i]) && is_text(list->element[i + 1]) &&
            strcmp(list->element[i]->str, name) == 0)
            return list->element[i + 1];
    return NULL;
}

bool redis_sentinel_read_master(const redisReply *reply, struct redis_sentinel_answer *answer,
                                struct redis_sentinel_trouble *trouble)
{
    const redisReply *epoch = value_of(reply, "config-epoch");
    char *end;

    if (!is_taken(reply, trouble))
        return false;
    if (epoch == NULL || epoch->str[0] < '0' || epoch->str[0] > '9')
        return is_confused(trouble);
    errno = 0;
    answer->epoch = strtoull(epoch->str, &end, 10);
    return errno == 0 && *end == '\0' ? true : is_confused(trouble);
}

static bool read_node(struct redis_node *node, const redisReply *host, const redisReply *port)
{
    return host != NULL && port != NULL && is_text(host) && is_text(port) &&
           redis_node_read(node, host->str, host->len, port->str, port->len);
}

bool redis_sentinel_read_address(const redisReply *reply, struct redis_sentinel_answer *answer,
                                 struct redis_sentinel_trouble *trouble)
{
    if (!is_taken(reply, trouble))
        return false;
    if (reply->type == REDIS_REPLY_NIL)
        return refuse(trouble, "its Sentinels watch no service of this name: see REDIS_URL");
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        !read_node(&answer->primary, reply->element[0], reply->element[1]))
        return is_confused(trouble);
    return true;
}

bool redis_sentinel_read_replicas(const redisReply *reply, struct redis_sentinel_answer *answer,
                                  struct redis_sentinel_trouble *trouble)
{
    answer->replica_count = 0;
    if (!is_taken(reply, trouble))
        return false;
    if (reply->type != REDIS_REPLY_ARRAY)
        return is_confused(trouble);
    for (size_t i = 0; i < reply->elements && answer->replica_count < REDIS_SENTINEL_REPLICAS_MAX;
         i++) {
        const redisReply *replica = reply->element[i];

        if (read_node(&answer->replicas[answer->replica_count], value_of(replica, "ip"),
                      value_of(replica, "port")))
            answer->replica_count++;
    }
    return true;
}

static bool says(const redisReply *reply, const char *text)
{
    return is_text(reply) && strcmp(reply->str, text) == 0;
}

/* "service host port host port" */
static bool is_of_switched(const char *text, const char *service)
{
    size_t len = strlen(service);

    return strncmp(text, service, len) == 0 && text[len] == ' ';
}

/* "slave name host port @ service host port" */
static bool is_of_switching(const char *text, const char *service)
{
    const char *at = strstr(text, " @ ");

    return at != NULL && is_of_switched(at + 3, service);
}

bool redis_sentinel_read_message(const redisReply *reply, const char *service,
                                 enum redis_sentinel_news *news,
                                 struct redis_sentinel_trouble *trouble)
{
    *news = REDIS_SENTINEL_NO_NEWS;
    if (!is_taken(reply, trouble))
        return false;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2)
        return is_confused(trouble);
    if (reply->elements != 3 || !says(reply->element[0], "message") || !is_text(reply->element[2]))
        return true;
    if (says(reply->element[1], REDIS_SENTINEL_SWITCHED_CHANNEL) &&
        is_of_switched(reply->element[2]->str, service))
        *news = REDIS_SENTINEL_SWITCHED;
    if (says(reply->element[1], REDIS_SENTINEL_SWITCHES_CHANNEL) &&
        is_of_switching(reply->element[2]->str, service))
        *news = REDIS_SENTINEL_SWITCHES;
    return true;
}

/* ---- Several of them ---------------------------------------------------------------------------
 */

/* How many say the same as this one. */
static size_t votes_for(const struct redis_sentinel_answer *answer,
                        const struct redis_sentinel_answer *const *answers, size_t count)
{
    size_t votes = 0;

    for (size_t i = 0; i < count; i++)
        votes += answers[i]->epoch == answer->epoch &&
                 redis_node_is_same(&answers[i]->primary, &answer->primary);
    return votes;
}

const struct redis_sentinel_answer *
redis_sentinel_choose(const struct redis_sentinel_answer *const *answers, size_t count, size_t all,
                      uint64_t seen_epoch)
{
    const struct redis_sentinel_answer *best = NULL;
    size_t best_votes = 0;

    for (size_t i = 0; i < count; i++) {
        size_t votes = votes_for(answers[i], answers, count);

        if (best == NULL || answers[i]->epoch > best->epoch ||
            (answers[i]->epoch == best->epoch && votes > best_votes)) {
            best = answers[i];
            best_votes = votes;
        }
    }
    return best != NULL && best->epoch < seen_epoch && best_votes * 2 <= all ? NULL : best;
}

bool redis_sentinel_knows(const struct redis_sentinel_answer *answer, const struct redis_node *node)
{
    if (redis_node_is_same(&answer->primary, node))
        return true;
    for (size_t i = 0; i < answer->replica_count; i++)
        if (redis_node_is_same(&answer->replicas[i], node))
            return true;
    return false;
}
