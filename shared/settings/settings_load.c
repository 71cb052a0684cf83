/* settings_load() of settings.h: the environment, and the file that goes with it. */
#include <errno.h>
#include <stdlib.h>

#include "env_file.h"
#include "settings.h"
#include "settings_names.h"
#include "settings_table.h"
#include "settings_types.h"

static const char *from_environment(const char *name, void *arg)
{
    const struct env_file *file = arg;
    const char *value = getenv(name);

    if ((value == NULL || value[0] == '\0') && file != NULL)
        value = env_file_get(file, name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static void warn_of_misspelt_names(const struct env_file *file, const char *path, FILE *warnings)
{
    const char *name, *meant;
    unsigned line;

    for (size_t i = 0; (name = env_file_name(file, i, &line)) != NULL; i++)
        if ((meant = settings_names_meant(name)) != NULL)
            (void)fprintf(warnings, "%s:%u: there is no setting %s; did you mean %s?\n", path, line,
                          name, meant);
}

/* The first setting in the file whose value nobody else may know, or NULL. */
static const char *secret_in(const struct env_file *file)
{
    static const struct {
        const char *name;
        struct settings_rule rule;
    } rows[] = {
#define SETTING(name, member, type, unset_value, least, most, unit, who, sentence) \
    {#name, {SETTINGS_##type, least, most, unit}},
        SETTINGS_TABLE(SETTING)
#undef SETTING
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *value = env_file_get(file, rows[i].name);

        if (value != NULL && settings_type_holds_secret(&rows[i].rule, value))
            return rows[i].name;
    }
    return NULL;
}

/* A file with a secret must be the program's alone, as a key's file must; one without need not. */
static bool is_kept_secret(const struct env_file *file, const char *path, FILE *errors)
{
    const char *mode = env_file_mend(file), *secret;

    if (mode == NULL || (secret = secret_in(file)) == NULL)
        return true;
    (void)fprintf(errors, "%s: it sets %s and can be read by others: chmod %s %s\n", path, secret,
                  mode, path);
    return false;
}

/* A file that MOSTRO_PUSH_ENV names must exist; ./.env need not. */
static bool open_env_file(struct env_file **file, const struct settings_tell *tell)
{
    const char *set = getenv("MOSTRO_PUSH_ENV");
    bool is_named = set != NULL && set[0] != '\0';
    const char *path = is_named ? set : ".env";

    *file = env_file_read(path, tell->errors);
    if (*file != NULL) {
        warn_of_misspelt_names(*file, path, tell->warnings);
        if (!is_kept_secret(*file, path, tell->errors))
            env_file_free(file);
        return *file != NULL;
    }
    if (errno != ENOENT)
        return false;
    if (is_named)
        (void)fprintf(tell->errors, "MOSTRO_PUSH_ENV=%s: no such file\n", path);
    return !is_named;
}

struct settings *settings_load(enum settings_who who, const struct settings_tell *tell)
{
    struct env_file *file = NULL;
    struct settings *settings;

    if (!open_env_file(&file, tell))
        return NULL;
    settings = settings_read(who, from_environment, file, tell);
    env_file_free(&file);
    return settings;
}
