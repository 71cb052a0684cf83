#include "unit.h"

#include <stdio.h>

#include "base/base64url.h"
#include "device/endpoint_url.h"
#include "device/web_push_keys.h"

static bool is_valid(const char *url, bool allow_private)
{
    return endpoint_url_is_valid(url, strlen(url), allow_private);
}

START_TEST(public_endpoints)
{
    static const char *const urls[] = {
        "https://ntfy.sh/upABC?up=1",      "https://push.example.org",
        "HTTPS://Push.Example.Org/x",      "https://push.example.org:443/x",
        "https://push.example.org:8443/x", "https://8.8.8.8/x",
        "https://[2606:4700::1111]/x",     "https://[2606:4700::1111]:1024/x",
        "https://[64:ff9b::808:808]/x",    "https://a-b.example.org/%7Ex",
        "https://xn--bcher-kva.example/x", "https://push.example.org?x=://",
    };

    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        ck_assert_msg(is_valid(urls[i], false), "%s", urls[i]);
        ck_assert_msg(is_valid(urls[i], true), "%s", urls[i]);
    }
}
END_TEST

START_TEST(private_ones_only_where_allowed)
{
    static const char *const urls[] = {
        "http://push.example.org/x",
        "https://push.example.org:80/x",
        "https://push.example.org:1023/",
        "https://localhost/x",
        "https://a.localhost/x",
        "https://a.LocalHost/x",
        "https://printer.local/x",
        "https://db.internal/x",
        "https://intranet/x",
        "https://127.0.0.1/x",
        "https://10.1.2.3/x",
        "https://172.16.0.1/x",
        "https://192.168.1.1/x",
        "https://169.254.169.254/latest",
        "https://100.64.0.1/x",
        "https://0.0.0.0/x",
        "https://224.0.0.1/x",
        "https://255.255.255.255/x",
        "https://192.0.2.1/x",
        "https://198.18.0.1/x",
        "https://[::1]/x",
        "https://[fe80::1]/x",
        "https://[fd00::1]/x",
        "https://[::ffff:8.8.8.8]/x",
        "https://[64:ff9b::a00:1]/x",
        "https://[2002:a00:1::]/x",
        "https://[2001:db8::1]/x",
        "https://[::]/x",
        "http://127.0.0.1:8080/up",
    };

    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        ck_assert_msg(!is_valid(urls[i], false), "%s", urls[i]);
        ck_assert_msg(is_valid(urls[i], true), "%s", urls[i]);
    }
}
END_TEST

START_TEST(never_valid)
{
    static const char *const urls[] = {
        "ftp://push.example.org/x",
        "://push.example.org",
        "https://",
        "https:///x",
        "https://user@push.example.org/x",
        "https://u:p@push.example.org/x",
        "https://push.example.org:0/x",
        "https://push.example.org:/x",
        "https://push.example.org:65536/x",
        "https://push.example.org:x/",
        "https://push.example.org/a b",
        "https://push.example.org/a\r\nb",
        "https://push.example.org/#f",
        "https://push.example.org\\@evil/x",
        "https://2130706433/x",
        "https://0x7f000001/x",
        "https://0177.0.0.1/x",
        "https://127.1/x",
        "https://127.0.0.1.5/x",
        "https://1.2.3.0x4/x",
        "https://push..example.org/x",
        "https://-a.example.org/x",
        "https://a-.example.org/x",
        "https://push.example.org./x",
        "https://[::1/x",
        "https://[fe80::1%25eth0]/x",
        "https://k\xc3\xb6ln.example/x",
        "javascript://push.example.org/x",
    };

    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        ck_assert_msg(!is_valid(urls[i], false), "%s", urls[i]);
        ck_assert_msg(!is_valid(urls[i], true), "%s", urls[i]);
    }
    ck_assert(!endpoint_url_is_valid("https://a.example\0.org", 22, false));
}
END_TEST

START_TEST(labels_and_names_have_lengths)
{
    char url[400];

    (void)sprintf(url, "https://%063d.example/x", 0);
    url[8] = 'a';
    ck_assert(is_valid(url, false));
    (void)sprintf(url, "https://%064d.example/x", 0);
    url[8] = 'a';
    ck_assert(!is_valid(url, false));
    (void)sprintf(url, "https://a.%050d.%050d.%050d.%050d.%047d/x", 1, 2, 3, 4, 5);
    (void)memcpy(url + 8 + 253 - 3, "xyz", 3);
    ck_assert_uint_eq(strcspn(url + 8, "/"), 253);
    ck_assert(is_valid(url, false));
    (void)sprintf(url, "https://ab.%050d.%050d.%050d.%050d.%046dx/x", 1, 2, 3, 4, 5);
    ck_assert_uint_eq(strcspn(url + 8, "/"), 254);
    ck_assert(!is_valid(url, false));
}
END_TEST

START_TEST(endpoints_have_a_length)
{
    char url[ENDPOINT_URL_MAX + 2];

    memset(url, 'u', sizeof url);
    memcpy(url, "https://push.example/", strlen("https://push.example/"));
    ck_assert(endpoint_url_is_admitted(url, ENDPOINT_URL_MAX, false, NULL));
    ck_assert(!endpoint_url_is_admitted(url, ENDPOINT_URL_MAX + 1, false, NULL));
    ck_assert(!endpoint_url_is_valid(url, ENDPOINT_URL_MAX + 1, true));
}
END_TEST

START_TEST(hosts_are_matched_in_lower_case_without_the_port)
{
    static const char *const good[] = {"https://ntfy.sh/up",      "https://ntfy.sh",
                                       "https://NTFY.Sh:8443/up", "HTTPS://ntfy.sh?up=1",
                                       "http://ntfy.sh:80/up",    "https://a.example.org/@ntfy.sh",
                                       "https://[2001:DB8::1]/",  "https://[2001:db8::1]:8443/up"};
    static const char *const bad[] = {"https://ntfy.sh.evil.test/",
                                      "https://evil.test/ntfy.sh",
                                      "https://evil.test?ntfy.sh",
                                      "https://ntfy.sh@evil.test/",
                                      "https://evil.test:443/a.example.org",
                                      "https://xntfy.sh/",
                                      "https://[2001:db8::2]/",
                                      "ftp://ntfy.sh/",
                                      "https://ntfy.sh#@evil.test/",
                                      "https://evil.test\\ntfy.sh/",
                                      "ntfy.sh",
                                      "https://ntfy.sh\nevil.test/",
                                      "https://",
                                      "https:///ntfy.sh"};
    regex_t hosts;

    ck_assert_int_eq(regcomp(&hosts, "^(ntfy\\.sh|.*\\.example\\.org|\\[2001:db8::1])$",
                             REG_EXTENDED | REG_NOSUB),
                     0);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(endpoint_url_host_matches(good[i], strlen(good[i]), &hosts), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!endpoint_url_host_matches(bad[i], strlen(bad[i]), &hosts), "%s", bad[i]);
    regfree(&hosts);
}
END_TEST

/* RFC 8291, Appendix A. */
#define POINT \
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
#define SECRET "BTBZMqHH6r4Tts7J_aSIgg"

static bool keys_are_good(const char *p256dh, const char *auth)
{
    struct web_push_keys keys;

    return web_push_keys_parse(&keys, p256dh, strlen(p256dh), auth, strlen(auth));
}

/* The same point in the hybrid form of X9.62, which OpenSSL would take: 6 or 7 where it is 4. */
static void expect_no_hybrid(void)
{
    char text[BASE64URL_SIZE(WEB_PUSH_POINT_SIZE)];
    uint8_t point[WEB_PUSH_POINT_SIZE];

    for (uint8_t form = 6; form <= 7; form++) {
        ck_assert(base64url_decode(point, sizeof point, POINT, strlen(POINT)));
        point[0] = form;
        (void)base64url_encode(text, point, sizeof point);
        ck_assert(!keys_are_good(text, SECRET));
    }
}

/* The same keys as JavaScript's btoa() writes them; no key is in a mixture of both alphabets. */
START_TEST(web_push_keys_in_standard_base64)
{
    char point[] = POINT "=", secret[] = SECRET "==";
    struct web_push_keys keys, same;

    for (char *c = point; *c != '\0'; c++)
        *c = (char)(*c == '-' ? '+' : *c == '_' ? '/' : *c);
    for (char *c = secret; *c != '\0'; c++)
        *c = (char)(*c == '-' ? '+' : *c == '_' ? '/' : *c);
    ck_assert_str_ne(point, POINT "=");
    ck_assert(web_push_keys_parse(&keys, point, strlen(point), secret, strlen(secret)));
    ck_assert(web_push_keys_parse(&same, POINT, strlen(POINT), SECRET, strlen(SECRET)));
    ck_assert_mem_eq(&keys, &same, sizeof keys);
    ck_assert(keys_are_good(POINT, secret));
    ck_assert(!web_push_keys_decode(&keys, point, strlen(point), secret, strlen(secret)));
    *strchr(point, '/') = '_';
    ck_assert(!keys_are_good(point, secret));
}
END_TEST

START_TEST(web_push_keys)
{
    char off_curve[] = POINT;

    expect_no_hybrid();
    ck_assert(keys_are_good(POINT, SECRET));
    ck_assert(keys_are_good(POINT "=", SECRET "=="));
    ck_assert(!keys_are_good(POINT, "BTBZMqHH6r4Tts7J_aSI"));
    ck_assert(!keys_are_good(POINT, SECRET "AA"));
    ck_assert(!keys_are_good(POINT, ""));
    ck_assert(!keys_are_good("", SECRET));
    ck_assert(!keys_are_good(SECRET, SECRET));
    off_curve[40] = 'A';
    ck_assert(!keys_are_good(off_curve, SECRET));
}
END_TEST

UNIT_MAIN("endpoint_url", public_endpoints, private_ones_only_where_allowed, never_valid,
          labels_and_names_have_lengths, endpoints_have_a_length,
          hosts_are_matched_in_lower_case_without_the_port, web_push_keys,
          web_push_keys_in_standard_base64)
