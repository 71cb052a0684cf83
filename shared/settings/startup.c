#include "startup.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "log/log.h"
#include "redis/redis.h"
#include "redis/redis_primary.h"

static void print_help(const char *program, const char *about, enum settings_who who)
{
    (void)printf("Usage: %s [--check-config | --version | --help]\n\n%s\n\n"
                 "Settings are read from the environment and from the file named by\n"
                 "MOSTRO_PUSH_ENV, or ./.env; the environment wins:\n\n",
                 program, about);
    settings_print_help(who, stdout);
}

#ifdef MOSTRO_DEBUGGABLE
void startup_keep_memory_private(void)
{
}

static void warn_if_debuggable(void)
{
    log_warn("startup: built with --enable-debuggable: core dumps and debuggers can read keys and "
             "tokens");
}
#else
void startup_keep_memory_private(void)
{
    const struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static void warn_if_debuggable(void)
{
}
#endif

/* A line each. */
static void tell_warnings(bool check, char *warnings)
{
    char *rest = warnings;

    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
        if (line[0] != '\0' && check)
            (void)fprintf(stderr, "warning: %s\n", line);
        else if (line[0] != '\0')
            log_warn("startup: %s", line);
}

/* NULL where they cannot be used. *warnings is freed by the caller. */
static struct settings *load(enum settings_who who, char **warnings)
{
    size_t size;
    FILE *lines = open_memstream(warnings, &size);
    const struct settings_tell tell = {.errors = stderr, .warnings = lines};
    struct settings *settings = NULL;

    if (lines == NULL)
        return NULL;
    settings = settings_load(who, &tell);
    if (fclose(lines) != 0)
        settings_free(&settings);
    return settings;
}

/* For --check-config: Redis may be down by right, but where Sentinels are to be asked much can be
 * wrong that is better known before a restart. redis/ says what is, in the log's words. */
static void try_sentinels(const struct settings *settings)
{
    const struct redis_options options = {.url = settings->redis_url,
                                          .prefix = settings->redis_prefix,
                                          .sentinel_password = settings->redis_sentinel_password,
                                          .allow_persistence = settings->redis_allow_persistence};
    struct redis *redis = redis_new(&options);

    if (redis != NULL && redis_is_replicated(redis))
        (void)redis_connect(redis);
    redis_free(&redis);
}

enum startup_mode startup_begin(int argc, char **argv, const char *program, const char *about,
                                enum settings_who who, struct settings **settings)
{
    const char *option = argc > 1 ? argv[1] : "";
    bool check = strcmp(option, "--check-config") == 0;
    char *warnings = NULL;

    if (strcmp(option, "--help") == 0) {
        print_help(program, about, who);
        return STARTUP_DONE;
    }
    if (strcmp(option, "--version") == 0) {
        (void)printf("%s %s\n", program, PACKAGE_VERSION);
        return STARTUP_DONE;
    }
    if (argc > 2 || (argc == 2 && !check)) {
        (void)fprintf(stderr, "%s: no such option; see --help\n", program);
        return STARTUP_FAILED;
    }
    startup_keep_memory_private();
    *settings = load(who, &warnings);
    if (*settings != NULL && !check)
        log_open(program, (*settings)->log_level, (*settings)->log_target);
    if (*settings != NULL)
        tell_warnings(check, warnings);
    free(warnings);
    if (*settings == NULL)
        return STARTUP_FAILED;
    if (check) {
        try_sentinels(*settings);
        return STARTUP_CHECK;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    warn_if_debuggable();
    return STARTUP_RUN;
}
