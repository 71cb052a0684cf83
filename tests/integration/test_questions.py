"""What an operator asks about one trade pubkey: why its phone is not woken, and each of its steps."""
import re
import subprocess
import time

import pytest

import nostr
from stack import LISTENER, preloaded, wait_until

LIMITS = "limit:pubkey", "loud", "due", "woke"


@pytest.fixture
def stack(make_stack, relay):
    """The whole server; its log tells no debug lines."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", LOG_LEVEL="info",
                       NOTIFY_RATE_PER_PUBKEY_PER_MIN="1")
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    return stack


def ask(stack, *arguments, stdin=None, status=0):
    """What the program answers on standard output; on the other where it cannot."""
    done = subprocess.run([LISTENER, *arguments], input=stdin, capture_output=True, text=True,
                          timeout=20, env={**stack.settings, "NOSTR_RELAYS": "wss://a.example"})
    assert done.returncode == status, done
    return done.stdout if status == 0 else done.stderr


def why(stack, pubkey):
    return ask(stack, "--why", "-", stdin=f"  {pubkey}\n")


def trace(stack, pubkey, minutes=5):
    """The name by which it is traced."""
    return re.match(r"traced as ([0-9a-f]{8}) for ", ask(stack, "--trace", pubkey, str(minutes)))[1]


def contents(stack):
    return {key: stack.redis.dump(key) for key in stack.redis.keys("*")
            if key.split(":", 1)[1].startswith(LIMITS)}


def test_why_a_phone_is_not_woken(stack, relay, phone, pubkey):
    assert "registration:   none" in why(stack, pubkey)
    stack.redis.set("mostro:paused", 1)
    endpoint = phone.endpoint()
    stack.register(pubkey, endpoint)
    wait_until(lambda: "an operator holds pushing" in stack.listener.output())
    answer = why(stack, pubkey)
    assert "by UnifiedPush, not encrypted (android) since" in answer and "(30 d 0 h more)" in answer
    assert "within it" in answer and "waiting:        nothing" in answer
    assert "redis-cli DEL mostro:paused" in answer and "trace:          none" in answer
    assert "events:         none" in answer
    for _ in range(12):
        relay.deliver(nostr.gift_wrap(pubkey))
    wait_until(lambda: stack.redis.zcard(f"mostro:woke:{pubkey}") == 12)
    assert "deferred wake:  due in" in why(stack, pubkey)
    wait_until(lambda: "an event's wake, with listener listener-1, due" in why(stack, pubkey))
    before = contents(stack)
    answer = why(stack, pubkey)
    assert before == contents(stack)
    assert len(before) >= 3
    assert "limit:          over it: one more wake is admitted in" in answer
    assert re.search(r"events: +12 from relays in four days, the last at", answer)
    wait_until(lambda: "listener-1 is connected to 1 of 1 relays" in why(stack, pubkey))
    assert endpoint not in answer and pubkey not in answer and "127.0.0.1" not in answer
    fcm = nostr.new_pubkey()
    stack.register(fcm, "token-of-fcm", platform="ios")
    answer = why(stack, fcm)
    assert "by FCM (ios) since" in answer and "off by these settings (FCM_ENABLED=false)" in answer
    assert "token-of-fcm" not in answer


def test_a_distributor_that_is_held_is_told_of(stack, phone, pubkey):
    """Its name is not: it is an endpoint's."""
    endpoint, other = phone.endpoint(), nostr.new_pubkey()
    phone.answer(endpoint, [429])
    stack.register(pubkey, endpoint)
    stack.register(other, "https://up.example.com/AbCd")
    assert "held: " not in why(stack, pubkey)
    assert stack.notify(pubkey).status == 202
    phone.next_push()
    told = ("held:           its distributor is down, or takes nothing for a while, as listener-1 "
            "sees it: its wakes wait there\n")
    wait_until(lambda: told in why(stack, pubkey))
    assert "127.0.0.1" not in why(stack, pubkey)
    assert "held: " not in why(stack, other)
    wait_until(lambda: "held: " not in why(stack, pubkey), 20, what="it takes more")
    phone.next_push()


def test_why_asks_for_a_pubkey_and_a_redis(stack):
    assert "expected 64 hex characters" in ask(stack, "--why", "ab", status=2)
    assert "expected 64 hex characters" in ask(stack, "--why", "-", stdin="", status=2)
    assert "1 to 1440 minutes" in ask(stack, "--trace", "00" * 32, "1441", status=2)
    stack.redis_server.kill()
    assert "Redis cannot be asked" in ask(stack, "--why", "00" * 32, status=1)


def test_a_traced_pubkey_is_told_of_step_by_step(stack, relay, phone, pubkey):
    other = nostr.new_pubkey()
    stack.register(pubkey, phone.endpoint())
    stack.register(other, phone.endpoint())
    name = trace(stack, pubkey)
    assert trace(stack, pubkey, 1440) == name
    assert 0 < stack.redis.ttl("mostro:traced") <= 1440 * 60
    wait_until(lambda: "pubkeys traced now: 1, at most 8" in stack.listener.output())
    relay.deliver(nostr.gift_wrap(pubkey))
    relay.deliver(nostr.gift_wrap(other))
    phone.next_push()
    phone.next_push()
    steps = (rf"intake: {name} has a live event from ws://\S+: a wake is queued",
             f"wakes: {name} is to be woken by an event: at once",
             f"push: {name} is pushed to by UnifiedPush",
             rf"push: {name} was pushed to by UnifiedPush \(.*\): delivered")
    # Two threads tell of them, the one of the relay perhaps last.
    for step in steps:
        wait_until(lambda: re.search(f" UTC listener-1: {step}", why(stack, pubkey)), what=step)
    lines = stack.listener.output()
    for step in steps:
        assert len(re.findall(" info: " + step, lines)) == 1, step
    assert pubkey not in lines and len(re.findall(r"push: \S+ was pushed to", lines)) == 1
    assert 0 < stack.redis.ttl(f"mostro:trace:{name}") <= 1440 * 60
    assert stack.notify(pubkey).status == 202
    phone.next_push()
    wait_until(lambda: f"wakes: {name} is to be woken by a notify: at once"
               in stack.listener.output())
    stack.wait_until_idle()  # and all has been told of it
    assert f"{name} is traced no longer" in ask(stack, "--trace", pubkey, "0")
    assert "it is not traced" in ask(stack, "--trace", pubkey, "0")
    assert not stack.redis.keys("mostro:trace*")
    wait_until(lambda: "pubkeys traced now: 0" in stack.listener.output())
    told = stack.listener.output().count(name)
    relay.deliver(nostr.gift_wrap(pubkey))
    phone.next_push()
    time.sleep(0.5)
    assert stack.listener.output().count(name) == told


def test_forgeries_neither_fill_the_log_nor_hide_a_step(make_stack, relay, phone, pubkey, tmp_path):
    clock = tmp_path / "later"
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", LOG_LEVEL="info")
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay, **preloaded("later", tmp_path), LATER=str(clock))
    stack.register(pubkey, phone.endpoint())
    name = trace(stack, pubkey)
    wait_until(lambda: "pubkeys traced now: 1" in stack.listener.output())
    relay.deliver(*[{**nostr.gift_wrap(pubkey), "sig": "00" * 64}] * 500, nostr.gift_wrap(pubkey))
    phone.next_push()
    delivered = f"push: {name} was pushed to by UnifiedPush"
    wait_until(lambda: delivered in why(stack, pubkey))
    assert stack.listener.output().count(f"{name} is named by an event that is refused") == 8
    clock.write_text("61")
    more = f"trace: {name} has 492 more steps like: relay "
    wait_until(lambda: more in stack.listener.output() and more in why(stack, pubkey))
    assert delivered in why(stack, pubkey)


def test_traces_are_few_and_end(stack, pubkey):
    for _ in range(8):
        trace(stack, nostr.new_pubkey(), 1)
    assert "8 pubkeys are traced already" in ask(stack, "--trace", pubkey, "1", status=1)
    seconds, _ = stack.redis.time()
    for each in stack.redis.zrange("mostro:traced", 0, -1)[:3]:
        stack.redis.zadd("mostro:traced", {each: (seconds - 1) * 1000})
    name = trace(stack, pubkey)
    assert name in stack.redis.zrange("mostro:traced", -1, -1)[0]
    assert stack.redis.zcard("mostro:traced") == 6
    assert stack.redis.fcall("mostro3_traced", 1, "mostro:", "somebody", "ffffffff", 5, "no trace")
    assert not stack.redis.keys("mostro:trace:*")
