#include "device/registered_domain.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

static void expect(const char *name, const char *domain)
{
    ck_assert_str_eq(registered_domain(name), domain);
}

START_TEST(it_has_two_labels)
{
    expect("example.org", "example.org");
    expect("a.example.org", "example.org");
    expect("a.b.c.example.org", "example.org");
    expect("a.xn--bcher-kva.example", "xn--bcher-kva.example");
}
END_TEST

START_TEST(below_a_suffix_of_a_country_it_has_three)
{
    static const char *const suffixes[] = {"co.uk",  "org.uk",  "ltd.uk", "com.br", "net.au",
                                           "ac.at",  "or.jp",   "ne.jp",  "go.kr",  "gob.mx",
                                           "nom.co", "gouv.fr", "edu.ar", "mil.id", "sch.ly"};
    char name[32];

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        (void)snprintf(name, sizeof name, "a.b.example.%s", suffixes[i]);
        expect(name, name + strlen("a.b."));
        expect(name + strlen("a.b."), name + strlen("a.b."));
    }
}
END_TEST

/* Somebody may have registered each of these. */
START_TEST(short_or_similar_names_are_no_suffixes)
{
    expect("a.b.abc.de", "abc.de");
    expect("a.b.x.ru", "x.ru");
    expect("a.co.info", "co.info"); /* no country */
    expect("a.xco.uk", "xco.uk");
    expect("a.c.uk", "c.uk");
    expect("a.comm.br", "comm.br");
}
END_TEST

START_TEST(a_name_of_fewer_labels_is_one)
{
    expect("", "");
    expect("localhost", "localhost");
    expect("co.uk", "co.uk");
    expect("uk", "uk");
}
END_TEST

UNIT_MAIN("registered_domain", it_has_two_labels, below_a_suffix_of_a_country_it_has_three,
          short_or_similar_names_are_no_suffixes, a_name_of_fewer_labels_is_one)
