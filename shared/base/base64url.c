#include "base64url.h"

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t base64url_encode(char *out, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    const char *start = out;

    for (; len >= 3; len -= 3, at += 3) {
        *out++ = digits[at[0] >> 2];
        *out++ = digits[(at[0] & 3) << 4 | at[1] >> 4];
        *out++ = digits[(at[1] & 15) << 2 | at[2] >> 6];
        *out++ = digits[at[2] & 63];
    }
    if (len > 0) {
        uint8_t second = len == 2 ? at[1] : 0;

        *out++ = digits[at[0] >> 2];
        *out++ = digits[(at[0] & 3) << 4 | second >> 4];
        if (len == 2)
            *out++ = digits[(second & 15) << 2];
    }
    *out = '\0';
    return (size_t)(out - start);
}

bool base64url_decode(uint8_t *out, size_t len, const char *text, size_t text_len)
{
    size_t significant = BASE64URL_SIZE(len) - 1, at = 0;
    uint32_t bits = 0;
    unsigned held = 0;

    if (text_len < significant || text_len > (len + 2) / 3 * 4)
        return false;
    for (size_t i = significant; i < text_len; i++)
        if (text[i] != '=')
            return false;
    for (size_t i = 0; i < significant; i++) {
        const char *digit = text[i] != '\0' ? strchr(digits, text[i]) : NULL;

        if (digit == NULL)
            return false;
        bits = bits << 6 | (uint32_t)(digit - digits);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[at++] = (uint8_t)(bits >> held);
            bits &= (1u << held) - 1;
        }
    }
    return bits == 0;
}
