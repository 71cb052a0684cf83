/* durable_file: files that are either whole on the disk or absent.
 *
 * Writing blocks as long as the disk does. False sets errno. Thread-safe. */
#ifndef MOSTRO_DURABLE_FILE_H
#define MOSTRO_DURABLE_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Makes the file, which must not exist, with mode 0600. Removes it again where it cannot be written
 * whole. */
bool durable_file_create(const char *path, const char *text, size_t len)
    __attribute__((warn_unused_result));

/* The folder of the path, to be freed by the caller; NULL when out of memory. */
char *durable_file_folder_of(const char *path);

/* The path from the root, to be freed by the caller; NULL when that cannot be told. */
char *durable_file_absolute(const char *path);

/* Puts the folder's list of files on the disk, too. Also true where the file system says that it
 * cannot. */
bool durable_file_sync_folder(const char *folder) __attribute__((warn_unused_result));

#endif
