/* questions: what an operator asks of Redis on the command line, about one trade pubkey: the first
 * argument, or `-`: then it is read from standard input, so that no list of processes shows it.
 * Each writes its answer to standard output and returns the program's exit status: 0 answered, 1
 * Redis cannot be asked now, 2 not a pubkey or time. */
#ifndef MOSTRO_QUESTIONS_H
#define MOSTRO_QUESTIONS_H

struct command_line;
struct settings;

/* Why its phone is, or is not, woken. */
int questions_why(const struct settings *settings, const struct command_line *line);

/* Has the listeners tell each of its steps for as many minutes as the second argument says, up to
 * QUESTIONS_TRACE_MINUTES_MAX; 0 ends that. */
#define QUESTIONS_TRACE_MINUTES_MAX 1440
int questions_trace(const struct settings *settings, const struct command_line *line);

#endif
