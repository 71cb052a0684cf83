#include "listener_report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define KIND_TEXT_SIZE sizeof "4294967295"

static const char *const subscriptions[] = {
    [REPORT_NOT_SUBSCRIBED] = "no", [REPORT_SUBSCRIBED] = "yes", [REPORT_NOT_ADMITTED] = "refused"};

#define SUBSCRIPTIONS (sizeof subscriptions / sizeof subscriptions[0])

static const char *const states[] = {
#define S(STATE, word) [REPORT_##STATE] = (word),
    REPORT_STATES(S)
#undef S
};

static const char *const backends[] = {
#define B(X, NAME, name) #name,
    STATS_BACKENDS(B, )
#undef B
};

const char *report_state_name(enum report_state state)
{
    return states[state];
}

const char *report_backend_name(size_t backend)
{
    return backends[backend];
}

/* ---- Relays ---------------------------------------------------------------------------------- */

static bool has_relay(const struct listener_report *report, const char *name)
{
    for (size_t i = 0; i < report->relay_count; i++)
        if (strcmp(report->relays[i].name, name) == 0)
            return true;
    return false;
}

struct report_relay *listener_report_add_relay(struct listener_report *report, const char *name)
{
    struct report_relay *relay = &report->relays[report->relay_count];
    int cut = LISTENER_REPORT_NAME_SIZE - 8; /* room for the number */

    if (report->relay_count == LISTENER_REPORT_RELAYS)
        return NULL;
    memset(relay, 0, sizeof *relay);
    relay->event_age_s = LISTENER_REPORT_NO_EVENT;
    (void)snprintf(relay->name, sizeof relay->name, "%.*s", cut, name);
    for (unsigned n = 2; has_relay(report, relay->name); n++)
        (void)snprintf(relay->name, sizeof relay->name, "%.*s (%u)", cut, name, n);
    report->relay_count++;
    return relay;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static json_t *kinds_json(const struct report_relay *relay)
{
    json_t *kinds = json_object();

    for (size_t i = 0; i < relay->kind_count; i++) {
        char kind[KIND_TEXT_SIZE];

        (void)snprintf(kind, sizeof kind, "%" PRIu32, relay->kinds[i].kind);
        (void)json_object_set_new(kinds, kind,
                                  json_string(subscriptions[relay->kinds[i].subscription]));
    }
    return kinds;
}

static json_t *relay_json(const struct report_relay *relay)
{
    json_t *json =
        json_pack("{s:s, s:b, s:b, s:o}", "relay", relay->name, "connected", relay->is_connected,
                  "may_hide_wraps", relay->may_hide_wraps, "kinds", kinds_json(relay));

    if (relay->event_age_s != LISTENER_REPORT_NO_EVENT)
        (void)json_object_set_new(json, "event_age_s", json_integer(relay->event_age_s));
    return json;
}

char *listener_report_write(const struct listener_report *report)
{
    json_t *relays = json_array(), *by_backend = json_object(), *json;
    char *text;

    for (size_t i = 0; i < report->relay_count; i++)
        (void)json_array_append_new(relays, relay_json(&report->relays[i]));
    for (size_t i = 0; i < STATS_BACKEND_COUNT; i++)
        (void)json_object_set_new(by_backend, backends[i],
                                  json_string(states[report->backends[i]]));
    json = json_pack("{s:o, s:o, s:I}", "relays", relays, "backends", by_backend, "hosts_held",
                     (json_int_t)report->hosts_held);
    text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* The place of a word among some; -1: it is none of them. */
static int find(const char *const *words, size_t n, const json_t *json)
{
    const char *word = json_string_value(json);

    for (size_t i = 0; word != NULL && i < n; i++)
        if (strcmp(words[i], word) == 0)
            return (int)i;
    return -1;
}

/* False: it is no number from 0 on. */
static bool read_number(const json_t *json, int64_t *number)
{
    if (!json_is_integer(json) || json_integer_value(json) < 0 ||
        json_integer_value(json) > LISTENER_REPORT_NUMBER_MAX)
        return false;
    *number = json_integer_value(json);
    return true;
}

/* Printable ASCII, as the log's names of relays are. */
static bool is_name(const char *name)
{
    size_t len = name != NULL ? strlen(name) : 0;

    if (len == 0 || len >= LISTENER_REPORT_NAME_SIZE)
        return false;
    for (size_t i = 0; i < len; i++)
        if (name[i] < ' ' || name[i] > '~')
            return false;
    return true;
}

/* In the one form in which a number is written, so that no kind comes twice. */
static bool read_kind(const char *text, uint32_t *kind)
{
    char again[KIND_TEXT_SIZE];

    if (strlen(text) >= sizeof again || sscanf(text, "%" SCNu32, kind) != 1)
        return false;
    (void)snprintf(again, sizeof again, "%" PRIu32, *kind);
    return strcmp(text, again) == 0;
}

static void read_kinds(struct report_relay *relay, json_t *json)
{
    const char *key;
    json_t *value;

    json_object_foreach(json, key, value)
    {
        struct report_kind *kind = &relay->kinds[relay->kind_count];
        int subscription = find(subscriptions, SUBSCRIPTIONS, value);

        if (relay->kind_count == LISTENER_REPORT_KINDS)
            return;
        if (subscription < 0 || !read_kind(key, &kind->kind))
            continue;
        kind->subscription = (enum report_subscription)subscription;
        relay->kind_count++;
    }
}

static void read_relay(struct listener_report *report, json_t *json)
{
    const char *name = json_string_value(json_object_get(json, "relay"));
    struct report_relay *relay;

    if (!is_name(name) || has_relay(report, name) || report->relay_count == LISTENER_REPORT_RELAYS)
        return;
    relay = &report->relays[report->relay_count++];
    (void)snprintf(relay->name, sizeof relay->name, "%s", name);
    relay->is_connected = json_is_true(json_object_get(json, "connected"));
    relay->may_hide_wraps = json_is_true(json_object_get(json, "may_hide_wraps"));
    if (!read_number(json_object_get(json, "event_age_s"), &relay->event_age_s))
        relay->event_age_s = LISTENER_REPORT_NO_EVENT;
    read_kinds(relay, json_object_get(json, "kinds"));
}

bool listener_report_read(struct listener_report *report, const char *text, size_t len)
{
    json_t *json = NULL;
    const json_t *relays;
    int64_t hosts_held = 0;

    memset(report, 0, sizeof *report);
    if (len <= LISTENER_REPORT_SIZE_MAX)
        json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(json)) {
        json_decref(json);
        return false;
    }
    relays = json_object_get(json, "relays");
    for (size_t i = 0; i < json_array_size(relays); i++)
        read_relay(report, json_array_get(relays, i));
    for (size_t i = 0; i < STATS_BACKEND_COUNT; i++) {
        const json_t *state = json_object_get(json_object_get(json, "backends"), backends[i]);
        int found = find(states, REPORT_STATE_COUNT, state);

        report->backends[i] = found >= 0 ? (enum report_state)found : REPORT_OFF;
    }
    if (read_number(json_object_get(json, "hosts_held"), &hosts_held))
        report->hosts_held = (uint64_t)hosts_held;
    json_decref(json);
    return true;
}
