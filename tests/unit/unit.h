/* unit: what every unit test program ends with. */
#ifndef MOSTRO_UNIT_H
#define MOSTRO_UNIT_H

#include <check.h>
#include <stdlib.h>

/* Runs the suite and makes the exit status of main(). */
static inline int unit_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* One suite of one case from test functions, and the program's main(). */
#define UNIT_MAIN(name, ...) UNIT_MAIN_WITH(name, NULL, NULL, __VA_ARGS__)

/* The same, with what is done before and after each of them. */
#define UNIT_MAIN_WITH(name, setup, teardown, ...)                  \
    int main(void)                                                  \
    {                                                               \
        const TTest *const tests[] = {__VA_ARGS__};                 \
        Suite *suite = suite_create(name);                          \
        TCase *tcase = tcase_create(name);                          \
                                                                    \
        tcase_add_checked_fixture(tcase, setup, teardown);          \
        for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) \
            tcase_add_test(tcase, tests[i]);                        \
        suite_add_tcase(suite, tcase);                              \
        return unit_run(suite);                                     \
    }

#endif
