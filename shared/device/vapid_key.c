#include "vapid_key.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64url.h"
#include "base/durable_file.h"
#include "base/key_file.h"

#define CURVE           "prime256v1" /* P-256, as OpenSSL names it */
#define PEM_MAX         4096
#define COORDINATE_SIZE 32
#define UNCOMPRESSED    4  /* SEC 1, section 2.3.3 */
#define DER_MAX         80 /* of a signature: two integers of at most 33 bytes */

struct vapid_key {
    EVP_PKEY *key;
    char public_half[VAPID_KEY_PUBLIC_SIZE];
};

/* ---- Reading --------------------------------------------------------------------------------- */

static bool put_coordinate(const EVP_PKEY *key, const char *name, uint8_t *out)
{
    BIGNUM *number = NULL;
    bool ok = EVP_PKEY_get_bn_param(key, name, &number) == 1 &&
              BN_bn2binpad(number, out, COORDINATE_SIZE) == COORDINATE_SIZE;

    BN_free(number);
    return ok;
}

/* Made from the point's coordinates, because the file may hold the point compressed. */
static bool write_public_half(const EVP_PKEY *key, char text[VAPID_KEY_PUBLIC_SIZE])
{
    uint8_t point[VAPID_KEY_POINT_SIZE] = {UNCOMPRESSED};

    if (!put_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X, point + 1) ||
        !put_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y, point + 1 + COORDINATE_SIZE))
        return false;
    (void)base64url_encode(text, point, sizeof point);
    return true;
}

/* The private and the public half in a file need not belong together. */
static bool is_pair(EVP_PKEY *key)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool ok = context != NULL && EVP_PKEY_check(context) == 1;

    EVP_PKEY_CTX_free(context);
    return ok;
}

static const char *check(EVP_PKEY *key)
{
    char curve[64];

    if (key == NULL)
        return "does not hold a private key in PEM without a password";
    if (EVP_PKEY_is_a(key, "EC") != 1 ||
        EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL) != 1 || strcmp(curve, CURVE) != 0)
        return "holds a key of another kind than P-256";
    return is_pair(key) ? NULL : "holds a damaged key";
}

/* The empty password is for encrypted keys: without one, OpenSSL would ask at the terminal. */
static EVP_PKEY *parse(const char *pem, size_t len)
{
    char password[] = "";
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, NULL, password) : NULL;

    BIO_free(bio);
    return key;
}

/* Takes `key`. */
static struct vapid_key *vapid_key_new(EVP_PKEY *key)
{
    struct vapid_key *made = calloc(1, sizeof *made);

    if (made == NULL) {
        EVP_PKEY_free(key);
        return NULL;
    }
    made->key = key;
    if (!write_public_half(key, made->public_half))
        vapid_key_free(&made);
    return made;
}

struct vapid_key *vapid_key_read(const char *path, const char **problem)
{
    struct small_file pem;
    struct vapid_key *made = NULL;
    EVP_PKEY *key;

    *problem = key_file_read_text(path, PEM_MAX, &pem);
    if (*problem != NULL)
        return NULL;
    key = parse(pem.text, pem.len);
    small_file_wipe(&pem);
    *problem = check(key);
    if (*problem != NULL)
        EVP_PKEY_free(key);
    else if ((made = vapid_key_new(key)) == NULL)
        *problem = "memory is out";
    ERR_clear_error();
    return made;
}

void vapid_key_free(struct vapid_key **key)
{
    if (*key == NULL)
        return;
    EVP_PKEY_free((*key)->key); /* wipes it */
    free(*key);
    *key = NULL;
}

const char *vapid_key_public(const struct vapid_key *key)
{
    return key->public_half;
}

/* ---- Signing --------------------------------------------------------------------------------- */

/* OpenSSL writes a signature as DER; a JWT wants its two numbers in fixed size. */
static bool unwrap(const uint8_t *der, size_t len, uint8_t signature[VAPID_KEY_SIGNATURE_SIZE])
{
    ECDSA_SIG *numbers = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool ok =
        numbers != NULL &&
        BN_bn2binpad(ECDSA_SIG_get0_r(numbers), signature, COORDINATE_SIZE) > 0 &&
        BN_bn2binpad(ECDSA_SIG_get0_s(numbers), signature + COORDINATE_SIZE, COORDINATE_SIZE) > 0;

    ECDSA_SIG_free(numbers);
    return ok;
}

bool vapid_key_sign(const struct vapid_key *key, const void *text, size_t len,
                    uint8_t signature[VAPID_KEY_SIGNATURE_SIZE])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t der[DER_MAX];
    size_t der_len = sizeof der;
    bool ok = context != NULL &&
              EVP_DigestSignInit_ex(context, NULL, "SHA256", NULL, NULL, key->key, NULL) == 1 &&
              EVP_DigestSign(context, der, &der_len, text, len) == 1 &&
              unwrap(der, der_len, signature);

    EVP_MD_CTX_free(context);
    return ok;
}

/* ---- Making one ------------------------------------------------------------------------------ */

/* Puts the file's name on the disk, too. */
static bool sync_folder_of(const char *path)
{
    char *folder = durable_file_folder_of(path);
    bool good = folder != NULL && durable_file_sync_folder(folder);
    int error = errno;

    free(folder);
    errno = error;
    return good;
}

static const char *write_file(const char *path, const char *text, size_t len)
{
    const char *problem;

    if (!durable_file_create(path, text, len))
        return strerror(errno);
    if (sync_folder_of(path))
        return NULL;
    problem = strerror(errno);
    (void)unlink(path);
    return problem;
}

const char *vapid_key_generate(const char *path, char public_half[VAPID_KEY_PUBLIC_SIZE])
{
    EVP_PKEY *key = EVP_EC_gen(CURVE);
    BIO *bio = BIO_new(BIO_s_secmem());
    const char *problem = "the key cannot be made";
    char *pem;
    long len;

    if (key != NULL && bio != NULL && write_public_half(key, public_half) &&
        PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
        len = BIO_get_mem_data(bio, &pem);
        problem = write_file(path, pem, (size_t)len);
    }
    BIO_free(bio); /* wipes it */
    EVP_PKEY_free(key);
    return problem;
}
