#include "settings/host_pattern.h"

#include <regex.h>
#include <stddef.h>

#include "unit.h"

static const struct {
    const char *pattern;
    bool has_beginning, has_end;
} cases[] = {
    {"^(.*\\.)?ntfy\\.sh$", true, true},
    {"^ntfy\\.sh$|^up\\.example$", true, true},
    {"^(ntfy\\.sh|up\\.example)$", true, true},
    {"(^ntfy\\.sh$)|(^(up)\\.example$)", true, true},
    {"((^a|^b)x$)", true, true},
    {"(^ntfy\\.sh$)+", true, true},
    {"ntfy\\.sh", false, false},
    {"ntfy\\.sh$", false, true},
    {"^ntfy\\.sh", true, false},
    {"^a$|b", false, false},
    {"^a|b$", false, false},
    {"^a$|b$", false, true},
    {"(^a$|^b)", true, false},
    {"(^a$)?", false, false},
    {"(^a$){0,1}", false, false},
    {"^a(b$)*", true, false},
    {"(.*\\.)?ntfy\\.sh$", false, true},
    {"^ntfy\\.sh\\$", true, false},
    {"\\^ntfy\\.sh$", false, true},
    {"^ntfy\\.sh[$]", true, false},
    {"[]^$|)]a$", false, true},
    {"^[^]$|(]$", true, true},
    {"^[[:alpha:]|]+$", true, true},
    {"^[[.].]a|]$", true, true},
    {"^(a\\)|b)$", true, true},
    {"^([)])$", true, true},
    {"^a{1,2}$", true, true},
    {"^", true, false},
    {"$", false, true},
    {"|^a$", false, false},
    {"", false, false},
    /* Open on purpose. */
    {".*", true, true},
    {"^.*$", true, true},
    {"\\.ntfy\\.sh$", true, true},
    {"[.]ntfy\\.sh$", true, true},
    {".+\\.ntfy\\.sh$", true, true},
    {"^ntfy\\..*", true, true},
    {".ntfy\\.sh$", false, true},
    {"^ntfy\\.sh.", true, false},
    {"^ntfy\\.sh\\.", true, false},
};

START_TEST(ends_of_patterns)
{
    const char *pattern = cases[_i].pattern;
    regex_t compiled;

    if (pattern[0] != '\0' && pattern[0] != '|') { /* else undefined */
        ck_assert_msg(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB) == 0, "%s", pattern);
        regfree(&compiled);
    }
    ck_assert_msg(host_pattern_has_beginning(pattern) == cases[_i].has_beginning, "%s", pattern);
    ck_assert_msg(host_pattern_has_end(pattern) == cases[_i].has_end, "%s", pattern);
}
END_TEST

/* What regcomp() does not take is answered, too. */
START_TEST(what_is_no_pattern_does_no_harm)
{
    static const char *const bad[] = {"(",   "[",    "[[:", "\\", "(^a", "a{", ")",
                                      "^a)", "[[.x", "(()", "{",  "*",   "[]", "[^"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        (void)host_pattern_has_beginning(bad[i]);
        (void)host_pattern_has_end(bad[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("host_pattern");
    TCase *tcase = tcase_create("host_pattern");

    tcase_add_loop_test(tcase, ends_of_patterns, 0, (int)(sizeof cases / sizeof cases[0]));
    tcase_add_test(tcase, what_is_no_pattern_does_no_harm);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
