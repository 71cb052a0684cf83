#include "relay_message.h"

#include <string.h>

/* Depth is counted first, because jansson builds the whole tree before it shows how deep it is. */
static bool is_shallow(const char *text, size_t len)
{
    bool in_string = false;
    int depth = 0;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > RELAY_MESSAGE_MAX_DEPTH)
                return false;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return true;
}

static bool text_at(const json_t *frame, size_t index, struct relay_text *out)
{
    const json_t *value = json_array_get(frame, index);

    if (!json_is_string(value))
        return false;
    out->text = json_string_value(value);
    out->len = json_string_length(value);
    return true;
}

static bool is_named(const struct relay_text *name, const char *wanted)
{
    return name->len == strlen(wanted) && memcmp(name->text, wanted, name->len) == 0;
}

static bool read_event(struct relay_message *message)
{
    message->type = RELAY_MESSAGE_EVENT;
    message->event = json_array_get(message->frame, 2);
    return text_at(message->frame, 1, &message->subscription) && json_is_object(message->event);
}

/* Some relays leave the reason out. strfry puts a word before the reason's machine-readable
 * beginning (NIP-01). */
static void read_reason(struct relay_message *message, size_t index)
{
    static const char before[] = "ERROR: ";
    size_t len = sizeof before - 1;

    if (text_at(message->frame, index, &message->text) && message->text.len >= len &&
        memcmp(message->text.text, before, len) == 0) {
        message->text.text += len;
        message->text.len -= len;
    }
}

static bool read_closed(struct relay_message *message)
{
    message->type = RELAY_MESSAGE_CLOSED;
    read_reason(message, 2);
    return text_at(message->frame, 1, &message->subscription);
}

static bool read_ok(struct relay_message *message)
{
    const json_t *accepted = json_array_get(message->frame, 2);

    message->type = RELAY_MESSAGE_OK;
    message->accepted = json_is_true(accepted);
    read_reason(message, 3);
    return json_is_boolean(accepted) && text_at(message->frame, 1, &message->event_id);
}

static bool read_notice(struct relay_message *message)
{
    message->type = RELAY_MESSAGE_NOTICE;
    read_reason(message, 1);
    return json_is_string(json_array_get(message->frame, 1));
}

static bool read_frame(struct relay_message *message)
{
    struct relay_text name;

    if (!text_at(message->frame, 0, &name)) /* also where the frame is no array */
        return false;
    if (is_named(&name, "EVENT"))
        return read_event(message);
    if (is_named(&name, "CLOSED"))
        return read_closed(message);
    if (is_named(&name, "OK"))
        return read_ok(message);
    if (is_named(&name, "EOSE")) {
        message->type = RELAY_MESSAGE_EOSE;
        return text_at(message->frame, 1, &message->subscription);
    }
    if (is_named(&name, "NOTICE"))
        return read_notice(message);
    message->type = RELAY_MESSAGE_AUTH;
    return is_named(&name, "AUTH") && text_at(message->frame, 1, &message->text);
}

bool relay_message_parse(struct relay_message *message, const char *text, size_t len)
{
    memset(message, 0, sizeof *message);
    message->subscription.text = message->text.text = message->event_id.text = "";
    if (len > RELAY_MESSAGE_MAX_SIZE || !is_shallow(text, len))
        return false;
    message->frame = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (message->frame != NULL && read_frame(message))
        return true;
    relay_message_clear(message);
    return false;
}

void relay_message_clear(struct relay_message *message)
{
    json_decref(message->frame);
    message->frame = NULL;
}
