/* Encrypted tokens: the base64 around them, and, with a leading `+`, raw bytes that are encoded
 * here so that the fuzzer gets at what is inside. */
#include <openssl/evp.h>

#include "device/token_crypto.h"
#include "fuzz_input.h"

static void open_one(const struct token_crypto *crypto, const char *text, size_t len)
{
    struct token_crypto_token token;
    size_t bytes = 0;

    if (token_crypto_open(crypto, text, len, &token, &bytes) == TOKEN_CRYPTO_OK &&
        strlen(token.text) != token.len)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct token_crypto *crypto;
    uint8_t text[TOKEN_CRYPTO_MESSAGE_SIZE * 2];

    if (crypto == NULL) {
        static const uint8_t key[TOKEN_CRYPTO_KEY_SIZE] = {[31] = 7};

        crypto = token_crypto_new(key);
    }
    if (size > 0 && size <= TOKEN_CRYPTO_MESSAGE_SIZE + 1 && data[0] == '+') {
        int len = EVP_EncodeBlock(text, data + 1, (int)size - 1);

        open_one(crypto, (const char *)text, (size_t)len);
    } else {
        open_one(crypto, (const char *)data, size);
    }
    return 0;
}
