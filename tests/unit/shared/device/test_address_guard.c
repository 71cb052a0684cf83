#include "device/address_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "unit.h"

static bool is_public(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return address_guard_is_public((const struct sockaddr *)&v4, sizeof v4);
    ck_assert_msg(inet_pton(AF_INET6, text, &v6.sin6_addr) == 1, "%s", text);
    return address_guard_is_public((const struct sockaddr *)&v6, sizeof v6);
}

/* Both ends of every range, and the neighbours of those that have public ones. */
static const char *const refused[] = {
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.255",
    "192.0.2.0",
    "192.0.2.255",
    "192.31.196.0",
    "192.31.196.255",
    "192.52.193.0",
    "192.52.193.255",
    "192.88.99.0",
    "192.88.99.255",
    "192.168.0.0",
    "192.168.255.255",
    "192.175.48.0",
    "192.175.48.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.0",
    "198.51.100.255",
    "203.0.113.0",
    "203.0.113.255",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.255",
    "::",
    "::1",
    "::8.8.8.8",
    "::ffff:0:0",
    "::ffff:8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:0:8.8.8.8",
    "64:ff9b::",
    "64:ff9b::10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::192.168.255.255",
    "64:ff9b::224.0.0.1",
    "64:ff9b::255.255.255.255",
    "64:ff9a::8.8.8.8",
    "64:ff9b::1:808:808",
    "64:ff9b:0:1::8.8.8.8",
    "64:ff9b:1::1",
    "64:ff9b:1::8.8.8.8",
    "64:ff9b:1:ffff::8.8.8.8",
    "2002:808:808::1",
    "100::1",
    "1fff:ffff::1",
    "2001::1",
    "2001:2::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2001:db8:ffff::1",
    "2002::1",
    "2002:7f00:1::1",
    "2002:ffff:ffff::1",
    "2620:4f:8000::1",
    "2620:4f:8000:ffff::1",
    "3fff::1",
    "3fff:fff::1",
    "4000::1",
    "5f00::1",
    "7fff:ffff::1",
    "8000::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
};

static const char *const admitted[] = {
    "1.0.0.0",
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.0.3.0",
    "192.31.195.255",
    "192.31.197.0",
    "192.52.192.255",
    "192.52.194.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.175.47.255",
    "192.175.49.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2000::1",
    "2001:200::1",
    "2001:db7:ffff::1",
    "2001:db9::1",
    "2003::1",
    "2606:4700::1111",
    "2620:4f:7fff::1",
    "2620:4f:8001::1",
    "2a00:1450::1",
    "3ffe::1",
    "3fff:1000::1",
    "64:ff9b::8.8.8.8",
    "64:ff9b::1.0.0.0",
    "64:ff9b::172.32.0.0",
    "64:ff9b::223.255.255.255",
};

START_TEST(special_addresses_are_refused)
{
    ck_assert_msg(!is_public(refused[_i]), "%s", refused[_i]);
}
END_TEST

START_TEST(public_addresses_are_admitted)
{
    ck_assert_msg(is_public(admitted[_i]), "%s", admitted[_i]);
}
END_TEST

START_TEST(what_is_no_internet_address_is_refused)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/x"};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    v4.sin_addr.s_addr = htonl(0x01010101);
    ck_assert_int_eq(inet_pton(AF_INET6, "2606:4700::1111", &v6.sin6_addr), 1);
    ck_assert(!address_guard_is_public((const struct sockaddr *)&local, sizeof local));
    ck_assert(address_guard_is_public((const struct sockaddr *)&v4, sizeof v4));
    ck_assert(!address_guard_is_public((const struct sockaddr *)&v4, sizeof v4 - 1));
    ck_assert(!address_guard_is_public((const struct sockaddr *)&v4, 0));
    ck_assert(!address_guard_is_public((const struct sockaddr *)&v6, sizeof v6 - 1));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("address_guard");
    TCase *tcase = tcase_create("address_guard");

    tcase_add_loop_test(tcase, special_addresses_are_refused, 0,
                        (int)(sizeof refused / sizeof refused[0]));
    tcase_add_loop_test(tcase, public_addresses_are_admitted, 0,
                        (int)(sizeof admitted / sizeof admitted[0]));
    tcase_add_test(tcase, what_is_no_internet_address_is_refused);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
