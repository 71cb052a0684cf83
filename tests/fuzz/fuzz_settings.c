/* Settings files, through to the settings. */
#include "fuzz_input.h"
#include "settings/env_file.h"
#include "settings/host_pattern.h"
#include "settings/settings.h"
#include "settings/settings_names.h"

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

/* Each name as if it were misspelt, and each value as if it were a pattern. */
static void look_at_names_and_values(const struct env_file *file)
{
    const char *name, *value;
    unsigned line;

    for (size_t i = 0; (name = env_file_name(file, i, &line)) != NULL; i++) {
        value = env_file_get(file, name);
        (void)settings_names_meant(name);
        (void)host_pattern_has_beginning(value);
        (void)host_pattern_has_end(value);
    }
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
    look_at_names_and_values(file);
    settings = settings_read(SETTINGS_BOTH, from_file, file,
                             &(const struct settings_tell){errors, errors});
    if (settings != NULL && (settings->relays.count == 0 || settings->notify_rate_per_pubkey < 1))
        abort();
    settings_free(&settings);
    env_file_free(&file);
    return 0;
}
