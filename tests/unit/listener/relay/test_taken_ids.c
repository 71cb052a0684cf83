#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "relay/taken_ids.h"
#include "unit.h"

/* The n-th of many ids that differ in few bits: a bad hash would not spread them. */
static const uint8_t *id_of(uint8_t id[TAKEN_IDS_ID_SIZE], uint32_t n)
{
    memset(id, 0, TAKEN_IDS_ID_SIZE);
    memcpy(id + (n % 8) * 4, &n, sizeof n);
    return id;
}

static bool has(struct taken_ids *seen, uint32_t n)
{
    uint8_t id[TAKEN_IDS_ID_SIZE];

    return taken_ids_has(seen, id_of(id, n));
}

static void add(struct taken_ids *seen, uint32_t n)
{
    uint8_t id[TAKEN_IDS_ID_SIZE];

    taken_ids_add(seen, id_of(id, n));
}

START_TEST(knows_what_was_added)
{
    struct taken_ids *seen = taken_ids_new(100);

    ck_assert_ptr_nonnull(seen);
    ck_assert(!has(seen, 1));
    add(seen, 1);
    ck_assert(has(seen, 1));
    ck_assert(!has(seen, 2));
    taken_ids_free(&seen);
    ck_assert_ptr_null(seen);
    taken_ids_free(&seen);
}
END_TEST

START_TEST(refuses_sizes_out_of_range)
{
    ck_assert_ptr_null(taken_ids_new(0));
    ck_assert_ptr_null(taken_ids_new((size_t)TAKEN_IDS_MAX_CAPACITY + 1));
}
END_TEST

/* Many rounds over a small ring, to meet every way of removing from a run of the table. Check notes
 * every assertion in a file, so there is one for what fails. */
START_TEST(forgets_the_oldest_and_nothing_else)
{
    enum { CAPACITY = 37, ROUNDS = 20000 };
    struct taken_ids *seen = taken_ids_new(CAPACITY);

    for (uint32_t n = 1; n <= ROUNDS; n++) {
        add(seen, n);
        for (uint32_t back = 0; back < CAPACITY && back < n; back++)
            if (!has(seen, n - back))
                ck_abort_msg("after %u, %u is gone", n, n - back);
        if (n > CAPACITY && has(seen, n - CAPACITY))
            ck_abort_msg("after %u, %u is there", n, n - CAPACITY);
    }
    taken_ids_free(&seen);
}
END_TEST

START_TEST(adding_again_takes_no_room_and_keeps_the_age)
{
    struct taken_ids *seen = taken_ids_new(3);

    add(seen, 1);
    add(seen, 2);
    add(seen, 1);
    add(seen, 3);
    ck_assert(has(seen, 1) && has(seen, 2) && has(seen, 3));
    add(seen, 4);
    ck_assert(!has(seen, 1));
    ck_assert(has(seen, 2));
    taken_ids_free(&seen);
}
END_TEST

START_TEST(holds_one)
{
    struct taken_ids *seen = taken_ids_new(1);

    for (uint32_t n = 1; n < 50; n++) {
        add(seen, n);
        ck_assert(has(seen, n));
        ck_assert(!has(seen, n - 1));
    }
    taken_ids_free(&seen);
}
END_TEST

struct work {
    struct taken_ids *seen;
    uint32_t first;
    bool lost;
};

#define PER_THREAD 20000

static void *add_many(void *arg)
{
    struct work *work = arg;

    for (uint32_t n = work->first; n < work->first + PER_THREAD; n++) {
        add(work->seen, n);
        if (!has(work->seen, n))
            work->lost = true;
    }
    return NULL;
}

START_TEST(forgets_all_when_told)
{
    struct taken_ids *seen = taken_ids_new(100);

    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t n = 1; n <= 150; n++)
            add(seen, n);
        taken_ids_clear(seen);
        for (uint32_t n = 1; n <= 150; n++)
            ck_assert(!has(seen, n));
    }
    for (uint32_t n = 1; n <= 101; n++)
        add(seen, n);
    ck_assert(!has(seen, 1));
    for (uint32_t n = 2; n <= 101; n++)
        ck_assert(has(seen, n));
    taken_ids_free(&seen);
}
END_TEST

static size_t resident_pages(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    size_t size, resident;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%zu %zu", &size, &resident), 2);
    (void)fclose(file);
    return resident;
}

/* Once the set is full, many times as many take no room, not even a byte each. */
START_TEST(takes_no_more_memory_however_many_come)
{
    enum { CAPACITY = 65536, FULL = 2 * CAPACITY, LATER = 2000000 };
    struct taken_ids *seen = taken_ids_new(CAPACITY);
    uint8_t id[TAKEN_IDS_ID_SIZE] = {0};
    size_t before = 0;

    for (uint64_t i = 0; i < FULL + LATER; i++) {
        memcpy(id, &i, sizeof i);
        taken_ids_add(seen, id);
        if (i == FULL)
            before = resident_pages();
    }
    ck_assert_uint_le(resident_pages(), before + LATER / 2 / (size_t)sysconf(_SC_PAGESIZE));
    taken_ids_free(&seen);
}
END_TEST

START_TEST(serves_several_threads)
{
    struct taken_ids *seen = taken_ids_new(4 * PER_THREAD);
    struct work work[4] = {{0}};
    pthread_t thread[4];

    for (uint32_t i = 0; i < 4; i++) {
        work[i] = (struct work){.seen = seen, .first = 1 + i * PER_THREAD};
        ck_assert_int_eq(pthread_create(&thread[i], NULL, add_many, &work[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        ck_assert(!work[i].lost);
    }
    for (uint32_t n = 1; n <= 4 * PER_THREAD; n++)
        if (!has(seen, n))
            ck_abort_msg("%u is gone", n);
    taken_ids_free(&seen);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("taken_ids");
    TCase *tcase = tcase_create("taken_ids");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, knows_what_was_added);
    tcase_add_test(tcase, refuses_sizes_out_of_range);
    tcase_add_test(tcase, forgets_the_oldest_and_nothing_else);
    tcase_add_test(tcase, adding_again_takes_no_room_and_keeps_the_age);
    tcase_add_test(tcase, holds_one);
    tcase_add_test(tcase, forgets_all_when_told);
    tcase_add_test(tcase, takes_no_more_memory_however_many_come);
    tcase_add_test(tcase, serves_several_threads);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
