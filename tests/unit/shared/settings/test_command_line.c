#include "settings/command_line.h"

#include <string.h>

#include "unit.h"

static const struct command_line_option common[] = {
    {.name = "--check", .with = "--live", .about = "Check."},
    {.name = NULL},
};
static const struct command_line_option own[] = {
    {.name = "--relay",
     .arguments = "URL",
     .with = "--publish",
     .about = "Try a relay.\nAll of it."},
    {.name = "--trace", .arguments = "PUBKEY MINUTES", .about = "Trace."},
    {.name = NULL},
};
static const struct command_line_option *const tables[] = {common, own, NULL};

static struct command_line line;
static char errors[200];

/* The words after the program's name. */
#define PARSE(...)                               \
    parse((const char *[]){"test", __VA_ARGS__}, \
          sizeof((const char *[]){"test", __VA_ARGS__}) / sizeof(char *))

static bool parse(const char **words, size_t count)
{
    FILE *to = fmemopen(errors, sizeof errors, "w");
    bool good;

    ck_assert_ptr_nonnull(to);
    errors[0] = '\0';
    good = command_line_parse(&line, tables, (int)count, (char **)words, "test", to);
    (void)fclose(to);
    return good;
}

START_TEST(nothing_is_its_work)
{
    ck_assert(parse((const char *[]){"test"}, 1));
    ck_assert_ptr_null(line.option);
}
END_TEST

START_TEST(an_option_is_found_in_either_table)
{
    ck_assert(PARSE("--check"));
    ck_assert_ptr_eq(line.option, &common[0]);
    ck_assert(!line.has_with);
    ck_assert(PARSE("--relay", "wss://x"));
    ck_assert_ptr_eq(line.option, &own[0]);
    ck_assert_str_eq(line.arguments[0], "wss://x");
}
END_TEST

START_TEST(an_option_takes_its_arguments)
{
    ck_assert(PARSE("--trace", "ab", "--check"));
    ck_assert_ptr_eq(line.option, &own[1]);
    ck_assert_str_eq(line.arguments[0], "ab");
    ck_assert_str_eq(line.arguments[1], "--check");
    ck_assert(!PARSE("--trace", "ab"));
    ck_assert_str_eq(errors, "test: --trace needs PUBKEY MINUTES\n");
    ck_assert(!PARSE("--relay"));
    ck_assert_str_eq(errors, "test: --relay needs URL\n");
}
END_TEST

START_TEST(what_may_stand_beside_it)
{
    ck_assert(PARSE("--check", "--live"));
    ck_assert(line.has_with);
    ck_assert(PARSE("--publish", "--relay", "wss://x"));
    ck_assert(line.has_with);
    ck_assert_str_eq(line.arguments[0], "wss://x");
    ck_assert(!PARSE("--check", "--publish"));
    ck_assert_str_eq(errors, "test: --publish: only with --relay\n");
    ck_assert(!PARSE("--live"));
    ck_assert_str_eq(errors, "test: --live: only with --check\n");
}
END_TEST

START_TEST(what_makes_no_sense_is_refused)
{
    ck_assert(!PARSE("--chekc"));
    ck_assert_str_eq(errors, "test: no such option; see --help\n");
    ck_assert(!PARSE(""));
    ck_assert(!PARSE("--check", "more"));
    ck_assert(!PARSE("--check", "--trace", "ab", "5"));
    ck_assert_str_eq(errors, "test: --check and --trace: one at a time\n");
}
END_TEST

START_TEST(every_option_is_printed)
{
    char text[300] = "";
    FILE *to = fmemopen(text, sizeof text, "w");

    ck_assert_ptr_nonnull(to);
    command_line_print(common, to);
    command_line_print(own, to);
    (void)fclose(to);
    ck_assert_str_eq(text, "  --check [--live]\n      Check.\n"
                           "  --relay URL [--publish]\n      Try a relay.\n      All of it.\n"
                           "  --trace PUBKEY MINUTES\n      Trace.\n");
}
END_TEST

UNIT_MAIN("command_line", nothing_is_its_work, an_option_is_found_in_either_table,
          an_option_takes_its_arguments, what_may_stand_beside_it, what_makes_no_sense_is_refused,
          every_option_is_printed)
