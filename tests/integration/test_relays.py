"""What relays say that they should not, or say oddly: it has no effect, is counted, and costs the
connection nothing. And what a listener needs to be let in by them."""
import hashlib
import json
import socket
import threading
import time
import zlib

import pytest

import nostr
from loopback import HOST
from relay import BINARY, CLOSE, PING, PONG, Relay, wire_frame, wire_frames
from stack import LISTENER, wait_until

CONTENT = "x" * 2000


@pytest.fixture
def relay(request):
    """One that compresses nothing, unless it is asked for by parametrize(..., indirect=True)."""
    with Relay(compression=getattr(request, "param", None)) as relay:
        yield relay


def name_of(relay):
    """The subscription of gift wraps."""
    return next(req[1] for req in relay.reqs() if req[2]["kinds"] == [nostr.GIFT_WRAP])


def frame_of(relay, event):
    """The frame that brings an event, which may be JSON text already."""
    text = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
    return f'["EVENT","{name_of(relay)}",{text}]'


def wrap(pubkey, write_author=str, **changes):
    """A gift wrap with changes that are signed as if they were in order."""
    event = {"pubkey": "", "created_at": 1785600000, "kind": nostr.GIFT_WRAP,
             "tags": [["p", pubkey]], "content": CONTENT, **changes}
    return sign(event, canonical(event), write_author)


def canonical(event):
    return json.dumps([0, "PUBKEY", event["created_at"], event["kind"], event["tags"],
                       event["content"]], ensure_ascii=False, separators=(",", ":")).encode()


def sign(event, text, write_author=str):
    """The event with the id that this canonical form has, and a signature that is right for it."""
    key = nostr.Key()
    author = write_author(key.pubkey)
    digest = hashlib.sha256(text.replace(b"PUBKEY", author.encode(), 1)).digest()
    return {**event, "pubkey": author, "id": digest.hex(), "sig": key.sign(digest)}


def check_nothing_happened(live, relay, phone, pushes=0):
    """An event of another's, on the same connection, comes through; nothing else was pushed."""
    pubkey, endpoint = nostr.new_pubkey(), phone.endpoint()
    live.register(pubkey, endpoint)
    relay.deliver(nostr.gift_wrap(pubkey))
    wait_until(lambda: any(phone.url + push.path == endpoint for push in list(phone.pushes)),
               what="the push of an event in order")
    live.wait_until_idle()
    assert len(phone.pushes) == pushes + 1
    assert live.wakes_added() == pushes + 1
    assert relay.accepted == 1 and len(relay.reqs()) == 2


def event_stats(live):
    return tuple(live.stat(f"events_{what}") for what in ("received", "invalid", "taken"))


# ---- Being connected


class RefusingServer:
    """Answers every request with one HTTP status, and closes."""

    def __init__(self, status):
        self._answer = (f"HTTP/1.1 {status} Whatever\r\nLocation: ws://{HOST}:1/\r\n"
                        "Content-Length: 2\r\nConnection: close\r\n\r\nno").encode()
        self._server = socket.create_server((HOST, 0))
        self.url = f"ws://{HOST}:{self._server.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _run(self):
        while True:
            try:
                client = self._server.accept()[0]
            except OSError:
                return
            with client:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += client.recv(65536)
                client.sendall(self._answer)


@pytest.mark.parametrize("status", [200, 301, 307, 400, 401, 403, 404, 426, 429, 500, 503])
def test_an_upgrade_that_is_refused(make_stack, status):
    """A redirected relay is not followed to the other place."""
    with RefusingServer(status) as server:
        stack = make_stack()
        stack.start_redis()
        stack.spawn_listener([server.url])
        said = f"cannot connect: it refused the upgrade with HTTP status {status}; next attempt in"
        wait_until(lambda: said in stack.listener.output())


def test_a_relay_that_says_why_it_leaves(live, relay):
    """Its words are shown, and nothing in them that could be a secret."""
    key = nostr.new_pubkey()
    relay.send_wire(wire_frame(b"\x03\xf0" + f"timed out, {key}".encode(), CLOSE))
    said = "disconnected: it closed the connection (1008: timed out, [...]); next attempt in"
    wait_until(lambda: said in live.listener.output())
    assert key not in live.listener.output()


def test_a_relay_that_never_ends_limit_0(make_stack, phone, pubkey):
    """nostr-rs-relay answers `limit:0` with no EOSE."""
    with Relay(answers_limit_0=False) as relay:
        stack = start_stack(make_stack, relay)
        stack.register(pubkey, phone.endpoint())
        relay.publish(nostr.gift_wrap(pubkey))
        phone.next_push(timeout=5)


def is_connected(stack):
    return stack.redis.hget("mostro:listener:listener-1", "relays_connected") == "1"


@pytest.mark.parametrize("after", [None, 21], ids=["never", "late"])
def test_eose_that_does_not_come_in_time(make_stack, phone, after):
    """After 20 s events are new even without EOSE; earlier ones are told apart by their dates."""
    old, meanwhile, late = pubkeys = [nostr.new_pubkey() for _ in range(3)]
    endpoints = {pubkey: phone.endpoint() for pubkey in pubkeys}
    with Relay(eose_after=after) as relay:
        relay.publish(nostr.direct_message(old, created_at=int(time.time()) - 2))
        stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", LOG_LEVEL="info",
                           NOSTR_EVENT_KINDS="14")
        stack.start_redis()
        stack.start_api()
        for pubkey, endpoint in endpoints.items():
            stack.register(pubkey, endpoint)
        stack.start_listener(relay, kinds=1)
        time.sleep(2)  # until another second is written into events
        relay.publish(nostr.direct_message(meanwhile))
        wait_until(lambda: "have not ended in time" in stack.listener.output(), 25)
        assert phone.url + phone.next_push().path == endpoints[meanwhile]
        wait_until(lambda: stack.get("/api/ready").status == 200, 15)
        if after:
            relay.wait_until(lambda r: r.reqs()[0][1] in r.ended)
        for _ in range(2):
            relay.publish(nostr.direct_message(late))
            assert phone.url + phone.next_push().path == endpoints[late]
        stack.wait_until_idle()
        assert len(phone.pushes) == 3
        assert len([req for req in relay.reqs() if "since" not in req[2]]) == 1
        assert relay.accepted == 1


@pytest.mark.parametrize("goes_live", [False, True], ids=["refused", "live for a moment"])
def test_a_relay_that_lets_no_subscription_live(make_stack, goes_live):
    """It does not count as connected, although its WebSocket is open."""
    with Relay() as relay:
        if not goes_live:
            relay.refuse_reqs("blocked: no", 100)
        stack = start_stack(make_stack, relay)
        if goes_live:
            wait_until(lambda: stack.get("/api/ready").status == 200, 15)
            relay.refuse_reqs("blocked: no", 100)
            relay.close_subscriptions("blocked: no")
        wait_until(lambda: stack.listener.output().count("was closed (blocked: no)") == 2)
        wait_until(lambda: not is_connected(stack), 15)
        wait_until(lambda: stack.get("/api/ready").status == 503)
        assert relay.connections == 1


def start_stack(make_stack, relay):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", LOG_LEVEL="info")
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    return stack


# ---- Frames in pieces


ODD_CONTENT = "\u00fc\U0001f600\"\n" * 100
PIECES = {
    "16 bytes a frame": lambda relay, text: relay.send_wire(wire_frames(text.encode(), 16)),
    "16 bytes a segment": lambda relay, text: relay.send_wire(wire_frame(text.encode()), 16),
    "16 bytes a frame, 1 a segment":
        lambda relay, text: relay.send_wire(wire_frames(text.encode(), 16), 1),
    "an empty frame first": lambda relay, text:
        relay.send_wire(wire_frame(b"", final=False) + wire_frame(text.encode(), 0)),
}


@pytest.mark.parametrize("how", PIECES)
def test_an_event_in_pieces(live, relay, phone, pubkey, device, how):
    PIECES[how](relay, frame_of(relay, wrap(pubkey, content=ODD_CONTENT)))
    # Some are more than a thousand, with a rest after each.
    assert phone.url + phone.next_push(timeout=40).path == device
    check_nothing_happened(live, relay, phone, pushes=1)


@pytest.mark.parametrize("relay", ["deflate"], indirect=True)
def test_a_relay_that_would_compress(live, relay, phone, pubkey, device):
    """We do not offer compression: see websocket.h."""
    assert not relay.compresses
    relay.send_raw(frame_of(relay, wrap(pubkey, content="x" * 100_000)))
    assert phone.url + phone.next_push().path == device
    check_nothing_happened(live, relay, phone, pushes=1)


def test_a_frame_that_is_compressed_unasked(live, relay, phone, pubkey, device):
    """Its reserved bit means nothing that was agreed on (RFC 6455, 5.2): the connection is cut."""
    text = frame_of(relay, wrap(pubkey)).encode()
    frame = bytearray(wire_frame(zlib.compress(text)[2:-4]))
    frame[0] |= 0x40
    relay.send_wire(bytes(frame))
    relay.wait_for_req(4, timeout=20)
    relay.deliver(wrap(pubkey))
    phone.next_push()
    live.wait_until_idle()
    assert len(phone.pushes) == 1


@pytest.mark.parametrize("opcode", [PING, PONG], ids=["ping", "pong"])
def test_a_ping_or_pong_with_something_in_it(live, relay, phone, pubkey, device, opcode):
    relay.send_wire(wire_frame(b"something", opcode))
    check_nothing_happened(live, relay, phone)


# ---- Frames that are none


def invalid_utf8(relay, pubkey, byte):
    """An event in order, but for its content; a reader that takes bytes as they come would find
    everything right."""
    event = {"pubkey": "", "created_at": 1785600000, "kind": nostr.GIFT_WRAP,
             "tags": [["p", pubkey]], "content": "INVALID"}
    event = sign(event, canonical(event).replace(b"INVALID", byte))
    return wire_frame(frame_of(relay, event).encode().replace(b"INVALID", byte))


def deeply_nested(event):
    """With a field beyond those that are known."""
    return json.dumps(event)[:-1] + ',"x":' + "[" * 10000 + "]" * 10000 + "}"


def sent_twice(event, field):
    """A JSON object with one key twice, the better value last."""
    return json.dumps({field: "", **{f"{name} ": value for name, value in event.items()}}
                      ).replace(' ":', '":')


UNUSABLE = {
    "binary": lambda relay, pubkey:
        wire_frame(frame_of(relay, wrap(pubkey)).encode(), BINARY),
    "binary in pieces": lambda relay, pubkey:
        wire_frames(frame_of(relay, wrap(pubkey)).encode(), 16, BINARY),
    "no UTF-8": lambda relay, pubkey: invalid_utf8(relay, pubkey, b"\xff"),
    "UTF-8 cut off": lambda relay, pubkey: invalid_utf8(relay, pubkey, b"\xc3"),
    "overlong UTF-8": lambda relay, pubkey: invalid_utf8(relay, pubkey, b"\xc1\xa1"),
    "a surrogate in UTF-8": lambda relay, pubkey: invalid_utf8(relay, pubkey, b"\xed\xa0\x80"),
    "a raw control character": lambda relay, pubkey: invalid_utf8(relay, pubkey, b"\x01"),
    "a raw NUL": lambda relay, pubkey: invalid_utf8(relay, pubkey, b"\x00"),
    "a content of 1 MB": lambda relay, pubkey:
        wire_frame(frame_of(relay, wrap(pubkey, content="x" * (1 << 20))).encode()),
    "a content of 1 MB in pieces": lambda relay, pubkey:
        wire_frames(frame_of(relay, wrap(pubkey, content="x" * (1 << 20))).encode(), 1000),
    "deep nesting": lambda relay, pubkey:
        wire_frame(frame_of(relay, deeply_nested(wrap(pubkey))).encode()),
    "a key twice": lambda relay, pubkey:
        wire_frame(frame_of(relay, sent_twice(wrap(pubkey), "content")).encode()),
    "text after it": lambda relay, pubkey:
        wire_frame(frame_of(relay, wrap(pubkey)).encode() + b"[]"),
    "an end too early": lambda relay, pubkey:
        wire_frame(frame_of(relay, wrap(pubkey)).encode()[:-1]),
    "an empty frame": lambda relay, pubkey: wire_frame(b""),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_frame_that_is_none(live, relay, phone, pubkey, device, what):
    relay.send_wire(UNUSABLE[what](relay, pubkey))
    check_nothing_happened(live, relay, phone)


# ---- Events that are none


UNSOUND = {
    "an id in upper case": lambda pubkey: {**(event := wrap(pubkey)), "id": event["id"].upper()},
    "a signature in upper case": lambda pubkey:
        {**(event := wrap(pubkey)), "sig": event["sig"].upper()},
    "an author in upper case": lambda pubkey: wrap(pubkey, write_author=str.upper),
    "an id too long": lambda pubkey: {**(event := wrap(pubkey)), "id": event["id"] + "00"},
    "an id too short": lambda pubkey: {**(event := wrap(pubkey)), "id": event["id"][:-2]},
    "a signature too long": lambda pubkey: {**(event := wrap(pubkey)), "sig": event["sig"] + "00"},
    "a signature too short": lambda pubkey: {**(event := wrap(pubkey)), "sig": event["sig"][:-2]},
    "another's id": lambda pubkey: {**wrap(pubkey), "id": wrap(pubkey)["id"]},
    "another's signature": lambda pubkey: {**wrap(pubkey), "sig": wrap(pubkey)["sig"]},
    "another content": lambda pubkey: {**wrap(pubkey), "content": CONTENT + "x"},
    "a time with a fraction": lambda pubkey: wrap(pubkey, created_at=1785600000.5),
    "a time as 1785600000.0": lambda pubkey: wrap(pubkey, created_at=1785600000.0),
    "a time in quotes": lambda pubkey: wrap(pubkey, created_at="1785600000"),
    "a time before 1970": lambda pubkey: wrap(pubkey, created_at=-1),
    "a number in a tag": lambda pubkey: wrap(pubkey, tags=[["p", pubkey], ["t", 1]]),
    "null in a tag": lambda pubkey: wrap(pubkey, tags=[["p", pubkey, None]]),
    "a tag in a tag": lambda pubkey: wrap(pubkey, tags=[["p", pubkey], [["t"]]]),
    "a text for a tag": lambda pubkey: wrap(pubkey, tags=[["p", pubkey], "t"]),
    "an object for tags": lambda pubkey: wrap(pubkey, tags={"p": pubkey}),
    "a number for content": lambda pubkey: wrap(pubkey, content=1),
    "too many tags": lambda pubkey: wrap(pubkey, tags=[["p", pubkey], *[["t"]] * 2000]),
    "a kind beyond the last": lambda pubkey: wrap(pubkey, kind=65536 + nostr.GIFT_WRAP),
}


@pytest.mark.parametrize("what", UNSOUND)
def test_an_event_that_is_none(live, relay, phone, pubkey, device, what):
    relay.send_raw(frame_of(relay, UNSOUND[what](pubkey)))
    check_nothing_happened(live, relay, phone)
    # Received, invalid, taken: one of them is counted before it is taken.
    wait_until(lambda: event_stats(live) == (2, 1, 1), what="both events are counted")


# ---- Forgeries


FORGERIES = {
    "signature": lambda event: {**event, "sig": nostr.gift_wrap(nostr.new_pubkey())["sig"]},
    "address": lambda event: {**event, "tags": [["p", nostr.new_pubkey()]]},
    "content": lambda event: {**event, "content": event["content"] + "x"},
    "form": lambda event: {**event, "created_at": str(event["created_at"])},
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_forged_copy_that_comes_first(live, relay, phone, pubkey, device, what):
    """A forgery with the id of the true event does not keep that from its device."""
    event = nostr.gift_wrap(pubkey)
    for _ in range(3):
        relay.send_raw(frame_of(relay, FORGERIES[what](event)))
    relay.deliver(event)
    assert phone.url + phone.next_push().path == device
    check_nothing_happened(live, relay, phone, pushes=1)
    wait_until(lambda: event_stats(live) == (5, 3, 2), what="all events are counted")


def test_a_forged_copy_from_another_relay(make_stack, relay, phone, pubkey):
    with Relay(check_events=False) as forger:
        stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
        stack.start_redis()
        stack.start_api()
        stack.start_listener(relay, forger)
        endpoint = phone.endpoint()
        stack.register(pubkey, endpoint)
        event = nostr.gift_wrap(pubkey)
        forger.publish(FORGERIES["signature"](event))
        wait_until(lambda: stack.stat("events_invalid") == 1, what="the forgery is refused")
        relay.publish(event)
        assert phone.url + phone.next_push().path == endpoint


# ---- Relays that are named twice


def test_a_relay_that_is_named_twice(make_stack, relay, phone, pubkey):
    """However it is spelt then, it is one relay: the one that is spelt first, so that its cursors
    are where they have been."""
    with Relay() as other, Relay() as last:
        stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
        stack.start_redis()
        stack.start_api()
        names = [relay.url + "/", relay.url, relay.url.replace("ws:", "WS:") + "/#top",
                 other.url, other.url, last.url, ""]
        stack.spawn_listener(names)
        for each in (relay, other, last):
            each.wait_for_req(2)
        stack.wait_for_heartbeat()
        assert stack.redis.hget("mostro:listener:listener-1", "relays_configured") == "3"
        stack.register(pubkey, phone.endpoint())
        relay.publish(nostr.gift_wrap(pubkey))
        phone.next_push()
        assert [each.accepted for each in (relay, other, last)] == [1, 1, 1]
        told = [line for line in stack.listener.output().splitlines() if "more than once" in line]
        assert [name in line for name, line in zip((relay.url, other.url), told)] == [
            True] * 2 and len(told) == 2
        wait_until(lambda: len(stack.redis.keys("mostro:cursor:*")) == 6, what="all cursors")
        assert stack.redis.exists(f"mostro:cursor:{relay.url}/:{nostr.GIFT_WRAP}")


# ---- The key for relays


def refuses_to_start(make_stack, secret, **settings):
    """--check-config and a real start say the same, and nothing secret."""
    stack = make_stack(**{"NOSTR_RELAYS": "ws://127.0.0.1:1", **settings})
    said = []
    for name, options in (("asked", ["--check-config"]), ("started", [])):
        program = stack.start_program(name, [LISTENER, *options])
        assert program.wait() not in (0, -9)
        said.append(program.output())
    assert said[0] == said[1] != ""
    assert secret not in said[0]
    return said[0]


@pytest.mark.parametrize("key", [
    "z" * 64, "a" * 63, "0" * 64, "f" * 64,
    "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",  # the group's order
], ids=range(5))
def test_what_is_no_key(make_stack, key, tmp_path):
    said = refuses_to_start(make_stack, key, NOSTR_AUTH_PRIVATE_KEY=key)
    assert "NOSTR_AUTH_PRIVATE_KEY" in said
    file = tmp_path / "key"
    file.write_text(key + "\n")
    file.chmod(0o600)
    said = refuses_to_start(make_stack, key, NOSTR_AUTH_PRIVATE_KEY_FILE=str(file))
    assert "NOSTR_AUTH_PRIVATE_KEY" in said


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read(make_stack, tmp_path, mode):
    file = tmp_path / "key"
    file.write_text("a" * 64)
    file.chmod(mode)
    said = refuses_to_start(make_stack, "a" * 64, NOSTR_AUTH_PRIVATE_KEY_FILE=str(file))
    assert "NOSTR_AUTH_PRIVATE_KEY_FILE" in said and "read by others" in said


def test_a_key_in_order(make_stack, tmp_path):
    file = tmp_path / "key"
    file.write_text("a" * 64)
    file.chmod(0o600)
    stack = make_stack(NOSTR_RELAYS="ws://127.0.0.1:1", NOSTR_AUTH_PRIVATE_KEY_FILE=str(file))
    assert stack.start_program("asked", [LISTENER, "--check-config"]).wait() == 0


# ---- Settings that only a start would show to be bad

@pytest.mark.parametrize("settings, says", [
    ({"NOSTR_RELAYS": "wss://[::1].x"}, "NOSTR_RELAYS=wss://[::1].x: expected"),
    ({"TLS_CA_FILE": "/nowhere/ca.pem"}, "TLS_CA_FILE='/nowhere/ca.pem'"),
    ({"TLS_CA_FILE": "/dev/null"}, "TLS_CA_FILE='/dev/null'"),
], ids=["relay", "no-file", "no-certificate"])
def test_what_no_start_would_get_over(make_stack, settings, says):
    assert says in refuses_to_start(make_stack, "nothing secret here", **settings)


def test_a_relays_path_and_query_are_not_shown(make_stack):
    """They may identify us to the relay."""
    said = refuses_to_start(make_stack, "hidden", NOSTR_RELAYS="wss://[::1].x/hidden?token=hidden")
    assert "NOSTR_RELAYS=wss://[::1].x/[...]: expected" in said


def test_fcm_that_would_be_off(make_stack):
    """The listener starts all the same."""
    stack = make_stack(NOSTR_RELAYS="ws://127.0.0.1:1", FCM_ENABLED="true",
                       FIREBASE_PROJECT_ID="project",
                       FIREBASE_SERVICE_ACCOUNT_PATH="/nowhere/account.json")
    asked = stack.start_program("asked", [LISTENER, "--check-config"])
    assert asked.wait() == 0
    assert ("FIREBASE_SERVICE_ACCOUNT_PATH=/nowhere/account.json: there is no such file" in
            asked.output())


@pytest.mark.parametrize("project, said", [
    ("no project", 'FCM will be off: FIREBASE_PROJECT_ID="no project" is no project id'),
    ("another",
     "FCM: FIREBASE_PROJECT_ID is 'another', but the service account is of 'mostro-test'"),
    ("mostro-test", None),
    ("", None),
])
def test_the_project_of_fcm(make_stack, google_settings, project, said):
    """The service account names a project of its own."""
    stack = make_stack(**{**google_settings, "NOSTR_RELAYS": "ws://127.0.0.1:1",
                          "FIREBASE_PROJECT_ID": project})
    asked = stack.start_program("asked", [LISTENER, "--check-config"])
    assert asked.wait() == 0
    warnings = [line for line in asked.output().splitlines() if line.startswith("warning: ")]
    assert warnings == ([f"warning: {said}"] if said else [])
