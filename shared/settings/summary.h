/* summary: what the settings make of a program, item by item: `--check-config` prints it, one item
 * a line, and a start logs it, several items a line. Nothing in it is secret.
 *
 * An item is a topic and a text; items of the same topic follow each other. */
#ifndef MOSTRO_SUMMARY_H
#define MOSTRO_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>

#include "settings.h"

#define SUMMARY_LINE_SIZE 900 /* so that the log does not cut it */

struct summary {
    bool is_asked;     /* it is printed, for somebody who only checks the settings */
    const char *topic; /* of the item before */
    char line[SUMMARY_LINE_SIZE];
    size_t used;
};

#define SUMMARY_PRINTF(n) __attribute__((format(printf, n, n + 1)))

void summary_begin(struct summary *summary, bool is_asked);

/* `topic` lives as long as the summary. A text that is too long is cut. */
void summary_item(struct summary *summary, const char *topic, const char *format, ...)
    SUMMARY_PRINTF(3);

/* What is said next is on another line of the log. */
void summary_end_line(struct summary *summary);

/* What both programs say alike; the last one ends the summary. */
void summary_registrations(struct summary *summary, const struct settings *settings);
void summary_unifiedpush_hosts(struct summary *summary, const struct settings *settings);
void summary_redis(struct summary *summary, const struct settings *settings);

/* What may not be what was meant: to stderr, or into the log. Before the items. */
void summary_warn(const struct summary *summary, const char *format, ...) SUMMARY_PRINTF(2);

/* Of registrations that end before the trades that they are for. */
void summary_warn_of_registrations(const struct summary *summary, const struct settings *settings);

#endif
