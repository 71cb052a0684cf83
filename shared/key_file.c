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

const char *key_file_read(const char *path, uint8_t key[KEY_FILE_KEY_SIZE])
{
    char text[TEXT_MAX];
    const char *problem = NULL;
    struct stat stat;
    ssize_t len;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return strerror(errno);
    if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode))
        problem = "is not a regular file";
    else if ((stat.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        problem = "can be read by others: chmod 600";
    if (problem == NULL) {
        len = read(fd, text, sizeof text);
        problem = len >= 0 ? parse(text, (size_t)len, key) : strerror(errno);
        explicit_bzero(text, sizeof text);
    }
    (void)close(fd);
    return problem;
}
