/* redis_url: the parts of unix:///path or redis://[user:pass@]host[:port][/db]. Pure. */
#ifndef MOSTRO_REDIS_URL_H
#define MOSTRO_REDIS_URL_H

#include <stdbool.h>

#define REDIS_URL_PART_MAX 512

/* Percent-escapes are decoded; what the URL leaves out is "" or 0, the port 6379. */
struct redis_url {
    bool is_unix;
    char host[REDIS_URL_PART_MAX]; /* or the socket's path */
    int port;
    int database;
    char user[REDIS_URL_PART_MAX];
    char password[REDIS_URL_PART_MAX];
};

/* NULL, or what is wrong: a sentence that repeats nothing of the URL. What comes before the last
 * `@` is user and password, so that a password may hold any character; and a host or path is taken
 * only where no part of a password can be in it, since the log shows it. The caller wipes *parsed
 * either way. */
const char *redis_url_parse(struct redis_url *parsed, const char *url)
    __attribute__((warn_unused_result));

/* The same where only that is wanted. */
const char *redis_url_problem(const char *url);

#endif
