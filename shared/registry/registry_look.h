/* registry_look: looks at the Redis of the settings for --check-config --live: whether it can be
 * used, and whether its ACL grants all that the programs do there. Loads no function, and leaves no
 * key. */
#ifndef MOSTRO_REGISTRY_LOOK_H
#define MOSTRO_REGISTRY_LOOK_H

struct findings;
struct settings;

void registry_look(const struct settings *settings, struct findings *findings);

#endif
