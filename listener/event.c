#include "event.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>

#include "hex.h"

/* ---- Form ------------------------------------------------------------------------------------ */

/* NIP-01 knows lower-case hex alone; an upper-case digit would make another id of the same event.
 * Returns the text, or NULL. */
static const char *read_hex(const json_t *json, const char *name, uint8_t *out, size_t size)
{
    const json_t *value = json_object_get(json, name);
    const char *text = json_string_value(value);

    if (text == NULL || !hex_decode(out, size, text, json_string_length(value)))
        return NULL;
    for (size_t i = 0; i < 2 * size; i++) {
        if (text[i] >= 'A' && text[i] <= 'F')
            return NULL;
    }
    return text;
}

static bool read_integer(const json_t *json, const char *name, json_int_t most, json_int_t *out)
{
    const json_t *value = json_object_get(json, name);

    if (!json_is_integer(value))
        return false;
    *out = json_integer_value(value);
    return *out >= 0 && *out <= most;
}

static bool tag_is_well_formed(const json_t *tag)
{
    size_t n = json_array_size(tag); /* 0 if it is no array */

    for (size_t i = 0; i < n; i++) {
        if (!json_is_string(json_array_get(tag, i)))
            return false;
    }
    return n > 0;
}

static bool read_tags(struct event *event, const json_t *tags)
{
    if (!json_is_array(tags) || json_array_size(tags) > EVENT_MAX_TAGS)
        return false;
    for (size_t i = 0; i < json_array_size(tags); i++) {
        if (!tag_is_well_formed(json_array_get(tags, i)))
            return false;
    }
    event->tags = tags;
    return true;
}

/* Only the first tag named `p` counts, even where its value is unusable. */
static void read_address(struct event *event)
{
    event->addressed = false;
    for (size_t i = 0; i < json_array_size(event->tags); i++) {
        const json_t *tag = json_array_get(event->tags, i);
        const json_t *name = json_array_get(tag, 0);
        const json_t *value = json_array_get(tag, 1);

        if (json_string_length(name) != 1 || json_string_value(name)[0] != 'p')
            continue;
        event->addressed =
            value != NULL && trade_pubkey_parse(&event->trade_pubkey, json_string_value(value),
                                                json_string_length(value));
        return;
    }
}

enum event_result event_read(struct event *event, const json_t *json)
{
    const json_t *content = json_object_get(json, "content");
    json_int_t created_at, kind;

    event->pubkey_hex = read_hex(json, "pubkey", event->pubkey, sizeof event->pubkey);
    if (event->pubkey_hex == NULL || read_hex(json, "id", event->id, sizeof event->id) == NULL ||
        read_hex(json, "sig", event->signature, sizeof event->signature) == NULL ||
        !read_integer(json, "created_at", EVENT_MAX_CREATED_AT, &created_at) ||
        !read_integer(json, "kind", EVENT_MAX_KIND, &kind) || !json_is_string(content) ||
        !read_tags(event, json_object_get(json, "tags")))
        return EVENT_MALFORMED;
    event->created_at = created_at;
    event->kind = (uint32_t)kind;
    event->content = json_string_value(content);
    event->content_len = json_string_length(content);
    read_address(event);
    return EVENT_OK;
}

/* ---- Id ---------------------------------------------------------------------------------------
 *
 * NIP-01: the id is the SHA-256 of [0,pubkey,created_at,kind,tags,content] as JSON without
 * whitespace. It is written straight into the digest, gathered in a small buffer because a call of
 * EVP_DigestUpdate() costs more than the few bytes between two escapes. */

#define GATHER_SIZE 1024

struct event_verifier {
    secp256k1_context *secp256k1;
    EVP_MD_CTX *digest;
    bool digest_ok;
    size_t gathered;
    uint8_t buffer[GATHER_SIZE];
};

static void flush(struct event_verifier *verifier)
{
    if (EVP_DigestUpdate(verifier->digest, verifier->buffer, verifier->gathered) != 1)
        verifier->digest_ok = false;
    verifier->gathered = 0;
}

static void put(struct event_verifier *verifier, const char *text, size_t len)
{
    if (len > GATHER_SIZE - verifier->gathered)
        flush(verifier);
    if (len > GATHER_SIZE) {
        if (EVP_DigestUpdate(verifier->digest, text, len) != 1)
            verifier->digest_ok = false;
        return;
    }
    memcpy(verifier->buffer + verifier->gathered, text, len);
    verifier->gathered += len;
}

/* NIP-01 names seven escapes and wants every other character verbatim. For the remaining control
 * characters, which JSON does not allow verbatim, clients hash what their JSON writer makes of
 * them: \u00xx in lower case (JSON.stringify, serde_json). DEL and all beyond ASCII stay as they
 * are. */
static void put_escaped(struct event_verifier *verifier, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    static const char letters[0x20] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    char escape[6] = {'\\', 'u', '0', '0', 0, 0};

    if (c < 0x20 && letters[c] == 0) {
        escape[4] = digits[c >> 4];
        escape[5] = digits[c & 15];
        put(verifier, escape, 6);
        return;
    }
    escape[1] = c < 0x20 ? letters[c] : (char)c;
    put(verifier, escape, 2);
}

static void put_string(struct event_verifier *verifier, const char *text, size_t len)
{
    size_t start = 0;

    put(verifier, "\"", 1);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        put(verifier, text + start, i - start);
        put_escaped(verifier, c);
        start = i + 1;
    }
    put(verifier, text + start, len - start);
    put(verifier, "\"", 1);
}

static void put_tags(struct event_verifier *verifier, const json_t *tags)
{
    put(verifier, "[", 1);
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const json_t *tag = json_array_get(tags, i);

        if (i > 0)
            put(verifier, ",", 1);
        put(verifier, "[", 1);
        for (size_t j = 0; j < json_array_size(tag); j++) {
            const json_t *item = json_array_get(tag, j);

            if (j > 0)
                put(verifier, ",", 1);
            put_string(verifier, json_string_value(item), json_string_length(item));
        }
        put(verifier, "]", 1);
    }
    put(verifier, "]", 1);
}

static bool id_is_right(struct event_verifier *verifier, const struct event *event)
{
    uint8_t id[EVENT_ID_SIZE];
    char numbers[64];
    int len;

    verifier->gathered = 0;
    verifier->digest_ok = EVP_DigestInit_ex2(verifier->digest, EVP_sha256(), NULL) == 1;
    put(verifier, "[0,\"", 4);
    put(verifier, event->pubkey_hex, (size_t)2 * EVENT_PUBKEY_SIZE);
    len = snprintf(numbers, sizeof numbers, "\",%" PRId64 ",%" PRIu32 ",", event->created_at,
                   event->kind);
    put(verifier, numbers, (size_t)len);
    put_tags(verifier, event->tags);
    put(verifier, ",", 1);
    put_string(verifier, event->content, event->content_len);
    put(verifier, "]", 1);
    flush(verifier);
    return EVP_DigestFinal_ex(verifier->digest, id, NULL) == 1 && verifier->digest_ok &&
           memcmp(id, event->id, sizeof id) == 0;
}

/* ---- Signature ------------------------------------------------------------------------------- */

/* BIP-340 over the id. */
static bool signature_is_right(struct event_verifier *verifier, const struct event *event)
{
    secp256k1_xonly_pubkey author;

    return secp256k1_xonly_pubkey_parse(verifier->secp256k1, &author, event->pubkey) == 1 &&
           secp256k1_schnorrsig_verify(verifier->secp256k1, event->signature, event->id,
                                       sizeof event->id, &author) == 1;
}

enum event_result event_verify(struct event_verifier *verifier, const struct event *event)
{
    if (!id_is_right(verifier, event))
        return EVENT_WRONG_ID;
    if (!signature_is_right(verifier, event))
        return EVENT_WRONG_SIGNATURE;
    return event->addressed ? EVENT_OK : EVENT_UNADDRESSED;
}

struct event_verifier *event_verifier_new(void)
{
    struct event_verifier *verifier = calloc(1, sizeof *verifier);

    if (verifier == NULL)
        return NULL;
    verifier->secp256k1 = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    verifier->digest = EVP_MD_CTX_new();
    if (verifier->secp256k1 == NULL || verifier->digest == NULL)
        event_verifier_free(&verifier);
    return verifier;
}

void event_verifier_free(struct event_verifier **verifier)
{
    if (*verifier == NULL)
        return;
    if ((*verifier)->secp256k1 != NULL)
        secp256k1_context_destroy((*verifier)->secp256k1);
    EVP_MD_CTX_free((*verifier)->digest);
    free(*verifier);
    *verifier = NULL;
}
