/* trace: which pubkeys an operator has traced (mostro-push-listener --trace), for the log alone.
 *
 * Where none is, asking costs one read of a number. Steps that the log tells are also kept here
 * until somebody takes them to where the operator can ask for them. Thread-safe. */
#ifndef MOSTRO_TRACE_H
#define MOSTRO_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/trade_pubkey.h"
#include "log.h"

#define TRACE_KEYS_MAX  8
#define TRACE_STEPS_MAX 32 /* that are kept; of more at once the first are */
#define TRACE_TEXT_SIZE 160

struct traced {
    struct trade_pubkey key;
    struct log_name name; /* by which the log calls it */
    int64_t until_ms;     /* clock_monotonic_ms() */
};

/* From now on these n (up to TRACE_KEYS_MAX) are traced, and no others. */
void trace_set(const struct traced *traced, size_t n);

/* Sets *name where this pubkey is traced. */
bool trace_find(const struct trade_pubkey *key, struct log_name *name);

struct trace_step {
    char name[sizeof((struct log_name *)0)->text];
    int64_t at_ms;              /* clock_monotonic_ms() */
    char text[TRACE_TEXT_SIZE]; /* cut where it is longer */
};

void trace_keep(const struct log_name *name, const char *text);

/* Moves what is kept to `steps`; how many. */
size_t trace_take(struct trace_step steps[TRACE_STEPS_MAX]);

#endif
