/* body: a request's JSON body, read within its limit and parsed without mercy. */
#ifndef MOSTRO_BODY_H
#define MOSTRO_BODY_H

#include <jansson.h>
#include <stddef.h>

#include "device/trade_pubkey.h"
#include "request.h"

#define BODY_MAX (128 * 1024)

enum body_verdict {
    BODY_OK,
    BODY_TOO_LARGE,
    BODY_MALFORMED, /* not application/json, not as long as it said, or not a JSON object */
    BODY_BAD_PUBKEY /* body_read_pubkey(): all is well but for the pubkey */
};

/* Reads at most `limit` + 1 bytes into `buffer`, which has that room and is wiped again. BODY_OK:
 * *json is an object, to be freed with json_decref(). Duplicate keys, NULs, invalid UTF-8, a byte
 * order mark and anything after the object are malformed (RFC 8259, and stricter). */
enum body_verdict body_read(const struct request *request, size_t limit, char *buffer,
                            json_t **json);

/* The same for a body that is {"trade_pubkey"} and maybe more that does not matter. */
enum body_verdict body_read_pubkey(const struct request *request, size_t limit, char *buffer,
                                   struct trade_pubkey *key);

/* The string member `name`: BODY_OK with *text and *len set; an absent one and null are "". Any
 * other type is BODY_MALFORMED. The text lives as long as `json`. */
enum body_verdict body_text(const json_t *json, const char *name, const char **text, size_t *len);

#endif
