#include "base/must.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

START_TEST(a_kept_promise_costs_nothing)
{
    int evaluated = 0;

    MUST(++evaluated == 1);
    ck_assert_int_eq(evaluated, 1);
}
END_TEST

/* The line names the place and shows no value. */
START_TEST(a_broken_promise_ends_the_process)
{
    char said[200] = "", expected[64];
    int ends[2], status, line;
    pid_t child;

    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    line = __LINE__ + 3;
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        MUST(child != 0);
        _exit(0);
    }
    (void)close(ends[1]);
    ck_assert_int_gt(read(ends[0], said, sizeof said - 1), 0);
    (void)close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    (void)snprintf(expected, sizeof expected, "test_must.c:%d: broken promise\n", line);
    ck_assert_str_eq(said, expected);
}
END_TEST

UNIT_MAIN("must", a_kept_promise_costs_nothing, a_broken_promise_ends_the_process)
