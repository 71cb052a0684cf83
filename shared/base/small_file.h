/* small_file: a small file, read whole.
 *
 * The file may hold a secret, so no copy of it stays behind: text that could not be read whole is
 * wiped, and the caller wipes the rest. Takes as long as the disk does. Thread-safe. */
#ifndef MOSTRO_SMALL_FILE_H
#define MOSTRO_SMALL_FILE_H

#include <stddef.h>
#include <sys/types.h>

struct small_file {
    char *text; /* ends in a NUL that `len` does not count; NULL unless it was read whole */
    size_t len;
    mode_t mode; /* of a file that was opened: its permissions; else 0 */
    uid_t owner; /* of the same */
    gid_t group;
};

enum small_file_kind {
    SMALL_FILE_REGULAR, /* nothing else, and no waiting for the other end of a pipe */
    SMALL_FILE_ANY      /* a pipe, too, as a shell makes of <(command) */
};

enum small_file_result {
    SMALL_FILE_OK,
    SMALL_FILE_NOT_OPENED,  /* errno; ENOENT: there is none */
    SMALL_FILE_NOT_REGULAR, /* only where SMALL_FILE_REGULAR was asked for; EISDIR: a directory */
    SMALL_FILE_TOO_LARGE,   /* more than `max` bytes */
    SMALL_FILE_NOT_READ     /* errno; EISDIR: a directory; ENOMEM */
};

enum small_file_result small_file_read(struct small_file *file, const char *path,
                                       enum small_file_kind kind, size_t max);

/* Wipes and frees the text. After any result, and more than once. */
void small_file_wipe(struct small_file *file);

#endif
