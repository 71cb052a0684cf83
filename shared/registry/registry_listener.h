/* registry_listener: what a listener asks of the registry for itself: its name, and sweeping up. */
#ifndef MOSTRO_REGISTRY_LISTENER_H
#define MOSTRO_REGISTRY_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "registry.h"

/* A process holds LISTENER_NAME from its first heartbeat on, until one is more than 30 s late or
 * another process takes the name. The wakes that it has read are its own as long: those of a name
 * that nobody holds are taken over. One that comes too late with its heartbeat holds the name anew,
 * and has to read anew what is still its own. */
struct lease {
    int64_t since_us; /* differs from lease to lease; never 0 */
    bool alone;       /* no process that held the name before is still finishing its pushes */
};

#define HEARTBEAT_HELD_SIZE 4096
#define HEARTBEAT_HELD_MORE "..."

struct heartbeat {
    const char *instance; /* random, of this process */
    bool first;           /* this process takes the name, even from another */
    unsigned relays_connected;
    unsigned relays_configured;
    unsigned relays_may_hide_wraps; /* of those connected */
    unsigned in_flight;             /* pushes */
    unsigned backlog;               /* wakes held in this process */
    int64_t last_event_s;           /* Unix seconds; 0: none yet */
    const char *report;             /* listener_report_write()'s; NULL: none could be made */
    const char *held_hosts; /* of UnifiedPush, down or held: each with a blank behind it, and
                               HEARTBEAT_HELD_MORE at the end where there are more; for
                               registry_why() */
};

/* Renews the heartbeat, listener:<LISTENER_NAME>. REGISTRY_NOT_FOUND: another process has taken the
 * name. */
enum registry_result registry_heartbeat(struct registry *registry, const struct heartbeat *beat,
                                        struct lease *lease);

/* No push begins any more; and, with `ended`, none is under way either: others need not wait for
 * the heartbeat to expire. To be called by a process that has been replaced, too. */
enum registry_result registry_leave(struct registry *registry, const char *instance, bool ended);

/* How many registrations live. */
enum registry_result registry_count(struct registry *registry, uint64_t *registrations);

/* Tidies what counts the registrations, some of it. *trimmed is 0 when there is nothing left to do:
 * call again until then. */
enum registry_result registry_trim(struct registry *registry, int64_t *trimmed);

#endif
