#include "fastcgi.h"

#include <errno.h>
#include <fastcgi.h>
#include <fcntl.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log/log.h"
#include "request.h"
#include "request_frame.h"
#include "response.h"

#define NO_FD     (-1)
#define PIPE_SIZE (256 * 1024)

/* What libfcgi allocates for a request: the buffers of its streams, and of each parameter a pointer
 * and malloc(3)'s own, beside its bytes. */
#define STREAMS_SIZE   (20 * 1024)
#define PARAMETER_SIZE 40

_Static_assert(PIPE_SIZE >= REQUEST_FRAME_MAX, "a pipe holds any request");

struct fastcgi_reader {
    int in, out; /* libfcgi reads the one, we write the other; NO_FD: closed */
    size_t body_len;
    char body[REQUEST_FRAME_BODY_MAX + 1]; /* one more, so that libfcgi reads to the end of it */
};

bool fastcgi_begin(void)
{
    /* libfcgi frees the buffers of its streams without wiping what has come in by them. */
    (void)mallopt(M_PERTURB, 0xff);
    return FCGX_Init() == 0 && !FCGX_IsCGI();
}

/* ---- The pipe -------------------------------------------------------------------------------- */

static void close_one(int *fd)
{
    if (*fd != NO_FD)
        (void)close(*fd);
    *fd = NO_FD;
}

static void close_pipe(struct fastcgi_reader *reader)
{
    close_one(&reader->in);
    close_one(&reader->out);
}

static bool open_pipe(struct fastcgi_reader *reader)
{
    int fd[2];

    if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0) {
        log_error("worker: cannot make a pipe: %s", strerror(errno));
        return false;
    }
    reader->in = fd[0];
    reader->out = fd[1];
    if (fcntl(reader->out, F_SETPIPE_SZ, PIPE_SIZE) >= PIPE_SIZE)
        return true;
    log_error("worker: cannot make a pipe of %d bytes: %s", PIPE_SIZE, strerror(errno));
    close_pipe(reader);
    return false;
}

struct fastcgi_reader *fastcgi_reader_new(void)
{
    struct fastcgi_reader *reader = calloc(1, sizeof *reader);

    if (reader == NULL) {
        log_error("worker: out of memory");
        return NULL;
    }
    reader->in = reader->out = NO_FD;
    if (!open_pipe(reader))
        fastcgi_reader_free(&reader);
    return reader;
}

void fastcgi_reader_free(struct fastcgi_reader **reader)
{
    if (*reader == NULL)
        return;
    close_pipe(*reader);
    fastcgi_wipe_body(*reader);
    free(*reader);
    *reader = NULL;
}

/* ---- In -------------------------------------------------------------------------------------- */

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

/* Whether the body was read to its end, and so all that was in the pipe. */
static bool read_body(struct fastcgi_reader *reader, FCGX_Request *fcgx)
{
    int n = FCGX_GetStr(reader->body, sizeof reader->body, fcgx->in);

    reader->body_len = n > 0 ? (size_t)n : 0;
    return FCGX_GetError(fcgx->in) == 0 && FCGX_HasSeenEOF(fcgx->in) != 0;
}

/* libfcgi closes the descriptor of a request that it does not take. Where it has not, what is left
 * in the pipe must not become a part of the next request. */
static void start_afresh(struct fastcgi_reader *reader, FCGX_Request *fcgx)
{
    if (fcgx->ipcFd == NO_FD)
        reader->in = NO_FD;
    fcgx->ipcFd = NO_FD;
    FCGX_Free(fcgx, 0);
    close_pipe(reader);
    fastcgi_wipe_body(reader);
}

bool fastcgi_read(struct fastcgi_reader *reader, const struct request_frame *frame,
                  FCGX_Request *fcgx, struct request *request)
{
    if (reader->in == NO_FD && !open_pipe(reader))
        return false;
    /* No listening socket: it must not accept. Kept: it must not close what it has just been given.
     * Detached: nor wait for the peer to close where it does. */
    (void)FCGX_InitRequest(fcgx, NO_FD, FCGI_FAIL_ACCEPT_ON_INTR);
    fcgx->ipcFd = reader->in;
    fcgx->keepConnection = 1;
    fcgx->detached = 1;
    if (write(reader->out, frame->bytes, frame->len) != (ssize_t)frame->len ||
        FCGX_Accept_r(fcgx) != 0 || !read_body(reader, fcgx)) {
        start_afresh(reader, fcgx);
        return false;
    }
    fcgx->ipcFd = NO_FD;
    memset(request, 0, sizeof *request);
    for (char **entry = fcgx->envp; *entry != NULL; entry++)
        read_parameter(request, *entry);
    request->body = reader->body;
    request->body_len = reader->body_len;
    return true;
}

size_t fastcgi_size(const struct request_frame *frame, const FCGX_Request *fcgx)
{
    size_t parameters = 0;

    while (fcgx->envp[parameters] != NULL)
        parameters++;
    return STREAMS_SIZE + frame->params_size + parameters * PARAMETER_SIZE;
}

void fastcgi_wipe_body(struct fastcgi_reader *reader)
{
    explicit_bzero(reader->body, reader->body_len);
    reader->body_len = 0;
}

/* ---- Out ------------------------------------------------------------------------------------- */

bool fastcgi_answer(FCGX_Request *fcgx, int fd, const struct response *response)
{
    char head[RESPONSE_HEAD_SIZE];
    size_t head_len = response_head(response, head, sizeof head);
    bool written;

    fcgx->ipcFd = fd;
    (void)FCGX_PutStr(head, (int)head_len, fcgx->out);
    if (!response->without_body && response->body_len > 0)
        (void)FCGX_PutStr(response->body, (int)response->body_len, fcgx->out);
    /* Whether the connection is kept is not libfcgi's to decide; it closes one that fails. */
    fcgx->keepConnection = 1;
    fcgx->detached = 1;
    FCGX_Finish_r(fcgx);
    written = fcgx->ipcFd == fd;
    fcgx->ipcFd = NO_FD;
    return written;
}

bool fastcgi_end(int fd, uint16_t id)
{
    const FCGI_EndRequestRecord record = {
        .header = {.version = FCGI_VERSION_1,
                   .type = FCGI_END_REQUEST,
                   .requestIdB1 = (unsigned char)(id >> 8),
                   .requestIdB0 = (unsigned char)id,
                   .contentLengthB0 = sizeof record.body},
        .body = {.protocolStatus = FCGI_REQUEST_COMPLETE},
    };

    return send(fd, &record, sizeof record, MSG_NOSIGNAL) == (ssize_t)sizeof record;
}
