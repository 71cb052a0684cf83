#include "device_id.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/hex.h"

bool device_id_of(struct device_id *id, const char *url)
{
    uint8_t digest[32];

    *id = (struct device_id){.hex = ""};
    if (EVP_Digest(url, strlen(url), digest, NULL, EVP_sha256(), NULL) != 1)
        return false;
    hex_encode(id->hex, digest, DEVICE_ID_LEN / 2);
    return true;
}
