#include "settings/summary.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

static char text[8192];
static struct settings settings;

/* What `say` puts on stdout. */
static const char *printed(void (*say)(struct summary *))
{
    FILE *file = tmpfile();
    int saved = dup(STDOUT_FILENO);
    struct summary summary;
    ssize_t len;

    (void)fflush(stdout);
    ck_assert_int_ge(dup2(fileno(file), STDOUT_FILENO), 0);
    summary_begin(&summary, true);
    say(&summary);
    (void)fflush(stdout);
    ck_assert_int_ge(dup2(saved, STDOUT_FILENO), 0);
    (void)close(saved);
    len = pread(fileno(file), text, sizeof text - 1, 0);
    ck_assert_int_ge(len, 0);
    text[len] = '\0';
    (void)fclose(file);
    return text;
}

/* And what it puts into the log. */
static const char *logged_by(void (*say)(struct summary *))
{
    struct summary summary;
    int ends[2];
    ssize_t len;

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
    log_open("test", LOG_LEVEL_INFO, LOG_TARGET_STDERR);
    summary_begin(&summary, false);
    say(&summary);
    summary_end_line(&summary);
    summary_end_line(&summary); /* nothing is left */
    len = read(ends[0], text, sizeof text - 1);
    text[len > 0 ? len : 0] = '\0';
    (void)close(ends[0]);
    (void)close(ends[1]);
    return text;
}

static void say_some(struct summary *summary)
{
    summary_item(summary, "relays", "wss://%s", "a");
    summary_item(summary, "relays", "wss://b");
    summary_item(summary, "kinds", "%d", 14);
    summary_end_line(summary);
    summary_item(summary, "FCM", "off: \"\xff\n\"");
    summary_end_line(summary);
}

START_TEST(one_item_a_line)
{
    ck_assert_str_eq(printed(say_some), "relays          wss://a\n"
                                        "                wss://b\n"
                                        "kinds           14\n"
                                        "FCM             off: \"??\"\n");
}
END_TEST

START_TEST(or_several_in_the_log)
{
    const char *first = strstr(logged_by(say_some), " info: startup: "), *second;

    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_eq(strstr(first, " info: startup: relays: wss://a, wss://b; kinds: 14\n"), first);
    second = strstr(first + 1, " info: startup: ");
    ck_assert_ptr_nonnull(second);
    ck_assert_ptr_eq(strstr(second, " info: startup: FCM: off: "), second);
    ck_assert_ptr_null(strstr(second + 1, " info: startup: "));
}
END_TEST

static void say_too_much(struct summary *summary)
{
    for (int i = 100; i < 200; i++)
        summary_item(summary, "relays", "wss://relay-%d.example", i);
    summary_item(summary, "relays", "%0*d", 5000, 0);
}

/* A line that would be too long becomes two. */
START_TEST(no_item_is_lost)
{
    const char *lines = logged_by(say_too_much);

    for (int i = 100; i < 200; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "wss://relay-%d.example", i);
        ck_assert_msg(strstr(lines, name) != NULL, "%s", name);
    }
    for (const char *line = lines; *line != '\0'; line = strchr(line, '\n') + 1) {
        ck_assert_ptr_nonnull(strstr(line, " info: startup: relays: "));
        ck_assert_ptr_nonnull(strchr(line, '\n'));
        ck_assert_int_lt(strchr(line, '\n') - line, 1023);
    }
}
END_TEST

static void say_redis(struct summary *summary)
{
    summary_redis(summary, &settings);
}

START_TEST(redis_is_shown_without_its_password)
{
    static char prefix[] = "mostro:";
    static const struct {
        const char *url, *shown;
    } cases[] = {
        {"unix:///run/a@b.sock", "unix:///run/a@b.sock, keys mostro:*\n"},
        {"redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0, keys mostro:*\n"},
        {"redis://user:ge@h/e:im@host:1/2", "redis://host:1/2, keys mostro:*\n"},
        {"REDIS://:geheim@host", "REDIS://host, keys mostro:*\n"},
        {"redis+sentinel://u:geheim@a:1,b:2/mostro",
         "redis+sentinel://a:1,b:2/mostro, keys mostro:*\n"},
    };

    settings.redis_prefix = prefix;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        settings.redis_url = strdup(cases[i].url);
        ck_assert_str_eq(printed(say_redis) + strlen("Redis           "), cases[i].shown);
        free(settings.redis_url);
    }
    settings.redis_allow_persistence = true;
    settings.redis_url = prefix;
    ck_assert_ptr_nonnull(strstr(printed(say_redis), ", may keep them on disk\n"));
}
END_TEST

static void warn_of_registrations(struct summary *summary)
{
    summary_warn_of_registrations(summary, &settings);
    summary_item(summary, "the", "end");
}

START_TEST(registrations_that_end_too_early)
{
    settings.token_ttl_hours = 720;
    ck_assert_ptr_null(strstr(logged_by(warn_of_registrations), " warn: "));
    settings.token_ttl_hours = 719;
    ck_assert_ptr_nonnull(
        strstr(logged_by(warn_of_registrations), " warn: startup: TOKEN_TTL_HOURS=719: "));
}
END_TEST

UNIT_MAIN("summary", one_item_a_line, or_several_in_the_log, no_item_is_lost,
          redis_is_shown_without_its_password, registrations_that_end_too_early)
