/* oauth: the access token that FCM asks for, always at hand, so that no push waits for one.
 *
 * A service account's key signs a JWT (RS256, RFC 7515 and 7519), which its token_uri exchanges for
 * a token (RFC 7523). One request is under way at a time; a token is renewed well before it
 * expires; a failure is retried in the background, 1 s doubling to 60 s, for ever. Key and tokens
 * are wiped after use.
 *
 * Belongs to the thread of its HTTP client. `now_ms` is clock_monotonic_ms(). */
#ifndef MOSTRO_OAUTH_H
#define MOSTRO_OAUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http_client.h"

#define OAUTH_ACCOUNT_MAX_SIZE (64 * 1024)
#define OAUTH_TOKEN_MAX        4096
#define OAUTH_ERROR_SIZE       49

/* ---- The service account: pure, the file aside ----------------------------------------------- */

struct oauth_account;

/* From the JSON text. NULL where it cannot be used; *why then says what is wrong with it (a
 * constant; it holds nothing of the text). */
struct oauth_account *oauth_account_parse(const char *json, size_t len, const char **why);

/* Reads the JSON file; *why is then also what is wrong with the file. */
struct oauth_account *oauth_account_read(const char *path, const char **why);
void oauth_account_free(struct oauth_account **account);

/* The project that the account belongs to; NULL where it names none. */
const char *oauth_account_project(const struct oauth_account *account);

/* Whether every user of this host can read its file. */
bool oauth_account_is_open(const struct oauth_account *account);

/* A JWT that asks for the scope of FCM, valid for an hour from `unix_s`. NULL when out of memory;
 * wiped and freed by the caller. */
char *oauth_account_jwt(const struct oauth_account *account, int64_t unix_s);

/* Reads the token endpoint's answer: an access token (wiped and freed by the caller) and its
 * lifetime. False where there is no token that a header could carry. */
bool oauth_parse_answer(const char *body, size_t len, char **token, int64_t *lifetime_ms);

/* Reads the error word of RFC 6749, section 5.2, from a refusal, for the log. False, and "", where
 * there is none, or it has other characters than letters, digits and `_`: no RFC has such a word.
 */
bool oauth_parse_error(const char *body, size_t len, char word[OAUTH_ERROR_SIZE]);

/* In how many milliseconds a token of this lifetime is to be renewed: at least 60 s early where it
 * lives longer than two minutes. */
int64_t oauth_renew_in_ms(int64_t lifetime_ms);

/* ---- The token ------------------------------------------------------------------------------- */

struct oauth;

/* Takes ownership of the account. NULL when out of memory. */
struct oauth *oauth_new(struct http_client *client, struct oauth_account *account);

/* Call before the HTTP client is freed, after http_client_cancel_all(). */
void oauth_free(struct oauth **oauth);

/* Asks for a token if it is time to; returns when to be called again. */
int64_t oauth_run(struct oauth *oauth, int64_t now_ms, int64_t unix_s);

/* The current token, or NULL. `*generation` gets its number. Lives until oauth_run(),
 * oauth_refused() or the HTTP client's next wait. */
const char *oauth_token(const struct oauth *oauth, int64_t now_ms, uint64_t *generation);

/* Why the last request for a token failed, for an operator; "" where none has since one was had. */
const char *oauth_trouble(const struct oauth *oauth);

/* Tells how FCM judged the token of that number. A refused token is dropped and renewed: at once,
 * or after a back-off where the one before was refused, too, and none has been accepted since. */
void oauth_accepted(struct oauth *oauth, uint64_t generation);
void oauth_refused(struct oauth *oauth, uint64_t generation, int64_t now_ms);

#endif
