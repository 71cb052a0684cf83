#include "exchange.h"

#include <string.h>

/* The parameters that this program looks at; a header that the client sends twice, or under a name
 * that the web server maps to the same parameter, may be there twice. */
static void read_parameter(struct request *request, const char *entry)
{
    static const struct {
        const char *name;
        size_t offset;
    } wanted[] = {
        {"REQUEST_METHOD=", offsetof(struct request, method)},
        {"REQUEST_URI=", offsetof(struct request, path)},
        {"CONTENT_TYPE=", offsetof(struct request, content_type)},
        {"CONTENT_LENGTH=", offsetof(struct request, content_length)},
        {"REMOTE_ADDR=", offsetof(struct request, remote_addr)},
        {"HTTP_FLY_CLIENT_IP=", offsetof(struct request, fly_client_ip)},
        {"HTTP_X_FORWARDED_FOR=", offsetof(struct request, forwarded_for)},
    };

    if (strcmp(entry, "MOSTRO_METRICS=1") == 0)
        request->is_private = true;

    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        size_t len = strlen(wanted[i].name);

        if (strncmp(entry, wanted[i].name, len) != 0)
            continue;
        *(const char **)(void *)((char *)request + wanted[i].offset) = entry + len;
        request->fly_client_ip_count += request->fly_client_ip == entry + len;
        return;
    }
}

static ssize_t read_body(void *arg, char *buffer, size_t size)
{
    FCGX_Request *fcgx = arg;
    int n = FCGX_GetStr(buffer, size < BODY_MAX ? (int)size : BODY_MAX, fcgx->in);

    return n == 0 && FCGX_GetError(fcgx->in) != 0 ? -1 : n;
}

void exchange_answer(FCGX_Request *fcgx, struct responder *responder)
{
    struct request request = {.read = read_body, .read_arg = fcgx};
    struct response response = {0};
    char head[RESPONSE_HEAD_SIZE];
    size_t head_len;

    for (char **entry = fcgx->envp; *entry != NULL; entry++)
        read_parameter(&request, *entry);
    responder_answer(responder, &request, &response);
    head_len = response_head(&response, head, sizeof head);
    /* A client that has gone away is the web server's business. */
    (void)FCGX_PutStr(head, (int)head_len, fcgx->out);
    if (!response.without_body && response.body_len > 0)
        (void)FCGX_PutStr(response.body, (int)response.body_len, fcgx->out);
    response_clear(&response);
}
