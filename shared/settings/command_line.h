/* command_line: what a program is asked to do in place of its work: the options that it has, and
 * which of them was given. Pure. */
#ifndef MOSTRO_COMMAND_LINE_H
#define MOSTRO_COMMAND_LINE_H

#include <stdbool.h>
#include <stdio.h>

#define COMMAND_LINE_ARGUMENTS 2 /* of an option, at most */

struct settings;
struct command_line;

/* A row of a table, which ends with one without a name. One of them is given at a time. */
struct command_line_option {
    const char *name;      /* "--check-relay" */
    const char *arguments; /* what follows it, as --help names it, "URL"; NULL for nothing */
    const char *with;      /* what may stand beside it, "--publish"; NULL for nothing */
    const char *about;     /* for --help: a sentence in lines, each but the last ends with \n */
    bool is_before_settings;
    /* What it does; returns the exit status. Without settings where it is done before them. What
     * is logged goes to stderr. */
    int (*run)(const struct settings *settings, const struct command_line *line);
};

struct command_line {
    const struct command_line_option *option; /* NULL: the program is to do its work */
    const char *arguments[COMMAND_LINE_ARGUMENTS];
    bool has_with;
};

/* Looks for options in `tables`, which ends with NULL. False: `errors` has been told what is wrong,
 * after the program's name. Keeps pointers to argv's strings. */
bool command_line_parse(struct command_line *line, const struct command_line_option *const *tables,
                        int argc, char **argv, const char *program, FILE *errors);

/* For --help, an option's first line is "  --check-relay URL [--publish]". */
void command_line_print(const struct command_line_option *table, FILE *to);

#endif
