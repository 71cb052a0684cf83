/* wrap_guard: whether one relay keeps gift wraps (kind 1059, NIP-59) from us.
 *
 * Some relays show a gift wrap to its addressee alone, and say so to no client: another client,
 * once it has authenticated, has its REQ accepted as usual, and then nothing comes. Until such a
 * relay has shown a gift wrap it looks like one that only wants authentication.
 *
 * Pure. Kept for as long as the relay is followed, over all its connections. */
#ifndef MOSTRO_WRAP_GUARD_H
#define MOSTRO_WRAP_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "nostr/subscription.h"

#define WRAP_GUARD_KIND       1059
#define WRAP_GUARD_PATIENCE_S 600 /* for a relay that has let us in and shown nothing */

/* Zero-initialised is ready for use. */
struct wrap_guard {
    bool refused; /* it wants authentication, or will not show us any */
    bool shown;   /* it has shown one */
    bool warned;
};

/* A REQ for them was refused. */
void wrap_guard_refused(struct wrap_guard *guard, enum subscription_refusal refusal);

/* A true one has come. */
void wrap_guard_shown(struct wrap_guard *guard);

/* Whether to warn of this relay now, once: we have authenticated, and the subscription has been
 * live for so long. */
bool wrap_guard_is_to_warn(struct wrap_guard *guard, int64_t live_ms);

/* Whether all of them may be kept from us. */
bool wrap_guard_may_hide(const struct wrap_guard *guard);

#endif
