#include "responder_overview.h"

#include <inttypes.h>
#include <stdio.h>

#include "responder_priv.h"
#include "settings/summary.h"
#include "whitelist.h"

static void add_rate(struct summary *summary, const char *topic, int64_t rate, const char *what)
{
    if (rate > 0)
        summary_item(summary, topic, "%" PRId64 " %s", rate, what);
}

static void add_limits(struct summary *summary, const struct settings *settings)
{
    add_rate(summary, "notify", settings->notify_rate_per_pubkey, "a minute of one pubkey");
    add_rate(summary, "notify", settings->notify_rate_per_address, "a minute of one address");
    add_rate(summary, "register", settings->register_rate_per_address, "a minute of one address");
    add_rate(summary, "register", settings->register_new_per_address,
             "new pubkeys a day of one address");
    if (settings->register_rate_per_address == 0 && settings->register_new_per_address == 0)
        summary_item(summary, "register", "without a limit");
    summary_item(summary, "registrations", "%" PRId64 " at most", settings->max_registrations);
    summary_registrations(summary, settings);
    summary_end_line(summary);
}

static const char *where_addresses_are(enum settings_proxy trusted)
{
    switch (trusted) {
    case SETTINGS_PROXY_EITHER:
        return "of Fly-Client-IP, else of X-Forwarded-For";
    case SETTINGS_PROXY_FLY_CLIENT_IP:
        return "of Fly-Client-IP";
    case SETTINGS_PROXY_FORWARDED_FOR:
        return "of X-Forwarded-For";
    case SETTINGS_PROXY_NONE:
        break;
    }
    return "of the web server's peers";
}

static void add_whitelist(struct summary *summary, const struct responder *responder)
{
    if (responder->whitelist != NULL)
        summary_item(summary, "whitelist", "%zu Mostro instances",
                     whitelist_count(responder->whitelist));
    else if (responder->settings->trusted_whitelist_enabled)
        summary_item(summary, "whitelist", "empty, so that every Mostro instance is trusted");
    else
        summary_item(summary, "whitelist", "off");
}

void responder_overview(const struct responder *responder, bool is_asked)
{
    const struct settings *settings = responder->settings;
    struct summary summary;

    summary_begin(&summary, is_asked);
    if (settings->trusted_whitelist_enabled && responder->whitelist == NULL)
        summary_warn(&summary,
                     "TRUSTED_WHITELIST_ENABLED is true, but the whitelist is empty, so that "
                     "every Mostro instance is trusted");
    summary_warn_of_registrations(&summary, settings);
    summary_item(&summary, "version", "%s", PACKAGE_VERSION);
    summary_end_line(&summary);
    add_limits(&summary, settings);
    summary_item(&summary, "addresses", "%s", where_addresses_are(settings->trust_proxy_headers));
    summary_item(&summary, "tokens", "%s",
                 responder->crypto != NULL ? "in the clear or encrypted" : "in the clear");
    add_whitelist(&summary, responder);
    summary_unifiedpush_hosts(&summary, settings);
    summary_end_line(&summary);
    summary_redis(&summary, settings);
}
