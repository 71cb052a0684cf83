#include "must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define LINE_MAX_SIZE 128

void must_failed(const char *file, int line)
{
    const char *slash = strrchr(file, '/');
    char text[LINE_MAX_SIZE];

    (void)snprintf(text, sizeof text - 1, "%s:%d: broken promise", slash != NULL ? slash + 1 : file,
                   line);
    syslog(LOG_CRIT, "%s", text);
    strcat(text, "\n");
    (void)!write(STDERR_FILENO, text, strlen(text));
    abort();
}
