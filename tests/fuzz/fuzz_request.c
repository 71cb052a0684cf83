/* The whole way of a request through the responder, with Redis stubbed: one line each for what
 * Redis answers, method, path, Content-Type, Content-Length, REMOTE_ADDR, Fly-Client-IP and
 * X-Forwarded-For; the rest is the body. An empty line is a header that was not sent. What Redis
 * answers is a digit of registry_stub; before it, `w`: it is away at first, `d`: it dies with the
 * first call, `l`: it is away and the client leaves. */
#include <stdio.h>

#include "exchange.h"
#include "fuzz_input.h"
#include "log/log.h"
#include "registry_stub.h"
#include "responder.h"
#include "settings/settings.h"

#define LINES 8

static const char *one(const char *name, void *arg)
{
    (void)arg;
    if (strcmp(name, "SERVER_PRIVATE_KEY") == 0)
        return "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    if (strcmp(name, "NOTIFY_TRUST_PROXY_HEADERS") == 0 ||
        strcmp(name, "TRUSTED_WHITELIST_ENABLED") == 0)
        return "true";
    return NULL;
}

static struct responder *the_responder(void)
{
    static struct responder *responder;
    static struct stats stats;

    if (responder == NULL) {
        struct responder_parts parts = {.stats = &stats, .waiting_max = 1};

        parts.settings =
            settings_read(SETTINGS_FCGI, one, NULL, &(const struct settings_tell){stderr, stderr});
        log_open("fuzz", LOG_LEVEL_ERROR, LOG_TARGET_STDERR);
        responder = parts.settings != NULL ? responder_new(&parts, stderr) : NULL;
        if (responder == NULL)
            abort();
    }
    return responder;
}

static unsigned answers;

/* What must hold of every answer. */
static void check(struct exchange *exchange)
{
    const struct response *response = &exchange->response;
    char head[RESPONSE_HEAD_SIZE];
    size_t len = response_head(response, head, sizeof head);

    answers++;
    if (len == 0 || response->status < 200 || response->body == NULL)
        abort();
    if (strstr(head, "\r\n\r\n") != head + len - 4)
        abort();
    if (strlen(response->body) != response->body_len)
        abort();
}

static const char *header(char *line)
{
    return line[0] != '\0' ? line : NULL;
}

static struct request request_of(char *const *line, char *body, size_t size)
{
    return (struct request){
        .method = line[1],
        .path = line[2],
        .content_type = header(line[3]),
        .content_length = header(line[4]),
        .remote_addr = header(line[5]),
        .fly_client_ip = header(line[6]),
        .fly_client_ip_count = header(line[6]) != NULL,
        .forwarded_for = header(line[7]),
        .forwarded_for_count = header(line[7]) != NULL,
        .body = body,
        .body_len = size,
    };
}

/* What has waited until Redis is back, or the client has left. */
static void end_waiting(struct exchange *exchange, const char *word)
{
    registry_stub_redis = (struct registry_stub_redis){.is_away = false};
    registry_stub_answer(word + 1);
    if (word[0] == 'l')
        responder_give_up(exchange);
    else
        (void)responder_tend(the_responder(), 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct exchange exchange = {.answered = check};
    char *line[LINES], *body;

    for (int i = 0; i < LINES; i++)
        line[i] = fuzz_line(&data, &size);
    body = fuzz_text(data, size);
    registry_stub_answer(line[0]);
    registry_stub_redis.is_away = line[0][0] == 'w' || line[0][0] == 'l';
    registry_stub_redis.is_dying = line[0][0] == 'd';
    exchange.request = request_of(line, body, size);
    answers = 0;
    responder_answer(the_responder(), &exchange);
    memset(body, 0, size); /* as its owner does */
    if (answers == 0)
        end_waiting(&exchange, line[0]);
    if (answers != 1)
        abort();
    response_clear(&exchange.response);
    for (int i = 0; i < LINES; i++)
        free(line[i]);
    free(body);
    return 0;
}
