#include "endpoints/endpoint_shares.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

enum { MOST = 2000 };

static struct endpoint_shares *shares;
static struct endpoint_shares_item items[MOST];
static char hosts[MOST][64];
static int64_t since[MOST];
static size_t count;

static void setup(void)
{
    memset(items, 0, sizeof items);
    count = 0;
    shares = endpoint_shares_new();
    ck_assert_ptr_nonnull(shares);
}

static void teardown(void)
{
    endpoint_shares_free(&shares);
    ck_assert_ptr_null(shares);
}

static struct url parse(const char *host, char text[128])
{
    struct url url;

    (void)snprintf(text, 128, "https://%s/up", host);
    ck_assert_int_eq(url_parse(&url, text, strlen(text), URL_USERINFO_OF_AUTHORITY), URL_GOOD);
    return url;
}

/* An endpoint at a host, of so many bytes. */
static void add_sized(const char *host, size_t size, int64_t moment)
{
    char text[128];
    struct url url = parse(host, text);

    ck_assert_uint_lt(count, MOST);
    (void)snprintf(hosts[count], sizeof hosts[count], "%s", host);
    since[count] = moment;
    ck_assert(endpoint_shares_add(shares, &items[count], &url, size, moment));
    count++;
}

static void add(const char *host, int64_t moment)
{
    add_sized(host, 100, moment);
}

static size_t shift(void)
{
    struct endpoint_shares_item *item = endpoint_shares_shift(shares);

    ck_assert_ptr_nonnull(item);
    return (size_t)(item - items);
}

/* Lets go of all but `left`; how many of a host stay. */
static size_t kept_of(const char *host, size_t left)
{
    bool gone[MOST] = {false};
    size_t n = 0;

    for (size_t i = count; i > left; i--)
        gone[shift()] = true;
    for (size_t i = 0; i < count; i++)
        n += !gone[i] && strcmp(hosts[i], host) == 0;
    return n;
}

START_TEST(the_oldest_of_a_host_goes_first)
{
    add("push.example", 30);
    add("push.example", 10);
    add("push.example", 20);
    ck_assert_int_eq(since[shift()], 10);
    ck_assert_int_eq(since[shift()], 20);
    add("push.example", 5);
    ck_assert_int_eq(since[shift()], 5);
    ck_assert_int_eq(since[shift()], 30);
    ck_assert_ptr_null(endpoint_shares_shift(shares));
}
END_TEST

/* Though all of its endpoints are newer. */
START_TEST(one_host_pushes_out_no_other_s)
{
    for (int i = 0; i < 100; i++)
        add("ntfy.example", i);
    for (int i = 0; i < 1500; i++)
        add("flood.test", 1000 + i);
    ck_assert_uint_eq(kept_of("ntfy.example", 250), 100);
}
END_TEST

START_TEST(names_below_one_domain_are_one_owner_s)
{
    char name[32];

    for (int i = 0; i < 100; i++)
        add("ntfy.example", i);
    for (int i = 0; i < 1500; i++) {
        (void)snprintf(name, sizeof name, "r%d.x%d.flood.test", i, i % 7);
        add(name, 1000 + i);
    }
    ck_assert_uint_eq(kept_of("ntfy.example", 250), 100);
}
END_TEST

/* Such as those of a service that gives names to everybody. */
START_TEST(hosts_of_one_owner_share_what_he_has)
{
    for (int i = 0; i < 10; i++)
        add("honest.ddns.test", i);
    for (int i = 0; i < 1000; i++)
        add("flood.ddns.test", 1000 + i);
    for (int i = 0; i < 100; i++)
        add("ntfy.example", i);
    ck_assert_uint_eq(kept_of("honest.ddns.test", 50), 10);
}
END_TEST

START_TEST(bytes_count_and_not_endpoints)
{
    for (int i = 0; i < 10; i++)
        add_sized("short.example", 100, i);
    add_sized("long.test", 999, 100);
    ck_assert_str_eq(hosts[shift()], "short.example");
    add_sized("longer.test2", 1000, 100);
    ck_assert_str_eq(hosts[shift()], "longer.test2");
}
END_TEST

START_TEST(who_needs_least_stays_longest)
{
    add("one.example", 1);
    for (int i = 0; i < 3; i++)
        add("three.test", 100 + i);
    for (int i = 0; i < 2; i++)
        add("two.test2", 200 + i);
    ck_assert_str_eq(hosts[shift()], "three.test");
    for (int i = 0; i < 2; i++)
        ck_assert_str_ne(hosts[shift()], "one.example");
}
END_TEST

START_TEST(whose_a_host_is)
{
    static const char *const owners[][2] = {
        {"push.example", "push.example"},
        {"A.B.Push.Example", "push.example"},
        {"example", "example"},
        {"a.b.example.co.uk", "example.co.uk"},
        {"example.com.br", "example.com.br"},
        {"co.uk", "co.uk"},
        {"a.b.abc.de", "abc.de"}, /* somebody may own that one */
        {"a.co.info", "co.info"}, /* no country */
        {"a.xco.uk", "xco.uk"},
        {"198.51.100.7", "198.51.100."},
        {"[2001:DB8:12:34::1]", "[2001:0db8:0012:"},
    };
    char text[128], owner[URL_HOST_SIZE];

    for (size_t i = 0; i < sizeof owners / sizeof owners[0]; i++) {
        struct url url = parse(owners[i][0], text);

        endpoint_shares_owner(owner, &url);
        ck_assert_str_eq(owner, owners[i][1]);
    }
}
END_TEST

START_TEST(what_is_left_stays_its_owners)
{
    add("push.example", 1);
    add("push.test", 2);
    endpoint_shares_free(&shares);
    shares = endpoint_shares_new();
    count = 0;
    memset(items, 0, sizeof items);
    add("push.example", 1);
    ck_assert_uint_eq(shift(), 0);
}
END_TEST

UNIT_MAIN_WITH("endpoint_shares", setup, teardown, the_oldest_of_a_host_goes_first,
               one_host_pushes_out_no_other_s, names_below_one_domain_are_one_owner_s,
               hosts_of_one_owner_share_what_he_has, bytes_count_and_not_endpoints,
               who_needs_least_stays_longest, whose_a_host_is, what_is_left_stays_its_owners)
