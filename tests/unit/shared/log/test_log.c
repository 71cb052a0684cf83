/* With it <syslog.h> has a syslog() of its own, and here is another. */
#undef _FORTIFY_SOURCE

#include "unit.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "log/log.h"

#define PUBKEY "00a1b2c3d4e5f60718293a4b5c6d7e8f00a1b2c3d4e5f60718293a4b5c6d7e8f"

/* ---- A syslog that is this program's own, instead of libc's ---------------------------------- */

static struct {
    const char *ident;
    int option, facility;
    unsigned opened, lines;
    int priority[8];
    char text[8][2048];
    int error; /* of who asks for it; 0: it is there */
} the_syslog;

/* Of its socket. */
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
    ck_assert_int_ge(fd, 0);
    ck_assert_uint_eq(len, sizeof(struct sockaddr_un));
    ck_assert_str_eq(((const struct sockaddr_un *)address)->sun_path, "/dev/log");
    errno = the_syslog.error;
    return the_syslog.error == 0 ? 0 : -1;
}

void openlog(const char *ident, int option, int facility)
{
    the_syslog.ident = ident;
    the_syslog.option = option;
    the_syslog.facility = facility;
    the_syslog.opened++;
}

static void take_line(int priority, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void take_line(int priority, const char *format, va_list args)
{
    ck_assert_uint_lt(the_syslog.lines, 8);
    the_syslog.priority[the_syslog.lines] = priority;
    (void)vsnprintf(the_syslog.text[the_syslog.lines++], sizeof the_syslog.text[0], format, args);
    errno = EPIPE; /* as the real one may */
}

void syslog(int priority, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    take_line(priority, format, args);
    va_end(args);
}

/* What syslog() is called where _FORTIFY_SOURCE is on. */
void __syslog_chk(int priority, int flag, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void __syslog_chk(int priority, int flag, const char *format, ...)
{
    va_list args;

    (void)flag;
    va_start(args, format);
    take_line(priority, format, args);
    va_end(args);
}

/* ---- stderr ---------------------------------------------------------------------------------- */

/* What the calls of `write_lines` put on stderr. */
static char *captured(void (*write_lines)(void))
{
    static char text[4096];
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    size_t len;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(dup2(fileno(file), STDERR_FILENO), 0);
    write_lines();
    ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
    (void)close(saved);
    rewind(file);
    len = fread(text, 1, sizeof text - 1, file);
    text[len] = '\0';
    (void)fclose(file);
    return text;
}

static void write_nasty_line(void)
{
    log_warn("one\ntwo\x1b[31m\x80%s", "");
}

START_TEST(one_call_is_one_line)
{
    const char *text;

    log_open("test", LOG_LEVEL_INFO, LOG_TARGET_STDERR);
    text = captured(write_nasty_line);
    ck_assert_ptr_nonnull(strstr(text, "warn: one\\x0atwo\\x1b[31m\\x80\n"));
    ck_assert_ptr_eq(strchr(text, '\n') + 1, text + strlen(text));
}
END_TEST

static void write_all_levels(void)
{
    log_error("e");
    log_warn("w");
    log_info("i");
    log_debug("d");
}

START_TEST(levels_below_the_threshold_are_silent)
{
    const char *text;

    log_open("test", LOG_LEVEL_WARN, LOG_TARGET_STDERR);
    text = captured(write_all_levels);
    ck_assert_ptr_nonnull(strstr(text, "error: e\n"));
    ck_assert_ptr_nonnull(strstr(text, "warn: w\n"));
    ck_assert_ptr_null(strstr(text, "info"));
    ck_assert_ptr_null(strstr(text, "debug"));
}
END_TEST

static void write_long_line(void)
{
    log_error("%01500d", 7);
}

START_TEST(a_long_line_is_cut_and_ended)
{
    const char *text;

    log_open("test", LOG_LEVEL_INFO, LOG_TARGET_STDERR);
    text = captured(write_long_line);
    ck_assert_uint_le(strlen(text), 1024);
    ck_assert_int_eq(text[strlen(text) - 1], '\n');
}
END_TEST

START_TEST(errno_is_kept)
{
    log_open("test", LOG_LEVEL_INFO, LOG_TARGET_STDERR);
    errno = EXDEV;
    (void)captured(write_all_levels);
    errno = EXDEV;
    log_debug("nothing");
    ck_assert_int_eq(errno, EXDEV);
}
END_TEST

START_TEST(syslog_gets_each_line_and_stderr_none)
{
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    static const char *const texts[] = {"e", "w", "i", "d"};

    memset(&the_syslog, 0, sizeof the_syslog);
    log_open("test", LOG_LEVEL_DEBUG, LOG_TARGET_SYSLOG);
    ck_assert_uint_eq(the_syslog.opened, 1);
    ck_assert_str_eq(the_syslog.ident, "test");
    ck_assert_int_eq(the_syslog.option, LOG_PID);
    ck_assert_int_eq(the_syslog.facility, LOG_DAEMON);
    ck_assert_str_eq(captured(write_all_levels), "");
    ck_assert_uint_eq(the_syslog.lines, 4);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(the_syslog.priority[i], priorities[i]);
        ck_assert_str_eq(the_syslog.text[i], texts[i]);
    }
}
END_TEST

START_TEST(syslog_is_used_like_stderr)
{
    memset(&the_syslog, 0, sizeof the_syslog);
    log_open("test", LOG_LEVEL_WARN, LOG_TARGET_SYSLOG);
    log_info("below the threshold");
    ck_assert_uint_eq(the_syslog.lines, 0);
    errno = EXDEV;
    write_nasty_line();
    ck_assert_int_eq(errno, EXDEV);
    log_error("a peer's %s is no format", "%s%n");
    write_long_line();
    ck_assert_uint_eq(the_syslog.lines, 3);
    ck_assert_str_eq(the_syslog.text[0], "one\\x0atwo\\x1b[31m\\x80");
    ck_assert_str_eq(the_syslog.text[1], "a peer's %s%n is no format");
    ck_assert_uint_le(strlen(the_syslog.text[2]), 1024);
}
END_TEST

static void open_for_syslog(void)
{
    log_open("test", LOG_LEVEL_ERROR, LOG_TARGET_SYSLOG);
    log_error("e");
}

/* Whatever the level, one line says so. */
START_TEST(without_syslog_there_is_stderr)
{
    char *text;

    memset(&the_syslog, 0, sizeof the_syslog);
    the_syslog.error = ENOENT;
    text = captured(open_for_syslog);
    ck_assert_msg(strstr(text,
                         " warn: log: LOG_TARGET=syslog, but nobody takes lines at /dev/log (No "
                         "such file or directory): logging to stderr\n") != NULL,
                  "%s", text);
    ck_assert_ptr_nonnull(strstr(text, " error: e\n"));
    ck_assert_uint_eq(the_syslog.opened, 0);
    ck_assert_uint_eq(the_syslog.lines, 0);
}
END_TEST

/* Some listen for streams, which syslog() finds out. */
START_TEST(syslog_may_be_of_another_type)
{
    memset(&the_syslog, 0, sizeof the_syslog);
    the_syslog.error = EPROTOTYPE;
    ck_assert_str_eq(captured(open_for_syslog), "");
    ck_assert_uint_eq(the_syslog.lines, 1);
}
END_TEST

/* How JOURNAL_STREAM names stderr, by its device and inode: as it is, or not quite. */
static struct {
    unsigned device, inode; /* to be added */
    const char *rest;
} named;

static void open_for_journal(void)
{
    struct stat status;
    char stream[64];

    ck_assert_int_eq(fstat(STDERR_FILENO, &status), 0);
    (void)snprintf(stream, sizeof stream, "%llu:%llu%s",
                   (unsigned long long)status.st_dev + named.device,
                   (unsigned long long)status.st_ino + named.inode, named.rest);
    ck_assert_int_eq(setenv("JOURNAL_STREAM", stream, 1), 0);
    log_open("test", LOG_LEVEL_DEBUG, LOG_TARGET_STDERR);
    log_error("e");
    log_warn("w");
    log_info("i");
    log_debug("d");
}

START_TEST(the_journal_gets_priorities)
{
    static const char *const parts[] = {"<3>2", " error: e\n<4>2", " warn: w\n<6>2",
                                        " info: i\n<7>2", " debug: d\n"};
    const char *text, *at;

    named.rest = "";
    text = at = captured(open_for_journal);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        at = strstr(at, parts[i]);
        ck_assert_msg(at != NULL, "no %s in %s", parts[i], text);
    }
    ck_assert_ptr_eq(strstr(text, "<3>"), text);
    log_open("test", LOG_LEVEL_INFO, LOG_TARGET_STDERR); /* which is another by now */
    ck_assert_int_eq(captured(write_nasty_line)[0], '2');
}
END_TEST

/* A shell may have led stderr elsewhere. */
START_TEST(what_is_not_the_journal_gets_none)
{
    static const struct {
        unsigned device, inode;
        const char *rest;
    } cases[] = {{1, 0, ""}, {0, 1, ""}, {0, 0, "0"}, {0, 0, " "}, {0, 0, ":1"}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        named.device = cases[i].device;
        named.inode = cases[i].inode;
        named.rest = cases[i].rest;
        ck_assert_int_eq(captured(open_for_journal)[0], '2');
    }
}
END_TEST

START_TEST(stderr_is_not_syslog)
{
    memset(&the_syslog, 0, sizeof the_syslog);
    log_open("test", LOG_LEVEL_DEBUG, LOG_TARGET_STDERR);
    ck_assert_str_ne(captured(write_all_levels), "");
    ck_assert_uint_eq(the_syslog.opened, 0);
    ck_assert_uint_eq(the_syslog.lines, 0);
}
END_TEST

START_TEST(a_pubkey_has_a_name_of_this_process_only)
{
    struct trade_pubkey key;
    struct log_name first, second;

    ck_assert(trade_pubkey_parse(&key, PUBKEY, 64));
    log_open("test", LOG_LEVEL_INFO, LOG_TARGET_STDERR);
    first = log_pubkey(&key);
    ck_assert_uint_eq(strlen(first.text), 8);
    ck_assert_ptr_null(strstr(PUBKEY, first.text));
    ck_assert_str_eq(first.text, log_pubkey(&key).text);
    log_open("test", LOG_LEVEL_INFO, LOG_TARGET_STDERR);
    second = log_pubkey(&key);
    ck_assert_str_ne(first.text, second.text);
}
END_TEST

START_TEST(a_name_for_debug_lines_is_made_only_where_they_are_written)
{
    struct trade_pubkey key;

    ck_assert(trade_pubkey_parse(&key, PUBKEY, 64));
    log_open("test", LOG_LEVEL_INFO, LOG_TARGET_STDERR);
    ck_assert(!log_is_debug());
    ck_assert_str_eq(log_step_name(&key).text, "");
    log_open("test", LOG_LEVEL_DEBUG, LOG_TARGET_STDERR);
    ck_assert(log_is_debug());
    ck_assert_str_eq(log_step_name(&key).text, log_pubkey(&key).text);
}
END_TEST

START_TEST(text_from_peers_loses_what_identifies)
{
    static const struct {
        const char *text, *redacted;
    } cases[] = {
        {"auth-required: please authenticate", "auth-required: please authenticate"},
        {"blocked: " PUBKEY " is banned", "blocked: [...] is banned"},
        {"bad token fGh3:APA91bHx0123456789", "bad token [...]"},
        {"see https://push.example.org/a for more", "see [...] for more"},
        {"from 192.0.2.77 or 2001:db8::1", "from [...] or [...]"},
        {"from 192.0.2.77:4433", "from [...]"},
        {"rate-limited: 12.5 a second", "rate-limited: 12.5 a second"},
        {"line\nbreak", "line?break"},
        {"ip=203.0.113.5", "[...]"},
        {"addr:203.0.113.5.", "[...]"},
        {"203.0.113.0/24, client-203.0.113.5", "[...], [...]"},
        {"at 2001:db8:1:2::/64 or fe80::1%eth0", "at [...] or [...]"},
        {"see example.org/up?x=ab12", "see [...]"},
        {"version 1.2.3, 5 of 7", "version 1.2.3, 5 of 7"},
        {"", ""},
    };
    char out[LOG_REDACTED_SIZE];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_str_eq(log_redact(out, cases[i].text, strlen(cases[i].text)), cases[i].redacted);
}
END_TEST

START_TEST(redacted_text_is_bounded)
{
    char text[5000], out[LOG_REDACTED_SIZE];

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 3 == 0 ? ' ' : 'x';
    ck_assert_uint_lt(strlen(log_redact(out, text, sizeof text)), LOG_REDACTED_SIZE);
    memset(text, '9', sizeof text);
    for (size_t i = 0; i < sizeof text; i += 20)
        text[i] = ' ';
    ck_assert_uint_lt(strlen(log_redact(out, text, sizeof text)), LOG_REDACTED_SIZE);
}
END_TEST

START_TEST(a_line_that_could_come_often_is_due_at_its_pace)
{
    struct log_pace pace = {0}, other = {0};

    ck_assert(log_is_due(&pace, 5000, 10000));
    ck_assert(!log_is_due(&pace, 5000, 10000));
    ck_assert(!log_is_due(&pace, 14999, 10000));
    ck_assert(log_is_due(&other, 14999, 10000));
    ck_assert(log_is_due(&pace, 15000, 10000));
    ck_assert(!log_is_due(&pace, 24999, 10000));
    /* A machine that has just been started. */
    ck_assert(log_is_due(&(struct log_pace){0}, 0, 10000));
}
END_TEST

UNIT_MAIN("log", one_call_is_one_line, levels_below_the_threshold_are_silent,
          a_long_line_is_cut_and_ended, errno_is_kept, syslog_gets_each_line_and_stderr_none,
          syslog_is_used_like_stderr, stderr_is_not_syslog, without_syslog_there_is_stderr,
          syslog_may_be_of_another_type, the_journal_gets_priorities,
          what_is_not_the_journal_gets_none, a_pubkey_has_a_name_of_this_process_only,
          a_name_for_debug_lines_is_made_only_where_they_are_written,
          text_from_peers_loses_what_identifies, redacted_text_is_bounded,
          a_line_that_could_come_often_is_due_at_its_pace)
