/* listener_report: what a listener says of itself with each heartbeat, for metrics to show: its
 * relays, its back ends, its hosts. As JSON it is a field of the hash listener:<name>, so that
 * redis-cli shows it, too.
 *
 * Bounded in size, and without anything that tells of a user: relays are named as in the log, hosts
 * are only counted. Pure but for memory; thread-safe. */
#ifndef MOSTRO_LISTENER_REPORT_H
#define MOSTRO_LISTENER_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stats.h"

#define LISTENER_REPORT_RELAYS     32 /* as many as NOSTR_RELAYS may name */
#define LISTENER_REPORT_KINDS      16 /* as many as NOSTR_EVENT_KINDS may */
#define LISTENER_REPORT_NAME_SIZE  288
#define LISTENER_REPORT_SIZE_MAX   65536 /* of a text that is read */
#define LISTENER_REPORT_NO_EVENT   -1
#define LISTENER_REPORT_NUMBER_MAX INT64_C(1000000000000)

enum report_subscription { REPORT_NOT_SUBSCRIBED, REPORT_SUBSCRIBED, REPORT_NOT_ADMITTED };

/* What becomes of pushes, and why; UnifiedPush, whose hosts are peers of their own, is never down.
 */
#define REPORT_STATES(S)                                                          \
    S(UP, "up")                                                                   \
    S(OFF, "off")                         /* by the settings; the log says why */ \
    S(PAUSED, "paused")                   /* an operator holds pushing */         \
    S(NO_ACCESS_TOKEN, "no_access_token") /* yet, or any more */                  \
    S(DOWN, "down")                       /* unreachable, or only 5xx */          \
    S(REFUSED, "refused")                 /* an operator's mistake */             \
    S(LIMITED, "limited")                 /* a push was answered 429 in the last minute */

enum report_state {
#define S(STATE, word) REPORT_##STATE,
    REPORT_STATES(S)
#undef S
        REPORT_STATE_COUNT
};

struct report_kind {
    uint32_t kind;
    enum report_subscription subscription;
};

struct report_relay {
    char name[LISTENER_REPORT_NAME_SIZE]; /* no other of the report has it */
    bool is_connected;                    /* and a subscription is live */
    bool may_hide_wraps;
    int64_t event_age_s; /* since its last event; LISTENER_REPORT_NO_EVENT */
    size_t kind_count;
    struct report_kind kinds[LISTENER_REPORT_KINDS]; /* each once */
};

struct listener_report {
    size_t relay_count;
    struct report_relay relays[LISTENER_REPORT_RELAYS];
    enum report_state backends[STATS_BACKEND_COUNT]; /* in the order of STATS_BACKENDS */
    uint64_t hosts_held; /* of UnifiedPush, down or held; LISTENER_REPORT_NUMBER_MAX at most */
};

/* In text, for labels. */
const char *report_state_name(enum report_state state);
const char *report_backend_name(size_t backend); /* by its place in STATS_BACKENDS */

/* A further relay of the report, or NULL where it has no room. Where another has the name a number
 * is added to it: names leave the paths of URLs out. */
struct report_relay *listener_report_add_relay(struct listener_report *report, const char *name);

/* The text, to be freed; NULL when out of memory. */
char *listener_report_write(const struct listener_report *report);

/* Reads what Redis holds, which may be anything. False: it is no report. A relay, a kind or a back
 * end of it that cannot be is left out: a back end counts as off. */
bool listener_report_read(struct listener_report *report, const char *text, size_t len)
    __attribute__((warn_unused_result));

#endif
