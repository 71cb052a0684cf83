#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "settings/env_file.h"

static struct env_file *parse(const char *text)
{
    char *message = NULL;
    size_t size = 0;
    FILE *errors = open_memstream(&message, &size);
    struct env_file *file = env_file_parse("env", text, strlen(text), errors);

    (void)fclose(errors);
    ck_assert_int_eq(file == NULL, size > 0);
    free(message);
    return file;
}

static void assert_value(const char *text, const char *name, const char *value)
{
    struct env_file *file = parse(text);

    ck_assert_ptr_nonnull(file);
    ck_assert_str_eq(env_file_get(file, name), value);
    env_file_free(&file);
    ck_assert_ptr_null(file);
}

START_TEST(values_are_read_in_every_form)
{
    assert_value("A=1", "A", "1");
    assert_value("A=1\nB=2\n", "B", "2");
    assert_value("# c\n\n  export A=\n", "A", "");
}
END_TEST

START_TEST(bare_values)
{
    assert_value("A=x y # comment", "A", "x y");
    assert_value("A=x#y", "A", "x#y");
    assert_value("A=  x  ", "A", "x");
    assert_value("A=", "A", "");
    assert_value("A=1\r\nB=2\r\n", "A", "1");
    assert_value("A=1\nA=2", "A", "2");
    assert_value("export A=1", "A", "1");
}
END_TEST

START_TEST(quoted_values)
{
    assert_value("A='x # \\n'  # comment", "A", "x # \\n");
    assert_value("A=\"a\\\"b\\\\c\\n\\t\\$d\"", "A", "a\"b\\c\n\t$d");
    assert_value("A=\"\"", "A", "");
}
END_TEST

/* And nowhere else. */
START_TEST(a_byte_order_mark_is_skipped)
{
    assert_value("\xef\xbb\xbf"
                 "A=1\nB=2",
                 "A", "1");
    ck_assert_ptr_null(parse("\xef\xbb"
                             "A=1"));
    ck_assert_ptr_null(parse("A=1\n\xef\xbb\xbf"
                             "B=2"));
}
END_TEST

START_TEST(names_are_told_with_their_lines)
{
    struct env_file *file = parse("# c\nA=1\n\nexport B=2\nA=3");
    unsigned line = 0;

    ck_assert_str_eq(env_file_name(file, 0, &line), "A");
    ck_assert_uint_eq(line, 2);
    ck_assert_str_eq(env_file_name(file, 1, &line), "B");
    ck_assert_uint_eq(line, 4);
    ck_assert_str_eq(env_file_name(file, 2, &line), "A");
    ck_assert_uint_eq(line, 5);
    ck_assert_ptr_null(env_file_name(file, 3, &line));
    env_file_free(&file);
}
END_TEST

START_TEST(malformed_lines_are_refused)
{
    static const char *const texts[] = {"A",         "A =1",      "=1",      "1A=2",
                                        "A B=1",     "A=\"x",     "A='x",    "A='x' y",
                                        "A=\"\\q\"", "A=1\nnope", "A=\"x\\", "export =1\n"};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        ck_assert_msg(parse(texts[i]) == NULL, "%s", texts[i]);
}
END_TEST

START_TEST(an_error_names_the_line_and_not_the_value)
{
    char *message = NULL;
    size_t size = 0;
    FILE *errors = open_memstream(&message, &size);

    ck_assert_ptr_null(env_file_parse("/etc/x", "A=1\nB='geheim", 13, errors));
    (void)fclose(errors);
    ck_assert_str_eq(message, "/etc/x:2: expected NAME=value, without blanks around =\n");
    free(message);
}
END_TEST

START_TEST(a_missing_file_and_a_huge_one)
{
    char path[] = "/tmp/test_env_file.XXXXXX", block[4096];
    int fd = mkstemp(path);
    FILE *errors = tmpfile();

    ck_assert_int_ge(fd, 0);
    memset(block, '\n', sizeof block);
    for (int i = 0; i < ENV_FILE_MAX_SIZE / 4096; i++)
        ck_assert_int_eq(write(fd, block, sizeof block), sizeof block);
    struct env_file *file = env_file_read(path, errors);
    ck_assert_ptr_nonnull(file);
    env_file_free(&file);
    ck_assert_int_eq(write(fd, "\n", 1), 1);
    ck_assert_ptr_null(env_file_read(path, errors));
    ck_assert_int_eq(errno, EINVAL);
    (void)close(fd);
    (void)unlink(path);
    ck_assert_ptr_null(env_file_read(path, errors));
    ck_assert_int_eq(errno, ENOENT);
    (void)fclose(errors);
}
END_TEST

UNIT_MAIN("env_file", values_are_read_in_every_form, bare_values, quoted_values,
          a_byte_order_mark_is_skipped, names_are_told_with_their_lines,
          malformed_lines_are_refused, an_error_names_the_line_and_not_the_value,
          a_missing_file_and_a_huge_one)
