#include "event_scan.h"

#include <string.h>

#include "base/hex.h"
#include "event_tags.h"

#define INTEGER_MAX_DIGITS 16 /* EVENT_MAX_CREATED_AT has as many */

/* `ok` turns false at the first deviation from the form, and stays so. */
struct scan {
    const char *at, *end;
    bool ok;
};

static bool skip(struct scan *scan, char c)
{
    if (!scan->ok || scan->at == scan->end || *scan->at != c)
        return false;
    scan->at++;
    return true;
}

static void expect(struct scan *scan, char c)
{
    scan->ok = skip(scan, c);
}

static void expect_text(struct scan *scan, const char *text, size_t len)
{
    scan->ok =
        scan->ok && (size_t)(scan->end - scan->at) >= len && memcmp(scan->at, text, len) == 0;
    if (scan->ok)
        scan->at += len;
}

/* A string without escapes; returned without its quotes. */
static struct relay_text scan_string(struct scan *scan)
{
    struct relay_text string;

    expect(scan, '"');
    string.text = scan->at;
    while (scan->ok && scan->at < scan->end && *scan->at >= ' ' && *scan->at <= '~' &&
           *scan->at != '"' && *scan->at != '\\')
        scan->at++;
    string.len = scan->ok ? (size_t)(scan->at - string.text) : 0;
    expect(scan, '"');
    return string;
}

static int64_t scan_integer(struct scan *scan, int64_t most)
{
    const char *begin = scan->at;
    int64_t number = 0;

    while (scan->ok && scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9' &&
           scan->at - begin < INTEGER_MAX_DIGITS)
        number = number * 10 + (*scan->at++ - '0');
    if (scan->at == begin || (*begin == '0' && scan->at - begin > 1) || number > most)
        scan->ok = false;
    return number;
}

/* In lower case. Returns the text. */
static const char *scan_hex(struct scan *scan, uint8_t *out, size_t size)
{
    struct relay_text string = scan_string(scan);

    scan->ok = scan->ok && hex_decode(out, size, string.text, string.len);
    for (size_t i = 0; scan->ok && i < string.len; i++)
        scan->ok = string.text[i] < 'A' || string.text[i] > 'F';
    return string.text;
}

/* One tag; the first two of its strings matter. */
static void scan_tag(struct scan *scan, struct event *event)
{
    struct relay_text name, value = {0};

    expect(scan, '[');
    if (skip(scan, ']'))
        return;
    name = scan_string(scan);
    if (skip(scan, ','))
        value = scan_string(scan);
    while (skip(scan, ','))
        (void)scan_string(scan);
    expect(scan, ']');
    if (scan->ok)
        event_tags_add(event, name.text, name.len, value.text, value.len);
}

static void scan_tags(struct scan *scan, struct event *event)
{
    size_t n = 0;

    event->tags = NULL;
    event->tags_text = scan->at;
    event_tags_begin(event);
    expect(scan, '[');
    if (!skip(scan, ']')) {
        do
            scan_tag(scan, event);
        while (++n <= EVENT_MAX_TAGS && skip(scan, ','));
        scan->ok = scan->ok && n <= EVENT_MAX_TAGS;
        expect(scan, ']');
    }
    event->tags_text_len = (size_t)(scan->at - event->tags_text);
}

enum member { ID, PUBKEY, CREATED_AT, KIND, TAGS, CONTENT, SIG, MEMBERS };

static enum member scan_name(struct scan *scan)
{
    static const char *const names[MEMBERS] = {
        [ID] = "id",     [PUBKEY] = "pubkey", [CREATED_AT] = "created_at",
        [KIND] = "kind", [TAGS] = "tags",     [CONTENT] = "content",
        [SIG] = "sig"};
    struct relay_text name = scan_string(scan);
    int i = 0;

    while (i < MEMBERS &&
           (strlen(names[i]) != name.len || memcmp(names[i], name.text, name.len) != 0))
        i++;
    expect(scan, ':');
    return (enum member)i;
}

static void scan_member(struct scan *scan, struct event *event, unsigned *had)
{
    enum member member = scan_name(scan);
    struct relay_text content;

    if (*had &
        1u << member) /* twice: JSON leaves its meaning open, and the other parser refuses it */
        scan->ok = false;
    *had |= 1u << member;
    switch (member) {
    case ID:
        (void)scan_hex(scan, event->id, sizeof event->id);
        break;
    case PUBKEY:
        event->pubkey_hex = scan_hex(scan, event->pubkey, sizeof event->pubkey);
        break;
    case SIG:
        (void)scan_hex(scan, event->signature, sizeof event->signature);
        break;
    case CREATED_AT:
        event->created_at = scan_integer(scan, EVENT_MAX_CREATED_AT);
        break;
    case KIND:
        event->kind = (uint32_t)scan_integer(scan, EVENT_MAX_KIND);
        break;
    case TAGS:
        scan_tags(scan, event);
        break;
    case CONTENT:
        content = scan_string(scan);
        event->content = content.text;
        event->content_len = content.len;
        break;
    case MEMBERS:
        scan->ok = false;
        break;
    }
}

bool event_scan(struct event *event, struct relay_text *subscription, const char *text, size_t len)
{
    static const char begin[] = "[\"EVENT\",";
    struct scan scan = {.at = text, .end = text + len, .ok = len <= RELAY_MESSAGE_MAX_SIZE};
    unsigned had = 0;

    expect_text(&scan, begin, sizeof begin - 1);
    *subscription = scan_string(&scan);
    expect_text(&scan, ",{", 2);
    do
        scan_member(&scan, event, &had);
    while (skip(&scan, ','));
    expect_text(&scan, "}]", 2);
    return scan.ok && scan.at == scan.end && had == (1u << MEMBERS) - 1;
}
