/* catch_up: the stored events of one kind that one relay is still to be asked for, after a gap.
 *
 * Pages of CATCH_UP_LIMIT events are asked for, newest first. NIP-01 lets a relay give fewer than
 * asked for without saying so, so each page goes on from the oldest event of the one before. Its
 * `until` is one second above that event, because some relays take `until` as exclusive, but always
 * below the last `until`: it falls with every page, so the pass ends, no matter what the relay
 * answers. A gap found during a pass is merged: this pass goes on down to where both begin, and one
 * more from the top covers what this pass had already gone by.
 *
 * NIP-59 dates gift wraps up to two days back, so `since` is that much before the gap. Live events
 * that a relay mixes into a page may be dated back, too; they do not tell how far the page went.
 *
 * Pure: randomness and both clocks are given. Milliseconds are of a monotonic clock, Unix seconds
 * are Redis's. */
#ifndef MOSTRO_CATCH_UP_H
#define MOSTRO_CATCH_UP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay_backoff.h"
#include "subscription.h"

#define CATCH_UP_LIMIT      500
#define CATCH_UP_PAGE_MAX   20000 /* events; for a relay without a limit */
#define CATCH_UP_REACH_S    (2 * 24 * 60 * 60)
#define CATCH_UP_BACKDATE_S (2 * 24 * 60 * 60) /* of kind 1059 (NIP-59) */
#define CATCH_UP_SLACK_S    (60 * 60)          /* of every other kind: clocks that are slow */
#define CATCH_UP_AHEAD_S    (15 * 60)          /* clocks that are fast */
#define CATCH_UP_LEAST_CAP  50                 /* events; relays do not cut pages below this */
#define CATCH_UP_STEP_S     60                 /* to skip where nothing of a page can be read */
#define CATCH_UP_PAGE_MS    120000             /* for a relay that does not end its pages */
#define CATCH_UP_FRAME_SIZE 128                /* a CLOSE fits, too */

enum catch_up_state {
    CATCH_UP_IDLE,
    CATCH_UP_WAITING, /* a page is to be asked for when it is due */
    CATCH_UP_ASKED,
    CATCH_UP_ANSWERED /* the page's subscription is to be closed */
};

struct catch_up {
    uint32_t kind;
    enum catch_up_state state;
    int64_t since_s; /* this pass ends there */
    int64_t until_s; /* this pass has come down to here; CATCH_UP_TOP: it is yet to begin */
    bool again;      /* another pass follows, from the top to again_since_s */
    int64_t again_since_s;
    char id[SUBSCRIPTION_ID_LEN + 1];
    unsigned in_page;
    unsigned unread; /* of in_page: events without even a readable date */
    int64_t oldest_s;
    int64_t last_s[2]; /* the dates of the last two events of the page, or INT64_MIN */
    bool inclusive;    /* the relay has been seen to include `until` */
    int64_t due_ms;
    int64_t end_ms; /* when the outstanding page ends at the latest */
    struct relay_backoff backoff;
};

#define CATCH_UP_TOP INT64_MAX

void catch_up_init(struct catch_up *catch_up, uint32_t kind);

/* A gap from `from_s` until now was found. */
void catch_up_add_gap(struct catch_up *catch_up, int64_t from_s, int64_t now_s);

/* The same where our data begin: what is certainly older is not asked for. */
void catch_up_add_first_gap(struct catch_up *catch_up, int64_t from_s, int64_t now_s);

/* Some events of the gap were lost: the whole gap is asked for again. */
void catch_up_repeat(struct catch_up *catch_up);

/* Forgets what is left to ask for. */
void catch_up_cancel(struct catch_up *catch_up);

/* The connection or the kind's subscription is gone: an outstanding page will be asked for again.
 */
void catch_up_interrupt(struct catch_up *catch_up);

/* Lets what was refused be asked for again at once. */
void catch_up_hurry(struct catch_up *catch_up);

/* Whether nothing is left to ask for. */
bool catch_up_is_idle(const struct catch_up *catch_up);

/* Whether a page has been asked for and has not ended. */
bool catch_up_is_asked(const struct catch_up *catch_up);

/* Whether a page is outstanding, or its subscription is still to be closed. */
bool catch_up_is_busy(const struct catch_up *catch_up);

/* Writes the next frame, if one is due: a REQ for a page, or a CLOSE. Returns its length, or 0. */
size_t catch_up_next_frame(struct catch_up *catch_up, int64_t now_ms, int64_t unix_s,
                           uint64_t random, char out[CATCH_UP_FRAME_SIZE]);

/* When the next frame is due; SUBSCRIPTION_NEVER while idle. */
int64_t catch_up_due_ms(const struct catch_up *catch_up);

/* Whether a message with this subscription id is about the outstanding page. */
bool catch_up_is(const struct catch_up *catch_up, const char *id, size_t len);

/* Takes an event of the page. False: it is not of the time that was asked for. */
bool catch_up_on_event(struct catch_up *catch_up, int64_t created_at, int64_t now_ms);

/* The page held something that cannot be read as an event. It counts as one of the page: otherwise
 * a page full of such would end the pass. */
void catch_up_on_unread(struct catch_up *catch_up, int64_t now_ms);

/* By when an event of this kind and date was sent, in Unix seconds, however wrong its date may be:
 * what pages allow for, too. */
int64_t catch_up_sent_by_s(uint32_t kind, int64_t created_at);

/* The page has ended. */
void catch_up_on_eose(struct catch_up *catch_up, int64_t now_ms);

/* The relay closed the page's subscription: it is asked for again, after a back-off. */
void catch_up_on_closed(struct catch_up *catch_up, int64_t now_ms, uint64_t random);

#endif
