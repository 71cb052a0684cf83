/* log: what operators read. One line an event; the only global state of both programs.
 *
 * A line never holds a pubkey, device token, endpoint URL, client address, key or event id: a
 * pubkey goes through log_pubkey(), a peer's text through log_redact(), the rest stays out. Every
 * byte that is not printable ASCII is escaped, so one call is one line. errno is kept. Thread-safe
 * once log_open() has returned; before it, warnings and errors go to stderr. */
#ifndef MOSTRO_LOG_H
#define MOSTRO_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/trade_pubkey.h"

enum log_level {
    LOG_LEVEL_ERROR, /* an operator must act, or wakes are lost */
    LOG_LEVEL_WARN,  /* something is not as it should be; the server goes on */
    LOG_LEVEL_INFO,  /* a start, a stop, a connection made or lost */
    LOG_LEVEL_DEBUG  /* what one event or request did */
};

enum log_target { LOG_TARGET_STDERR, LOG_TARGET_SYSLOG };

/* Also draws the salt of log_pubkey(). Where systemd's journal reads stderr each line begins with
 * its priority, which the journal takes off. Where nobody takes lines for syslog, stderr gets them,
 * and a line that says so. `program` must outlive the process. */
void log_open(const char *program, enum log_level level, enum log_target target);

/* Nothing is written from here on: for who looks at the world and says himself what he finds. */
void log_silence(void);

#define LOG_PRINTF __attribute__((format(printf, 1, 2)))

LOG_PRINTF void log_error(const char *format, ...);
LOG_PRINTF void log_warn(const char *format, ...);
LOG_PRINTF void log_info(const char *format, ...);
LOG_PRINTF void log_debug(const char *format, ...);

/* Paces a line that could come often: one static object for each such line, all zero at first.
 * True, at most once in `every_ms` for the whole process, when the line is to be written; `now_ms`
 * is clock_monotonic_ms(). */
struct log_pace {
    _Atomic int64_t told_ms;
};
bool log_is_due(struct log_pace *pace, int64_t now_ms, int64_t every_ms);

/* A pubkey for a log line: the first 8 hex digits of BLAKE3 keyed with a salt that lives only in
 * this process, so that lines of one run can be matched and nothing else can be learnt. */
struct log_name {
    char text[9];
    bool is_traced; /* its steps are told whatever LOG_LEVEL says: see trace.h */
};
struct log_name log_pubkey(const struct trade_pubkey *key);

/* Whether log_debug() writes anything. Ask before making a text for it. */
bool log_is_debug(void);

/* For log_step(): the name of its trace where it is traced, else log_pubkey(), or "", without
 * computing a hash, where log_debug() writes nothing. */
struct log_name log_step_name(const struct trade_pubkey *key);

/* A decision about a pubkey, `module: <name> is ...`: as log_debug(), but one that is traced is
 * told at any level, if it is not one of too many of its kind: see trace.h. Takes
 * log_step_name()'s answer. */
__attribute__((format(printf, 2, 3))) void log_step(const struct log_name *name, const char *format,
                                                    ...);

/* Tells of steps that were too many of their kind, once their time is over; to be called again and
 * again. `now_ms` is clock_monotonic_ms(). */
void log_more_steps(int64_t now_ms);

/* A peer's text for a log line: cut at 120 characters, with `[...]` in place of anything that could
 * be a key, an id, a token, a URL or an address. `out` always ends as a string. */
#define LOG_REDACTED_SIZE 160
const char *log_redact(char out[LOG_REDACTED_SIZE], const char *text, size_t len);

#endif
