#include "push/vapid.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base64url.h"
#include "es256.h"
#include "unit.h"

#define NOW    INT64_C(1800000000)
#define HOUR   INT64_C(3600)
#define ORIGIN "https://push.example.org"

static struct vapid_key *key;

static void setup(void)
{
    char directory[] = "/tmp/mostro-push-vapid-XXXXXX", path[sizeof directory + 4];
    char public_half[VAPID_KEY_PUBLIC_SIZE];
    const char *problem;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    (void)sprintf(path, "%s/key", directory);
    ck_assert_ptr_null(vapid_key_generate(path, public_half));
    key = vapid_key_read(path, &problem);
    ck_assert_ptr_nonnull(key);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(directory), 0);
}

static void teardown(void)
{
    vapid_key_free(&key);
}

/* ---- What a distributor does with the header --------------------------------------------------
 */

static size_t decode(const char *text, size_t len, uint8_t *out)
{
    size_t bytes = len * 3 / 4;

    ck_assert_msg(base64url_decode(out, bytes, text, len), "%.*s", (int)len, text);
    return bytes;
}

static EVP_PKEY *public_key(const char *text, size_t len)
{
    uint8_t point[128];
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *made = NULL;
    char curve[] = "P-256";
    size_t size = decode(text, len, point);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, curve, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, size),
        OSSL_PARAM_construct_end(),
    };

    ck_assert_uint_eq(size, 65);
    ck_assert_int_eq(EVP_PKEY_fromdata_init(context), 1);
    ck_assert_int_eq(EVP_PKEY_fromdata(context, &made, EVP_PKEY_PUBLIC_KEY, params), 1);
    EVP_PKEY_CTX_free(context);
    return made;
}

static json_t *json_of(const char *text, size_t len)
{
    uint8_t out[1024];
    json_t *json =
        json_loadb((const char *)out, decode(text, len, out), JSON_REJECT_DUPLICATES, NULL);

    ck_assert_ptr_nonnull(json);
    return json;
}

/* The claims of a header whose signature is good. */
static json_t *claims_of(const char *header)
{
    static const char before[] = "Authorization: vapid t=";
    const char *jwt = header + strlen(before), *claims, *signature, *public_half;
    uint8_t bytes[128];
    EVP_PKEY *with;
    json_t *about;

    ck_assert_ptr_nonnull(header);
    ck_assert_int_eq(strncmp(header, before, strlen(before)), 0);
    claims = strchr(jwt, '.') + 1;
    signature = strchr(claims, '.') + 1;
    public_half = strstr(signature, ", k=");
    ck_assert_ptr_nonnull(public_half);
    about = json_of(jwt, (size_t)(claims - 1 - jwt));
    ck_assert_uint_eq(json_object_size(about), 2);
    ck_assert_str_eq(json_string_value(json_object_get(about, "alg")), "ES256");
    ck_assert_str_eq(json_string_value(json_object_get(about, "typ")), "JWT");
    json_decref(about);
    ck_assert_str_eq(public_half + 4, vapid_key_public(key));
    with = public_key(public_half + 4, strlen(public_half + 4));
    ck_assert_uint_eq(decode(signature, (size_t)(public_half - signature), bytes), 64);
    ck_assert(es256_verifies(with, jwt, (size_t)(signature - 1 - jwt), bytes));
    bytes[0] ^= 1;
    ck_assert(!es256_verifies(with, jwt, (size_t)(signature - 1 - jwt), bytes));
    EVP_PKEY_free(with);
    return json_of(claims, (size_t)(signature - 1 - claims));
}

/* ---- The header ------------------------------------------------------------------------------ */

START_TEST(a_header_is_signed_for_its_origin)
{
    struct vapid *vapid = vapid_new(key, "mailto:admin@example.org");
    json_t *claims = claims_of(vapid_header(vapid, "https://push.example.org:8443", NOW));

    ck_assert_uint_eq(json_object_size(claims), 3);
    ck_assert_str_eq(json_string_value(json_object_get(claims, "aud")),
                     "https://push.example.org:8443");
    ck_assert_int_eq(json_integer_value(json_object_get(claims, "exp")), NOW + VAPID_LIFE_S);
    ck_assert_str_eq(json_string_value(json_object_get(claims, "sub")), "mailto:admin@example.org");
    json_decref(claims);
    vapid_free(&vapid);
    ck_assert_ptr_null(vapid);
}
END_TEST

START_TEST(a_subject_is_optional)
{
    struct vapid *vapid = vapid_new(key, NULL);
    json_t *claims = claims_of(vapid_header(vapid, ORIGIN, NOW));

    ck_assert_uint_eq(json_object_size(claims), 2);
    ck_assert_str_eq(json_string_value(json_object_get(claims, "aud")), ORIGIN);
    json_decref(claims);
    vapid_free(&vapid);
}
END_TEST

/* ---- The cache ------------------------------------------------------------------------------- */

/* Whether the header at `now_s` is the one in `text`, which then is the new one. Signatures are
 * never the same twice. */
static bool is_same(struct vapid *vapid, const char *origin, int64_t now_s, char text[1024])
{
    const char *header = vapid_header(vapid, origin, now_s);
    bool same;

    ck_assert_ptr_nonnull(header);
    same = strcmp(header, text) == 0;
    (void)snprintf(text, 1024, "%s", header);
    return same;
}

START_TEST(a_header_serves_for_twelve_hours)
{
    struct vapid *vapid = vapid_new(key, NULL);
    char text[1024] = "";
    json_t *claims;
    int64_t expiry;

    ck_assert(!is_same(vapid, ORIGIN, NOW, text));
    ck_assert(is_same(vapid, ORIGIN, NOW, text));
    ck_assert(is_same(vapid, ORIGIN, NOW + 12 * HOUR - 1, text));
    claims = claims_of(text);
    expiry = json_integer_value(json_object_get(claims, "exp"));
    /* Valid even for a distributor whose clock is an hour wrong. */
    ck_assert_int_gt(expiry, NOW + 12 * HOUR + HOUR);
    ck_assert_int_le(expiry, NOW + 24 * HOUR - HOUR);
    json_decref(claims);
    ck_assert(!is_same(vapid, ORIGIN, NOW + 12 * HOUR, text));
    ck_assert(is_same(vapid, ORIGIN, NOW + 12 * HOUR + 1, text));
    /* Our own clock was wrong. */
    ck_assert(!is_same(vapid, ORIGIN, NOW, text));
    vapid_free(&vapid);
}
END_TEST

static const char *origin_number(unsigned n)
{
    static char origin[64];

    (void)snprintf(origin, sizeof origin, "https://h%u.example", n);
    return origin;
}

START_TEST(the_origins_used_last_are_kept)
{
    static char texts[VAPID_ORIGINS_MAX + 1][1024];
    struct vapid *vapid = vapid_new(key, NULL);

    for (unsigned i = 0; i < VAPID_ORIGINS_MAX; i++)
        ck_assert(!is_same(vapid, origin_number(i), NOW, texts[i]));
    for (unsigned i = 0; i < VAPID_ORIGINS_MAX; i++)
        ck_assert(is_same(vapid, origin_number(i), NOW, texts[i]));
    ck_assert(is_same(vapid, origin_number(0), NOW, texts[0]));
    ck_assert(!is_same(vapid, origin_number(VAPID_ORIGINS_MAX), NOW, texts[VAPID_ORIGINS_MAX]));
    for (unsigned i = 2; i <= VAPID_ORIGINS_MAX; i++)
        ck_assert_msg(is_same(vapid, origin_number(i), NOW, texts[i]), "%u", i);
    ck_assert(is_same(vapid, origin_number(0), NOW, texts[0]));
    ck_assert(!is_same(vapid, origin_number(1), NOW, texts[1]));
    vapid_free(&vapid);
}
END_TEST

START_TEST(the_longest_names_have_room)
{
    char origin[280] = "https://", subject[257] = "https://";
    struct vapid *vapid;
    json_t *claims;

    memset(origin + 8, 'a', sizeof origin - 9);
    memset(subject + 8, 'b', sizeof subject - 9);
    vapid = vapid_new(key, subject);
    claims = claims_of(vapid_header(vapid, origin, INT64_C(99999999999)));
    ck_assert_str_eq(json_string_value(json_object_get(claims, "aud")), origin);
    ck_assert_str_eq(json_string_value(json_object_get(claims, "sub")), subject);
    json_decref(claims);
    vapid_free(&vapid);
}
END_TEST

UNIT_MAIN_WITH("vapid", setup, teardown, a_header_is_signed_for_its_origin, a_subject_is_optional,
               a_header_serves_for_twelve_hours, the_origins_used_last_are_kept,
               the_longest_names_have_room)
