/* tracing: tells the log which pubkeys are traced, and Redis which steps the log has told. */
#ifndef MOSTRO_TRACING_H
#define MOSTRO_TRACING_H

#include <stddef.h>

struct registry;

/* To be called about once a second. Where Redis does not answer, what is traced stays so until its
 * time is over. *told is how many are, as the log has told, 0 at first. */
void tracing_refresh(struct registry *registry, size_t *told);

#endif
