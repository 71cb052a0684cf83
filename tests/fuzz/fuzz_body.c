/* JSON bodies of registrations, checked row by row. */
#include "body.h"
#include "fuzz_input.h"
#include "registration_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct registration_rules rules = {.allow_private_endpoints = size % 2 == 0};
    struct registration registration;
    struct response response = {0};
    struct trade_pubkey key;
    json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);

    if (json_is_object(json)) {
        if (registration_body_check(json, &rules, &key, &registration, &response)) {
            if (registration.token[0] == '\0' || strlen(key.hex) != TRADE_PUBKEY_LEN)
                abort();
        } else if (response.status < 400 || response.body == NULL) {
            abort();
        }
    }
    json_decref(json);
    response_clear(&response);
    return 0;
}
