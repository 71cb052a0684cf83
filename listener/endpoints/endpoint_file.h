/* endpoint_file: the endpoint file on its disk.
 *
 * The file holds secrets of devices: it has mode 0600, and a missing folder is made with 0700.
 * Under its name there is always a whole file: a new one is written beside it under a name of this
 * listener's own, and takes its place once it is on the disk. Functions take as long as the disk
 * does, and set errno where they fail. Not thread-safe. */
#ifndef MOSTRO_ENDPOINT_FILE_H
#define MOSTRO_ENDPOINT_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/small_file.h"

struct endpoint_file;

/* `name` is the listener's. NULL when out of memory. */
struct endpoint_file *endpoint_file_new(const char *path, const char *name);
void endpoint_file_free(struct endpoint_file **file);

enum endpoint_file_result {
    ENDPOINT_FILE_OK,
    ENDPOINT_FILE_ABSENT,
    ENDPOINT_FILE_UNUSABLE, /* larger than `max`, or no regular file */
    ENDPOINT_FILE_FAILED    /* errno */
};

/* Reads it whole; the caller wipes `found` after any result. */
enum endpoint_file_result endpoint_file_read(const struct endpoint_file *file, size_t max,
                                             struct small_file *found);

/* Keeps it as `<path>.damaged`, too, with mode 0600 and in place of an earlier one. Where the file
 * cannot have two names it is renamed. */
bool endpoint_file_set_aside(const struct endpoint_file *file);

/* Writes a new file, to the disk, beside the one there is. */
bool endpoint_file_prepare(const struct endpoint_file *file, const char *text, size_t len);

/* Then call one of these: the new file takes the old one's place, or is removed. */
bool endpoint_file_commit(const struct endpoint_file *file);
void endpoint_file_discard(const struct endpoint_file *file);

/* Whether others may look into the folder. */
bool endpoint_file_folder_is_open(const struct endpoint_file *file);

#endif
