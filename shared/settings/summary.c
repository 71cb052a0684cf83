#include "summary.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "log/log.h"

#define TEXT_SIZE       600
#define APP_KEEPS_HOURS 720 /* a trade, which it registers when it begins and never again */

void summary_begin(struct summary *summary, bool is_asked)
{
    *summary = (struct summary){.is_asked = is_asked};
}

static void print_item(const struct summary *summary, const char *topic, const char *text)
{
    bool is_same = summary->topic != NULL && strcmp(topic, summary->topic) == 0;

    (void)printf("%-16s", is_same ? "" : topic);
    for (; *text != '\0'; text++)
        (void)putchar(*text >= ' ' && *text < 0x7f ? *text : '?');
    (void)putchar('\n');
}

static void append(struct summary *summary, const char *text)
{
    size_t len = strlen(text);

    memcpy(summary->line + summary->used, text, len + 1);
    summary->used += len;
}

static void log_item(struct summary *summary, const char *topic, const char *text)
{
    bool is_same = summary->used > 0 && strcmp(topic, summary->topic) == 0;

    if (summary->used + strlen("; : ") + strlen(topic) + strlen(text) >= SUMMARY_LINE_SIZE) {
        summary_end_line(summary);
        is_same = false;
    }
    if (summary->used > 0)
        append(summary, is_same ? ", " : "; ");
    if (!is_same) {
        append(summary, topic);
        append(summary, ": ");
    }
    append(summary, text);
}

void summary_item(struct summary *summary, const char *topic, const char *format, ...)
{
    char text[TEXT_SIZE];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (summary->is_asked)
        print_item(summary, topic, text);
    else
        log_item(summary, topic, text);
    summary->topic = topic;
}

void summary_end_line(struct summary *summary)
{
    if (summary->used > 0)
        log_info("startup: %s", summary->line);
    summary->used = 0;
}

void summary_registrations(struct summary *summary, const struct settings *settings)
{
    summary_item(summary, "registrations", "for %" PRId64 " h", settings->token_ttl_hours);
}

void summary_unifiedpush_hosts(struct summary *summary, const struct settings *settings)
{
    summary_item(summary, "UnifiedPush", "%s%s",
                 settings->unifiedpush_allowed_hosts.set
                     ? "hosts that UNIFIEDPUSH_ALLOWED_HOSTS_REGEX admits"
                     : "any host",
                 settings->unifiedpush_allow_private ? ", private ones and http, too" : "");
}

/* User and password reach up to the last @ (redis_url.h). */
void summary_redis(struct summary *summary, const struct settings *settings)
{
    const char *url = settings->redis_url, *rest = strstr(url, "://"), *at;

    rest = rest != NULL ? rest + 3 : url;
    at = strncmp(url, "unix:", 5) == 0 ? NULL : strrchr(rest, '@');
    summary_item(summary, "Redis", "%.*s%s, keys %s*%s", (int)(rest - url), url,
                 at != NULL ? at + 1 : rest, settings->redis_prefix,
                 settings->redis_allow_persistence ? ", may keep them on disk" : "");
    summary_end_line(summary);
}

void summary_warn(const struct summary *summary, const char *format, ...)
{
    char text[TEXT_SIZE];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (summary->is_asked)
        (void)fprintf(stderr, "warning: %s\n", text);
    else
        log_warn("startup: %s", text);
}

void summary_warn_of_registrations(const struct summary *summary, const struct settings *settings)
{
    if (settings->token_ttl_hours < APP_KEEPS_HOURS)
        summary_warn(summary,
                     "TOKEN_TTL_HOURS=%" PRId64 ": the app registers a trade once and keeps it for "
                     "%d h, so that late wakes would be lost: take it out",
                     settings->token_ttl_hours, APP_KEEPS_HOURS);
}
