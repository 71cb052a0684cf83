#include <string.h>

#include "base/hex.h"
#include "log/log.h"
#include "relay/intake.h"
#include "unit.h"

/* A Redis that can be switched off, and remembers what it was offered and what it took. */
struct fake {
    enum registry_result result;
    enum registry_event outcome;
    size_t take_before_failing; /* 0: no limit */
    unsigned offered;
    unsigned taken;
    char last_id[65];
    char last_key[65];
    struct registry_relay_event last;
    uint32_t next; /* the number that the next event taken should have */
    bool out_of_order;
};

static struct fake fake;
static struct taken_ids *taken_ids;
static struct stats stats;
static struct intake *intake;

static void take_one(struct fake *it, struct registry_relay_event *event)
{
    uint32_t number;

    it->taken++;
    hex_encode(it->last_id, event->id, sizeof event->id);
    strcpy(it->last_key, event->key.hex);
    it->last = *event;
    event->outcome = it->outcome;
    memcpy(&number, event->id, sizeof number);
    if (number != it->next)
        it->out_of_order = true;
    it->next = number + 1;
}

static enum registry_result take(void *arg, struct registry_relay_event *events, size_t n,
                                 size_t *taken)
{
    struct fake *it = arg;

    it->offered++;
    ck_assert_uint_le(n, REGISTRY_EVENTS_MAX);
    for (*taken = 0; *taken < n && it->result == REGISTRY_OK; ++*taken) {
        take_one(it, &events[*taken]);
        if (it->take_before_failing > 0 && --it->take_before_failing == 0)
            it->result = REGISTRY_QUEUE_FULL;
    }
    return it->result;
}

static void set_up_with(size_t max_held)
{
    struct intake_options options = {
        .relay = "wss://one.example", .stats = &stats, .take = take, .arg = &fake};

    memset(&fake, 0, sizeof fake);
    memset(&stats, 0, sizeof stats);
    fake.outcome = REGISTRY_EVENT_QUEUED;
    options.taken_ids = taken_ids = taken_ids_new(100000);
    options.max_held = max_held;
    intake = intake_new(&options);
    ck_assert_ptr_nonnull(intake);
}

static void set_up(void)
{
    set_up_with(5);
}

static void tear_down(void)
{
    intake_free(&intake);
    ck_assert_ptr_null(intake);
    taken_ids_free(&taken_ids);
}

static struct event event_of(uint32_t number)
{
    struct event event = {.addressed = true};

    memcpy(event.id, &number, sizeof number);
    memset(event.trade_pubkey.hex, 'a', 64);
    event.trade_pubkey.hex[0] = (char)('0' + number % 10);
    return event;
}

static void give(uint32_t number)
{
    struct event event = event_of(number);

    intake_live(intake, &event);
    if (!intake_is_stuck(intake))
        (void)intake_flush(intake);
}

static bool is_seen(uint32_t number)
{
    struct event event = event_of(number);

    return taken_ids_has(taken_ids, event.id);
}

static uint64_t counted(enum stats_counter which)
{
    return atomic_load(&stats.pending[which]);
}

START_TEST(hands_an_event_to_redis)
{
    struct event event = event_of(0x04030201);
    char id[65];

    event.kind = EVENT_DIRECT_MESSAGE;
    event.created_at = 1785590000;
    hex_encode(id, event.id, sizeof event.id);
    intake_stored(intake, &event, 1785600000123);
    ck_assert(!intake_flush(intake));
    ck_assert_uint_eq(fake.taken, 1);
    ck_assert_str_eq(fake.last_id, id);
    ck_assert_str_eq(fake.last_key, event.trade_pubkey.hex);
    ck_assert(fake.last.stored);
    ck_assert_int_eq(fake.last.stored_by_ms, 1785600000123);
    ck_assert_int_eq(fake.last.sent_by_ms, 1785593600000); /* dated an hour back at most */
    ck_assert(taken_ids_has(taken_ids, event.id));
    ck_assert_uint_eq(intake_held(intake), 0);
    ck_assert_uint_eq(counted(STAT_EVENTS_TAKEN), 1);
    give(7);
    ck_assert(!fake.last.stored);
}
END_TEST

/* A gift wrap's author is a one-time key. */
START_TEST(the_author_of_a_direct_message_matters)
{
    struct event event = event_of(0);

    memset(event.pubkey, 0xab, sizeof event.pubkey);
    event.kind = 14;
    intake_live(intake, &event);
    (void)intake_flush(intake);
    ck_assert(fake.last.has_author);
    ck_assert_int_eq(memcmp(fake.last.author, event.pubkey, sizeof event.pubkey), 0);
    event = event_of(1);
    event.kind = 1059;
    intake_live(intake, &event);
    (void)intake_flush(intake);
    ck_assert(!fake.last.has_author);
}
END_TEST

START_TEST(counts_what_redis_made_of_it)
{
    static const enum registry_event outcomes[] = {REGISTRY_EVENT_QUEUED, REGISTRY_EVENT_DEFERRED,
                                                   REGISTRY_EVENT_COVERED, REGISTRY_EVENT_REPEATED,
                                                   REGISTRY_EVENT_UNREGISTERED};

    for (uint32_t i = 0; i < 5; i++) {
        fake.outcome = outcomes[i];
        give(i);
    }
    ck_assert_uint_eq(counted(STAT_EVENTS_TAKEN), 5);
    ck_assert_uint_eq(counted(STAT_WAKES_COVERED), 1);
    ck_assert_uint_eq(counted(STAT_WAKES_QUEUED), 1);
    ck_assert_uint_eq(counted(STAT_WAKES_DEFERRED), 1);
    ck_assert_uint_eq(counted(STAT_EVENTS_REPEATED), 1);
}
END_TEST

START_TEST(holds_what_redis_cannot_take)
{
    static const enum registry_result refusals[] = {REGISTRY_UNAVAILABLE, REGISTRY_QUEUE_FULL,
                                                    REGISTRY_FULL};

    for (uint32_t i = 0; i < 3; i++) {
        fake.result = refusals[i];
        fake.next = i;
        give(i);
        ck_assert_uint_eq(intake_held(intake), 1);
        ck_assert(!is_seen(i));
        ck_assert(!intake_flush(intake));
        ck_assert_uint_eq(intake_held(intake), 1);
        fake.result = REGISTRY_OK;
        ck_assert(!intake_flush(intake));
        ck_assert_uint_eq(intake_held(intake), 0);
        ck_assert(is_seen(i));
    }
    ck_assert_uint_eq(fake.taken, 3);
    ck_assert_uint_eq(counted(STAT_EVENTS_LOST_TO_REDIS), 0);
}
END_TEST

START_TEST(keeps_the_order_and_does_not_ask_in_vain)
{
    fake.result = REGISTRY_UNAVAILABLE;
    give(0);
    ck_assert_uint_eq(fake.offered, 1);
    give(1);
    give(2);
    ck_assert_uint_eq(fake.offered, 1);
    fake.result = REGISTRY_OK;
    give(3); /* must not overtake */
    ck_assert_uint_eq(fake.taken, 0);
    ck_assert_uint_eq(intake_held(intake), 4);
    ck_assert(!intake_flush(intake));
    ck_assert_uint_eq(fake.taken, 4);
    ck_assert(!fake.out_of_order);
}
END_TEST

START_TEST(stops_at_the_first_failure)
{
    fake.result = REGISTRY_UNAVAILABLE;
    for (uint32_t i = 0; i < 5; i++)
        give(i);
    fake.result = REGISTRY_OK;
    fake.take_before_failing = 2;
    fake.offered = 0;
    ck_assert(!intake_flush(intake));
    ck_assert_uint_eq(fake.offered, 1);
    ck_assert(intake_is_stuck(intake));
    ck_assert_uint_eq(intake_held(intake), 3);
    ck_assert(is_seen(1) && !is_seen(2));
    fake.result = REGISTRY_OK;
    ck_assert(!intake_flush(intake));
    ck_assert_uint_eq(fake.taken, 5);
    ck_assert(!fake.out_of_order);
}
END_TEST

START_TEST(loses_the_newest_beyond_the_bound)
{
    fake.result = REGISTRY_QUEUE_FULL;
    for (uint32_t i = 0; i < 5; i++)
        give(i);
    ck_assert_uint_eq(counted(STAT_EVENTS_LOST_TO_REDIS), 0);
    give(5);
    give(6);
    ck_assert_uint_eq(intake_held(intake), 5);
    ck_assert_uint_eq(counted(STAT_EVENTS_LOST_TO_REDIS), 2);
    fake.result = REGISTRY_OK;
    ck_assert(!intake_flush(intake));
    ck_assert_uint_eq(fake.taken, 5);
    ck_assert(!fake.out_of_order);
    ck_assert(is_seen(4) && !is_seen(5)); /* so another relay's copy still counts */
    ck_assert(intake_has_lost(intake));
    intake_forget_loss(intake);
    ck_assert(!intake_has_lost(intake));
    give(5);
    ck_assert_uint_eq(fake.taken, 6);
    ck_assert(!intake_has_lost(intake));
}
END_TEST

START_TEST(goes_round_its_ring)
{
    uint32_t number = 0;

    for (int round = 0; round < 50; round++) {
        fake.result = REGISTRY_UNAVAILABLE;
        for (int i = 0; i < 3; i++)
            give(number++);
        fake.result = REGISTRY_OK;
        ck_assert(!intake_flush(intake));
    }
    ck_assert_uint_eq(fake.taken, 150);
    ck_assert(!fake.out_of_order);
}
END_TEST

START_TEST(offers_a_batch_at_a_time)
{
    tear_down();
    set_up_with(INTAKE_FLUSH_MAX + 10);
    fake.result = REGISTRY_UNAVAILABLE;
    for (uint32_t i = 0; i < INTAKE_FLUSH_MAX + 10; i++)
        give(i);
    fake.result = REGISTRY_OK;
    ck_assert(intake_flush(intake));
    ck_assert_uint_eq(fake.taken, INTAKE_FLUSH_MAX);
    ck_assert(!intake_flush(intake));
    ck_assert_uint_eq(fake.taken, INTAKE_FLUSH_MAX + 10);
}
END_TEST

/* Without a flush by the owner: a flood must neither fill the hold nor cost one command an event.
 */
START_TEST(offers_by_itself_what_fills_a_command)
{
    tear_down();
    set_up_with(0);
    for (uint32_t i = 0; i < 10 * REGISTRY_EVENTS_MAX + 1; i++) {
        struct event event = event_of(i);

        intake_live(intake, &event);
    }
    ck_assert_uint_eq(fake.offered, 10);
    ck_assert_uint_eq(intake_held(intake), 1);
    ck_assert(!intake_flush(intake));
    ck_assert_uint_eq(fake.offered, 11);
    ck_assert(!fake.out_of_order);
}
END_TEST

START_TEST(holds_the_named_number_by_default)
{
    tear_down();
    set_up_with(0);
    fake.result = REGISTRY_UNAVAILABLE;
    for (uint32_t i = 0; i < INTAKE_MAX_HELD; i++)
        give(i);
    ck_assert_uint_eq(intake_held(intake), INTAKE_MAX_HELD);
    ck_assert_uint_eq(counted(STAT_EVENTS_LOST_TO_REDIS), 0);
    give(INTAKE_MAX_HELD);
    ck_assert_uint_eq(counted(STAT_EVENTS_LOST_TO_REDIS), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("intake");
    TCase *tcase = tcase_create("intake");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, hands_an_event_to_redis);
    tcase_add_test(tcase, the_author_of_a_direct_message_matters);
    tcase_add_test(tcase, counts_what_redis_made_of_it);
    tcase_add_test(tcase, holds_what_redis_cannot_take);
    tcase_add_test(tcase, keeps_the_order_and_does_not_ask_in_vain);
    tcase_add_test(tcase, stops_at_the_first_failure);
    tcase_add_test(tcase, loses_the_newest_beyond_the_bound);
    tcase_add_test(tcase, goes_round_its_ring);
    tcase_add_test(tcase, offers_a_batch_at_a_time);
    tcase_add_test(tcase, offers_by_itself_what_fills_a_command);
    tcase_add_test(tcase, holds_the_named_number_by_default);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
