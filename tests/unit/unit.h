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
#define UNIT_MAIN(name, ...)                                        \
    int main(void)                                                  \
    {                                                               \
        const TTest *const tests[] = {__VA_ARGS__};                 \
        Suite *suite = suite_create(name);                          \
        TCase *tcase = tcase_create(name);                          \
                                                                    \
        for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) \
            tcase_add_test(tcase, tests[i]);                        \
        suite_add_tcase(suite, tcase);                              \
        return unit_run(suite);                                     \
    }

#endif
