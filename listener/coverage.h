/* coverage: how far all that one relay has sent has been taken by Redis, and what is missing.
 *
 * For each kind: since when its subscription is live, up to which moment everything that it sent
 * has been taken, and the gap before that which is being caught up on. The least of these is the
 * relay's cursor in Redis (cursor:<relay>), which outlives this process and is shared with other
 * listeners: what one of them has taken need not be asked for by another. Until the cursor has been
 * learnt nothing is known to be missing; where there is none (a first start, or a Redis that lost
 * its data: another epoch), nothing is: events from before then wake nobody.
 *
 * A kind that the relay will not show us does not hold the cursor back.
 *
 * Pure. Moments are milliseconds of clock_monotonic_ms(), negative if before its start, but where
 * Redis's clock is named. */
#ifndef MOSTRO_COVERAGE_H
#define MOSTRO_COVERAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "catch_up.h"
#include "registry.h"
#include "settings.h"

struct coverage_kind {
    bool live;
    bool refused;
    bool open;         /* a gap from before the cursor was learnt begins where that says */
    int64_t live_ms;   /* since when it is live without a break, if it is */
    int64_t before_ms; /* to_ms before it became live */
    int64_t to_ms;     /* up to here, the gap aside; COVERAGE_NONE: nothing yet */
    struct catch_up catch_up;
};

#define COVERAGE_NONE INT64_MIN

struct coverage {
    bool known; /* the cursor has been learnt */
    char epoch[REGISTRY_EPOCH_LEN + 1];
    int64_t clock_ms;  /* Redis's Unix clock less ours */
    int64_t cursor_ms; /* as last learnt, or COVERAGE_NONE */
    int64_t from_ms;   /* since then without a break, counting the gap as had; Redis's clock */
    size_t count;
    struct coverage_kind kind[SETTINGS_MAX_KINDS];
};

void coverage_init(struct coverage *coverage, const struct settings_kinds *kinds);

/* The subscription of the kind at this index has become live. */
void coverage_live(struct coverage *coverage, size_t kind, int64_t now_ms);

/* It never was: what it showed was not all. */
void coverage_was_not_live(struct coverage *coverage, size_t kind);

/* It has been closed; `refused`: the relay will not show us such events. */
void coverage_closed(struct coverage *coverage, size_t kind, bool refused);

/* The connection is gone. */
void coverage_down(struct coverage *coverage);

/* All that the relay sent before this moment is in Redis. */
void coverage_taken(struct coverage *coverage, int64_t moment_ms);

/* Some that was received since the last coverage_taken() is not, and is gone. To be told once the
 * cursor is known and what else was received is in Redis. */
void coverage_lost(struct coverage *coverage, int64_t now_ms);

/* What to tell registry_cursor(), by Redis's clock; REGISTRY_NO_MOMENT for nothing. */
void coverage_report(const struct coverage *coverage, int64_t *from_ms, int64_t *to_ms);

/* What that answered. True: Redis had lost its data. */
bool coverage_learn(struct coverage *coverage, const struct registry_cursor *cursor,
                    int64_t now_ms);

/* Redis's clock in Unix seconds. */
int64_t coverage_unix_s(const struct coverage *coverage, int64_t now_ms);

#endif
