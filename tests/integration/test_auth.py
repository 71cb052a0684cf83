"""Relays that want to know who asks (NIP-42)."""
import time

import pytest

import nostr
from relay import Auth, Relay
from stack import wait_until


MAY_HIDE = "it may keep them from all but their addressees"


def start(make_stack, relay, **settings):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", LOG_LEVEL="info", **settings)
    stack.start_redis()
    stack.start_api()
    stack.spawn_listener([relay])
    return stack


def check_wake(stack, relay, phone):
    pubkey = nostr.new_pubkey()
    stack.register(pubkey, phone.endpoint())
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push(timeout=15)


def operators_word(stack):
    return stack.get("/api/ready", operator=True).body


def wait_for_subscriptions(stack, times=1):
    for kind in (nostr.GIFT_WRAP, nostr.DIRECT_MESSAGE):
        wait_until(lambda: stack.listener.output().count(f"subscribed to kind {kind}\n") >= times,
                   20)


@pytest.mark.parametrize("when", ["connect", "req", "silent"])
def test_a_relay_that_admits_whoever_authenticates(make_stack, phone, when):
    with Relay(auth=Auth(when)) as relay:
        stack = start(make_stack, relay)
        relay.wait_until(lambda r: r.authenticated)
        wait_for_subscriptions(stack)
        check_wake(stack, relay, phone)
        warnings = stack.listener.output().count("warn: relay")
        assert warnings == stack.listener.output().count(MAY_HIDE)
        # The REQ at connect may come before or after our answer to the challenge.
        assert warnings in {"connect": (0, 1), "req": (1,), "silent": (0,)}[when]
        wait_until(lambda: stack.get("/api/ready").status == 200)
        wait_until(lambda: operators_word(stack) == '{"status":"ready"}', 15)


@pytest.mark.parametrize("when", ["connect", "req", "silent"])
@pytest.mark.parametrize("from_file", [False, True], ids=["variable", "file"])
def test_a_relay_that_knows_our_key(make_stack, phone, tmp_path, when, from_file):
    key = nostr.Key()
    file = tmp_path / "key"
    file.write_text(key.secret.hex() + "\n")
    file.chmod(0o600)
    settings = ({"NOSTR_AUTH_PRIVATE_KEY_FILE": str(file)} if from_file else
                {"NOSTR_AUTH_PRIVATE_KEY": key.secret.hex()})
    with Relay(auth=Auth(when, admits=frozenset({key.pubkey}))) as relay:
        stack = start(make_stack, relay, **settings)
        relay.wait_until(lambda r: r.authenticated)
        wait_for_subscriptions(stack)
        check_wake(stack, relay, phone)
        assert {pubkey for _, pubkey in relay.authenticated} == {key.pubkey}
        assert key.secret.hex() not in stack.logs()


def test_a_new_key_for_every_connection(make_stack, phone):
    with Relay(auth=Auth()) as relay:
        stack = start(make_stack, relay)
        wait_for_subscriptions(stack)
        relay.kill_connections()
        wait_for_subscriptions(stack, 2)
        relay.wait_until(lambda r: len(r.authenticated) >= 2)
        assert len({pubkey for _, pubkey in relay.authenticated}) == 2


@pytest.mark.parametrize("turns_away", [False, True], ids=["CLOSED", "OK false"])
def test_a_relay_that_does_not_admit_us(make_stack, phone, turns_away):
    """It says so, plainly; what is not guarded still comes, and the cursor moves on."""
    with Relay(auth=Auth(admits=frozenset(), turns_away=turns_away)) as relay:
        stack = start(make_stack, relay)
        wait_until(lambda: "subscribed to kind 14" in stack.listener.output())
        complaint = ("rejected our AUTH (restricted: you are not a member)"
                     if turns_away else "this relay will not show us those events")
        wait_until(lambda: complaint in stack.listener.output())
        pubkey = nostr.new_pubkey()
        stack.register(pubkey, phone.endpoint())
        relay.publish(nostr.direct_message(pubkey))
        phone.next_push()
        # Not asked again at once; it will be in four seconds or five.
        assert stack.listener.output().count(complaint) == 1
        wait_until(lambda: stack.redis.exists(f"mostro:cursor:{relay.url}:14"))
        before = int(stack.redis.get(f"mostro:cursor:{relay.url}:14"))
        relay.publish(nostr.direct_message(pubkey))
        wait_until(lambda: int(stack.redis.get(f"mostro:cursor:{relay.url}:14")) > before)


@pytest.mark.parametrize("when", ["connect", "req", "silent"])
def test_catching_up_with_a_relay_that_guards_what_it_stored(make_stack, phone, when):
    with Relay(auth=Auth(when)) as relay:
        stack = start(make_stack, relay)
        wait_for_subscriptions(stack)
        check_wake(stack, relay, phone)
        wait_until(lambda: stack.redis.exists(f"mostro:cursor:{relay.url}:14"))
        assert stack.listener.stop() == 0
        pubkey = nostr.new_pubkey()
        stack.register(pubkey, phone.endpoint())
        relay.publish(nostr.gift_wrap(pubkey))
        stack.spawn_listener([relay])
        phone.next_push(timeout=15)


@pytest.mark.parametrize("refusal", ["ERROR: auth-required: requested filter needs it",
                                     "blocked: who are you?"], ids=["strfry", "other words"])
def test_a_refusal_in_whatever_words(make_stack, phone, refusal):
    """What was refused is asked for at once when we have authenticated, not after a back-off."""
    with Relay(auth=Auth("req", refusal=refusal)) as relay:
        stack = start(make_stack, relay)
        relay.wait_until(lambda r: r.authenticated)
        asked = [req for req in relay.reqs() if req[2] == {"kinds": [nostr.GIFT_WRAP], "limit": 1}]
        begun = time.monotonic()
        relay.wait_until(lambda r: len([req for req in r.reqs() if req[2] == asked[0][2]]) == 2, 3)
        wait_for_subscriptions(stack)
        assert time.monotonic() - begun < 3
        check_wake(stack, relay, phone)


def test_a_relay_that_shows_gift_wraps_to_their_addressees(make_stack, phone):
    """Nothing tells us apart from one that shows us all, until one comes."""
    with Relay(auth=Auth("req", addressees=True)) as relay:
        stack = start(make_stack, relay)
        wait_for_subscriptions(stack)
        wait_until(lambda: MAY_HIDE in stack.listener.output())
        pubkey = nostr.new_pubkey()
        stack.register(pubkey, phone.endpoint())
        relay.publish(nostr.gift_wrap(pubkey))
        relay.publish(nostr.direct_message(pubkey))
        phone.next_push()
        relay.kill_connections()
        wait_for_subscriptions(stack, 2)
        stack.wait_until_idle()
        assert len(phone.pushes) == 1
        assert stack.listener.output().count(MAY_HIDE) == 1
        wait_until(lambda: "may keep gift wraps back" in operators_word(stack), 15)


def test_a_challenge_in_mid_connection(make_stack, phone):
    with Relay(auth=Auth()) as relay:
        stack = start(make_stack, relay)
        relay.wait_until(lambda r: r.authenticated)
        relay.challenge()
        relay.wait_until(lambda r: len(r.authenticated) == 2)
        wait_for_subscriptions(stack)
        check_wake(stack, relay, phone)


@pytest.mark.parametrize("challenge", ['q"uo\\te\u2028 \U0001f600 \x7f', "x" * 512],
                         ids=["odd", "long"])
def test_odd_challenges(make_stack, phone, challenge):
    with Relay(auth=Auth(challenge=challenge)) as relay:
        stack = start(make_stack, relay)
        relay.wait_until(lambda r: r.authenticated)
        wait_for_subscriptions(stack)
        check_wake(stack, relay, phone)


@pytest.mark.parametrize("reason", ["error: could not connect to the database",
                                    "rate-limited: slow down there chief", "blocked: no", "?",
                                    "auth-required: but there is no challenge"])
def test_a_subscription_that_is_refused_is_asked_for_again(make_stack, relay, phone, reason):
    relay.refuse_reqs(reason, 2)
    stack = start(make_stack, relay)
    wait_for_subscriptions(stack)
    check_wake(stack, relay, phone)
    assert stack.listener.output().count("the subscription for kind 1059") == 1


def test_a_subscription_that_is_closed_later_is_asked_for_again(make_stack, relay, phone):
    stack = start(make_stack, relay)
    wait_for_subscriptions(stack)
    check_wake(stack, relay, phone)
    wait_until(lambda: len(stack.redis.keys("mostro:cursor:*")) == 2)
    pubkey = nostr.new_pubkey()
    stack.register(pubkey, phone.endpoint())
    relay.close_subscriptions("error: shutting down idle subscription")
    relay.publish(nostr.gift_wrap(pubkey))  # is caught up on
    phone.next_push(timeout=15)
