"""--check-relay URL [--publish]: a relay as the listener sees it, in a line for each thing."""
import contextlib
import json
import re
import time

import pytest

import nostr
from loopback import HOST, Port
from relay import Auth, Relay
from stack import LISTENER

WRAP, MESSAGE = "event of kind 1059", "event of kind 14"


@pytest.fixture
def check(make_stack):
    """What is said of a relay, thing by thing, and the exit status."""
    stack = make_stack(NOSTR_RELAYS="ws://127.0.0.1:1")

    def check(relay, *options, **settings):
        url = relay if isinstance(relay, str) else relay.url
        run = stack.start_program("check", [LISTENER, "--check-relay", url, *options], **settings)
        status, check.said = run.wait(60), run.output()
        run.log.unlink()
        lines = re.findall(r"(?m)^(ok|BAD) +(.*?): (.*)$", check.said)
        assert status == (1 if "BAD" in [verdict for verdict, _, _ in lines] else 0), check.said
        return {what: (verdict, text) for verdict, what, text in lines}
    check.stack = stack
    return check


def test_a_relay_without_publishing(check, relay):
    """It reads, and says what it would do."""
    lines = check(relay)
    assert list(lines) == ["document (NIP-11)", relay.url, "authentication (NIP-42)", "kind 1059",
                           "kind 14"]
    assert "     --publish would publish a gift wrap" in check.said
    assert {message[0] for _, message in relay.frames} == {"REQ"}
    assert [message[2] for message in relay.reqs()] == [{"kinds": [1059], "limit": 1},
                                                        {"kinds": [14], "limit": 1}]


def test_what_is_published(check, relay):
    """Two events as nodes and apps send them, by keys of their own to one that nobody has."""
    lines = check(relay, "--publish")
    for what in (WRAP, MESSAGE):
        assert re.fullmatch(r"came live after \d+ ms, and is stored", lines[what][1])
    wrap, message = sorted(relay.stored.values(), key=lambda event: -event["kind"])
    assert (wrap["kind"], message["kind"]) == (1059, 14)
    assert all(nostr.is_valid(event) for event in (wrap, message))
    assert wrap["pubkey"] != message["pubkey"]
    (name, addressee), = wrap["tags"]
    assert name == "p" and message["tags"] == [["p", addressee]]
    assert 86400 <= time.time() - wrap["created_at"] <= 1.6 * 86400
    assert abs(time.time() - message["created_at"]) < 60
    assert "     publishes a gift wrap" in check.said


def test_only_the_kinds_that_are_followed(check, relay):
    lines = check(relay, "--publish", NOSTR_EVENT_KINDS="14")
    assert WRAP not in lines and lines[MESSAGE][0] == "ok"
    assert [event["kind"] for event in relay.stored.values()] == [14]


@pytest.mark.parametrize("when", ["connect", "req"])
def test_authentication(check, when):
    with Relay(auth=Auth(when=when)) as relay:
        lines = check(relay, "--publish")
    assert lines["authentication (NIP-42)"] == ("ok", "was asked for, and our key was taken")
    if when == "req":
        assert "(refused at first: auth-required: " in lines["kind 1059"][1]
    assert lines[WRAP][0] == lines[MESSAGE][0] == "ok"


@pytest.mark.parametrize("when", ["silent", "req"])
def test_wraps_for_their_addressees_alone(check, when):
    """Some relays accept AUTH, and then show gift wraps to nobody else."""
    with Relay(auth=Auth(when=when, addressees=True)) as relay:
        lines = check(relay, "--publish")
    assert lines["authentication (NIP-42)"][0] == "ok"
    assert lines[WRAP] == (
        "BAD", "is accepted, and then shown to nobody but its addressee, who has authenticated: this "
               "relay's events of this kind cannot wake anybody; name another one")
    assert lines[MESSAGE][0] == "ok"


def test_a_relay_that_rejects_our_key(check):
    with Relay(auth=Auth(admits=frozenset(), turns_away=True)) as relay:
        lines = check(relay)
    assert lines["authentication (NIP-42)"] == (
        "BAD", "was asked for, and our key rejected (restricted: you are not a member): have it "
               "admit one, for NOSTR_AUTH_PRIVATE_KEY")
    assert lines["kind 1059"][0] == "BAD" and lines["kind 14"][0] == "ok"


class Odd(Relay):
    """Takes events and does less with them."""

    def __init__(self, stores=True, passes_on=True, refusal="", **options):
        super().__init__(**options)
        self._stores, self._passes_on, self._refuses = stores, passes_on, refusal

    def _take(self, event):
        if self._refuses:
            return False, self._refuses
        taken = super()._take(event)
        if not self._stores:
            del self.stored[event["id"]]
        return taken

    def _broadcast(self, event):
        if self._passes_on:
            super()._broadcast(event)


@pytest.mark.parametrize("what, says", [
    ({"refusal": "blocked: planted words"}, "is refused: blocked: planted words"),
    ({"passes_on": False}, "is accepted and stored, but did not come live within 5 s: "),
    ({"stores": False}, "came live after "),
    ({"stores": False, "passes_on": False}, "is accepted, and then shown to nobody, neither"),
], ids=["refused", "stored", "live", "neither"])
def test_a_relay_that_does_less(check, what, says):
    with Odd(**what) as relay:
        lines = check(relay, "--publish")
    for event in (WRAP, MESSAGE):
        assert lines[event][0] == "BAD" and lines[event][1].startswith(says)
        assert ("not among the stored" in lines[event][1]) == (what == {"stores": False})


DOCUMENT = json.dumps({
    "name": "planted", "software": "git+https://example.org/strfry.git", "version": "1.2.3",
    "limitation": {"auth_required": False, "payment_required": True, "max_limit": 500,
                   "max_message_length": 65536, "unknown": 1}})


@pytest.mark.parametrize("document, says", [
    (DOCUMENT, "strfry.git 1.2.3; payment_required; max_message_length 65536; max_limit 500"),
    ("[]", "none: what comes is none"),
    ('{"software": 7}', "it does not say what it is"),
], ids=["document", "list", "odd"])
def test_what_a_relay_says_of_itself(check, document, says):
    with Relay(document=document) as relay:
        assert check(relay)["document (NIP-11)"][1].endswith(says)


def test_what_is_no_relay(check):
    with contextlib.closing(Port()) as nobody:
        url = f"ws://{HOST}:{nobody.number}"
        lines = check(url, "--publish")
    assert lines[url][0] == "BAD" and lines[url][1].startswith("cannot be reached: ")
    for url in ("http://127.0.0.1:1", "planted", "wss://"):
        run = check.stack.start_program("refused", [LISTENER, "--check-relay", url])
        assert run.wait() == 2
        assert run.output() == "--check-relay: expected a ws:// or wss:// URL\n"
        run.log.unlink()
