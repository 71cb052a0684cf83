/* metrics_page: how metrics are written for Prometheus (text exposition format 0.0.4): a family at
 * a time, each with its help and type, then its samples. Names begin with `mostro_`, which is left
 * out here. Pure; `out` is the page. */
#ifndef MOSTRO_METRICS_PAGE_H
#define MOSTRO_METRICS_PAGE_H

#include <stddef.h>
#include <stdio.h>

struct metrics_label {
    const char *name, *value; /* a value may be any text: it is escaped */
};

/* Begins a family, which must be one of the table's. */
void metrics_page_family(FILE *out, const char *name);

void metrics_page_sample(FILE *out, const char *name, const struct metrics_label *labels,
                         size_t count, double value);

/* The same where the labels are written already: `name="value",...`, or "". */
void metrics_page_written(FILE *out, const char *name, const char *labels, double value);

/* A family of one sample without labels. */
void metrics_page_single(FILE *out, const char *name, double value);

#endif
