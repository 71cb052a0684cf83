/* thread: starts a thread that takes no signals: those are the main thread's. Its name, of up to 15
 * characters, is what `top -H` shows. */
#ifndef MOSTRO_THREAD_H
#define MOSTRO_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* False when there is no thread to be had. */
bool thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *arg);

#endif
