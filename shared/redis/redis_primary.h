/* redis_primary: which Redis is the primary, where REDIS_URL names Sentinels.
 *
 * A process has one of these, which all its connections share. Its thread keeps two connections to
 * every Sentinel (redis_sentinel_link.h): over one it asks twice a second whom that one names, over
 * the other it hears of +switch-master, which makes it ask at once, and of
 * +failover-state-send-slaveof-noone. What counts where they disagree is in redis_sentinel.h.
 *
 * A connection may be used when the node was named before it was made, says itself that it is a
 * primary, and is still named when asked anew after that. A node that no Sentinel names is not
 * used, whatever it says of itself: one that was demoted or paused goes on as a primary for ten
 * seconds, and acknowledges what is lost then. One hop is allowed: where the named node is a
 * replica of another, and that one is a node of the same service and says that it is a primary, it
 * is used. Redis's own FAILOVER leaves things so, until the Sentinels follow half a minute later.
 *
 * A fail-over of which an operator tells the Sentinels (SENTINEL FAILOVER) makes a replica the
 * primary a second before they say so, and the old one acknowledges meanwhile what nobody will know
 * of. So it is left a tenth of a second before that, when the Sentinel in charge says that it is
 * about to, and Redis is away until another node is named.
 *
 * As soon as another node is the primary, every connection to the one before is shut down, so that
 * whoever waits for it wakes. A Sentinel that stops to answer costs each new connection a moment
 * for three seconds, and nothing then; where none answers, connections that stand are used further,
 * and no new ones are made. Thread-safe. */
#ifndef MOSTRO_REDIS_PRIMARY_H
#define MOSTRO_REDIS_PRIMARY_H

#include <stdbool.h>
#include <stdint.h>

struct redis;
struct redis_node;
struct redis_primary;
struct redis_sentinel_trouble;
struct redis_url;

/* How long a caller may wait for what the Sentinels say. */
#define REDIS_PRIMARY_ASK_MS 400

/* How many times this process has found that another node had become the primary; 0 without
 * Sentinels, and while the first one is the primary. Every connection to the one before has been
 * ended by then. */
uint64_t redis_primary_changes(void);

/* Whether REDIS_URL names Sentinels, and so a primary with replicas. */
bool redis_is_replicated(const struct redis *redis);

/* ---- For the files of this folder --------------------------------------------------------------
 */

/* The process's one, which is made if need be; each join() wants a leave(). NULL without memory.
 * The URL must be the same each time. */
struct redis_primary *redis_primary_join(const struct redis_url *url, const char *password);
void redis_primary_leave(struct redis_primary **primary);

/* Whom to connect to. `other`: the last one could not be used, so the one that the Sentinels name,
 * where a hop has led away from it. False: *trouble says why there is none. */
bool redis_primary_find(struct redis_primary *primary, bool other, struct redis_node *node,
                        struct redis_sentinel_trouble *trouble);

/* Whether `to` may be tried, because `from` has said that it is a replica of it. */
bool redis_primary_may_hop(struct redis_primary *primary, const struct redis_node *from,
                           const struct redis_node *to);

/* A connection that is shut down when another node becomes the primary. */
struct redis_membership;

/* Asks the Sentinels anew whether this node, which has said that it is a primary, may be used;
 * `from` is where a hop began, or NULL. NULL: *trouble says why not. */
struct redis_membership *redis_primary_settle(struct redis_primary *primary,
                                              const struct redis_node *node,
                                              const struct redis_node *from, int fd,
                                              struct redis_sentinel_trouble *trouble);

/* To be called before the connection is closed. */
void redis_membership_end(struct redis_membership **membership);

/* Whether it was shut down; NULL never is. */
bool redis_membership_has_ended(const struct redis_membership *membership);

#endif
