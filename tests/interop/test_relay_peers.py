"""The listener at a relay that nobody here wrote (npm's @nostr-relay), for gift wraps that nobody
here made (npm's nostr-tools)."""
import contextlib
import json
import pathlib
import subprocess
import threading

import pytest

import nostr
from stack import wait_until

HERE = pathlib.Path(__file__).resolve().parent
ASKED = {"kinds": [nostr.GIFT_WRAP], "limit": 1}


class Peer:
    """A process of nostr-relay.cjs; `messages` are the REQs and AUTHs that it has received."""

    def __init__(self, process):
        self._process = process
        self.url = process.stdout.readline().strip()
        self.messages = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            self.messages.append(json.loads(line))

    def reqs(self):
        return [message for message in list(self.messages) if message[0] == "REQ"]

    def auths(self):
        return [message[1] for message in list(self.messages) if message[0] == "AUTH"]


@pytest.fixture
def start_peer(node):
    """start_peer(option=value, ...) -> a Peer; for the options see nostr-relay.cjs."""
    with contextlib.ExitStack() as peers:
        def start(**options):
            process = peers.enter_context(subprocess.Popen(
                ["node", HERE / "nostr-relay.cjs", json.dumps(options)], env=node, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            peers.callback(process.stdin.close)
            return Peer(process)
        yield start


@pytest.fixture
def publish(node):
    """publish(peer, pubkey, how, size) publishes a gift wrap; see publish-wraps.cjs."""
    def publish(peer, pubkey, how="nip59", size=32):
        subprocess.run(["node", HERE / "publish-wraps.cjs", peer.url, pubkey, how, str(size)],
                       env=node, check=True, timeout=20)
    return publish


@pytest.fixture
def start(make_stack, phone):
    """start(peer, SETTING="value", ...) -> a stack whose listener is subscribed to gift wraps."""
    def start(peer, subscribed=True, **settings):
        stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", **settings)
        stack.start_redis()
        stack.start_api()
        stack.spawn_listener([peer.url])
        stack.wait_for_heartbeat()
        if subscribed:
            wait_until(lambda: "subscribed to kind 1059" in stack.listener.output(),
                       what="the listener is subscribed")
        return stack
    return start


def check_wake(stack, phone, pubkey, wake):
    endpoint = phone.endpoint()
    stack.register(pubkey, endpoint)
    wake()
    assert phone.url + phone.next_push().path == endpoint
    stack.wait_until_idle()
    assert len(phone.pushes) == 1


@pytest.mark.parametrize("how, size", [("nip59", 1), ("nip59", 10_000), ("nip17", 1),
                                       ("nip17", 10_000)])
def test_a_gift_wrap_wakes(start_peer, publish, start, phone, pubkey, how, size):
    peer = start_peer()
    stack = start(peer)
    check_wake(stack, phone, pubkey, lambda: publish(peer, pubkey, how, size))
    assert ASKED in [req[2] for req in peer.reqs()]


def test_a_relay_that_would_compress(start_peer, publish, start, phone, pubkey):
    """Long messages, and no short ones, for whom it may."""
    peer = start_peer(compresses=True)
    stack = start(peer)
    check_wake(stack, phone, pubkey, lambda: publish(peer, pubkey, size=10_000))


def test_a_gift_wrap_that_was_missed_wakes_later(start_peer, publish, start, phone, pubkey):
    peer = start_peer()
    stack = start(peer)
    stack.register(pubkey, phone.endpoint())
    # Where it has got to is noted now and then; from there it asks after a restart.
    wait_until(lambda: stack.redis.exists(f"mostro:cursor:{peer.url}:1059"), 30, "a cursor")
    assert stack.listener.stop() == 0
    publish(peer, pubkey)
    stack.spawn_listener([peer.url])
    phone.next_push(timeout=20)
    stack.wait_until_idle()
    assert len(phone.pushes) == 1


# ---- Authentication


KEY = nostr.Key()
AUTH = ["connect", "req"]


@pytest.mark.parametrize("auth", AUTH)
def test_a_relay_that_anyone_may_read_who_authenticates(start_peer, publish, start, phone, pubkey,
                                                        auth):
    peer = start_peer(auth=auth)
    stack = start(peer)
    check_wake(stack, phone, pubkey, lambda: publish(peer, pubkey))
    assert len(peer.auths()) == 1


@pytest.mark.parametrize("auth", AUTH)
def test_a_relay_that_a_known_key_may_read(start_peer, publish, start, phone, pubkey, auth):
    peer = start_peer(auth=auth, admits=[KEY.pubkey])
    stack = start(peer, NOSTR_AUTH_PRIVATE_KEY=KEY.secret.hex())
    check_wake(stack, phone, pubkey, lambda: publish(peer, pubkey))
    assert [event["pubkey"] for event in peer.auths()] == [KEY.pubkey]
    assert KEY.secret.hex() not in stack.listener.output()


@pytest.mark.parametrize("auth", AUTH)
def test_a_relay_that_others_may_read(start_peer, publish, start, phone, pubkey, auth):
    """The operator is told, and what it does show still wakes."""
    peer = start_peer(auth=auth, admits=[KEY.pubkey])
    stack = start(peer, subscribed=False)
    wait_until(lambda: "restricted: for others" in stack.listener.output(),
               what="a line that says so")
    wait_until(lambda: "subscribed to kind 14" in stack.listener.output())
    check_wake(stack, phone, pubkey,
               lambda: nostr.publish(peer.url, nostr.direct_message(pubkey)))
    assert "subscribed to kind 1059" not in stack.listener.output()
    assert peer.auths()[0]["pubkey"] != KEY.pubkey


@pytest.mark.parametrize("auth", AUTH)
def test_without_a_key_each_connection_has_its_own(start_peer, start, auth):
    peers = [start_peer(auth=auth), start_peer(auth=auth)]
    for peer in peers:
        start(peer)
        wait_until(peer.auths, what="the peer tells of our AUTH")
    assert len({event["pubkey"] for peer in peers for event in peer.auths()}) == 2
