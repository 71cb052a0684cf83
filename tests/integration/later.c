/* later: preloaded into a program, as many seconds have passed for it as the file in LATER says. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long seconds(void)
{
    const char *name = getenv("LATER");
    char text[16] = "";
    int file = name != NULL ? open(name, O_RDONLY | O_CLOEXEC) : -1;

    if (file < 0)
        return 0;
    (void)!read(file, text, sizeof text - 1);
    (void)close(file);
    return strtol(text, NULL, 10);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    long error = syscall(SYS_clock_gettime, clock, now);
    int before = errno;

    if (error == 0 && clock == CLOCK_MONOTONIC) {
        now->tv_sec += seconds();
        errno = before; /* libwebsockets asks for the time between connect() and a look at errno */
    }
    return (int)error;
}
