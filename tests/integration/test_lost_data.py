"""The last word when Redis has lost its data: how many registrations, until an operator has seen."""
import json
import time

import pytest

import nostr
from stack import wait_until

HOUR_MS = 3_600_000
TTL_MS = 720 * HOUR_MS
KEY = "mostro:lost"
SAYS = "Redis has lost its data, %s among them"


@pytest.fixture
def stack(make_stack):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", UNIFIEDPUSH_ENDPOINTS_FILE="")
    stack.start_redis()
    stack.start_api()
    return stack


def fill(stack, n):
    for _ in range(n):
        stack.register(nostr.new_pubkey(), "fcm-token-1")


def ready(stack):
    """The status, and the reason that the operator is told."""
    answer = stack.get("/api/ready", operator=True)
    return answer.status, json.loads(answer.body).get("reason", "")


def metric(stack, name):
    page = stack.get("/api/metrics", operator=True).body
    return next(line.split()[1] for line in page.splitlines() if line.startswith(f"mostro_{name} "))


def errors(listener):
    return [line for line in listener.output().splitlines() if " error: " in line]


def beat(stack, times=2, name="listener-1"):
    for _ in range(times):
        stack.redis.hdel(f"mostro:listener:{name}", "version")
        wait_until(lambda: stack.redis.hexists(f"mostro:listener:{name}", "version"))


def test_what_a_listener_has_counted(stack, relay):
    fill(stack, 3)
    stack.start_listener(relay)
    beat(stack)
    wait_until(lambda: ready(stack) == (200, ""))
    assert metric(stack, "lost") == "0"
    began = int(time.time())
    stack.redis.flushall()
    wait_until(lambda: stack.redis.exists(KEY))
    assert stack.redis.hget(KEY, "registrations") == "3"
    assert began <= int(stack.redis.hget(KEY, "at")) <= time.time() + 1
    assert TTL_MS - 60_000 < stack.redis.pttl(KEY) <= TTL_MS
    wait_until(lambda: errors(stack.listener))
    beat(stack, 3)
    line, = errors(stack.listener)
    assert SAYS % "3 registrations" in line and f"DEL {KEY}" in line
    stack.wait_for_heartbeat()
    wait_until(lambda: ready(stack)[0] == 200 and "lost its data" in ready(stack)[1])
    assert (metric(stack, "lost"), metric(stack, "lost_registrations")) == ("1", "3")
    # Whoever starts next says so, too.
    assert stack.listener.stop() == 0
    stack.start_listener(relay)
    wait_until(lambda: SAYS % "3 registrations" in stack.listener.output())
    stack.redis.delete(KEY)
    wait_until(lambda: ready(stack) == (200, ""))
    assert (metric(stack, "lost"), metric(stack, "lost_registrations")) == ("0", "0")


def test_what_is_no_loss(stack, relay):
    """A first start; and where nobody was registered."""
    stack.start_listener(relay)
    beat(stack)
    assert stack.redis.keys(KEY) == [] and errors(stack.listener) == []
    epoch = stack.redis.get("mostro:epoch")
    stack.redis.flushall()
    wait_until(lambda: stack.redis.get("mostro:epoch") not in (None, epoch))
    wait_until(lambda: stack.listener.output().count("Redis is empty") == 2)
    assert stack.redis.keys(KEY) == [] and errors(stack.listener) == []


def test_what_the_endpoint_file_tells(stack, relay, phone, pubkey):
    """That there were data, where a reboot has ended all programs; not how much there was."""
    stack.register(pubkey, phone.endpoint())
    fill(stack, 2)
    stack.start_listener(relay)
    path = stack.directory / "data/unifiedpush_endpoints.json"
    wait_until(lambda: path.exists() and "endpoint_url" in path.read_text())
    assert stack.listener.stop() == 0
    stack.redis.flushall()
    stack.start_listener(relay)
    wait_until(lambda: errors(stack.listener))
    assert SAYS % "an unknown number of registrations" in errors(stack.listener)[0]
    assert stack.redis.hget(KEY, "registrations") == "0"
    assert (metric(stack, "lost"), metric(stack, "lost_registrations")) == ("1", "0")
    phone.next_push()


def test_several_listeners_note_it_once(stack, relay):
    """And each of them says so."""
    fill(stack, 2)
    names = ("one", "two")
    for name in names:
        stack.start_listener(relay, LISTENER_NAME=name, UNIFIEDPUSH_ENDPOINTS_FILE="off")
        beat(stack, name=name)
    stack.redis.flushall()
    wait_until(lambda: len(errors(stack.listener)) == 2)  # they log into one file
    for name in names:
        beat(stack, name=name)
    assert stack.redis.hget(KEY, "registrations") == "2"
    lines = errors(stack.listener)
    assert len({line.split("[")[1].split("]")[0] for line in lines}) == len(lines) == 2
    assert all(SAYS % "2 registrations" in line for line in lines)


def test_the_greatest_number_counts(stack):
    def look(known, counted, ttl_ms=TTL_MS):
        return stack.redis.fcall("mostro3_epoch", 1, "mostro:", "c" * 16, known, counted, ttl_ms)

    assert look("", 0) == [1, "c" * 16, 0, 0]
    assert look("c" * 16, 9) == [0, "c" * 16, 0, 0]
    assert look("b" * 16, 0) == [0, "c" * 16, 0, 0]
    is_new, _, at, n = look("b" * 16, 5)
    assert (is_new, n) == (0, 5) and abs(at - time.time()) < 10
    assert look("a" * 16, 3, 1000) == [0, "c" * 16, at, 5]
    stack.redis.hset(KEY, "at", at - 100)
    assert look("a" * 16, 7, 1000) == [0, "c" * 16, at - 100, 7]
    assert stack.redis.pttl(KEY) > TTL_MS - 60_000
