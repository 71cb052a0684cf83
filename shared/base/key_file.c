#include "key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hex.h"

#define TEXT_MAX 256

static const char *parse(const char *text, size_t len, uint8_t key[KEY_FILE_KEY_SIZE])
{
    static const char blanks[] = " \t\r\n";

    while (len > 0 && text[len - 1] != '\0' && strchr(blanks, text[len - 1]) != NULL)
        len--;
    while (len > 0 && *text != '\0' && strchr(blanks, *text) != NULL) {
        text++;
        len--;
    }
    return hex_decode(key, KEY_FILE_KEY_SIZE, text, len) ? NULL
                                                         : "does not hold 64 hex characters alone";
}

const char *key_file_read_text(const char *path, char *text, size_t size, size_t *len)
{
    const char *problem = NULL;
    struct stat stat;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        return strerror(errno);
    if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode))
        problem = "is not a regular file";
    else if ((stat.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        problem = "can be read by others: chmod 600";
    else if ((n = read(fd, text, size)) < 0)
        problem = strerror(errno);
    else if ((size_t)n == size)
        problem = "is too large to be a key";
    (void)close(fd);
    if (problem != NULL && n > 0)
        explicit_bzero(text, size);
    *len = problem == NULL ? (size_t)n : 0;
    return problem;
}

const char *key_file_read(const char *path, uint8_t key[KEY_FILE_KEY_SIZE])
{
    char text[TEXT_MAX];
    size_t len;
    const char *problem = key_file_read_text(path, text, sizeof text, &len);

    if (problem == NULL) {
        problem = parse(text, len, key);
        explicit_bzero(text, sizeof text);
    }
    return problem;
}
