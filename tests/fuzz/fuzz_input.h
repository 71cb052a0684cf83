/* fuzz_input: a fuzzer's bytes taken apart into strings, one a line. */
#ifndef MOSTRO_FUZZ_INPUT_H
#define MOSTRO_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What every target defines; libFuzzer calls it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy to write in and to free, of its own length, so that a step beyond is seen. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size > 0 ? size : 1);

    if (text == NULL)
        abort();
    if (size > 0)
        memcpy(text, data, size);
    return text;
}

/* Takes the bytes before the next newline, or all that is left, as a string to be freed. */
static inline char *fuzz_line(const uint8_t **data, size_t *size)
{
    const uint8_t *newline = memchr(*data, '\n', *size);
    size_t len = newline != NULL ? (size_t)(newline - *data) : *size;
    char *line = malloc(len + 1);

    if (line == NULL)
        abort();
    memcpy(line, *data, len);
    line[len] = '\0';
    *data += len + (newline != NULL);
    *size -= len + (newline != NULL);
    return line;
}

#endif
