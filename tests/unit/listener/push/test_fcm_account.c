#include "push/fcm_account.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "settings/settings.h"
#include "unit.h"

static char path[] = "/tmp/mostro-push-fcm-account-XXXXXX";
static struct settings settings;
static struct fcm_account opened;

/* The text of a service account's file, of this project if any. */
static char *account_text(const char *project)
{
    static EVP_PKEY *key; /* one is enough for all, and takes long to make */
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem, *text;
    json_t *root;

    if (key == NULL)
        key = EVP_RSA_gen(2048);
    ck_assert_int_eq(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    ck_assert_int_eq(BIO_write(bio, "", 1), 1);
    (void)BIO_get_mem_data(bio, &pem);
    root = json_pack("{s:s, s:s, s:s, s:s*}", "client_email", "push@p.example", "token_uri",
                     "https://oauth.example/token", "private_key", pem, "project_id", project);
    text = json_dumps(root, 0);
    json_decref(root);
    BIO_free(bio);
    return text;
}

static void write_account(const char *project, mode_t mode)
{
    char *text = account_text(project);
    FILE *file = fopen(path, "we");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
    free(text);
}

static void setup(void)
{
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    (void)close(fd);
    settings = (struct settings){.fcm_enabled = true, .firebase_service_account_path = path};
}

static void teardown(void)
{
    fcm_account_close(&opened);
    (void)unlink(path);
}

static void expect_off(const char *why)
{
    fcm_account_open(&opened, &settings);
    ck_assert_ptr_null(opened.account);
    ck_assert_str_eq(opened.why_off, why);
    ck_assert_str_eq(opened.warning, "");
}

static void expect_on(const char *project, const char *warning)
{
    fcm_account_open(&opened, &settings);
    ck_assert_msg(opened.account != NULL, "%s", opened.why_off);
    ck_assert_str_eq(opened.project, project);
    ck_assert_str_eq(opened.why_off, "");
    ck_assert_str_eq(opened.warning, warning);
    fcm_account_close(&opened);
    ck_assert_ptr_null(opened.account);
}

START_TEST(says_why_it_is_off)
{
    static char none[] = "/nonexistent", folder[] = "/tmp";

    settings.firebase_service_account_path = none;
    expect_off("FIREBASE_SERVICE_ACCOUNT_PATH=/nonexistent: there is no such file");
    settings.firebase_service_account_path = folder;
    expect_off("FIREBASE_SERVICE_ACCOUNT_PATH=/tmp: it is a directory");
    settings.firebase_service_account_path = NULL;
    expect_off("FIREBASE_SERVICE_ACCOUNT_PATH is not set");
    ck_assert(opened.is_wanted);
    settings.fcm_enabled = false;
    expect_off("FCM_ENABLED is false");
    ck_assert(!opened.is_wanted);
}
END_TEST

/* Root may read any file: another user tries. */
START_TEST(says_whose_a_file_must_be)
{
    static char ours[sizeof path + 128];

    write_account("p", 0600);
    (void)snprintf(ours, sizeof ours,
                   "FIREBASE_SERVICE_ACCOUNT_PATH=%s: Permission denied: chown it to the user that "
                   "runs this",
                   path);
    if (geteuid() == 0)
        ck_assert_int_eq(seteuid(65534), 0);
    else
        ck_assert_int_eq(chmod(path, 0), 0);
    expect_off(ours);
    if (getuid() == 0)
        ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(a_project_is_the_settings_or_the_accounts)
{
    static char spaced[] = "My Project", other[] = "other", own[] = "own";

    write_account("own", 0600);
    expect_on("own", "");
    settings.firebase_project_id = own;
    expect_on("own", "");
    settings.firebase_project_id = other;
    expect_on("other", "FIREBASE_PROJECT_ID is 'other', but the service account is of 'own'");
    settings.firebase_project_id = spaced;
    expect_off("FIREBASE_PROJECT_ID=\"My Project\" is no project id");
    settings.firebase_project_id = NULL;
    write_account("own project", 0600);
    expect_off("the service account's project_id \"own project\" is no project id");
    write_account(NULL, 0600);
    expect_off("FIREBASE_PROJECT_ID is not set, and the service account names none");
}
END_TEST

START_TEST(a_file_that_all_can_read_is_warned_about)
{
    write_account("own", 0604);
    expect_on("own", "the file of FIREBASE_SERVICE_ACCOUNT_PATH can be read by every user of this "
                     "host: chmod 600");
    write_account("own", 0640); /* for a group of its own */
    expect_on("own", "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fcm_account");
    TCase *tcase = tcase_create("fcm_account");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, says_why_it_is_off);
    tcase_add_test(tcase, says_whose_a_file_must_be);
    tcase_add_test(tcase, a_project_is_the_settings_or_the_accounts);
    tcase_add_test(tcase, a_file_that_all_can_read_is_warned_about);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
