/* The whole way of a request through the responder, with Redis stubbed: one line each for what
 * Redis answers, method, path, Content-Type, Content-Length, REMOTE_ADDR, Fly-Client-IP and
 * X-Forwarded-For; the rest is the body. An empty line is a header that was not sent. */
#include <stdio.h>

#include "fuzz_input.h"
#include "log/log.h"
#include "registry_stub.h"
#include "request.h"
#include "responder.h"
#include "response.h"
#include "settings/settings.h"

#define LINES 8

struct source {
    const uint8_t *data;
    size_t left;
};

static ssize_t read_body(void *arg, char *buffer, size_t size)
{
    struct source *source = arg;
    size_t take = source->left < size ? source->left : size;

    memcpy(buffer, source->data, take);
    source->data += take;
    source->left -= take;
    return (ssize_t)take;
}

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

    if (responder == NULL) {
        struct settings *settings = settings_read(SETTINGS_FCGI, one, NULL, stderr);

        log_open("fuzz", LOG_LEVEL_ERROR, LOG_TARGET_STDERR);
        responder = settings != NULL ? responder_new(settings, stderr) : NULL;
        if (responder == NULL)
            abort();
    }
    return responder;
}

/* What must hold of every answer. */
static void check(const struct response *response)
{
    char head[RESPONSE_HEAD_SIZE];
    size_t len = response_head(response, head, sizeof head);

    if (len == 0 || response->status < 200 || response->body == NULL)
        abort();
    if (strstr(head, "\r\n\r\n") != head + len - 4)
        abort();
    if (strlen(response->body) != response->body_len)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line[LINES];
    struct response response = {0};
    struct request request = {.read = read_body};
    struct source source;

    for (int i = 0; i < LINES; i++)
        line[i] = fuzz_line(&data, &size);
    source = (struct source){.data = data, .left = size};
    registry_stub_answer(line[0]);
    request.method = line[1];
    request.path = line[2];
    request.content_type = line[3][0] != '\0' ? line[3] : NULL;
    request.content_length = line[4][0] != '\0' ? line[4] : NULL;
    request.remote_addr = line[5][0] != '\0' ? line[5] : NULL;
    request.fly_client_ip = line[6][0] != '\0' ? line[6] : NULL;
    request.fly_client_ip_count = request.fly_client_ip != NULL;
    request.forwarded_for = line[7][0] != '\0' ? line[7] : NULL;
    request.forwarded_for_count = request.forwarded_for != NULL;
    request.read_arg = &source;

    responder_answer(the_responder(), &request, &response);
    check(&response);
    response_clear(&response);
    for (int i = 0; i < LINES; i++)
        free(line[i]);
    return 0;
}
