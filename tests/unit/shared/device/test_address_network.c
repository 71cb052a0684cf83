#include "device/address_network.h"

#include "unit.h"

static void expect(const char *ip, const char *network)
{
    char out[ADDRESS_NETWORK_SIZE];

    ck_assert(address_network(out, ip));
    ck_assert_str_eq(out, network);
}

START_TEST(of_ipv4_it_is_a_24)
{
    expect("198.51.100.7", "4:c63364");
    expect("198.51.100.255", "4:c63364");
    expect("198.51.101.7", "4:c63365");
}
END_TEST

START_TEST(of_ipv6_it_is_a_48)
{
    expect("2001:db8:1:2::3", "6:20010db80001");
    expect("2001:db8:1:ffff:ffff:ffff:ffff:ffff", "6:20010db80001");
    expect("2001:db8:2::", "6:20010db80002");
    expect("::1", "6:000000000000");
}
END_TEST

START_TEST(of_ipv4_within_ipv6_it_is_that_ones)
{
    expect("::ffff:198.51.100.7", "4:c63364");
    expect("64:ff9b::198.51.100.7", "4:c63364");
    expect("64:ff9b:1::198.51.100.7", "6:0064ff9b0001"); /* another prefix (RFC 8215) */
}
END_TEST

START_TEST(of_anything_else_it_is_none)
{
    static const char *const bad[] = {"", "push.example.org", "1.2.3", "1.2.3.4:443", "[::1]", "x"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char out[ADDRESS_NETWORK_SIZE] = "before";

        ck_assert(!address_network(out, bad[i]));
        ck_assert_str_eq(out, "");
    }
}
END_TEST

UNIT_MAIN("address_network", of_ipv4_it_is_a_24, of_ipv6_it_is_a_48,
          of_ipv4_within_ipv6_it_is_that_ones, of_anything_else_it_is_none)
