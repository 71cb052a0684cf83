"""The main job: a gift wrap on a relay, and POST /api/notify, each wake a phone."""
import json
import re
import time

import pytest

import nostr
from phone import Phone
from relay import Relay
from stack import wait_until

SOURCE = "mostro-push-server"
VISIBLE = {"title": "Mostro", "body": "You have an update on your trade"}


def check_silent_push(push, endpoint, phone):
    assert push.method == "POST"
    assert phone.url + push.path == endpoint
    headers = {name.lower(): value for name, value in push.headers.items()}
    assert headers["content-type"] == "application/json"
    assert headers["ttl"] == "86400"
    assert headers["urgency"] == "high"
    for name in ("authorization", "cookie", "content-encoding", "referer", "expect"):
        assert name not in headers
    match = re.fullmatch(rb'\{"type":"silent_wake","timestamp":(\d+)\}', push.body)
    assert match, push.body
    assert abs(int(match[1]) - time.time()) < 10


def fence(stack, relay, phone):
    """Returns once everything the relay has delivered so far, and every wake it caused, is done
    with: by the push of an event of its own. Returns the pushes before that one."""
    pubkey, endpoint = nostr.new_pubkey(), phone.endpoint()
    stack.register(pubkey, endpoint)
    relay.deliver(nostr.gift_wrap(pubkey))
    wait_until(lambda: any(phone.url + push.path == endpoint for push in list(phone.pushes)),
               what="the fence's push")
    stack.wait_until_idle()
    return [push for push in phone.pushes if phone.url + push.path != endpoint]


# ---- UnifiedPush


@pytest.mark.parametrize("days_back", [0, 1, 2])
def test_gift_wrap_wakes_a_phone(live, relay, phone, pubkey, device, days_back):
    event = nostr.gift_wrap(pubkey, time.time() - days_back * nostr.DAY)
    assert nostr.publish(relay.url, event)[2] is True
    check_silent_push(phone.next_push(), device, phone)
    live.wait_until_idle()
    assert len(phone.pushes) == 1


def test_direct_message_wakes_a_phone(live, relay, phone, pubkey, device):
    relay.publish(nostr.direct_message(pubkey))
    check_silent_push(phone.next_push(), device, phone)


def test_notify_wakes_a_phone(live, phone, pubkey, device):
    assert live.notify(pubkey).status == 202
    check_silent_push(phone.next_push(), device, phone)
    live.wait_until_idle()
    assert len(phone.pushes) == 1


def test_the_first_p_tag_is_the_trade_pubkey(live, relay, phone, pubkey, device):
    other, other_endpoint = nostr.new_pubkey(), phone.endpoint()
    live.register(other, other_endpoint)
    tags = [["e", "ab" * 32], ["p", pubkey, "wss://relay.example.org"], ["p", other]]
    relay.publish(nostr.make_event(nostr.Key(), nostr.GIFT_WRAP, tags, "text"))
    assert [phone.url + push.path for push in fence(live, relay, phone)] == [device]


@pytest.mark.parametrize("tags", [
    [["p"], ["p", ""]],                # the first p tag that has a value counts
    [[], ["alt", "x"], []],            # and an empty tag says nothing
    [["expiration", "9999999999"]],
    [["expiration"], ["expiration", ""], ["expiration", "-1"], ["expiration", "1e3"],
     ["expiration", "soon"], ["expiration", "1" * 30]],
], ids=["p tags without a value", "empty tags", "expiring later", "malformed expirations"])
def test_tags_that_keep_no_phone_asleep(live, relay, phone, pubkey, device, tags):
    """Also where a relay escapes more than it must, which another parser reads."""
    for content in ("text", "t\u00e9xt"):
        relay.publish(nostr.make_event(nostr.Key(), nostr.GIFT_WRAP, [*tags, ["p", pubkey]],
                                       content))
        check_silent_push(phone.next_push(), device, phone)


def test_content_that_is_hard_to_canonicalize(live, relay, phone, pubkey, device):
    """NIP-01's id is over a canonical form that escapes some characters and no others."""
    content = 'quote " backslash \\ slash / \n\r\t\b\f \x7f \u2028 \u00e9 \U0001f600 <>&'
    relay.publish(nostr.make_event(nostr.Key(), nostr.GIFT_WRAP,
                                   [["p", pubkey], ["alt", content]], content))
    check_silent_push(phone.next_push(), device, phone)


def test_a_large_event(live, relay, phone, pubkey, device):
    """A message of 65 KB inside a gift wrap."""
    event = nostr.make_event(nostr.Key(), nostr.GIFT_WRAP, [["p", pubkey]],
                             nostr.encrypted_content(96 * 1024))
    relay.publish(event)
    check_silent_push(phone.next_push(), device, phone)


def test_nothing_is_pushed_after_unregistering(live, relay, phone, pubkey, device):
    live.post("/api/unregister", {"trade_pubkey": pubkey})
    relay.publish(nostr.gift_wrap(pubkey))
    live.notify(pubkey)
    assert fence(live, relay, phone) == []


def test_pushes_go_where_was_registered_last(live, relay, phone, pubkey, device):
    endpoint = phone.endpoint()
    live.register(pubkey, endpoint)
    relay.publish(nostr.gift_wrap(pubkey))
    check_silent_push(phone.next_push(), endpoint, phone)


# ---- FCM


def check_message(message, device_token):
    """Everything but what differs between kinds; returns the message without token and data."""
    message = dict(message)
    assert message.pop("token") == device_token
    timestamp = message["data"].pop("timestamp")
    assert isinstance(timestamp, str) and abs(int(timestamp) - time.time()) < 10
    return message


def test_gift_wrap_through_fcm(with_google, relay, google, pubkey):
    token = "fcm-token-" + "x" * 140
    with_google.register(pubkey, token, "ios")
    relay.publish(nostr.gift_wrap(pubkey))
    received = google.next_message(timeout=15)
    assert check_message(received.message, token) == {
        "notification": VISIBLE,
        "data": {"type": "trade_update", "source": SOURCE},
        "android": {
            "priority": "high",
            "notification": {"tag": "mostro-trade", "channel_id": "mostro_notifications",
                             "default_vibrate_timings": True},
        },
        "apns": {
            "headers": {"apns-priority": "10", "apns-collapse-id": "mostro-trade"},
            "payload": {"aps": {"alert": VISIBLE, "content-available": 1, "mutable-content": 1,
                                "thread-id": "mostro-trade"}},
        },
    }
    with_google.wait_until_idle()
    assert len(google.messages) == 1
    assert google.rejected == []


def test_notify_through_fcm(with_google, google, pubkey):
    with_google.register(pubkey, "fcm-token-1")
    assert with_google.notify(pubkey).status == 202
    assert check_message(google.next_message(timeout=15).message, "fcm-token-1") == {
        "data": {"type": "chat_wake", "source": SOURCE},
        "android": {"priority": "high", "collapse_key": "mostro-wake"},
        "apns": {
            "headers": {"apns-priority": "5", "apns-push-type": "background"},
            "payload": {"aps": {"content-available": 1}},
        },
    }
    assert google.rejected == []


def type_of_next(google):
    return google.next_message(timeout=15).message["data"]["type"]


def test_a_message_by_a_stranger_wakes_without_being_shown(with_google, relay, google, pubkey):
    """Trade keys are public under protocol v2, and the app heeds there only what its node writes.
    Nobody is filtered away: an admin writes, too."""
    node = nostr.Key()
    with_google.register(pubkey, "fcm-token-1", mostro_pubkey=node.pubkey.upper())
    for author, expected in ((nostr.Key(), "chat_wake"), (node, "trade_update"),
                             (nostr.Key(), "chat_wake")):
        relay.publish(nostr.direct_message(pubkey, author))
        assert type_of_next(google) == expected
    relay.publish(nostr.gift_wrap(pubkey))  # its author is nobody
    assert type_of_next(google) == "trade_update"
    with_google.register(pubkey, "fcm-token-1")
    relay.publish(nostr.direct_message(pubkey))
    assert type_of_next(google) == "trade_update"
    with_google.wait_until_idle()
    assert len(google.messages) == 5


def test_only_ten_wakes_in_a_row_are_shown(with_google, relay, google, pubkey):
    """Some nodes remind every five minutes, for days."""
    with_google.register(pubkey, "fcm-token-1")
    found = []
    for _ in range(13):
        with_google.redis.delete(f"mostro:limit:pubkey:{pubkey}")
        relay.publish(nostr.gift_wrap(pubkey))
        found.append(type_of_next(google))
    assert found == ["trade_update"] * 10 + ["chat_wake"] * 3


def test_each_token_goes_to_its_own_backend(with_google, relay, phone, google, pubkey):
    other, endpoint = nostr.new_pubkey(), phone.endpoint()
    with_google.register(pubkey, "fcm-token-1")
    with_google.register(other, endpoint)
    relay.publish(nostr.gift_wrap(pubkey))
    relay.publish(nostr.gift_wrap(other))
    assert google.next_message(timeout=15).token == "fcm-token-1"
    check_silent_push(phone.next_push(), endpoint, phone)
    with_google.wait_until_idle()
    assert (len(google.messages), len(phone.pushes)) == (1, 1)


def test_an_odd_token_is_quoted(with_google, google, pubkey):
    token = 'to"ken\\with\n\u00e9\U0001f600'
    with_google.register(pubkey, token)
    with_google.notify(pubkey)
    assert google.next_message(timeout=15).token == token


def test_one_access_token_for_many_messages(with_google, google):
    for i in range(5):
        pubkey = nostr.new_pubkey()
        with_google.register(pubkey, f"fcm-token-{i}")
        with_google.notify(pubkey)
    assert {google.next_message(timeout=15).token for _ in range(5)} == {
        f"fcm-token-{i}" for i in range(5)}
    assert len(google.claims) == 1


# ---- What wakes nobody


def forged(event, **changes):
    return {**event, **changes}


def spoiled(hexadecimal):
    """The same with one digit changed."""
    return ("1" if hexadecimal[0] == "0" else "0") + hexadecimal[1:]


def bad_events(pubkey):
    event = nostr.gift_wrap(pubkey)
    text = nostr.make_event(nostr.Key(), 1, [["p", pubkey]], "hello")
    key = nostr.Key()
    return {
        "signature": forged(event, sig=spoiled(event["sig"])),
        "another's signature": forged(event, sig=nostr.gift_wrap(pubkey)["sig"]),
        "id": forged(event, id=spoiled(event["id"])),
        "another's id": forged(event, id=nostr.gift_wrap(pubkey)["id"]),
        "author": forged(event, pubkey=key.pubkey),
        "content": forged(event, content=event["content"] + "x"),
        "created_at": forged(event, created_at=event["created_at"] + 1),
        "tags": forged(nostr.gift_wrap(nostr.new_pubkey()), tags=[["p", pubkey]]),
        "no p tag": nostr.make_event(key, nostr.GIFT_WRAP, [["e", pubkey]], "text"),
        "short p tag": nostr.make_event(key, nostr.GIFT_WRAP, [["p"], ["p", pubkey[:63]]], "text"),
        "expired": nostr.make_event(key, nostr.GIFT_WRAP,
                                    [["p", pubkey], ["expiration", str(int(time.time()) - 1)]],
                                    "text"),
        "another kind": text,
        "a kind it was not asked for": forged(text, kind=nostr.GIFT_WRAP),
        "no signature": {name: value for name, value in event.items() if name != "sig"},
        "types": forged(event, created_at=str(event["created_at"])),
        "nothing": {},
    }


@pytest.mark.parametrize("what", bad_events("0" * 64))
def test_bad_event_wakes_nobody(live, relay, phone, pubkey, device, what):
    """Sent on the very subscription, as a relay that checks nothing would."""
    name = next(req[1] for req in relay.reqs() if req[2]["kinds"] == [nostr.GIFT_WRAP])
    relay.send_message("EVENT", name, bad_events(pubkey)[what])
    assert fence(live, relay, phone) == []
    assert live.wakes_added() == 1


def test_a_forged_copy_does_not_suppress_the_event(live, relay, phone, pubkey, device):
    event = nostr.gift_wrap(pubkey)
    relay.deliver(forged(event, sig=spoiled(event["sig"])))
    relay.deliver(event)
    check_silent_push(phone.next_push(), device, phone)


def test_events_of_others_wake_nobody(live, relay, phone, pubkey, device):
    relay.publish(nostr.gift_wrap(nostr.new_pubkey()))
    # An author who is registered is not the one addressed.
    author, endpoint = nostr.Key(), phone.endpoint()
    live.register(author.pubkey, endpoint)
    relay.publish(nostr.make_event(author, nostr.GIFT_WRAP, [["p", nostr.new_pubkey()]], "text"))
    assert fence(live, relay, phone) == []


# ---- Once


def test_the_same_event_twice_wakes_once(live, relay, phone, pubkey, device):
    event = nostr.gift_wrap(pubkey)
    for _ in range(3):
        relay.deliver(event)
    assert [phone.url + push.path for push in fence(live, relay, phone)] == [device]
    assert live.wakes_added() == 2


def test_the_same_event_from_two_relays_wakes_once(make_stack, relay, phone, pubkey):
    with Relay() as second:
        stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
        stack.start_redis()
        stack.start_api()
        stack.start_listener(relay, second)
        endpoint = phone.endpoint()
        stack.register(pubkey, endpoint)
        event = nostr.gift_wrap(pubkey)
        relay.publish(event)
        second.publish(event)
        assert [phone.url + push.path for push in fence(stack, relay, phone)] == [endpoint]
        fence(stack, second, phone)
        assert stack.wakes_added() == 3


def test_the_same_event_after_a_reconnect_wakes_once(live, relay, phone, pubkey, device):
    event = nostr.gift_wrap(pubkey)
    relay.publish(event)
    phone.next_push()
    relay.kill_connections()
    relay.wait_for_req(4, timeout=20)
    relay.deliver(event)
    assert [phone.url + push.path for push in fence(live, relay, phone)] == [device]


def test_the_same_event_after_a_restart_wakes_once(live, relay, phone, pubkey, device):
    """What the process remembers is gone; what Redis remembers is not."""
    event = nostr.gift_wrap(pubkey)
    relay.publish(event)
    phone.next_push()
    live.wait_until_idle()
    assert live.listener.stop() == 0
    live.start_listener(relay)
    relay.deliver(event)
    assert [phone.url + push.path for push in fence(live, relay, phone)] == [device]


def test_the_same_event_seen_by_two_listeners_wakes_once(live, relay, phone, pubkey, device):
    with Relay() as second:
        live.start_listener(second, LISTENER_NAME="listener-2")
        event = nostr.gift_wrap(pubkey)
        relay.publish(event)
        second.publish(event)
        fence(live, relay, phone)
        fence(live, second, phone)
        assert len([push for push in phone.pushes if phone.url + push.path == device]) == 1
        assert live.wakes_added() == 3


# ---- Relays


def test_one_req_for_each_kind_and_nothing_else(live, relay, phone, pubkey, device):
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    messages = [message for _, message in relay.frames]
    assert [message[0] for message in messages] == ["REQ", "REQ"]
    assert all(len(message) == 3 for message in messages)
    assert sorted((message[2] for message in messages), key=lambda f: -f["kinds"][0]) == [
        {"kinds": [1059], "limit": 1}, {"kinds": [14], "limit": 1}]
    names = [message[1] for message in messages]
    assert len(set(names)) == 2 and all(0 < len(name) <= 64 for name in names)


def test_other_kinds_when_told(make_stack, relay, phone, pubkey):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", NOSTR_EVENT_KINDS="4")
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay, kinds=1)
    endpoint = phone.endpoint()
    stack.register(pubkey, endpoint)
    relay.publish(nostr.gift_wrap(pubkey))
    relay.publish(nostr.make_event(nostr.Key(), 4, [["p", pubkey]], "text"))
    check_silent_push(phone.next_push(), endpoint, phone)
    stack.wait_until_idle()
    assert stack.wakes_added() == 1
    assert [req[2] for req in relay.reqs()] == [{"kinds": [4], "limit": 1}]
    # It wakes for this kind, but not for trades, and so is not ready for them.
    wait_until(lambda: '"4":"yes"' in stack.redis.hget("mostro:listener:listener-1", "report"),
               what="a heartbeat that tells of the subscription")
    answer = stack.get("/api/ready", operator=True)
    assert answer.status == 503
    assert json.loads(answer.body)["reason"] == (
        "no relay shows a listener events of kind 1059 or 14")


def test_relay_over_tls(make_stack, authority, certificate, phone, pubkey):
    with Relay(0, *certificate) as relay:
        stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true",
                           TLS_CA_FILE=str(authority.certificate))
        stack.start_redis()
        stack.start_api()
        stack.start_listener(relay)
        endpoint = phone.endpoint()
        stack.register(pubkey, endpoint)
        relay.publish(nostr.gift_wrap(pubkey))
        check_silent_push(phone.next_push(), endpoint, phone)


def test_relay_with_a_certificate_nobody_trusts(make_stack, relay, certificate):
    with Relay(0, *certificate) as stranger:
        stack = make_stack()
        stack.start_redis()
        stack.spawn_listener([stranger, relay])
        relay.wait_for_req(2)
        # That it tries again shows that the first handshake has failed.
        stranger.wait_until(lambda _: stranger.handshakes >= 2, timeout=20)
        assert stranger.connections == 0 and stranger.reqs() == []


def test_endpoint_over_tls(make_stack, authority, certificate, relay, pubkey):
    with Phone(0, *certificate) as phone:
        stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true",
                           TLS_CA_FILE=str(authority.certificate))
        stack.start_redis()
        stack.start_api()
        stack.start_listener(relay)
        endpoint = phone.endpoint()
        stack.register(pubkey, endpoint)
        relay.publish(nostr.gift_wrap(pubkey))
        check_silent_push(phone.next_push(), endpoint, phone)


@pytest.mark.parametrize("frame", [
    "", "x", "{}", "[]", "[1]", '["NOTICE","something"]', '["NOTICE",{}]', '["EVENT"]',
    '["EVENT","a"]', '["EVENT","a",[]]', '["EOSE"]', '["EOSE","unknown"]', '["OK","x",true,""]',
    '["AUTH",1]', '["COUNT","a",{"count":1}]', "[" * 20000, '"' + "x" * 100000 + '"',
    '["EVENT","a",{"id":"\\u0000"}]',
])
def test_garbage_from_a_relay_does_no_harm(live, relay, phone, pubkey, device, frame):
    relay.send_raw(frame)
    relay.deliver(nostr.gift_wrap(pubkey))
    check_silent_push(phone.next_push(), device, phone)
    assert live.listener.is_alive()
    assert len(relay.reqs()) == 2


# ---- Over the limit


def test_an_event_over_the_limit_is_deferred(make_stack, relay, phone, pubkey):
    seconds_each = 3
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true",
                       NOTIFY_RATE_PER_PUBKEY_PER_MIN=str(60 // seconds_each))
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    endpoint = phone.endpoint()
    stack.register(pubkey, endpoint)
    events = [nostr.gift_wrap(pubkey) for _ in range(13)]
    began = time.time()
    for event in events:
        relay.deliver(event)
    wait_until(lambda: stack.wakes_added() == 11, what="ten wakes and one deferred")
    stack.wait_until_idle()
    last = max(push.arrived for push in phone.pushes)
    assert seconds_each - 0.1 < last - began < seconds_each + 3
    assert len([push for push in phone.pushes if push.arrived - began > seconds_each - 0.1]) == 1


@pytest.mark.parametrize("registered", [True, False])
def test_events_spend_the_limit_of_notify(make_stack, relay, phone, pubkey, registered):
    """Otherwise an early 429 would tell who is registered."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", NOTIFY_RATE_PER_PUBKEY_PER_MIN="1")
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    if registered:
        stack.register(pubkey, phone.endpoint())
    for _ in range(9):
        relay.deliver(nostr.gift_wrap(pubkey))
    fence_pubkey, endpoint = nostr.new_pubkey(), phone.endpoint()
    stack.register(fence_pubkey, endpoint)
    relay.deliver(nostr.gift_wrap(fence_pubkey))
    wait_until(lambda: any(phone.url + push.path == endpoint for push in list(phone.pushes)))
    assert [stack.notify(pubkey).status for _ in range(3)] == [202, 429, 429]


def test_who_registers_during_a_deferral_is_not_taken_for_woken(make_stack, relay, phone, pubkey):
    """Events for a pubkey that is not registered note a deferral, and queue nothing."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", NOTIFY_RATE_PER_PUBKEY_PER_MIN="12")
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    for _ in range(11):
        relay.deliver(nostr.gift_wrap(pubkey))
    wait_until(lambda: stack.redis.exists(f"mostro:due:{pubkey}"), what="a deferral is noted")
    assert stack.wakes_added() == 0
    endpoint = phone.endpoint()
    stack.register(pubkey, endpoint)
    relay.deliver(nostr.gift_wrap(pubkey))
    assert phone.url + phone.next_push(timeout=10).path == endpoint


# ---- Time


def test_events_one_after_another_at_the_limit(make_stack, relay, phone, pubkey):
    """Each is published when the push of the one before has arrived, and causes one more: a wake
    deferred by a moment stands for no event that comes after its push."""
    # One in 25 ms: longer than the way through here takes, where that takes its time, too.
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", NOTIFY_RATE_PER_PUBKEY_PER_MIN="2400")
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    stack.register(pubkey, phone.endpoint())
    for _ in range(250):
        relay.publish(nostr.gift_wrap(pubkey))
        phone.next_push()
    wait_until(lambda: stack.stat("wakes_deferred") > 0)


def test_a_clock_that_was_set_back_delays_no_wake(live, phone, pubkey, device):
    """Ids of the stream never go back, so after such a step they stay in the future."""
    now_ms = live.redis.time()[0] * 1000
    live.redis.xadd("mostro:wakes", {"pk": nostr.new_pubkey(), "via": "notify",
                                     "not_before": now_ms}, id=f"{now_ms + 3600000}-0")
    assert live.notify(pubkey).status == 202
    assert phone.url + phone.next_push(timeout=5).path == device
