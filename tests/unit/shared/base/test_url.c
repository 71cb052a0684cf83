#include "base/url.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

static enum url_fault parse(struct url *url, const char *text)
{
    return url_parse(url, text, strlen(text), URL_USERINFO_OF_AUTHORITY);
}

static void expect_part(const char *url, struct url_part part, const char *expected)
{
    ck_assert_msg((part.text == NULL) == (expected == NULL), "%s", url);
    if (expected == NULL)
        return;
    ck_assert_msg(part.len == strlen(expected) && memcmp(part.text, expected, part.len) == 0,
                  "%s: %.*s and not %s", url, (int)part.len, part.text, expected);
}

START_TEST(takes_urls_apart)
{
    static const struct {
        const char *url, *scheme, *userinfo, *host, *zone, *port, *path, *query, *fragment;
        enum url_host_kind kind;
        uint16_t number;
    } cases[] = {
        {"https://h", "https", NULL, "h", NULL, NULL, "", NULL, NULL, URL_HOST_NAME, 0},
        {"A+1-.://H:1/p?q#f", "A+1-.", NULL, "H", NULL, "1", "/p", "q", "f", URL_HOST_NAME, 1},
        {"ws://u:p@h:/", "ws", "u:p", "h", NULL, "", "/", NULL, NULL, URL_HOST_NAME, 0},
        {"ws://@h", "ws", "", "h", NULL, NULL, "", NULL, NULL, URL_HOST_NAME, 0},
        {"ws://a@b@h", "ws", "a@b", "h", NULL, NULL, "", NULL, NULL, URL_HOST_NAME, 0},
        {"ws://h/@x", "ws", NULL, "h", NULL, NULL, "/@x", NULL, NULL, URL_HOST_NAME, 0},
        {"ws://h?a@b?c", "ws", NULL, "h", NULL, NULL, "", "a@b?c", NULL, URL_HOST_NAME, 0},
        {"ws://h#a@b/c?d", "ws", NULL, "h", NULL, NULL, "", NULL, "a@b/c?d", URL_HOST_NAME, 0},
        {"ws://h/?#", "ws", NULL, "h", NULL, NULL, "/", "", "", URL_HOST_NAME, 0},
        {"ws://a_b-.c.:00080", "ws", NULL, "a_b-.c.", NULL, "00080", "", NULL, NULL, URL_HOST_NAME,
         80},
        {"ws://127.0.0.1:65535", "ws", NULL, "127.0.0.1", NULL, "65535", "", NULL, NULL,
         URL_HOST_IPV4, 65535},
        {"ws://[::1]:7", "ws", NULL, "::1", NULL, "7", "", NULL, NULL, URL_HOST_IPV6, 7},
        {"ws://u@[FE80::1%25eth0]/", "ws", "u", "FE80::1", "eth0", NULL, "/", NULL, NULL,
         URL_HOST_IPV6, 0},
        {"ws://[fe80::1%eth0]", "ws", NULL, "fe80::1", "eth0", NULL, "", NULL, NULL, URL_HOST_IPV6,
         0},
        {"ws://[fe80::1%25]", "ws", NULL, "fe80::1", "25", NULL, "", NULL, NULL, URL_HOST_IPV6, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *text = cases[i].url;
        struct url url;

        ck_assert_msg(parse(&url, text) == URL_GOOD, "%s", text);
        expect_part(text, url.scheme, cases[i].scheme);
        expect_part(text, url.userinfo, cases[i].userinfo);
        expect_part(text, url.host, cases[i].host);
        expect_part(text, url.zone, cases[i].zone);
        expect_part(text, url.port, cases[i].port);
        expect_part(text, url.path, cases[i].path);
        expect_part(text, url.query, cases[i].query);
        expect_part(text, url.fragment, cases[i].fragment);
        ck_assert_msg(url.host_kind == cases[i].kind, "%s", text);
        ck_assert_msg(url.port_number == cases[i].number, "%s", text);
    }
}
END_TEST

START_TEST(says_what_is_wrong)
{
    static const struct {
        const char *url;
        enum url_fault fault;
    } cases[] = {
        {"", URL_BAD_SCHEME},
        {"h", URL_BAD_SCHEME},
        {"//h", URL_BAD_SCHEME},
        {"://h", URL_BAD_SCHEME},
        {"ws:/h", URL_BAD_SCHEME},
        {"ws:", URL_BAD_SCHEME},
        {"1s://h", URL_BAD_SCHEME},
        {"w s://h", URL_BAD_SCHEME},
        {" ws://h", URL_BAD_SCHEME},
        {"mailto:a@b", URL_BAD_SCHEME},
        {"ws://", URL_BAD_HOST},
        {"ws:///h", URL_BAD_HOST},
        {"ws://:1", URL_BAD_HOST},
        {"ws://u@", URL_BAD_HOST},
        {"ws://a b", URL_BAD_HOST},
        {"ws://a,b", URL_BAD_HOST},
        {"ws://a%41", URL_BAD_HOST},
        {"ws://a\\@b", URL_BAD_CHARACTER},
        {"ws://k\xc3\xb6ln", URL_BAD_HOST},
        {"ws://[::1", URL_BAD_HOST},
        {"ws://[]", URL_BAD_HOST},
        {"ws://[1.2.3.4]", URL_BAD_HOST},
        {"ws://[::1]x", URL_BAD_HOST},
        {"ws://[::1%]", URL_BAD_HOST},
        {"ws://[::1%25a/b]", URL_BAD_HOST},
        {"ws://::1", URL_BAD_HOST},
        {"ws://[v1.x]", URL_BAD_HOST},
        {"ws://h:0", URL_BAD_PORT},
        {"ws://h:65536", URL_BAD_PORT},
        {"ws://h:000080", URL_BAD_PORT},
        {"ws://h:80a", URL_BAD_PORT},
        {"ws://h:+80", URL_BAD_PORT},
        {"ws://h:1:2", URL_BAD_PORT},
        {"ws://h/a b", URL_BAD_CHARACTER},
        {"ws://h/a\r\nb", URL_BAD_CHARACTER},
        {"ws://h/\"", URL_BAD_CHARACTER},
        {"ws://h?\\", URL_BAD_CHARACTER},
        {"ws://h#\x7f", URL_BAD_CHARACTER},
    };
    struct url url;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(parse(&url, cases[i].url) == cases[i].fault, "%s", cases[i].url);
    ck_assert(url_parse(&url, "ws://h\0.x", 9, URL_USERINFO_OF_AUTHORITY) == URL_BAD_HOST);
    ck_assert(url_parse(&url, "ws://[::1\0x]", 12, URL_USERINFO_OF_AUTHORITY) == URL_BAD_HOST);
    ck_assert(url_parse(&url, "ws://h/\0", 8, URL_USERINFO_OF_AUTHORITY) == URL_BAD_CHARACTER);
}
END_TEST

/* A password may hold any character. */
START_TEST(userinfo_may_reach_to_the_last_at)
{
    static const char text[] = "x://:a/b?c#d@\n e@h:1/2";
    struct url url;

    ck_assert(url_parse(&url, text, strlen(text), URL_USERINFO_TO_LAST_AT) == URL_GOOD);
    expect_part(text, url.userinfo, ":a/b?c#d@\n e");
    expect_part(text, url.host, "h");
    expect_part(text, url.path, "/2");
    ck_assert(url_parse(&url, "x://[a@b]", 9, URL_USERINFO_TO_LAST_AT) == URL_BAD_HOST);
    expect_part(text, url.userinfo, "[a");
    ck_assert(url_parse(&url, "x://h", 5, URL_USERINFO_TO_LAST_AT) == URL_GOOD);
    expect_part(text, url.userinfo, NULL);
}
END_TEST

START_TEST(bounds_lengths)
{
    char text[URL_LEN_MAX + 2];
    struct url url;

    memset(text, 'a', sizeof text);
    memcpy(text, "ws://h/", 7);
    ck_assert(url_parse(&url, text, URL_LEN_MAX, URL_USERINFO_OF_AUTHORITY) == URL_GOOD);
    ck_assert(url_parse(&url, text, URL_LEN_MAX + 1, URL_USERINFO_OF_AUTHORITY) == URL_TOO_LONG);
    ck_assert_ptr_null(url.scheme.text);
    memcpy(text, "ws://aa", 7);
    ck_assert(url_parse(&url, text, 5 + URL_HOST_MAX, URL_USERINFO_OF_AUTHORITY) == URL_GOOD);
    ck_assert(url_parse(&url, text, 5 + URL_HOST_MAX + 1, URL_USERINFO_OF_AUTHORITY) ==
              URL_BAD_HOST);
    ck_assert(parse(&url, "ws://[::1%25abcdefghijklmno]") == URL_GOOD);
    ck_assert_uint_eq(url.zone.len, URL_ZONE_MAX);
    ck_assert(parse(&url, "ws://[::1%25abcdefghijklmnop]") == URL_BAD_HOST);
    memset(text, ':', sizeof text);
    memcpy(text, "ws://[", 6);
    text[URL_LEN_MAX - 1] = ']';
    ck_assert(url_parse(&url, text, URL_LEN_MAX, URL_USERINFO_OF_AUTHORITY) == URL_BAD_HOST);
}
END_TEST

START_TEST(hosts_have_kinds)
{
    static const struct {
        const char *url;
        enum url_host_kind kind;
        bool is_dns_name;
    } cases[] = {
        {"x://h", URL_HOST_NAME, true},
        {"x://a_b.c-d.e", URL_HOST_NAME, true},
        {"x://1.2.3.4x", URL_HOST_NAME, true},
        {"x://1.0y7f", URL_HOST_NAME, true},
        {"x://a.", URL_HOST_NAME, false},
        {"x://.", URL_HOST_NAME, false},
        {"x://.a", URL_HOST_NAME, false},
        {"x://a..b", URL_HOST_NAME, false},
        {"x://-a.b", URL_HOST_NAME, false},
        {"x://a-.b", URL_HOST_NAME, false},
        {"x://a.b-", URL_HOST_NAME, false},
        {"x://8.8.8.8", URL_HOST_IPV4, false},
        {"x://8.8.8.8.", URL_HOST_NUMBER, false},
        {"x://8.8.8.08", URL_HOST_NUMBER, false},
        {"x://8.8.8.256", URL_HOST_NUMBER, false},
        {"x://8.8.8.8.8", URL_HOST_NUMBER, false},
        {"x://127.1", URL_HOST_NUMBER, false},
        {"x://127.", URL_HOST_NUMBER, false},
        {"x://2130706433", URL_HOST_NUMBER, false},
        {"x://0X7F000001", URL_HOST_NUMBER, false},
        {"x://1.0x", URL_HOST_NUMBER, false},
        {"x://a.1", URL_HOST_NUMBER, false},
        {"x://[::1]", URL_HOST_IPV6, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct url url;

        ck_assert_msg(parse(&url, cases[i].url) == URL_GOOD, "%s", cases[i].url);
        ck_assert_msg(url.host_kind == cases[i].kind, "%s", cases[i].url);
        ck_assert_msg(url_host_is_dns_name(&url) == cases[i].is_dns_name, "%s", cases[i].url);
    }
}
END_TEST

static bool is_dns_name_of(const char *host)
{
    char text[512];
    struct url url;

    (void)snprintf(text, sizeof text, "x://%s", host);
    return parse(&url, text) == URL_GOOD && url_host_is_dns_name(&url);
}

START_TEST(names_and_labels_have_lengths)
{
    char host[URL_HOST_SIZE];

    memset(host, 'a', sizeof host);
    for (size_t i = URL_LABEL_MAX; i < sizeof host; i += URL_LABEL_MAX + 1)
        host[i] = '.';
    host[URL_LABEL_MAX] = '\0';
    ck_assert(is_dns_name_of(host));
    host[URL_LABEL_MAX] = '.';
    host[URL_NAME_MAX] = '\0';
    ck_assert(is_dns_name_of(host));
    host[URL_NAME_MAX] = 'a';
    host[URL_NAME_MAX + 1] = '\0';
    ck_assert(!is_dns_name_of(host));
    host[URL_LABEL_MAX] = 'a';
    host[URL_LABEL_MAX + 1] = '\0';
    ck_assert(!is_dns_name_of(host));
}
END_TEST

START_TEST(hosts_and_ports_have_one_spelling)
{
    static const struct {
        const char *url, *authority;
        bool is_default;
    } cases[] = {
        {"https://H.Example/x", "h.example:443", true},
        {"https://h.example:0443", "h.example:443", true},
        {"HTTPS://h.example:80", "h.example:80", false},
        {"http://h.example:/", "h.example:80", true},
        {"ws://u@h.example", "h.example:80", true},
        {"WSS://h.example", "h.example:443", true},
        {"x://h.example", "h.example:0", true},
        {"https://[2001:DB8:0:0::0001%25eth0]", "[2001:db8::1]:443", true},
        {"https://[::ffff:808:808]", "[::ffff:8.8.8.8]:443", true},
    };
    char authority[URL_AUTHORITY_SIZE];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct url url;

        ck_assert_msg(parse(&url, cases[i].url) == URL_GOOD, "%s", cases[i].url);
        url_write_authority(authority, &url, true);
        ck_assert_str_eq(authority, cases[i].authority);
        ck_assert_msg(url_has_default_port(&url) == cases[i].is_default, "%s", cases[i].url);
        url_write_authority(authority, &url, false);
        ck_assert_uint_eq(strlen(authority),
                          (size_t)(strrchr(cases[i].authority, ':') - cases[i].authority));
    }
}
END_TEST

/* The longest of all. */
START_TEST(an_authority_has_room)
{
    char text[300] = "x://", authority[URL_AUTHORITY_SIZE];
    struct url url;

    memset(text + 4, 'A', URL_HOST_MAX);
    (void)strcpy(text + 4 + URL_HOST_MAX, ":65535");
    ck_assert(parse(&url, text) == URL_GOOD);
    url_write_authority(authority, &url, true);
    ck_assert_uint_eq(strlen(authority), URL_AUTHORITY_SIZE - 1);
    ck_assert_ptr_nonnull(strstr(authority, "aa:65535"));
}
END_TEST

/* ---- libcurl's verdict ----------------------------------------------------------------------- */

/* As a transfer parses its URL. */
#define OF_A_TRANSFER (CURLU_GUESS_SCHEME | CURLU_NON_SUPPORT_SCHEME | CURLU_PATH_AS_IS)

/* Writes the authority that libcurl connects to; false where libcurl refuses the URL. */
static bool ask_curl(const char *text, char out[URL_AUTHORITY_SIZE + 16])
{
    CURLU *parser = curl_url();
    char *host = NULL, *port = NULL;
    bool ok = curl_url_set(parser, CURLUPART_URL, text, OF_A_TRANSFER) == CURLUE_OK &&
              curl_url_get(parser, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(parser, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK;

    if (ok)
        (void)snprintf(out, URL_AUTHORITY_SIZE + 16, "%s:%s", host, port);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parser);
    return ok;
}

/* A URL good for HTTP has the host and the port that libcurl would connect to. */
START_TEST(libcurl_agrees)
{
    static const struct {
        const char *url, *curl; /* NULL: refuses it */
        bool is_for_http;
    } cases[] = {
        {"https://push.example.org/up?a=b", "push.example.org:443", true},
        {"https://push.example.org?x=/@evil.test", "push.example.org:443", true},
        {"https://push.example.org/@evil.test:1", "push.example.org:443", true},
        {"https://push.example.org#@evil.test/", "push.example.org:443", true},
        {"https://evil.test:8@push.example.org:9/", "push.example.org:9", true},
        {"http://a_b.example:00080", "a_b.example:80", true},
        {"http://a..b", "a..b:80", true},
        {"https://8.8.8.8:1", "8.8.8.8:1", true},
        {"https://[::1]:65535/", "[::1]:65535", true},
        {"https://[0:0::1]/", "[::1]:443", true},
        /* URLs that the two read differently, or that only one of them accepts. */
        {"https://a@b@push.example.org/", NULL, true},
        {"https://push.example.org:/x", "push.example.org:443", false},
        {"https://push.example.org:0/x", "push.example.org:0", false},
        {"https://push%2eexample.org/", "push.example.org:443", false},
        {"https://127.1/", "127.0.0.1:443", false},
        {"https://0x7f000001/", "127.0.0.1:443", false},
        {"https://0177.0.0.1/", "127.0.0.1:443", false},
        {"https://[fe80::1%25eth0]/", "[fe80::1]:443", false},
        {"https:/push.example.org", "push.example.org:443", false},
        {"push.example.org", "push.example.org:80", false},
        {"ftp://push.example.org/", "push.example.org:21", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char ours[URL_AUTHORITY_SIZE], theirs[URL_AUTHORITY_SIZE + 16] = "";
        struct url url;
        bool good = parse(&url, cases[i].url) == URL_GOOD && url_is_for_http(&url);

        ck_assert_msg(good == cases[i].is_for_http, "%s", cases[i].url);
        ck_assert_msg(ask_curl(cases[i].url, theirs) == (cases[i].curl != NULL), "%s",
                      cases[i].url);
        if (cases[i].curl == NULL)
            continue;
        ck_assert_str_eq(theirs, cases[i].curl);
        if (!good)
            continue;
        url_write_authority(ours, &url, true);
        ck_assert_str_eq(ours, theirs);
    }
}
END_TEST

START_TEST(an_operators_url_is_https_and_no_more)
{
    static const char *const good[] = {"https://h", "HTTPS://h:1/p?q#f", "https://8.8.8.8"};
    static const char *const bad[] = {"http://h", "https://u@h", "https://@h",   "https://h:",
                                      "https://", "https:h",     "https://127.1"};
    struct url url;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(url_parse_https(&url, good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!url_parse_https(&url, bad[i]), "%s", bad[i]);
}
END_TEST

/* Of what need not be a URL. */
START_TEST(what_may_be_shown_is_scheme_and_authority)
{
    static const struct {
        const char *text, *shown; /* NULL: nothing */
    } cases[] = {
        {"", ""},
        {"https://h", "https://h"},
        {"https://h:1/secret", "https://h:1"},
        {"https://h?secret", "https://h"},
        {"https://h#secret", "https://h"},
        {"wss://[::1]:7/secret", "wss://[::1]:7"},
        {"h:1/secret", "h:1"},
        {"h/secret://secret", "h"},
        {"h?secret://secret", "h"},
        {"https:/secret", "https:"},
        {"https:///secret", "https://"},
        {"https://u:secret@h/", NULL},
        {"https://h/?a@b", NULL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct url_part part = url_public_part(cases[i].text, strlen(cases[i].text));

        ck_assert_msg((part.text == NULL) == (cases[i].shown == NULL), "%s", cases[i].text);
        if (part.text == NULL)
            continue;
        ck_assert_msg(part.len == strlen(cases[i].shown), "%s", cases[i].text);
        ck_assert_mem_eq(part.text, cases[i].shown, part.len);
    }
    ck_assert_uint_eq(url_public_part("https://h.example/", 10).len, 10);
}
END_TEST

UNIT_MAIN("url", takes_urls_apart, says_what_is_wrong, userinfo_may_reach_to_the_last_at,
          bounds_lengths, hosts_have_kinds, names_and_labels_have_lengths,
          hosts_and_ports_have_one_spelling, an_authority_has_room, libcurl_agrees,
          an_operators_url_is_https_and_no_more, what_may_be_shown_is_scheme_and_authority)
