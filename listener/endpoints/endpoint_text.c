#include "endpoint_text.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash_table.h"
#include "device/endpoint_url.h"

/* ---- Reading --------------------------------------------------------------------------------- */

struct reader {
    const char *at, *end;
};

static void skip_blanks(struct reader *reader)
{
    while (reader->at < reader->end && memchr(" \t\r\n", *reader->at, 4) != NULL)
        reader->at++;
}

static bool skip(struct reader *reader, char what)
{
    skip_blanks(reader);
    if (reader->at == reader->end || *reader->at != what)
        return false;
    reader->at++;
    return true;
}

/* The next value, or NULL where there is none, or it is too large. */
static json_t *next_value(struct reader *reader)
{
    size_t left = (size_t)(reader->end - reader->at);
    json_error_t error;
    json_t *json =
        json_loadb(reader->at, left < ENDPOINT_TEXT_VALUE_MAX ? left : ENDPOINT_TEXT_VALUE_MAX,
                   JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, &error);

    if (json != NULL)
        reader->at += error.position; /* set on success, too: how much was read */
    return json;
}

static bool make_endpoint(const json_t *json, bool allow_private,
                          struct registry_endpoint *endpoint)
{
    const json_t *url = json_object_get(json, "endpoint_url");
    const json_t *registered_at = json_object_get(json, "registered_at");
    size_t len = json_string_length(url);

    if (len == 0 || len >= sizeof endpoint->url ||
        !endpoint_url_is_valid(json_string_value(url), len, allow_private))
        return false;
    memcpy(endpoint->url, json_string_value(url), len + 1);
    endpoint->registered_at = REGISTRY_NO_MOMENT;
    if (json_is_integer(registered_at) && json_integer_value(registered_at) >= 0)
        endpoint->registered_at = json_integer_value(registered_at);
    endpoint->encrypted = json_is_true(json_object_get(json, "encrypted"));
    return device_id_of(&endpoint->id, endpoint->url);
}

/* A name, a colon, a value. */
static enum endpoint_text_result read_member(struct reader *reader, bool allow_private,
                                             registry_endpoint_fn *take, void *arg, size_t *skipped)
{
    enum endpoint_text_result result = ENDPOINT_TEXT_DAMAGED;
    struct registry_endpoint endpoint;
    json_t *name = next_value(reader);
    json_t *value = NULL;

    if (!json_is_string(name) || !skip(reader, ':') || (value = next_value(reader)) == NULL)
        goto out;
    result = ENDPOINT_TEXT_OK;
    if (!make_endpoint(value, allow_private, &endpoint))
        ++*skipped;
    else if (!take(&endpoint, arg))
        result = ENDPOINT_TEXT_STOPPED;
    explicit_bzero(&endpoint, sizeof endpoint);

out:
    json_decref(name);
    json_decref(value);
    return result;
}

enum endpoint_text_result endpoint_text_read(const char *text, size_t len, bool allow_private,
                                             registry_endpoint_fn *take, void *arg, size_t *skipped)
{
    struct reader reader = {.at = text, .end = text + len};
    bool more;

    *skipped = 0;
    if (!skip(&reader, '{'))
        return ENDPOINT_TEXT_DAMAGED;
    more = !skip(&reader, '}');
    while (more) {
        enum endpoint_text_result result = read_member(&reader, allow_private, take, arg, skipped);

        if (result != ENDPOINT_TEXT_OK)
            return result;
        more = skip(&reader, ',');
        if (!more && !skip(&reader, '}'))
            return ENDPOINT_TEXT_DAMAGED;
    }
    skip_blanks(&reader);
    return reader.at == reader.end ? ENDPOINT_TEXT_OK : ENDPOINT_TEXT_DAMAGED;
}

/* ---- Composing ------------------------------------------------------------------------------- */

#define FIRST_SIZE  4096
#define MEMBER_SIZE (ENDPOINT_URL_MAX + 256)
#define END_LEN     3 /* a line feed, a brace, a line feed */

struct member {
    struct hash_table_item item; /* first */
    struct device_id id;
};

struct endpoint_text {
    char *text;
    size_t len, size, max;
    struct hash_table *members; /* those that are in it */
};

struct endpoint_text *endpoint_text_new(size_t max)
{
    struct endpoint_text *text = calloc(1, sizeof *text);

    if (text == NULL)
        return NULL;
    text->max = max;
    text->size = FIRST_SIZE;
    text->text = malloc(text->size);
    text->members = hash_table_new();
    if (text->text == NULL || text->members == NULL)
        endpoint_text_free(&text);
    else
        text->text[text->len++] = '{';
    return text;
}

void endpoint_text_free(struct endpoint_text **text)
{
    struct hash_table_item *item;

    if (*text == NULL)
        return;
    while ((*text)->members != NULL && (item = hash_table_any((*text)->members)) != NULL) {
        hash_table_remove((*text)->members, item);
        free(item);
    }
    hash_table_free(&(*text)->members);
    if ((*text)->text != NULL)
        explicit_bzero((*text)->text, (*text)->len);
    free((*text)->text);
    free(*text);
    *text = NULL;
}

/* Not by realloc(), which would leave a copy behind. */
static bool reserve(struct endpoint_text *text, size_t more)
{
    size_t size = text->size;
    char *larger;

    while (size - text->len < more)
        size *= 2;
    if (size == text->size)
        return true;
    larger = malloc(size);
    if (larger == NULL)
        return false;
    memcpy(larger, text->text, text->len);
    explicit_bzero(text->text, text->len);
    free(text->text);
    text->text = larger;
    text->size = size;
    return true;
}

/* The URL's characters, once it is valid, need no escapes. */
static size_t write_member(char out[MEMBER_SIZE], const struct registry_endpoint *endpoint,
                           bool first)
{
    return (size_t)snprintf(out, MEMBER_SIZE,
                            "%s\n\"%s\":{\"device_id\":\"%s\",\"endpoint_url\":\"%s\","
                            "\"registered_at\":%" PRId64 "%s}",
                            first ? "" : ",", endpoint->id.hex, endpoint->id.hex, endpoint->url,
                            endpoint->registered_at,
                            endpoint->encrypted ? ",\"encrypted\":true" : "");
}

enum endpoint_text_added endpoint_text_add(struct endpoint_text *text,
                                           const struct registry_endpoint *endpoint)
{
    enum endpoint_text_added result = ENDPOINT_TEXT_NO_MEMORY;
    char written[MEMBER_SIZE];
    struct member *member;
    size_t len;

    if (hash_table_find(text->members, endpoint->id.hex) != NULL ||
        !endpoint_url_is_valid(endpoint->url, strlen(endpoint->url), true))
        return ENDPOINT_TEXT_LEFT_OUT;
    len = write_member(written, endpoint, hash_table_count(text->members) == 0);
    if (text->len + len + END_LEN > text->max) {
        result = ENDPOINT_TEXT_FULL;
    } else if (reserve(text, len + END_LEN) && (member = calloc(1, sizeof *member)) != NULL) {
        memcpy(text->text + text->len, written, len);
        text->len += len;
        member->id = endpoint->id;
        member->item.key = member->id.hex;
        hash_table_add(text->members, &member->item);
        result = ENDPOINT_TEXT_ADDED;
    }
    explicit_bzero(written, sizeof written);
    return result;
}

const char *endpoint_text_end(struct endpoint_text *text, size_t *len)
{
    memcpy(text->text + text->len, "\n}\n", END_LEN);
    text->len += END_LEN;
    *len = text->len;
    return text->text;
}
