#include <grp.h>
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

/* Reads the file; what is said ends up in errors and warnings. */
static struct settings *load_file(void)
{
    struct settings_tell tell = {fmemopen(errors, sizeof errors, "w"),
                                 fmemopen(warnings, sizeof warnings, "w")};
    struct settings *settings;

    memset(errors, 0, sizeof errors);
    memset(warnings, 0, sizeof warnings);
    settings = settings_load(SETTINGS_FCGI, &tell);
    (void)fclose(tell.errors);
    (void)fclose(tell.warnings);
    return settings;
}

static struct settings *load_with(const char *text, mode_t mode)
{
    FILE *file = fopen(path, "we");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
    return load_file();
}

static struct settings *load(const char *text)
{
    return load_with(text, 0600);
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

#define KEY "SERVER_PRIVATE_KEY=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
#define PLACEHOLDER \
    "SERVER_PRIVATE_KEY=0000000000000000000000000000000000000000000000000000000000000001\n"

/* Only files that hold a secret must be nobody else's. */
START_TEST(a_file_with_a_secret_is_the_programs_alone)
{
    static const struct {
        const char *text, *secret; /* NULL: none */
    } cases[] = {
        {"WAKES_MAX=10\n", NULL},
        {"REDIS_URL=redis://127.0.0.1\nSERVER_PRIVATE_KEY=\n", NULL},
        {"REDIS_URL=unix:///run/a@b\n" PLACEHOLDER, NULL},
        {KEY, "SERVER_PRIVATE_KEY"},
        {"NOSTR_AUTH_PRIVATE_KEY=nsec1geheim\n",
         "NOSTR_AUTH_PRIVATE_KEY"}, /* the other program's */
        {"REDIS_URL=redis://:geheim@127.0.0.1\n", "REDIS_URL"},
        {"REDIS_SENTINEL_PASSWORD=geheim\n", "REDIS_SENTINEL_PASSWORD"},
    };
    static const mode_t open_modes[] = {0644, 0604, 0602, 0664}, kept_modes[] = {0600, 0640, 0400};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *secret = cases[i].secret;

        for (size_t j = 0; j < sizeof open_modes / sizeof open_modes[0]; j++) {
            struct settings *settings = load_with(cases[i].text, open_modes[j]);
            char expected[256] = "";

            if (secret != NULL)
                (void)snprintf(expected, sizeof expected,
                               "%s: it sets %s and can be read by others: chmod 600 %s\n", path,
                               secret, path);
            ck_assert_str_eq(errors, expected);
            ck_assert((settings == NULL) == (secret != NULL));
            settings_free(&settings);
        }
        for (size_t j = 0; j < sizeof kept_modes / sizeof kept_modes[0]; j++) {
            struct settings *settings = load_with(cases[i].text, kept_modes[j]);

            ck_assert_str_eq(errors, "");
            settings_free(&settings);
        }
    }
}
END_TEST

/* What is said of a file of root's, this group's and this mode, to another user. */
static const char *said_to_nobody(gid_t group, mode_t mode)
{
    struct settings *settings;

    settings = load_with(KEY, mode);
    settings_free(&settings);
    ck_assert_int_eq(chown(path, 0, group), 0);
    ck_assert_int_eq(setegid(65534), 0);
    ck_assert_int_eq(seteuid(65534), 0);
    settings = load_file();
    ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(setegid(0), 0);
    settings_free(&settings);
    return errors;
}

START_TEST(a_group_must_be_the_programs_own)
{
    if (getuid() != 0)
        return; /* only root can give files away */
    ck_assert_str_eq(said_to_nobody(65534, 0640), "");
    ck_assert_ptr_nonnull(strstr(said_to_nobody(65534, 0644), ": chmod 640 /"));
    ck_assert_int_eq(setgroups(1, (const gid_t[]){4}), 0);
    ck_assert_ptr_nonnull(strstr(said_to_nobody(4, 0640), ": chmod 600 /"));
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
    tcase_add_test(tcase, a_file_with_a_secret_is_the_programs_alone);
    tcase_add_test(tcase, a_group_must_be_the_programs_own);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
