#include "http_client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/tls_policy.h"
#include "base/url.h"
#include "base/wipe.h"
#include "http_sockets.h"
#include "log/log.h"
#include "settings/user_agent.h"

#define IDLE_HANDLES_MAX     256
#define IDLE_CONNECTIONS_MAX 128L
#define ANSWER_HEADERS_MAX   (32 * 1024)
#define ANSWER_FIRST         256
#define SOCKETS_A_REQUEST    4     /* however many addresses a name has */
#define UNACKNOWLEDGED_MS    10000 /* then a connection is dead, whatever libcurl thinks of it */
#define SILENCES_MAX         32
#define SILENCE_KEPT_MS      600000

/* Each request under way has these two. libcurl 7.88 stalls at an HTTP/2 answer that overflows the
 * first, be it by one byte and with the headers: what is read for another request on the same
 * connection piles up there, too. So all that a request may be answered fits; memory that is not
 * written to costs nothing. */
#define RECEIVE_BUFFER    ((long)HTTP_CLIENT_ANSWER_MAX + ANSWER_HEADERS_MAX)
#define SEND_BUFFER       16384L /* the least there is; see release_send_buffers() */
#define RETRY_AFTER_MAX_S 86400

/* Consecutive requests with equal headers share one list, so the access token is held once. */
struct header_list {
    struct curl_slist *lines;
    size_t users;
};

struct exchange {
    struct exchange *prev, *next;
    struct http_client *client;
    CURL *easy;
    char *url;
    char *body;
    size_t body_len;
    struct header_list *headers;
    http_address_fn *address_check;
    bool address_admitted, address_refused;
    unsigned sockets;
    int64_t deadline_ms;
    char *answer; /* NULL before there is any */
    size_t answer_len, answer_size, answer_limit;
    size_t header_bytes;
    bool headers_done;
    bool sending; /* has begun to, and so has a connection */
    bool sent;
    bool heard; /* something of the answer since libcurl was last called */
    int64_t retry_after_ms;
    http_done_fn *done;
    void *arg;
};

/* A host on which a request timed out. Its pooled connection may be dead, so connections older than
 * that are not reused. */
struct silence {
    char authority[URL_AUTHORITY_SIZE];
    int64_t since_ms;
};

struct http_client {
    CURLM *multi;
    struct http_sockets *sockets;
    long http_version;
    CURLSH *share;
    STACK_OF(X509) * authorities;
    const char *system_ca_file;
    struct exchange *first;
    struct header_list *headers; /* of the last request, while anyone uses them; else NULL */
    struct exchange *sending;    /* the last that has begun to, in this call of libcurl */
    CURL *idle[IDLE_HANDLES_MAX];
    size_t idle_count;
    struct silence silences[SILENCES_MAX];
    size_t next_silence; /* the oldest */
};

/* ---- Trust ----------------------------------------------------------------------------------- */

static STACK_OF(X509) * read_authorities(const char *path)
{
    STACK_OF(X509) *list = sk_X509_new_null();
    FILE *file = fopen(path, "re");
    X509 *certificate;

    while (list != NULL && file != NULL &&
           (certificate = PEM_read_X509(file, NULL, NULL, NULL)) != NULL) {
        if (sk_X509_push(list, certificate) == 0)
            X509_free(certificate);
    }
    ERR_clear_error(); /* the end of the file is an error to PEM */
    if (file != NULL)
        (void)fclose(file);
    if (sk_X509_num(list) < 1) {
        sk_X509_pop_free(list, X509_free);
        return NULL;
    }
    return list;
}

bool http_client_can_trust(const char *ca_file)
{
    STACK_OF(X509) *list = read_authorities(ca_file);
    bool any = list != NULL;

    sk_X509_pop_free(list, X509_free);
    return any;
}

/* The store already holds the system's authorities; libcurl may share it among connections, which
 * is why adding one twice must be (and is) no error. */
static CURLcode set_up_tls(CURL *easy, void *ssl_ctx, void *arg)
{
    const struct http_client *client = arg;
    X509_STORE *store = SSL_CTX_get_cert_store(ssl_ctx);

    (void)easy;
    if (!tls_policy_apply(ssl_ctx))
        return CURLE_OUT_OF_MEMORY;
    for (int i = 0; i < sk_X509_num(client->authorities); i++) {
        if (X509_STORE_add_cert(store, sk_X509_value(client->authorities, i)) != 1)
            return CURLE_SSL_CACERT_BADFILE;
    }
    return CURLE_OK;
}

/* ---- Addresses ------------------------------------------------------------------------------- */

static bool check_address(struct exchange *exchange, const struct sockaddr *address, socklen_t len)
{
    if (exchange->address_check != NULL && !exchange->address_check(address, len)) {
        exchange->address_refused = true;
        return false;
    }
    exchange->address_admitted = true;
    return true;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    const unsigned unacknowledged_ms = UNACKNOWLEDGED_MS;
    struct exchange *exchange = arg;
    int fd;

    (void)purpose;
    if (exchange->sockets >= SOCKETS_A_REQUEST ||
        !check_address(exchange, &address->addr, (socklen_t)address->addrlen))
        return CURL_SOCKET_BAD;
    exchange->sockets++;
    fd = http_sockets_open(exchange->client->sockets, address->family, address->socktype,
                           address->protocol, exchange->deadline_ms);
    if (fd >= 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms,
                         sizeof unacknowledged_ms);
    return fd;
}

/* The connection that a request has been given may have been opened for another one. */
static void note_deadline(const struct exchange *exchange)
{
    curl_socket_t fd = CURL_SOCKET_BAD;

    (void)curl_easy_getinfo(exchange->easy, CURLINFO_ACTIVESOCKET, &fd);
    if (fd != CURL_SOCKET_BAD)
        http_sockets_use(exchange->client->sockets, fd, exchange->deadline_ms);
}

/* A request may be given a connection that another one, without its check, has opened. */
static bool check_connection(struct exchange *exchange, const char *peer_ip)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (exchange->address_check == NULL)
        return true;
    if (inet_pton(AF_INET, peer_ip, &v4.sin_addr) == 1)
        return check_address(exchange, (struct sockaddr *)&v4, sizeof v4);
    if (inet_pton(AF_INET6, peer_ip, &v6.sin6_addr) == 1)
        return check_address(exchange, (struct sockaddr *)&v6, sizeof v6);
    return false;
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* A request waits for its answer for much longer than it takes to be sent, and libcurl frees what
 * it was sent from (and makes anew what is needed again) only when told a size. */
static void release_send_buffer(struct exchange *exchange)
{
    curl_off_t bytes = 0;

    (void)curl_easy_getinfo(exchange->easy, CURLINFO_SIZE_UPLOAD_T, &bytes);
    exchange->sent = bytes > 0 && (size_t)bytes == exchange->body_len;
    if (exchange->sent)
        (void)curl_easy_setopt(exchange->easy, CURLOPT_UPLOAD_BUFFERSIZE, SEND_BUFFER);
}

static void release_send_buffers(struct http_client *client)
{
    for (struct exchange *it = client->first; it != NULL; it = it->next)
        if (!it->sent)
            release_send_buffer(it);
    client->sending = NULL;
}

/* Called when a request is about to be sent. Of those that go out in one breath each is sent before
 * the next begins. */
static int begin_sending(void *arg, char *peer_ip, char *local_ip, int peer_port, int local_port)
{
    struct exchange *exchange = arg, **sending = &exchange->client->sending;

    (void)local_ip, (void)peer_port, (void)local_port;
    if (*sending != NULL)
        release_send_buffer(*sending);
    *sending = exchange;
    exchange->sending = true;
    note_deadline(exchange);
    return check_connection(exchange, peer_ip) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/* ---- What comes back ------------------------------------------------------------------------- */

int64_t http_client_retry_after(const char *value, size_t len, int64_t now_s)
{
    char text[64];
    int64_t seconds = 0;
    time_t date;

    while (len > 0 && memchr(" \t\r\n", value[len - 1], 4) != NULL)
        len--;
    while (len > 0 && memchr(" \t", *value, 2) != NULL)
        value++, len--;
    if (len == 0 || len >= sizeof text || memchr(value, '\0', len) != NULL)
        return -1;
    memcpy(text, value, len);
    text[len] = '\0';
    if (strspn(text, "0123456789") == len) {
        for (size_t i = 0; i < len && seconds <= RETRY_AFTER_MAX_S; i++)
            seconds = seconds * 10 + (text[i] - '0');
    } else {
        /* All three date forms of RFC 9110 section 5.6.7 begin with the day's name. */
        if (strspn(text, "MTWFSondayuesrhit") < 3 || (date = curl_getdate(text, NULL)) == -1)
            return -1;
        seconds = (int64_t)date - now_s;
    }
    if (seconds < 0)
        seconds = 0;
    return (seconds > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : seconds) * 1000;
}

static size_t take_header(char *data, size_t size, size_t count, void *arg)
{
    static const char name[] = "retry-after:";
    struct exchange *exchange = arg;
    size_t len = size * count;
    long status = 0;

    exchange->heard = true;
    exchange->header_bytes += len;
    if (exchange->header_bytes > ANSWER_HEADERS_MAX)
        return 0;
    if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        exchange->retry_after_ms = -1;
    } else if (len >= sizeof name && strncasecmp(data, name, sizeof name - 1) == 0) {
        exchange->retry_after_ms = http_client_retry_after(data + sizeof name - 1,
                                                           len - (sizeof name - 1), clock_unix_s());
    } else if (len <= 2 && (data[0] == '\r' || data[0] == '\n')) {
        (void)curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
        exchange->headers_done = status >= 200;
    }
    return len;
}

/* Most answers are short and most limits are not: memory is taken as it is needed. */
static bool make_room(struct exchange *exchange, size_t len)
{
    size_t size = exchange->answer_size > 0 ? exchange->answer_size : ANSWER_FIRST;
    char *larger;

    while (size < len)
        size *= 2;
    if (size == exchange->answer_size)
        return true;
    if ((larger = malloc(size)) == NULL)
        return false;
    if (exchange->answer != NULL)
        memcpy(larger, exchange->answer, exchange->answer_len);
    wipe_free_bytes(exchange->answer, exchange->answer_len);
    exchange->answer = larger;
    exchange->answer_size = size;
    return true;
}

static size_t take_body(char *data, size_t size, size_t count, void *arg)
{
    struct exchange *exchange = arg;
    size_t len = size * count, room = exchange->answer_limit - exchange->answer_len;
    size_t taken = len < room ? len : room;

    exchange->heard = true;
    if (!make_room(exchange, exchange->answer_len + taken + 1))
        return 0;
    memcpy(exchange->answer + exchange->answer_len, data, taken);
    exchange->answer_len += taken;
    exchange->answer[exchange->answer_len] = '\0';
    return taken; /* fewer than came: libcurl ends the transfer */
}

static enum http_result classify(const struct exchange *exchange, CURLcode code)
{
    curl_off_t asked_at = 0;

    if (code == CURLE_OK || exchange->headers_done)
        return HTTP_ANSWERED;
    (void)curl_easy_getinfo(exchange->easy, CURLINFO_PRETRANSFER_TIME_T, &asked_at);
    if (exchange->address_refused && !exchange->address_admitted)
        return HTTP_ADDRESS_REFUSED;
    switch (code) {
    case CURLE_URL_MALFORMAT:
        return HTTP_INVALID;
    case CURLE_UNSUPPORTED_PROTOCOL: /* ours; or theirs, which then is HTTP/0.9 or none at all */
        return asked_at > 0 ? HTTP_BROKEN : HTTP_INVALID;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        return HTTP_UNREACHABLE;
    case CURLE_ABORTED_BY_CALLBACK: /* begin_sending() */
        return HTTP_ADDRESS_REFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return asked_at > 0 ? HTTP_TIMED_OUT : HTTP_UNREACHABLE;
    default:
        return HTTP_BROKEN;
    }
}

/* ---- What libcurl has read and holds back ---------------------------------------------------- */

/* When we break an HTTP/2 answer off, libcurl 7.88 may hold bytes of other answers on the same
 * connection, and it looks at them only when the socket becomes readable, which it may never do.
 * Ending a pause makes it look at once: so every request is told so after an answer was
 * `broken_off`, and then those that have heard something, until none has. */
static void look_at_rest(struct http_client *client, bool broken_off)
{
    for (struct exchange *it = client->first; it != NULL; it = it->next) {
        if (it->heard || (broken_off && it->sending)) {
            (void)curl_easy_pause(it->easy, CURLPAUSE_SEND);
            (void)curl_easy_pause(it->easy, CURLPAUSE_CONT);
        }
        it->heard = false;
    }
}

/* ---- Hosts that are silent ------------------------------------------------------------------- */

/* Host and port of a URL; false where it is none. */
static bool authority_of(const char *url, char authority[URL_AUTHORITY_SIZE])
{
    struct url parts;

    if (url_parse(&parts, url, strlen(url), URL_USERINFO_OF_AUTHORITY) != URL_GOOD)
        return false;
    url_write_authority(authority, &parts, true);
    return true;
}

static struct silence *find_silence(struct http_client *client, const char *authority)
{
    for (size_t i = 0; i < SILENCES_MAX; i++)
        if (strcmp(client->silences[i].authority, authority) == 0)
            return &client->silences[i];
    return NULL;
}

static void note_silence(struct http_client *client, const char *url)
{
    char authority[URL_AUTHORITY_SIZE];
    struct silence *silence;

    if (!authority_of(url, authority))
        return;
    silence = find_silence(client, authority);
    if (silence == NULL) {
        silence = &client->silences[client->next_silence];
        client->next_silence = (client->next_silence + 1) % SILENCES_MAX;
        memcpy(silence->authority, authority, sizeof authority);
    }
    silence->since_ms = clock_monotonic_ms();
}

/* Seconds for which a connection may have been open if it is to be used for this; 0 is no limit. */
static long connection_life_s(struct http_client *client, const char *url)
{
    char authority[URL_AUTHORITY_SIZE];
    const struct silence *silence;
    int64_t ms;

    if (!authority_of(url, authority) || (silence = find_silence(client, authority)) == NULL)
        return 0;
    ms = clock_monotonic_ms() - silence->since_ms;
    if (ms > SILENCE_KEPT_MS)
        return 0;
    return ms < 1000 ? 1 : (long)(ms / 1000);
}

/* ---- Headers --------------------------------------------------------------------------------- */

static void headers_free(struct header_list *list)
{
    for (struct curl_slist *at = list->lines; at != NULL; at = at->next)
        OPENSSL_cleanse(at->data, strlen(at->data));
    curl_slist_free_all(list->lines);
    free(list);
}

static bool are_headers(const struct header_list *list, const char *const *lines)
{
    const struct curl_slist *at = list->lines;

    for (; at != NULL && *lines != NULL && strcmp(at->data, *lines) == 0; lines++)
        at = at->next;
    return at == NULL && *lines == NULL;
}

static void leave_headers(struct http_client *client, struct header_list *list)
{
    if (list == NULL || --list->users > 0)
        return;
    if (client->headers == list)
        client->headers = NULL;
    headers_free(list);
}

static struct header_list *copy_headers(const char *const *lines)
{
    struct header_list *list = calloc(1, sizeof *list);
    struct curl_slist *longer;

    if (list == NULL)
        return NULL;
    for (; *lines != NULL; lines++) {
        longer = curl_slist_append(list->lines, *lines);
        if (longer == NULL) {
            headers_free(list);
            return NULL;
        }
        list->lines = longer;
    }
    return list;
}

/* To be left; NULL when out of memory. */
static struct header_list *share_headers(struct http_client *client, const char *const *lines)
{
    if (client->headers == NULL || !are_headers(client->headers, lines))
        client->headers = copy_headers(lines);
    if (client->headers != NULL)
        client->headers->users++;
    return client->headers;
}

/* ---- One exchange ---------------------------------------------------------------------------- */

static void exchange_free(struct exchange *exchange)
{
    leave_headers(exchange->client, exchange->headers);
    wipe_free(exchange->url);
    wipe_free_bytes(exchange->body, exchange->body_len);
    wipe_free_bytes(exchange->answer, exchange->answer_len);
    free(exchange);
}

static struct exchange *exchange_new(struct http_client *client, const struct http_request *request)
{
    struct exchange *exchange = calloc(1, sizeof *exchange);

    if (exchange == NULL)
        return NULL;
    exchange->client = client;
    exchange->address_check = request->address_check;
    exchange->answer_limit = request->answer_limit;
    exchange->retry_after_ms = -1;
    exchange->deadline_ms = clock_monotonic_ms() + request->timeout_ms;
    exchange->url = strdup(request->url);
    exchange->body = malloc(request->body_len + 1);
    exchange->headers = share_headers(client, request->headers);
    if (exchange->url == NULL || exchange->body == NULL || exchange->headers == NULL) {
        exchange_free(exchange);
        return NULL;
    }
    if (request->body_len > 0)
        memcpy(exchange->body, request->body, request->body_len);
    exchange->body_len = request->body_len;
    return exchange;
}

/* libcurl's setters take a long, a pointer or a function by the option; each is checked. */
#define SET(option, value) (ok = ok && curl_easy_setopt(easy, option, value) == CURLE_OK)

/* What is the same for all requests. */
static bool set_up_policy(CURL *easy, struct http_client *client)
{
    bool ok = true;

    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    /* Else a request that times out in DNS blocks the thread until the resolver gives up. Its own
     * thread goes on until then: resolver_bound_time(). */
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_HTTP_VERSION, client->http_version);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_USERAGENT, USER_AGENT);
    SET(CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
    SET(CURLOPT_UPLOAD_BUFFERSIZE, SEND_BUFFER);
    SET(CURLOPT_SHARE, client->share);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    /* libcurl keeps the parsed bundle for the next connection only where there is no directory. */
    if (client->system_ca_file != NULL)
        SET(CURLOPT_CAPATH, NULL);
    SET(CURLOPT_SSL_CTX_FUNCTION, set_up_tls);
    SET(CURLOPT_SSL_CTX_DATA, (void *)client);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_PREREQFUNCTION, begin_sending);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    return ok;
}

/* All that differs from one request to the next, for a handle is used again without a reset: that
 * would forget the size of a buffer which it keeps. */
static bool set_up_request(CURL *easy, struct exchange *exchange,
                           const struct http_request *request)
{
    bool ok = true;

    SET(CURLOPT_PRIVATE, (void *)exchange);
    SET(CURLOPT_PROTOCOLS_STR, request->allow_http ? "http,https" : "https");
    SET(CURLOPT_URL, exchange->url);
    SET(CURLOPT_PIPEWAIT, request->shares_connection ? 1L : 0L);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)exchange->body_len);
    SET(CURLOPT_POSTFIELDS, exchange->body);
    if (request->is_get)
        SET(CURLOPT_HTTPGET, 1L);
    SET(CURLOPT_HTTPHEADER, exchange->headers->lines);
    SET(CURLOPT_CONNECTTIMEOUT_MS, request->connect_timeout_ms);
    SET(CURLOPT_TIMEOUT_MS, request->timeout_ms);
    SET(CURLOPT_MAXLIFETIME_CONN, connection_life_s(exchange->client, exchange->url));
    SET(CURLOPT_OPENSOCKETDATA, (void *)exchange);
    SET(CURLOPT_PREREQDATA, (void *)exchange);
    SET(CURLOPT_HEADERDATA, (void *)exchange);
    SET(CURLOPT_WRITEDATA, (void *)exchange);
    return ok;
}

static CURL *get_handle(struct http_client *client)
{
    CURL *easy;

    if (client->idle_count > 0)
        return client->idle[--client->idle_count];
    easy = curl_easy_init();
    if (easy != NULL && !set_up_policy(easy, client)) {
        curl_easy_cleanup(easy);
        easy = NULL;
    }
    return easy;
}

static void put_away(struct http_client *client, CURL *easy)
{
    if (client->idle_count < IDLE_HANDLES_MAX)
        client->idle[client->idle_count++] = easy;
    else
        curl_easy_cleanup(easy);
}

bool http_client_start(struct http_client *client, const struct http_request *request,
                       http_done_fn *done, void *arg)
{
    struct exchange *exchange = exchange_new(client, request);
    CURL *easy = get_handle(client);

    if (exchange == NULL || easy == NULL)
        goto failed;
    exchange->easy = easy;
    exchange->done = done;
    exchange->arg = arg;
    if (!set_up_request(easy, exchange, request) ||
        curl_multi_add_handle(client->multi, easy) != CURLM_OK)
        goto failed;
    exchange->next = client->first;
    if (exchange->next != NULL)
        exchange->next->prev = exchange;
    client->first = exchange;
    return true;

failed:
    if (easy != NULL)
        put_away(client, easy);
    if (exchange != NULL)
        exchange_free(exchange);
    return false;
}

static void finish(struct exchange *exchange, struct http_answer *answer)
{
    struct http_client *client = exchange->client;

    if (exchange->prev != NULL)
        exchange->prev->next = exchange->next;
    else
        client->first = exchange->next;
    if (exchange->next != NULL)
        exchange->next->prev = exchange->prev;
    if (client->sending == exchange)
        client->sending = NULL;
    (void)curl_multi_remove_handle(client->multi, exchange->easy);
    put_away(client, exchange->easy);

    answer->body = exchange->answer != NULL ? exchange->answer : "";
    answer->body_len = exchange->answer_len;
    answer->retry_after_ms = exchange->retry_after_ms;
    exchange->done(answer, exchange->arg);
    exchange_free(exchange);
}

/* ---- The client ------------------------------------------------------------------------------ */

static void note_peer(CURL *easy, char peer[INET6_ADDRSTRLEN])
{
    const char *ip = NULL;

    (void)curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &ip);
    if (ip != NULL && strlen(ip) < INET6_ADDRSTRLEN)
        (void)strcpy(peer, ip);
}

/* Sends and receives, and ends what has an answer. */
static void perform(struct http_client *client)
{
    struct exchange *exchange = NULL;
    CURLMsg *message;
    long status = 0, version = 0;
    bool broken_off = false;
    int running, left;

    (void)curl_multi_perform(client->multi, &running);
    release_send_buffers(client);
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        struct http_answer answer = {0};

        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&exchange);
        answer.result = classify(exchange, message->data.result);
        if (answer.result == HTTP_ANSWERED) {
            (void)curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
            answer.status = (int)status;
            (void)curl_easy_getinfo(message->easy_handle, CURLINFO_HTTP_VERSION, &version);
            answer.multiplexed = version >= CURL_HTTP_VERSION_2_0;
            answer.cut_short = message->data.result != CURLE_OK;
        }
        note_peer(message->easy_handle, answer.peer);
        answer.timed_out = message->data.result == CURLE_OPERATION_TIMEDOUT ||
                           clock_monotonic_ms() >= exchange->deadline_ms;
        if (answer.result == HTTP_TIMED_OUT)
            note_silence(client, exchange->url);
        broken_off |= message->data.result != CURLE_OK && exchange->header_bytes > 0;
        finish(exchange, &answer);
    }
    look_at_rest(client, broken_off);
}

void http_client_wait(struct http_client *client, int timeout_ms)
{
    /* A request just started makes libcurl's own timer due, so that this returns at once. */
    (void)curl_multi_poll(client->multi, NULL, 0, timeout_ms, NULL);
    http_sockets_enter(client->sockets, clock_monotonic_ms());
    perform(client);
    http_sockets_leave(client->sockets);
}

unsigned http_client_guard(struct http_client *client, int64_t now_ms)
{
    return http_sockets_break_off(client->sockets, now_ms);
}

void http_client_wakeup(struct http_client *client)
{
    (void)curl_multi_wakeup(client->multi);
}

void http_client_cancel_all(struct http_client *client)
{
    if (client->first == NULL)
        return;
    /* What a callback starts meanwhile is put in front, and is cancelled too. */
    http_sockets_enter(client->sockets, clock_monotonic_ms());
    while (client->first != NULL)
        finish(client->first, &(struct http_answer){.result = HTTP_CANCELLED});
    http_sockets_leave(client->sockets);
}

struct http_client *http_client_new(const struct http_client_options *options)
{
    struct http_client *client = calloc(1, sizeof *client);

    if (client == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(client);
        return NULL;
    }
    client->system_ca_file = curl_version_info(CURLVERSION_NOW)->cainfo;
    client->http_version = options->http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;
    if (options->ca_file != NULL &&
        (client->authorities = read_authorities(options->ca_file)) == NULL) {
        log_error("push: no certificate can be read from TLS_CA_FILE");
        http_client_free(&client);
        return NULL;
    }
    client->sockets = http_sockets_new();
    client->multi = curl_multi_init();
    /* A cache of TLS sessions for all instead of one for each request. */
    client->share = curl_share_init();
    if (client->multi == NULL || client->share == NULL || client->sockets == NULL ||
        curl_share_setopt(client->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) !=
            CURLSHE_OK ||
        curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX) != CURLM_OK ||
        curl_multi_setopt(client->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                          (long)options->host_connections) != CURLM_OK ||
        curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS_MAX) != CURLM_OK ||
        /* It cannot be woken where there was no descriptor left for that. */
        curl_multi_wakeup(client->multi) != CURLM_OK)
        http_client_free(&client);
    return client;
}

void http_client_free(struct http_client **client)
{
    if (*client == NULL)
        return;
    if ((*client)->multi != NULL)
        http_client_cancel_all(*client);
    while ((*client)->idle_count > 0)
        curl_easy_cleanup((*client)->idle[--(*client)->idle_count]);
    if ((*client)->multi != NULL)
        (void)curl_multi_cleanup((*client)->multi);
    (void)curl_share_cleanup((*client)->share);
    http_sockets_free(&(*client)->sockets);
    sk_X509_pop_free((*client)->authorities, X509_free);
    curl_global_cleanup();
    free(*client);
    *client = NULL;
}
