#include "endpoints/endpoint_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

#define TEXT "{\n}\n"

/* ---- A disk that tells what it was asked to keep ----------------------------------------------
 */

static char synced[8];    /* f: a file, d: a folder */
static char fails_on;     /* one of these */
static bool was_in_place; /* when the folder was synced, the new file had its name */
static char new_path[96];

int fsync(int fd)
{
    struct stat found;
    char what;

    ck_assert_int_eq(fstat(fd, &found), 0);
    what = S_ISDIR(found.st_mode) ? 'd' : 'f';
    if (what == 'd')
        was_in_place = access(new_path, F_OK) != 0;
    ck_assert_uint_lt(strlen(synced), sizeof synced - 1);
    synced[strlen(synced)] = what;
    if (what != fails_on)
        return 0;
    errno = EIO;
    return -1;
}

/* ---- The file -------------------------------------------------------------------------------- */

static char top[] = "/tmp/mostro-push-endpoints-XXXXXX";
static char folder[64], path[80], aside_path[96];
static struct endpoint_file *file;

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(top));
    (void)snprintf(folder, sizeof folder, "%s/data", top);
    (void)snprintf(path, sizeof path, "%s/endpoints.json", folder);
    (void)snprintf(new_path, sizeof new_path, "%s.one.new", path);
    (void)snprintf(aside_path, sizeof aside_path, "%s.damaged", path);
    file = endpoint_file_new(path, "one");
    ck_assert_ptr_nonnull(file);
}

static void teardown(void)
{
    endpoint_file_free(&file);
    (void)unlink(path);
    (void)unlink(new_path);
    (void)unlink(aside_path);
    (void)rmdir(path);
    (void)rmdir(folder);
    (void)unlink(folder);
    ck_assert_int_eq(rmdir(top), 0); /* nothing else was left behind */
}

static mode_t mode_of(const char *name)
{
    struct stat found;

    ck_assert_int_eq(stat(name, &found), 0);
    return found.st_mode & 07777;
}

static void put(const char *name, const char *text, mode_t mode)
{
    int fd = open(name, O_WRONLY | O_CREAT, mode);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fchmod(fd, mode), 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

static void expect(const char *expected)
{
    struct small_file found;

    ck_assert_int_eq(endpoint_file_read(file, 100, &found), ENDPOINT_FILE_OK);
    ck_assert_str_eq(found.text, expected);
    small_file_wipe(&found);
}

static enum endpoint_file_result read_up_to(size_t max)
{
    struct small_file found;
    enum endpoint_file_result result = endpoint_file_read(file, max, &found);

    small_file_wipe(&found);
    return result;
}

START_TEST(what_was_written_is_read_and_private)
{
    mode_t mask = umask(0);

    ck_assert_int_eq(read_up_to(100), ENDPOINT_FILE_ABSENT);
    ck_assert(endpoint_file_prepare(file, TEXT, strlen(TEXT)));
    ck_assert_int_eq(read_up_to(100), ENDPOINT_FILE_ABSENT);
    ck_assert(endpoint_file_commit(file));
    expect(TEXT);
    ck_assert_uint_eq(mode_of(path), 0600);
    ck_assert_uint_eq(mode_of(folder), 0700);
    ck_assert(!endpoint_file_folder_is_open(file));
    ck_assert_int_eq(access(new_path, F_OK), -1);
    (void)umask(mask);
}
END_TEST

START_TEST(a_new_one_takes_the_place_of_an_old_one)
{
    ck_assert_int_eq(mkdir(folder, 0755), 0);
    ck_assert(endpoint_file_folder_is_open(file));
    put(path, "old", 0644);
    put(new_path, "of a listener that was killed", 0666);
    ck_assert(endpoint_file_prepare(file, TEXT, strlen(TEXT)));
    expect("old");
    ck_assert(endpoint_file_commit(file));
    expect(TEXT);
    ck_assert_uint_eq(mode_of(path), 0600);
}
END_TEST

/* First what is in it, then that it has this name: or a loss of power leaves an empty file. */
START_TEST(what_was_written_is_on_the_disk)
{
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    ck_assert(endpoint_file_prepare(file, TEXT, strlen(TEXT)));
    ck_assert_str_eq(synced, "f");
    ck_assert(endpoint_file_commit(file));
    ck_assert_str_eq(synced, "fd");
    ck_assert(was_in_place);
}
END_TEST

START_TEST(a_disk_that_does_not_keep_it_is_an_error)
{
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    put(path, "old", 0600);
    fails_on = 'f';
    ck_assert(!endpoint_file_prepare(file, TEXT, strlen(TEXT)));
    ck_assert_int_eq(errno, EIO);
    ck_assert_int_eq(access(new_path, F_OK), -1);
    expect("old");
    fails_on = 'd';
    ck_assert(endpoint_file_prepare(file, TEXT, strlen(TEXT)));
    ck_assert(!endpoint_file_commit(file));
    ck_assert_int_eq(errno, EIO);
}
END_TEST

START_TEST(what_is_discarded_leaves_nothing)
{
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    put(path, "old", 0600);
    ck_assert(endpoint_file_prepare(file, TEXT, strlen(TEXT)));
    endpoint_file_discard(file);
    expect("old");
    ck_assert_int_eq(access(new_path, F_OK), -1);
}
END_TEST

START_TEST(a_file_may_be_so_large)
{
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    put(path, TEXT, 0600);
    ck_assert_int_eq(read_up_to(strlen(TEXT)), ENDPOINT_FILE_OK);
    ck_assert_int_eq(read_up_to(strlen(TEXT) - 1), ENDPOINT_FILE_UNUSABLE);
}
END_TEST

START_TEST(a_damaged_one_is_set_aside_in_the_place_of_an_earlier_one)
{
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    put(aside_path, "earlier", 0600);
    put(path, "damaged", 0644);
    ck_assert(endpoint_file_set_aside(file));
    expect("damaged");
    ck_assert(endpoint_file_prepare(file, TEXT, strlen(TEXT)));
    ck_assert(endpoint_file_commit(file));
    expect(TEXT);
    ck_assert_uint_eq(mode_of(aside_path), 0600);
    ck_assert_int_eq(rename(aside_path, path), 0);
    expect("damaged");
}
END_TEST

START_TEST(what_cannot_have_two_names_is_renamed)
{
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert(endpoint_file_set_aside(file));
    ck_assert_int_eq(read_up_to(100), ENDPOINT_FILE_ABSENT);
    ck_assert_uint_eq(mode_of(aside_path), 0700);
    ck_assert_int_eq(rmdir(aside_path), 0);
}
END_TEST

START_TEST(what_is_no_file_is_not_waited_for)
{
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(read_up_to(100), ENDPOINT_FILE_UNUSABLE);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(read_up_to(100), ENDPOINT_FILE_UNUSABLE);
    ck_assert(endpoint_file_prepare(file, TEXT, strlen(TEXT)));
    ck_assert(!endpoint_file_commit(file));
    ck_assert_int_eq(errno, EISDIR);
    ck_assert_int_eq(access(new_path, F_OK), -1);
}
END_TEST

START_TEST(a_folder_that_cannot_be_is_an_error)
{
    put(folder, "a file", 0600);
    ck_assert_int_eq(read_up_to(100), ENDPOINT_FILE_ABSENT);
    ck_assert(!endpoint_file_prepare(file, TEXT, strlen(TEXT)));
    ck_assert_int_eq(errno, ENOTDIR);
}
END_TEST

START_TEST(no_link_is_followed)
{
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    ck_assert_int_eq(symlink("/dev/full", new_path), 0);
    ck_assert(endpoint_file_prepare(file, TEXT, strlen(TEXT)));
    ck_assert(endpoint_file_commit(file));
    expect(TEXT);
}
END_TEST

/* As by a process that hung, and that another of its name has replaced. */
START_TEST(two_writers_do_not_mix)
{
    int fd;

    ck_assert_int_eq(mkdir(folder, 0700), 0);
    put(new_path, "the other's", 0600);
    fd = open(new_path, O_WRONLY | O_APPEND);
    ck_assert(endpoint_file_prepare(file, TEXT, strlen(TEXT)));
    ck_assert_int_eq(write(fd, "more", 4), 4);
    (void)close(fd);
    ck_assert(endpoint_file_commit(file));
    expect(TEXT);
}
END_TEST

/* Stands for a full disk: from a size on, writing fails. */
START_TEST(half_a_file_is_no_file)
{
    struct rlimit before, small;

    ck_assert_int_eq(mkdir(folder, 0700), 0);
    put(path, "old", 0600);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = strlen(TEXT) - 1;
    (void)signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    ck_assert(!endpoint_file_prepare(file, TEXT, strlen(TEXT)));
    ck_assert_int_eq(errno, EFBIG);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(access(new_path, F_OK), -1);
    expect("old");
}
END_TEST

UNIT_MAIN_WITH("endpoint_file", setup, teardown, what_was_written_is_read_and_private,
               a_new_one_takes_the_place_of_an_old_one, what_was_written_is_on_the_disk,
               a_disk_that_does_not_keep_it_is_an_error, what_is_discarded_leaves_nothing,
               a_file_may_be_so_large, a_damaged_one_is_set_aside_in_the_place_of_an_earlier_one,
               what_cannot_have_two_names_is_renamed, what_is_no_file_is_not_waited_for,
               a_folder_that_cannot_be_is_an_error, no_link_is_followed, two_writers_do_not_mix,
               half_a_file_is_no_file)
