/* The endpoint file: what is taken from any text can be composed anew, and is then read the same.
 */
#include "endpoints/endpoint_text.h"
#include "fuzz_input.h"

static struct endpoint_text *composed;
static size_t composed_count, read_count;

static bool compose(const struct registry_endpoint *endpoint, void *arg)
{
    (void)arg;
    if (strlen(endpoint->id.hex) != DEVICE_ID_LEN)
        abort();
    composed_count += endpoint_text_add(composed, endpoint) == ENDPOINT_TEXT_ADDED;
    return true;
}

static bool count(const struct registry_endpoint *endpoint, void *arg)
{
    (void)endpoint;
    (void)arg;
    read_count++;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text;
    size_t skipped, len;

    composed_count = read_count = 0;
    composed = endpoint_text_new(ENDPOINT_TEXT_MAX);
    if (composed == NULL)
        abort();
    (void)endpoint_text_read((const char *)data, size, false, compose, NULL, &skipped);
    text = endpoint_text_end(composed, &len);
    if (text == NULL ||
        endpoint_text_read(text, len, false, count, NULL, &skipped) != ENDPOINT_TEXT_OK ||
        skipped != 0 || read_count != composed_count)
        abort();
    endpoint_text_free(&composed);
    return 0;
}
