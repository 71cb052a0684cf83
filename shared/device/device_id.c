#include "device_id.h"

#include <string.h>

#include "base/sha256.h"

bool device_id_of(struct device_id *id, const char *url)
{
    char digest[SHA256_HEX_LEN + 1];
    bool known = sha256_hex(digest, url);

    *id = (struct device_id){.hex = ""};
    if (known)
        memcpy(id->hex, digest, DEVICE_ID_LEN);
    return known;
}
