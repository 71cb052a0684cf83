/* must: promises of this program to itself, checked in every build.
 *
 * MUST(condition) ends the process where the condition is false, because going on would use memory
 * or data in an unknown state. It is for our own mistakes only: input from outside is answered, not
 * asserted. Any thread. */
#ifndef MOSTRO_MUST_H
#define MOSTRO_MUST_H

#define MUST(condition) ((condition) ? (void)0 : must_failed(__FILE__, __LINE__))

/* Says `FILE:LINE: broken promise` on stderr and to syslog, without a value of anything, then calls
 * abort(). */
_Noreturn void must_failed(const char *file, int line);

#endif
