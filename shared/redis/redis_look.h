/* redis_look: looks at the Redis of the settings for --check-config --live, and at its Sentinels:
 * what each of them says, and what an operator has to mend. Changes nothing there. */
#ifndef MOSTRO_REDIS_LOOK_H
#define MOSTRO_REDIS_LOOK_H

#include <stdbool.h>

struct findings;
struct redis;
struct redis_options;

/* Asks each Sentinel that the URL names, one after another; nothing where it names none. */
void redis_look_at_sentinels(const struct redis_options *options, struct findings *findings);

/* Whether it can be used: connects, and tells of the server's version, memory and logs. */
bool redis_look(struct redis *redis, struct findings *findings);

#endif
