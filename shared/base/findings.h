/* findings: what a look at the world has shown, for the operator who asked: a line a thing. Each
 * has a FILE of its own; not thread-safe. */
#ifndef MOSTRO_FINDINGS_H
#define MOSTRO_FINDINGS_H

#include <stddef.h>
#include <stdio.h>

struct findings {
    FILE *to;
    size_t good, bad; /* lines so far */
};

/* "ok   Redis: ..." or "BAD  Redis: ...". A bad one says what to do. What is not printable ASCII is
 * written as `?`, and what is longer than FINDINGS_LINE_SIZE is cut. */
#define FINDINGS_LINE_SIZE 700
#define FINDINGS_PRINTF    __attribute__((format(printf, 3, 4)))
FINDINGS_PRINTF void findings_good(struct findings *findings, const char *what, const char *format,
                                   ...);
FINDINGS_PRINTF void findings_bad(struct findings *findings, const char *what, const char *format,
                                  ...);

#endif
