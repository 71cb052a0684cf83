#include "settings/credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/key_file.h"
#include "settings/settings.h"
#include "unit.h"

#define KEY "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static char directory[] = "/tmp/mostro-push-credentials-XXXXXX";
static char path[sizeof directory + 16];

/* What systemd makes of a file `server` in the folder that LoadCredential=keys:FOLDER names. */
static void setup(void)
{
    FILE *out;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    (void)sprintf(path, "%s/keys_server", directory);
    out = fopen(path, "we");
    ck_assert_ptr_nonnull(out);
    ck_assert_int_ge(fputs(KEY, out), 0);
    ck_assert_int_eq(fclose(out), 0);
    ck_assert_int_eq(chmod(path, 0400), 0);
}

static void teardown(void)
{
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(directory), 0);
}

START_TEST(a_name_without_a_leading_slash_is_found)
{
    char *found = credentials_find(directory, "keys/server");

    ck_assert_ptr_nonnull(found);
    ck_assert_str_eq(found, path);
    free(found);
    found = credentials_find(directory, "keys_server");
    ck_assert_ptr_nonnull(found);
    free(found);
}
END_TEST

START_TEST(nothing_else_is)
{
    static const char *const names[] = {"", "/keys/server", "/keys_server", "keys/other", "server"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        ck_assert_msg(credentials_find(directory, names[i]) == NULL, "%s", names[i]);
    ck_assert_ptr_null(credentials_find(NULL, "keys/server"));
    ck_assert_ptr_null(credentials_find("tmp", "keys/server"));
}
END_TEST

/* lookup for settings_read(): the folder, and files that settings name. */
static const char *lookup(const char *name, void *arg)
{
    (void)arg;
    if (strcmp(name, "CREDENTIALS_DIRECTORY") == 0)
        return directory;
    if (strcmp(name, "NOSTR_RELAYS") == 0)
        return "wss://relay.example";
    return strstr(name, "_KEY_FILE") != NULL && strstr(name, "VAPID") == NULL ? "keys/server"
                                                                              : NULL;
}

START_TEST(settings_name_them)
{
    struct settings *s =
        settings_read(SETTINGS_BOTH, lookup, NULL, &(const struct settings_tell){stderr, stderr});

    ck_assert_ptr_nonnull(s);
    ck_assert_str_eq(s->server_private_key_file, path);
    ck_assert(s->server_private_key.set && s->nostr_auth_private_key.set);
    ck_assert_uint_eq(s->server_private_key.bytes[0], 0xaa);
    settings_free(&s);
}
END_TEST

/* An access list shows in the mode as a permission of the group. */
START_TEST(one_with_an_access_list_may_be_read)
{
    static const mode_t refused[] = {0640, 0444, 0460};
    uint8_t key[KEY_FILE_KEY_SIZE];

    if (geteuid() != 0)
        return;
    ck_assert_int_eq(chmod(path, 0440), 0);
    ck_assert_ptr_null(key_file_read(path, key));
    ck_assert_int_eq(chown(path, (uid_t)-1, 1), 0);
    ck_assert_ptr_nonnull(key_file_read(path, key));
    ck_assert_int_eq(chown(path, 1, 0), 0);
    ck_assert_ptr_nonnull(key_file_read(path, key));
    ck_assert_int_eq(chown(path, 0, 0), 0);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        ck_assert_int_eq(chmod(path, refused[i]), 0);
        ck_assert_ptr_nonnull(key_file_read(path, key));
    }
}
END_TEST

/* What is said of a file of this owner, group and mode to a program whose group is 65534. */
static const char *said_to_a_program(uid_t owner, gid_t group, mode_t mode)
{
    uint8_t key[KEY_FILE_KEY_SIZE];
    const char *problem;

    ck_assert_int_eq(chown(path, owner, group), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
    ck_assert_int_eq(setegid(65534), 0);
    problem = key_file_read(path, key);
    ck_assert_int_eq(setegid(0), 0);
    return problem;
}

START_TEST(one_of_roots_may_be_shown_to_the_programs_group)
{
    if (geteuid() != 0)
        return;
    ck_assert_ptr_null(said_to_a_program(0, 65534, 0440));
    ck_assert_ptr_null(said_to_a_program(0, 65534, 0640));
    ck_assert_ptr_nonnull(said_to_a_program(0, 65534, 0660));
    ck_assert_ptr_nonnull(said_to_a_program(0, 65534, 0444));
    ck_assert_ptr_nonnull(said_to_a_program(0, 65534, 0644));
    ck_assert_ptr_nonnull(said_to_a_program(0, 4, 0440));
    ck_assert_ptr_nonnull(said_to_a_program(1, 65534, 0440));
    ck_assert_ptr_nonnull(said_to_a_program(0, 0, 0640));
}
END_TEST

UNIT_MAIN_WITH("credentials", setup, teardown, a_name_without_a_leading_slash_is_found,
               nothing_else_is, settings_name_them, one_with_an_access_list_may_be_read,
               one_of_roots_may_be_shown_to_the_programs_group)
