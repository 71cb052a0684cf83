/* whitelist: the Mostro instances that phones may register for.
 *
 * A JSON array of pubkeys, 64 hex characters each: the one built in (made from
 * contrib/trusted_mostro_pubkeys.json) or a file. Read at start, then only read. */
#ifndef MOSTRO_WHITELIST_H
#define MOSTRO_WHITELIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define WHITELIST_MAX_SIZE (1024 * 1024)

struct whitelist;

/* From text; NULL with one line on `errors` unless every entry is a pubkey. */
struct whitelist *whitelist_parse(const char *text, size_t len, FILE *errors);

/* From `path`, or, where that is NULL, the one built in. */
struct whitelist *whitelist_read(const char *path, FILE *errors);
void whitelist_free(struct whitelist **whitelist);

size_t whitelist_count(const struct whitelist *whitelist);

/* `pubkey` is 64 characters of lower-case hex. */
bool whitelist_has(const struct whitelist *whitelist, const char *pubkey);

#endif
