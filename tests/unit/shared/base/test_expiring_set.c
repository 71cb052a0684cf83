#include "base/expiring_set.h"

#include "unit.h"

static struct expiring_set *set;

static void setup(void)
{
    set = expiring_set_new(3);
    ck_assert_ptr_nonnull(set);
}

static void teardown(void)
{
    expiring_set_free(&set);
    ck_assert_ptr_null(set);
}

START_TEST(a_mark_is_over_at_its_time)
{
    expiring_set_set(set, "a", 100, 0);
    ck_assert_int_eq(expiring_set_until(set, "a", 99), 100);
    ck_assert_int_eq(expiring_set_until(set, "a", 100), INT64_MIN);
    ck_assert_int_eq(expiring_set_until(set, "b", 0), INT64_MIN);
    expiring_set_expire(set, 99);
    ck_assert_uint_eq(expiring_set_count(set), 1);
    expiring_set_expire(set, 100);
    ck_assert_uint_eq(expiring_set_count(set), 0);
}
END_TEST

START_TEST(a_mark_is_never_shortened)
{
    expiring_set_set(set, "a", 100, 0);
    expiring_set_set(set, "a", 50, 0);
    ck_assert_int_eq(expiring_set_until(set, "a", 0), 100);
    expiring_set_set(set, "a", 150, 0);
    ck_assert_int_eq(expiring_set_until(set, "a", 0), 150);
    ck_assert_uint_eq(expiring_set_count(set), 1);
}
END_TEST

/* Marking a name again makes it the newest, wherever it was in the order. */
START_TEST(the_one_marked_longest_ago_makes_room)
{
    static const char *const again[] = {"a", "b", "c"}, *const gone[] = {"b", "a", "a"};

    for (size_t i = 0; i < 3; i++) {
        teardown();
        setup();
        expiring_set_set(set, "a", 100, 0);
        expiring_set_set(set, "b", 100, 0);
        expiring_set_set(set, "c", 100, 0);
        expiring_set_set(set, again[i], 200, 0);
        expiring_set_set(set, "d", 100, 0);
        ck_assert_uint_eq(expiring_set_count(set), 3);
        ck_assert_int_eq(expiring_set_until(set, gone[i], 0), INT64_MIN);
        ck_assert_int_eq(expiring_set_until(set, again[i], 0), 200);
        ck_assert_int_eq(expiring_set_until(set, "d", 0), 100);
    }
}
END_TEST

UNIT_MAIN_WITH("expiring_set", setup, teardown, a_mark_is_over_at_its_time,
               a_mark_is_never_shortened, the_one_marked_longest_ago_makes_room)
