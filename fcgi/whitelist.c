#include "whitelist.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/small_file.h"
#include "device/trade_pubkey.h"
#include "trusted_mostro_pubkeys.h"

/* A Mostro instance's pubkey has the form of a trade pubkey (NIP-01). */
struct whitelist {
    struct trade_pubkey *pubkeys; /* sorted */
    size_t count;
};

static int compare(const void *a, const void *b)
{
    const struct trade_pubkey *one = a, *other = b;

    return strcmp(one->hex, other->hex);
}

static bool fill(struct whitelist *whitelist, const json_t *array)
{
    whitelist->pubkeys = calloc(json_array_size(array) + 1, sizeof *whitelist->pubkeys);
    if (whitelist->pubkeys == NULL)
        return false;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *entry = json_array_get(array, i);

        if (!json_is_string(entry) ||
            !trade_pubkey_parse(&whitelist->pubkeys[i], json_string_value(entry),
                                json_string_length(entry)))
            return false;
    }
    whitelist->count = json_array_size(array);
    qsort(whitelist->pubkeys, whitelist->count, sizeof *whitelist->pubkeys, compare);
    return true;
}

#define EXPECTED "not a JSON array of pubkeys of 64 hex characters"

static struct whitelist *parse(const char *text, size_t len)
{
    struct whitelist *whitelist = calloc(1, sizeof *whitelist);
    json_t *array = json_loadb(text, len, 0, NULL);

    if (whitelist != NULL && (!json_is_array(array) || !fill(whitelist, array)))
        whitelist_free(&whitelist);
    json_decref(array);
    return whitelist;
}

struct whitelist *whitelist_parse(const char *text, size_t len, FILE *errors)
{
    struct whitelist *whitelist = parse(text, len);

    if (whitelist == NULL)
        (void)fputs("the whitelist is " EXPECTED "\n", errors);
    return whitelist;
}

static struct whitelist *read_file(const char *path, FILE *errors)
{
    struct whitelist *whitelist = NULL;
    struct small_file file;
    enum small_file_result result =
        small_file_read(&file, path, SMALL_FILE_ANY, WHITELIST_MAX_SIZE);
    const char *problem = NULL;

    if (result == SMALL_FILE_NOT_OPENED)
        problem = strerror(errno);
    else if (result != SMALL_FILE_OK)
        problem = "cannot be read, or over 1 MiB";
    else if ((whitelist = parse(file.text, file.len)) == NULL)
        problem = EXPECTED;
    if (problem != NULL)
        (void)fprintf(errors, "TRUSTED_MOSTRO_PUBKEYS_FILE=%s: %s\n", path, problem);
    small_file_wipe(&file);
    return whitelist;
}

struct whitelist *whitelist_read(const char *path, FILE *errors)
{
    if (path != NULL)
        return read_file(path, errors);
    return whitelist_parse((const char *)trusted_mostro_pubkeys, sizeof trusted_mostro_pubkeys,
                           errors);
}

void whitelist_free(struct whitelist **whitelist)
{
    if (*whitelist == NULL)
        return;
    free((*whitelist)->pubkeys);
    free(*whitelist);
    *whitelist = NULL;
}

size_t whitelist_count(const struct whitelist *whitelist)
{
    return whitelist->count;
}

bool whitelist_has(const struct whitelist *whitelist, const char *pubkey)
{
    struct trade_pubkey wanted;

    return trade_pubkey_parse(&wanted, pubkey, strlen(pubkey)) &&
           bsearch(&wanted, whitelist->pubkeys, whitelist->count, sizeof wanted, compare) != NULL;
}
