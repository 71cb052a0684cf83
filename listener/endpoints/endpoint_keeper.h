/* endpoint_keeper: writes Redis's endpoints to the endpoint file, and brings them back from it when
 * Redis has lost its data.
 *
 * This is a thread with a registry of its own, so that a slow disk delays nothing else. Of several
 * listeners one has the file, by a claim in Redis, which another takes over when it has not been
 * renewed for 30 s. All of them must name the same file, or all but one none. The file is written
 * at most once a second, and only when endpoints have changed. It is never written before Redis has
 * all that it holds, so that endpoints that only the file has survive the death of any listener.
 * Phones whose endpoints are brought back are woken, 50 a second and in the order of
 * endpoint_turns, as if a relay had sent an event for them. Trouble with the file is logged once
 * and tried again; nothing else depends on it. */
#ifndef MOSTRO_ENDPOINT_KEEPER_H
#define MOSTRO_ENDPOINT_KEEPER_H

#include <stdbool.h>

struct settings;
struct stats;

/* The value of UNIFIEDPUSH_ENDPOINTS_FILE for no file. */
bool endpoint_keeper_is_off(const struct settings *settings);

struct endpoint_keeper;

/* All arguments must outlive the keeper; `instance` is the heartbeat's. NULL, with an error logged,
 * where it cannot be started. */
struct endpoint_keeper *endpoint_keeper_start(const struct settings *settings, const char *instance,
                                              struct stats *stats)
    __attribute__((warn_unused_result));

/* Makes it write a last time where there is something to write, and waits for its end, up to 5 s: a
 * disk that hangs must not keep the listener from ending. If it has not ended by then, *keeper is
 * not NULL afterwards, and it goes on using its arguments. */
void endpoint_keeper_stop(struct endpoint_keeper **keeper);

#endif
