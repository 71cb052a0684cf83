#include "websocket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libwebsockets.h>

#include "base/clock.h"
#include "base/resolver.h"
#include "log/log.h"
#include "relay_tls.h"
#include "settings/user_agent.h"

#define PIECE_SIZE      (16 * 1024)
#define MAX_DESCRIPTORS 8 /* of one context: the connection and libwebsockets' own */
#define REASON_SIZE     (LOG_REDACTED_SIZE + 64)
#define MAX_WAIT_MS     60000

#define HTTP_SWITCHING_PROTOCOLS 101

enum state {
    STATE_CLOSED,
    STATE_RESOLVING,
    STATE_CONNECTING, /* TCP, TLS, upgrade */
    STATE_OPEN
};

struct websocket {
    struct websocket_options options;
    SSL_CTX *tls;
    struct lws_context *context;
    struct lws_vhost *vhost;
    lws_sorted_usec_list_t alarm; /* ends a wait */
    enum state state;
    int64_t deadline_ms; /* of this step, until the connection is open */
    struct resolver *resolver;
    size_t address; /* of the resolver's, the one being tried */
    struct lws *connection;
    char reason[REASON_SIZE]; /* why the connection has ended or will */
    char *message;
    size_t message_len;
    const char *unusable; /* why the message that is arriving will not be handed over */
    int64_t heard_ms;
    bool paused;
    int64_t resumed_ms; /* INT64_MIN: never, in this connection */
};

static const lws_retry_bo_t keep_alive = {
    .secs_since_valid_ping = WEBSOCKET_PING_S,
    .secs_since_valid_hangup = WEBSOCKET_HANG_UP_S,
};

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len);

static const struct lws_protocols protocols[] = {
    {.name = "nostr", .callback = on_lws, .rx_buffer_size = PIECE_SIZE},
    {.name = NULL},
};

/* ---- States ---------------------------------------------------------------------------------- */

static void closed(struct websocket *websocket, const char *why)
{
    if (websocket->state == STATE_CLOSED)
        return;
    websocket->state = STATE_CLOSED;
    websocket->connection = NULL;
    resolver_free(&websocket->resolver);
    websocket->options.callbacks->on_close(websocket->options.arg, why);
}

static void set_reason(struct websocket *websocket, const char *why)
{
    (void)snprintf(websocket->reason, sizeof websocket->reason, "%s", why);
}

static void connect_to_address(struct websocket *websocket)
{
    const struct relay_url *url = websocket->options.url;
    struct lws_client_connect_info info = {
        .context = websocket->context,
        .vhost = websocket->vhost,
        .address = resolver_address(websocket->resolver, websocket->address),
        .port = url->port,
        .host = url->authority, /* also for SNI and the certificate, without the port */
        .path = url->path,
        .ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT | (url->tls ? LCCSCF_USE_SSL : 0),
        .alpn = "http/1.1",
        .local_protocol_name = protocols[0].name,
        .ietf_version_or_minus_one = -1,
        .retry_and_idle_policy = &keep_alive,
        .pwsi = &websocket->connection,
    };

    websocket->state = STATE_CONNECTING;
    websocket->deadline_ms = clock_monotonic_ms() + WEBSOCKET_STEP_MS;
    set_reason(websocket, "no connection");
    websocket->message_len = 0;
    websocket->unusable = NULL;
    if (lws_client_connect_via_info(&info) == NULL)
        websocket->connection = NULL;
}

static void resolver_done(void *arg)
{
    struct websocket *websocket = arg;

    lws_cancel_service(websocket->context);
}

void websocket_connect(struct websocket *websocket)
{
    websocket->state = STATE_RESOLVING;
    websocket->deadline_ms = clock_monotonic_ms() + WEBSOCKET_STEP_MS;
    websocket->address = 0;
    websocket->resolver = resolver_start(websocket->options.url->host, resolver_done, websocket);
    if (websocket->resolver == NULL)
        closed(websocket, "out of memory or threads");
}

/* The name has been looked up, or has not. */
static void resolved(struct websocket *websocket)
{
    if (!resolver_is_done(websocket->resolver))
        closed(websocket, "its name could not be looked up in time");
    else if (resolver_address(websocket->resolver, 0) == NULL)
        closed(websocket, resolver_error(websocket->resolver));
    else
        connect_to_address(websocket);
}

/* Called outside of libwebsockets, which need not be ready for a new connection in the callback
 * that ends another. */
static void check_progress(struct websocket *websocket)
{
    bool late = clock_monotonic_ms() >= websocket->deadline_ms;

    if (websocket->state == STATE_RESOLVING && (late || resolver_is_done(websocket->resolver)))
        resolved(websocket);
    else if (websocket->state == STATE_CONNECTING && late && websocket->connection != NULL) {
        lws_set_timeout(websocket->connection, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
        websocket->connection = NULL;
        set_reason(websocket, "no connection in time");
    }
    while (websocket->state == STATE_CONNECTING && websocket->connection == NULL) {
        if (resolver_address(websocket->resolver, ++websocket->address) != NULL)
            connect_to_address(websocket);
        else
            closed(websocket, websocket->reason);
    }
}

/* ---- Being heard ----------------------------------------------------------------------------- */

static void heard(struct websocket *websocket)
{
    int64_t now = clock_monotonic_ms();

    if (!websocket->paused && now - WEBSOCKET_BEHIND_MS >= websocket->resumed_ms)
        websocket->heard_ms = now;
}

void websocket_pause(struct websocket *websocket)
{
    if (websocket->state != STATE_OPEN || websocket->paused)
        return;
    websocket->paused = true;
    (void)lws_rx_flow_control(websocket->connection, 0);
}

void websocket_resume(struct websocket *websocket)
{
    if (websocket->state != STATE_OPEN || !websocket->paused)
        return;
    websocket->paused = false;
    websocket->resumed_ms = clock_monotonic_ms();
    lws_validity_confirmed(websocket->connection);
    (void)lws_rx_flow_control(websocket->connection, 1);
}

/* ---- Messages -------------------------------------------------------------------------------- */

static bool message_ended(struct websocket *websocket)
{
    const struct websocket_callbacks *callbacks = websocket->options.callbacks;
    const char *unusable = websocket->unusable;
    size_t len = websocket->message_len;

    /* Not every piece: a message that never ends is no sign of life. */
    lws_validity_confirmed(websocket->connection);
    heard(websocket);
    websocket->message_len = 0;
    websocket->unusable = NULL;
    if (unusable != NULL)
        return callbacks->on_unusable(websocket->options.arg, unusable);
    return callbacks->on_text(websocket->options.arg, websocket->message, len);
}

/* A message comes in pieces of any size; what is too long is read to its end and left out. */
static bool piece_arrived(struct websocket *websocket, const char *piece, size_t len)
{
    struct lws *wsi = websocket->connection;

    if (lws_frame_is_binary(wsi))
        websocket->unusable = "a binary message";
    else if (len > websocket->options.max_message - websocket->message_len)
        websocket->unusable = "a message over the limit";
    if (websocket->unusable == NULL) {
        memcpy(websocket->message + websocket->message_len, piece, len);
        websocket->message_len += len;
    }
    if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi) > 0)
        return true;
    return message_ended(websocket);
}

static bool write_next(struct websocket *websocket)
{
    unsigned char frame[LWS_PRE + WEBSOCKET_FRAME_SIZE];
    size_t len =
        websocket->options.callbacks->on_writable(websocket->options.arg, (char *)frame + LWS_PRE);

    if (len == 0)
        return true;
    lws_callback_on_writable(websocket->connection);
    return lws_write(websocket->connection, frame + LWS_PRE, len, LWS_WRITE_TEXT) >= (int)len;
}

/* ---- libwebsockets --------------------------------------------------------------------------- */

/* The certificate's fault where it was that, or the status with which the upgrade was refused, else
 * the library's text. */
static void connection_failed(struct websocket *websocket, const char *text, size_t len)
{
    SSL *ssl = lws_get_ssl(websocket->connection);
    long verified = ssl == NULL ? X509_V_OK : SSL_get_verify_result(ssl);
    unsigned status = lws_http_client_http_response(websocket->connection);

    websocket->connection = NULL;
    if (verified != X509_V_OK)
        set_reason(websocket, X509_verify_cert_error_string(verified));
    else if (status != 0 && status != HTTP_SWITCHING_PROTOCOLS)
        (void)snprintf(websocket->reason, sizeof websocket->reason,
                       "it refused the upgrade with HTTP status %u", status);
    else if (text != NULL)
        (void)log_redact(websocket->reason, text, len);
}

/* The peer's close frame: its status code, if it gives one, and its words (RFC 6455, 5.5.1). */
static void peer_closes(struct websocket *websocket, const unsigned char *frame, size_t len)
{
    char words[LOG_REDACTED_SIZE];

    if (len < 2)
        return;
    (void)log_redact(words, (const char *)frame + 2, len - 2);
    (void)snprintf(websocket->reason, sizeof websocket->reason, "it closed the connection (%u%s%s)",
                   (unsigned)(frame[0] << 8 | frame[1]), len > 2 ? ": " : "", words);
}

/* `*at` is where the next header of the upgrade is to be written. */
static bool add_user_agent(struct lws *wsi, unsigned char **at, size_t room)
{
    static const char agent[] = USER_AGENT;

    return lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_USER_AGENT,
                                        (const unsigned char *)agent, (int)strlen(agent), at,
                                        *at + room) == 0;
}

/* A callback of the one connection. Non-zero closes it. */
static int on_connection(struct websocket *websocket, enum lws_callback_reasons reason, void *in,
                         size_t len)
{
    switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        return add_user_agent(websocket->connection, in, len) ? 0 : -1;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        websocket->state = STATE_OPEN;
        websocket->paused = false;
        websocket->resumed_ms = INT64_MIN;
        heard(websocket);
        set_reason(websocket, "the connection was closed or lost");
        resolver_free(&websocket->resolver);
        websocket->options.callbacks->on_open(websocket->options.arg);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        if (piece_arrived(websocket, in, len))
            return 0;
        set_reason(websocket, "it sent too much that makes no sense");
        return -1;
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
        heard(websocket);
        return 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return websocket->state != STATE_OPEN || write_next(websocket) ? 0 : -1;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        peer_closes(websocket, in, len);
        return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        connection_failed(websocket, in, len);
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        closed(websocket, websocket->reason);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY: /* where neither of the two above was called */
        websocket->connection = NULL;
        if (websocket->state == STATE_OPEN)
            closed(websocket, websocket->reason);
        return 0;
    default:
        return 0;
    }
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len)
{
    struct lws_context *context = lws_get_context(wsi);
    struct websocket *websocket = context == NULL ? NULL : lws_context_user(context);

    (void)user;
    if (websocket == NULL || wsi != websocket->connection || websocket->state < STATE_CONNECTING)
        return 0;
    return on_connection(websocket, reason, in, len);
}

/* TLS is asked for on the vhost and not on the context: on the context it makes libwebsockets draw
 * a new index for its OpenSSL data, in a variable that all contexts share, and handshakes under way
 * in other threads then fail (4.1; later versions draw it once). Index 0, OpenSSL's own for
 * applications, does as well. */
static bool make_context(struct websocket *websocket)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .protocols = protocols,
        .user = websocket,
        .fd_limit_per_thread = MAX_DESCRIPTORS,
        .timeout_secs = 2 * WEBSOCKET_STEP_MS / 1000, /* ours comes first */
        .connect_timeout_secs = 2 * WEBSOCKET_STEP_MS / 1000,
        .http_proxy_address = "", /* else the environment's http_proxy would be used */
        .provided_client_ssl_ctx = websocket->tls,
        .vhost_name = "relay",
    };

    lws_set_log_level(0, NULL);
    websocket->context = lws_create_context(&info);
    if (websocket->context == NULL)
        return false;
    info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    websocket->vhost = lws_create_vhost(websocket->context, &info);
    return websocket->vhost != NULL;
}

struct websocket *websocket_new(const struct websocket_options *options)
{
    struct websocket *websocket = calloc(1, sizeof *websocket);

    if (websocket == NULL)
        return NULL;
    websocket->options = *options;
    websocket->message = malloc(options->max_message);
    websocket->tls = relay_tls_new(options->ca_file);
    if (websocket->message == NULL || websocket->tls == NULL) {
        websocket_free(&websocket);
    } else if (!make_context(websocket)) {
        log_error("relays: libwebsockets cannot be set up");
        websocket_free(&websocket);
    }
    return websocket;
}

void websocket_free(struct websocket **websocket)
{
    struct websocket *it = *websocket;

    if (it == NULL)
        return;
    *websocket = NULL;
    it->state = STATE_CLOSED; /* callbacks end here */
    resolver_free(&it->resolver);
    if (it->context != NULL) {
        lws_sul_cancel(&it->alarm);
        lws_context_destroy(it->context);
    }
    SSL_CTX_free(it->tls);
    free(it->message);
    free(it);
}

void websocket_want_write(struct websocket *websocket)
{
    if (websocket->state == STATE_OPEN)
        lws_callback_on_writable(websocket->connection);
}

/* libwebsockets runs what is due and then sleeps until the next timer, so an alarm that was due
 * already would not keep it awake by itself: it is set again, for its shortest sleep. Cancelling
 * the sleep does not do: libwebsockets goes without the means where no descriptor was left for it.
 */
static void on_alarm(lws_sorted_usec_list_t *alarm)
{
    struct websocket *websocket = lws_container_of(alarm, struct websocket, alarm);

    lws_sul_schedule(websocket->context, 0, alarm, on_alarm, LWS_US_PER_MS);
}

void websocket_service(struct websocket *websocket, int64_t wait_ms)
{
    if (websocket->state == STATE_RESOLVING || websocket->state == STATE_CONNECTING) {
        int64_t now = clock_monotonic_ms();
        int64_t left = websocket->deadline_ms > now ? websocket->deadline_ms - now : 0;

        wait_ms = left < wait_ms ? left : wait_ms;
    }
    if (wait_ms > MAX_WAIT_MS)
        wait_ms = MAX_WAIT_MS;
    lws_sul_schedule(websocket->context, 0, &websocket->alarm, on_alarm,
                     (lws_usec_t)wait_ms * LWS_US_PER_MS + 1);
    (void)lws_service(websocket->context, 0);
    check_progress(websocket);
}

int64_t websocket_heard_ms(const struct websocket *websocket)
{
    return websocket->heard_ms;
}

void websocket_wake(struct websocket *websocket)
{
    lws_cancel_service(websocket->context);
}
