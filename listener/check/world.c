#include "world_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>

#include "base/durable_file.h"
#include "base/findings.h"
#include "endpoints/endpoint_file.h"
#include "endpoints/endpoint_keeper.h"
#include "push/http_client.h"
#include "registry/registry_look.h"
#include "settings/settings.h"

/* FCM and distributors are known by these; relays by the same, from a folder beside them. */
static void look_at_authorities(struct findings *findings)
{
    const char *file = curl_version_info(CURLVERSION_NOW)->cainfo;

    if (file != NULL && http_client_can_trust(file))
        findings_good(findings, "CA certificates", "can be read from %s", file);
    else if (file != NULL)
        findings_bad(findings, "CA certificates",
                     "none can be read from %s: install ca-certificates, and let the program's "
                     "user read it",
                     file);
}

/* The file is not made, nor its folder. */
static void look_at_folder(const char *folder, const char *path, struct findings *findings)
{
    char *above = durable_file_folder_of(folder);

    if (above != NULL && access(above, W_OK | X_OK) == 0)
        findings_good(findings, "endpoint file", "%s can be made, with its folder", path);
    else
        findings_bad(findings, "endpoint file",
                     "%s cannot be written: make its folder, for the program's own user", path);
    free(above);
}

static bool can_be_read(const struct endpoint_file *file)
{
    struct small_file found;
    enum endpoint_file_result result = endpoint_file_read(file, 64u << 20, &found);

    small_file_wipe(&found);
    return result != ENDPOINT_FILE_FAILED;
}

/* As the keeper writes it, under a name of this look's own. */
static void try_file(const char *path, struct findings *findings)
{
    struct endpoint_file *file = endpoint_file_new(path, "look");

    errno = ENOMEM;
    if (file == NULL || !can_be_read(file)) {
        findings_bad(findings, "endpoint file",
                     "%s cannot be read: %s; chown it to the user that runs this", path,
                     strerror(errno));
    } else if (!endpoint_file_prepare(file, "{}", 2)) {
        findings_bad(findings, "endpoint file",
                     "%s cannot be written: %s; chown its folder to the user that runs this", path,
                     strerror(errno));
    } else {
        endpoint_file_discard(file);
        findings_good(findings, "endpoint file", "%s can be written", path);
    }
    endpoint_file_free(&file);
}

static void look_at_endpoint_file(const struct settings *settings, struct findings *findings)
{
    char *path, *folder;
    struct stat found;

    if (endpoint_keeper_is_off(settings))
        return;
    path = durable_file_absolute(settings->unifiedpush_endpoints_file);
    folder = path != NULL ? durable_file_folder_of(path) : NULL;
    if (folder == NULL)
        findings_bad(findings, "endpoint file", "where it is cannot be told: name its whole path");
    else if (stat(folder, &found) != 0 && errno == ENOENT)
        look_at_folder(folder, path, findings);
    else
        try_file(path, findings);
    free(folder);
    free(path);
}

void world_look(const struct settings *settings, struct findings *findings)
{
    json_object_seed(0); /* draws jansson's seed, which several threads must not do at once */
    registry_look(settings, findings);
    world_look_at_relays(settings, findings);
    look_at_authorities(findings);
    world_look_at_fcm(settings, findings);
    look_at_endpoint_file(settings, findings);
}
