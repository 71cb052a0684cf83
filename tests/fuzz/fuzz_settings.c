/* Settings files, through to the settings. */
#include "fuzz_input.h"
#include "settings/env_file.h"
#include "settings/settings.h"

static const char *from_file(const char *name, void *arg)
{
    const char *value = env_file_get(arg, name);

    /* A key file outside must not be read for a fuzzer; and the C library may take all memory for a
     * pattern, which an operator alone can give. */
    if (value == NULL || value[0] == '\0' || strstr(name, "_KEY_FILE") != NULL ||
        strstr(name, "_REGEX") != NULL)
        return NULL;
    return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *errors;
    struct env_file *file;
    struct settings *settings;

    if (errors == NULL)
        errors = fopen("/dev/null", "w");
    file = env_file_parse("env", (const char *)data, size, errors);
    if (file == NULL)
        return 0;
    settings = settings_read(SETTINGS_BOTH, from_file, file,
                             &(const struct settings_tell){errors, errors});
    if (settings != NULL && (settings->relays.count == 0 || settings->notify_rate_per_pubkey < 1))
        abort();
    settings_free(&settings);
    env_file_free(&file);
    return 0;
}
