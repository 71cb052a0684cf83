#include "web_push_keys.h"

#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <string.h>

#include "base/base64url.h"

#define UNCOMPRESSED 4  /* SEC 1, section 2.3.3 */
#define KEY_TEXT_MAX 88 /* the point's 65 bytes with padding */

static bool is_on_curve(const uint8_t point[WEB_PUSH_POINT_SIZE])
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *parsed = group != NULL ? EC_POINT_new(group) : NULL;
    bool on_curve =
        parsed != NULL && EC_POINT_oct2point(group, parsed, point, WEB_PUSH_POINT_SIZE, NULL) == 1;

    EC_POINT_free(parsed);
    EC_GROUP_free(group);
    return on_curve;
}

/* From either of the two base64 alphabets, but not a mixture. */
static bool decode_either(uint8_t *out, size_t len, const char *text, size_t text_len)
{
    char url[KEY_TEXT_MAX];
    bool has_standard = false, has_url = false, ok;

    if (text_len > sizeof url)
        return false;
    for (size_t i = 0; i < text_len; i++) {
        has_standard |= text[i] == '+' || text[i] == '/';
        has_url |= text[i] == '-' || text[i] == '_';
        url[i] = (char)(text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]);
    }
    ok = !(has_standard && has_url) && base64url_decode(out, len, url, text_len);
    explicit_bzero(url, sizeof url);
    return ok;
}

bool web_push_keys_decode(struct web_push_keys *keys, const char *p256dh, size_t p256dh_len,
                          const char *auth, size_t auth_len)
{
    return base64url_decode(keys->point, sizeof keys->point, p256dh, p256dh_len) &&
           base64url_decode(keys->secret, sizeof keys->secret, auth, auth_len) &&
           keys->point[0] == UNCOMPRESSED;
}

bool web_push_keys_parse(struct web_push_keys *keys, const char *p256dh, size_t p256dh_len,
                         const char *auth, size_t auth_len)
{
    return decode_either(keys->point, sizeof keys->point, p256dh, p256dh_len) &&
           decode_either(keys->secret, sizeof keys->secret, auth, auth_len) &&
           keys->point[0] == UNCOMPRESSED && is_on_curve(keys->point);
}
