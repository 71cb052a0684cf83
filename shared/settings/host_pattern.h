/* host_pattern: whether a POSIX extended regular expression is tied to the ends of the hosts that
 * it is searched in. `ntfy\.sh` is not: it is found in ntfy.sh.evil.example, too. Pure.
 *
 * What is open on purpose counts as tied: a pattern that begins with `.*`, `.+` or a literal dot,
 * or ends with `.*` or `.+`. */
#ifndef MOSTRO_HOST_PATTERN_H
#define MOSTRO_HOST_PATTERN_H

#include <stdbool.h>

/* `pattern` is one that regcomp() takes, else the answer means nothing. */
bool host_pattern_has_beginning(const char *pattern);
bool host_pattern_has_end(const char *pattern);

#endif
