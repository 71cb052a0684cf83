"""What waits: in the inbox for no longer than it takes to take it, then in a set of the listener's
until it is pushed; and an operator who holds pushing."""
import collections
import pathlib
import random
import re
import threading
import time

import pytest

import nostr
import phone as phones
import welch
from stack import wait_until

FIRST, SECOND = "listener-1", "listener-2"


@pytest.fixture
def held(make_stack, relay):
    """The whole server, whose pushing an operator holds; its inbox is half full with 10."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", WAKES_MAX="20")
    stack.start_redis()
    stack.redis.set("mostro:paused", 1)
    stack.start_api()
    stack.start_listener(relay)
    wait_until(lambda: "an operator holds pushing" in stack.listener.output())
    return stack


def release(stack):
    stack.redis.delete("mostro:paused")


def wake_many(stack, phone, n):
    """Notifies n registered pubkeys, no faster than their wakes are taken; returns their
    endpoints."""
    endpoints = []
    for _ in range(n):
        wait_until(lambda: stack.redis.xlen("mostro:wakes") == 0)
        pubkey, endpoint = nostr.new_pubkey(), phone.endpoint()
        stack.register(pubkey, endpoint)
        assert stack.notify(pubkey).status == 202
        endpoints.append(endpoint)
    wait_until(lambda: stack.wakes_waiting() == n and stack.redis.xlen("mostro:wakes") == 0)
    return endpoints


def pushed(phone):
    return collections.Counter(phone.url + push.path for push in list(phone.pushes))


def test_nothing_is_pushed_while_an_operator_holds_it(held, phone, relay):
    endpoint, = wake_many(held, phone, 1)
    held.listener.stop()
    held.start_listener(relay)
    time.sleep(1.2)  # longer than the push of a notify waits by itself
    assert pushed(phone) == {} and held.wakes_waiting() == 1
    assert held.redis.zcard("mostro:pauses") == 1
    release(held)
    phone.next_push()
    held.wait_until_idle()
    assert pushed(phone) == {endpoint: 1}
    wait_until(lambda: "no longer held by an operator" in held.listener.output())
    (_, end), = held.redis.zrange("mostro:pauses", 0, -1, withscores=True)
    seconds, _ = held.redis.time()
    assert seconds - 10 < end / 1000 < seconds + 1


def test_what_waits_to_be_pushed_fills_no_inbox(held, phone):
    """Far more than half of it, and notify is not answered 503."""
    wake_many(held, phone, 30)


def test_a_listener_killed_before_it_pushes_loses_nothing(held, phone, relay):
    endpoints = wake_many(held, phone, 30)
    held.listener.kill()
    release(held)
    held.start_listener(relay)
    held.wait_until_idle()
    assert pushed(phone) == {endpoint: 1 for endpoint in endpoints}


def test_what_waits_is_taken_over(held, phone, relay):
    endpoints = wake_many(held, phone, 30)
    held.listener.kill()
    held.redis.delete(f"mostro:listener:{FIRST}")  # as if it had expired
    held.start_listener(relay, LISTENER_NAME=SECOND)
    wait_until(lambda: held.redis.zcard(f"mostro:waiting:{SECOND}") == 30, what="a takeover")
    assert not held.redis.exists(f"mostro:waiting:{FIRST}")
    assert held.redis.zrange("mostro:waiters", 0, -1) == [SECOND]
    release(held)
    held.wait_until_idle()
    assert pushed(phone) == {endpoint: 1 for endpoint in endpoints}


# ---- What is read with a wake


OF_WAKES = TAKE, LOOKUP, DONE = "mostro3_take", "mostro3_lookup", "mostro3_done"


def calls_of_a_wake(stack, wake):
    """What the listener asks of Redis from when a wake is queued until it is done with."""
    calls = []
    with stack.redis.monitor() as monitor:
        wake()
        while DONE not in calls:
            words = monitor.next_command()["command"].split()
            calls += [word for word in words[1:2] if word in OF_WAKES]
    return calls


def test_who_is_pushed_to_at_once_is_looked_up_as_the_wake_is_taken(make_stack, relay, phone,
                                                                     pubkey):
    """The push of a notify begins later, and who is woken is looked up then."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    stack.register(pubkey, phone.endpoint())
    assert calls_of_a_wake(stack, lambda: relay.deliver(nostr.gift_wrap(pubkey))) == [TAKE, DONE]
    assert calls_of_a_wake(stack, lambda: stack.notify(pubkey)) == [TAKE, LOOKUP, DONE]
    assert phone.next_push().path == phone.next_push().path


def test_what_is_read_with_a_wake(make_stack, phone, pubkey):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
    stack.start_redis()
    stack.start_api()
    other, endpoint, nobody = nostr.new_pubkey(), phone.endpoint(), nostr.new_pubkey()
    stack.register(pubkey, "token-1")
    stack.register(other, endpoint)
    name = [1, "mostro:", FIRST]
    since, _ = stack.redis.fcall("mostro3_heartbeat", *name, "instance", "first", "in_flight", 0)

    def take(most, *wakes):
        now_ms = stack.redis.time()[0] * 1000
        words = [word for via, one, wait_ms in wakes
                 for word in ("1-1", via, one, now_ms + wait_ms)]
        return [one[1] if isinstance(one, list) else "waits" if one >= 0 else "is dropped"
                for one in stack.redis.fcall("mostro3_take", *name, since, most, *words)]

    stack.register(other, endpoint)
    version = int(stack.redis.hget(f"mostro:token:{pubkey}", "registered_at"))
    other_version = int(stack.redis.hget(f"mostro:token:{other}", "renewed"))
    first = ["token-1", "android", None, None, version]
    second = [endpoint, "android", None, None, other_version]
    assert take(9, ("relay", pubkey, 0), ("quiet", other, -5000), ("relay", nobody, 0)) == \
        [first, second, "is dropped"]
    assert take(9, ("notify", pubkey, 0), ("relay", other, 5000), ("notify", nobody, 0),
                ("relay", nobody, 5000)) == ["waits", "waits", "is dropped", "is dropped"]
    assert take(1, ("relay", nobody, 0), ("relay", other, 0), ("relay", pubkey, 0)) == \
        ["is dropped", second, "waits"]
    stack.redis.set("mostro:paused", 1)
    assert take(9, ("relay", pubkey, 0), ("relay", nobody, 0)) == ["waits", "is dropped"]


# ---- What it costs


def test_redis_is_told_of_many_ends_in_few_calls(make_stack, relay, phone):
    """A call in 10 ms, however many pushes end."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    pubkeys = [nostr.new_pubkey() for _ in range(90)]
    for pubkey in pubkeys:
        stack.register(pubkey, phone.endpoint())
    told, times = 0, []
    with stack.redis.monitor() as monitor:
        for pubkey in pubkeys:
            stack.redis.xadd("mostro:wakes", {"pk": pubkey, "via": "relay", "not_before": 1})
            time.sleep(0.003)
        while told < len(pubkeys):
            said = monitor.next_command()
            words = said["command"].split()
            if words[1:2] == [DONE]:
                told += (len(words) - 5) // 3
                times.append(said["time"])
    assert len(times) <= (times[-1] - times[0]) / 0.010 + 5, (len(times), times[-1] - times[0])


def queue_for_registered(stack, first, n):
    with stack.redis.pipeline(transaction=False) as pipeline:
        for i in range(first, first + n):
            pubkey = f"{i:064x}"
            pipeline.hset(f"mostro:token:{pubkey}", mapping={"token": "t", "platform": "ios"})
            pipeline.xadd("mostro:wakes", {"pk": pubkey, "via": "relay", "not_before": 1})
        pipeline.execute()
    wait_until(lambda: stack.wakes_waiting() == first + n, timeout=30)


def memory_of(program):
    status = pathlib.Path(f"/proc/{program.pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status).group(1)) * 1024


@pytest.mark.measured
def test_the_memory_of_a_wake_that_waits(held):
    """At most 300 bytes of the listener and 175 of Redis. 150 were wanted there, and its key in 32
    bytes would make it 137; it is in hex, as everywhere in Redis, where people read it."""
    queue_for_registered(held, 0, 2000)
    before = memory_of(held.listener)
    queue_for_registered(held, 2000, 20_000)
    of_process = (memory_of(held.listener) - before) / 20_000
    of_redis = held.redis.memory_usage(f"mostro:waiting:{FIRST}", samples=0) / 22_000
    assert of_process <= 300 and of_redis <= 175, (of_process, of_redis)


# ---- What it tells


ENTRIES = 20_000
LEAK_S = 0.001


@pytest.fixture
def busy(make_stack, relay, phone):
    """The whole server with 400 registered pubkeys, half of them at a distributor that accepts
    pushes and never answers."""
    gate = threading.Event()
    with phones.Phone() as silent:
        silent.judge = lambda push: phones.Answer(gate=gate)
        stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", REGISTER_RATE_PER_IP_PER_MIN="0",
                           REGISTER_NEW_PER_IP_PER_DAY="0", LOG_LEVEL="info")
        stack.start_redis()
        stack.start_api()
        stack.start_listener(relay)
        stack.pubkeys = {True: [nostr.new_pubkey() for _ in range(400)],
                         False: [nostr.new_pubkey() for _ in range(400)]}
        for i, pubkey in enumerate(stack.pubkeys[True]):
            stack.register(pubkey, (silent if i % 2 else phone).endpoint())
        try:
            yield stack
        finally:
            gate.set()


def lives_of(stack, monitor, kinds):
    """Queues a wake for a pubkey of each of these kinds, at once. Returns with the kind of each for
    how many seconds it was there for others to see, all by Redis's clock: nobody sees the inbox
    while a function runs, so its life ends where the function begins that deletes it."""
    with stack.redis.pipeline(transaction=False) as pipeline:
        for kind in kinds:
            pipeline.xadd("mostro:wakes", {
                "pk": random.choice(stack.pubkeys[kind]), "not_before": int(time.time() * 1000),
                "via": random.choice(("relay", "quiet", "notify"))})
        ids = pipeline.execute()
    unnamed, kind_of = collections.deque(ids), dict(zip(ids, kinds))
    added, lives = {}, []
    while len(lives) < len(kinds):
        said = monitor.next_command()
        words = said["command"].split()
        if said["client_type"] != "lua":
            begun = said["time"]
        if words[0] == "XADD":
            added[unnamed.popleft()] = said["time"]
        elif words[0] == "XDEL":
            lives += [(kind_of[entry], begun - added[entry]) for entry in words[2:]]
    return lives


@pytest.mark.measured
def test_an_entry_lives_as_long_whoever_it_is_for(busy):
    """Or how full the inbox is would tell who is registered. The kind of each entry is drawn by
    itself, so what pushes of those before it do to its life is the same for both kinds."""
    lives = []
    with busy.redis.monitor() as monitor:
        while len(lives) < ENTRIES or (len(lives) < 5 * ENTRIES and
                                       not welch.can_see_raw(lives, LEAK_S)):
            for _ in range(ENTRIES // 100):
                lives += lives_of(busy, monitor, [random.random() < 0.5
                                                  for _ in range(random.randint(1, 30))])
    t = welch.compare_raw(lives)
    print(f"t = {t:.2f}, {len(lives)} entries")
    assert abs(t) < welch.LIMIT
    longer = [(kind, life + LEAK_S if kind else life) for kind, life in lives]
    assert welch.compare_raw(longer) > welch.LIMIT
