#include <string.h>

#include "nostr/relay_url.h"
#include "settings/settings.h"
#include "settings/settings_types.h"
#include "unit.h"

START_TEST(takes_urls_apart)
{
    static const struct {
        const char *url, *host, *authority, *path, *place, *name;
        bool tls;
        uint16_t port;
    } cases[] = {
        {"wss://relay.example", "relay.example", "relay.example", "/", "wss://relay.example",
         "wss://relay.example", true, 443},
        {"ws://relay.example/", "relay.example", "relay.example", "/", "ws://relay.example/",
         "ws://relay.example", false, 80},
        {"ws://127.0.0.1:7777/a/b?c=d", "127.0.0.1", "127.0.0.1:7777", "/a/b?c=d",
         "ws://127.0.0.1:7777/a/b", "ws://127.0.0.1:7777/[...]", false, 7777},
        {"WSS://Relay.Example:443/A", "relay.example", "relay.example", "/A",
         "wss://relay.example/A", "wss://relay.example/[...]", true, 443},
        {"wss://relay.example:80", "relay.example", "relay.example:80", "/",
         "wss://relay.example:80", "wss://relay.example:80", true, 80},
        {"ws://[::1]:7777", "::1", "[::1]:7777", "/", "ws://[::1]:7777", "ws://[::1]:7777", false,
         7777},
        {"ws://[::1]", "::1", "[::1]", "/", "ws://[::1]", "ws://[::1]", false, 80},
        {"ws://[2001:DB8:0:0::0001]:80/", "2001:db8::1", "[2001:db8::1]", "/",
         "ws://[2001:db8::1]/", "ws://[2001:db8::1]", false, 80},
        {"ws://[fe80::1%25eth0]:7777", "fe80::1%eth0", "[fe80::1]:7777", "/", "ws://[fe80::1]:7777",
         "ws://[fe80::1]:7777", false, 7777},
        {"wss://user:secret@relay.example?token=secret#top", "relay.example", "relay.example",
         "/?token=secret", "wss://relay.example", "wss://relay.example/[...]", true, 443},
        {"wss://relay.example:/x", "relay.example", "relay.example", "/x", "wss://relay.example/x",
         "wss://relay.example/[...]", true, 443},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct relay_url url;

        ck_assert_msg(relay_url_parse(&url, cases[i].url), "%s", cases[i].url);
        ck_assert_str_eq(url.host, cases[i].host);
        ck_assert_str_eq(url.authority, cases[i].authority);
        ck_assert_str_eq(url.path, cases[i].path);
        ck_assert_str_eq(url.place, cases[i].place);
        ck_assert_str_eq(url.name, cases[i].name);
        ck_assert_int_eq(url.tls, cases[i].tls);
        ck_assert_uint_eq(url.port, cases[i].port);
    }
}
END_TEST

START_TEST(refuses_what_is_no_relay_url)
{
    static const char *const bad[] = {
        "",
        "relay.example",
        "http://relay.example",
        "wss:/relay.example",
        "wss://",
        "wss:///path",
        "wss://:443",
        "wss://user@",
        "ws://[::1",
        "ws://[]",
        "ws://[relay]",
        "ws://rel%61y.example",
        "ws://relay,example",
        "ws://relay.example/\"",
        "ws://[::1]7777",
        "ws://relay.example:0",
        "ws://relay.example:65536",
        "ws://relay.example:99999999999999999999",
        "ws://relay.example:80a",
        "ws://relay example",
        "ws://relay.example/a b",
        "ws://relay.example/a\r\nHost: x",
        "ws://relay.ex\xc3\xa4mple",
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct relay_url url;

        ck_assert_msg(!relay_url_parse(&url, bad[i]), "taken: %s", bad[i]);
    }
}
END_TEST

START_TEST(knows_a_relay_under_its_other_spellings)
{
    static const struct {
        const char *one, *other;
        bool same;
    } rows[] = {
        {"wss://relay.example", "wss://relay.example", true},
        {"wss://relay.example", "wss://relay.example/", true},
        {"wss://relay.example", "WSS://Relay.EXAMPLE:443/", true},
        {"ws://relay.example:80/#x", "ws://relay.example", true},
        {"wss://user:pw@relay.example/", "wss://relay.example", true},
        {"wss://relay.example/a", "wss://relay.example/a/", true},
        {"wss://relay.example?x=1", "wss://relay.example/?x=1", true},
        {"wss://relay.example/a?x=1", "wss://relay.example/a/?x=1", true},
        {"ws://[::1]:7000", "ws://[::1]:7000/", true},
        {"ws://[::1]:7000", "ws://[0::0:1]:7000", true},
        {"wss://relay.example", "ws://relay.example", false},
        {"wss://relay.example:443", "ws://relay.example:443", false},
        {"wss://relay.example", "wss://relay.example:444", false},
        {"wss://relay.example", "wss://relay.example/a", false},
        {"wss://relay.example/a", "wss://relay.example/A", false},
        {"wss://relay.example/a", "wss://relay.example/b", false},
        {"wss://relay.example/a", "wss://relay.example/a//", false},
        {"wss://relay.example", "wss://relay.example?x=1", false},
        {"wss://relay.example/?x=1", "wss://relay.example/?x=1/", false},
        {"wss://relay.example/?x=1", "wss://relay.example/?x=2", false},
        {"wss://relay.example", "wss://relay.example.org", false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct relay_url one, other;

        ck_assert(relay_url_parse(&one, rows[i].one) && relay_url_parse(&other, rows[i].other));
        ck_assert_msg(relay_url_is_same(&one, &other) == rows[i].same, "%s %s", rows[i].one,
                      rows[i].other);
        ck_assert_msg(relay_url_is_same(&other, &one) == rows[i].same, "%s %s", rows[i].other,
                      rows[i].one);
    }
}
END_TEST

START_TEST(bounds_lengths)
{
    struct relay_url url;
    char text[RELAY_URL_MAX_LEN + 2];

    memset(text, 'a', sizeof text);
    memcpy(text, "ws://relay.example/", 19);
    text[RELAY_URL_MAX_LEN] = '\0';
    ck_assert(relay_url_parse(&url, text));
    ck_assert_uint_eq(strlen(url.path), RELAY_URL_MAX_LEN - 18);
    ck_assert_str_eq(url.place, text);
    ck_assert_str_eq(url.name, "ws://relay.example/[...]");
    text[RELAY_URL_MAX_LEN] = 'a';
    text[RELAY_URL_MAX_LEN + 1] = '\0';
    ck_assert(!relay_url_parse(&url, text));
    memset(text, 'a', sizeof text);
    memcpy(text, "ws://", 5);
    text[5 + 255] = '\0';
    ck_assert(relay_url_parse(&url, text));
    text[5 + 255] = 'a';
    text[5 + 256] = '\0';
    ck_assert(!relay_url_parse(&url, text));
}
END_TEST

/* Everything that NOSTR_RELAYS accepts can be followed. */
START_TEST(settings_take_no_other_urls)
{
    static const struct settings_rule rule = {.type = SETTINGS_RELAYS};
    static const char *const urls[] = {
        "wss://relay.example",
        "WS://Relay.Example:80/a?b#c",
        "ws://[::1]:7000",
        "ws://[fe80::1%25eth0]",
        "ws://127.1",
        "wss://relay.example:",
        "wss://relay.example.:443/",
        "ws://[relay]",
        "ws://relay%2eexample",
        "ws://u@relay.example",
        "ws://relay.example/\"",
        "ws://relay.example:65536",
        "https://relay.example",
    };
    char longest[513 + 1];
    unsigned taken = 0;

    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct settings_relays relays = {.count = 0};
        struct relay_url url;
        bool is_setting = settings_type_parse(&rule, &relays, urls[i]);

        ck_assert_msg(!is_setting || relay_url_parse(&url, relays.url[0]), "%s", urls[i]);
        ck_assert_msg(!is_setting || relay_url_parse(&url, urls[i]), "%s", urls[i]);
        taken += is_setting;
        settings_type_free(&rule, &relays);
    }
    ck_assert_uint_eq(taken, 6);
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "ws://h/", 7);
    for (size_t len = 512; len <= 513; len++) {
        struct settings_relays relays = {.count = 0};

        longest[len] = '\0';
        ck_assert(settings_type_parse(&rule, &relays, longest) == (len == 512));
        settings_type_free(&rule, &relays);
        longest[len] = 'a';
    }
    ck_assert_int_gt(RELAY_URL_MAX_LEN, 512);
}
END_TEST

UNIT_MAIN("relay_url", takes_urls_apart, refuses_what_is_no_relay_url,
          knows_a_relay_under_its_other_spellings, bounds_lengths, settings_take_no_other_urls)
