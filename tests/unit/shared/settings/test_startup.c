#include "settings/startup.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include "unit.h"

static bool memory_is_private(void)
{
    struct rlimit core;

    ck_assert_int_eq(getrlimit(RLIMIT_CORE, &core), 0);
    /* The limit does not hold for a core that is piped to a program (core(5)). */
    return core.rlim_cur == 0 && core.rlim_max == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
}

/* A build for developers leaves memory as it is. */
#ifdef MOSTRO_DEBUGGABLE
static const bool is_kept_private = false;
#else
static const bool is_kept_private = true;
#endif

START_TEST(no_core_and_no_tracer)
{
    ck_assert(!memory_is_private());
    startup_keep_memory_private();
    ck_assert(memory_is_private() == is_kept_private);
}
END_TEST

static int never(const struct settings *settings)
{
    ck_abort_msg("%p", (const void *)settings);
}

static int take_note(const struct settings *settings, const struct command_line *line)
{
    ck_assert_ptr_null(settings);
    ck_assert_str_eq(line->arguments[0], "it");
    return 7;
}

static const struct command_line_option options[] = {
    {.name = "--note", .arguments = "WHAT", .is_before_settings = true, .run = take_note},
    {.name = NULL},
};
static const struct startup_program program = {.name = "test",
                                               .about = "About.",
                                               .who = SETTINGS_FCGI,
                                               .options = options,
                                               .run = never,
                                               .check = never};

/* Before the first secret is read. */
START_TEST(settings_are_read_in_private)
{
    char name[] = "test", check[] = "--check-config";
    char *arguments[] = {name, check, NULL};

    (void)setenv("REDIS_URL", "nonsense", 1);
    ck_assert_int_eq(startup_main(&program, 2, arguments), STARTUP_UNUSABLE);
    ck_assert(memory_is_private() == is_kept_private);
}
END_TEST

START_TEST(what_needs_no_settings_reads_none)
{
    char name[] = "test", note[] = "--note", it[] = "it";
    char *arguments[] = {name, note, it, NULL};

    (void)setenv("REDIS_URL", "nonsense", 1);
    ck_assert_int_eq(startup_main(&program, 3, arguments), 7);
}
END_TEST

UNIT_MAIN("startup", no_core_and_no_tracer, settings_are_read_in_private,
          what_needs_no_settings_reads_none)
