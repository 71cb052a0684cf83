/* followed: which relays of NOSTR_RELAYS are followed: each once, under its first spelling, so that
 * its cursors stay where they are. Pure. */
#ifndef MOSTRO_FOLLOWED_H
#define MOSTRO_FOLLOWED_H

#include "nostr/relay_url.h"
#include "settings/settings.h"

struct followed {
    size_t count;
    struct followed_relay {
        const char *url; /* the settings' */
        struct relay_url parts;
        bool is_repeated; /* it is named more than once */
    } relays[SETTINGS_MAX_RELAYS];
};

void followed_fill(struct followed *followed, const struct settings_relays *relays);

#endif
