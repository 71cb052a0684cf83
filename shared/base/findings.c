#include "findings.h"

#include <stdarg.h>

static void say(struct findings *findings, const char *verdict, const char *what,
                const char *format, va_list args) __attribute__((format(printf, 4, 0)));

static void say(struct findings *findings, const char *verdict, const char *what,
                const char *format, va_list args)
{
    char text[FINDINGS_LINE_SIZE];

    (void)vsnprintf(text, sizeof text, format, args);
    for (char *c = text; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
    (void)fprintf(findings->to, "%-4s %s: %s\n", verdict, what, text);
}

void findings_good(struct findings *findings, const char *what, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(findings, "ok", what, format, args);
    va_end(args);
    findings->good++;
}

void findings_bad(struct findings *findings, const char *what, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(findings, "BAD", what, format, args);
    va_end(args);
    findings->bad++;
}
