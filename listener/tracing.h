/* tracing: tells the log which pubkeys are traced, and Redis which steps the log has told. */
#ifndef MOSTRO_TRACING_H
#define MOSTRO_TRACING_H

struct registry;

/* To be called about once a second. Where Redis does not answer, what is traced stays so until its
 * time is over. */
void tracing_refresh(struct registry *registry);

#endif
