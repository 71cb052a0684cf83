/* key_file: a private key from a file that only its owner can read. */
#ifndef MOSTRO_KEY_FILE_H
#define MOSTRO_KEY_FILE_H

#include <stddef.h>
#include <stdint.h>

#define KEY_FILE_KEY_SIZE 32

/* 64 hexadecimal characters, with white space around them or not. NULL when `key` is set; else what
 * is wrong with the file, in words for an operator. */
const char *key_file_read(const char *path, uint8_t key[KEY_FILE_KEY_SIZE]);

/* Whatever is in it: NULL when `text` has *len bytes, fewer than `size`; the caller wipes them. */
const char *key_file_read_text(const char *path, char *text, size_t size, size_t *len);

#endif
