/* inbox: takes wakes out of Redis's stream into a wake_queue, without ever waiting for them.
 *
 * Entries stay in the stream for as long as it takes to read them and to take them, a batch at a
 * time, in one call: those whose pubkey is registered wait in this listener's set from then on, and
 * here in the queue; the others are done with. So the stream's length tells nothing of who is
 * registered, nor of what becomes of pushes.
 *
 * It reads under this listener's name, and so only once that is held: see inbox_restart(). Own
 * entries that were read and not taken come first, from the beginning, after every new connection:
 * an answer that was lost may have held some. What the set holds may be more than what the queue
 * knows, then, and inbox_wants_restore() says so. Both are read once more when Redis cannot be
 * answering a connection of before any longer: one that it did not see end is still given new
 * entries.
 *
 * Wakes are due by Redis's clock. It is read on every new connection before any entry, and then
 * once a minute. While Redis is away the inbox keeps trying. Reads with a registry of its own.
 * Times are milliseconds of clock_monotonic_ms(). Not thread-safe. */
#ifndef MOSTRO_INBOX_H
#define MOSTRO_INBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "wake_queue.h"

struct inbox;
struct registration;
struct settings;
struct stats;

/* Reads nothing yet. NULL when out of memory. */
struct inbox *inbox_new(const struct settings *settings, struct stats *stats);
void inbox_free(struct inbox **inbox);

/* Begins to read under the lease of this time, on a new connection: what the one before has been
 * answered may no longer be ours. Without `own`, own entries, and what waits, are left alone, on
 * this connection and all that follow: a process before this one may still be finishing them. */
void inbox_restart(struct inbox *inbox, int64_t since_us, bool own);

/* Does all that can be done now. Returns when to be called again, unless inbox_fd() becomes
 * readable before. Where the lease has lapsed it stops. */
int64_t inbox_run(struct inbox *inbox, struct wake_queue *queue, int64_t now_ms);

/* The registration of a pubkey, where inbox_run() has taken a wake that is due and read it in the
 * same call; else NULL. It may be removed at any time, so it is for a push that begins now: ask
 * after inbox_run(), then have all of them forgotten. */
const struct registration *inbox_registration(struct inbox *inbox, const struct trade_pubkey *key);
void inbox_forget_registrations(struct inbox *inbox);

/* Whether what waits in Redis is to be read into the queue, from the beginning (see restore.h);
 * asked once. */
bool inbox_wants_restore(struct inbox *inbox);

/* -1 while no answer is awaited. */
int inbox_fd(const struct inbox *inbox);

/* Stops reading. */
void inbox_stop(struct inbox *inbox);

#endif
