#include "unit.h"

#include <regex.h>

#include "settings/regex_check.h"

/* What an operator may write of hosts. */
START_TEST(patterns_of_hosts)
{
    static const char *const patterns[] = {
        "",
        "^ntfy\\.sh$",
        "^(ntfy\\.sh|push\\.example)$",
        "(^|\\.)example\\.(com|org)$",
        ("^a\\.example$|^b\\.example$|^c\\.example$|^d\\.example$|^e\\.example$|^f\\.example$|"
         "^g\\.example$|^h\\.example$|^i\\.example$"),
        "^([a-z0-9-]+\\.)*example\\.org$",
        "^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+example$",
        "^up[[:digit:]]{1,3}(-[[:alpha:]]+)?\\.example$",
        "^[^]+*]+\\.example$",
        "^[[.].]*]+\\.example$",
        "a|b|",
        "a)+",
    };
    regex_t compiled;

    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        ck_assert_msg(regex_check(patterns[i]), "%s", patterns[i]);
        ck_assert_msg(regcomp(&compiled, patterns[i], REG_EXTENDED) == 0, "%s", patterns[i]);
        regfree(&compiled);
    }
}
END_TEST

/* Each has been seen to take all memory or seconds, or is an escape that means something else. */
START_TEST(patterns_that_the_compiler_must_not_see)
{
    static const char *const patterns[] = {
        "pu+++++++++++++++++++++++++++++++++",
        "(a{255}){255}",
        "a{255}{255}",
        "[+]{255}{255}",
        "((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)",
        "a{1,}{1,}{1,}{1,}{1,}{1,}{1,}{1,}{1,}{1,}{1,}{1,}{1,}",
        "a*{3,}",
        "a?{255}",
        "(a*)*",
        "(a|)+",
        "(|a)+",
        "(a?b*)?",
        "(^)*",
        "(a|$){2}",
        "^*",
        "*",
        "(a)(b)\\1",
        "\\w",
        "\\<a",
        "a\\",
        "((a)",
    };

    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        ck_assert_msg(!regex_check(patterns[i]), "%s", patterns[i]);
}
END_TEST

/* The part, so often. */
static const char *many(const char *part, size_t times)
{
    static char text[8192];
    size_t len = strlen(part);

    ck_assert_uint_lt(len * times, sizeof text);
    for (size_t i = 0; i < times; i++)
        memcpy(text + i * len, part, len);
    text[len * times] = '\0';
    return text;
}

START_TEST(limits)
{
    char nested[2 * REGEX_CHECK_DEPTH + 4] = "";

    ck_assert(regex_check(many("a", REGEX_CHECK_WEIGHT)));
    ck_assert(!regex_check(many("a", REGEX_CHECK_WEIGHT + 1)));
    ck_assert(regex_check("a{4095}"));
    ck_assert(!regex_check("a{4096}"));
    ck_assert(!regex_check("a{0,4096}"));
    ck_assert(!regex_check("a{99999999999999999999}"));
    ck_assert(regex_check(many("(^|a)", 7)));
    ck_assert(!regex_check(many("(^|a)", 8)));
    ck_assert(!regex_check(many("a^", 8)));
    ck_assert(!regex_check(many("$a", 8)));
    ck_assert(regex_check(many("(a*|b*)", 60)));
    ck_assert(!regex_check(many("(a*|b*)", 64)));

    memset(nested, '(', REGEX_CHECK_DEPTH);
    nested[REGEX_CHECK_DEPTH] = 'a';
    memset(nested + REGEX_CHECK_DEPTH + 1, ')', REGEX_CHECK_DEPTH);
    ck_assert(regex_check(nested));
    memset(nested, '(', REGEX_CHECK_DEPTH + 1);
    nested[REGEX_CHECK_DEPTH + 1] = 'a';
    memset(nested + REGEX_CHECK_DEPTH + 2, ')', REGEX_CHECK_DEPTH + 1);
    ck_assert(!regex_check(nested));
}
END_TEST

UNIT_MAIN("regex_check", patterns_of_hosts, patterns_that_the_compiler_must_not_see, limits)
