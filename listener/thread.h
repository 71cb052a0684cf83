/* thread: starts a thread that takes no signals: those are the main thread's. */
#ifndef MOSTRO_THREAD_H
#define MOSTRO_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* False when there is no thread to be had. */
bool thread_start(pthread_t *thread, void *(*run)(void *), void *arg);

#endif
