#include "device/vapid_key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64url.h"
#include "es256.h"
#include "unit.h"

#define EXAMPLE                                                          \
    "-----BEGIN PRIVATE KEY-----\n"                                      \
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgyfWPiYE+n46HLnH0\n" \
    "KqZOF1fJJU3MYrct3AELtAQ+oRyhRANCAAT+M/SrDepxkU21WCP3O1SUj0EwbZIH\n" \
    "Mtu5pZpTKGSCIA5Zent7wmC6HCJ5mFgJkuk5cwAvMBKiiujwa7t45ewP\n"         \
    "-----END PRIVATE KEY-----\n"
#define EXAMPLE_PUBLIC \
    "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"

static char directory[] = "/tmp/mostro-push-vapid-XXXXXX";
static char path[sizeof directory + 16];

static void setup(void)
{
    (void)umask(022);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    (void)sprintf(path, "%s/key", directory);
}

static void teardown(void)
{
    (void)unlink(path);
    ck_assert_int_eq(rmdir(directory), 0);
}

static void write_file(const char *text, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
    ck_assert_int_eq(fchmod(fd, mode), 0);
    ck_assert_int_eq(close(fd), 0);
}

static const char *problem_with(const char *text, mode_t mode)
{
    struct vapid_key *key;
    const char *problem;

    write_file(text, strlen(text), mode);
    key = vapid_key_read(path, &problem);
    ck_assert((key == NULL) == (problem != NULL));
    vapid_key_free(&key);
    return problem != NULL ? problem : "";
}

/* ---- Reading --------------------------------------------------------------------------------- */

START_TEST(a_key_from_a_file)
{
    struct vapid_key *key;
    const char *problem;

    for (mode_t mode = 0400; mode <= 0600; mode += 0200) {
        write_file(EXAMPLE, strlen(EXAMPLE), mode);
        key = vapid_key_read(path, &problem);
        ck_assert_ptr_null(problem);
        ck_assert_str_eq(vapid_key_public(key), EXAMPLE_PUBLIC);
        vapid_key_free(&key);
        ck_assert_ptr_null(key);
    }
}
END_TEST

/* As `openssl ecparam -genkey` writes it, and with its point compressed. */
START_TEST(a_key_in_the_older_form)
{
    BIO *in = BIO_new_mem_buf(EXAMPLE, -1), *out = BIO_new(BIO_s_mem());
    EVP_PKEY *made = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
    struct vapid_key *key;
    const char *problem;
    char *text;
    long len;

    ck_assert_int_eq(EVP_PKEY_set_utf8_string_param(
                         made, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed"),
                     1);
    (void)BIO_puts(out, "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
                        "-----END EC PARAMETERS-----\n");
    ck_assert_int_eq(PEM_write_bio_PrivateKey_traditional(out, made, NULL, NULL, 0, NULL, NULL), 1);
    len = BIO_get_mem_data(out, &text);
    ck_assert_ptr_nonnull(memmem(text, (size_t)len, "BEGIN EC PRIVATE KEY", 20));
    write_file(text, (size_t)len, 0600);
    key = vapid_key_read(path, &problem);
    ck_assert_msg(key != NULL, "%s", problem);
    ck_assert_str_eq(vapid_key_public(key), EXAMPLE_PUBLIC);
    vapid_key_free(&key);
    EVP_PKEY_free(made);
    BIO_free(in);
    BIO_free(out);
}
END_TEST

START_TEST(a_file_that_others_can_read)
{
    static const mode_t modes[] = {0644, 0640, 0604, 0620, 0666, 0610};

    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        ck_assert_str_eq(problem_with(EXAMPLE, modes[i]), "can be read by others: chmod 600");
}
END_TEST

START_TEST(what_is_no_file)
{
    const char *problem;

    ck_assert_ptr_null(vapid_key_read(path, &problem));
    ck_assert_str_eq(problem, strerror(ENOENT));
    ck_assert_ptr_null(vapid_key_read(directory, &problem));
    ck_assert_str_eq(problem, "is not a regular file");
}
END_TEST

#define NO_KEY "does not hold a private key in PEM without a password"

START_TEST(what_is_no_key)
{
    static char large[5000];
    char cut[] = EXAMPLE;

    ck_assert_str_eq(problem_with("", 0600), NO_KEY);
    ck_assert_str_eq(problem_with("secret", 0600), NO_KEY);
    ck_assert_str_eq(problem_with("-----BEGIN PRIVATE KEY-----\n", 0600), NO_KEY);
    memset(large, 'x', sizeof large - 1);
    ck_assert_str_eq(problem_with(large, 0600), "is too large to be a key");
    for (size_t len = strlen(cut) - 2; len > 9; len -= 9) {
        cut[len] = '\0';
        ck_assert_msg(problem_with(cut, 0600)[0] != '\0', "%zu", len);
    }
}
END_TEST

/* One character is another: it is no key any more, or (an unused bit of its form) the same one. */
START_TEST(a_damaged_key)
{
    char text[] = EXAMPLE;
    size_t begin = strcspn(text, "\n") + 1, end = (size_t)(strstr(text, "-----END") - text);
    unsigned refused = 0;

    for (size_t i = begin; i < end; i++) {
        struct vapid_key *key;
        const char *problem;
        char was = text[i];

        if (was == '\n')
            continue;
        text[i] = was == 'A' ? 'B' : 'A';
        write_file(text, strlen(text), 0600);
        key = vapid_key_read(path, &problem);
        if (key != NULL)
            ck_assert_str_eq(vapid_key_public(key), EXAMPLE_PUBLIC);
        refused += key == NULL;
        vapid_key_free(&key);
        text[i] = was;
    }
    ck_assert_uint_gt(refused, 170);
}
END_TEST

static const char *problem_with_key(EVP_PKEY *key, const EVP_CIPHER *cipher)
{
    static char password[] = "password";
    BIO *out = BIO_new(BIO_s_mem());
    const char *problem;

    ck_assert_ptr_nonnull(key);
    ck_assert_int_eq(PEM_write_bio_PKCS8PrivateKey(out, key, cipher, NULL, 0, NULL,
                                                   cipher != NULL ? password : NULL),
                     1);
    ck_assert_int_eq(BIO_write(out, "", 1), 1);
    {
        char *text;

        (void)BIO_get_mem_data(out, &text);
        problem = problem_with(text, 0600);
    }
    EVP_PKEY_free(key);
    BIO_free(out);
    return problem;
}

START_TEST(keys_of_other_kinds)
{
    static const char other[] = "holds a key of another kind than P-256";

    ck_assert_str_eq(problem_with_key(EVP_EC_gen("P-384"), NULL), other);
    ck_assert_str_eq(problem_with_key(EVP_EC_gen("secp256k1"), NULL), other);
    ck_assert_str_eq(problem_with_key(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL), other);
    ck_assert_str_eq(problem_with_key(EVP_RSA_gen(2048), NULL), other);
    ck_assert_str_eq(problem_with_key(EVP_EC_gen("P-256"), EVP_aes_256_cbc()), NO_KEY);
    ck_assert_str_eq(problem_with_key(EVP_EC_gen("P-256"), NULL), "");
}
END_TEST

/* ---- Signing --------------------------------------------------------------------------------- */

/* So often that numbers that begin with a zero byte are among them. */
START_TEST(signatures_verify)
{
    BIO *in = BIO_new_mem_buf(EXAMPLE, -1);
    EVP_PKEY *expected = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
    uint8_t signature[VAPID_KEY_SIGNATURE_SIZE];
    struct vapid_key *key;
    const char *problem;
    unsigned short_ones = 0;

    write_file(EXAMPLE, strlen(EXAMPLE), 0600);
    key = vapid_key_read(path, &problem);
    ck_assert_ptr_nonnull(key);
    for (int i = 0; i < 2000; i++) {
        ck_assert(vapid_key_sign(key, "text", 4, signature));
        ck_assert(es256_verifies(expected, "text", strlen("text"), signature));
        short_ones += signature[0] == 0 || signature[32] == 0;
    }
    ck_assert_uint_gt(short_ones, 0);
    ck_assert(!es256_verifies(expected, "texT", strlen("texT"), signature));
    vapid_key_free(&key);
    EVP_PKEY_free(expected);
    BIO_free(in);
}
END_TEST

/* ---- A disk that keeps what it is asked to, or not ---------------------------------------------
 */

static bool fails_on_file, fails_on_folder;

int fsync(int fd)
{
    struct stat stat_;
    bool is_folder;

    ck_assert_int_eq(fstat(fd, &stat_), 0);
    is_folder = S_ISDIR(stat_.st_mode);
    errno = EIO;
    return (is_folder && fails_on_folder) || (!is_folder && fails_on_file) ? -1 : 0;
}

/* ---- Making one ------------------------------------------------------------------------------ */

START_TEST(a_new_key_in_a_new_file)
{
    char public_half[VAPID_KEY_PUBLIC_SIZE], another[VAPID_KEY_PUBLIC_SIZE];
    uint8_t point[VAPID_KEY_POINT_SIZE];
    struct vapid_key *key;
    struct stat stat_;
    const char *problem;

    (void)umask(0);
    ck_assert_ptr_null(vapid_key_generate(path, public_half));
    ck_assert_int_eq(stat(path, &stat_), 0);
    ck_assert_uint_eq(stat_.st_mode, S_IFREG | 0600);
    ck_assert_uint_eq(strlen(public_half), VAPID_KEY_PUBLIC_SIZE - 1);
    ck_assert(base64url_decode(point, sizeof point, public_half, strlen(public_half)));
    ck_assert_uint_eq(point[0], 4);
    ck_assert_str_eq(vapid_key_generate(path, another), strerror(EEXIST));
    key = vapid_key_read(path, &problem);
    ck_assert_msg(key != NULL, "%s", problem);
    ck_assert_str_eq(vapid_key_public(key), public_half);
    vapid_key_free(&key);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_ptr_null(vapid_key_generate(path, another));
    ck_assert_str_ne(another, public_half);
}
END_TEST

START_TEST(where_no_file_can_be_made)
{
    char public_half[VAPID_KEY_PUBLIC_SIZE];

    ck_assert_str_eq(vapid_key_generate("/nowhere/key", public_half), strerror(ENOENT));
    ck_assert_int_eq(symlink("/dev/full", path), 0);
    ck_assert_str_eq(vapid_key_generate(path, public_half), strerror(EEXIST));
}
END_TEST

/* A key that is lost costs every device its registration at its distributor. */
START_TEST(what_the_disk_does_not_keep_is_no_key)
{
    char public_half[VAPID_KEY_PUBLIC_SIZE];

    fails_on_file = true;
    ck_assert_str_eq(vapid_key_generate(path, public_half), strerror(EIO));
    ck_assert_int_eq(access(path, F_OK), -1);
    fails_on_file = false;
    fails_on_folder = true;
    ck_assert_str_eq(vapid_key_generate(path, public_half), strerror(EIO));
    ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_key_from_a_file,
        a_key_in_the_older_form,
        a_file_that_others_can_read,
        what_is_no_file,
        what_is_no_key,
        a_damaged_key,
        keys_of_other_kinds,
        signatures_verify,
        a_new_key_in_a_new_file,
        where_no_file_can_be_made,
        what_the_disk_does_not_keep_is_no_key,
    };
    Suite *suite = suite_create("vapid_key");
    TCase *tcase = tcase_create("vapid_key");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
