/* json_members: the strings that a JSON object from a stranger holds under known names.
 *
 * Accepts RFC 8259 and nothing else, without a name twice in one object (at any depth) and without
 * NUL. Other members are checked for their form alone: a number may be of any size, a string may
 * hold half a surrogate pair, and nesting goes as deep as the text is long. A parser that builds
 * values refuses those. Nothing here recurses, and the memory taken is eight times the text's.
 * Pure, thread-safe. */
#ifndef MOSTRO_JSON_MEMBERS_H
#define MOSTRO_JSON_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>

#define JSON_MEMBERS_TEXT_MAX (1024 * 1024)

/* UTF-8 with a NUL behind it, which is not counted; "" where the member is absent or null. */
struct json_text {
    const char *text;
    size_t len;
};

struct json_member {
    const char *name;
    struct json_text *value;
};

/* Reads the members of the object that `text` is. The values point into `text`, in which escapes
 * are decoded in place: it is no JSON afterwards, and the caller wipes it. False, with all values
 * "", for what is malformed, for a known member that is neither a string of whole characters nor
 * null, for a longer text, and when out of memory. */
bool json_members_read(char *text, size_t len, const struct json_member *members, size_t count)
    __attribute__((warn_unused_result));

#endif
