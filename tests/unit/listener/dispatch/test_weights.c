#include "dispatch/weights.h"

#include "unit.h"

static struct weights *weights;
static struct weight a1, a2, b, c;

static void setup(void)
{
    weights = weights_new();
}

static void teardown(void)
{
    struct weight *const all[] = {&a1, &a2, &b, &c};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        ck_assert(weights_set(weights, all[i], "", 0));
    ck_assert_uint_eq(weights_total(weights), 0);
    ck_assert_ptr_null(weights_heaviest(weights));
    weights_free(&weights);
    ck_assert_ptr_null(weights);
}

static void set(struct weight *weight, const char *group, size_t amount)
{
    ck_assert(weights_set(weights, weight, group, amount));
}

/* It is the group that counts, and not who alone has most. */
START_TEST(the_heaviest_group_is_named_by_its_heaviest)
{
    set(&b, "b", 5);
    ck_assert_ptr_eq(weights_heaviest(weights), &b);
    set(&a1, "a", 2);
    set(&a2, "a", 4);
    ck_assert_ptr_eq(weights_heaviest(weights), &a2);
    ck_assert_uint_eq(weights_total(weights), 11);
    set(&a2, "a", 1);
    ck_assert_ptr_eq(weights_heaviest(weights), &b);
    set(&b, "b", 2);
    ck_assert_ptr_eq(weights_heaviest(weights), &a1);
    set(&a1, "a", 0);
    ck_assert_ptr_eq(weights_heaviest(weights), &b);
    ck_assert_uint_eq(weights_total(weights), 3);
}
END_TEST

START_TEST(of_equal_ones_it_is_the_eldest)
{
    set(&a1, "a", 1);
    set(&a2, "a", 1);
    set(&a1, "a", 1); /* which changes nothing */
    ck_assert_ptr_eq(weights_heaviest(weights), &a1);
    set(&a1, "a", 2);
    set(&a1, "a", 1);
    ck_assert_ptr_eq(weights_heaviest(weights), &a2);
}
END_TEST

START_TEST(who_moves_weighs_elsewhere)
{
    set(&a1, "a", 3);
    set(&a2, "a", 3);
    set(&b, "b", 4);
    set(&a1, "b", 3);
    ck_assert_ptr_eq(weights_heaviest(weights), &b);
    set(&b, "c", 2);
    set(&c, "c", 2);
    ck_assert_uint_eq(weights_total(weights), 10);
    ck_assert_ptr_eq(weights_heaviest(weights), &b);
    ck_assert_uint_eq(b.amount, 2);
}
END_TEST

UNIT_MAIN_WITH("weights", setup, teardown, the_heaviest_group_is_named_by_its_heaviest,
               of_equal_ones_it_is_the_eldest, who_moves_weighs_elsewhere)
