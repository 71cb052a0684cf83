/* expiring_set: names that something is remembered of until a time, a bounded number of them.
 *
 * Where there are too many, the one that was marked longest ago is forgotten first. Times are
 * milliseconds of clock_monotonic_ms(). Pure but for memory. Not thread-safe. */
#ifndef MOSTRO_EXPIRING_SET_H
#define MOSTRO_EXPIRING_SET_H

#include <stddef.h>
#include <stdint.h>

struct expiring_set;

/* Remembers at most `max` names. NULL when out of memory. */
struct expiring_set *expiring_set_new(size_t max);
void expiring_set_free(struct expiring_set **set);

/* Forgets the marks that are over. */
void expiring_set_expire(struct expiring_set *set, int64_t now_ms);

/* Marks a name; a mark is never shortened. Out of memory: it is not marked. */
void expiring_set_set(struct expiring_set *set, const char *name, int64_t until_ms, int64_t now_ms);

/* Until when the name is marked; INT64_MIN where it is not, or not any more. */
int64_t expiring_set_until(const struct expiring_set *set, const char *name, int64_t now_ms);

size_t expiring_set_count(const struct expiring_set *set);

#endif
