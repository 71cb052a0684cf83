"""What relays stored while nobody listened wakes its devices, once; what is older wakes nobody."""
import random
import signal
import statistics
import threading
import time

import pytest

import nostr
from phone import Phone
from relay import Relay
from stack import preloaded, registering, wait_until

MINUTE = 60
HOUR = 60 * MINUTE


def cursor(stack, relay):
    """Until when all of every kind has been taken."""
    values = [stack.redis.get(f"mostro:cursor:{relay.url}:{kind}")
              for kind in (nostr.GIFT_WRAP, nostr.DIRECT_MESSAGE)]
    return min(int(value) for value in values) if all(values) else None


def set_cursor(stack, relay, moment_ms):
    for kind in (nostr.GIFT_WRAP, nostr.DIRECT_MESSAGE):
        stack.redis.set(f"mostro:cursor:{relay.url}:{kind}", moment_ms)


def now_ms(stack):
    seconds, microseconds = stack.redis.time()
    return seconds * 1000 + microseconds // 1000


def wait_until_caught_up(stack, *relays, timeout=60):
    """Until all that these relays have sent or stored by now has been taken."""
    moment = now_ms(stack)

    def has_moved(relay):
        relay.deliver(nostr.gift_wrap(nostr.new_pubkey()))  # else a ping would have to be awaited
        time.sleep(0.1)
        return (cursor(stack, relay) or 0) >= moment
    for relay in relays:
        wait_until(lambda: has_moved(relay), timeout, f"the cursor of {relay.url} moves")


def pages(relay):
    """The filters of every REQ for stored events."""
    return [req[2] for req in relay.reqs() if "since" in req[2]]


def pushed(phone):
    return [phone.url + push.path for push in list(phone.pushes)]


def seconds_to_push(relay, phone, pubkey):
    """Of a live event."""
    begun = time.monotonic()
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    return time.monotonic() - begun


def start(make_stack, *relays, **settings):
    """A stack that has taken all that these relays have."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", **settings)
    stack.start_redis()
    stack.start_api()
    stack.start_listener(*relays)
    wait_until_caught_up(stack, *relays)
    return stack


def stop_listener(stack):
    assert stack.listener.stop() == 0


# ---- What is missing and what is not


def test_a_first_start_wakes_nobody_for_what_is_old(make_stack, relay, phone, pubkey):
    relay.publish(nostr.gift_wrap(pubkey, time.time() - MINUTE))
    relay.publish(nostr.direct_message(pubkey, created_at=int(time.time()) - 2))
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
    stack.start_redis()
    stack.start_api()
    endpoint = phone.endpoint()
    stack.register(pubkey, endpoint)
    stack.start_listener(relay)
    wait_until_caught_up(stack, relay)
    assert all(page["since"] > time.time() - MINUTE for page in pages(relay))
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    stack.wait_until_idle()
    assert pushed(phone) == [endpoint]


@pytest.mark.parametrize("days_back", [0, 1.99])
def test_what_came_while_the_listener_was_away(live, relay, phone, pubkey, device, days_back):
    wait_until_caught_up(live, relay)
    stop_listener(live)
    relay.publish(nostr.gift_wrap(pubkey, time.time() - days_back * nostr.DAY))
    live.start_listener(relay)
    phone.next_push()
    wait_until_caught_up(live, relay)
    live.wait_until_idle()
    assert pushed(phone) == [device]


def test_a_direct_message_while_the_listener_was_away(live, relay, phone, pubkey, device):
    wait_until_caught_up(live, relay)
    stop_listener(live)
    relay.publish(nostr.direct_message(pubkey, created_at=int(time.time() - HOUR / 2)))
    live.start_listener(relay)
    phone.next_push()


def test_what_came_while_the_relay_was_away(live, relay, phone, pubkey, device):
    wait_until_caught_up(live, relay)
    relay.stop()
    relay.publish(nostr.gift_wrap(pubkey, time.time() - nostr.DAY))
    relay.start()
    phone.next_push(timeout=20)
    wait_until_caught_up(live, relay)
    live.wait_until_idle()
    assert pushed(phone) == [device]


def test_what_has_been_woken_is_not_woken_by_catching_up(live, relay, phone, pubkey, device):
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    wait_until_caught_up(live, relay)
    for _ in range(2):
        stop_listener(live)
        relay.clear_frames()
        live.start_listener(relay)
        wait_until_caught_up(live, relay)
        assert len(pages(relay)) >= 2  # the event was there to be woken again
    live.wait_until_idle()
    assert pushed(phone) == [device]


def test_a_node_s_reminders_of_days_wake_once(live, relay, phone, pubkey, device):
    """More events of one pubkey than ids are kept: another start asks for all of them anew."""
    wait_until_caught_up(live, relay)
    stop_listener(live)
    now = int(time.time())
    relay.store(*(nostr.direct_message(pubkey, created_at=now - 2 * HOUR - 300 * i)
                  for i in range(500)))
    for _ in range(3):
        set_cursor(live, relay, now_ms(live) - 2 * nostr.DAY * 1000)
        taken = live.stat("events_taken")
        live.start_listener(relay)
        wait_until(lambda: live.stat("events_taken") >= taken + 500)
        wait_until(lambda: phone.pushes)
        stop_listener(live)
        # As if an hour had passed, for which one wake covers what is stored.
        live.redis.delete(f"mostro:caught_up:{pubkey}")
    live.start_listener(relay)
    live.wait_until_idle()
    assert pushed(phone) == [device]


@pytest.mark.parametrize("listeners", [1, 2])
def test_what_was_stored_wakes_once_however_much_it_was(live, relay, phone, pubkey, device,
                                                        listeners):
    """One wake, whether one listener or two find it."""
    wait_until_caught_up(live, relay)
    stop_listener(live)
    now = time.time()
    relay.store(*(nostr.gift_wrap(pubkey, now - i) for i in range(40)))
    for i in range(listeners):
        live.spawn_listener([relay], LISTENER_NAME=f"listener-{i + 1}")
    phone.next_push()
    relay.wait_until(lambda r: len(pages(r)) >= 2 * listeners)
    wait_until(lambda: live.stat("events_taken") >= 40 * listeners)
    live.wait_until_idle()
    assert pushed(phone) == [device]
    # While a live event waits for nothing; stored ones are gathered for two seconds.
    assert min(seconds_to_push(relay, phone, pubkey) for _ in range(3)) < 1.5


def test_it_asks_no_further_back_than_two_days(live, relay):
    """Twice as far for gift wraps, which may be dated back."""
    wait_until_caught_up(live, relay)
    stop_listener(live)
    set_cursor(live, relay, now_ms(live) - 30 * nostr.DAY * 1000)
    live.start_listener(relay)
    wait_until_caught_up(live, relay)
    back = {page["kinds"][0]: time.time() - page["since"] for page in pages(relay)}
    assert back[1059] == pytest.approx(4 * nostr.DAY, abs=MINUTE)
    assert back[14] == pytest.approx(2 * nostr.DAY + HOUR, abs=MINUTE)


def test_a_clock_that_was_set_back_hides_no_gap(live, relay, phone, pubkey, device):
    wait_until_caught_up(live, relay)
    stop_listener(live)
    relay.publish(nostr.gift_wrap(pubkey))
    set_cursor(live, relay, now_ms(live) + HOUR * 1000)
    live.start_listener(relay)
    phone.next_push()


@pytest.mark.parametrize("off", [-20 * MINUTE, 2 * HOUR], ids=["slow", "fast"])
def test_a_redis_whose_clock_is_off(make_stack, relay, phone, pubkey, tmp_path, off):
    """Direct messages are dated by their authors' clocks, which are right."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
    with_right_clocks = dict(stack.settings)
    stack.settings.update(preloaded("off_clock", tmp_path), CLOCK_OFF=str(off))
    stack.start_redis()
    stack.settings = with_right_clocks
    stack.start_api()
    stack.start_listener(relay)
    wait_until_caught_up(stack, relay)
    assert abs(now_ms(stack) / 1000 - time.time() - off) < MINUTE
    stop_listener(stack)
    stack.register(pubkey, phone.endpoint())
    relay.publish(nostr.direct_message(pubkey))
    stack.start_listener(relay)
    phone.next_push()


def test_stored_events_spend_no_limit_and_leave_nothing_behind(live, relay, phone, pubkey, device):
    wait_until_caught_up(live, relay)
    stop_listener(live)
    stranger = nostr.new_pubkey()
    for _ in range(30):
        relay.publish(nostr.gift_wrap(stranger))
    relay.publish(nostr.gift_wrap(pubkey))
    before = set(live.redis.keys("*"))
    live.start_listener(relay)
    phone.next_push()
    live.wait_until_idle()
    assert len(pages(relay)) >= 1
    wait_until(lambda: live.stat("events_taken") >= 31)
    found = set(live.redis.keys("*")) - before
    assert not [key for key in found if stranger in key or "limit:" in key or "seen:" in key]
    assert len([key for key in found if "woke:" in key]) == 1


def test_a_relay_that_refuses_a_kind(live, relay, phone, pubkey, device):
    """The other kind is caught up on all the same."""
    wait_until_caught_up(live, relay)
    stop_listener(live)
    live.redis.delete(f"mostro:cursor:{relay.url}:{nostr.DIRECT_MESSAGE}")
    relay.publish(nostr.gift_wrap(pubkey))
    relay.refuse_reqs(None, 1)
    relay.refuse_reqs("blocked: not that", 1)
    live.spawn_listener([relay])
    phone.next_push()


def test_events_that_cannot_be_read_hide_nothing(make_stack, phone, pubkey):
    """Five pages of them, newer than the one that counts."""
    with Relay(check_events=False, max_answer=100) as relay:
        stack = start(make_stack, relay)
        stop_listener(stack)
        endpoint = phone.endpoint()
        stack.register(pubkey, endpoint)
        now = int(time.time())
        for i in range(500):
            relay.store({**nostr.gift_wrap(nostr.new_pubkey(), now - i), "tags": [[1]]})
        relay.store(nostr.gift_wrap(pubkey, now - 600))
        stack.start_listener(relay)
        phone.next_push(timeout=30)
        wait_until_caught_up(stack, relay)


def test_relays_that_differ_in_their_query_alone(make_stack, relay, phone):
    stack = make_stack()
    stack.start_redis()
    stack.start_api()
    stack.spawn_listener([relay.url + "/?user=1", relay.url + "/?user=2"])
    wait_until(lambda: len(stack.redis.keys("mostro:cursor:*")) == 4)
    assert not [key for key in stack.redis.keys("mostro:cursor:*") if "user" in key]


# ---- How it asks


@pytest.mark.parametrize("exclusive", [False, True], ids=["inclusive", "exclusive"])
@pytest.mark.parametrize("cap", [100, 500])
def test_pages_through_a_relay_that_caps(make_stack, phone, cap, exclusive):
    """1,100 events, 40 to a second, so that pages end within a second; whatever `until` is."""
    with Relay(max_answer=cap, until_is_exclusive=exclusive) as relay:
        stack = start(make_stack, relay)
        stop_listener(stack)
        registered = [nostr.new_pubkey() for _ in range(110)]
        endpoints = [phone.endpoint() for _ in registered]
        for pubkey, endpoint in zip(registered, endpoints):
            stack.register(pubkey, endpoint)
        now = int(time.time())
        relay.store(*(nostr.gift_wrap(registered[i // 10] if i % 10 == 0 else nostr.new_pubkey(),
                                      now - i // 40) for i in range(1100)))
        stack.start_listener(relay)
        wait_until(lambda: len(phone.pushes) >= 110, 40, "all are woken")
        wait_until_caught_up(stack, relay)
        stack.wait_until_idle()
        assert sorted(pushed(phone)) == sorted(endpoints)
        asked = [page for page in pages(relay) if page["kinds"] == [1059]]
        assert all(page["limit"] == 500 for page in asked)
        untils = [page["until"] for page in asked]
        assert untils == sorted(set(untils), reverse=True)  # each earlier than the one before
        assert 1100 / cap <= len(asked) <= 1100 / cap * 1.5 + 4


def test_a_relay_that_ignores_the_limit(make_stack, phone, pubkey):
    """Sends all it has to every REQ: nothing of it is woken on a first start, or for ever asked."""
    with Relay(max_answer=100_000, ignores_limit=True) as relay:
        relay.store(*(nostr.gift_wrap(pubkey) for _ in range(300)))
        stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
        stack.start_redis()
        stack.start_api()
        endpoint = phone.endpoint()
        stack.register(pubkey, endpoint)
        stack.start_listener(relay)
        wait_until_caught_up(stack, relay)
        stack.wait_until_idle()
        assert pushed(phone) == []
        stop_listener(stack)
        relay.store(nostr.gift_wrap(pubkey))
        stack.start_listener(relay)
        phone.next_push()
        wait_until_caught_up(stack, relay)
        assert len(pages(relay)) <= 8


def test_two_pages_a_second_and_one_at_a_time(live, relay):
    wait_until_caught_up(live, relay)
    stop_listener(live)
    now = int(time.time())
    relay.store(*(nostr.gift_wrap(nostr.new_pubkey(), now - i) for i in range(3000)))
    relay.clear_frames()  # a start that took 5 s has asked for pages, too
    asked = []
    begun = threading.Event()

    def watch():
        begun.set()
        while len(asked) < 7:
            n = len(pages(relay))
            if n > len(asked):
                asked.extend([time.monotonic()] * (n - len(asked)))
            time.sleep(0.005)
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    begun.wait()
    start = time.monotonic()
    live.start_listener(relay)
    thread.join(30)
    # One page that is seen late leaves less time up to the next one.
    steps = [later - earlier for earlier, later in zip(asked, asked[1:])]
    assert statistics.median(steps) > 0.4, steps
    assert all(moment - start > 0.5 * i - 0.01 for i, moment in enumerate(asked)), steps
    frames = [frame for frame in (message for _, message in list(relay.frames))
              if frame[0] == "CLOSE" or frame[0] == "REQ" and "since" in frame[2]]
    for page, close in zip(frames[0::2], frames[1::2]):
        assert (page[0], close[0]) == ("REQ", "CLOSE") and page[1] == close[1]


def test_live_events_come_first(live, relay, phone, pubkey, device):
    """While thousands are caught up on, an event takes no longer than usual."""
    wait_until_caught_up(live, relay)
    stop_listener(live)
    now = int(time.time())
    relay.store(*(nostr.gift_wrap(nostr.new_pubkey(), now - i) for i in range(5000)))
    live.start_listener(relay)
    relay.wait_until(lambda r: len(pages(r)) >= 2)
    took = []
    while len(took) < 5 and len(pages(relay)) < 10:  # it is still at it
        took.append(seconds_to_push(relay, phone, pubkey))
    # Not each of them, for the machine may stand still; what waits for the rest is the only one.
    assert statistics.median(took) < 1, took


def test_a_page_that_is_rate_limited_is_asked_for_again(live, relay, phone, pubkey, device):
    wait_until_caught_up(live, relay)
    stop_listener(live)
    relay.publish(nostr.gift_wrap(pubkey))
    relay.refuse_reqs(None, 2)  # the live subscriptions
    relay.refuse_reqs("rate-limited: slow down", 2)
    live.spawn_listener([relay])
    phone.next_push(timeout=30)
    assert live.listener.output().count("rate-limited: slow down") == 2
    # The live subscriptions have not suffered.
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()


# ---- Redis


def test_what_redis_could_not_take_is_caught_up_on(live, relay, phone, pubkey, device):
    """More events than are held, while Redis stands still."""
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    wait_until_caught_up(live, relay)
    strangers = [nostr.gift_wrap(nostr.new_pubkey()) for _ in range(10_050)]
    live.redis_server.send_signal(signal.SIGSTOP)
    for event in strangers:
        relay.publish(event)
    relay.publish(nostr.gift_wrap(pubkey))  # one that does not fit
    wait_until(lambda: "Redis takes no events and the buffer" in live.listener.output(), 30)
    live.redis_server.send_signal(signal.SIGCONT)
    phone.next_push(timeout=60)
    live.wait_until_idle()
    assert pushed(phone) == [device] * 2


def test_a_redis_that_lost_its_data_wakes_nobody_for_what_is_old(live, relay, phone, pubkey,
                                                                 device):
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    wait_until_caught_up(live, relay)
    live.redis.flushall()
    wait_until(lambda: live.redis.exists("mostro:epoch"), what="the loss is noticed")
    endpoint = phone.endpoint()
    live.register(pubkey, endpoint)
    relay.kill_connections()
    relay.clear_frames()
    relay.wait_for_req(2, timeout=20)
    wait_until_caught_up(live, relay)
    live.wait_until_idle()
    assert pushed(phone) == [device]
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    assert pushed(phone)[-1] == endpoint


def test_a_redis_that_lost_its_data_while_a_relay_was_away(live, relay, phone, pubkey, device):
    """What came to the relay before that is of nobody who is registered now; of a gift wrap, which
    may be dated back, nobody knows whether it did."""
    wait_until_caught_up(live, relay)
    relay.stop()
    relay.publish(nostr.direct_message(pubkey, created_at=int(time.time() - 2)))
    live.redis.flushall()
    live.register(pubkey, device)
    wait_until(lambda: "events from before now are not asked for" in live.listener.output())
    time.sleep(1)  # until another second is written into events
    later, endpoints = [nostr.new_pubkey() for _ in range(3)], [phone.endpoint() for _ in range(3)]
    for each, endpoint in zip(later, endpoints):
        live.register(each, endpoint)
    relay.publish(nostr.direct_message(later[0]))
    relay.publish(nostr.gift_wrap(later[1]))
    relay.publish(nostr.gift_wrap(later[2], time.time() - 1.99 * nostr.DAY))
    relay.start()
    wait_until_caught_up(live, relay)
    live.wait_until_idle()
    assert sorted(pushed(phone)) == sorted(endpoints)


def test_a_redis_that_lost_its_data_while_the_listener_was_away(live, relay, phone, pubkey, device):
    wait_until_caught_up(live, relay)
    stop_listener(live)
    relay.publish(nostr.gift_wrap(pubkey, time.time() - 2))
    live.redis.flushall()
    live.register(pubkey, device)
    relay.clear_frames()
    live.start_listener(relay)
    wait_until_caught_up(live, relay)
    live.wait_until_idle()
    assert pushed(phone) == []


def test_events_go_on_through_a_restart_of_redis(live, relay, phone, pubkey, device):
    live.redis_server.kill()
    live.start_redis()
    wait_until(lambda: live.redis.exists("mostro:epoch"))
    live.register(pubkey, device)
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    assert live.listener.is_alive()


# ---- All of it at once


EVENTS = 10_000
IN_FLIGHT = 50


class Storm:
    """Events of which each is published on one to three relays, a few hundred a second."""

    def __init__(self, relays, pubkeys, rng):
        self.relays, self.pubkeys, self.rng = relays, pubkeys, rng
        self.locks = {relay: threading.Lock() for relay in relays}
        self.published = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        for pubkey in self.pubkeys:
            event = nostr.gift_wrap(pubkey, time.time() - self.rng.random() * 1.9 * nostr.DAY)
            for relay in self.rng.sample(self.relays, self.rng.randint(1, 3)):
                with self.locks[relay]:
                    relay.publish(event)
            self.published += 1
            time.sleep(0.002)

    def restart(self, relay, seconds):
        """What is published meanwhile it finds stored."""
        with self.locks[relay]:
            relay.stop()
        time.sleep(seconds)
        with self.locks[relay]:
            relay.start()

    def join(self):
        self._thread.join(300)
        assert self.published == len(self.pubkeys)


def register_all(stack, registrations):
    """As the API does, but without HTTP: thousands of times."""
    pipeline = stack.redis.pipeline(transaction=False)
    for pubkey, endpoint in registrations.items():
        pipeline.fcall(*registering(pubkey, 48 * HOUR * 1000, endpoint))
    pipeline.execute()


@pytest.mark.heavy
def test_ten_thousand_events_through_everything_that_dies(make_stack):
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    with Relay() as a, Relay(max_answer=100) as b, Relay() as c, Phone() as phone:
        relays = [a, b, c]
        stack = start(make_stack, *relays, LOG_LEVEL="info", PUSH_MAX_IN_FLIGHT=str(IN_FLIGHT))
        pubkeys = [nostr.new_pubkey() for _ in range(EVENTS)]
        registered = {pubkey: phone.endpoint() for pubkey in pubkeys if rng.random() < 0.3}
        register_all(stack, registered)
        storm = Storm(relays, pubkeys, rng)
        for n in range(4):
            wait_until(lambda: storm.published >= (n + 1) * EVENTS // 5, 120)
            storm.restart(rng.choice(relays), rng.random())
            if n % 2:
                stack.listener.kill()
                stack.start_listener(*relays)
        storm.join()
        wait_until(lambda: len(set(pushed(phone))) >= len(registered), 120,
                   lambda: f"{len(set(pushed(phone)))} of {len(registered)} are woken")
        wait_until_caught_up(stack, *relays, timeout=120)
        stack.wait_until_idle()
        all_pushes = pushed(phone)
        assert set(all_pushes) == set(registered.values())
        assert len(all_pushes) - len(registered) <= 2 * IN_FLIGHT
