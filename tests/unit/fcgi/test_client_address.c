#include "unit.h"

#include "client_address.h"

static struct client_address find_by(const struct request *request, enum settings_proxy trusted)
{
    struct client_address address;

    ck_assert(client_address_find(&address, request, trusted));
    return address;
}

static struct client_address find(const struct request *request, bool trust)
{
    return find_by(request, trust ? SETTINGS_PROXY_EITHER : SETTINGS_PROXY_NONE);
}

static void assert_ipv4(struct client_address address, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    const uint8_t bytes[4] = {a, b, c, d};

    ck_assert_uint_eq(address.len, 4);
    ck_assert_mem_eq(address.bytes, bytes, 4);
}

START_TEST(the_peer_counts_where_no_proxy_is_trusted)
{
    const struct request request = {.remote_addr = "198.51.100.7",
                                    .forwarded_for = "192.0.2.1",
                                    .fly_client_ip = "192.0.2.2",
                                    .fly_client_ip_count = 1};

    assert_ipv4(find(&request, false), 198, 51, 100, 7);
}
END_TEST

START_TEST(the_proxys_headers_in_order)
{
    struct request request = {.remote_addr = "127.0.0.1",
                              .forwarded_for = "10.0.0.1, 192.0.2.1",
                              .fly_client_ip = "192.0.2.2",
                              .fly_client_ip_count = 1};

    assert_ipv4(find(&request, true), 192, 0, 2, 2);
    request.fly_client_ip_count = 2; /* a second one came, under another name */
    assert_ipv4(find(&request, true), 192, 0, 2, 1);
    request.fly_client_ip_count = 1;
    request.fly_client_ip = "192.0.2.9, 192.0.2.2"; /* a list is not one address */
    assert_ipv4(find(&request, true), 192, 0, 2, 1);
    request.fly_client_ip = NULL;
    request.fly_client_ip_count = 0;
    request.forwarded_for = "192.0.2.1, nonsense";
    assert_ipv4(find(&request, true), 127, 0, 0, 1);
    request.forwarded_for = "192.0.2.7 192.0.2.8"; /* no list, and not one address */
    assert_ipv4(find(&request, true), 127, 0, 0, 1);
    request.forwarded_for = "192.0.2.1";
    request.forwarded_for_count = 2; /* which is whose cannot be told */
    assert_ipv4(find(&request, true), 127, 0, 0, 1);
    request.forwarded_for = NULL;
    assert_ipv4(find(&request, true), 127, 0, 0, 1);
}
END_TEST

/* Behind a web server that says which of the two headers is not there, by an empty parameter. */
START_TEST(a_name_that_passes_for_a_headers)
{
    struct request request = {.remote_addr = "127.0.0.1",
                              .forwarded_for = "192.0.2.1",
                              .forwarded_for_count = 1,
                              .fly_client_ip = "",
                              .fly_client_ip_count = 1};

    assert_ipv4(find(&request, true), 192, 0, 2, 1);
    request.fly_client_ip_count = 2; /* Fly_Client_IP: ... came before it */
    assert_ipv4(find(&request, true), 192, 0, 2, 1);
    request.forwarded_for = "";
    request.forwarded_for_count = 2;
    assert_ipv4(find(&request, true), 127, 0, 0, 1);
    request.fly_client_ip = "192.0.2.2";
    request.fly_client_ip_count = 1;
    assert_ipv4(find(&request, true), 192, 0, 2, 2);
}
END_TEST

START_TEST(the_one_header_that_the_proxy_sets)
{
    struct request request = {.remote_addr = "127.0.0.1",
                              .forwarded_for = "10.0.0.1, 192.0.2.1",
                              .forwarded_for_count = 1,
                              .fly_client_ip = "192.0.2.2",
                              .fly_client_ip_count = 1};

    assert_ipv4(find_by(&request, SETTINGS_PROXY_FORWARDED_FOR), 192, 0, 2, 1);
    assert_ipv4(find_by(&request, SETTINGS_PROXY_FLY_CLIENT_IP), 192, 0, 2, 2);
    request.forwarded_for = NULL;
    assert_ipv4(find_by(&request, SETTINGS_PROXY_FORWARDED_FOR), 127, 0, 0, 1);
    request.fly_client_ip = NULL;
    request.fly_client_ip_count = 0;
    request.forwarded_for = "192.0.2.1";
    assert_ipv4(find_by(&request, SETTINGS_PROXY_FLY_CLIENT_IP), 127, 0, 0, 1);
}
END_TEST

START_TEST(entries_with_ports_and_blanks)
{
    static const char *const lists[] = {
        "192.0.2.1",     "x,192.0.2.1 ",           "x,\t192.0.2.1",
        "192.0.2.1:443", "a, b, ::ffff:192.0.2.1", "[::ffff:192.0.2.1]:80"};
    struct request request = {.remote_addr = "127.0.0.1"};

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        request.forwarded_for = lists[i];
        assert_ipv4(find(&request, true), 192, 0, 2, 1);
    }
}
END_TEST

START_TEST(ipv6_counts_by_its_64)
{
    struct request one = {.remote_addr = "2001:db8:1:2:3:4:5:6"};
    struct request two = {.remote_addr = "2001:db8:1:2::1"};
    struct request three = {.remote_addr = "2001:db8:1:3::1"};
    struct client_address first = find(&one, false), second = find(&two, false),
                          third = find(&three, false);

    ck_assert_uint_eq(first.len, 8);
    ck_assert_mem_eq(first.bytes, second.bytes, 8);
    ck_assert_mem_ne(first.bytes, third.bytes, 8);
}
END_TEST

START_TEST(mapped_ipv6_counts_as_ipv4)
{
    const struct request request = {.remote_addr = "::ffff:198.51.100.7"};

    assert_ipv4(find(&request, false), 198, 51, 100, 7);
}
END_TEST

START_TEST(no_address_is_none)
{
    struct client_address address;
    struct request request = {.remote_addr = NULL};

    ck_assert(!client_address_find(&address, &request, SETTINGS_PROXY_NONE));
    request.remote_addr = "";
    ck_assert(!client_address_find(&address, &request, SETTINGS_PROXY_EITHER));
    request.remote_addr = "unix:";
    ck_assert(!client_address_find(&address, &request, SETTINGS_PROXY_EITHER));
}
END_TEST

START_TEST(a_proxy_shows_by_its_headers_and_its_place)
{
    static const char *const near[] = {"127.0.0.1", "10.9.8.7", "172.31.0.1", "192.168.0.1",
                                       "::1",       "fd12::1",  "fe80::1",    "::ffff:10.0.0.1"};
    static const char *const far[] = {"198.51.100.7", "172.32.0.1", "2001:db8::1"};
    struct request request = {.forwarded_for = "192.0.2.1"};

    for (size_t i = 0; i < sizeof near / sizeof near[0]; i++) {
        request.remote_addr = near[i];
        ck_assert_msg(client_address_is_shared(&request), "%s", near[i]);
    }
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        request.remote_addr = far[i];
        ck_assert_msg(!client_address_is_shared(&request), "%s", far[i]);
    }
    request.remote_addr = "127.0.0.1";
    request.forwarded_for = "";
    request.fly_client_ip = "";
    ck_assert(!client_address_is_shared(&request));
    request.fly_client_ip = "192.0.2.1";
    ck_assert(client_address_is_shared(&request));
    request.forwarded_for = request.fly_client_ip = NULL;
    ck_assert(!client_address_is_shared(&request));
}
END_TEST

UNIT_MAIN("client_address", the_peer_counts_where_no_proxy_is_trusted, the_proxys_headers_in_order,
          a_name_that_passes_for_a_headers, the_one_header_that_the_proxy_sets,
          entries_with_ports_and_blanks, ipv6_counts_by_its_64, mapped_ipv6_counts_as_ipv4,
          no_address_is_none, a_proxy_shows_by_its_headers_and_its_place)
