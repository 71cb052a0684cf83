#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/blake3.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/random.h"
#include "trace.h"

/* Longer lines are cut, so that one write(2) carries a line whole even between processes. */
#define LINE_MAX_BYTES 1024

/* A run of word characters this long may be a key, an id or a token if it has a digit or a capital,
 * as those have. A still longer run is replaced in any case. */
#define SECRET_RUN_MIN  16
#define ANY_RUN_MAX     40
#define REDACTED_CUT_AT 120

static struct {
    const char *program;
    enum log_level level;
    enum log_target target;
    bool is_silent;
    bool is_journal; /* what reads stderr */
    uint8_t salt[BLAKE3_KEY_SIZE];
} the_log = {.program = "mostro-push", .level = LOG_LEVEL_WARN, .target = LOG_TARGET_STDERR};

static const struct {
    const char *word;
    int priority;
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", LOG_ERR},
    [LOG_LEVEL_WARN] = {"warn", LOG_WARNING},
    [LOG_LEVEL_INFO] = {"info", LOG_INFO},
    [LOG_LEVEL_DEBUG] = {"debug", LOG_DEBUG},
};

/* Copies `text` with everything but printable ASCII written as \xNN; returns the length. */
static size_t escape(char *out, size_t size, const char *text)
{
    size_t used = 0;

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (used + 5 > size)
            break;
        if (c >= 0x20 && c < 0x7f)
            out[used++] = *text;
        else
            used += (size_t)snprintf(out + used, 5, "\\x%02x", c);
    }
    out[used] = '\0';
    return used;
}

static void write_stderr(enum log_level level, const char *text)
{
    char line[LINE_MAX_BYTES], priority[sizeof "<7>"] = "";
    struct timespec now;
    struct tm utc;
    int head;
    size_t used;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    if (the_log.is_journal)
        (void)snprintf(priority, sizeof priority, "<%d>", levels[level].priority & 7);
    head = snprintf(
        line, sizeof line, "%s%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s[%d] %s: ", priority,
        utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
        now.tv_nsec / 1000000, the_log.program, (int)getpid(), levels[level].word);
    if (head < 0 || (size_t)head >= sizeof line - 1)
        return;
    used = (size_t)head + escape(line + head, sizeof line - (size_t)head - 1, text);
    line[used++] = '\n';
    /* There is no place to report that the log cannot be written. */
    if (write(STDERR_FILENO, line, used) < 0)
        return;
}

/* Whether systemd's journal reads stderr (systemd.exec(5), JOURNAL_STREAM): it takes a line's
 * priority from its beginning (sd-daemon(3)). A shell may have led stderr elsewhere since. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat status;
    char end;

    return stream != NULL && sscanf(stream, "%llu:%llu%c", &device, &inode, &end) == 2 &&
           fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

/* syslog(3) drops what nobody takes, and does not say so. A socket of another type is taken, too.
 */
static bool syslog_is_there(void)
{
    static const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = _PATH_LOG};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), error;
    bool is_there =
        fd >= 0 && (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 ||
                    errno == EPROTOTYPE);

    error = errno;
    if (fd >= 0)
        (void)close(fd);
    errno = error;
    return is_there;
}

void log_silence(void)
{
    the_log.is_silent = true;
}

void log_open(const char *program, enum log_level level, enum log_target target)
{
    char text[LINE_MAX_BYTES];

    the_log.program = program;
    the_log.level = level;
    the_log.target = target;
    the_log.is_journal = stderr_is_journal();
    random_bytes(the_log.salt, sizeof the_log.salt);
    if (target != LOG_TARGET_SYSLOG)
        return;
    if (syslog_is_there()) {
        openlog(program, LOG_PID, LOG_DAEMON);
        return;
    }
    the_log.target = LOG_TARGET_STDERR;
    (void)snprintf(text, sizeof text,
                   "log: LOG_TARGET=syslog, but nobody takes lines at " _PATH_LOG
                   " (%s): logging to stderr",
                   strerror(errno));
    write_stderr(LOG_LEVEL_WARN, text);
}

static void put_line(enum log_level level, const char *text)
{
    char escaped[LINE_MAX_BYTES];

    if (the_log.target == LOG_TARGET_SYSLOG) {
        (void)escape(escaped, sizeof escaped, text);
        syslog(levels[level].priority, "%s", escaped);
    } else {
        write_stderr(level, text);
    }
}

static void log_line(enum log_level level, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void log_line(enum log_level level, const char *format, va_list args)
{
    int saved = errno;
    char text[LINE_MAX_BYTES];

    if (!the_log.is_silent && level <= the_log.level &&
        vsnprintf(text, sizeof text, format, args) >= 0)
        put_line(level, text);
    errno = saved;
}

#define DEFINE_LOG(name, level)        \
    void name(const char *format, ...) \
    {                                  \
        va_list args;                  \
                                       \
        va_start(args, format);        \
        log_line(level, format, args); \
        va_end(args);                  \
    }

DEFINE_LOG(log_error, LOG_LEVEL_ERROR)
DEFINE_LOG(log_warn, LOG_LEVEL_WARN)
DEFINE_LOG(log_info, LOG_LEVEL_INFO)
DEFINE_LOG(log_debug, LOG_LEVEL_DEBUG)

bool log_is_due(struct log_pace *pace, int64_t now_ms, int64_t every_ms)
{
    int64_t told_ms = atomic_load(&pace->told_ms);

    if (told_ms != 0 && now_ms - told_ms < every_ms)
        return false;
    /* Of two threads at once, one writes the line. */
    return atomic_compare_exchange_strong(&pace->told_ms, &told_ms, now_ms > 0 ? now_ms : 1);
}

struct log_name log_pubkey(const struct trade_pubkey *key)
{
    uint8_t hash[BLAKE3_OUT_SIZE];
    struct log_name name = {.text = ""};

    blake3_keyed(hash, the_log.salt, key->hex, TRADE_PUBKEY_LEN);
    hex_encode(name.text, hash, 4);
    return name;
}

bool log_is_debug(void)
{
    return the_log.level >= LOG_LEVEL_DEBUG;
}

struct log_name log_step_name(const struct trade_pubkey *key)
{
    struct log_name name = {.text = ""};

    if (!trace_find(key, &name) && log_is_debug())
        name = log_pubkey(key);
    return name;
}

void log_step(const struct log_name *name, const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    int saved = errno;
    va_list args;

    if (the_log.is_silent || (!name->is_traced && !log_is_debug()))
        return;
    va_start(args, format);
    if (vsnprintf(text, sizeof text, format, args) >= 0 &&
        (!name->is_traced || trace_keep(name, format, text, clock_monotonic_ms())))
        put_line(name->is_traced ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, text);
    va_end(args);
    errno = saved;
}

void log_more_steps(int64_t now_ms)
{
    char text[TRACE_MORE_SIZE];
    int saved = errno;

    while (trace_take_more(text, now_ms))
        if (!the_log.is_silent)
            put_line(LOG_LEVEL_INFO, text);
    errno = saved;
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '+' || c == '/' || c == '=';
}

/* A run of these that holds a digit and a dot or colon may be an address, or, with `://`, is a
 * URL. */
static bool is_address_like(char c)
{
    return is_word(c) || c == '.' || c == ':' || c == '[' || c == ']' || c == '%' || c == '?' ||
           c == '&' || c == '@' || c == '~' || c == '#';
}

/* Whether four numbers joined by dots begin here (RFC 791's notation, in any range). */
static bool is_ipv4_at(const char *text, size_t len)
{
    size_t at = 0;

    for (int group = 0; group < 4; group++) {
        size_t digits = 0;

        while (at < len && digits < 4 && text[at] >= '0' && text[at] <= '9') {
            digits++;
            at++;
        }
        if (digits == 0 || digits > 3)
            return false;
        if (group < 3 && (at == len || text[at++] != '.'))
            return false;
    }
    return true;
}

static bool holds_address(const char *run, size_t len)
{
    size_t colons = 0, digits = 0;

    for (size_t i = 0; i < len; i++) {
        if (is_ipv4_at(run + i, len - i))
            return true;
        if (run[i] != ':' && hex_digit(run[i]) < 0) {
            colons = digits = 0;
            continue;
        }
        colons += run[i] == ':';
        digits += run[i] != ':';
        if (colons >= 2 && digits > 0)
            return true;
    }
    return false;
}

/* Whether this has a scheme, or a path after a name with a dot. */
static bool holds_url(const char *run, size_t len)
{
    const char *dot = memchr(run, '.', len);

    return memmem(run, len, "://", 3) != NULL ||
           (dot != NULL && memchr(dot, '/', len - (size_t)(dot - run)) != NULL);
}

static bool holds_secret(const char *run, size_t len)
{
    size_t word = 0, telling = 0;

    for (size_t i = 0; i < len; i++) {
        bool part = is_word(run[i]);

        word = part ? word + 1 : 0;
        telling =
            part ? telling + ((run[i] >= '0' && run[i] <= '9') || (run[i] >= 'A' && run[i] <= 'Z'))
                 : 0;
        if (word > ANY_RUN_MAX || (word >= SECRET_RUN_MIN && telling > 0))
            return true;
    }
    return false;
}

static bool run_must_go(const char *run, size_t len)
{
    return holds_url(run, len) || holds_address(run, len) || holds_secret(run, len);
}

const char *log_redact(char out[LOG_REDACTED_SIZE], const char *text, size_t len)
{
    static const char mark[] = "[...]";
    size_t used = 0;

    for (size_t i = 0; i < len && used < REDACTED_CUT_AT;) {
        size_t run = 0;

        while (i + run < len && is_address_like(text[i + run]))
            run++;
        if (run == 0) {
            out[used++] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
            i++;
        } else if (run_must_go(text + i, run)) {
            memcpy(out + used, mark, sizeof mark - 1);
            used += sizeof mark - 1;
            i += run;
        } else {
            size_t room = REDACTED_CUT_AT - used;
            size_t take = run < room ? run : room;

            memcpy(out + used, text + i, take);
            used += take;
            i += run;
        }
    }
    out[used] = '\0';
    return out;
}
