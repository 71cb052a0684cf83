#include "questions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/log.h"
#include "push/unifiedpush.h"
#include "registry/registry_why.h"
#include "registry/stats.h"
#include "settings/command_line.h"
#include "settings/settings.h"
#include "why_text.h"

#define USAGE 2

/* The first line of standard input, without blanks around it. */
static bool read_line(char line[256])
{
    size_t len, first;

    if (fgets(line, 256, stdin) == NULL)
        return false;
    first = strspn(line, " \t");
    len = strcspn(line + first, " \t\r\n");
    memmove(line, line + first, len);
    line[len] = '\0';
    return true;
}

static bool read_key(struct trade_pubkey *key, const char *which)
{
    char line[256] = "";

    if (strcmp(which, "-") == 0) {
        if (!read_line(line))
            line[0] = '\0';
        which = line;
    }
    if (trade_pubkey_parse(key, which, strlen(which)))
        return true;
    (void)fputs("not a trade pubkey: expected 64 hex characters\n", stderr);
    return false;
}

static bool read_minutes(const char *text, int64_t *minutes)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && number >= 0 &&
        number <= QUESTIONS_TRACE_MINUTES_MAX) {
        *minutes = number;
        return true;
    }
    (void)fprintf(stderr, "not a time: expected 1 to %d minutes, or 0 to end a trace\n",
                  QUESTIONS_TRACE_MINUTES_MAX);
    return false;
}

static int tell_unavailable(struct registry *registry)
{
    const char *reason = registry_down_reason(registry);

    (void)fprintf(stderr, "Redis cannot be asked: %s\n",
                  reason[0] != '\0' ? reason : "it gave an error (see above)");
    return EXIT_FAILURE;
}

/* ---- why ------------------------------------------------------------------------------------- */

/* As the dispatcher would call it. */
static bool host_of(const struct settings *settings, const char *url, char host[URL_AUTHORITY_SIZE])
{
    _Static_assert(PUSH_HOST_MAX == URL_AUTHORITY_SIZE, "both hold any host");
    return unifiedpush_host(url, &settings->unifiedpush_allowed_hosts,
                            settings->unifiedpush_allow_private, host);
}

static int ask_why(struct registry *registry, const struct settings *settings,
                   const struct trade_pubkey *key)
{
    struct registry_why *why = calloc(1, sizeof *why);
    int status = EXIT_SUCCESS;

    if (why == NULL)
        return EXIT_FAILURE;
    if (registry_why(registry, key, host_of, why) == REGISTRY_OK)
        why_text_write(stdout, why, settings);
    else
        status = tell_unavailable(registry);
    free(why);
    return status;
}

int questions_why(const struct settings *settings, const struct command_line *line)
{
    struct stats stats = {0};
    struct trade_pubkey key;
    struct registry *registry;
    int status;

    if (!read_key(&key, line->arguments[0]))
        return USAGE;
    registry = registry_new(settings, &stats);
    status = registry != NULL ? ask_why(registry, settings, &key) : EXIT_FAILURE;
    registry_free(&registry);
    return fflush(stdout) == 0 ? status : EXIT_FAILURE;
}

/* ---- trace ----------------------------------------------------------------------------------- */

static int tell_trace(struct registry *registry, enum registry_result result, const char *name,
                      int64_t minutes)
{
    switch (result) {
    case REGISTRY_OK:
        if (minutes == 0)
            (void)printf("%s is traced no longer\n", name);
        else
            (void)printf("traced as %s for %" PRId64
                         " min: in a second the listeners' logs, at any "
                         "LOG_LEVEL, and --why tell each step of it; 0 minutes end that\n",
                         name, minutes);
        return EXIT_SUCCESS;
    case REGISTRY_NOT_FOUND:
        (void)puts("it is not traced");
        return EXIT_SUCCESS;
    case REGISTRY_FULL:
        (void)fprintf(stderr, "%d pubkeys are traced already: end one, or wait for its end\n",
                      REGISTRY_TRACES_MAX);
        return EXIT_FAILURE;
    default:
        return tell_unavailable(registry);
    }
}

int questions_trace(const struct settings *settings, const struct command_line *line)
{
    struct stats stats = {0};
    struct log_name name;
    struct trade_pubkey key;
    struct registry *registry;
    int64_t count;
    int status = EXIT_FAILURE;

    if (!read_minutes(line->arguments[1], &count) || !read_key(&key, line->arguments[0]))
        return USAGE;
    log_open("mostro-push-listener", LOG_LEVEL_WARN, LOG_TARGET_STDERR); /* draws a salt */
    name = log_pubkey(&key);
    registry = registry_new(settings, &stats);
    if (registry != NULL)
        status = tell_trace(registry, registry_trace(registry, &key, name.text, count * 60000),
                            name.text, count);
    registry_free(&registry);
    return fflush(stdout) == 0 ? status : EXIT_FAILURE;
}
