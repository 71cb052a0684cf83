#include "event_id.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

/* Writes the canonical form straight into the digest, through a small buffer, because a call of
 * EVP_DigestUpdate() costs more than the few bytes between two escapes. */

#define GATHER_SIZE 1024

struct event_id_hasher {
    EVP_MD_CTX *digest;
    bool digest_ok;
    size_t gathered;
    uint8_t buffer[GATHER_SIZE];
};

static void flush(struct event_id_hasher *hasher)
{
    if (EVP_DigestUpdate(hasher->digest, hasher->buffer, hasher->gathered) != 1)
        hasher->digest_ok = false;
    hasher->gathered = 0;
}

static void put(struct event_id_hasher *hasher, const char *text, size_t len)
{
    if (len > GATHER_SIZE - hasher->gathered)
        flush(hasher);
    if (len > GATHER_SIZE) {
        if (EVP_DigestUpdate(hasher->digest, text, len) != 1)
            hasher->digest_ok = false;
        return;
    }
    memcpy(hasher->buffer + hasher->gathered, text, len);
    hasher->gathered += len;
}

/* NIP-01 names seven escapes and wants every other character verbatim. For the remaining control
 * characters, which JSON does not allow verbatim, clients hash what their JSON writer makes of
 * them: \u00xx in lower case (JSON.stringify, serde_json). DEL and all beyond ASCII stay as they
 * are. */
static void put_escaped(struct event_id_hasher *hasher, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    static const char letters[0x20] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    char escape[6] = {'\\', 'u', '0', '0', 0, 0};

    if (c < 0x20 && letters[c] == 0) {
        escape[4] = digits[c >> 4];
        escape[5] = digits[c & 15];
        put(hasher, escape, 6);
        return;
    }
    escape[1] = c < 0x20 ? letters[c] : (char)c;
    put(hasher, escape, 2);
}

static void put_string(struct event_id_hasher *hasher, const char *text, size_t len)
{
    size_t start = 0;

    put(hasher, "\"", 1);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        put(hasher, text + start, i - start);
        put_escaped(hasher, c);
        start = i + 1;
    }
    put(hasher, text + start, len - start);
    put(hasher, "\"", 1);
}

static void put_tags(struct event_id_hasher *hasher, const json_t *tags)
{
    put(hasher, "[", 1);
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const json_t *tag = json_array_get(tags, i);

        if (i > 0)
            put(hasher, ",", 1);
        put(hasher, "[", 1);
        for (size_t j = 0; j < json_array_size(tag); j++) {
            const json_t *item = json_array_get(tag, j);

            if (j > 0)
                put(hasher, ",", 1);
            put_string(hasher, json_string_value(item), json_string_length(item));
        }
        put(hasher, "]", 1);
    }
    put(hasher, "]", 1);
}

bool event_id_compute(struct event_id_hasher *hasher, const struct event *event,
                      uint8_t id[EVENT_ID_SIZE])
{
    char numbers[64];
    int len;

    hasher->gathered = 0;
    hasher->digest_ok = EVP_DigestInit_ex2(hasher->digest, EVP_sha256(), NULL) == 1;
    put(hasher, "[0,\"", 4);
    put(hasher, event->pubkey_hex, (size_t)2 * EVENT_PUBKEY_SIZE);
    len = snprintf(numbers, sizeof numbers, "\",%" PRId64 ",%" PRIu32 ",", event->created_at,
                   event->kind);
    put(hasher, numbers, (size_t)len);
    if (event->tags == NULL) {
        put(hasher, event->tags_text, event->tags_text_len);
        put(hasher, ",\"", 2);
        put(hasher, event->content, event->content_len);
        put(hasher, "\"]", 2);
    } else {
        put_tags(hasher, event->tags);
        put(hasher, ",", 1);
        put_string(hasher, event->content, event->content_len);
        put(hasher, "]", 1);
    }
    flush(hasher);
    return EVP_DigestFinal_ex(hasher->digest, id, NULL) == 1 && hasher->digest_ok;
}

struct event_id_hasher *event_id_hasher_new(void)
{
    struct event_id_hasher *hasher = calloc(1, sizeof *hasher);

    if (hasher == NULL)
        return NULL;
    hasher->digest = EVP_MD_CTX_new();
    if (hasher->digest == NULL)
        event_id_hasher_free(&hasher);
    return hasher;
}

void event_id_hasher_free(struct event_id_hasher **hasher)
{
    if (*hasher == NULL)
        return;
    EVP_MD_CTX_free((*hasher)->digest);
    free(*hasher);
    *hasher = NULL;
}
