/* Sentinels: the first line is a REDIS_URL, the rest is what they answer. Whatever of it we take
 * for a node has a host and a port, and only a node that somebody has named is ever chosen. */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>

#include "fuzz_input.h"
#include "redis/redis_sentinel.h"
#include "redis/redis_url.h"
#include "redis/redis_wire.h"

#define ANSWERS_MAX 16

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_node(const struct redis_node *node)
{
    struct redis_node again;
    char port[8], text[REDIS_NODE_TEXT_SIZE];
    int len = snprintf(port, sizeof port, "%d", node->port);

    require(redis_node_read(&again, node->host, strlen(node->host), port, (size_t)len));
    require(redis_node_is_same(node, &again));
    redis_node_write(text, node);
}

static void check_url(const char *text)
{
    struct redis_url url;

    if (redis_url_parse(&url, text) != NULL)
        return;
    require((url.path[0] != '\0') + (url.node.port != 0) + (url.sentinel_count > 0) == 1);
    require((url.sentinel_count > 0) == (url.service[0] != '\0'));
    require(url.sentinel_count <= REDIS_URL_SENTINELS_MAX);
    for (size_t i = 0; i < url.sentinel_count; i++)
        require(url.sentinels[i].host[0] != '\0' && url.sentinels[i].port > 0);
    for (const char *c = url.service; *c != '\0'; c++)
        require(isalnum((unsigned char)*c) || strchr(".-_", *c) != NULL);
}

/* Reads it as an answer to each command. */
static void read_reply(const redisReply *reply, struct redis_sentinel_answer *answer)
{
    struct redis_sentinel_trouble trouble = {.what = NULL};
    enum redis_sentinel_news news;

    memset(answer, 0, sizeof *answer);
    require(redis_sentinel_read_auth(reply, &trouble) || trouble.what != NULL);
    require(redis_sentinel_read_message(reply, "mostro", &news, &trouble) || trouble.what != NULL);
    require(redis_sentinel_read_master(reply, answer, &trouble) || trouble.what != NULL);
    if (redis_sentinel_read_address(reply, answer, &trouble))
        check_node(&answer->primary);
    if (redis_sentinel_read_replicas(reply, answer, &trouble))
        for (size_t i = 0; i < answer->replica_count; i++) {
            check_node(&answer->replicas[i]);
            require(redis_sentinel_knows(answer, &answer->replicas[i]));
        }
}

static void check_choice(const struct redis_sentinel_answer *answers, size_t count)
{
    const struct redis_sentinel_answer *pointers[ANSWERS_MAX], *best;

    for (size_t i = 0; i < count; i++)
        pointers[i] = &answers[i];
    best = redis_sentinel_choose(pointers, count, count, 0);
    require((best != NULL) == (count > 0));
    for (size_t i = 0; i < count; i++)
        require(best->epoch >= answers[i].epoch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct redis_sentinel_answer answers[ANSWERS_MAX];
    struct redis_wire wire = {.context = NULL};
    char *url = fuzz_line(&data, &size);
    redisReply *reply = NULL;
    size_t count = 0;

    check_url(url);
    free(url);
    redis_wire_open(&wire, redisConnectFd(open("/dev/null", O_RDWR | O_CLOEXEC)));
    if (size > 0 && redisReaderFeed(wire.context->reader, (const char *)data, size) == REDIS_OK)
        while (count < ANSWERS_MAX && redis_wire_take(&wire, &reply) == NULL && reply != NULL) {
            read_reply(reply, &answers[count++]);
            freeReplyObject(reply);
        }
    check_choice(answers, count);
    redis_wire_free(&wire);
    return 0;
}
