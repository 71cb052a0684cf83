#include <string.h>

#include "nostr/subscription.h"
#include "unit.h"

#define T0 INT64_C(1000000)

static char frame[SUBSCRIPTION_FRAME_SIZE];

static struct subscription asked(uint32_t kind)
{
    struct subscription subscription;

    subscription_init(&subscription, kind);
    ck_assert_uint_gt(subscription_next_frame(&subscription, T0, 0x1234, frame), 0);
    return subscription;
}

static enum subscription_refusal close_it(struct subscription *subscription, const char *reason,
                                          int64_t now_ms)
{
    subscription_on_closed(subscription, now_ms, 0);
    return subscription_refusal(reason, strlen(reason));
}

START_TEST(asks_for_one_kind_and_nothing_more)
{
    struct subscription subscription;
    size_t len;

    subscription_init(&subscription, 1059);
    ck_assert_int_eq(subscription_due_ms(&subscription), 0);
    len = subscription_next_frame(&subscription, T0, 0x0123456789abcdef, frame);
    ck_assert_str_eq(frame, "[\"REQ\",\"0123456789abcdef\",{\"kinds\":[1059],\"limit\":1}]");
    ck_assert_uint_eq(len, strlen(frame));
    ck_assert_int_eq(subscription.state, SUBSCRIPTION_ASKED);
    ck_assert_uint_eq(subscription_next_frame(&subscription, T0, 1, frame), 0);
}
END_TEST

START_TEST(largest_frame_fits)
{
    struct subscription subscription;
    size_t len;

    subscription_init(&subscription, UINT32_MAX);
    len = subscription_next_frame(&subscription, T0, UINT64_MAX, frame);
    ck_assert_uint_eq(len, strlen(frame));
    ck_assert_str_eq(frame, "[\"REQ\",\"ffffffffffffffff\",{\"kinds\":[4294967295],\"limit\":1}]");
}
END_TEST

START_TEST(is_live_after_eose)
{
    struct subscription subscription = asked(14);

    ck_assert(!subscription.answered);
    subscription_on_eose(&subscription, T0 + 5);
    ck_assert_int_eq(subscription.state, SUBSCRIPTION_LIVE);
    ck_assert(subscription.answered);
    ck_assert_int_eq(subscription_due_ms(&subscription), SUBSCRIPTION_NEVER);
    ck_assert_uint_eq(subscription_next_frame(&subscription, T0 + 1000000000, 1, frame), 0);
}
END_TEST

START_TEST(knows_its_id_while_it_is_open)
{
    struct subscription subscription;

    subscription_init(&subscription, 14);
    ck_assert(SUBSCRIPTION_MATCH_NOW != subscription_match(&subscription, "", 0));
    subscription = asked(14);
    ck_assert(SUBSCRIPTION_MATCH_NOW == subscription_match(&subscription, "0000000000001234", 16));
    ck_assert(SUBSCRIPTION_MATCH_NOW != subscription_match(&subscription, "0000000000001235", 16));
    ck_assert(SUBSCRIPTION_MATCH_NOW != subscription_match(&subscription, "000000000000123", 15));
    ck_assert(SUBSCRIPTION_MATCH_NOW != subscription_match(&subscription, "00000000000012344", 17));
    subscription_on_eose(&subscription, T0);
    ck_assert(SUBSCRIPTION_MATCH_NOW == subscription_match(&subscription, "0000000000001234", 16));
    (void)close_it(&subscription, "", T0);
    ck_assert(SUBSCRIPTION_MATCH_NOW != subscription_match(&subscription, "0000000000001234", 16));
}
END_TEST

START_TEST(asks_again_after_a_back_off_under_a_new_id)
{
    struct subscription subscription = asked(1059);

    (void)close_it(&subscription, "error: busy", T0);
    ck_assert_int_eq(subscription.state, SUBSCRIPTION_CLOSED);
    ck_assert(subscription.answered);
    ck_assert_int_eq(subscription_due_ms(&subscription), T0 + 5000);
    ck_assert_uint_eq(subscription_next_frame(&subscription, T0 + 4999, 7, frame), 0);
    ck_assert_uint_gt(subscription_next_frame(&subscription, T0 + 5000, 7, frame), 0);
    ck_assert_str_eq(frame, "[\"REQ\",\"0000000000000007\",{\"kinds\":[1059],\"limit\":1}]");
    (void)close_it(&subscription, "error: busy", T0 + 5000);
    ck_assert_int_eq(subscription_due_ms(&subscription), T0 + 15000);
}
END_TEST

START_TEST(back_off_starts_over_after_it_was_live_for_a_minute)
{
    struct subscription subscription = asked(1059);

    for (int i = 0; i < 3; i++) {
        (void)close_it(&subscription, "", T0);
        (void)subscription_next_frame(&subscription, T0 + 1000000, 7, frame);
    }
    subscription_on_eose(&subscription, T0);
    (void)close_it(&subscription, "", T0 + 60000);
    ck_assert_int_eq(subscription_due_ms(&subscription), T0 + 65000);
}
END_TEST

START_TEST(tells_refusals_apart)
{
    static const struct {
        const char *reason;
        enum subscription_refusal want;
    } cases[] = {
        {"auth-required: who are you", SUBSCRIPTION_REFUSED_AUTH_REQUIRED},
        {"restricted: not for you", SUBSCRIPTION_REFUSED_RESTRICTED},
        {"restricted:", SUBSCRIPTION_REFUSED_RESTRICTED},
        {"restricted", SUBSCRIPTION_REFUSED_OTHER},
        {"rate-limited: slow down", SUBSCRIPTION_REFUSED_OTHER},
        {"not auth-required: at all", SUBSCRIPTION_REFUSED_OTHER},
        {"error: you cannot request another user's gift wrap", SUBSCRIPTION_REFUSED_RESTRICTED},
        {"error: you cannot request more", SUBSCRIPTION_REFUSED_OTHER},
        {"", SUBSCRIPTION_REFUSED_OTHER},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct subscription subscription = asked(1059);

        ck_assert_int_eq(close_it(&subscription, cases[i].reason, T0), cases[i].want);
    }
}
END_TEST

START_TEST(waits_for_eose_no_longer_than_its_time)
{
    struct subscription subscription = asked(1059);
    int64_t late = T0 + SUBSCRIPTION_ANSWER_MS;

    ck_assert_int_eq(subscription_due_ms(&subscription), late);
    ck_assert(!subscription_is_late(&subscription, late - 1));
    ck_assert(subscription_is_late(&subscription, late));
    ck_assert_uint_eq(subscription_next_frame(&subscription, late, 0, frame), 0);
    subscription_on_eose(&subscription, late);
    ck_assert_int_eq(subscription.state, SUBSCRIPTION_LIVE);
    ck_assert(!subscription_is_late(&subscription, late));
    subscription_on_eose(&subscription, late + 5000); /* which comes after all */
    ck_assert_int_eq(subscription.live_since_ms, late);
}
END_TEST

START_TEST(eose_out_of_turn_changes_nothing)
{
    struct subscription subscription;

    subscription_init(&subscription, 14);
    subscription_on_eose(&subscription, T0);
    ck_assert_int_eq(subscription.state, SUBSCRIPTION_UNASKED);
    subscription = asked(14);
    (void)close_it(&subscription, "", T0);
    subscription_on_eose(&subscription, T0);
    ck_assert_int_eq(subscription.state, SUBSCRIPTION_CLOSED);
}
END_TEST

START_TEST(a_new_connection_asks_at_once)
{
    struct subscription subscription = asked(14);

    subscription_on_eose(&subscription, T0);
    subscription_reset(&subscription);
    ck_assert(!subscription.answered);
    ck_assert_int_eq(subscription_due_ms(&subscription), 0);
    ck_assert(SUBSCRIPTION_MATCH_NOW != subscription_match(&subscription, "0000000000001234", 16));
    ck_assert_uint_gt(subscription_next_frame(&subscription, T0, 9, frame), 0);
}
END_TEST

UNIT_MAIN("subscription", asks_for_one_kind_and_nothing_more, largest_frame_fits,
          is_live_after_eose, knows_its_id_while_it_is_open,
          asks_again_after_a_back_off_under_a_new_id,
          back_off_starts_over_after_it_was_live_for_a_minute, tells_refusals_apart,
          waits_for_eose_no_longer_than_its_time, eose_out_of_turn_changes_nothing,
          a_new_connection_asks_at_once)
