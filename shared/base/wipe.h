/* wipe: the end of text that was secret. */
#ifndef MOSTRO_WIPE_H
#define MOSTRO_WIPE_H

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

/* NULL is nothing. */
static inline void wipe_free_bytes(char *text, size_t len)
{
    if (text != NULL)
        OPENSSL_cleanse(text, len);
    free(text);
}

static inline void wipe_free(char *text)
{
    wipe_free_bytes(text, text != NULL ? strlen(text) : 0);
}

#endif
