/* trace: which pubkeys an operator has traced (mostro-push-listener --trace), for the log alone.
 *
 * Where none is, asking costs one read of a number. Steps that the log tells are also kept here
 * until somebody takes them to where the operator can ask for them.
 *
 * Strangers can cause steps at will: whoever names a pubkey in an event, be it forged. So of each
 * pubkey's steps of one kind, those that one line of code tells, a few a minute are told and kept,
 * and the number of the rest: they neither fill the log nor push out steps of other kinds.
 * Thread-safe. */
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

#define TRACE_KIND_MOST 8 /* of a kind in so many ms from the first of them */
#define TRACE_KIND_MS   60000
#define TRACE_KINDS_MAX (32 * TRACE_KEYS_MAX) /* that are counted: of more the oldest is not */
#define TRACE_MORE_SIZE 256

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

/* Keeps a step, or counts it alone; whether it is to be told. `kind` is its format, which is
 * compared by address; `now_ms` is clock_monotonic_ms(). */
bool trace_keep(const struct log_name *name, const char *kind, const char *text, int64_t now_ms);

/* Writes how many steps of a kind were only counted, once their time is over, as a step to be told.
 * False: there is no such kind. */
bool trace_take_more(char text[TRACE_MORE_SIZE], int64_t now_ms);

/* Moves what is kept to `steps`; how many. */
size_t trace_take(struct trace_step steps[TRACE_STEPS_MAX]);

#endif
