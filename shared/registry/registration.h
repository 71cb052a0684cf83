/* registration: how a phone has asked to be woken. Its token and keys are secrets. */
#ifndef MOSTRO_REGISTRATION_H
#define MOSTRO_REGISTRATION_H

#include <stdint.h>

#include "device/trade_pubkey.h"

enum platform { PLATFORM_ANDROID, PLATFORM_IOS };

#define DEVICE_TOKEN_MAX 4096
#define WEB_PUSH_KEY_MAX 96 /* base64url of 65 bytes is 87 characters, with padding 88 */

/* `token` is a secret of the device: an FCM token, or an endpoint URL. Fixed size, so that a copy
 * is wiped in one place. p256dh and auth are "" where the device gave none. A p256dh of
 * REGISTRY_KEYS_LOST, which no device can register, stands for keys that it had given before Redis
 * lost them: nothing may be sent to it that would have to be encrypted. */
#define REGISTRY_KEYS_LOST "-"
struct registration {
    char token[DEVICE_TOKEN_MAX + 1];
    enum platform platform;
    char p256dh[WEB_PUSH_KEY_MAX + 1];
    char auth[WEB_PUSH_KEY_MAX + 1];
    char mostro_pubkey[TRADE_PUBKEY_LEN + 1]; /* the Mostro node that it follows, in lower case, or
                                                 ""; a look-up leaves it out */
    int64_t version;                          /* after a look-up; each renewal changes it */
};

#endif
