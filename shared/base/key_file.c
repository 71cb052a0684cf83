#include "key_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hex.h"

#define TEXT_MAX 255

static const char *parse(const char *text, size_t len, uint8_t key[KEY_FILE_KEY_SIZE])
{
    static const char blanks[] = " \t\r\n";

    while (len > 0 && text[len - 1] != '\0' && strchr(blanks, text[len - 1]) != NULL)
        len--;
    while (len > 0 && *text != '\0' && strchr(blanks, *text) != NULL) {
        text++;
        len--;
    }
    return hex_decode(key, KEY_FILE_KEY_SIZE, text, len)
               ? NULL
               : "does not hold 64 hex characters (not nsec1...) alone";
}

/* Systemd shows a credential to its program by an access list (acl(5)): such a file is root's, and
 * what is its group's in the mode is what the list may give at the most. */
static bool is_credential(const struct small_file *file)
{
    return file->owner == 0 && file->group == 0 && file->mode == (S_IRUSR | S_IRGRP);
}

/* Root's file for the program's own group alone, which may be no more than read by it. */
static bool is_shown_to_group(const struct small_file *file)
{
    const mode_t most = S_IRUSR | S_IWUSR | S_IRGRP;

    return file->owner == 0 && file->group != 0 && file->group == getegid() &&
           (file->mode | most) == most;
}

const char *key_file_read_text(const char *path, size_t max, struct small_file *file)
{
    enum small_file_result result = small_file_read(file, path, SMALL_FILE_REGULAR, max);

    if (result == SMALL_FILE_NOT_REGULAR)
        return "is not a regular file";
    if ((file->mode & (S_IRWXG | S_IRWXO)) != 0 && !is_credential(file) &&
        !is_shown_to_group(file)) {
        small_file_wipe(file);
        return "can be read by others: chmod 600";
    }
    if (result == SMALL_FILE_TOO_LARGE)
        return "is too large to be a key";
    return result == SMALL_FILE_OK ? NULL : strerror(errno);
}

const char *key_file_read(const char *path, uint8_t key[KEY_FILE_KEY_SIZE])
{
    struct small_file file;
    const char *problem = key_file_read_text(path, TEXT_MAX, &file);

    if (problem == NULL)
        problem = parse(file.text, file.len, key);
    small_file_wipe(&file);
    return problem;
}
