/* endpoint_keeper: keeps the endpoint file as Redis has the endpoints, and brings them back from it
 * when Redis has lost its data.
 *
 * A thread with a registry of its own, so that a slow disk holds up nobody. Of several listeners
 * one looks after the file, as long as it holds its name (a claim in Redis, which another takes
 * over when it has not been renewed for 30 s); they must name the same file, or all but one none.
 * The file is written at most once a second, and only when endpoints have changed. It is not
 * written until what it holds is in Redis: so whenever a listener dies, endpoints that only the
 * file has stay there. Those brought back are woken, 50 a second, as if a relay had had an event
 * for them. What goes wrong with the file is logged once and tried again; nothing else depends on
 * it. */
#ifndef MOSTRO_ENDPOINT_KEEPER_H
#define MOSTRO_ENDPOINT_KEEPER_H

#include <stdbool.h>

struct settings;
struct stats;

/* What UNIFIEDPUSH_ENDPOINTS_FILE says where there shall be no file. */
bool endpoint_keeper_is_off(const struct settings *settings);

struct endpoint_keeper;

/* All arguments must outlive the keeper; `instance` is the heartbeat's. NULL, with an error logged,
 * where it cannot be started. */
struct endpoint_keeper *endpoint_keeper_start(const struct settings *settings, const char *instance,
                                              struct stats *stats)
    __attribute__((warn_unused_result));

/* Has it write once more what is still to be written, and waits for its end, up to 5 s: a disk that
 * hangs must not keep the listener from ending. Where it has not ended by then, *keeper is not NULL
 * afterwards, and it goes on using its arguments. */
void endpoint_keeper_stop(struct endpoint_keeper **keeper);

#endif
