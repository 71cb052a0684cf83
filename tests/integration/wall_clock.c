/* wall_clock: preloaded into a program, its time of day is as many milliseconds ahead as the file
 * in AHEAD says. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static long milliseconds(void)
{
    const char *name = getenv("AHEAD");
    char text[24] = "";
    int file = name != NULL ? open(name, O_RDONLY | O_CLOEXEC) : -1;

    if (file < 0)
        return 0;
    (void)!read(file, text, sizeof text - 1);
    (void)close(file);
    return strtol(text, NULL, 10);
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    long error = syscall(SYS_gettimeofday, now, zone);
    long ahead = error == 0 ? milliseconds() : 0;
    long microseconds = now->tv_usec + ahead % 1000 * 1000;

    now->tv_sec += ahead / 1000;
    if (microseconds < 0 || microseconds >= 1000000) {
        now->tv_sec += microseconds < 0 ? -1 : 1;
        microseconds += microseconds < 0 ? 1000000 : -1000000;
    }
    now->tv_usec = microseconds;
    return (int)error;
}
