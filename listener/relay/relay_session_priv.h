/* relay_session_priv: the inside of a session, for its own tests. relay.c has no need of it. */
#ifndef MOSTRO_RELAY_SESSION_PRIV_H
#define MOSTRO_RELAY_SESSION_PRIV_H

#include "relay_gaps.h"
#include "relay_session.h"

/* The session's own. */
struct relay_gaps *relay_session_gaps(struct relay_session *session);

#endif
