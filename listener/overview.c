#include "overview.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/durable_file.h"
#include "endpoints/endpoint_keeper.h"
#include "followed.h"
#include "nostr/event.h"
#include "push/fcm_account.h"
#include "settings/summary.h"

static void warn_of_relays(const struct followed *followed, const struct summary *summary)
{
    for (size_t i = 0; i < followed->count; i++)
        if (followed->relays[i].is_repeated)
            summary_warn(summary,
                         "relay %s: named more than once in NOSTR_RELAYS, and followed once",
                         followed->relays[i].parts.name);
}

static void warn_of_kinds(const struct settings_kinds *kinds, const struct summary *summary)
{
    for (size_t i = 0; i < kinds->count; i++)
        if (event_is_of_mostro(kinds->kind[i]))
            return;
    summary_warn(summary, "NOSTR_EVENT_KINDS has neither 1059 nor 14: no trade is woken for, and "
                          "/api/ready answers 503");
}

static void warn_of_pushes(const struct settings *settings, const struct fcm_account *fcm,
                           const struct summary *summary)
{
    bool is_named = settings->firebase_service_account_path != NULL;

    if (summary->is_asked && is_named && fcm->is_wanted && fcm->account == NULL)
        summary_warn(summary, "FCM will be off: %s", fcm->why_off);
    if (summary->is_asked && fcm->warning[0] != '\0')
        summary_warn(summary, "FCM: %s", fcm->warning);
    if (fcm->account == NULL && !settings->unifiedpush_enabled)
        summary_warn(summary,
                     "nothing will be pushed: UNIFIEDPUSH_ENABLED is false, and FCM is off: "
                     "%s",
                     fcm->why_off);
}

static void add_relays(struct summary *summary, const struct settings *settings,
                       const struct followed *followed)
{
    for (size_t i = 0; i < followed->count; i++)
        summary_item(summary, "relays", "%s", followed->relays[i].parts.name);
    for (size_t i = 0; i < settings->event_kinds.count; i++)
        summary_item(summary, "kinds", "%" PRIu32, settings->event_kinds.kind[i]);
    summary_item(summary, "authentication", "%s",
                 settings->nostr_auth_private_key.set ? "with the key that is set"
                                                      : "with a key for each connection");
    summary_end_line(summary);
}

static void add_endpoint_file(struct summary *summary, const struct settings *settings)
{
    char *path;

    if (endpoint_keeper_is_off(settings)) {
        summary_item(summary, "endpoint file", "off");
        return;
    }
    path = durable_file_absolute(settings->unifiedpush_endpoints_file);
    summary_item(summary, "endpoint file", "%s",
                 path != NULL ? path : settings->unifiedpush_endpoints_file);
    free(path);
}

static void add_back_ends(struct summary *summary, const struct settings *settings,
                          const struct fcm_account *fcm)
{
    if (fcm->account != NULL)
        summary_item(summary, "FCM", "project %s", fcm->project);
    else
        summary_item(summary, "FCM", "off: %s", fcm->why_off);
    if (settings->unifiedpush_enabled) {
        summary_unifiedpush_hosts(summary, settings);
        summary_item(summary, "UnifiedPush", "%s",
                     settings->vapid_key != NULL ? "signed" : "not signed");
    } else {
        summary_item(summary, "UnifiedPush", "off: UNIFIEDPUSH_ENABLED is false");
    }
    add_endpoint_file(summary, settings);
    summary_end_line(summary);
}

static void add_limits(struct summary *summary, const struct settings *settings)
{
    summary_item(summary, "limits", "%" PRId64 " wakes a minute of one pubkey",
                 settings->notify_rate_per_pubkey);
    if (settings->relay_events_per_s > 0)
        summary_item(summary, "limits", "%" PRId64 " events a second of one relay",
                     settings->relay_events_per_s);
    summary_item(summary, "limits", "%" PRId64 " wakes waiting", settings->waiting_max);
    summary_item(summary, "limits", "%" PRId64 " pushes at once", settings->push_max_in_flight);
    summary_registrations(summary, settings);
    summary_end_line(summary);
}

void overview(const struct settings *settings, bool is_asked)
{
    struct summary summary;
    struct fcm_account fcm;
    struct followed followed;

    followed_fill(&followed, &settings->relays);
    fcm_account_open(&fcm, settings);
    summary_begin(&summary, is_asked);
    warn_of_relays(&followed, &summary);
    warn_of_kinds(&settings->event_kinds, &summary);
    warn_of_pushes(settings, &fcm, &summary);
    summary_warn_of_registrations(&summary, settings);
    summary_item(&summary, "version", "%s", PACKAGE_VERSION);
    summary_item(&summary, "name", "%s", settings->listener_name);
    summary_end_line(&summary);
    add_relays(&summary, settings, &followed);
    add_back_ends(&summary, settings, &fcm);
    add_limits(&summary, settings);
    summary_redis(&summary, settings);
    fcm_account_close(&fcm);
}
