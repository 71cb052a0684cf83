/* relay_gaps: how far Redis has taken everything that one relay has sent, and what is missing.
 *
 * For each kind this keeps since when the subscription is live, up to which moment everything that
 * it sent has been taken, and where the gap before that begins, which is being caught up on. The
 * kind's cursor in Redis (cursor:<relay>:<kind>) holds the same moment; it outlives this process
 * and is shared with other listeners: what one of them has taken need not be asked for by another.
 *
 * Before the cursors have been learnt, nothing is known to be missing. Where there is none, on a
 * first start or after Redis has lost its data (another epoch), our data begin at that moment: of
 * the gap until the relay is heard, only events dated after it are asked for. Gift wraps are dated
 * back, so older ones cannot be told from newer ones, and may wake phones that have registered
 * since.
 *
 * Where another Redis has become the primary, it may be without the last that was taken
 * (relay_gaps_doubt()). Its data are those of the one before up to some moment, and its cursor is
 * among them: the gap begins there, and at the latest RELAY_GAPS_DOUBT_MS before the change was
 * seen, since another listener may have moved that cursor before it saw the change.
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

/* Longer than a Redis that is no primary any more goes on taking events from a listener that
 * another one still hears: until it is known to be away (down-after-milliseconds, 30 s by default),
 * another is elected (2 s) and this one is told to follow that (11 s were seen). */
#define RELAY_GAPS_DOUBT_MS 60000

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

/* Some events that were received since the last relay_gaps_taken() are lost. Call it while the gaps
 * are sure, and all other received events are in Redis. */
void relay_gaps_lost(struct relay_gaps *gaps, int64_t now_ms);

/* Another Redis has become the primary: what of the last events it has is known after the next
 * relay_gaps_learn(), and nothing is reported until then. */
void relay_gaps_doubt(struct relay_gaps *gaps);

/* Writes the arguments of registry_cursors(), `count` of them. `nothing`: some received events
 * still wait for Redis, so nothing is reported. */
void relay_gaps_report(const struct relay_gaps *gaps, bool nothing,
                       struct registry_cursor cursors[SETTINGS_MAX_KINDS]);

/* Takes what registry_cursors() answered; `now_ms` is read after it. True: Redis had lost its data.
 */
bool relay_gaps_learn(struct relay_gaps *gaps, const struct registry_now *now,
                      const struct registry_cursor cursors[SETTINGS_MAX_KINDS], int64_t now_ms);

/* It did not answer. */
void relay_gaps_unsure(struct relay_gaps *gaps);

/* Whether the cursors have been learnt, and the last call found the same epoch. Otherwise too
 * little is known to ask for anything. */
bool relay_gaps_is_sure(const struct relay_gaps *gaps);

/* The epoch of the data that the cursors belong to, "" at first; valid until another is learnt. */
const char *relay_gaps_epoch(const struct relay_gaps *gaps);

/* Since when the kind's subscription is live without a break, if it is. */
int64_t relay_gaps_live_since_ms(const struct relay_gaps *gaps, size_t kind);

/* The stored events that are to be asked for, to fill the kind's gap. */
struct catch_up *relay_gaps_catch_up(struct relay_gaps *gaps, size_t kind);

/* Whether there are any, and the subscription that begins after the gap is live. */
bool relay_gaps_wants_page(const struct relay_gaps *gaps, size_t kind);

/* Takes our Unix clock; call it whenever that may have been set. */
void relay_gaps_our_clock(struct relay_gaps *gaps, int64_t unix_ms, int64_t now_ms);

/* Unix seconds of Redis's clock or of ours, whichever is later. */
int64_t relay_gaps_latest_unix_s(const struct relay_gaps *gaps, int64_t now_ms);

#endif
