"""A relay that has more events than it may is read no faster, and nothing of it is lost; the others
do not notice."""
import statistics
import time

import pytest

import nostr
from relay import Relay
from stack import wait_until
from test_catch_up import cursor, now_ms, seconds_to_push, wait_until_caught_up

OVER = "has more events than RELAY_EVENTS_PER_SEC: it is read no faster"


@pytest.fixture(params=["ws", "wss"])
def flooder(request, certificate):
    with Relay(check_events=False,
               **(dict(zip(("certificate", "key"), certificate)) if request.param == "wss" else {})
               ) as relay:
        yield relay


def wraps(n):
    return [nostr.gift_wrap(nostr.new_pubkey()) for _ in range(n)]


def start(make_stack, authority, *relays, **settings):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", TLS_CA_FILE=str(authority.certificate),
                       **settings)
    stack.start_redis()
    stack.start_api()
    stack.start_listener(*relays)
    wait_until_caught_up(stack, *relays)
    return stack


def check_kept(stack, flooder, connections=1):
    """The connection was not taken for dead, and why it is slow was said once."""
    said = stack.listener.output()
    assert "disconnected" not in said and said.count(OVER) == 1
    assert flooder.accepted == connections


def test_a_flood_is_taken_at_the_set_rate(make_stack, authority, flooder, relay, phone, pubkey):
    stack = start(make_stack, authority, flooder, relay, RELAY_EVENTS_PER_SEC="100")
    stack.register(pubkey, phone.endpoint())
    flood = wraps(1700)
    before = stack.stat("events_taken")
    began = time.monotonic()
    flooder.deliver(*flood)
    wait_until(lambda: OVER in stack.listener.output())
    # Another relay's events come through meanwhile: what follows is of before the flood's end.
    assert statistics.median(seconds_to_push(relay, phone, pubkey) for _ in range(3)) < 1
    # And nobody knows how old what is read now is.
    wait_until(lambda: now_ms(stack) - cursor(stack, flooder) > 2000)
    assert stack.stat("events_taken") - before < 1700
    wait_until(lambda: stack.stat("events_taken") - before >= 1703, 20)
    assert time.monotonic() - began > 6.5
    check_kept(stack, flooder)
    # Before the flood, too, some were taken that had not been counted by then.
    seen = [f"mostro:seen:{event['id']}" for event in flood]
    wait_until(lambda: stack.redis.exists(*seen) == len(seen), what="all of it is taken")
    wait_until_caught_up(stack, flooder)


def test_a_relay_that_is_hardly_read_is_not_taken_for_dead(make_stack, authority, flooder):
    """For longer than one that says nothing is kept."""
    stack = start(make_stack, authority, flooder, RELAY_EVENTS_PER_SEC="1")
    flooder.deliver(*wraps(10 + 32))
    wait_until(lambda: stack.stat("events_taken") >= 42, 45)
    check_kept(stack, flooder)


def test_pages_of_stored_events_count_too(make_stack, authority, flooder, phone, pubkey):
    stack = start(make_stack, authority, flooder, RELAY_EVENTS_PER_SEC="50")
    stack.register(pubkey, phone.endpoint())
    assert stack.listener.stop() == 0
    taken = stack.stat("events_taken")
    now = time.time()
    flooder.store(*(nostr.gift_wrap(nostr.new_pubkey(), now - i) for i in range(700)),
                  nostr.gift_wrap(pubkey, now - 1000))
    stack.start_listener(flooder)
    phone.next_push(timeout=20)
    wait_until(lambda: stack.stat("events_taken") >= taken + 701)
    check_kept(stack, flooder, connections=2)
