#include "relay/wrap_guard.h"
#include "unit.h"

#define PATIENCE_MS (INT64_C(1000) * WRAP_GUARD_PATIENCE_S)

START_TEST(suspects_nobody_who_let_us_in_just_now)
{
    struct wrap_guard guard = {0};

    ck_assert(!wrap_guard_may_hide(&guard));
    ck_assert(!wrap_guard_is_to_warn(&guard, 0));
    ck_assert(!wrap_guard_is_to_warn(&guard, PATIENCE_MS - 1));
    ck_assert(!wrap_guard_may_hide(&guard));
}
END_TEST

START_TEST(warns_at_once_of_a_relay_that_refused_until_it_knew_us)
{
    struct wrap_guard guard = {0};

    wrap_guard_refused(&guard, SUBSCRIPTION_REFUSED_OTHER);
    ck_assert(!wrap_guard_is_to_warn(&guard, 0));
    ck_assert(!wrap_guard_may_hide(&guard));
    wrap_guard_refused(&guard, SUBSCRIPTION_REFUSED_AUTH_REQUIRED);
    ck_assert(wrap_guard_may_hide(&guard));
    ck_assert(wrap_guard_is_to_warn(&guard, 0));
    ck_assert(!wrap_guard_is_to_warn(&guard, PATIENCE_MS)); /* once */
    ck_assert(wrap_guard_may_hide(&guard));
}
END_TEST

/* nostr-rs-relay refuses no REQ and leaves gift wraps out. */
START_TEST(warns_later_of_a_relay_that_shows_nothing)
{
    struct wrap_guard guard = {0};

    ck_assert(wrap_guard_is_to_warn(&guard, PATIENCE_MS));
    ck_assert(wrap_guard_may_hide(&guard));
}
END_TEST

START_TEST(trusts_a_relay_that_has_shown_one)
{
    struct wrap_guard guard = {0};

    wrap_guard_shown(&guard);
    ck_assert(!wrap_guard_is_to_warn(&guard, PATIENCE_MS));
    wrap_guard_refused(&guard, SUBSCRIPTION_REFUSED_AUTH_REQUIRED);
    ck_assert(!wrap_guard_is_to_warn(&guard, PATIENCE_MS));
    ck_assert(!wrap_guard_may_hide(&guard));
}
END_TEST

START_TEST(takes_a_refusal_for_hiding)
{
    struct wrap_guard guard = {0};

    wrap_guard_refused(&guard, SUBSCRIPTION_REFUSED_RESTRICTED);
    ck_assert(wrap_guard_may_hide(&guard));
}
END_TEST

UNIT_MAIN("wrap_guard", suspects_nobody_who_let_us_in_just_now,
          warns_at_once_of_a_relay_that_refused_until_it_knew_us,
          warns_later_of_a_relay_that_shows_nothing, trusts_a_relay_that_has_shown_one,
          takes_a_refusal_for_hiding)
