/* captured_log: what is logged goes to the test. */
#ifndef MOSTRO_CAPTURED_LOG_H
#define MOSTRO_CAPTURED_LOG_H

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

/* From here on, whatever is written to stderr; returns what to read it from, to be closed. */
static int capture_log(void)
{
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
    (void)close(ends[1]);
    return ends[0];
}

/* How often this has been logged since it was asked the last time. */
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
