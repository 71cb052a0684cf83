/* Each relay has a thread, as in the listener. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/findings.h"
#include "base/thread.h"
#include "nostr/relay_url.h"
#include "relay_probe.h"
#include "world_priv.h"

#define STEP_MS   100
#define NAME_SIZE (sizeof(((struct relay_url *)0)->name) + sizeof "relay ")

struct look {
    struct relay_probe *probe;
    pthread_t thread;
    bool started;
};

static void *watch(void *arg)
{
    struct look *look = arg;
    int64_t until = clock_monotonic_ms() + WORLD_LOOK_MS;

    relay_probe_connect(look->probe);
    while (!relay_probe_is_settled(look->probe) && clock_monotonic_ms() < until)
        relay_probe_step(look->probe, STEP_MS);
    return NULL;
}

/* What is to be done about a refusal, by its words (NIP-01, NIP-42). */
static const char *remedy(const struct relay_probe_state *state, const char *words)
{
    if (state->admitted == RELAY_PROBE_NO)
        return ": it does not admit our key: have it admit one, for NOSTR_AUTH_PRIVATE_KEY";
    if (strncmp(words, "restricted", 10) == 0 || strncmp(words, "auth-required", 13) == 0)
        return ": have it admit a key, for NOSTR_AUTH_PRIVATE_KEY, or name another relay";
    return "";
}

static void tell_refusal(const struct relay_probe_state *state, size_t kind, const char *what,
                         struct findings *findings)
{
    const char *words = state->kinds[kind].words;

    if (state->admitted == RELAY_PROBE_NO)
        findings_bad(findings, what, "refuses kind %" PRIu32 " (%s) and our AUTH (%s)%s",
                     state->kinds[kind].kind, words, state->auth_words, remedy(state, words));
    else
        findings_bad(findings, what, "refuses kind %" PRIu32 " (%s)%s", state->kinds[kind].kind,
                     words, remedy(state, words));
}

/* The kinds that it takes, as words. */
static const char *list_kinds(const struct relay_probe_state *state,
                              char list[SETTINGS_MAX_KINDS * 8])
{
    size_t used = 0;

    list[0] = '\0';
    for (size_t i = 0; i < state->kind_count; i++)
        used +=
            (size_t)snprintf(list + used, 8, "%s%" PRIu32, i > 0 ? ", " : "", state->kinds[i].kind);
    return list;
}

static void tell_open(const struct relay_probe_state *state, const char *what,
                      struct findings *findings)
{
    char list[SETTINGS_MAX_KINDS * 8];
    bool is_late = false;

    for (size_t i = 0; i < state->kind_count; i++) {
        if (state->kinds[i].access == REPORT_NOT_ADMITTED) {
            tell_refusal(state, i, what, findings);
            return;
        }
        is_late |= state->kinds[i].access == REPORT_NOT_SUBSCRIBED;
    }
    findings_good(findings, what, "connected after %" PRId64 " ms, kinds %s%s%s",
                  state->open_ms - state->began_ms, list_kinds(state, list),
                  is_late ? " (it has not said EOSE within 10 s: the listener goes on without)"
                          : "",
                  state->admitted == RELAY_PROBE_YES
                      ? ", authenticated: --check-relay URL --publish tells whether it shows gift "
                        "wraps then"
                      : "");
}

static void tell(const struct relay_probe *probe, struct findings *findings)
{
    const struct relay_probe_state *state = relay_probe_state(probe);
    char what[NAME_SIZE];

    (void)snprintf(what, sizeof what, "relay %s", relay_probe_name(probe));
    if (state->open_ms == 0)
        findings_bad(findings, what, "cannot be reached: %s",
                     state->connection == RELAY_PROBE_CLOSED ? state->why : "no answer in 10 s");
    else if (state->connection == RELAY_PROBE_CLOSED)
        findings_bad(findings, what, "ended the connection: %s%s%s", state->why,
                     state->notice[0] != '\0' ? "; it says: " : "", state->notice);
    else
        tell_open(state, what, findings);
}

/* One that is named twice is followed once. */
static bool is_repeated(const struct settings_relays *relays, size_t relay)
{
    struct relay_url parts, before;

    for (size_t i = 0; i < relay; i++)
        if (relay_url_parse(&before, relays->url[i]) &&
            relay_url_parse(&parts, relays->url[relay]) && relay_url_is_same(&before, &parts))
            return true;
    return false;
}

void world_look_at_relays(const struct settings *settings, struct findings *findings)
{
    static struct look looks[SETTINGS_MAX_RELAYS];
    const struct settings_key *key = &settings->nostr_auth_private_key;
    size_t count = 0;

    for (size_t i = 0; i < settings->relays.count; i++) {
        const struct relay_probe_options options = {.url = settings->relays.url[i],
                                                    .settings = settings,
                                                    .kinds = &settings->event_kinds,
                                                    .auth_key = key->set ? key->bytes : NULL};

        if (!is_repeated(&settings->relays, i))
            looks[count++].probe = relay_probe_new(&options);
    }
    for (size_t i = 0; i < count; i++)
        looks[i].started =
            looks[i].probe != NULL && thread_start(&looks[i].thread, "relay", watch, &looks[i]);
    for (size_t i = 0; i < count; i++) {
        if (looks[i].started)
            (void)pthread_join(looks[i].thread, NULL);
        if (looks[i].started)
            tell(looks[i].probe, findings);
        else
            findings_bad(findings, "relays", "out of memory or threads");
        relay_probe_free(&looks[i].probe);
    }
}
