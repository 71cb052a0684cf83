/* marks: names that something is remembered of until a time, a bounded number of them.
 *
 * Where there are too many, the one that was marked longest ago is forgotten first. Times are
 * milliseconds of clock_monotonic_ms(). Pure but for memory. Not thread-safe. */
#ifndef MOSTRO_MARKS_H
#define MOSTRO_MARKS_H

#include <stddef.h>
#include <stdint.h>

struct marks;

/* Remembers at most `max` names. NULL when out of memory. */
struct marks *marks_new(size_t max);
void marks_free(struct marks **marks);

/* Marks a name; a mark is never shortened. Out of memory: it is not marked. */
void marks_set(struct marks *marks, const char *name, int64_t until_ms, int64_t now_ms);

/* Until when the name is marked; INT64_MIN where it is not, or not any more. */
int64_t marks_until(const struct marks *marks, const char *name, int64_t now_ms);

size_t marks_count(const struct marks *marks);

#endif
