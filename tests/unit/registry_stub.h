/* registry_stub: the pipeline and the aide without Redis: each call is answered while it is asked,
 * as a test or a fuzzer says. */
#ifndef MOSTRO_REGISTRY_STUB_H
#define MOSTRO_REGISTRY_STUB_H

#include "registry/registry_api.h"

/* The result of every following call: the digit that `text` begins with, as enum registry_result.
 */
void registry_stub_answer(const char *text);

/* What a question gives, beside one listener that is connected to one relay. */
extern struct registry_state registry_stub_state;

#endif
