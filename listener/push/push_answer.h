/* push_answer: the answer to a push in a few words for the debug log: `404 UNREGISTERED`, `no
 * answer in time`. It shows nothing of a URL, and of a body only a known code. Pure. */
#ifndef MOSTRO_PUSH_ANSWER_H
#define MOSTRO_PUSH_ANSWER_H

#include "http_client.h"
#include "push.h"

void push_answer_describe(char out[PUSH_ANSWER_SIZE], const struct http_answer *answer);

#endif
