#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "settings/settings.h"
#include "unit.h"

static char path[] = "/tmp/mostro-push-env-XXXXXX";
static char errors[1024], warnings[1024];

static void setup(void)
{
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    (void)close(fd);
    ck_assert_int_eq(setenv("MOSTRO_PUSH_ENV", path, 1), 0);
}

static void teardown(void)
{
    (void)unlink(path);
}

/* Reads a file of this text; what is said ends up in errors and warnings. */
static struct settings *load(const char *text)
{
    FILE *file = fopen(path, "we");
    struct settings_tell tell = {fmemopen(errors, sizeof errors, "w"),
                                 fmemopen(warnings, sizeof warnings, "w")};
    struct settings *settings;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    memset(errors, 0, sizeof errors);
    memset(warnings, 0, sizeof warnings);
    settings = settings_load(SETTINGS_FCGI, &tell);
    (void)fclose(tell.errors);
    (void)fclose(tell.warnings);
    return settings;
}

START_TEST(a_misspelt_name_is_warned_about)
{
    char expected[256];
    struct settings *settings =
        load("TOKEN_TTL_HOURS=1\nTOKEN_TTL_HOUR=9\nPATH=/bin\nNOSTR_RELAYS=x\n");

    ck_assert_msg(settings != NULL, "%s", errors);
    ck_assert_int_eq(settings->token_ttl_hours, 1);
    (void)snprintf(expected, sizeof expected,
                   "%s:2: there is no setting TOKEN_TTL_HOUR; did you mean TOKEN_TTL_HOURS?\n",
                   path);
    ck_assert_str_eq(warnings, expected);
    settings_free(&settings);
}
END_TEST

START_TEST(the_environment_wins)
{
    struct settings *settings;

    ck_assert_int_eq(setenv("TOKEN_TTL_HOURS", "2", 1), 0);
    settings = load("TOKEN_TTL_HOURS=1\nWAKES_MAX=10\n");
    ck_assert_msg(settings != NULL, "%s", errors);
    ck_assert_int_eq(settings->token_ttl_hours, 2);
    ck_assert_int_eq(settings->wakes_max, 10);
    ck_assert_str_eq(warnings, "");
    settings_free(&settings);
}
END_TEST

START_TEST(a_file_that_is_named_must_be_there)
{
    ck_assert_int_eq(setenv("MOSTRO_PUSH_ENV", "/nowhere", 1), 0);
    ck_assert_ptr_null(load(""));
    ck_assert_str_eq(errors, "MOSTRO_PUSH_ENV=/nowhere: no such file\n");
    ck_assert_int_eq(setenv("MOSTRO_PUSH_ENV", "", 1),
                     0); /* as if unset: no ./.env need be there */
    struct settings *settings = load("");

    ck_assert_msg(settings != NULL, "%s", errors);
    settings_free(&settings);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("settings_load");
    TCase *tcase = tcase_create("settings_load");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_misspelt_name_is_warned_about);
    tcase_add_test(tcase, the_environment_wins);
    tcase_add_test(tcase, a_file_that_is_named_must_be_there);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
