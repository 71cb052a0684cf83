"""The ledger finds what it is there to find, and excuses what it is to excuse."""
import unittest

from ledger import BY_FILE, EVENT, EVERYTHING, MAY, MUST, NOT, NOTIFY, Ledger

PATIENCE = 5


class LedgerTest(unittest.TestCase):
    def setUp(self):
        self.ledger = Ledger(PATIENCE)
        self.account = self.ledger.open("one", {"listener", "provider-1", "file"}, 0)

    def cause(self, at, verdict=MUST, via=NOTIFY, routes=()):
        cause = self.ledger.begin(self.account, via, at)
        self.ledger.settle(cause, verdict, at + 0.1, routes)
        return cause

    def wake(self, at, delivered=True):
        self.ledger.push("one", at, delivered)

    def outage(self, scope, begin, end, recovery=0):
        self.ledger.outage(scope, begin, recovery, "a test").end = end

    def check(self, lost=0, late=0, doubles=0, strays=0):
        found = (len(self.ledger.lost()), len(self.ledger.late()), len(self.ledger.doubles()),
                 self.ledger.strays())
        self.assertEqual(found, (lost, late, doubles, strays))

    def test_a_wake_for_each_cause(self):
        for at in (1, 2, 3):
            self.cause(at)
            self.wake(at + 0.2)
        self.check()
        self.assertEqual(len(self.ledger.calm_waits()), 3)

    def test_a_planted_loss(self):
        self.cause(1)
        self.wake(1.5)
        self.cause(2)
        self.check(lost=1)
        self.assertEqual(self.ledger.unwoken(), (1, 2.1 + PATIENCE))

    def test_a_push_before_a_cause_is_not_its(self):
        self.cause(1)
        self.cause(2)
        self.wake(1.9)
        self.check(lost=1)

    def test_a_push_that_was_only_tried_wakes_nobody(self):
        self.cause(1)
        self.wake(1.5, delivered=False)
        self.check(lost=1)

    def test_one_push_for_several_causes(self):
        for at in (1, 1.1, 1.2):
            self.cause(at)
        self.wake(1.5)
        self.check()

    def test_a_push_that_overtakes_its_acknowledgement(self):
        cause = self.ledger.begin(self.account, NOTIFY, 1)
        self.wake(1.01)
        self.assertFalse(self.ledger.is_quiet(self.account))
        self.ledger.settle(cause, MUST, 1.1)
        self.assertTrue(self.ledger.is_quiet(self.account))
        self.check()

    def test_a_planted_double(self):
        self.cause(1)
        self.wake(1.5)
        self.wake(1.6)
        self.check(doubles=1)

    def test_a_double_that_a_later_cause_would_hide(self):
        self.cause(1)
        self.wake(1.5)
        self.wake(1.6)
        self.cause(2, MAY)
        self.check(doubles=1)

    def test_a_push_without_any_cause(self):
        self.wake(1)
        self.check(doubles=1)
        self.ledger.push("nobody", 1, True)
        self.check(doubles=1, strays=1)

    def test_what_may_wake_need_not_and_may(self):
        self.cause(1, MAY)
        self.check()
        self.wake(1.5)
        self.check()
        self.assertTrue(self.ledger.is_tainted(self.account))

    def test_what_was_refused_may_not_wake(self):
        self.cause(1, NOT)
        self.check()
        self.wake(1.5)
        self.check(doubles=1)

    def test_a_late_one(self):
        self.cause(1)
        self.wake(1.1 + PATIENCE + 0.01)
        self.check(late=1)

    def test_an_outage_explains_lateness(self):
        self.outage("provider-1", 0.5, 30, recovery=10)
        self.cause(1)
        self.wake(30 + 10 + PATIENCE - 0.01)
        self.check()
        self.assertEqual(self.ledger.calm_waits(), [])

    def test_and_no_more_than_that(self):
        self.outage("provider-1", 0.5, 30, recovery=10)
        self.cause(1)
        self.wake(30 + 10 + PATIENCE + 0.01)
        self.check(late=1)

    def test_one_outage_after_another(self):
        self.outage("provider-1", 0.5, 30)
        self.outage("listener", 30 + PATIENCE - 1, 50)
        self.outage("provider-1", 70, 90)
        self.cause(1)
        self.wake(50 + PATIENCE - 0.01)
        self.check()
        self.assertEqual(self.ledger.unwoken(), (0, 0))

    def test_an_outage_explains_what_it_recovers_from(self):
        self.outage("provider-1", 0, 1, recovery=60)
        self.cause(50)
        self.wake(60)
        self.check()

    def test_outage_of_another_part_explains_nothing(self):
        self.outage("provider-2", 0.5, 30)
        self.cause(1)
        self.wake(20)
        self.check(late=1)

    def test_an_event_has_as_many_ways_as_relays_took_it(self):
        self.outage("relay-1", 0.5, 30)
        self.cause(1, via=EVENT, routes=["relay-1"])
        self.wake(20)
        self.check()
        self.cause(21, via=EVENT, routes=["relay-1", "relay-2"])
        self.wake(29)
        self.check(late=1)

    def test_a_push_in_flight_at_a_kill_may_come_again(self):
        self.cause(1)
        self.wake(1.5)
        self.wake(3)
        self.ledger.doubt(EVERYTHING, 1.4, 1.6)
        self.check()
        self.assertEqual(self.ledger.in_doubt(), 1)
        self.wake(4)
        self.check(doubles=1)

    def test_a_doubt_is_about_its_part(self):
        self.cause(1)
        self.wake(1.5)
        self.wake(3)
        self.ledger.doubt("provider-2", 1.4, 1.6)
        self.check(doubles=1)

    def test_a_redis_that_was_killed(self):
        """It takes what waited with it; the endpoint file wakes once."""
        self.cause(1)
        self.ledger.lose_data(2, kept_before=1)
        self.check(lost=1)
        self.wake(4)
        self.check()
        # The one that was acknowledged may have been on its way.
        self.wake(5)
        self.check()
        self.wake(6)
        self.check(doubles=1)

    def test_a_long_endpoint_file_takes_its_time(self):
        self.outage(BY_FILE, 2, 4, recovery=60)
        self.ledger.lose_data(2, kept_before=1)
        self.assertEqual(self.ledger.unwoken(), (1, 64 + PATIENCE))
        self.wake(64)
        self.check()

    def test_a_redis_that_was_killed_before_the_file_was_written(self):
        self.ledger.lose_data(2, kept_before=-1)
        self.check()
        self.wake(4)
        self.check()

    def test_what_was_closed_before_stays_closed(self):
        self.ledger.close(self.account, 0.9)
        self.ledger.lose_data(2, kept_before=1)
        self.check()
        self.wake(4)
        self.check(doubles=1)

    def test_what_was_perhaps_closed_may_be_in_the_file(self):
        self.ledger.close(self.account, 0.9, surely=False)
        self.ledger.lose_data(2, kept_before=1)
        self.check()
        self.wake(4)
        self.check()

    def test_what_the_file_has_brought_back_it_brings_back_each_time(self):
        """Though it was closed, as everybody believed, before the file was written anew."""
        self.ledger.close(self.account, 1.5)
        for at in (2, 102, 202):
            self.ledger.lose_data(at, kept_before=at - 1)
            self.wake(at + 3)
        self.check()
        self.wake(206)
        self.check(doubles=1)

    def test_what_was_lost_cannot_be_closed_any_more(self):
        """An answer of the new Redis is none about the file."""
        self.ledger.lose_data(2, kept_before=1)
        self.ledger.close(self.account, 2.5)
        self.wake(5)
        self.ledger.lose_data(102, kept_before=101)
        self.wake(105)
        self.check()

    def test_what_begins_after_a_loss_need_not_wake(self):
        self.ledger.lose_data(2, kept_before=-1)
        self.cause(2.1)
        self.check()


if __name__ == "__main__":
    unittest.main()
