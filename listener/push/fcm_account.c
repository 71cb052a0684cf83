#include "fcm_account.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "settings/settings.h"

static void say(char text[FCM_ACCOUNT_TEXT_SIZE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(char text[FCM_ACCOUNT_TEXT_SIZE], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, FCM_ACCOUNT_TEXT_SIZE, format, args);
    va_end(args);
}

static bool is_project(const char *id)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._:";

    return id != NULL && *id != '\0' && strspn(id, good) == strlen(id);
}

/* The project set, or the account's own where none is. */
static void find_project(struct fcm_account *opened, const char *set)
{
    const char *own = oauth_account_project(opened->account);
    const char *project = set != NULL ? set : own;

    if (project == NULL)
        say(opened->why_off, "FIREBASE_PROJECT_ID is not set, and the service account names none");
    else if (!is_project(project))
        say(opened->why_off, "%s\"%s\" is no project id",
            set != NULL ? "FIREBASE_PROJECT_ID=" : "the service account's project_id ", project);
    else
        opened->project = project;
}

/* An account may be allowed to push to another project, but most often it is the wrong file. */
static void look_for_oddities(struct fcm_account *opened)
{
    const char *own = oauth_account_project(opened->account);

    if (is_project(own) && strcmp(own, opened->project) != 0)
        say(opened->warning, "FIREBASE_PROJECT_ID is '%s', but the service account is of '%s'",
            opened->project, own);
    else if (oauth_account_is_open(opened->account))
        say(opened->warning, "the file of FIREBASE_SERVICE_ACCOUNT_PATH can be read by every user "
                             "of this host: chmod 600");
}

void fcm_account_open(struct fcm_account *opened, const struct settings *settings)
{
    const char *path = settings->firebase_service_account_path, *why = NULL;

    *opened = (struct fcm_account){.is_wanted = settings->fcm_enabled};
    if (!settings->fcm_enabled) {
        say(opened->why_off, "FCM_ENABLED is false");
        return;
    }
    if (path == NULL) {
        say(opened->why_off, "FIREBASE_SERVICE_ACCOUNT_PATH is not set");
        return;
    }
    opened->account = oauth_account_read(path, &why);
    if (opened->account == NULL) {
        say(opened->why_off, "FIREBASE_SERVICE_ACCOUNT_PATH=%s: %s", path, why);
        return;
    }
    find_project(opened, settings->firebase_project_id);
    if (opened->project != NULL)
        look_for_oddities(opened);
    else
        fcm_account_close(opened);
}

void fcm_account_close(struct fcm_account *opened)
{
    oauth_account_free(&opened->account);
}
