#include "env_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/small_file.h"

struct entry {
    char *name;
    char *value;
    unsigned line;
};

struct env_file {
    struct entry *entries;
    size_t count;
    mode_t mode; /* these three only where it was read from a file */
    uid_t owner;
    gid_t group;
};

static bool is_name_char(char c, bool first)
{
    return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (!first && c >= '0' && c <= '9');
}

static size_t skip_blanks(const char *line, size_t at, size_t len)
{
    while (at < len && (line[at] == ' ' || line[at] == '\t'))
        at++;
    return at;
}

/* After a closing quote only blanks or a comment may follow. */
static bool ends_cleanly(const char *line, size_t at, size_t len)
{
    at = skip_blanks(line, at, len);
    return at == len || line[at] == '#';
}

static char double_quoted_escape(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case '"':
    case '\\':
    case '$':
        return c;
    default:
        return '\0';
    }
}

static bool read_quoted(const char *line, size_t at, size_t len, char *out)
{
    char quote = line[at++];

    while (at < len && line[at] != quote) {
        char c = line[at++];

        if (quote == '"' && c == '\\') {
            if (at == len)
                return false;
            c = double_quoted_escape(line[at++]);
            if (c == '\0')
                return false;
        }
        *out++ = c;
    }
    *out = '\0';
    return at < len && ends_cleanly(line, at + 1, len);
}

static void read_bare(const char *line, size_t at, size_t len, char *out)
{
    size_t end = at;

    while (end < len &&
           !(line[end] == '#' && end > at && (line[end - 1] == ' ' || line[end - 1] == '\t')))
        end++;
    while (end > at && (line[end - 1] == ' ' || line[end - 1] == '\t'))
        end--;
    memcpy(out, line + at, end - at);
    out[end - at] = '\0';
}

/* Returns false where the line is malformed; *entry stays empty for a blank line. */
static bool parse_line(const char *line, size_t len, struct entry *entry)
{
    size_t at = skip_blanks(line, 0, len), name;

    if (at == len || line[at] == '#')
        return true;
    if (len - at > 7 && memcmp(line + at, "export ", 7) == 0)
        at = skip_blanks(line, at + 7, len);
    name = at;
    while (at < len && is_name_char(line[at], at == name))
        at++;
    if (at == name || at == len || line[at] != '=')
        return false;
    if (memchr(line, '\0', len) != NULL)
        return false;

    entry->name = strndup(line + name, at - name);
    entry->value = calloc(1, len - at + 1);
    if (entry->name == NULL || entry->value == NULL)
        return false;
    at = skip_blanks(line, at + 1, len);
    if (at < len && (line[at] == '"' || line[at] == '\''))
        return read_quoted(line, at, len, entry->value);
    read_bare(line, at, len, entry->value);
    return true;
}

static void free_entry(struct entry *entry)
{
    if (entry->value != NULL)
        explicit_bzero(entry->value, strlen(entry->value));
    free(entry->value);
    free(entry->name);
}

static bool append(struct env_file *file, const struct entry *entry)
{
    struct entry *more = realloc(file->entries, (file->count + 1) * sizeof *more);

    if (more == NULL)
        return false;
    file->entries = more;
    file->entries[file->count++] = *entry;
    return true;
}

/* As editors on Windows put it before UTF-8. */
static size_t byte_order_mark(const char *text, size_t len)
{
    static const char mark[] = "\xef\xbb\xbf";
    const size_t size = sizeof mark - 1;

    return len >= size && memcmp(text, mark, size) == 0 ? size : 0;
}

struct env_file *env_file_parse(const char *path, const char *text, size_t len, FILE *errors)
{
    struct env_file *file = calloc(1, sizeof *file);
    size_t skipped = byte_order_mark(text, len);
    unsigned number = 0;

    text += skipped;
    len -= skipped;
    while (file != NULL && len > 0) {
        const char *newline = memchr(text, '\n', len);
        size_t line_len = newline != NULL ? (size_t)(newline - text) : len;
        size_t taken = newline != NULL ? line_len + 1 : line_len;
        struct entry entry = {.line = ++number};

        if (line_len > 0 && text[line_len - 1] == '\r')
            line_len--;
        if (!parse_line(text, line_len, &entry) || (entry.name != NULL && !append(file, &entry))) {
            (void)fprintf(errors, "%s:%u: expected NAME=value, without blanks around =\n", path,
                          number);
            free_entry(&entry);
            env_file_free(&file);
        }
        text += taken;
        len -= taken;
    }
    return file;
}

struct env_file *env_file_read(const char *path, FILE *errors)
{
    struct env_file *file = NULL;
    struct small_file found;

    switch (small_file_read(&found, path, SMALL_FILE_ANY, ENV_FILE_MAX_SIZE)) {
    case SMALL_FILE_OK:
        file = env_file_parse(path, found.text, found.len, errors);
        if (file != NULL) {
            file->mode = found.mode;
            file->owner = found.owner;
            file->group = found.group;
        }
        break;
    case SMALL_FILE_TOO_LARGE:
        (void)fprintf(errors, "%s: larger than %d bytes\n", path, ENV_FILE_MAX_SIZE);
        break;
    case SMALL_FILE_NOT_OPENED:
        if (errno == ENOENT)
            return NULL;
        /* fallthrough */
    default:
        (void)fprintf(errors, "%s: %s\n", path, strerror(errno));
        break;
    }
    small_file_wipe(&found);
    errno = EINVAL;
    return file;
}

const char *env_file_get(const struct env_file *file, const char *name)
{
    for (size_t i = file->count; i > 0; i--)
        if (strcmp(file->entries[i - 1].name, name) == 0)
            return file->entries[i - 1].value;
    return NULL;
}

const char *env_file_mend(const struct env_file *file)
{
    bool is_own_group = file->group == 0 || file->group == getegid() || geteuid() == 0;
    mode_t too_much = S_IRWXO | (is_own_group ? 0 : S_IRWXG);

    if ((file->mode & too_much) == 0)
        return NULL;
    /* Root's file for a group, as the package installs it, is of no use to us without that. */
    return file->owner == 0 && file->group != 0 && is_own_group ? "640" : "600";
}

const char *env_file_name(const struct env_file *file, size_t i, unsigned *line)
{
    if (i >= file->count)
        return NULL;
    *line = file->entries[i].line;
    return file->entries[i].name;
}

void env_file_free(struct env_file **file)
{
    if (*file == NULL)
        return;
    for (size_t i = 0; i < (*file)->count; i++)
        free_entry(&(*file)->entries[i]);
    free((*file)->entries);
    free(*file);
    *file = NULL;
}
