/* thread: starts a thread that takes no signals, which are the main thread's. `top -H` shows its
 * name, of up to 15 characters. */
#ifndef MOSTRO_THREAD_H
#define MOSTRO_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* False where the system gives no thread. */
bool thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *arg);

#endif
