/* captured_log: hands the log to the test. */
#ifndef MOSTRO_CAPTURED_LOG_H
#define MOSTRO_CAPTURED_LOG_H

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

/* Captures everything written to stderr from here on; returns the stream to read it from, to be
 * closed by the test. */
static int capture_log(void)
{
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
    (void)close(ends[1]);
    return ends[0];
}

/* How often this has been logged since the last call. */
static unsigned logged(int log, const char *what)
{
    static char text[65536];
    ssize_t n = read(log, text, sizeof text - 1);
    unsigned times = 0;

    text[n > 0 ? n : 0] = '\0';
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        times++;
    return times;
}

#endif
