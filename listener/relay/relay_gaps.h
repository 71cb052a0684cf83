/* relay_gaps: how far all that one relay has sent has been taken by Redis, and what is missing.
 *
 * For each kind: since when its subscription is live, up to which moment everything that it sent
 * has been taken, and where the gap before that begins which is being caught up on. That far goes
 * the kind's cursor in Redis (cursor:<relay>:<kind>), which outlives this process and is shared
 * with other listeners: what one of them has taken need not be asked for by another.
 *
 * Nothing is known to be missing before the cursors have been learnt. Where there is none, on a
 * first start or after Redis has lost its data (another epoch), all begins at that moment, and of
 * the gap until the relay is heard only what is dated after it is asked for. Gift wraps are dated
 * back, so those of before that moment cannot be told from those after it: they may wake who has
 * registered anew.
 *
 * Pure. Moments are milliseconds of Redis's Unix clock; `now_ms` is clock_monotonic_ms(). Redis's
 * clock and ours may differ, and events are dated by neither: a gap begins by the earlier of the
 * two, and ends by the later. */
#ifndef MOSTRO_RELAY_GAPS_H
#define MOSTRO_RELAY_GAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nostr/catch_up.h"
#include "registry/registry_events.h"
#include "settings/settings.h"

#define RELAY_GAPS_NONE REGISTRY_NO_MOMENT

/* A larger difference between two readings of Redis's clock means that a clock was set or the
 * machine slept. */
#define RELAY_GAPS_JUMP_MS 5000

/* A shorter hole before the first connection is not a gap. */
#define RELAY_GAPS_FIRST_MS 5000

/* Generous bound on the error of one clock reading. */
#define RELAY_GAPS_SURE_MS 2000

struct relay_gaps;

/* NULL when out of memory. */
struct relay_gaps *relay_gaps_new(const struct settings_kinds *kinds);
void relay_gaps_free(struct relay_gaps **gaps);

/* The subscription of the kind at this index has become live. */
void relay_gaps_live(struct relay_gaps *gaps, size_t kind, int64_t now_ms);

/* The relay had been withholding events: undo relay_gaps_live(). */
void relay_gaps_was_not_live(struct relay_gaps *gaps, size_t kind);

/* It has been closed. */
void relay_gaps_closed(struct relay_gaps *gaps, size_t kind);

/* The connection is gone. */
void relay_gaps_down(struct relay_gaps *gaps);

/* All that the relay sent before `heard_ms` (of our clock) is in Redis. */
void relay_gaps_taken(struct relay_gaps *gaps, int64_t heard_ms);

/* Some that was received since the last relay_gaps_taken() is not, and is gone. To be told when
 * the gaps are sure, and what else was received is in Redis. */
void relay_gaps_lost(struct relay_gaps *gaps, int64_t now_ms);

/* What to tell registry_cursors(), `count` of them. To be asked while nothing that was received
 * waits for Redis, else with `nothing`. */
void relay_gaps_report(const struct relay_gaps *gaps, bool nothing,
                       struct registry_cursor cursors[SETTINGS_MAX_KINDS]);

/* What that answered; `now_ms` is read after it. True: Redis had lost its data. */
bool relay_gaps_learn(struct relay_gaps *gaps, const struct registry_now *now,
                      const struct registry_cursor cursors[SETTINGS_MAX_KINDS], int64_t now_ms);

/* It did not answer. */
void relay_gaps_unsure(struct relay_gaps *gaps);

/* Whether the cursors have been learnt, and the epoch is still theirs as far as the last call told:
 * else too little is known to ask for anything. */
bool relay_gaps_is_sure(const struct relay_gaps *gaps);

/* The epoch of the data that the cursors are of, "" at first; valid until another is learnt. */
const char *relay_gaps_epoch(const struct relay_gaps *gaps);

/* Since when the kind's subscription is live without a break, if it is. */
int64_t relay_gaps_live_since_ms(const struct relay_gaps *gaps, size_t kind);

/* What is to be asked for of the kind's gap. */
struct catch_up *relay_gaps_catch_up(struct relay_gaps *gaps, size_t kind);

/* Whether something is, and the subscription that begins after it is live. */
bool relay_gaps_wants_page(const struct relay_gaps *gaps, size_t kind);

/* Our Unix clock, to be told whenever it may have been set. */
void relay_gaps_our_clock(struct relay_gaps *gaps, int64_t unix_ms, int64_t now_ms);

/* Unix seconds of Redis's clock or of ours, whichever is later. */
int64_t relay_gaps_latest_unix_s(const struct relay_gaps *gaps, int64_t now_ms);

#endif
