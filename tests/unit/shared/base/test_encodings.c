#include "unit.h"

#include "base/base64url.h"
#include "base/hex.h"
#include "device/trade_pubkey.h"

#define PUBKEY_LOWER "00a1b2c3d4e5f60718293a4b5c6d7e8f00a1b2c3d4e5f60718293a4b5c6d7e8f"
#define PUBKEY_UPPER "00A1B2C3D4E5F60718293A4B5C6D7E8F00A1B2C3D4E5F60718293A4B5C6D7E8F"

START_TEST(hex_goes_there_and_back)
{
    uint8_t bytes[256], back[256];
    char text[513];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    hex_encode(text, bytes, sizeof bytes);
    ck_assert(hex_decode(back, sizeof back, text, 512));
    ck_assert_mem_eq(bytes, back, sizeof bytes);
}
END_TEST

START_TEST(hex_refuses_what_is_none)
{
    uint8_t out[2];

    ck_assert(hex_decode(out, 2, "aBcD", 4));
    ck_assert(!hex_decode(out, 2, "abc", 3));
    ck_assert(!hex_decode(out, 2, "abcde", 5));
    ck_assert(!hex_decode(out, 2, "abcg", 4));
    ck_assert(!hex_decode(out, 2, "ab\0d", 4));
    ck_assert(!hex_decode(out, 2, " abc", 4));
}
END_TEST

START_TEST(pubkey_is_kept_in_lower_case)
{
    struct trade_pubkey key;

    ck_assert(trade_pubkey_parse(&key, PUBKEY_UPPER, 64));
    ck_assert_str_eq(key.hex, PUBKEY_LOWER);
}
END_TEST

START_TEST(pubkey_of_another_length_is_refused)
{
    struct trade_pubkey key = {"kept"};

    ck_assert(!trade_pubkey_parse(&key, PUBKEY_LOWER, 63));
    ck_assert(!trade_pubkey_parse(&key, PUBKEY_LOWER "0", 65));
    ck_assert(!trade_pubkey_parse(&key, "", 0));
    ck_assert_str_eq(key.hex, "kept");
}
END_TEST

/* RFC 4648, section 10, without padding. */
START_TEST(base64url_vectors)
{
    static const char *const texts[] = {"", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"};
    char out[BASE64URL_SIZE(6)];
    uint8_t back[6];

    for (size_t len = 0; len <= 6; len++) {
        ck_assert_uint_eq(base64url_encode(out, "foobar", len), strlen(texts[len]));
        ck_assert_str_eq(out, texts[len]);
        ck_assert(base64url_decode(back, len, texts[len], strlen(texts[len])));
        ck_assert_mem_eq(back, "foobar", len);
    }
    ck_assert(base64url_decode(back, 1, "_w", 2) && back[0] == 0xff);
    ck_assert(base64url_decode(back, 1, "Zg==", 4) && back[0] == 'f');
}
END_TEST

START_TEST(base64url_refuses_what_is_none)
{
    uint8_t out[4];

    ck_assert(!base64url_decode(out, 1, "Zh", 2));    /* bits that mean nothing */
    ck_assert(!base64url_decode(out, 1, "/w", 2));    /* the other alphabet */
    ck_assert(!base64url_decode(out, 1, "Zg===", 5)); /* too much padding */
    ck_assert(!base64url_decode(out, 1, "ZgA", 3));
    ck_assert(!base64url_decode(out, 2, "Zg", 2));
    ck_assert(!base64url_decode(out, 3, "Zm\0v", 4));
}
END_TEST

UNIT_MAIN("encodings", hex_goes_there_and_back, hex_refuses_what_is_none,
          pubkey_is_kept_in_lower_case, pubkey_of_another_length_is_refused, base64url_vectors,
          base64url_refuses_what_is_none)
