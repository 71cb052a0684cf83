#include "startup.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/findings.h"
#include "log/log.h"
#include "redis/redis.h"
#include "redis/redis_primary.h"

/* What both programs have; startup does them itself. */
static const struct command_line_option common[] = {
    {.name = "--check-config",
     .with = "--live",
     .about = "Check the settings, and say what they make of the program. With --live look at\n"
              "the world, too: Redis, and all that the program talks to."},
    {.name = "--version", .about = "Print the version.", .is_before_settings = true},
    {.name = "--help", .about = "Print this.", .is_before_settings = true},
    {.name = NULL},
};
enum { ROW_CHECK, ROW_VERSION, ROW_HELP };

static void print_help(const struct startup_program *program)
{
    (void)printf("Usage: %s [OPTION]\n\n%s\n\nOptions:\n", program->name, program->about);
    command_line_print(common, stdout);
    command_line_print(program->options, stdout);
    (void)puts("\nSettings are read from the environment and from the file named by\n"
               "MOSTRO_PUSH_ENV, or ./.env; the environment wins:\n");
    settings_print_help(program->who, stdout);
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

static int do_before_settings(const struct startup_program *program,
                              const struct command_line *line)
{
    if (line->option->run != NULL)
        return line->option->run(NULL, line);
    if (line->option == &common[ROW_VERSION])
        (void)printf("%s %s\n", program->name, PACKAGE_VERSION);
    else
        print_help(program);
    return EXIT_SUCCESS;
}

static int check(const struct startup_program *program, const struct settings *settings,
                 bool is_live)
{
    struct findings findings = {.to = stdout};
    int status = program->check(settings);

    if (status != EXIT_SUCCESS || !is_live)
        return status;
    log_silence();
    (void)putchar('\n');
    if (geteuid() == 0)
        (void)puts("     asked as root, to whom no file or socket is closed: to be sure ask as the "
                   "unit\n     runs it (OPERATING, Keys)");
    (void)fflush(stdout);
    program->look(settings, &findings);
    return findings.bad == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int do_with(const struct settings *settings, const struct startup_program *program,
                   const struct command_line *line)
{
    (void)signal(SIGPIPE, SIG_IGN);
    if (line->option == NULL) {
        warn_if_debuggable();
        return program->run(settings);
    }
    if (line->option->run != NULL)
        return line->option->run(settings, line);
    if (!line->has_with)
        try_sentinels(settings);
    return check(program, settings, line->has_with);
}

int startup_main(const struct startup_program *program, int argc, char **argv)
{
    const struct command_line_option *const tables[] = {common, program->options, NULL};
    struct command_line line;
    struct settings *settings;
    char *warnings = NULL;
    int status = STARTUP_UNUSABLE;

    if (!command_line_parse(&line, tables, argc, argv, program->name, stderr))
        return STARTUP_UNUSABLE;
    if (line.option != NULL && line.option->is_before_settings)
        return do_before_settings(program, &line);
    startup_keep_memory_private();
    settings = load(program->who, &warnings);
    if (settings != NULL) {
        if (line.option == NULL)
            log_open(program->name, settings->log_level, settings->log_target);
        tell_warnings(line.option != NULL, warnings);
        status = do_with(settings, program, &line);
    }
    free(warnings);
    settings_free(&settings);
    return status;
}
