/* redis_fault: whether an error reply concerns the server or its ACL, rather than the command that
 * it answers. Pure. */
#ifndef MOSTRO_REDIS_FAULT_H
#define MOSTRO_REDIS_FAULT_H

#include <stdbool.h>

enum redis_fault_kind {
    REDIS_FAULT_NONE,    /* the error concerns the command alone */
    REDIS_FAULT_FULL,    /* out of memory (maxmemory) */
    REDIS_FAULT_PASSING, /* it ends by itself */
    REDIS_FAULT_REFUSED  /* the server may not be used until an operator has mended it */
};

struct redis_fault {
    const char *begins; /* such an error */
    enum redis_fault_kind kind;
    const char *what; /* a sentence for the log that says what to do, and repeats no answer */
};

#define REDIS_FAULT_REPLICA "it is a read-only replica: point REDIS_URL at the primary"

/* Never NULL. `has_sentinels`: a server that has become a replica is a matter of moments, then. */
const struct redis_fault *redis_fault_of(const char *error, bool has_sentinels);

enum redis_denial {
    REDIS_DENIAL_NONE,
    REDIS_DENIAL_COMMAND, /* the ACL grants the user too few commands */
    REDIS_DENIAL_KEY      /* or too few keys */
};

/* A command sent directly gets NOPERM; one that a function calls gets an ERR, which Redis 7.0 words
 * otherwise than 7.2, 8 and Valkey. */
enum redis_denial redis_denial_of(const char *error);

#endif
