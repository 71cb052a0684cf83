/* registry_events: what the reader of a relay asks of the registry, and the epoch of the data,
 * which cursors belong to. */
#ifndef MOSTRO_REGISTRY_EVENTS_H
#define MOSTRO_REGISTRY_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/trade_pubkey.h"
#include "registry.h"

enum registry_event {
    REGISTRY_EVENT_UNREGISTERED, /* nobody to wake */
    REGISTRY_EVENT_QUEUED,
    REGISTRY_EVENT_DEFERRED, /* over the pubkey's limit: its one deferred wake is queued */
    REGISTRY_EVENT_COVERED,  /* by the wake that another stored event has caused */
    REGISTRY_EVENT_REPEATED  /* this event has caused a wake before */
};

#define REGISTRY_EVENT_ID_SIZE 32
#define REGISTRY_AUTHOR_SIZE   32
#define REGISTRY_EVENTS_MAX    64 /* in one call */

/* A verified event. A live one spends the pubkey's limit once per id, registered or not; a `stored`
 * one (from before this subscription) spends none, and of these a pubkey gets one wake, 2 s after
 * the first: it covers all that were with their relay before. A phone that has named its node gets
 * a silent wake where another has written what has an author. */
struct registry_relay_event {
    uint8_t id[REGISTRY_EVENT_ID_SIZE];
    struct trade_pubkey key;
    bool has_author; /* as opposed to a one-time key */
    uint8_t author[REGISTRY_AUTHOR_SIZE];
    bool stored;
    int64_t stored_by_ms;        /* by Redis's clock: its relay had it by then */
    int64_t sent_by_ms;          /* and its author had sent it by then, whatever its date is off */
    enum registry_event outcome; /* set where it was taken */
};

/* Takes n (up to REGISTRY_EVENTS_MAX) events in their order. *taken is how many, whatever the
 * result: from there on they are to be offered again. REGISTRY_QUEUE_FULL: too many wakes wait. */
enum registry_result registry_relay_events(struct registry *registry,
                                           struct registry_relay_event *events, size_t n,
                                           size_t *taken);

/* ---- Epoch and cursors ----------------------------------------------------------------------- */

#define REGISTRY_EPOCH_LEN 16 /* hexadecimal digits, drawn at random */

/* Which data Redis has. */
struct registry_data {
    char epoch[REGISTRY_EPOCH_LEN + 1]; /* "": not known yet */
    bool is_new;                        /* it had none: it has lost them, or is new */
    int64_t lost_s; /* when data were lost, in Unix seconds; 0: never, or an operator knows, or
                       TOKEN_TTL_HOURS have passed */
    uint64_t lost_registrations; /* with them; 0: nobody had counted them */
};

/* Gives the data in Redis a name where they have none. `candidate` is REGISTRY_EPOCH_LEN digits.
 * `known` is the epoch that this process has seen before, and `counted` how many registrations:
 * where both are there and the epoch is another, it is noted that so many are lost, once for all
 * listeners. */
enum registry_result registry_epoch(struct registry *registry, const char *candidate,
                                    const char *known, uint64_t counted,
                                    struct registry_data *data);

/* What has been taken of one kind of a relay's events. Moments are Unix milliseconds by Redis's
 * clock, or REGISTRY_NO_MOMENT. */
struct registry_cursor {
    uint32_t kind;
    int64_t from_ms, to_ms; /* told: all between has been taken; or nothing is told */
    int64_t cursor_ms;      /* answered: all before has been taken, by whichever listener */
};

struct registry_now {
    char epoch[REGISTRY_EPOCH_LEN + 1]; /* "": none has been drawn yet */
    int64_t now_ms;
};

/* Moves and reads the cursors of a relay (n up to SETTINGS_MAX_KINDS). In an epoch other than
 * `epoch` none is moved. */
enum registry_result registry_cursors(struct registry *registry, const char *relay,
                                      const char *epoch, struct registry_cursor *cursors, size_t n,
                                      struct registry_now *now);

#endif
