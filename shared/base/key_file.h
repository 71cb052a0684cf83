/* key_file: a private key from a file that only its owner can read (no permission for group or
 * others); or root's with mode 0440 or 0640 and the program's own primary group, which nobody else
 * should be in; or root's and root's group's with mode 0440, as systemd's credentials are. */
#ifndef MOSTRO_KEY_FILE_H
#define MOSTRO_KEY_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "small_file.h"

#define KEY_FILE_KEY_SIZE 32

/* 64 hexadecimal characters, with white space around them or not. NULL when `key` is set; else what
 * is wrong with the file, in words for an operator. */
const char *key_file_read(const char *path, uint8_t key[KEY_FILE_KEY_SIZE]);

/* The same of a key in another form: NULL when `file` holds its text, at most `max` bytes. */
const char *key_file_read_text(const char *path, size_t max, struct small_file *file);

#endif
