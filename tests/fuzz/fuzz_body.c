/* JSON bodies of registrations: read beside jansson, which must agree wherever it can hold what is
 * there, and checked row by row. */
#include <jansson.h>

#include "device/token_crypto.h"
#include "fuzz_input.h"
#include "json_members.h"
#include "registration_body.h"
#include "response.h"
#include "whitelist.h"

#define MEMBERS 2

/* Whether jansson finds in an object what was read. */
static bool agrees(const json_t *json, const struct json_member *member)
{
    const json_t *value = json_object_get(json, member->name);
    const char *text = json_is_string(value) ? json_string_value(value) : "";

    return strlen(text) == member->value->len && strcmp(text, member->value->text) == 0;
}

static bool is_text(const json_t *json, const char *name)
{
    const json_t *value = json_object_get(json, name);

    return value == NULL || json_is_null(value) || json_is_string(value);
}

/* What jansson cannot hold and is JSON all the same. */
static bool is_beyond_jansson(const json_error_t *error)
{
    return json_error_code(error) == json_error_numeric_overflow ||
           json_error_code(error) == json_error_stack_overflow ||
           strstr(error->text, "invalid Unicode") != NULL;
}

static void check_members(const uint8_t *data, size_t size)
{
    struct json_text values[MEMBERS];
    const struct json_member members[MEMBERS] = {{"trade_pubkey", &values[0]},
                                                 {"token", &values[1]}};
    char *text = fuzz_text(data, size);
    json_error_t error;
    json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &error);
    bool ok = json_members_read(text, size, members, MEMBERS);

    if (size > 0 && memchr(data, '\0', size) != NULL) {
        if (ok) /* jansson 2.14 passes over a NUL right after a number */
            abort();
    } else if (json_is_object(json)) {
        if (ok != (is_text(json, members[0].name) && is_text(json, members[1].name)))
            abort();
        for (size_t i = 0; ok && i < MEMBERS; i++)
            if (!agrees(json, &members[i]))
                abort();
    } else if (ok && (json != NULL || !is_beyond_jansson(&error))) {
        abort();
    }
    json_decref(json);
    free(text);
}

static void check_registration(const uint8_t *data, size_t size)
{
    const struct registration_rules rules = {.allow_private_endpoints = size % 2 == 0};
    struct registration registration;
    struct response response = {0};
    struct trade_pubkey key;
    char *text = fuzz_text(data, size);

    if (registration_body_check(text, size, &rules, &key, &registration, &response)) {
        if (registration.token[0] == '\0' || strlen(key.hex) != TRADE_PUBKEY_LEN)
            abort();
    } else if (response.status < 400 || response.body == NULL) {
        abort();
    }
    response_clear(&response);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_members(data, size);
    check_registration(data, size);
    return 0;
}
