"""The debug log answers why a phone was not woken: each decision on a pubkey once, by a name that
holds for one process."""
import re
import threading

import pytest

import google as fcm
import nostr
import phone as phones
from stack import SLOW, wait_until

NAMED = re.compile(r" debug: ((?:relay )?\S+): ([0-9a-f]{8}) (.*)")


class Story:
    """What a program says from here on of pubkeys, all of it of the same one."""

    def __init__(self, program):
        self.program = program
        self.seen = len(program.output())

    def lines(self):
        return NAMED.findall(self.program.output()[self.seen:])

    def tells(self, *texts):
        """Waits until there is a line for each; returns the name that all lines have."""
        def told():
            said = [f"{module}: {text}" for module, _, text in self.lines()]
            return all(any(text in line for line in said) for text in texts)
        try:
            wait_until(told, 20)  # a push that is not answered takes five, and its next try
        except TimeoutError:
            pytest.fail(f"{texts} not in {self.lines()}")
        names = {name for _, name, _ in self.lines()}
        assert len(names) == 1, self.lines()
        return names.pop()


def test_a_pubkey_that_is_woken(make_stack, relay, phone):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
    stack.start_redis()
    stack.start_api(workers=1)
    stack.start_listener(relay)
    names = set()
    for pubkey in (nostr.new_pubkey(), nostr.new_pubkey()):
        worker, listener = Story(stack.workers), Story(stack.listener)
        stack.register(pubkey, phone.endpoint())
        stack.notify(pubkey)
        phone.next_push()
        listener.tells("wakes: is to be woken by a notify: at once",
                       "push: is pushed to by UnifiedPush, silently",
                       "push: was pushed to by UnifiedPush (201): delivered")
        event = nostr.gift_wrap(pubkey)
        for _ in range(2):
            relay.deliver(event)
        phone.next_push()
        names.add(listener.tells(
            f"intake: has a live event from {relay.url}: a wake is queued",
            "wakes: is to be woken by an event: at",
            "is named by an event that is repeated: it has been taken before"))
        stack.wait_until_idle()
        assert len(listener.lines()) == len(set(listener.lines())) + 1  # delivered twice
        stack.post("/api/unregister", {"trade_pubkey": pubkey})
        stack.post("/api/unregister", {"trade_pubkey": pubkey})
        names.add(worker.tells("register: is registered", "notify: is notified: a wake is queued",
                               "register: is unregistered, as its phone asks",
                               "register: is to be unregistered, and is not registered"))
    assert len(names) == 4  # two pubkeys, by two processes that have each drawn its salt


def test_a_notify_that_is_refused(make_stack, pubkey):
    stack = make_stack(**SLOW, WAKES_MAX="60")
    stack.start_redis()
    stack.start_api(workers=1)
    story = Story(stack.workers)
    wait_until(lambda: stack.notify(pubkey).status == 429)
    story.tells("notify: is over its limit: its one deferred wake waits")
    story = Story(stack.workers)
    other, client = nostr.new_pubkey(), stack.new_client()
    while stack.redis.xlen("mostro:wakes") < 30:
        stack.notify(nostr.new_pubkey())
    story = Story(stack.workers)
    assert stack.notify(other).status == 503
    story.tells("notify: is not notified: the queue of wakes, or Redis, is full")
    # Even now it spends its address's limit.
    story = Story(stack.workers)
    wait_until(lambda: stack.notify(other, client=client).status == 429)
    story.tells("notify: is not notified: the caller's address is over its limit")
    wait_until(lambda: stack.notify(other, client=client).status == 429 and
               "notify: a request is refused unread: its address is over its limit"
               in stack.workers.output())
    stack.redis_server.stop()
    story = Story(stack.workers)
    assert stack.notify(other).status == 503
    story.tells("notify: is not notified: Redis cannot be used")


def test_a_registration_that_is_refused_unread(make_stack, pubkey):
    stack = make_stack(**SLOW)
    stack.start_redis()
    stack.start_api(workers=1)
    client, body = stack.new_client(), {"trade_pubkey": pubkey}
    wait_until(lambda: stack.post("/api/unregister", body, client=client).status == 429, 40)
    assert stack.post("/api/unregister", body, client=client).status == 429
    assert ("register: a request is refused unread: its address is over its limit"
            in stack.workers.output())


def test_an_event_that_wakes_nobody(make_stack, relay, phone, pubkey):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", NOTIFY_RATE_PER_PUBKEY_PER_MIN="1")
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    event, forged = nostr.gift_wrap(pubkey), nostr.gift_wrap(pubkey)
    expired = nostr.make_event(nostr.Key(), nostr.GIFT_WRAP,
                               [["p", pubkey], ["expiration", "1"]], "text")
    for sent, text in (
        (event, f"intake: has a live event from {relay.url}: nobody is registered for it"),
        (expired, "is named by an event that has expired"),
        ({**forged, "sig": event["sig"]}, "is named by an event that is refused: its signature"),
        ({**forged, "content": "other"}, "is named by an event that is refused: its id is wrong"),
    ):
        story = Story(stack.listener)
        relay.deliver(sent)
        story.tells(text)
    # One that is over its limit, as far as the limit is left.
    stack.register(pubkey, phone.endpoint())
    story = Story(stack.listener)
    for _ in range(10):
        relay.deliver(nostr.gift_wrap(pubkey))
    story.tells(f"intake: has a live event from {relay.url}: over the limit, its one deferred wake "
                "waits",
                "wakes: is to be woken by an event: deferred by ")


def test_an_event_that_another_listener_has(live, relay, pubkey, device):
    """Both write to one log, each with its own names."""
    live.start_listener(relay, LISTENER_NAME="listener-2")
    story = Story(live.listener)
    relay.deliver(nostr.gift_wrap(pubkey))

    def taken():
        return {name: text for module, name, text in story.lines() if module == "intake"}
    wait_until(lambda: len(taken()) == 2)
    assert sorted(taken().values()) == [
        f"has a live event from {relay.url}: a wake is queued",
        f"has a live event from {relay.url}: it is repeated, and has woken before"]


def test_a_push_that_fails(with_google, phone, google):
    stack = with_google
    gone = fcm.Refusal(404, "NOT_FOUND", "secret", "UNREGISTERED")
    for answer, texts in (
        (410, ["push: was pushed to by UnifiedPush (410): its token is dead",
               "push: is unregistered, for its token is dead"]),
        (302, ["push: was pushed to by UnifiedPush (302): given up"]),
        (503, ["push: was pushed to by UnifiedPush (503): failed, perhaps with the back end",
               "push: was pushed to by UnifiedPush (201): delivered"]),
        (phones.Answer(429, {"Retry-After": "1"}),
         ["push: was pushed to by UnifiedPush (429): held back",
          "push: was pushed to by UnifiedPush (201): delivered"]),
        (phones.Answer(delay=6), ["push: was pushed to by UnifiedPush (no answer in time): ",
                                  "push: was pushed to by UnifiedPush (201): delivered"]),
        (gone, ["push: was pushed to by FCM (404 UNREGISTERED): its token is dead",
                "push: is unregistered, for its token is dead"]),
        (fcm.WRONG_PROJECT, ["push: was pushed to by FCM (404 NOT_FOUND): "]),
    ):
        pubkey, token = nostr.new_pubkey(), phone.endpoint()
        if isinstance(answer, fcm.Refusal):
            token = f"token-{pubkey[:8]}"
            google.answer(token, [answer])
        else:
            phone.answer(token, [answer])
        stack.register(pubkey, token)
        story = Story(stack.listener)
        stack.notify(pubkey)
        story.tells(*texts)


def test_a_push_that_is_not_made(make_stack, relay, pubkey):
    stack = make_stack()
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    story = Story(stack.listener)
    stack.notify(pubkey)
    story.tells("wakes: is to be woken by a notify: not registered, or no longer: not pushed to")
    for token, text in (
        ("fcm-token", "push: cannot be pushed to, for FCM is off: given up"),
        ("http://push.example.org/UP", "push: cannot be pushed to, for its endpoint is not "
                                       "admitted: given up"),
    ):
        other = nostr.new_pubkey()
        stack.register(other, "fcm-token")
        stack.redis.hset(f"mostro:token:{other}", "token", token)
        story = Story(stack.listener)
        stack.notify(other)
        story.tells(text)


def test_wakes_that_are_merged(live, phone, pubkey, device):
    gate = threading.Event()
    phone.answer(device, [phones.Answer(503, {"Retry-After": "300"}, gate=gate)])
    story = Story(live.listener)
    live.notify(pubkey)
    phone.next_push()
    gate.set()
    story.tells("push: was pushed to by UnifiedPush (503): failed, perhaps with the back end")
    live.notify(pubkey)
    live.notify(pubkey)
    story.tells("wakes: is to be woken by a notify: merged, for one push covers it and another")


def test_a_wake_that_is_too_old(live, pubkey, device):
    story = Story(live.listener)
    seconds, _ = live.redis.time()
    live.redis.xadd("mostro:wakes", {"pk": pubkey, "via": "notify",
                                     "not_before": (seconds - 2 * 3600) * 1000})
    story.tells("push: has waited for too long: 1 of its wakes are given up")


def test_a_push_that_waits(live, phone, pubkey, device):
    """For another pubkey's phone, whose endpoint it is, too."""
    phone.answer(device, [phones.Answer(429, {"Retry-After": "300"})])
    story = Story(live.listener)
    live.notify(pubkey)
    story.tells("push: was pushed to by UnifiedPush (429): held back")
    other = nostr.new_pubkey()
    live.register(other, device)
    story = Story(live.listener)
    live.notify(other)
    story.tells("push: waits, for its endpoint takes nothing yet")


def test_fcm_that_is_not_ready(make_stack, relay, google, google_settings, pubkey):
    gate = threading.Event()
    google.hold_oauth(gate)
    stack = make_stack(**google_settings)
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    stack.register(pubkey, "fcm-token")
    story = Story(stack.listener)
    stack.notify(pubkey)
    story.tells("push: waits, for FCM is down or busy")
    gate.set()
    story.tells("push: was pushed to by FCM (200): delivered")
    assert len([text for _, _, text in story.lines() if "is down or busy" in text]) == 1


def test_a_registration_that_is_renewed_meanwhile(with_google, google, pubkey):
    gate = threading.Event()
    google.answer("fcm-token", [fcm.UNREGISTERED])
    google.hold("fcm-token", gate)
    with_google.register(pubkey, "fcm-token")
    story = Story(with_google.listener)
    with_google.notify(pubkey)
    google.next_message()
    with_google.register(pubkey, "fcm-token-2")
    gate.set()
    story.tells("push: was pushed to by FCM (404 UNREGISTERED): its token is dead",
                "push: stays registered, for it has registered anew meanwhile",
                "push: was pushed to by FCM (200): delivered")
