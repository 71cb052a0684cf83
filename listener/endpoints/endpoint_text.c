#include "endpoint_text.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/hash_table.h"
#include "base/url.h"
#include "device/endpoint_url.h"
#include "endpoint_shares.h"

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

#define MEMBER_SIZE (ENDPOINT_URL_MAX + 256)
#define BEGIN       "{"
#define END         "\n}\n"

struct member {
    struct endpoint_shares_item share; /* first */
    struct hash_table_item item;
    TAILQ_ENTRY(member) next;
    struct device_id id;
    char text[]; /* share.size bytes */
};

struct endpoint_text {
    char *whole; /* when it has been ended */
    size_t len, max;
    struct hash_table *by_id;
    struct endpoint_shares *shares;
    TAILQ_HEAD(members, member) members;
    size_t dropped;
};

struct endpoint_text *endpoint_text_new(size_t max)
{
    struct endpoint_text *text = calloc(1, sizeof *text);

    if (text == NULL)
        return NULL;
    TAILQ_INIT(&text->members);
    text->max = max;
    text->len = strlen(BEGIN) + strlen(END);
    text->by_id = hash_table_new();
    text->shares = endpoint_shares_new();
    if (text->by_id == NULL || text->shares == NULL)
        endpoint_text_free(&text);
    return text;
}

/* One that has no share any more. */
static void drop(struct endpoint_text *text, struct member *member)
{
    TAILQ_REMOVE(&text->members, member, next);
    hash_table_remove(text->by_id, &member->item);
    text->len -= member->share.size + (TAILQ_EMPTY(&text->members) ? 0 : strlen(","));
    explicit_bzero(member, sizeof *member + member->share.size);
    free(member);
}

void endpoint_text_free(struct endpoint_text **text)
{
    struct endpoint_shares_item *item;

    if (*text == NULL)
        return;
    while ((*text)->shares != NULL && (item = endpoint_shares_shift((*text)->shares)) != NULL)
        drop(*text, (struct member *)item);
    endpoint_shares_free(&(*text)->shares);
    hash_table_free(&(*text)->by_id);
    if ((*text)->whole != NULL)
        explicit_bzero((*text)->whole, strlen((*text)->whole));
    free((*text)->whole);
    free(*text);
    *text = NULL;
}

/* The URL's characters, once it is valid, need no escapes. */
static size_t write_member(char out[MEMBER_SIZE], const struct registry_endpoint *endpoint)
{
    return (size_t)snprintf(out, MEMBER_SIZE,
                            "\n\"%s\":{\"device_id\":\"%s\",\"endpoint_url\":\"%s\","
                            "\"registered_at\":%" PRId64 "%s}",
                            endpoint->id.hex, endpoint->id.hex, endpoint->url,
                            endpoint->registered_at,
                            endpoint->encrypted ? ",\"encrypted\":true" : "");
}

static struct member *member_new(const struct registry_endpoint *endpoint)
{
    char written[MEMBER_SIZE];
    size_t len = write_member(written, endpoint);
    struct member *member = calloc(1, sizeof *member + len);

    if (member != NULL) {
        memcpy(member->text, written, len);
        member->share.size = len;
        member->id = endpoint->id;
        member->item.key = member->id.hex;
    }
    explicit_bzero(written, sizeof written);
    return member;
}

enum endpoint_text_added endpoint_text_add(struct endpoint_text *text,
                                           const struct registry_endpoint *endpoint)
{
    struct member *member;
    struct url url;

    if (hash_table_find(text->by_id, endpoint->id.hex) != NULL ||
        !endpoint_url_is_valid(endpoint->url, strlen(endpoint->url), true) ||
        !endpoint_url_parse(&url, endpoint->url, strlen(endpoint->url), true))
        return ENDPOINT_TEXT_LEFT_OUT;
    member = member_new(endpoint);
    if (member == NULL || !endpoint_shares_add(text->shares, &member->share, &url,
                                               member->share.size, endpoint->registered_at)) {
        free(member);
        return ENDPOINT_TEXT_NO_MEMORY;
    }
    text->len += member->share.size + (TAILQ_EMPTY(&text->members) ? 0 : strlen(","));
    TAILQ_INSERT_TAIL(&text->members, member, next);
    hash_table_add(text->by_id, &member->item);
    while (text->len > text->max && !TAILQ_EMPTY(&text->members)) {
        drop(text, (struct member *)endpoint_shares_shift(text->shares));
        text->dropped++;
    }
    return ENDPOINT_TEXT_ADDED;
}

size_t endpoint_text_dropped(const struct endpoint_text *text)
{
    return text->dropped;
}

static char *append(char *at, const struct member *member, bool first)
{
    if (!first)
        *at++ = ',';
    return (char *)mempcpy(at, member->text, member->share.size);
}

const char *endpoint_text_end(struct endpoint_text *text, size_t *len)
{
    const struct member *first = TAILQ_FIRST(&text->members);
    char *at = malloc(text->len + 1);

    if (at == NULL)
        return NULL;
    text->whole = at;
    at = stpcpy(at, BEGIN);
    for (const struct member *member = first; member != NULL; member = TAILQ_NEXT(member, next))
        at = append(at, member, member == first);
    (void)strcpy(at, END);
    *len = text->len;
    return text->whole;
}
