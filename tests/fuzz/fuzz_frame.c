/* Frames from relays, through to the verification of the event or the answer to the challenge. */
#include "fuzz_input.h"
#include "log/log.h"
#include "nostr/event.h"
#include "nostr/event_id.h"
#include "nostr/event_scan.h"
#include "nostr/relay_auth.h"
#include "nostr/relay_message.h"

#define NOW 1785600000

static struct event_verifier *verifier;
static struct event_id_hasher *hasher;
static struct relay_auth *auth;

static void set_up(void)
{
    static const uint8_t key[RELAY_AUTH_KEY_SIZE] = {[31] = 3};

    verifier = event_verifier_new();
    hasher = event_id_hasher_new();
    auth = relay_auth_new("wss://relay.example", key);
}

static void check_address(const struct trade_pubkey *address)
{
    if (strlen(address->hex) != TRADE_PUBKEY_LEN ||
        strspn(address->hex, "0123456789abcdef") != TRADE_PUBKEY_LEN)
        abort();
}

static void take_event(const json_t *json)
{
    struct event event;
    enum event_result result;

    if (event_read(&event, json) != EVENT_OK)
        return;
    if (event.addressed)
        check_address(&event.trade_pubkey);
    result = event_verify(verifier, &event);
    /* What is signed is looked at, too, where only the id was wrong. */
    if (result == EVENT_WRONG_ID && event_id_compute(hasher, &event, event.id) &&
        event_verify(verifier, &event) == EVENT_WRONG_ID)
        abort();
}

/* An answer is a frame, too, its event is sound, and what the relay says of it is known. */
static void take_challenge(const struct relay_text *challenge)
{
    static char frame[RELAY_AUTH_FRAME_SIZE];
    struct event event;
    json_t *json, *id;
    size_t len;

    if (!relay_auth_challenge(auth, challenge->text, challenge->len))
        return;
    len = relay_auth_next_frame(auth, NOW, frame);
    json = json_loadb(frame, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (event_read(&event, json_array_get(json, 1)) != EVENT_OK ||
        event_verify(verifier, &event) != EVENT_UNADDRESSED)
        abort();
    id = json_object_get(json_array_get(json, 1), "id");
    if (!relay_auth_is_mine(auth, json_string_value(id), json_string_length(id)))
        abort();
    json_decref(json);
}

/* What is read without a tree is what the tree says. */
static void compare(const struct relay_message *message, const struct event *event,
                    const struct relay_text *subscription)
{
    uint8_t one[EVENT_ID_SIZE], other[EVENT_ID_SIZE];
    struct event read;

    if (message->type != RELAY_MESSAGE_EVENT || event_read(&read, message->event) != EVENT_OK ||
        subscription->len != message->subscription.len ||
        memcmp(subscription->text, message->subscription.text, subscription->len) != 0)
        abort();
    if (memcmp(event->id, read.id, sizeof read.id) != 0 ||
        memcmp(event->pubkey, read.pubkey, sizeof read.pubkey) != 0 ||
        memcmp(event->signature, read.signature, sizeof read.signature) != 0 ||
        event->created_at != read.created_at || event->kind != read.kind ||
        event->addressed != read.addressed)
        abort();
    if (event->addressed && strcmp(event->trade_pubkey.hex, read.trade_pubkey.hex) != 0)
        abort();
    if (!event_id_compute(hasher, event, one) || !event_id_compute(hasher, &read, other) ||
        memcmp(one, other, sizeof one) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct relay_message message;
    struct relay_text subscription;
    struct event event;
    char redacted[LOG_REDACTED_SIZE];
    bool scanned;

    if (verifier == NULL)
        set_up();
    relay_auth_begin(auth);
    scanned = event_scan(&event, &subscription, (const char *)data, size);
    if (!relay_message_parse(&message, (const char *)data, size)) {
        if (scanned)
            abort();
        return 0;
    }
    if (scanned)
        compare(&message, &event, &subscription);
    (void)log_redact(redacted, message.text.text, message.text.len);
    if (message.type == RELAY_MESSAGE_EVENT)
        take_event(message.event);
    else if (message.type == RELAY_MESSAGE_AUTH)
        take_challenge(&message.text);
    else if (relay_auth_is_mine(auth, message.event_id.text, message.event_id.len))
        abort();
    relay_message_clear(&message);
    return 0;
}
