/* regex_check: whether a POSIX extended regular expression may be given to the C library.
 *
 * Its compiler copies what is repeated, copies within copies, and follows what repeats the empty
 * string along every path: a line of `+` takes all memory there is, and a few nested `*` all
 * time. */
#ifndef MOSTRO_REGEX_CHECK_H
#define MOSTRO_REGEX_CHECK_H

#include <stdbool.h>

#define REGEX_CHECK_DEPTH  64   /* groups within groups */
#define REGEX_CHECK_WEIGHT 4096 /* characters, brackets and groups, as often as they are copied */

/* False for one that is larger, that repeats what may be empty, that has eight anchors or more
 * elsewhere than around the whole or one of its alternatives, or that escapes what
 * POSIX.1-2017, 9.4.3 does not have escaped (among that GNU's back-references). True says nothing
 * of the rest of the syntax. */
bool regex_check(const char *pattern);

#endif
