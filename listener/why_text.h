/* why_text: what is known of a trade pubkey, in words for who asks why its phone is not woken. */
#ifndef MOSTRO_WHY_TEXT_H
#define MOSTRO_WHY_TEXT_H

#include <stdio.h>

#include "registry/registry_why.h"
#include "settings/settings.h"

/* Writes a line for each thing that could be in the way, each beginning with what it is about. The
 * settings are those of the asking process: a listener on another machine may have others. */
void why_text_write(FILE *out, const struct registry_why *why, const struct settings *settings);

/* A moment of Unix milliseconds, in UTC. */
#define WHY_TEXT_MOMENT_SIZE 32
const char *why_text_moment(char out[WHY_TEXT_MOMENT_SIZE], int64_t unix_ms);

#endif
