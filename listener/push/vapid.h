/* vapid: signs pushes with our name (RFC 8292): a JWT for each distributor, made with
 * VAPID_PRIVATE_KEY_FILE.
 *
 * A JWT serves an origin for VAPID_REUSE_S and is valid for some hours more, so that differing
 * clocks do not matter. The JWTs of the VAPID_ORIGINS_MAX origins used last are kept. Strangers
 * choose the origins; with more of them, they only make us sign more often. The holder of a JWT can
 * push in our name, so JWTs are wiped. Not thread-safe; times are Unix seconds. */
#ifndef MOSTRO_VAPID_H
#define MOSTRO_VAPID_H

#include <stddef.h>
#include <stdint.h>

#include "device/vapid_key.h"

#define VAPID_ORIGINS_MAX 64
#define VAPID_REUSE_S     (12 * 3600)
#define VAPID_LIFE_S      (18 * 3600) /* RFC 8292, section 2: at most 24 hours */

struct vapid;

/* Both must outlive it; `subject` (a URI of characters that JSON need not escape) may be NULL. NULL
 * when out of memory. */
struct vapid *vapid_new(const struct vapid_key *key, const char *subject);
void vapid_free(struct vapid **vapid);

/* The header `Authorization: vapid t=..., k=...` for a push to this origin (RFC 6454, section 6.2),
 * valid until the next call. NULL when out of memory. */
const char *vapid_header(struct vapid *vapid, const char *origin, int64_t now_s);

#endif
