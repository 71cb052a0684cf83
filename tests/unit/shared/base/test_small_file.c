#include "base/small_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static char directory[] = "/tmp/mostro-push-small-file-XXXXXX";
static char path[sizeof directory + 16];
static struct small_file file;

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    (void)sprintf(path, "%s/file", directory);
}

static void teardown(void)
{
    small_file_wipe(&file);
    (void)unlink(path);
    ck_assert_int_eq(rmdir(directory), 0);
}

static void put(const char *text, mode_t mode)
{
    FILE *out = fopen(path, "we");

    ck_assert_ptr_nonnull(out);
    ck_assert_int_ge(fputs(text, out), 0);
    ck_assert_int_eq(fclose(out), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

static void expect_nothing(enum small_file_kind kind, size_t max, enum small_file_result result)
{
    ck_assert_int_eq(small_file_read(&file, path, kind, max), result);
    ck_assert_ptr_null(file.text);
    ck_assert_uint_eq(file.len, 0);
}

START_TEST(is_read_whole_up_to_its_limit)
{
    put("secret", 0640);
    for (int kind = SMALL_FILE_REGULAR; kind <= SMALL_FILE_ANY; kind++) {
        ck_assert_int_eq(small_file_read(&file, path, (enum small_file_kind)kind, 6),
                         SMALL_FILE_OK);
        ck_assert_uint_eq(file.len, 6);
        ck_assert_str_eq(file.text, "secret");
        ck_assert_uint_eq(file.mode, 0640);
        small_file_wipe(&file);
        ck_assert_ptr_null(file.text);
        expect_nothing((enum small_file_kind)kind, 5, SMALL_FILE_TOO_LARGE);
        ck_assert_uint_eq(file.mode, 0640);
    }
}
END_TEST

START_TEST(may_be_empty)
{
    put("", 0600);
    ck_assert_int_eq(small_file_read(&file, path, SMALL_FILE_REGULAR, 0), SMALL_FILE_OK);
    ck_assert_str_eq(file.text, "");
    ck_assert_uint_eq(file.len, 0);
}
END_TEST

/* Its size is given as 0, like that of other files without a disk. */
START_TEST(need_not_know_its_size)
{
    ck_assert_int_eq(small_file_read(&file, "/proc/self/stat", SMALL_FILE_REGULAR, 4096),
                     SMALL_FILE_OK);
    ck_assert_uint_gt(file.len, 10);
}
END_TEST

START_TEST(may_be_missing)
{
    expect_nothing(SMALL_FILE_REGULAR, 9, SMALL_FILE_NOT_OPENED);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_uint_eq(file.mode, 0);
    put("", 0600);
    (void)strcat(path, "/below");
    expect_nothing(SMALL_FILE_ANY, 9, SMALL_FILE_NOT_OPENED);
    ck_assert_int_eq(errno, ENOTDIR);
    path[strlen(path) - strlen("/below")] = '\0';
}
END_TEST

START_TEST(may_be_a_directory)
{
    (void)strcpy(path, directory);
    expect_nothing(SMALL_FILE_REGULAR, 9, SMALL_FILE_NOT_REGULAR);
    ck_assert_int_eq(errno, EISDIR);
    expect_nothing(SMALL_FILE_ANY, 9, SMALL_FILE_NOT_READ);
    ck_assert_int_eq(errno, EISDIR);
}
END_TEST

/* The pipe has no writer: a reader that waited would wait for ever. */
START_TEST(a_pipe_is_not_waited_for)
{
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    expect_nothing(SMALL_FILE_REGULAR, 9, SMALL_FILE_NOT_REGULAR);
}
END_TEST

START_TEST(a_pipe_is_read_where_it_may_be_one)
{
    char name[32];
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(write(ends[1], "secret", 6), 6);
    ck_assert_int_eq(close(ends[1]), 0);
    (void)sprintf(name, "/dev/fd/%d", ends[0]);
    ck_assert_int_eq(small_file_read(&file, name, SMALL_FILE_ANY, 9), SMALL_FILE_OK);
    ck_assert_str_eq(file.text, "secret");
    (void)close(ends[0]);
}
END_TEST

UNIT_MAIN_WITH("small_file", setup, teardown, is_read_whole_up_to_its_limit, may_be_empty,
               need_not_know_its_size, may_be_missing, may_be_a_directory, a_pipe_is_not_waited_for,
               a_pipe_is_read_where_it_may_be_one)
