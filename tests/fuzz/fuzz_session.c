/* A relay that says anything at any time to a session.
 *
 * Each line of the input is a frame. In it the bytes 1 to 4 stand for subscription ids that a
 * fuzzer could not guess: that of the REQ sent last and of those before. A line of `!` alone is a
 * new connection, of `~` some seconds of silence, of `#` an outage of Redis or its end, and of `%`
 * what Redis says of its cursor. */
#include <stdlib.h>
#include <string.h>

#include "fuzz_input.h"
#include "log/log.h"
#include "nostr/subscription.h"
#include "relay/relay_session.h"

#define IDS       4
#define FRAME_MAX 20000
#define FRAMES    64 /* to be sent after one that was received */

static struct settings_kinds kinds = {.kind = {1059, 14}, .count = 2};
static struct relay_session_options options = {.name = "fuzz", .kinds = &kinds};
static struct stats stats;
static _Atomic int64_t last_event_s;

static bool redis_is_up;
static char ids[IDS][SUBSCRIPTION_ID_LEN + 1];

static enum registry_result take(void *arg, struct registry_relay_event *events, size_t n,
                                 size_t *taken)
{
    (void)arg;
    for (*taken = 0; redis_is_up && *taken < n; ++*taken)
        events[*taken].outcome = REGISTRY_EVENT_QUEUED;
    return redis_is_up ? REGISTRY_OK : REGISTRY_UNAVAILABLE;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    log_open("fuzz", LOG_LEVEL_ERROR, LOG_TARGET_STDERR);
    options.stats = &stats;
    options.last_event_s = &last_event_s;
    options.verifier = event_verifier_new();
    options.auth = relay_auth_new("wss://relay.example.com", NULL);
    return 0;
}

/* Sends all that is due; a session that never has enough is a fault. */
static void send_due(struct relay_session *session, int64_t now_ms)
{
    static char frame[RELAY_SESSION_FRAME_SIZE];
    size_t len;
    int n = 0;

    while ((len = relay_session_next_frame(session, now_ms, 1800000000, frame)) > 0) {
        if (len > sizeof frame || ++n > FRAMES)
            abort();
        if (len > 24 && memcmp(frame, "[\"REQ\",\"", 8) == 0) {
            memmove(ids[1], ids[0], sizeof ids - sizeof ids[0]);
            memcpy(ids[0], frame + 8, SUBSCRIPTION_ID_LEN);
        }
    }
}

static void receive(struct relay_session *session, const char *line, size_t len, int64_t now_ms)
{
    char *frame = malloc(FRAME_MAX), *exact;
    size_t used = 0;

    for (size_t i = 0; i < len && used < FRAME_MAX - SUBSCRIPTION_ID_LEN; i++) {
        if (line[i] >= 1 && line[i] <= IDS) {
            memcpy(frame + used, ids[line[i] - 1], SUBSCRIPTION_ID_LEN);
            used += SUBSCRIPTION_ID_LEN;
        } else {
            frame[used++] = line[i];
        }
    }
    exact = malloc(used); /* so that a read beyond it is seen */
    memcpy(exact, frame, used);
    (void)relay_session_receive(session, exact, used, now_ms, 1800000000);
    free(exact);
    free(frame);
}

static void learn(struct relay_session *session, int64_t now_ms)
{
    struct relay_report report;
    struct registry_now now = {.epoch = "00000000000000aa",
                               .now_ms = INT64_C(1800000000000) + now_ms};

    relay_session_report(session, now.now_ms, now_ms, &report);
    for (size_t i = 0; i < report.count; i++)
        report.cursors[i].cursor_ms = now.now_ms - 100000;
    (void)relay_session_learn(session, &now, &report, now_ms);
}

static void act(struct relay_session *session, const char *line, size_t len, int64_t *now_ms)
{
    if (len == 1 && *line == '!') {
        relay_session_end(session);
        relay_session_begin(session);
    } else if (len == 1 && *line == '~') {
        *now_ms += 7000;
    } else if (len == 1 && *line == '#') {
        redis_is_up = !redis_is_up;
    } else if (len == 1 && *line == '%') {
        learn(session, *now_ms);
    } else {
        receive(session, line, len, *now_ms);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct intake_options intake = {.stats = &stats, .take = take, .max_held = 4};
    const char *line = (const char *)data, *end = line + size;
    struct relay_session *session;
    int64_t now_ms = 1000000;

    memset(ids, '0', sizeof ids);
    redis_is_up = true;
    options.taken_ids = intake.taken_ids = taken_ids_new(16);
    options.intake = intake_new(&intake);
    session = relay_session_new(&options);
    relay_session_begin(session);
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t len = (size_t)((newline == NULL ? end : newline) - line);

        send_due(session, now_ms);
        act(session, line, len, &now_ms);
        if (!intake_is_stuck(options.intake) || redis_is_up)
            (void)intake_flush(options.intake);
        relay_session_settle(session, now_ms, now_ms);
        line += len + (newline != NULL);
    }
    send_due(session, now_ms);
    relay_session_free(&session);
    intake_free(&options.intake);
    taken_ids_free(&options.taken_ids);
    return 0;
}
