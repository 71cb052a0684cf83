#include "event.h"

#include <stdlib.h>
#include <string.h>

#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>

#include "base/hex.h"
#include "event_id.h"
#include "event_tags.h"

/* ---- Form ------------------------------------------------------------------------------------ */

/* NIP-01 has lower-case hex only: an upper-case digit would make a second id for the same event.
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
    size_t n = json_array_size(tag);

    for (size_t i = 0; i < n; i++) {
        if (!json_is_string(json_array_get(tag, i)))
            return false;
    }
    return json_is_array(tag);
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

/* An empty tag says nothing, and is no reason to refuse a well signed event. */
static void heed_tags(struct event *event)
{
    event_tags_begin(event);
    for (size_t i = 0; i < json_array_size(event->tags); i++) {
        const json_t *tag = json_array_get(event->tags, i);
        const json_t *name = json_array_get(tag, 0);
        const json_t *value = json_array_get(tag, 1);

        event_tags_add(event, json_string_value(name), json_string_length(name),
                       json_string_value(value), json_string_length(value));
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
    heed_tags(event);
    return EVENT_OK;
}

bool event_has_expired(const struct event *event, int64_t unix_s)
{
    return event->expires_at <= unix_s;
}

/* ---- Id and signature ------------------------------------------------------------------------ */

struct event_verifier {
    secp256k1_context *secp256k1;
    struct event_id_hasher *hasher;
};

static bool id_is_right(struct event_verifier *verifier, const struct event *event)
{
    uint8_t id[EVENT_ID_SIZE];

    return event_id_compute(verifier->hasher, event, id) && memcmp(id, event->id, sizeof id) == 0;
}

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
    verifier->hasher = event_id_hasher_new();
    if (verifier->secp256k1 == NULL || verifier->hasher == NULL)
        event_verifier_free(&verifier);
    return verifier;
}

void event_verifier_free(struct event_verifier **verifier)
{
    if (*verifier == NULL)
        return;
    if ((*verifier)->secp256k1 != NULL)
        secp256k1_context_destroy((*verifier)->secp256k1);
    event_id_hasher_free(&(*verifier)->hasher);
    free(*verifier);
    *verifier = NULL;
}
