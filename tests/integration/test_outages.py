"""A distributor, or FCM, that fails as a whole loses no wake; and strangers' hosts delay nobody's."""
import itertools
import socket
import statistics
import threading
import time

import pytest

import google as fcm
import nostr
import phone as phones
from loopback import HOST
from stack import wait_until

def many(make_stack, relay, **settings):
    """A server that takes as many requests of one address as there are."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", LOG_LEVEL="info",
                       REGISTER_RATE_PER_IP_PER_MIN="0", REGISTER_NEW_PER_IP_PER_DAY="0",
                       NOTIFY_RATE_PER_IP_PER_MIN="60000",
                       NOTIFY_RATE_PER_PUBKEY_PER_MIN="60000", **settings)
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    return stack


def lost_in_outage(stack, phone, wakes, seconds):
    """One of two distributors is down for so many seconds, and has so many phones to be woken.
    Returns the tokens of those that were not, and how long after its return the last one was."""
    with phones.Phone() as other:
        others = [nostr.new_pubkey() for _ in range(5)]
        for one in others:
            stack.register(one, other.endpoint())
        endpoints = {nostr.new_pubkey(): phone.endpoint() for _ in range(wakes)}
        for one, endpoint in endpoints.items():
            stack.register(one, endpoint)
        first = next(iter(endpoints))
        stack.notify(first)
        phone.next_push()
        phone.stop()
        down = time.monotonic()
        for one in endpoints:
            assert stack.notify(one).status == 202
        for one in itertools.cycle(others):
            if time.monotonic() - down > seconds:
                break
            stack.notify(one)
            other.next_push(timeout=5)  # works all the time
            time.sleep(0.2)
        phone.start()
        back = time.time()
        wait_until(lambda: len(phone.pushes) > wakes, timeout=60)
        woken = {phone.url + push.path for push in phone.pushes if push.arrived >= back}
        return set(endpoints.values()) - woken, phone.pushes[-1].arrived - back


@pytest.mark.parametrize("wakes, outage", [
    (200, 16), pytest.param(1000, 60, marks=pytest.mark.long)])
def test_a_distributor_that_is_down_loses_no_wake(make_stack, relay, phone, wakes, outage):
    """While another works; and all are pushed within 10 s of its return."""
    stack = many(make_stack, relay)
    lost, seconds = lost_in_outage(stack, phone, wakes, outage)
    print(f"{len(lost)} of {wakes} lost, the last {seconds:.1f} s after its return")
    assert lost == set() and seconds < 10
    assert stack.stat("wakes_given_up_unifiedpush") == 0


@pytest.mark.parametrize("mistake", [fcm.WRONG_PROJECT, fcm.NO_PERMISSION],
                         ids=lambda mistake: mistake.message)
def test_an_operators_mistake_holds_fcm(with_google, google, mistake):
    """What to mend is told, nothing is given up, and once it is mended all are woken."""
    tokens = [f"fcm-token-{i}" for i in range(15)]
    for token in tokens:
        one = nostr.new_pubkey()
        google.answer(token, [mistake] * 9)
        with_google.register(one, token)
        with_google.notify(one)
    wait_until(lambda: "FCM is down (it refuses us" in with_google.listener.output())
    assert "FCM: it answers" in with_google.listener.output()
    for token in tokens:
        google.forgive(token)
    wait_until(lambda: with_google.stat("wakes_delivered_fcm") == 15, timeout=30)
    assert with_google.stat("wakes_given_up_fcm") == 0
    assert "FCM works again" in with_google.listener.output()


class Tarpits:
    """Hosts of any name that take each connection and never say a word."""

    def __init__(self):
        self._server = socket.create_server((HOST, 0), backlog=1024)
        self._held = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown(socket.SHUT_RDWR)
        for one in (self._server, *self._held):
            one.close()

    def endpoint(self, name):
        # libcurl knows where every name under this one leads (RFC 6761).
        return f"http://{name}.evil.localhost:{self._server.getsockname()[1]}/up"

    def _accept(self):
        while True:
            try:
                self._held.append(self._server.accept()[0])
            except OSError:
                return


def push_ms(relay, phone, pubkey):
    begun = time.monotonic()
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push(timeout=60)
    return (time.monotonic() - begun) * 1000


def test_new_names_delay_nobody(make_stack, relay, phone, pubkey):
    """A hundred a second, of one wildcard record, none of which answers; until there are more than
    slots. Neither a host that has answered before is delayed by them nor a new one elsewhere."""
    stack = many(make_stack, relay)
    stack.register(pubkey, phone.endpoint())
    quiet = [push_ms(relay, phone, pubkey) for _ in range(20)]
    with Tarpits() as tarpits, phones.Phone() as new:
        for i in range(400):
            one = nostr.new_pubkey()
            stack.register(one, tarpits.endpoint(f"x{i}"))
            stack.notify(one)
        attacked = [push_ms(relay, phone, pubkey) for _ in range(20)]
        newcomer = nostr.new_pubkey()
        stack.register(newcomer, f"http://new.localhost:{new.port}/up")
        first = push_ms(relay, new, newcomer)
    print(f"{max(quiet):.0f} ms before, {max(attacked):.0f}; {first:.0f} to a new host")
    assert statistics.median(attacked) < 2 * statistics.median(quiet) + 50
    # None waits for the slot of one that answers nothing for 5 s.
    assert max(*attacked, first) < 2 * max(quiet) + 2000
