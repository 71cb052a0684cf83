/* wake_reader: brings wakes from Redis's stream into a wake_queue, without ever waiting for them.
 *
 * It reads under this listener's name, and so only once that is held: see wake_reader_restart().
 *
 * Own unacknowledged entries are read first, from the beginning, after every new connection too: a
 * reply that was lost may have held some. They are read once more when Redis cannot be answering a
 * connection of before any longer: one that it did not see end is still given new entries.
 *
 * Wakes are due by Redis's clock. It is read on every new connection before any entry, and then
 * once a minute. While Redis is away the reader keeps trying. Reads with a registry of its own.
 * Times are milliseconds of clock_monotonic_ms(). Not thread-safe. */
#ifndef MOSTRO_WAKE_READER_H
#define MOSTRO_WAKE_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "wake_queue.h"

struct settings;
struct stats;
struct wake_reader;

/* Reads nothing yet. NULL when out of memory. */
struct wake_reader *wake_reader_new(const struct settings *settings, struct stats *stats);
void wake_reader_free(struct wake_reader **reader);

/* Begins to read, on a new connection: what the one before has been answered may no longer be ours.
 * Without `own` unacknowledged entries are left alone, on this connection and all that follow. */
void wake_reader_restart(struct wake_reader *reader, bool own);

/* Does all that can be done now. Returns when to be called again, unless wake_reader_fd() becomes
 * readable before. */
int64_t wake_reader_run(struct wake_reader *reader, struct wake_queue *queue, int64_t now_ms);

/* -1 while no answer is awaited. */
int wake_reader_fd(const struct wake_reader *reader);

/* Whether an answer is under way that may name wakes which are acknowledged meanwhile. Nothing may
 * be acknowledged until it is here, or they would be taken for new ones. */
bool wake_reader_reads_own(const struct wake_reader *reader);

/* Whether Redis answers. */
bool wake_reader_is_up(const struct wake_reader *reader);

/* Stops reading. */
void wake_reader_stop(struct wake_reader *reader);

#endif
