"""What keeps one push from costing another: slow distributors, a backend that is away, and a
connection or an acknowledgement to Redis that gets lost."""
import contextlib
import re
import signal
import socket
import threading
import time

import pytest

import nostr
import phone as phones
from stack import wait_until


def arrives_within(phone, seconds):
    """The next push, which must not take longer."""
    began = time.monotonic()
    push = phone.next_push(timeout=30)
    assert time.monotonic() - began < seconds
    return push


# ---- Slow distributors


def test_silent_distributors_hold_up_no_other(make_stack, relay, phone, pubkey):
    """That have never answered: they share half of the slots, however many wakes they have."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", PUSH_MAX_IN_FLIGHT="8")
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    stack.register(pubkey, phone.endpoint())
    stack.notify(pubkey)
    phone.next_push()
    gate = threading.Event()
    with contextlib.ExitStack() as peers:
        silent = [peers.enter_context(phones.Phone()) for _ in range(2)]
        peers.callback(gate.set)
        for i in range(40):
            other, endpoint = nostr.new_pubkey(), silent[i % 2].endpoint()
            silent[i % 2].answer(endpoint, [phones.Answer(gate=gate)] * 9)
            stack.register(other, endpoint)
            relay.deliver(nostr.gift_wrap(other))
        wait_until(lambda: stack.stat("push_retries") >= 2, what="the first have timed out")
        stack.notify(pubkey)
        arrives_within(phone, 2.5)
        stack.listener.kill()


# ---- FCM is away


WAITING = 15  # wakes that wait for FCM


@pytest.fixture
def without_fcm(make_stack, relay, phone, google, google_settings):
    """The server while FCM cannot be reached, and knows it. Its queue is half full at 40."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", WAKES_MAX="80",
                       **{**google_settings, "FCM_ENDPOINT": "https://127.0.0.1:1"})
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    for i in range(WAITING):
        one = nostr.new_pubkey()
        stack.register(one, f"fcm-token-{i}")
        stack.notify(one)
        if i == 3:
            wait_until(lambda: "FCM is down (unreachable" in stack.listener.output(), timeout=20)
    return stack


def have_it_wait_for_fcm(stack, phone, pubkey):
    stack.register(pubkey, "fcm-token-of-this-phone")
    stack.notify(pubkey)
    # Wakes are looked at in order: when this one's push comes, that one has been.
    other = nostr.new_pubkey()
    stack.register(other, phone.endpoint())
    stack.notify(other)
    phone.next_push()
    wait_until(lambda: stack.wakes_queued() == WAITING + 1)


def test_wakes_that_wait_for_fcm_leave_the_queue_to_others(without_fcm, relay, phone, pubkey):
    one = nostr.new_pubkey()
    without_fcm.register(one, "fcm-token-of-one")
    for n in range(1, 9):
        relay.deliver(nostr.gift_wrap(one))
        for _ in range(9):
            assert without_fcm.notify(one).status == 202
        # Taken later it would spend what the next ones may.
        wait_until(lambda: without_fcm.redis.zcard(f"mostro:woke:{one}") == n)
        without_fcm.redis.delete(f"mostro:limit:pubkey:{one}")  # as if time had passed
        wait_until(lambda: without_fcm.wakes_queued() <= WAITING + 3)
    without_fcm.register(pubkey, phone.endpoint())
    assert without_fcm.notify(pubkey).status == 202
    phone.next_push()
    wait_until(lambda: without_fcm.stat("wakes_merged") >= 8 * 10 - 2)


def test_who_moves_away_from_fcm_does_not_wait_for_it(without_fcm, phone, pubkey):
    have_it_wait_for_fcm(without_fcm, phone, pubkey)
    endpoint = phone.endpoint()
    without_fcm.register(pubkey, endpoint)
    assert phone.url + phone.next_push().path == endpoint
    wait_until(lambda: without_fcm.wakes_queued() == WAITING)


def test_who_unregisters_does_not_wait_for_fcm(without_fcm, phone, pubkey):
    have_it_wait_for_fcm(without_fcm, phone, pubkey)
    without_fcm.post("/api/unregister", {"trade_pubkey": pubkey})
    wait_until(lambda: without_fcm.wakes_queued() == WAITING)


def test_a_wake_that_waits_is_looked_up_anew(without_fcm, relay, pubkey):
    """Though its registration came with it."""
    without_fcm.register(pubkey, "fcm-token-of-this-phone")
    relay.deliver(nostr.gift_wrap(pubkey))
    wait_until(lambda: without_fcm.wakes_waiting() == WAITING + 1)
    without_fcm.post("/api/unregister", {"trade_pubkey": pubkey})
    wait_until(lambda: without_fcm.wakes_queued() == WAITING)


# ---- Redis


class LossyLine:
    """Passes connections on to Redis. The end of one that is cut is never heard of there, and what
    it waits for there it waits for at length."""

    def __init__(self, directory, redis_socket):
        self.path = directory / "line.sock"
        self._redis_socket = str(redis_socket)
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.path))
        self._server.listen(16)
        self._armed = False
        self._sockets = []
        self._dead = None
        self.cut = threading.Event()
        self.lost = b""  # what Redis has said on the connection that was cut
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_the_next_wait(self):
        """As soon as Redis is asked to wait for new wakes."""
        self._armed = True

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                redis = socket.socket(socket.AF_UNIX)
                redis.connect(self._redis_socket)
                self._sockets += [client, redis]
                threading.Thread(target=self._up, args=(client, redis), daemon=True).start()
                threading.Thread(target=self._down, args=(client, redis), daemon=True).start()

    def _up(self, client, redis):
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                is_last = self._armed and b"BLOCK" in data
                if is_last:
                    data, found = re.subn(rb"(BLOCK\r\n)\$\d+\r\n\d+", rb"\1$5\r\n30000", data)
                    assert found == 1, data
                redis.sendall(data)
                if is_last:
                    self._armed = False
                    self._dead = redis
                    client.shutdown(socket.SHUT_RDWR)
                    self.cut.set()
                    return
            redis.shutdown(socket.SHUT_RDWR)

    def _down(self, client, redis):
        with contextlib.suppress(OSError):
            while data := redis.recv(65536):
                if self.cut.is_set() and redis is self._dead:
                    self.lost += data
                else:
                    client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        for one in [self._server, *self._sockets]:
            one.close()


def test_a_wake_that_went_to_a_dead_connection(make_stack, relay, phone, pubkey):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
    stack.start_redis()
    stack.start_api()
    with contextlib.closing(LossyLine(stack.directory, stack.socket)) as line:
        stack.start_listener(relay, REDIS_URL=f"unix://{line.path}")
        stack.register(pubkey, phone.endpoint())
        line.cut_the_next_wait()
        assert line.cut.wait(10)
        # The listener waits again; for Redis the connection before it does, too, and is first.
        wait_until(lambda: stack.redis.info("clients")["blocked_clients"] == 2)
        stack.notify(pubkey)
        wait_until(lambda: pubkey.encode() in line.lost)
        phone.next_push(timeout=10)
        stack.wait_until_idle()
        assert len(phone.pushes) == 1
        stack.listener.stop()


def test_a_stop_waits_for_a_redis_that_pauses(live, phone, pubkey, device):
    """Otherwise the next listener would push again."""
    other, endpoint = nostr.new_pubkey(), phone.endpoint()
    live.register(other, endpoint)
    gates = [threading.Event(), threading.Event()]
    for one, where, gate in zip((pubkey, other), (device, endpoint), gates):
        phone.answer(where, [phones.Answer(gate=gate)])
        live.notify(one)
        phone.next_push()
    live.listener.send_signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in live.listener.output())
    live.redis_server.send_signal(signal.SIGSTOP)
    # While the first is being acknowledged, in vain, the second comes to its end.
    for n, gate in enumerate(gates):
        gate.set()
        wait_until(lambda: live.listener.output().count(": delivered") == n + 1)
    live.redis_server.send_signal(signal.SIGCONT)
    assert live.listener.wait() == 0
    assert live.wakes_queued() == 0
