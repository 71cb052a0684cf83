#include "unit.h"

#include "base/blake3.h"
#include "base/hex.h"
#include "device/address_hash.h"

/* From the official test vectors of BLAKE3, mode keyed_hash: the input is the bytes 0, 1, 2, ... */
static const char official_key[] = "whats the Elvish word for friend";
static const struct {
    size_t len;
    const char *hash;
} vectors[] = {
    {0, "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26"},
    {1, "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b"},
    {2, "5392ddae0e0a69d5f40160462cbd9bd889375082ff224ac9c758802b7a6fd20a"},
    {3, "39e67b76b5a007d4921969779fe666da67b5213b096084ab674742f0d5ec62b9"},
    {4, "7671dde590c95d5ac9616651ff5aa0a27bee5913a348e053b8aa9108917fe070"},
    {5, "73ac69eecf286894d8102018a6fc729f4b1f4247d3703f69bdc6a5fe3e0c8461"},
    {6, "82d3199d0013035682cc7f2a399d4c212544376a839aa863a0f4c91220ca7a6d"},
    {7, "af0a7ec382aedc0cfd626e49e7628bc7a353a4cb108855541a5651bf64fbb28a"},
    {8, "be2f5495c61cba1bb348a34948c004045e3bd4dae8f0fe82bf44d0da245a0600"},
    {63, "bb1eb5d4afa793c1ebdd9fb08def6c36d10096986ae0cfe148cd101170ce37ae"},
    {64, "ba8ced36f327700d213f120b1a207a3b8c04330528586f414d09f2f7d9ccb7e6"},
};

START_TEST(official_vectors)
{
    uint8_t input[BLAKE3_MAX_LEN], out[BLAKE3_OUT_SIZE];
    char hex[65];

    for (size_t i = 0; i < sizeof input; i++)
        input[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        blake3_keyed(out, (const uint8_t *)official_key, input, vectors[i].len);
        hex_encode(hex, out, sizeof out);
        ck_assert_str_eq(hex, vectors[i].hash);
    }
}
END_TEST

/* A pubkey's case: 64 characters fill the block; made with `b3sum --keyed`. */
START_TEST(sixty_four_characters)
{
    static const char text[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    uint8_t out[BLAKE3_OUT_SIZE];
    char hex[65];

    blake3_keyed(out, (const uint8_t *)official_key, text, 64);
    hex_encode(hex, out, sizeof out);
    ck_assert_str_eq(hex, "dcd6b2270859c65adaa4723beec14a6ae148c5b321914255f1fc16a8036b28ac");
}
END_TEST

START_TEST(address_hashes_differ_by_key_and_address)
{
    const uint8_t one[ADDRESS_KEY_SIZE] = {1}, two[ADDRESS_KEY_SIZE] = {2};
    const uint8_t v4[4] = {192, 0, 2, 1}, v6[8] = {192, 0, 2, 1};
    struct address_hash hash = address_hash(one, v4, sizeof v4);

    ck_assert_uint_eq(strlen(hash.hex), ADDRESS_HASH_LEN);
    ck_assert_str_eq(hash.hex, address_hash(one, v4, sizeof v4).hex);
    ck_assert_str_ne(hash.hex, address_hash(two, v4, sizeof v4).hex);
    ck_assert_str_ne(hash.hex, address_hash(one, v6, sizeof v6).hex);
}
END_TEST

UNIT_MAIN("blake3", official_vectors, sixty_four_characters,
          address_hashes_differ_by_key_and_address)
