"""Several listeners on one Redis: one wake an event, even when one dies, hangs, or is replaced."""
import collections
import contextlib
import re
import signal
import threading
import time

import pytest
import redis

import nostr
from phone import Answer
from relay import Relay
from stack import wait_until

FIRST, SECOND = "listener-1", "listener-2"
WAKES, GROUP = "mostro:wakes", "dispatch"
WAITING = "mostro:waiting:"

HEARTBEAT_S, NOTICE_S, TAKEOVER_S = 30, 3, 5

# One wake in 6 s and a pubkey, after the first ten.
DEFERRAL_S = 6
RATE = {"NOTIFY_RATE_PER_PUBKEY_PER_MIN": str(60 // DEFERRAL_S)}


@pytest.fixture
def stack(make_stack, google_settings):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", **RATE, **google_settings)
    stack.start_redis()
    stack.start_api()
    return stack


def owners(stack):
    """How many wakes each listener has: read and not taken, or waiting."""
    pending = stack.redis.xpending_range(WAKES, GROUP, "-", "+", 100_000)
    found = collections.Counter(one["consumer"] for one in pending)
    for key in stack.redis.scan_iter(f"{WAITING}*"):
        found[key.removeprefix(WAITING)] += stack.redis.zcard(key)
    return found


def consumers(stack):
    try:
        return {one["name"] for one in stack.redis.xinfo_consumers(WAKES, GROUP)}
    except redis.ResponseError:
        return set()  # no listener has made the group yet


def start(stack, name, *relays):
    """Returns when it reads wakes."""
    stack.start_listener(*relays, LISTENER_NAME=name)
    wait_until(lambda: name in consumers(stack), what="it reads")
    return stack.listener


def field(stack, name, which):
    return stack.redis.hget(f"mostro:listener:{name}", which)


def held_for(stack, name):
    """Seconds by Redis's clock."""
    seconds, us = stack.redis.time()
    return seconds + (us - int(field(stack, name, "since"))) / 1_000_000


def forget_heartbeat(stack, name):
    """Removes the heartbeat, as if it had expired."""
    stack.redis.delete(f"mostro:listener:{name}")


def new_device(stack, phone):
    pubkey, endpoint = nostr.new_pubkey(), phone.endpoint()
    stack.register(pubkey, endpoint)
    return pubkey, endpoint


class Waits:
    """A wake of each kind that a listener may hold for long: in flight, to be tried again, and
    deferred. `gate` lets the one in flight have its answer, for which FCM has ten seconds; a
    distributor has five."""

    def __init__(self, stack, phone, google, retry_after=6):
        self._stack, self._phone, self._google = stack, phone, google
        self.gate = threading.Event()
        self.retrying, self.deferred = (new_device(stack, phone) for _ in range(2))
        self.flying = nostr.new_pubkey(), "fcm-token-1"
        stack.register(*self.flying)
        google.hold(self.flying[1], self.gate)
        phone.answer(self.retrying[1], [Answer(503, {"Retry-After": str(retry_after)})])
        stack.notify(self.retrying[0])
        wait_until(lambda: stack.stat("push_retries") >= 1, what="a push has failed")
        self._defer(self.deferred[0])
        stack.notify(self.flying[0])
        wait_until(lambda: self.pushes(self.flying) == 1, what="a push is in flight")
        wait_until(lambda: stack.wakes_queued() == 3, what="these three alone wait")

    def _defer(self, pubkey):
        """Its limit is spent, as if by ten notifies just now, but for a moment."""
        seconds, us = self._stack.redis.time()
        arrival = seconds * 1_000_000 + us + 10 * DEFERRAL_S * 1_000_000 - 100_000
        self._stack.redis.set(f"mostro:limit:pubkey:{pubkey}", arrival, ex=10 * DEFERRAL_S)
        assert self._stack.notify(pubkey).status == 429

    def pushes(self, device):
        return [*(self._phone.url + push.path for push in list(self._phone.pushes)),
                *(message.token for message in list(self._google.messages))].count(device[1])

    def made(self):
        """Pushes to each, of those that waited."""
        return {"flying": self.pushes(self.flying), "retrying": self.pushes(self.retrying) - 1,
                "deferred": self.pushes(self.deferred)}


# ---- Two at once


def test_an_event_wakes_once(stack, relay, phone):
    """Both see it, on two relays, and there is one wake."""
    events = 300
    with Relay() as other:
        for name in (FIRST, SECOND):
            start(stack, name, relay, other)
        devices = [new_device(stack, phone) for _ in range(events)]
        # When the last one, which is nobody's, has come each way, all others are dealt with.
        for pubkey in [*(pubkey for pubkey, _ in devices), nostr.new_pubkey()]:
            event = nostr.gift_wrap(pubkey)
            relay.publish(event)
            other.publish(event)
        wait_until(lambda: stack.stat("events_received") == 4 * (events + 1), timeout=30,
                   what="every event has come each way")
        stack.wait_until_idle()
        pushed = collections.Counter(phone.url + push.path for push in phone.pushes)
        assert pushed == {endpoint: 1 for _, endpoint in devices}
        assert stack.wakes_added() == events
        assert consumers(stack) == {FIRST, SECOND}


def test_a_live_one_keeps_its_wakes(stack, relay, phone, google):
    """Wakes stay their listener's, however long they wait."""
    start(stack, FIRST, relay)
    waiting = Waits(stack, phone, google, retry_after=60)
    start(stack, SECOND, relay)
    until = time.monotonic() + 2 * TAKEOVER_S + 1
    while time.monotonic() < until:
        assert set(owners(stack)) == {FIRST}
        time.sleep(0.05)
    waiting.gate.set()
    # What was in flight has timed out meanwhile, and is tried again by the one that holds it.
    wait_until(lambda: owners(stack) == {FIRST: 1}, what="only the one to be tried again waits")
    assert waiting.made()["retrying"] == 0 and waiting.made()["deferred"] == 1


def test_a_paused_backend_costs_nobody_its_wakes(make_stack, relay, google_settings):
    stack = make_stack(**{**google_settings, "FCM_ENDPOINT": "https://127.0.0.1:1"})
    stack.start_redis()
    stack.start_api()
    start(stack, FIRST, relay)
    for i in range(10):
        pubkey = nostr.new_pubkey()
        stack.register(pubkey, f"fcm-token-{i}")
        stack.notify(pubkey)
    wait_until(lambda: owners(stack) == {FIRST: 10})
    start(stack, SECOND, relay)
    until = time.monotonic() + TAKEOVER_S + 1
    while time.monotonic() < until:
        assert owners(stack) == {FIRST: 10}
        time.sleep(0.05)


# ---- One dies


def test_a_dead_one_s_wakes_are_taken_over(stack, relay, phone, google):
    start(stack, FIRST, relay)
    first = stack.listener
    waiting = Waits(stack, phone, google, retry_after=200)
    start(stack, SECOND, relay)
    first.kill()
    forget_heartbeat(stack, FIRST)
    waiting.gate.set()
    wait_until(lambda: FIRST not in consumers(stack), what="a takeover")
    stack.wait_until_idle()
    assert waiting.made() == {"flying": 2, "retrying": 1, "deferred": 1}
    assert consumers(stack) == {SECOND}


def test_not_before_the_heartbeat_has_expired(stack, relay, phone):
    """The one test in real time."""
    start(stack, FIRST, relay)
    first = stack.listener
    pubkey, endpoint = new_device(stack, phone)
    gate = threading.Event()
    phone.answer(endpoint, [Answer(gate=gate)])
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    start(stack, SECOND, relay)
    first.kill()
    died = time.monotonic()
    gate.set()
    while owners(stack) == {FIRST: 1}:
        assert time.monotonic() - died < HEARTBEAT_S + 2 * TAKEOVER_S
        time.sleep(0.02)
    assert not stack.redis.exists(f"mostro:listener:{FIRST}")
    assert time.monotonic() - died > HEARTBEAT_S - 2
    stack.wait_until_idle()
    assert len(phone.pushes) == 2


def test_who_ends_well_is_waited_for_by_nobody(stack, relay, phone):
    """What it could not finish is taken over though it had a heartbeat a moment ago."""
    first = start(stack, FIRST, relay)
    device = new_device(stack, phone)
    phone.answer(device[1], [Answer(503, {"Retry-After": "200"})])
    stack.notify(device[0])
    wait_until(lambda: stack.stat("push_retries") == 1)
    start(stack, SECOND, relay)
    assert first.stop() == 0
    assert not stack.redis.exists(f"mostro:listener:{FIRST}")
    assert stack.redis.zrange("mostro:listeners", 0, -1) == [SECOND]
    phone.next_push()
    phone.next_push(timeout=2 * TAKEOVER_S)
    stack.wait_until_idle()
    assert stack.get("/api/ready").status == 200
    assert stack.listener.stop() == 0
    # A worker asks at most once a second.
    wait_until(lambda: stack.get("/api/ready").status == 503, timeout=5)


# ---- Consumers that no listener ever was

ODD_NAMES = ["", " ", "redis-cli", "a\nb", "\x00\xff", "*", "mostro:listener:listener-1",
             "../listener-1", "x" * 64, "x" * 65, "y" * 100_000, "%s%n", "läser"]


def queue_wakes(stack, phone, n):
    """As a worker does, but for n pubkeys at once; returns their endpoints."""
    devices = [new_device(stack, phone) for _ in range(n)]
    now_ms = stack.redis.time()[0] * 1000
    with stack.redis.pipeline(transaction=False) as pipeline:
        for pubkey, _ in devices:
            pipeline.xadd(WAKES, {"pk": pubkey, "via": "relay", "not_before": now_ms})
        pipeline.execute()
    return [endpoint for _, endpoint in devices]


def test_consumers_made_by_hand_are_dead(stack, relay, phone):
    """By redis-cli perhaps, and whatever they are called: two listeners share what they hold."""
    stack.redis.xgroup_create(WAKES, GROUP, "0", mkstream=True)
    endpoints = queue_wakes(stack, phone, 400)
    for name in ODD_NAMES:
        assert stack.redis.xreadgroup(GROUP, name, {WAKES: ">"}, count=3)
    assert stack.redis.xreadgroup(GROUP, "reads them all", {WAKES: ">"}, count=1000)
    stack.redis.xgroup_createconsumer(WAKES, GROUP, "holds none")
    # Pending, and no more there.
    gone = stack.redis.xpending_range(WAKES, GROUP, "-", "+", 1, "*")[0]["message_id"]
    stack.redis.xdel(WAKES, gone)
    for name in (FIRST, SECOND):
        start(stack, name, relay)
    stack.wait_until_idle(timeout=30)
    wait_until(lambda: consumers(stack) == {FIRST, SECOND}, what="the others are deleted")
    assert owners(stack) == {}
    pushed = collections.Counter(phone.url + push.path for push in phone.pushes)
    assert len(pushed) == len(endpoints) - 1 and set(pushed.values()) == {1}


def test_a_consumer_is_deleted_only_when_it_has_nothing(stack, relay):
    """Otherwise its wakes would be lost: the function is asked for fewer than there are."""
    start(stack, FIRST, relay)
    since = field(stack, FIRST, "since")
    with stack.redis.pipeline(transaction=True) as pipeline:  # or the listener makes it anew
        pipeline.xgroup_destroy(WAKES, GROUP)
        pipeline.xgroup_create(WAKES, GROUP, "0")
        pipeline.execute()
    now_ms = stack.redis.time()[0] * 1000
    with stack.redis.pipeline(transaction=True) as pipeline:
        for _ in range(5):
            pipeline.xadd(WAKES, {"pk": nostr.new_pubkey(), "via": "relay",
                                  "not_before": now_ms + 3600_000})
        pipeline.xreadgroup(GROUP, "dead", {WAKES: ">"}, count=5)
        for _ in range(3):
            pipeline.fcall("mostro3_adopt", 1, "mostro:", FIRST, since, 2)
            pipeline.xinfo_consumers(WAKES, GROUP)
        results = pipeline.execute()[6:]
    assert results[0::2] == [2, 2, 1]
    left = [{one["name"]: one["pending"] for one in each}.get("dead") for each in results[1::2]]
    assert left == [3, 1, None]
    assert owners(stack) == {FIRST: 5}


def test_nobody_adopts_without_a_heartbeat_of_his_own(stack, relay):
    start(stack, FIRST, relay)
    for since in ("1", "", "0", "nan"):
        assert stack.redis.fcall("mostro3_adopt", 1, "mostro:", FIRST, since, 10) == -1
        assert stack.redis.fcall("mostro3_adopt", 1, "mostro:", "unknown", since, 10) == -1
        assert stack.redis.fcall("mostro3_lookup", 1, "mostro:", FIRST, since,
                                 nostr.new_pubkey()) == 0


# ---- A heartbeat that lapses


@contextlib.contextmanager
def stopped(program):
    program.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        program.send_signal(signal.SIGCONT)


def test_no_wake_is_read_before_the_first_heartbeat(stack, relay, phone):
    """Otherwise another listener would take it over."""
    with stack.redis.monitor() as monitor:
        stack.spawn_listener([relay])
        seen = []
        for said in monitor.listen():
            command = said["command"].upper()
            if re.match(r"XREADGROUP|FCALL MOSTRO\d+_HEARTBEAT", command):
                seen.append(command.split()[0])
            if "XREADGROUP" in seen:
                break
    assert seen[0] == "FCALL"


def test_one_that_hung_finds_its_wakes_taken_over(stack, relay, phone, google):
    """It pushes only those again that were in flight."""
    first = start(stack, FIRST, relay)
    many = [new_device(stack, phone) for _ in range(20)]
    waiting = Waits(stack, phone, google, retry_after=12)  # by then it hangs, on any machine
    for pubkey, endpoint in many:
        phone.answer(endpoint, [Answer(408, {"Retry-After": "12"})])
        relay.publish(nostr.gift_wrap(pubkey))
    wait_until(lambda: stack.stat("push_retries") == 1 + len(many))
    second = start(stack, SECOND, relay)
    with stopped(first):
        forget_heartbeat(stack, FIRST)
        waiting.gate.set()
        wait_until(lambda: FIRST not in consumers(stack), what="a takeover")
        stack.wait_until_idle()
        made = waiting.made()
        assert made == {"flying": 2, "retrying": 1, "deferred": 1}
    # All of it is due there, too, by now.
    wait_until(lambda: field(stack, FIRST, "backlog") == "0", what="it has forgotten them")
    wait_until(lambda: "had lost this listener's heartbeat" in first.output())
    assert second.stop() == 0
    last = new_device(stack, phone)
    relay.publish(nostr.gift_wrap(last[0]))
    wait_until(lambda: waiting.pushes(last) == 1, what="a wake by the one that hung")
    stack.wait_until_idle()
    assert waiting.made() == made
    assert [waiting.pushes(device) for device in many] == [2] * len(many)


def test_a_lapse_that_nobody_used(stack, relay, phone, google):
    """It goes on with its own wakes; those in flight are pushed once."""
    start(stack, FIRST, relay)
    # Some seconds after it has connected it reads its own once more, whatever happens.
    wait_until(lambda: held_for(stack, FIRST) > 6)
    waiting = Waits(stack, phone, google)
    since = field(stack, FIRST, "since")
    forget_heartbeat(stack, FIRST)
    wait_until(lambda: field(stack, FIRST, "since") not in (None, since), what="another lease")
    wait_until(lambda: "had lost this listener's heartbeat" in stack.listener.output())
    waiting.gate.set()
    stack.wait_until_idle()
    assert waiting.made() == {"flying": 1, "retrying": 1, "deferred": 1}


# ---- Two of one name


def test_the_older_of_one_name_stops(stack, relay, phone, google):
    """What it had in flight, or to be done later, is pushed once."""
    older = start(stack, FIRST, relay)
    waiting = Waits(stack, phone, google)
    instance = field(stack, FIRST, "instance")
    newer = start(stack, FIRST, relay)
    wait_until(lambda: field(stack, FIRST, "instance") != instance)
    wait_until(lambda: "another listener has taken the name" in older.output())
    # Once it has stopped to read, new wakes do not wait for it.
    wait_until(lambda: stack.redis.info("clients")["blocked_clients"] == 1)
    last = new_device(stack, phone)
    stack.notify(last[0])
    wait_until(lambda: waiting.pushes(last) == 1, timeout=5)
    assert older.is_alive()
    waiting.gate.set()
    assert older.wait() not in (0, -signal.SIGKILL)
    assert newer.is_alive()
    stack.wait_until_idle()
    assert waiting.made() == {"flying": 1, "retrying": 1, "deferred": 1}
    assert waiting.pushes(last) == 1
    assert stack.redis.exists(f"mostro:listener:{FIRST}")


def test_one_that_is_stopping_may_finish(make_stack, relay, google, google_settings):
    """Its successor waits for it, and not just as long as for one that may be dead. FCM may take
    ten seconds for a push, a distributor five, which would be too few here."""
    stack = make_stack(**RATE, **google_settings)
    stack.start_redis()
    stack.start_api()
    older = start(stack, FIRST, relay)
    pubkey, gate = nostr.new_pubkey(), threading.Event()
    google.hold("fcm-token-1", gate)
    stack.register(pubkey, "fcm-token-1")
    stack.notify(pubkey)
    google.next_message()
    instance = field(stack, FIRST, "instance")
    older.send_signal(signal.SIGTERM)
    wait_until(lambda: field(stack, FIRST, "leaves_by"), what="it says that it is stopping")
    start(stack, FIRST, relay)
    wait_until(lambda: field(stack, FIRST, "instance") != instance)
    wait_until(lambda: held_for(stack, FIRST) > NOTICE_S + 0.7)
    assert older.is_alive()
    gate.set()
    assert older.wait() == 0
    stack.wait_until_idle()
    assert len(google.messages) == 1
    # And then no longer.
    wait_until(lambda: field(stack, FIRST, "before_leaves_by") == "0")
    assert stack.redis.exists(f"mostro:listener:{FIRST}")


def test_one_that_hung_while_it_was_replaced(stack, relay, phone):
    """Others push its wakes, and it does not push them when it finds out."""
    older = start(stack, FIRST, relay)
    many = [new_device(stack, phone) for _ in range(20)]
    for pubkey, endpoint in many:
        phone.answer(endpoint, [Answer(408, {"Retry-After": "5"})])  # by then it hangs, too
        relay.publish(nostr.gift_wrap(pubkey))
    wait_until(lambda: stack.stat("push_retries") == len(many))
    with stopped(older):
        start(stack, FIRST, relay)
        stack.wait_until_idle()
        assert len(phone.pushes) == 2 * len(many)
    assert older.wait() not in (0, -signal.SIGKILL)
    stack.wait_until_idle()
    assert len(phone.pushes) == 2 * len(many)
