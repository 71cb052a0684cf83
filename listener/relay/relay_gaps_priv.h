/* relay_gaps_priv: the inside of a relay's gaps, for its own tests. */
#ifndef MOSTRO_RELAY_GAPS_PRIV_H
#define MOSTRO_RELAY_GAPS_PRIV_H

#include "relay_gaps.h"

struct relay_gaps_kind {
    bool live;
    bool begins;       /* to_ms is where our data begin; the cursor stays until it is live */
    bool connects;     /* for the first time */
    bool distrusted;   /* the cursor has been moved too far by us */
    int64_t live_ms;   /* since when it is live without a break, if it is */
    int64_t to_ms;     /* up to here, the gap aside */
    int64_t gap_ms;    /* where the gap begins; RELAY_GAPS_NONE: there is none */
    int64_t from_ms;   /* start of the unbroken range, if the gap gets filled */
    int64_t cursor_ms; /* as last learnt, or RELAY_GAPS_NONE */
    struct {
        int64_t to_ms;
        bool begins, connects;
    } before; /* it became live */
    struct catch_up catch_up;
};

struct relay_gaps {
    bool known; /* the cursors have been learnt; no moment of a kind means anything before */
    bool sure;  /* and the last call found the same epoch */
    bool doubted;
    char epoch[REGISTRY_EPOCH_LEN + 1];
    int64_t clock_ms;     /* Redis's Unix clock less the monotonic one */
    int64_t our_clock_ms; /* our Unix clock less that one, or RELAY_GAPS_NONE */
    size_t count;
    struct relay_gaps_kind kind[SETTINGS_MAX_KINDS];
};

#endif
