"""How long a registration lives: a push that is delivered renews it, no other does, and neither does
one that another registration of the pubkey had caused. test_counts.py has how far, and the counts."""
import hashlib
import json
import threading

import pytest

import google as fcm
from phone import Answer
from stack import wait_until

HOUR_MS = 3_600_000
STEP_MS = 300_000
TTL_HOURS = 10
TOKEN = "fcm-token-1"


class Server:
    """The whole server. Phones register with a worker whose registrations live for one hour, while
    the listener's setting is ten."""

    def __init__(self, stack, phone, google):
        self.stack = stack
        self.redis = stack.redis
        self.phone = phone
        self.google = google
        self.tokens = {"FCM": TOKEN, "UnifiedPush": phone.endpoint()}

    def register(self, pubkey, backend):
        self.stack.register(pubkey, self.tokens[backend])
        assert self.lives_for(pubkey) <= HOUR_MS + STEP_MS

    def lives_for(self, pubkey):
        seconds, microseconds = self.redis.time()
        return (self.redis.pexpiretime(f"mostro:token:{pubkey}") - seconds * 1000 -
                microseconds // 1000)

    def is_renewed(self, pubkey):
        return TTL_HOURS * HOUR_MS - 30_000 < self.lives_for(pubkey) <= TTL_HOURS * HOUR_MS + STEP_MS

    def push(self, pubkey, backend, answers=(), gate=None):
        """A wake, whose push is answered so; returns when it has arrived."""
        if backend == "FCM":
            self.google.answer(TOKEN, [fcm.Refusal(each, "STATUS", "message") if each != 404 else
                                       fcm.UNREGISTERED for each in answers])
            if gate:
                self.google.hold(TOKEN, gate)
        else:
            self.phone.answer(self.tokens[backend],
                              [Answer(each) for each in answers] or [Answer(gate=gate)])
        self.stack.notify(pubkey)
        (self.google.next_message if backend == "FCM" else self.phone.next_push)()

    def count(self):
        return json.loads(self.stack.get("/api/status").body)["tokens"]["total"]


@pytest.fixture
def server(make_stack, relay, phone, google, google_settings):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", **google_settings)
    stack.start_redis()
    stack.start_api(TOKEN_TTL_HOURS="1")
    stack.start_listener(relay, TOKEN_TTL_HOURS=str(TTL_HOURS))
    return Server(stack, phone, google)


BACKENDS = pytest.mark.parametrize("backend", ["FCM", "UnifiedPush"])


@BACKENDS
def test_a_delivered_push_renews(server, pubkey, backend):
    server.register(pubkey, backend)
    before = server.redis.hgetall(f"mostro:token:{pubkey}")
    server.push(pubkey, backend)
    wait_until(lambda: server.is_renewed(pubkey))
    assert server.redis.hgetall(f"mostro:token:{pubkey}") == before
    assert server.count() == 1
    if backend == "UnifiedPush":
        device_id = hashlib.sha256(server.tokens[backend].encode()).hexdigest()[:32]
        assert server.redis.pexpiretime(f"mostro:endpoint:{device_id}") == \
            server.redis.pexpiretime(f"mostro:token:{pubkey}")


@BACKENDS
def test_a_push_that_is_refused_does_not(server, pubkey, backend):
    server.register(pubkey, backend)
    server.push(pubkey, backend, [413])
    server.stack.wait_until_idle()
    assert server.stack.is_registered(pubkey)
    assert server.lives_for(pubkey) <= HOUR_MS + STEP_MS


@BACKENDS
def test_nor_one_that_was_made_for_the_registration_before(server, pubkey, backend):
    gate = threading.Event()
    server.register(pubkey, backend)
    server.push(pubkey, backend, gate=gate)
    server.register(pubkey, backend)
    gate.set()
    server.stack.wait_until_idle()
    assert server.lives_for(pubkey) <= HOUR_MS + STEP_MS
    assert server.count() == 1


@BACKENDS
def test_one_that_was_renewed_may_turn_out_to_be_dead(server, pubkey, backend):
    server.register(pubkey, backend)
    server.push(pubkey, backend)
    wait_until(lambda: server.is_renewed(pubkey))
    server.push(pubkey, backend, [404])
    wait_until(lambda: not server.stack.is_registered(pubkey))
    assert server.count() == 0
    assert not server.redis.exists("mostro:endpoints")
