#include "wiping_json.h"

#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static void wiping_free(void *memory)
{
    if (memory != NULL)
        explicit_bzero(memory, malloc_usable_size(memory));
    free(memory);
}

void wiping_json_init(void)
{
    json_set_alloc_funcs(malloc, wiping_free);
}
