#include "unit.h"

#include <string.h>

#include "redis/redis_url.h"

START_TEST(takes_urls_apart)
{
    static const struct {
        const char *url, *host;
        int port, database;
        const char *user, *password;
    } cases[] = {
        {"unix:///run/redis.sock", "/run/redis.sock", 0, 0, "", ""},
        {"unix:///run/a@b/redis%20%3f.sock", "/run/a@b/redis ?.sock", 0, 0, "", ""},
        {"redis://127.0.0.1", "127.0.0.1", 6379, 0, "", ""},
        {"redis://redis-1.my_net:1/15", "redis-1.my_net", 1, 15, "", ""},
        {"redis://:pw@h:65535/1024", "h", 65535, 1024, "", "pw"},
        {"redis://u:p%40@h/", "h", 6379, 0, "u", "p@"},
        {"redis://[::1]:6380/1", "::1", 6380, 1, "", ""},
        {"redis://:pw@[fe80::1%25eth0]", "fe80::1%eth0", 6379, 0, "", "pw"},
        /* Characters that a password may hold unescaped. */
        {"redis://:a@secret@host", "host", 6379, 0, "", "a@secret"},
        {"redis://u:a@b@c:d@host:1/2", "host", 1, 2, "u", "a@b@c:d"},
        {"redis://:a/b?c#d@host/3", "host", 6379, 3, "", "a/b?c#d"},
        {"redis://u:@h", "h", 6379, 0, "u", ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct redis_url parsed;
        const char *problem = redis_url_parse(&parsed, cases[i].url);

        ck_assert_msg(problem == NULL, "%s: %s", cases[i].url, problem);
        ck_assert_str_eq(cases[i].port == 0 ? parsed.path : parsed.node.host, cases[i].host);
        ck_assert_str_eq(cases[i].port == 0 ? parsed.node.host : parsed.path, "");
        ck_assert_int_eq(parsed.node.port, cases[i].port);
        ck_assert_uint_eq(parsed.sentinel_count, 0);
        ck_assert_int_eq(parsed.database, cases[i].database);
        ck_assert_str_eq(parsed.user, cases[i].user);
        ck_assert_str_eq(parsed.password, cases[i].password);
        ck_assert_ptr_null(redis_url_problem(cases[i].url));
    }
}
END_TEST

START_TEST(says_what_is_wrong_and_nothing_of_the_url)
{
    static const struct {
        const char *url, *says;
    } cases[] = {
        {"", "begins with"},
        {"http://secret", "begins with"},
        {"rediss://:secret@h", "TLS is not spoken: use stunnel or WireGuard"},
        {"/run/secret", "is written unix:///run"},
        {"unix://run/secret", "three slashes (unix:///run/"},
        {"unix://", "three slashes"},
        {"unix://:secret@/run/redis.sock", "three slashes"},
        {"unix:///run/redis.sock?password=secret", "no ?"},
        {"unix:///run/%zz", "% begins an escape"},
        {"redis://", "the host is"},
        {"redis://:secret@", "the host is"},
        {"redis://:secret@/0", "the host is"},
        {"redis://secret@h", "user:password"},
        {"redis://:%4@h", "user:password"},
        {"redis://:secret%00@h", "user:password"},
        {"redis://h?password=secret", "no ?"},
        {"redis://h/0?password=secret", "no ?"},
        {"redis://h/0#secret", "a database"},
        {"redis://h/x", "a database"},
        {"redis://h/1025", "a database"},
        {"redis://h:0", "a port"},
        {"redis://h:", "a port"},
        {"redis://h:65536", "a port"},
        {"redis://h:6379,password=secret", "a port"},
        {"redis://h,password=secret", "the host is"},
        {"redis://h%40secret", "the host is"},
        {"redis://h secret", "the host is"},
        {"redis://[::1", "the host is"},
        {"redis://[]", "the host is"},
        {"redis://[h]", "the host is"},
        {"redis://[::1]secret", "the host is"},
        {"redis://[h@secret]", "user:password"},
        {"redis+sentinel://", "a Sentinel is a name"},
        {"redis+sentinel:///secret", "a Sentinel is a name"},
        {"redis+sentinel://secret@h/m", "user:password"},
        {"redis+sentinel://:%4@h/m", "user:password"},
        {"redis+sentinel://a,,b/m", "after a comma"},
        {"redis+sentinel://a,/m", "after a comma"},
        {"redis+sentinel://a secret/m", "after a comma"},
        {"redis+sentinel://a,redis://secret/m", "a Sentinel's port"},
        {"redis+sentinel://a#secret/m", "after a comma"},
        {"redis+sentinel://[::1/m", "after a comma"},
        {"redis+sentinel://a:/m", "a Sentinel's port"},
        {"redis+sentinel://a,b:0/m", "a Sentinel's port"},
        {"redis+sentinel://a:65536/m", "a Sentinel's port"},
        {"redis+sentinel://a,b", "comes /SERVICE"},
        {"redis+sentinel://a/", "a service's name"},
        {"redis+sentinel://a/sec ret", "a service's name"},
        {"redis+sentinel://a/m%00", "a service's name"},
        {"redis+sentinel://a/m%2f", "a service's name"},
        {"redis+sentinel://a/m%2", "a service's name"},
        {"redis+sentinel://a/m/secret", "a database"},
        {"redis+sentinel://a/m/1025", "a database"},
        {"redis+sentinel://a/m/1/2", "a database"},
        {"redis+sentinel://a/m?password=secret", "no ?"},
        {"sentinel://a:secret/m", "redis+sentinel://"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *problem = redis_url_problem(cases[i].url);

        ck_assert_msg(problem != NULL, "taken: %s", cases[i].url);
        ck_assert_msg(strstr(problem, cases[i].says) != NULL, "%s: %s", cases[i].url, problem);
        ck_assert_ptr_null(strstr(problem, "secret"));
    }
}
END_TEST

START_TEST(names_sentinels)
{
    static const struct {
        const char *url, *first, *last;
        int first_port, last_port;
        size_t count;
        const char *service;
        int database;
        const char *user, *password;
    } cases[] = {
        {"redis+sentinel://a/mostro", "a", "a", 26379, 26379, 1, "mostro", 0, "", ""},
        {"REDIS+SENTINEL://10.0.0.1:1,[fd00::2],s-3.example:65535/My.push_1-x/15", "10.0.0.1",
         "s-3.example", 1, 65535, 3, "My.push_1-x", 15, "", ""},
        {"redis+sentinel://u:p%2f@[::1]:26380/m/", "::1", "::1", 26380, 26380, 1, "m", 0, "u",
         "p/"},
        /* Characters that a password may hold unescaped, and one that a name may hold escaped. */
        {"redis+sentinel://u:a@b,c/d?e#f@h,i/m%6Fstro/3", "h", "i", 26379, 26379, 2, "mostro", 3,
         "u", "a@b,c/d?e#f"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct redis_url parsed;
        const char *problem = redis_url_parse(&parsed, cases[i].url);

        ck_assert_msg(problem == NULL, "%s: %s", cases[i].url, problem);
        ck_assert_uint_eq(parsed.sentinel_count, cases[i].count);
        ck_assert_str_eq(parsed.sentinels[0].host, cases[i].first);
        ck_assert_int_eq(parsed.sentinels[0].port, cases[i].first_port);
        ck_assert_str_eq(parsed.sentinels[cases[i].count - 1].host, cases[i].last);
        ck_assert_int_eq(parsed.sentinels[cases[i].count - 1].port, cases[i].last_port);
        ck_assert_str_eq(parsed.service, cases[i].service);
        ck_assert_int_eq(parsed.database, cases[i].database);
        ck_assert_str_eq(parsed.user, cases[i].user);
        ck_assert_str_eq(parsed.password, cases[i].password);
        ck_assert_str_eq(parsed.path, "");
        ck_assert_str_eq(parsed.node.host, "");
    }
}
END_TEST

START_TEST(bounds_what_names_sentinels)
{
    char url[REDIS_URL_PART_MAX] = "redis+sentinel://a";
    size_t len;

    for (int i = 1; i < 16; i++)
        (void)strcat(url, ",a");
    len = strlen(url);
    (void)strcat(url, "/m");
    ck_assert_ptr_null(redis_url_problem(url));
    (void)strcpy(url + len, ",a/m");
    ck_assert_ptr_nonnull(strstr(redis_url_problem(url), "at most 16"));

    (void)strcpy(url, "redis+sentinel://a/");
    len = strlen(url);
    memset(url + len, 'm', 128);
    url[len + 128] = '\0';
    ck_assert_ptr_null(redis_url_problem(url));
    (void)strcat(url, "m");
    ck_assert_ptr_nonnull(strstr(redis_url_problem(url), "at most 128"));

    (void)strcpy(url, "redis+sentinel://");
    len = strlen(url);
    memset(url + len, 'h', 255);
    (void)strcpy(url + len + 255, ":65535/m");
    ck_assert_ptr_null(redis_url_problem(url));
    (void)strcpy(url + len + 255, "h:65535/m");
    ck_assert_ptr_nonnull(strstr(redis_url_problem(url), "a name or an address"));
}
END_TEST

/* hiredis would cut a path that is longer than a socket's address. */
START_TEST(bounds_a_sockets_path)
{
    char url[7 + 108 + 1] = "unix:///";

    memset(url + 8, 'a', 107 - 1);
    ck_assert_ptr_null(redis_url_problem(url));
    url[7 + 107] = 'a';
    ck_assert_ptr_nonnull(strstr(redis_url_problem(url), "107 characters"));
}
END_TEST

UNIT_MAIN("redis_url", takes_urls_apart, says_what_is_wrong_and_nothing_of_the_url, names_sentinels,
          bounds_what_names_sentinels, bounds_a_sockets_path)
