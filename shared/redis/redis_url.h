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

/* NULL, or what is wrong: a sentence that repeats nothing of the URL. User and password reach up to
 * the last `@`, so that a password may hold any character. The log shows host and path, so both are
 * refused where a part of a password could be in them. The caller wipes *parsed either way. */
const char *redis_url_parse(struct redis_url *parsed, const char *url)
    __attribute__((warn_unused_result));

/* The same, where the parts are not needed. */
const char *redis_url_problem(const char *url);

#endif
