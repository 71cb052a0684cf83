#include "small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wipe.h"

/* Up to `size` bytes, fewer only where the file ends. */
static bool read_up_to(int fd, char *text, size_t size, size_t *len)
{
    while (*len < size) {
        ssize_t n = read(fd, text + *len, size - *len);

        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return false;
        *len += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Room for `max` bytes costs only address space until they are read. */
static enum small_file_result read_whole(struct small_file *file, int fd, size_t max)
{
    file->text = malloc(max + 1);
    if (file->text == NULL || !read_up_to(fd, file->text, max + 1, &file->len))
        return SMALL_FILE_NOT_READ;
    if (file->len > max)
        return SMALL_FILE_TOO_LARGE;
    file->text[file->len] = '\0';
    return SMALL_FILE_OK;
}

static enum small_file_result read_open(struct small_file *file, int fd, enum small_file_kind kind,
                                        size_t max)
{
    struct stat found;

    if (fstat(fd, &found) != 0)
        return SMALL_FILE_NOT_READ;
    file->mode = found.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO);
    file->owner = found.st_uid;
    file->group = found.st_gid;
    if (kind == SMALL_FILE_REGULAR && !S_ISREG(found.st_mode)) {
        errno = S_ISDIR(found.st_mode) ? EISDIR : EINVAL;
        return SMALL_FILE_NOT_REGULAR;
    }
    return read_whole(file, fd, max);
}

enum small_file_result small_file_read(struct small_file *file, const char *path,
                                       enum small_file_kind kind, size_t max)
{
    int fd, error;
    enum small_file_result result;

    *file = (struct small_file){.text = NULL};
    fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (kind == SMALL_FILE_REGULAR ? O_NONBLOCK : 0));
    if (fd < 0)
        return SMALL_FILE_NOT_OPENED;
    result = read_open(file, fd, kind, max);
    error = errno;
    (void)close(fd);
    if (result != SMALL_FILE_OK)
        small_file_wipe(file);
    errno = error;
    return result;
}

void small_file_wipe(struct small_file *file)
{
    wipe_free_bytes(file->text, file->len);
    file->text = NULL;
    file->len = 0;
}
