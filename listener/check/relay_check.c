#include "relay_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "base/clock.h"
#include "base/findings.h"
#include "base/random.h"
#include "nostr/event_signer.h"
#include "nostr/relay_auth.h"
#include "nostr/relay_url.h"
#include "relay/wrap_guard.h"
#include "relay_document.h"
#include "relay_probe.h"

#define ANSWER_MS    10000
#define LIVE_MS      5000 /* for an event to come, once it was sent */
#define CHALLENGE_MS 1000 /* for a relay to challenge who has just come */
#define STEP_MS      2
#define DAY_S        86400
#define CIPHER_BYTES 99 /* of the shortest message of NIP-44 */
#define CIPHER_FIRST 2  /* its version */
#define CIPHER_SIZE  (CIPHER_BYTES / 3 * 4 + 1)
#define EVENTS       2

static const struct settings_kinds no_kinds = {.count = 0};

struct check {
    const struct settings *settings;
    const char *url;
    struct findings findings;
    struct relay_probe *reader, *writer;
    uint8_t addressee[EVENT_SIGNER_KEY_SIZE]; /* his key, */
    struct event_signer *author;              /* and the author's, another for each event */
    size_t count;
    struct {
        uint32_t kind;
        int64_t created_at;
    } events[EVENTS];
};

/* ---- Connections -------------------------------------------------------------------------------
 */

static struct relay_probe *open_probe(struct check *check, const struct settings_kinds *kinds,
                                      const uint8_t *key)
{
    const struct relay_probe_options options = {
        .url = check->url, .settings = check->settings, .kinds = kinds, .auth_key = key};
    struct relay_probe *probe = relay_probe_new(&options);

    if (probe != NULL)
        relay_probe_connect(probe);
    else
        findings_bad(&check->findings, "relay", "out of memory");
    return probe;
}

static bool is_open(const struct relay_probe *probe)
{
    return relay_probe_state(probe)->connection == RELAY_PROBE_OPEN;
}

/* Whether it is connected, has had its answers, and is known where it had to be. */
static bool is_ready(const struct relay_probe *probe)
{
    const struct relay_probe_state *state = relay_probe_state(probe);

    if (!relay_probe_is_settled(probe) || !is_open(probe))
        return false;
    if (!state->challenged)
        return clock_monotonic_ms() - state->open_ms >= CHALLENGE_MS;
    return state->admitted != RELAY_PROBE_NO_ANSWER;
}

static void get_ready(struct relay_probe *probe)
{
    int64_t until = clock_monotonic_ms() + ANSWER_MS;

    while (relay_probe_state(probe)->connection != RELAY_PROBE_CLOSED && !is_ready(probe) &&
           clock_monotonic_ms() < until)
        relay_probe_step(probe, STEP_MS);
}

/* ---- What the reader sees ----------------------------------------------------------------------
 */

static void tell_document(struct check *check, const struct relay_url *url)
{
    char words[RELAY_DOCUMENT_SIZE];
    bool good = relay_document_fetch(url, check->settings->tls_ca_file, words);

    findings_good(&check->findings, "document (NIP-11)", "%s%s", good ? "" : "none: ", words);
}

static void tell_auth(struct check *check, const struct relay_probe_state *state)
{
    static const char what[] = "authentication (NIP-42)";

    if (!state->challenged)
        findings_good(&check->findings, what, "was not asked for");
    else if (state->admitted == RELAY_PROBE_YES)
        findings_good(&check->findings, what, "was asked for, and our key was taken");
    else if (state->admitted == RELAY_PROBE_NO)
        findings_bad(&check->findings, what,
                     "was asked for, and our key rejected (%s): have it "
                     "admit one, for NOSTR_AUTH_PRIVATE_KEY",
                     state->auth_words);
    else
        findings_bad(&check->findings, what, "was asked for, and ours was not answered");
}

static void tell_kind(struct check *check, const struct relay_probe_state *state, size_t i)
{
    char what[32];

    (void)snprintf(what, sizeof what, "kind %" PRIu32, state->kinds[i].kind);
    if (state->kinds[i].access == REPORT_SUBSCRIBED)
        findings_good(&check->findings, what, "subscribed after %" PRId64 " ms%s%s%s",
                      state->kinds[i].live_ms - state->open_ms,
                      state->kinds[i].was_refused ? " (refused at first: " : "",
                      state->kinds[i].words, state->kinds[i].was_refused ? ")" : "");
    else if (state->kinds[i].access == REPORT_NOT_ADMITTED)
        findings_bad(&check->findings, what, "is refused: %s", state->kinds[i].words);
    else
        findings_bad(&check->findings, what,
                     "has had no EOSE within 10 s; the listener takes what "
                     "comes 20 s after its REQ for new");
}

/* Whether there is anything to read. */
static bool tell_reader(struct check *check)
{
    const struct relay_probe_state *state = relay_probe_state(check->reader);
    const char *name = relay_probe_name(check->reader);

    if (state->open_ms == 0) {
        findings_bad(&check->findings, name, "cannot be reached: %s",
                     state->why[0] != '\0' ? state->why : "no answer in 10 s");
        return false;
    }
    findings_good(&check->findings, name, "connected after %" PRId64 " ms",
                  state->open_ms - state->began_ms);
    tell_auth(check, state);
    for (size_t i = 0; i < state->kind_count; i++)
        tell_kind(check, state, i);
    if (state->notice[0] != '\0')
        findings_good(&check->findings, "notice", "%s", state->notice);
    if (!is_open(check->reader))
        findings_bad(&check->findings, name, "ended the connection: %s", state->why);
    return is_open(check->reader);
}

/* ---- Publishing --------------------------------------------------------------------------------
 */

/* As long as a message of NIP-44, and of nothing. */
static void draw_cipher(char out[CIPHER_SIZE])
{
    unsigned char bytes[CIPHER_BYTES];

    random_bytes(bytes, sizeof bytes);
    bytes[0] = CIPHER_FIRST;
    (void)EVP_EncodeBlock((unsigned char *)out, bytes, sizeof bytes);
}

/* A gift wrap is dated up to two days back (NIP-59). */
static int64_t date_of(uint32_t kind)
{
    int64_t back = kind == WRAP_GUARD_KIND ? DAY_S + (int64_t)random_up_to(DAY_S / 2) : 0;

    return clock_unix_s() - back;
}

static bool publish_one(struct check *check, uint32_t kind, const char *addressee)
{
    char content[CIPHER_SIZE], id[2 * EVENT_ID_SIZE + 1], frame[RELAY_PROBE_FRAME_MAX];
    struct event event = {.kind = kind, .created_at = date_of(kind), .content = content};
    json_t *tags = json_pack("[[ss]]", "p", addressee);
    size_t len = 0;

    draw_cipher(content);
    event.content_len = strlen(content);
    event.tags = tags;
    event_signer_draw(check->author);
    if (tags != NULL)
        len = event_signer_write(check->author, "EVENT", &event, frame, sizeof frame, id);
    json_decref(tags);
    if (len == 0)
        return false;
    relay_probe_watch(check->reader, id);
    relay_probe_watch(check->writer, id);
    relay_probe_publish(check->writer, check->count, frame, len);
    check->events[check->count].kind = kind;
    check->events[check->count++].created_at = event.created_at;
    return true;
}

/* Those of the kinds that are followed, as nodes and apps send them. */
static bool publish_all(struct check *check)
{
    static const uint32_t kinds[EVENTS] = {WRAP_GUARD_KIND, EVENT_DIRECT_MESSAGE};
    const struct settings_kinds *followed = &check->settings->event_kinds;
    struct event_signer *addressee;
    bool good;

    do
        random_bytes(check->addressee, sizeof check->addressee);
    while (!relay_auth_is_key(check->addressee));
    addressee = event_signer_new(check->addressee);
    good = addressee != NULL;
    for (size_t i = 0; i < EVENTS; i++)
        for (size_t j = 0; good && j < followed->count; j++)
            if (followed->kind[j] == kinds[i])
                good = publish_one(check, kinds[i], event_signer_pubkey(addressee));
    event_signer_free(&addressee);
    return good;
}

/* Whether nothing more is awaited of the event of this place. */
static bool has_come(const struct check *check, size_t i)
{
    const struct relay_probe_event *sent = &relay_probe_state(check->writer)->events[i];
    const struct relay_probe_event *read = &relay_probe_state(check->reader)->events[i];

    return sent->accepted == RELAY_PROBE_NO ||
           (sent->accepted == RELAY_PROBE_YES && read->live_ms != 0);
}

static void await_live(struct check *check)
{
    int64_t until = clock_monotonic_ms() + LIVE_MS;
    bool all = false;

    while (!all && is_open(check->writer) && is_open(check->reader) &&
           clock_monotonic_ms() < until) {
        relay_probe_step(check->writer, STEP_MS);
        relay_probe_step(check->reader, STEP_MS);
        all = true;
        for (size_t i = 0; i < check->count; i++)
            all = all && has_come(check, i);
    }
}

/* Asks with this connection for the stored copy of each. */
static void await_stored(const struct check *check, struct relay_probe *probe)
{
    int64_t until = clock_monotonic_ms() + ANSWER_MS;
    const struct relay_probe_state *state = relay_probe_state(probe);
    bool all = false;

    for (size_t i = 0; i < check->count; i++)
        relay_probe_ask(probe, i, check->events[i].kind, check->events[i].created_at);
    while (!all && is_open(probe) && clock_monotonic_ms() < until) {
        relay_probe_step(probe, STEP_MS);
        all = true;
        for (size_t i = 0; i < check->count; i++)
            all = all && (state->events[i].stored_ended && !state->events[i].wants_auth);
    }
}

/* ---- What came of it ---------------------------------------------------------------------------
 */

/* Whether it shows the event to its addressee, who authenticates. */
static bool is_shown_to_addressee(struct check *check, size_t place)
{
    struct relay_probe *probe = open_probe(check, &no_kinds, check->addressee);
    bool shown = false;

    if (probe == NULL)
        return false;
    get_ready(probe);
    for (size_t i = 0; i < check->count; i++)
        relay_probe_watch(probe, relay_probe_state(check->reader)->events[i].id);
    if (is_open(probe)) {
        await_stored(check, probe);
        shown = relay_probe_state(probe)->events[place].stored_ms != 0;
    }
    relay_probe_free(&probe);
    return shown;
}

static void tell_missing(struct check *check, size_t i, const char *what, bool is_stored)
{
    if (is_stored)
        findings_bad(&check->findings, what,
                     "is accepted and stored, but did not come live within 5 s: phones are woken "
                     "by it only after the listener has reconnected");
    else if (is_shown_to_addressee(check, i))
        findings_bad(&check->findings, what,
                     "is accepted, and then shown to nobody but its addressee, who has "
                     "authenticated: this relay's events of this kind cannot wake anybody; name "
                     "another one");
    else
        findings_bad(&check->findings, what,
                     "is accepted, and then shown to nobody, neither live nor stored: name another "
                     "relay");
}

static void tell_event(struct check *check, size_t i)
{
    const struct relay_probe_event *sent = &relay_probe_state(check->writer)->events[i];
    const struct relay_probe_event *read = &relay_probe_state(check->reader)->events[i];
    char what[40];

    (void)snprintf(what, sizeof what, "event of kind %" PRIu32, check->events[i].kind);
    if (sent->accepted == RELAY_PROBE_NO)
        findings_bad(&check->findings, what, "is refused: %s", sent->words);
    else if (sent->accepted == RELAY_PROBE_NO_ANSWER && read->live_ms == 0)
        findings_bad(&check->findings, what, "had no answer within 5 s (%s)",
                     is_open(check->writer) ? "OK" : relay_probe_state(check->writer)->why);
    else if (read->live_ms == 0)
        tell_missing(check, i, what, read->stored_ms != 0);
    else if (read->stored_ms == 0)
        findings_bad(&check->findings, what,
                     "came live after %" PRId64
                     " ms, but is not among the stored: what comes while "
                     "the listener is away wakes nobody",
                     read->live_ms - sent->sent_ms);
    else
        findings_good(&check->findings, what, "came live after %" PRId64 " ms, and is stored",
                      read->live_ms - sent->sent_ms);
}

static void publish(struct check *check)
{
    (void)puts("     publishes a gift wrap (kind 1059, dated back) and a kind 14, of nothing and "
               "between keys made for this");
    (void)fflush(stdout);
    check->author = event_signer_new(NULL);
    check->writer = open_probe(check, &no_kinds, NULL);
    if (check->author == NULL || check->writer == NULL)
        return;
    get_ready(check->writer);
    if (!is_open(check->writer)) {
        findings_bad(&check->findings, "publishing", "no second connection: %s",
                     relay_probe_state(check->writer)->why);
        return;
    }
    if (!publish_all(check)) {
        findings_bad(&check->findings, "publishing", "out of memory");
        return;
    }
    await_live(check);
    await_stored(check, check->reader);
    for (size_t i = 0; i < check->count; i++)
        tell_event(check, i);
}

int relay_check(const struct settings *settings, const char *url, bool publishes)
{
    const struct settings_key *key = &settings->nostr_auth_private_key;
    struct check check = {.settings = settings, .url = url, .findings = {.to = stdout}};
    struct relay_url parts;

    if (strlen(url) > RELAY_AUTH_MAX_URL || !relay_url_parse(&parts, url)) {
        (void)fputs("--check-relay: expected a ws:// or wss:// URL\n", stderr);
        return 2;
    }
    log_silence();
    tell_document(&check, &parts);
    check.reader = open_probe(&check, &settings->event_kinds, key->set ? key->bytes : NULL);
    if (check.reader != NULL) {
        get_ready(check.reader);
        if (tell_reader(&check) && publishes)
            publish(&check);
        else if (!publishes)
            (void)puts("     --publish would publish a gift wrap (kind 1059, dated back) and a "
                       "kind 14, of nothing and between keys made for that");
    }
    relay_probe_free(&check.writer);
    relay_probe_free(&check.reader);
    event_signer_free(&check.author);
    explicit_bzero(check.addressee, sizeof check.addressee);
    return check.findings.bad == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
