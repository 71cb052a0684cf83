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

/* Before the first secret is read. */
START_TEST(settings_are_read_in_private)
{
    char program[] = "test", check[] = "--check-config";
    char *arguments[] = {program, check, NULL};
    struct settings *settings = NULL;

    (void)setenv("REDIS_URL", "nonsense", 1);
    ck_assert_int_eq(startup_begin(2, arguments, program, "About.", SETTINGS_FCGI, &settings),
                     STARTUP_FAILED);
    ck_assert(memory_is_private() == is_kept_private);
}
END_TEST

UNIT_MAIN("startup", no_core_and_no_tracer, settings_are_read_in_private)
