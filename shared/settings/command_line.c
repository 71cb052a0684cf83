#include "command_line.h"

#include <string.h>

struct parser {
    struct command_line *line;
    const struct command_line_option *const *tables;
    const char *with; /* the one that was given */
    const char *program;
    FILE *errors;
};

static const struct command_line_option *
find(const struct parser *parser,
     bool (*is_it)(const struct command_line_option *option, const char *word), const char *word)
{
    for (size_t i = 0; parser->tables[i] != NULL; i++)
        for (const struct command_line_option *row = parser->tables[i]; row->name != NULL; row++)
            if (is_it(row, word))
                return row;
    return NULL;
}

static bool is_named(const struct command_line_option *option, const char *word)
{
    return strcmp(option->name, word) == 0;
}

static bool may_have(const struct command_line_option *option, const char *word)
{
    return option->with != NULL && strcmp(option->with, word) == 0;
}

/* "URL" is one, "PUBKEY MINUTES" are two. */
static int count_words(const char *words)
{
    int count = words != NULL ? 1 : 0;

    for (; words != NULL && *words != '\0'; words++)
        if (*words == ' ')
            count++;
    return count;
}

/* The number of words taken from `rest`, 0 for an error that was told. */
static int take(struct parser *parser, int count, char **rest)
{
    const struct command_line_option *option = find(parser, is_named, rest[0]);
    struct command_line *line = parser->line;
    int arguments;

    if (option == NULL && find(parser, may_have, rest[0]) != NULL) {
        parser->with = rest[0];
        return 1;
    }
    if (option == NULL) {
        (void)fprintf(parser->errors, "%s: no such option; see --help\n", parser->program);
        return 0;
    }
    if (line->option != NULL) {
        (void)fprintf(parser->errors, "%s: %s and %s: one at a time\n", parser->program,
                      line->option->name, option->name);
        return 0;
    }
    arguments = count_words(option->arguments);
    if (arguments > COMMAND_LINE_ARGUMENTS || count <= arguments) {
        (void)fprintf(parser->errors, "%s: %s needs %s\n", parser->program, option->name,
                      option->arguments);
        return 0;
    }
    line->option = option;
    for (int i = 0; i < arguments; i++)
        line->arguments[i] = rest[1 + i];
    return 1 + arguments;
}

bool command_line_parse(struct command_line *line, const struct command_line_option *const *tables,
                        int argc, char **argv, const char *program, FILE *errors)
{
    struct parser parser = {.line = line, .tables = tables, .program = program, .errors = errors};
    int taken;

    *line = (struct command_line){0};
    for (int i = 1; i < argc; i += taken) {
        taken = take(&parser, argc - i, &argv[i]);
        if (taken == 0)
            return false;
    }
    if (parser.with == NULL)
        return true;
    line->has_with = line->option != NULL && may_have(line->option, parser.with);
    if (!line->has_with)
        (void)fprintf(errors, "%s: %s: only with %s\n", program, parser.with,
                      find(&parser, may_have, parser.with)->name);
    return line->has_with;
}

/* Every line of it is set in. */
static void print_about(const char *about, FILE *to)
{
    for (const char *end = strchr(about, '\n'); end != NULL; end = strchr(about, '\n')) {
        (void)fprintf(to, "      %.*s\n", (int)(end - about), about);
        about = end + 1;
    }
    (void)fprintf(to, "      %s\n", about);
}

void command_line_print(const struct command_line_option *table, FILE *to)
{
    for (; table->name != NULL; table++) {
        (void)fprintf(to, "  %s", table->name);
        if (table->arguments != NULL)
            (void)fprintf(to, " %s", table->arguments);
        if (table->with != NULL)
            (void)fprintf(to, " [%s]", table->with);
        (void)fputc('\n', to);
        print_about(table->about, to);
    }
}
