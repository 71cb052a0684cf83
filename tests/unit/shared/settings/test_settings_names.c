#include "settings/settings_names.h"

#include <stddef.h>

#include "unit.h"

static void expect(const char *name, const char *meant)
{
    const char *is = settings_names_meant(name);

    if (meant == NULL)
        ck_assert_msg(is == NULL, "%s: %s", name, is);
    else
        ck_assert_msg(is != NULL && strcmp(is, meant) == 0, "%s: %s", name, is);
}

START_TEST(what_was_meant)
{
    expect("TOKEN_TTL_HOUR", "TOKEN_TTL_HOURS");
    expect("NOSTR_RELAY", "NOSTR_RELAYS");
    expect("NOSTR_REALYS", "NOSTR_RELAYS");
    expect("NOSTR_RELAYSS", "NOSTR_RELAYS");
    expect("nostr_relays", "NOSTR_RELAYS");
    expect("REDIS_URI", "REDIS_URL");
    expect("FIREBASE_SERVICE_ACOUNT_PHAT", "FIREBASE_SERVICE_ACCOUNT_PATH");
    expect("UNIFIED_PUSH_ENABLED", "UNIFIEDPUSH_ENABLED");
    expect("LOGLEVEL", "LOG_LEVEL");
    expect("SERVER_PORTS", "SERVER_PORT"); /* the quick start's */
    expect("COOLDOWN_M", "COOLDOWN_MS");   /* without effect */
}
END_TEST

START_TEST(what_is_right_or_another_programs)
{
    expect("TOKEN_TTL_HOURS", NULL);
    expect("SERVER_PORT", NULL);
    expect("BATCH_DELAY_MS", NULL);
    expect("RUST_LOG", NULL);
    expect("MOSTRO_PUSH_ENV", NULL);
    expect("PATH", NULL);
    expect("TOKEN", NULL);
    expect("POSTGRES_URL", NULL);
    expect("NOTIFY_RATE", NULL);
    expect("", NULL);
    expect("A_NAME_THAT_IS_LONGER_THAN_ANY_SETTING_THAT_THERE_IS_OR_WILL_EVER_BE", NULL);
}
END_TEST

/* One letter in a short name, two in a longer one, three in a long one. */
START_TEST(how_close)
{
    expect("LOG_LVEL", "LOG_LEVEL");
    expect("LG_LVEL", NULL);
    expect("CLEANUP_INTERVAL_HRS", "CLEANUP_INTERVAL_HOURS");
    expect("MAX_REGISTRATS", NULL);
    expect("REDIS_PREFI", "REDIS_PREFIX");
    expect("REDIS_PREF", NULL);
    expect("TRUSTED_WHITELIST_ENAB", "TRUSTED_WHITELIST_ENABLED");
    expect("TRUSTED_WHITELIST_ENA", NULL);
}
END_TEST

UNIT_MAIN("settings_names", what_was_meant, what_is_right_or_another_programs, how_close)
