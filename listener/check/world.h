/* world: looks at all that a listener talks to, for --check-config --live: Redis and its Sentinels,
 * the relays, Google, and the endpoint file. Each is given some ten seconds; the relays are looked
 * at side by side. */
#ifndef MOSTRO_WORLD_H
#define MOSTRO_WORLD_H

struct findings;
struct settings;

void world_look(const struct settings *settings, struct findings *findings);

#endif
