/* durable_file: files that are whole on the disk, or not there.
 *
 * What writes blocks as long as the disk does. False sets errno. Thread-safe. */
#ifndef MOSTRO_DURABLE_FILE_H
#define MOSTRO_DURABLE_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Makes the file, which must not exist, with mode 0600; it is removed again where it cannot be
 * written as a whole. */
bool durable_file_create(const char *path, const char *text, size_t len)
    __attribute__((warn_unused_result));

/* The folder that the path is in, to be freed; NULL when out of memory. */
char *durable_file_folder_of(const char *path);

/* Has what the folder says of its files on the disk, too. True also where a file system cannot do
 * that and says so. */
bool durable_file_sync_folder(const char *folder) __attribute__((warn_unused_result));

#endif
