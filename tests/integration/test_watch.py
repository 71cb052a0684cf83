"""What an operator watches: the metrics of relays, back ends, waiting wakes and latency."""
import re
import subprocess

import pytest

import google as fcm
import nostr
from phone import Answer
from relay import Relay
from stack import LISTENER, preloaded, wait_until

SERIES = re.compile(r'(mostro_[a-z_]+)(?:\{((?:[a-z]+="[^"]*",?)*)\})? (\S+)')


def metrics(stack):
    """Series -> value; each has a family with its help and type, each but once."""
    answer = stack.get("/api/metrics", operator=True)
    assert answer.status == 200, answer
    found, helped, typed = {}, set(), {}
    for line in answer.body.splitlines():
        if line.startswith("# HELP "):
            assert line.split()[2] not in helped
            helped.add(line.split()[2])
        elif line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert name not in typed
            typed[name] = kind
        else:
            series, value = line.rsplit(" ", 1)
            name = SERIES.fullmatch(line)[1]
            family = re.sub("_(bucket|sum|count)$", "", name)
            assert typed[family if typed.get(family) == "histogram" else name], line
            assert list(typed)[-1] in (family, name), f"{line} is in no place of its family"
            assert series not in found
            found[series] = float(value)
    assert helped == set(typed)
    return found


def waits_for(stack, series, value):
    wait_until(lambda: metrics(stack).get(series) == value, what=f"{series} {value}")


def of_relay(name, relay, kind=None):
    labels = f'listener="listener-1",relay="{relay.url}"' + (f',kind="{kind}"' if kind else "")
    return f"mostro_relay_{name}{{{labels}}}"


def backend_states(stack, backend):
    """Those that hold: one of them."""
    start = f'mostro_backend_state{{listener="listener-1",backend="{backend}",state="'
    return [series.removeprefix(start).rstrip('"}') for series, value in metrics(stack).items()
            if series.startswith(start) and value == 1]


def test_relays_one_by_one(make_stack, version):
    stack = make_stack()
    stack.start_redis()
    stack.start_api(1)
    with Relay() as first, Relay() as second:
        stack.start_listener(first, second)
        waits_for(stack, of_relay("connected", first), 1)
        for kind in (1059, 14):
            waits_for(stack, of_relay("subscribed", first, kind), 1)
        shown = metrics(stack)
        assert shown[f'mostro_build_info{{version="{version}"}}'] == 1
        assert shown[f'mostro_listener_info{{listener="listener-1",version="{version}"}}'] == 1
        assert shown[of_relay("refused", first, 14)] == 0
        assert of_relay("last_event_age_seconds", first) not in shown
        first.publish(nostr.gift_wrap(nostr.new_pubkey()))
        wait_until(lambda: metrics(stack).get(of_relay("last_event_age_seconds", first), 99) < 5)
        assert of_relay("last_event_age_seconds", second) not in metrics(stack)
        first.refuse_reqs("blocked: no", times=100)
        first.close_subscriptions("blocked: no")
        waits_for(stack, of_relay("refused", first, 1059), 1)
        waits_for(stack, of_relay("connected", first), 0)
        second.stop()
        waits_for(stack, of_relay("connected", second), 0)
        assert metrics(stack)[of_relay("subscribed", second, 14)] == 0
        assert metrics(stack)[of_relay("refused", second, 14)] == 0


def test_why_fcm_does_not_push(with_google, google):
    stack = with_google
    wait_until(lambda: backend_states(stack, "fcm") == ["up"], what="FCM is up")
    assert backend_states(stack, "unifiedpush") == ["up"]
    pubkeys = [nostr.new_pubkey() for _ in range(3)]
    for n, each in enumerate(pubkeys):
        google.answer(f"token-{n}", [fcm.NO_PERMISSION] * 1000)
        stack.register(each, f"token-{n}")
        stack.notify(each)
    wait_until(lambda: backend_states(stack, "fcm") == ["refused"], what="FCM refuses us")
    why = subprocess.run([LISTENER, "--why", pubkeys[0]], capture_output=True, text=True,
                         check=True, env={**stack.settings, "NOSTR_RELAYS": "wss://a.example"})
    assert "held:           FCM refuses us, for what the listener's log says, as listener-1" in (
        why.stdout)
    stack.redis.set("mostro:paused", "1")
    wait_until(lambda: backend_states(stack, "fcm") == ["paused"], what="pushing is held")
    assert metrics(stack)["mostro_paused"] == 1
    stack.redis.delete("mostro:paused")
    for n in range(3):
        google.forgive(f"token-{n}")
    wait_until(lambda: backend_states(stack, "fcm") == ["up"], what="FCM is up again")
    assert metrics(stack)["mostro_paused"] == 0


def test_how_long_wakes_wait(live, relay, phone, device, pubkey):
    """The oldest one, and what it took each event to be pushed."""
    stack = live
    assert metrics(stack)["mostro_oldest_wake_seconds"] == 0
    stack.redis.set("mostro:paused", "1")
    wait_until(lambda: backend_states(stack, "unifiedpush") == ["paused"], what="it is held")
    relay.publish(nostr.gift_wrap(pubkey))
    wait_until(lambda: metrics(stack)["mostro_oldest_wake_seconds"] >= 2.7, what="it gets older")
    stack.redis.delete("mostro:paused")
    phone.next_push()
    stack.wait_until_idle()
    waits_for(stack, 'mostro_event_to_push_seconds_count{backend="unifiedpush"}', 1)
    shown = metrics(stack)
    assert shown["mostro_oldest_wake_seconds"] == 0
    assert 2.7 <= shown['mostro_event_to_push_seconds_sum{backend="unifiedpush"}'] < 10
    bucket = 'mostro_event_to_push_seconds_bucket{backend="unifiedpush",le="%s"}'
    assert [shown[bucket % le] for le in ("2.5", "10", "+Inf")] == [0, 1, 1]
    # A notify is none, and an event is soon there: before the first was, at least.
    stack.notify(pubkey)
    phone.next_push()
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    waits_for(stack, 'mostro_event_to_push_seconds_count{backend="unifiedpush"}', 2)
    assert metrics(stack)[bucket % "2.5"] == 1


def test_how_many_pubkeys_are_traced(make_stack):
    """Not whose: those that have ended count no more."""
    stack = make_stack()
    stack.start_redis()
    stack.start_api(1)
    assert metrics(stack)["mostro_traced_pubkeys"] == 0
    for _ in range(2):
        subprocess.run([LISTENER, "--trace", nostr.new_pubkey(), "1"], check=True,
                       env={**stack.settings, "NOSTR_RELAYS": "wss://a.example"})
    assert metrics(stack)["mostro_traced_pubkeys"] == 2
    now = stack.redis.time()[0]
    stack.redis.zadd("mostro:traced", {stack.redis.zrange("mostro:traced", 0, 0)[0]: now * 1000})
    assert metrics(stack)["mostro_traced_pubkeys"] == 1


def test_the_inbox_without_a_listener(make_stack, pubkey):
    """What nobody takes gets older, too."""
    stack = make_stack()
    stack.start_redis()
    stack.start_api(1)
    assert stack.notify(pubkey).status == 202
    wait_until(lambda: metrics(stack)["mostro_oldest_wake_seconds"] >= 1, what="it gets older")
    assert metrics(stack)["mostro_listeners"] == 0
    assert not [series for series in metrics(stack) if series.startswith("mostro_relay_connected")]


def test_a_distributor_that_takes_nothing(live, phone, device, pubkey):
    """Hosts are counted, and nowhere named."""
    held = 'mostro_unifiedpush_hosts_held{listener="listener-1"}'
    waits_for(live, held, 0)
    phone.answer(device, [Answer(429)])
    live.notify(pubkey)
    phone.next_push()
    waits_for(live, held, 1)
    page = live.get("/api/metrics", operator=True).body
    assert str(phone.port) not in page.replace(of_any_relay(page), "")
    waits_for(live, held, 0)


def of_any_relay(page):
    """The URL of the one relay, which may be shown."""
    return re.search(r'relay="([^"]*)"', page)[1]


def test_addresses_that_are_refused(make_stack):
    """Each once, however often it asks."""
    stack = make_stack(NOTIFY_RATE_PER_IP_PER_MIN="1")
    stack.start_redis()
    stack.start_api(1)
    refused = 'mostro_refused_addresses_total{limiter="notify"}'
    for _ in range(2):
        client = stack.new_client()
        while stack.notify(nostr.new_pubkey(), client=client).status != 429:
            pass
        for _ in range(5):
            assert stack.notify(nostr.new_pubkey(), client=client).status == 429
    waits_for(stack, refused, 2)
    assert metrics(stack)['mostro_refusals_total{limiter="address"}'] == 12


# ---- The log


def test_what_the_log_tells(make_stack, tmp_path, phone):
    """Five lines at a start, four of each worker, and then one in ten minutes."""
    clock = tmp_path / "clock"
    clock.write_text("0")
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", LOG_LEVEL="info",
                       **preloaded("later", tmp_path))
    stack.start_redis()
    stack.start_api(2)
    with Relay() as first, Relay() as second:
        stack.start_listener(first, second, LATER=str(clock))
        started = re.findall(r" info: startup: (\w+)", stack.listener.output())
        assert started == ["version", "relays", "FCM", "limits", "Redis"]

        def told():
            return re.findall(r" info: startup: (\w+)", stack.workers.output())
        wait_until(lambda: len(told()) >= 8)  # the API answers when one of them has begun
        assert sorted(told()) == sorted(["version", "notify", "addresses", "Redis"] * 2)
        pubkey = nostr.new_pubkey()
        stack.register(pubkey, phone.endpoint())
        first.publish(nostr.gift_wrap(pubkey))
        phone.next_push()
        stack.wait_until_idle()
        wait_until(lambda: stack.stat("wakes_delivered_unifiedpush") == 1)
        assert "listener: in " not in stack.listener.output()
        clock.write_text("600")
        wait_until(lambda: "listener: in " in stack.listener.output(), what="the numbers")
        line, = re.findall(r" info: (listener: in .*)", stack.listener.output())
        assert re.fullmatch(
            r"listener: in 10 min: [12] events came, 1 wakes queued for them; 1 pushes delivered, "
            r"0 to be tried again, 0 given up, 0 tokens dead; now [012] of 2 relays connected, 0 "
            r"wakes here, 0 of them being pushed, [01] registrations", line), line


@pytest.mark.parametrize("report", ["", "{", '{"relays":[{"relay":"a\\"b\\\\c"}]}', "x" * 100_000])
def test_what_redis_holds_is_believed_within_bounds(make_stack, report):
    stack = make_stack()
    stack.start_redis()
    stack.start_api(1)
    stack.redis.hset("mostro:listener:x", mapping={"instance": "1", "version": 'v"1',
                                                   "report": report})
    stack.redis.hset('mostro:listener:bad"name', mapping={"instance": "1", "report": report})
    now = stack.redis.time()[0]
    stack.redis.zadd("mostro:listeners", {"x": now, 'bad"name': now, "gone": now})
    answer = stack.get("/api/metrics", operator=True)
    assert answer.status == 200
    assert 'mostro_listener_info{listener="x",version="unknown"} 1' in answer.body
    assert "bad" not in answer.body and "gone" not in answer.body
    relays = re.findall(r'mostro_relay_connected\{listener="x",relay="(.*)"\}', answer.body)
    assert relays == (['a\\"b\\\\c'] if "relays" in report else [])
