/* relay_document: what a relay says of itself (NIP-11), in words for an operator. The document is a
 * stranger's text. */
#ifndef MOSTRO_RELAY_DOCUMENT_H
#define MOSTRO_RELAY_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#define RELAY_DOCUMENT_SIZE 500

struct relay_url;

/* Fetches it, within 5 s. False: `words` says why there is none. */
bool relay_document_fetch(const struct relay_url *url, const char *ca_file,
                          char words[RELAY_DOCUMENT_SIZE]);

/* Its software, and those of its limits that may concern us. False where it is no JSON object.
 * Pure. */
bool relay_document_read(const char *json, size_t len, char words[RELAY_DOCUMENT_SIZE]);

#endif
