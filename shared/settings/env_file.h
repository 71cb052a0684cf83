/* env_file: the text of a `.env` file as names and values.
 *
 * Lines `NAME=value` or `export NAME=value`; blank lines and lines that begin with `#` are skipped.
 * A value may stand in single quotes (taken as is) or double quotes (\" \\ \n \t \$ mean what they
 * say); bare values end before ` #`. Nothing is expanded. A later line wins. A byte order mark at
 * the beginning is skipped. */
#ifndef MOSTRO_ENV_FILE_H
#define MOSTRO_ENV_FILE_H

#include <stddef.h>
#include <stdio.h>

#define ENV_FILE_MAX_SIZE (64 * 1024)

struct env_file;

/* Pure; NULL on malformed text, and a line of `errors` says where in `path` (never the value). */
struct env_file *env_file_parse(const char *path, const char *text, size_t len, FILE *errors);

/* Reads and parses a file of at most ENV_FILE_MAX_SIZE. NULL with errno ENOENT and nothing printed
 * where there is no such file; NULL with errno EINVAL and an error printed otherwise. */
struct env_file *env_file_read(const char *path, FILE *errors);

/* NULL where absent. The value lives as long as the file. */
const char *env_file_get(const struct env_file *file, const char *name);

/* The names in it, in order: NULL beyond the last. *line is where it stands, from 1. It lives as
 * long as the file. */
const char *env_file_name(const struct env_file *file, size_t i, unsigned *line);

/* Where users other than the program's own can read or write the file: the mode that it should
 * have, for chmod(1); else NULL. A group is the program's own where it is its user's, or root's;
 * root, who may be here only to check, takes any group for that. */
const char *env_file_mend(const struct env_file *file);

/* Wipes the values, which may be secrets. */
void env_file_free(struct env_file **file);

#endif
