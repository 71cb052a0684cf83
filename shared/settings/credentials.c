#include "credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *credentials_find(const char *directory, const char *name)
{
    size_t head, size;
    char *path;

    if (directory == NULL || directory[0] != '/' || name[0] == '/' || name[0] == '\0')
        return NULL;
    head = strlen(directory) + 1;
    size = head + strlen(name) + 1;
    path = malloc(size);
    if (path == NULL)
        return NULL;
    (void)snprintf(path, size, "%s/%s", directory, name);
    for (char *slash = path + head; (slash = strchr(slash, '/')) != NULL;)
        *slash = '_';
    if (access(path, F_OK) != 0) {
        free(path);
        path = NULL;
    }
    return path;
}
