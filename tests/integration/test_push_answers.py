"""What an answer to a push leads to, on the wire, row by row: sent again and when, given up, or the
end of a registration. test_failures.py has the commonest rows."""
import collections
import contextlib
import email.utils
import re
import socket
import threading
import time

import pytest

import google as fcm
import nostr
import phone as phones
from distributors import Autopush, Distributor, Ntfy
from loopback import HOST
from stack import wait_until

TOKEN = "fcm-token-1"


def refusal(code, **headers):
    return fcm.Refusal(code, "STATUS", "message", headers=headers)


def in_seconds(seconds):
    """A date for Retry-After; it has no fractions."""
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


# How Retry-After is worded, when the next try comes at the earliest, and at the latest.
RETRY_AFTER = {
    "seconds": (lambda: "3", 2.9, 6),
    # Of which the way to the listener takes some, and the fraction.
    "date": (lambda: in_seconds(6), 2.9, 9),
    "date in the past": (lambda: in_seconds(-3600), 0, 3),
    "garbage": (lambda: "soon", 0, 3),
    "negative": (lambda: "-20", 0, 3),
}


@pytest.fixture
def registered(with_google, pubkey):
    with_google.register(pubkey, TOKEN)
    return pubkey


# ---- FCM


@pytest.mark.parametrize("code", [408, 425, 500, 502, 507])
def test_fcm_asks_for_another_try(with_google, google, registered, code):
    google.answer(TOKEN, [refusal(code)])
    with_google.notify(registered)
    google.next_message()
    google.next_message()
    with_google.wait_until_idle()
    assert len(google.messages) == 2
    assert with_google.is_registered(registered)


@pytest.mark.parametrize("wording", RETRY_AFTER)
def test_fcm_says_when(with_google, google, registered, wording):
    text, earliest, latest = RETRY_AFTER[wording]
    # A 429 that names no time means a minute.
    code = 408 if wording in ("garbage", "negative") else 429
    google.answer(TOKEN, [refusal(code, **{"Retry-After": text()})])
    with_google.notify(registered)
    first, second = google.next_message(), google.next_message()
    assert earliest <= second.arrived - first.arrived < latest


def test_fcm_asks_for_another_try_again_and_again(with_google, google, registered):
    """Each comes after a longer time at most; test_wake_queue.c has them to the last."""
    google.answer(TOKEN, [refusal(408)] * 2)
    with_google.notify(registered)
    arrived = [google.next_message(timeout=20).arrived for _ in range(3)]
    with_google.wait_until_idle()
    assert arrived[1] - arrived[0] < 3 and arrived[2] - arrived[1] < 8
    assert with_google.is_registered(registered)
    assert with_google.stat("wakes_given_up_fcm") == 0


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308, 400, 405, 409, 413])
def test_fcm_refuses_for_good(with_google, google, registered, code):
    """A redirection is never followed."""
    path = f"/v1/projects/{google.PROJECT}/messages:send"
    google.answer(TOKEN, [refusal(code, Location=f"{google.url}{path}")])
    with_google.notify(registered)
    google.next_message()
    with_google.wait_until_idle()
    assert len(google.messages) == 1 and google.rejected == []
    assert with_google.is_registered(registered)


def test_fcm_refuses_the_fresh_access_token_too(with_google, google, registered):
    google.answer(TOKEN, [fcm.UNAUTHENTICATED] * 9)
    with_google.notify(registered)
    first, second = google.next_message(), google.next_message()
    assert first.headers["Authorization"] != second.headers["Authorization"]
    with_google.wait_until_idle()
    assert len(google.messages) == 2
    assert with_google.is_registered(registered)


def test_many_refusals_of_one_access_token_cost_one_other(with_google, google):
    """Each of the pushes in flight hears of it, and is sent once more."""
    gate = threading.Event()
    tokens = [f"fcm-token-{i}" for i in range(20)]
    for token in tokens:
        google.hold(token, gate)
        google.answer(token, [fcm.UNAUTHENTICATED])
        one = nostr.new_pubkey()
        with_google.register(one, token)
        with_google.notify(one)
    # Over HTTP/1.1 there are but so many connections.
    wait_until(lambda: google.most_messages == 4)
    gate.set()
    with_google.wait_until_idle()
    assert collections.Counter(message.token for message in google.messages) == {
        token: 2 for token in tokens}
    assert google.most_oauth == 1


def register_while_one_dies(stack, google, pubkey, token):
    """While the push to TOKEN is in flight that is answered: dead."""
    gate = threading.Event()
    google.hold(TOKEN, gate)
    google.answer(TOKEN, [fcm.UNREGISTERED])
    stack.notify(pubkey)
    google.next_message()
    stack.register(pubkey, token)
    gate.set()


def test_a_dead_fcm_token_that_was_replaced_meanwhile(with_google, google, registered):
    register_while_one_dies(with_google, google, registered, "fcm-token-2")
    # The wake has not reached a phone yet.
    assert google.next_message().token == "fcm-token-2"
    with_google.wait_until_idle()
    assert with_google.is_registered(registered)


def test_a_dead_fcm_token_that_was_registered_again_meanwhile(with_google, google, registered):
    """It is asked once more whether it is dead."""
    register_while_one_dies(with_google, google, registered, TOKEN)
    assert google.next_message().token == TOKEN
    with_google.wait_until_idle()
    assert with_google.is_registered(registered)
    google.answer(TOKEN, [fcm.UNREGISTERED])
    with_google.notify(registered)
    google.next_message()
    with_google.wait_until_idle()
    assert not with_google.is_registered(registered)


@pytest.mark.parametrize("mistake", [fcm.SENDER_ID_MISMATCH, fcm.WRONG_PROJECT, fcm.NO_PERMISSION],
                         ids=lambda mistake: mistake.message)
def test_a_wrong_service_account_empties_no_registry(with_google, google, mistake):
    for i in range(12):
        one = nostr.new_pubkey()
        google.answer(f"fcm-token-{i}", [mistake] * 9)
        with_google.register(one, f"fcm-token-{i}")
        with_google.notify(one)
    wait_until(lambda: len(google.messages) >= 6, what="it is probed")
    assert '"total":12' in with_google.get("/api/status").body
    assert "FCM: it answers" in with_google.listener.output()
    assert with_google.stat("wakes_given_up_fcm") == 0


def test_fcm_is_down_for_a_while(with_google, relay, google):
    """No relay's wake is lost, and each phone is woken once when it is back."""
    wait_until(lambda: "an access token is at hand" in with_google.listener.output())
    google.stop()
    tokens = {nostr.new_pubkey(): f"fcm-token-{i}" for i in range(6)}
    for one, token in tokens.items():
        with_google.register(one, token)
    for n in range(4):
        for one in tokens:
            relay.publish(nostr.gift_wrap(one))
        wait_until(lambda: with_google.wakes_added() == (n + 1) * len(tokens))
    wait_until(lambda: "FCM is down (unreachable" in with_google.listener.output(), timeout=20)
    google.start()
    with_google.wait_until_idle(60)
    assert collections.Counter(message.token for message in google.messages) == {
        token: 1 for token in tokens.values()}
    assert all("notification" in message.message for message in google.messages)
    assert "FCM works again" in with_google.listener.output()


# ---- The life of a wake

LIFE = 3600  # of one by notify
LEFT = 3     # of it, in these tests


def queue_old_wake(stack, pubkey):
    """A wake that was due so long ago that it has LEFT seconds to live."""
    seconds, microseconds = stack.redis.time()
    due = seconds * 1000 + microseconds // 1000 - (LIFE - LEFT) * 1000
    stack.redis.xadd("mostro:wakes", {"pk": pubkey, "via": "notify", "not_before": due})


def test_a_wake_is_given_up_at_the_end_of_its_life(live, phone, pubkey, device):
    phone.answer(device, [phones.Answer(503, {"Retry-After": str(LEFT + 1)})])
    queue_old_wake(live, pubkey)
    phone.next_push()
    live.wait_until_idle()
    wait_until(lambda: live.stat("wakes_given_up_unifiedpush") == 1)
    assert len(phone.pushes) == 1


def test_a_wake_grows_older_while_fcm_is_down(with_google, google):
    wait_until(lambda: "an access token is at hand" in with_google.listener.output())
    google.stop()
    tokens = {nostr.new_pubkey(): f"fcm-token-{i}" for i in range(6)}
    for one, token in tokens.items():
        with_google.register(one, token)
    *others, old = tokens
    for one in others:
        with_google.notify(one)
    wait_until(lambda: "FCM is down (unreachable" in with_google.listener.output(), timeout=20)
    queue_old_wake(with_google, old)
    time.sleep(LEFT + 1)
    google.start()
    with_google.wait_until_idle(60)
    assert {message.token for message in google.messages} == {tokens[one] for one in others}
    wait_until(lambda: with_google.stat("wakes_given_up_fcm") == 1)


def test_a_wake_grows_older_without_an_access_token(make_stack, relay, google, google_settings,
                                                    pubkey):
    gate = threading.Event()
    google.hold_oauth(gate)
    stack = make_stack(**google_settings)
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    stack.register(pubkey, TOKEN)
    queue_old_wake(stack, pubkey)
    time.sleep(LEFT + 1)
    gate.set()
    wait_until(lambda: stack.stat("wakes_given_up_fcm") == 1, timeout=20)
    assert google.messages == []


def persist(stack):
    """Nobody uses such a Redis."""
    stack.redis.config_set("save", "3600 1")
    stack.redis.client_kill_filter(_type="normal", skipme=True)
    return lambda: stack.redis.config_set("save", "")


def call_nothing(stack):
    """Wakes can still be read, but nothing can be looked up."""
    stack.redis.execute_command("ACL", "SETUSER", "default", "-fcall")
    return lambda: stack.redis.execute_command("ACL", "SETUSER", "default", "+fcall")


@pytest.mark.parametrize("spoil", [persist, call_nothing])
def test_a_wake_grows_older_while_redis_may_not_be_used(live, phone, pubkey, device, spoil):
    phone.answer(device, [phones.Answer(503, {"Retry-After": "2"})])
    queue_old_wake(live, pubkey)
    phone.next_push()
    repair = spoil(live)
    time.sleep(LEFT + 1)
    assert len(phone.pushes) == 1
    repair()
    wait_until(lambda: live.stat("wakes_given_up_unifiedpush") == 1)
    assert len(phone.pushes) == 1


# ---- UnifiedPush


@pytest.mark.parametrize("wording", RETRY_AFTER)
def test_a_distributor_says_when(live, phone, pubkey, device, wording):
    text, earliest, latest = RETRY_AFTER[wording]
    phone.answer(device, [phones.Answer(503, {"Retry-After": text()})])
    live.notify(pubkey)
    first, second = phone.next_push(), phone.next_push()
    assert earliest <= second.arrived - first.arrived < latest


def test_a_429_holds_back_its_endpoint_alone(live, phone, pubkey, device):
    """Not the others of that distributor; but whatever trade key of that phone's is to be woken."""
    another_key = nostr.new_pubkey()
    live.register(another_key, device)
    phone.answer(device, [phones.Answer(429, {"Retry-After": "4"})])
    live.notify(pubkey)
    refused = phone.next_push()
    wait_until(lambda: live.stat("push_retries") == 1)
    live.notify(another_key)
    # At once: one after the other they could take as long as the one that is held back.
    others = {nostr.new_pubkey(): phone.endpoint() for _ in range(5)}
    for other, endpoint in others.items():
        live.register(other, endpoint)
        live.notify(other)
    assert {phone.url + phone.next_push().path for _ in others} == set(others.values())
    for _ in range(2):
        again = phone.next_push()
        assert phone.url + again.path == device
        assert again.arrived - refused.arrived > 3.9
    live.wait_until_idle()


def told(stack):
    """What the log says of distributors."""
    return re.findall(r"(warn|info): UnifiedPush: (.*)", stack.listener.output())


def test_autopush_is_sent_an_empty_message_for_one_in_the_clear(live, pubkey):
    """At once, for it is no try again; and nothing has failed."""
    with Autopush() as autopush:
        live.register(pubkey, autopush.endpoint())
        live.notify(pubkey)
        clear, empty = autopush.next_push(), autopush.next_push()
        assert clear.json["type"] == "silent_wake" and empty.body == b""
        assert empty.path == clear.path
        assert "Content-Type" not in empty.headers and "Content-Encoding" not in empty.headers
        assert empty.headers["TTL"] == "86400" and empty.headers["Urgency"] == "high"
        wait_until(lambda: live.stat("wakes_delivered_unifiedpush") == 1)
        assert len(autopush.pushes) == 2 and live.stat("push_retries") == 0
    assert told(live) == []
    assert live.is_registered(pubkey)


def test_a_distributor_that_refuses_is_named_once_an_hour(live, phone, pubkey):
    """With the status and autopush's own number for it, and nothing that is a device's."""
    with Autopush(keyed=True) as autopush:
        keys = [pubkey, *(nostr.new_pubkey() for _ in range(3))]
        for n, one in enumerate(keys, 1):
            live.register(one, autopush.endpoint())
            live.notify(one)
            wait_until(lambda: live.stat("wakes_given_up_unifiedpush") == n)
        assert len(autopush.pushes) == len(keys)
        assert told(live) == [("warn", "localhost answers 401, errno 109")]
    assert all(live.is_registered(one) for one in keys)


@pytest.mark.parametrize("answer, line", [
    (403, "localhost answers 403"),
    (phones.Answer(413, body=b'{"errno": 104}'), "localhost answers 413, errno 104"),
    (phones.Answer(413, body=b'{"errno": "104 planted"}'), "localhost answers 413"),
    (507, "localhost answers 507"),
    (302, "localhost answers 302"),
    (429, "localhost answers 429"),
], ids=["403", "errno", "no errno", "507", "302", "429"])
def test_a_failure_is_told(live, pubkey, answer, line):
    with Distributor() as distributor:
        endpoint = distributor.endpoint()
        distributor.answer(endpoint.removeprefix(distributor.url_by_name), [answer])
        live.register(pubkey, endpoint)
        live.notify(pubkey)
        distributor.next_push()
        wait_until(lambda: told(live))
        assert told(live) == [("warn", line)]


def test_a_failure_without_an_answer_is_told(live, pubkey):
    with Distributor() as distributor:
        distributor.stop()
        live.register(pubkey, distributor.endpoint())
        live.notify(pubkey)
        wait_until(lambda: told(live))
        assert told(live) == [("warn", "localhost cannot be reached")]


def test_a_dead_endpoint_is_no_failure(live, phone, pubkey, device):
    phone.answer(device, [410])
    live.notify(pubkey)
    wait_until(lambda: not live.is_registered(pubkey))
    assert told(live) == []


def test_a_crowd_at_an_ntfy_is_woken_to_the_last(live, phone, pubkey):
    """A hundred at once, where it takes 60 of one sender and then so many: what it refuses waits, and
    holds up nobody else's phone."""
    live.register(pubkey, phone.endpoint())
    with Ntfy(refill=0.4) as ntfy:
        crowd = {nostr.new_pubkey(): ntfy.endpoint() for _ in range(100)}
        for one, endpoint in crowd.items():
            live.register(one, endpoint)
        for one in crowd:
            live.notify(one)
        wait_until(lambda: ntfy.refused > 0)
        live.notify(pubkey)
        phone.next_push(timeout=5)  # before the last of the crowd
        live.wait_until_idle(60)
        times = collections.Counter(push.path for push in ntfy.pushes)
        assert len(times) == 100
        assert sum(times.values()) == 100 + ntfy.refused
        # It is asked so often, and not each wake by itself.
        assert ntfy.refused < 40
    wait_until(lambda: live.stat("wakes_delivered_unifiedpush") == 101)
    assert live.stat("wakes_given_up_unifiedpush") == 0
    assert told(live) == [("warn", "localhost answers 429")]


@pytest.mark.parametrize("status, stays", [("201 Created", True), ("410 Gone", False)])
def test_an_answer_is_not_read_to_its_end(live, pubkey, status, stays):
    """Nor waited for: with the first byte after 4 KB the connection is closed."""
    with socket.create_server((HOST, 0)) as server:
        server.settimeout(10)
        live.register(pubkey, f"http://{HOST}:{server.getsockname()[1]}/up")
        live.notify(pubkey)
        connection, _ = server.accept()
        with connection:
            connection.settimeout(3)
            while b"silent_wake" not in connection.recv(65536):
                pass
            connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 1000000\r\n\r\n".encode() +
                               b"x" * 4097)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""
    live.wait_until_idle()
    assert live.is_registered(pubkey) == stays
