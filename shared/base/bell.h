/* bell: wakes a thread that waits in poll(), from any thread.
 *
 * A descriptor (eventfd(2)) that is readable from the first ring until it is hushed; rings before
 * that count as one. Whoever rings has first put down what the other is to find. */
#ifndef MOSTRO_BELL_H
#define MOSTRO_BELL_H

/* -1 where there are no more descriptors. close() ends it. */
int bell_new(void);

void bell_ring(int bell);

/* To be called before looking at what rings are for, so that a ring meanwhile is not lost. */
void bell_hush(int bell);

#endif
