#include "unit.h"

#include "redis/redis_fault.h"

START_TEST(what_the_server_may_not_be_used_for)
{
    static const struct {
        const char *error;
        enum redis_fault_kind kind;
    } cases[] = {
        {"ERR Function not found", REDIS_FAULT_NONE},
        {"NOGROUP No such key 'x' or consumer group", REDIS_FAULT_NONE},
        {"", REDIS_FAULT_NONE},
        {"OOM command not allowed when used memory > 'maxmemory'.", REDIS_FAULT_FULL},
        {"OOM allow-oom flag is not set on the function, can not run it when used memory > "
         "'maxmemory'",
         REDIS_FAULT_FULL},
        {"LOADING Redis is loading the dataset in memory", REDIS_FAULT_PASSING},
        {"LOADING Valkey is loading the dataset in memory", REDIS_FAULT_PASSING},
        {"BUSY Redis is busy running a script.", REDIS_FAULT_PASSING},
        {"ERR max number of clients reached", REDIS_FAULT_PASSING},
        {"READONLY You can't write against a read only replica.", REDIS_FAULT_REFUSED},
        {"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
         REDIS_FAULT_REFUSED},
        {"NOREPLICAS Not enough good replicas to write.", REDIS_FAULT_PASSING},
        {"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to "
         "persist to disk.",
         REDIS_FAULT_REFUSED},
        {"NOAUTH Authentication required.", REDIS_FAULT_REFUSED},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(redis_fault_of(cases[i].error, false)->kind == cases[i].kind, "%s",
                      cases[i].error);
}
END_TEST

/* Sentinels are about to name another primary. */
START_TEST(what_passes_where_sentinels_know_the_primary)
{
    static const char *const errors[] = {"READONLY You can't write against a read only replica.",
                                         "MASTERDOWN Link with MASTER is down"};

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        ck_assert_int_eq(redis_fault_of(errors[i], true)->kind, REDIS_FAULT_PASSING);
    ck_assert_int_eq(redis_fault_of("MISCONF", true)->kind, REDIS_FAULT_REFUSED);
    ck_assert_int_eq(redis_fault_of("ERR Function not found", true)->kind, REDIS_FAULT_NONE);
}
END_TEST

/* As Redis 7.0, Redis 8.0 and Valkey 8.1 word it, of a command sent and of one that a function
 * calls. */
START_TEST(what_an_acl_denies)
{
    static const struct {
        const char *error;
        enum redis_denial denial;
    } cases[] = {
        {"ERR The user executing the script can't run this command or subcommand script: "
         "mostro1_register, on @user_function:275.",
         REDIS_DENIAL_COMMAND},
        {"ERR ACL failure in script: User mostro-push has no permissions to run the 'zadd' command "
         "script: mostro1_register, on @user_function:275.",
         REDIS_DENIAL_COMMAND},
        {"ERR ACL failure in script: User default has no permissions to run the 'zadd' command "
         "script: mostro1_register, on @user_function:275.",
         REDIS_DENIAL_COMMAND},
        {"NOPERM this user has no permissions to run the 'function|load' command",
         REDIS_DENIAL_COMMAND},
        {"NOPERM User mostro-push has no permissions to run the 'function|load' command",
         REDIS_DENIAL_COMMAND},
        {"ERR The user executing the script can't access at least one of the keys mentioned in "
         "the command arguments script: mostro1_add, on @user_function:1.",
         REDIS_DENIAL_KEY},
        {"ERR ACL failure in script: No permissions to access a key script: mostro1_add, on "
         "@user_function:1.",
         REDIS_DENIAL_KEY},
        {"NOPERM this user has no permissions to access one of the keys used as arguments",
         REDIS_DENIAL_KEY},
        {"NOPERM No permissions to access a key", REDIS_DENIAL_KEY},
        {"ERR Function not found", REDIS_DENIAL_NONE},
        {"ERR unknown command 'ROLE', with args beginning with: ", REDIS_DENIAL_NONE},
        {"WRONGPASS invalid username-password pair or user is disabled.", REDIS_DENIAL_NONE},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(redis_denial_of(cases[i].error) == cases[i].denial, "%s", cases[i].error);
}
END_TEST

UNIT_MAIN("redis_fault", what_the_server_may_not_be_used_for,
          what_passes_where_sentinels_know_the_primary, what_an_acl_denies)
