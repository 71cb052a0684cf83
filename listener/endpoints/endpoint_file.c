#include "endpoint_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/durable_file.h"

struct endpoint_file {
    char *path, *folder, *aside, *new;
};

struct endpoint_file *endpoint_file_new(const char *path, const char *name)
{
    struct endpoint_file *file = calloc(1, sizeof *file);

    if (file == NULL)
        return NULL;
    file->path = strdup(path);
    file->folder = durable_file_folder_of(path);
    if (asprintf(&file->aside, "%s.damaged", path) < 0)
        file->aside = NULL;
    if (asprintf(&file->new, "%s.%s.new", path, name) < 0)
        file->new = NULL;
    if (file->path == NULL || file->folder == NULL || file->aside == NULL || file->new == NULL)
        endpoint_file_free(&file);
    return file;
}

void endpoint_file_free(struct endpoint_file **file)
{
    if (*file == NULL)
        return;
    free((*file)->path);
    free((*file)->folder);
    free((*file)->aside);
    free((*file)->new);
    free(*file);
    *file = NULL;
}

/* ---- Reading --------------------------------------------------------------------------------- */

enum endpoint_file_result endpoint_file_read(const struct endpoint_file *file, size_t max,
                                             struct small_file *found)
{
    switch (small_file_read(found, file->path, SMALL_FILE_REGULAR, max)) {
    case SMALL_FILE_OK:
        return ENDPOINT_FILE_OK;
    case SMALL_FILE_NOT_REGULAR:
    case SMALL_FILE_TOO_LARGE:
        return ENDPOINT_FILE_UNUSABLE;
    case SMALL_FILE_NOT_OPENED:
        return errno == ENOENT || errno == ENOTDIR ? ENDPOINT_FILE_ABSENT : ENDPOINT_FILE_FAILED;
    default:
        return ENDPOINT_FILE_FAILED;
    }
}

bool endpoint_file_set_aside(const struct endpoint_file *file)
{
    struct stat found;

    if (unlink(file->aside) != 0 && errno != ENOENT)
        return false;
    if (link(file->path, file->aside) != 0 && rename(file->path, file->aside) != 0)
        return false;
    /* Not for a link, whose target would get the mode, nor for a folder, which would be closed. */
    return lstat(file->aside, &found) == 0 &&
           (!S_ISREG(found.st_mode) || chmod(file->aside, S_IRUSR | S_IWUSR) == 0);
}

/* ---- Writing --------------------------------------------------------------------------------- */

bool endpoint_file_prepare(const struct endpoint_file *file, const char *text, size_t len)
{
    if (mkdir(file->folder, S_IRWXU) != 0 && errno != EEXIST)
        return false;
    /* A killed listener may have left one, and a process that hung may still be writing to it. */
    if (unlink(file->new) != 0 && errno != ENOENT)
        return false;
    return durable_file_create(file->new, text, len);
}

bool endpoint_file_commit(const struct endpoint_file *file)
{
    if (rename(file->new, file->path) == 0)
        return durable_file_sync_folder(file->folder);
    endpoint_file_discard(file);
    return false;
}

void endpoint_file_discard(const struct endpoint_file *file)
{
    int error = errno;

    (void)unlink(file->new);
    errno = error;
}

bool endpoint_file_folder_is_open(const struct endpoint_file *file)
{
    struct stat folder;

    return stat(file->folder, &folder) == 0 && (folder.st_mode & (S_IRWXG | S_IRWXO)) != 0;
}
