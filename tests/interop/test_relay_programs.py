"""The listener at relays that people run (see relay_programs): what is live, what they have stored
while the listener was away, and what comes after they were away themselves."""
import collections
import contextlib
import re
import time

import pytest

import nostr
from relay_programs import NostrRelay, NostrRsRelay
from stack import LISTENER, wait_until

# One more than our pages hold, and as many again as share a second: a page ends amid a tie.
STORED = 510
A_SECOND = 7
MAKERS = {nostr.GIFT_WRAP: nostr.gift_wrap, nostr.DIRECT_MESSAGE: nostr.direct_message}
KINDS = pytest.mark.parametrize("kind", MAKERS)


@pytest.fixture(params=[
    NostrRelay, pytest.param(NostrRsRelay, marks=pytest.mark.long)], ids=lambda one: one.__name__)
def peer(request, tmp_path):
    if not request.param.program.exists():
        pytest.fail(f"{request.param.program} is missing: see contrib/check")
    with request.param(tmp_path) as peer:
        yield peer


def is_live(stack, since=0):
    """Whether both subscriptions are, by what the listener has said since so many bytes."""
    said = stack.listener.output()[since:]
    return all(f"subscribed to kind {kind}" in said for kind in MAKERS)


def wait_until_live(stack, since=0):
    wait_until(lambda: is_live(stack, since), 30, "both subscriptions are live")


@pytest.fixture
def stack(make_stack, peer):
    """The whole server, subscribed to both kinds at `peer`."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", REGISTER_RATE_PER_IP_PER_MIN="0")
    stack.start_redis()
    stack.start_api()
    stack.spawn_listener([peer.url])
    wait_until_live(stack)
    return stack


def register(stack, phone, count):
    """So many pubkeys -> the endpoint of each."""
    endpoints = {nostr.new_pubkey(): phone.endpoint() for _ in range(count)}
    for pubkey, endpoint in endpoints.items():
        stack.register(pubkey, endpoint)
    return endpoints


def check_each_woken_once(stack, phone, endpoints, timeout=10):
    with contextlib.suppress(TimeoutError):  # what follows says more
        wait_until(lambda: len(phone.pushes) >= len(endpoints), timeout)
    stack.wait_until_idle()
    assert collections.Counter(phone.url + push.path for push in phone.pushes) == {
        endpoint: 1 for endpoint in endpoints.values()}


def wait_for_cursors(stack, peer):
    """From there it asks after a restart; where it has got to is noted now and then."""
    for kind in MAKERS:
        wait_until(lambda: stack.redis.exists(f"mostro:cursor:{peer.url}:{kind}"), 40, "a cursor")


def test_what_is_published_now_wakes(stack, peer, phone):
    """Gift wraps are dated up to two days back."""
    endpoints = register(stack, phone, 12)
    first, second = list(endpoints)[:6], list(endpoints)[6:]
    now = time.time()
    peer.publish([nostr.gift_wrap(pubkey, now - i * nostr.DAY / 3)
                  for i, pubkey in enumerate(first)])
    peer.publish([nostr.direct_message(pubkey) for pubkey in second])
    check_each_woken_once(stack, phone, endpoints)


@KINDS
def test_what_was_stored_while_nobody_listened_wakes(stack, peer, phone, kind):
    endpoints = register(stack, phone, STORED)
    wait_for_cursors(stack, peer)
    assert stack.listener.stop() == 0
    now = int(time.time())
    peer.publish([MAKERS[kind](pubkey, created_at=now - i // A_SECOND)
                  for i, pubkey in enumerate(endpoints)])
    stack.spawn_listener([peer.url])
    check_each_woken_once(stack, phone, endpoints, timeout=60)


@KINDS
def test_a_relay_that_is_restarted(stack, peer, phone, kind):
    """What it is given before the listener is back, and after."""
    endpoints = register(stack, phone, 20)
    events = [MAKERS[kind](pubkey) for pubkey in endpoints]
    wait_for_cursors(stack, peer)
    said = len(stack.listener.output())
    peer.stop()
    peer.start()
    peer.publish(events[:10])
    wait_until_live(stack, said)
    peer.publish(events[10:])
    check_each_woken_once(stack, phone, endpoints, timeout=30)


def test_check_relay(make_stack, peer):
    """--check-relay --publish finds all well there."""
    stack = make_stack(NOSTR_RELAYS=peer.url)
    check = stack.start_program("check", [LISTENER, "--check-relay", peer.url, "--publish"])
    assert check.wait(60) == 0, check.output()
    for kind in MAKERS:
        assert re.search(rf"ok   event of kind {kind}: came live after \d+ ms, and is stored",
                         check.output())
    assert re.search(r"ok   document \(NIP-11\): .*nostr", check.output())
