/* registry_stub: the pipeline and the aide without Redis: each call is answered while it is asked,
 * as a test or a fuzzer says. */
#ifndef MOSTRO_REGISTRY_STUB_H
#define MOSTRO_REGISTRY_STUB_H

#include "registry/registry_pipeline.h"

/* The result of every following call: the digit that `text` begins with, as enum registry_result.
 */
void registry_stub_answer(const char *text);

/* Redis itself, beside that: here, and usable, at first. */
struct registry_stub_redis {
    bool is_away;    /* there is no connection */
    bool is_dying;   /* the connection ends with the next call, which Redis may have got */
    bool is_refused; /* it may not be used */
    bool has_no_key; /* of the address hashes */
    uint8_t key;     /* what that is full of */
};
extern struct registry_stub_redis registry_stub_redis;

/* The calls that were asked, and a copy of the last one with what it named. */
extern unsigned registry_stub_asked;
extern struct registry_stub_call {
    struct registry_call call;
    struct address_hash address, site; /* where the call has one */
} registry_stub_last;

/* What a question gives, beside one listener that is connected to one relay. */
extern struct registry_state registry_stub_state;

#endif
