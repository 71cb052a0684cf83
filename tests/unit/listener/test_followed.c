#include "followed.h"

#include "unit.h"

static void fill(struct followed *followed, size_t count, char *const *urls)
{
    struct settings_relays relays = {.count = count};

    for (size_t i = 0; i < count; i++)
        relays.url[i] = urls[i];
    relays.is_repeated[count - 1] = true; /* as settings that found the same text twice */
    followed_fill(followed, &relays);
}

START_TEST(each_relay_is_followed_once)
{
    static char a_slash[] = "wss://a.example/", a[] = "wss://a.example", b[] = "wss://b.example",
                c[] = "wss://c.example";
    char *const urls[] = {a_slash, b, a, c};
    struct followed followed;

    fill(&followed, 4, urls);
    ck_assert_uint_eq(followed.count, 3);
    ck_assert_str_eq(followed.relays[0].url, a_slash);
    ck_assert(followed.relays[0].is_repeated);
    ck_assert_str_eq(followed.relays[1].url, b);
    ck_assert_str_eq(followed.relays[1].parts.host, "b.example");
    ck_assert(!followed.relays[1].is_repeated);
    ck_assert_str_eq(followed.relays[2].url, c);
    ck_assert(followed.relays[2].is_repeated);
}
END_TEST

UNIT_MAIN("followed", each_relay_is_followed_once)
