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

/* The caller wipes *parsed, which may hold a password. */
bool redis_url_parse(struct redis_url *parsed, const char *url);

bool redis_url_is_valid(const char *url);

#endif
