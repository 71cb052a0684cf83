/* fcm_account: whether the settings let FCM be used: the service account and the project, or why
 * not, in a sentence for an operator. Logs nothing, so that --check-config says the same as a
 * start. Reads one file; thread-safe. */
#ifndef MOSTRO_FCM_ACCOUNT_H
#define MOSTRO_FCM_ACCOUNT_H

#include <stdbool.h>

#include "oauth.h"

#define FCM_ACCOUNT_TEXT_SIZE 512

struct settings;

struct fcm_account {
    struct oauth_account *account; /* NULL: FCM is off */
    const char *project;           /* to push to; lives as long as the account and the settings */
    bool is_wanted;                /* an operator has not switched it off */
    char why_off[FCM_ACCOUNT_TEXT_SIZE]; /* what to mend; "" where it is on */
    char warning[FCM_ACCOUNT_TEXT_SIZE]; /* "", or what is odd where it is on */
};

/* Close with fcm_account_close(), or take `account` over and set it to NULL. */
void fcm_account_open(struct fcm_account *opened, const struct settings *settings);
void fcm_account_close(struct fcm_account *opened);

#endif
