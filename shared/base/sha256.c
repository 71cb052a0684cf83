#include "sha256.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <string.h>

#include "hex.h"

bool sha256_hex(char hex[SHA256_HEX_LEN + 1], const char *text)
{
    uint8_t digest[SHA256_HEX_LEN / 2];

    hex[0] = '\0';
    if (EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL) != 1)
        return false;
    hex_encode(hex, digest, sizeof digest);
    return true;
}
