#include "exchange.h"

#include <string.h>

#include "body.h"
#include "request.h"
#include "responder.h"
#include "response.h"

/* The parameters that this program looks at; a header that the client sends twice, or under a name
 * that the web server maps to the same parameter, may be there twice. */
static void read_parameter(struct request *request, const char *entry)
{
#define WANTED(name, member)                                    \
    {                                                           \
        name "=", sizeof name, offsetof(struct request, member) \
    }
    static const struct {
        const char *name;
        size_t len; /* with the equals sign */
        size_t offset;
    } wanted[] = {
        WANTED("REQUEST_METHOD", method),
        WANTED("REQUEST_URI", path),
        WANTED("CONTENT_TYPE", content_type),
        WANTED("CONTENT_LENGTH", content_length),
        WANTED("REMOTE_ADDR", remote_addr),
        WANTED("HTTP_FLY_CLIENT_IP", fly_client_ip),
        WANTED("HTTP_X_FORWARDED_FOR", forwarded_for),
    };
#undef WANTED

    if (strcmp(entry, "MOSTRO_METRICS=1") == 0)
        request->is_private = true;

    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const char *value;

        /* Most parameters differ in their first letter, and there are some thirty of them. */
        if (entry[0] != wanted[i].name[0] || strncmp(entry, wanted[i].name, wanted[i].len) != 0)
            continue;
        value = entry + wanted[i].len;
        *(const char **)(void *)((char *)request + wanted[i].offset) = value;
        request->fly_client_ip_count += request->fly_client_ip == value;
        request->forwarded_for_count += request->forwarded_for == value;
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
    /* The whole request has been read, so closing cuts nothing off. Waiting until the web server
     * closes first costs more than all the rest of libfcgi. */
    (void)(FCGX_HasSeenEOF(fcgx->in) != 0 ? FCGX_Detach(fcgx) : FCGX_Attach(fcgx));
}
