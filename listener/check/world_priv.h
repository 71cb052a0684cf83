/* world_priv: the looks that world_look() is made of. */
#ifndef MOSTRO_WORLD_PRIV_H
#define MOSTRO_WORLD_PRIV_H

#include "world.h"

#define WORLD_LOOK_MS 10000 /* for each thing */

void world_look_at_relays(const struct settings *settings, struct findings *findings);
void world_look_at_fcm(const struct settings *settings, struct findings *findings);

#endif
