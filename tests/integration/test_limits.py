"""The limits: one decision across all workers, exact bursts, and no address in Redis.

Where a burst is counted exactly the rate is 1 a minute, so that nothing is refilled meanwhile."""
import concurrent.futures
import http.client
import json
import socket
import struct

import pytest
import redis

import fastcgi
import nostr
from loopback import HOST
from stack import SLOW, wait_until
from web_servers import WEB_SERVERS


@pytest.fixture(scope="module", params=WEB_SERVERS)
def web_server(request):
    return request.param


@pytest.fixture
def make_api(make_stack):
    def make(workers=2, **settings):
        stack = make_stack(**settings)
        stack.start_redis()
        stack.start_api(workers)
        return stack
    return make


def at_once(n, request):
    """request(i) for each i, 16 connections at a time; the answers."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return list(pool.map(request, range(n)))


def statuses(answers):
    return sorted(answer.status for answer in answers)


def test_burst_of_a_pubkey_across_workers(make_api):
    api = make_api(workers=4, **SLOW)
    pubkey = nostr.new_pubkey()
    answers = at_once(25, lambda i: api.notify(pubkey.upper() if i % 2 else pubkey))
    assert statuses(answers) == [202] * 10 + [429] * 15
    assert {answer.header("Retry-After") for answer in answers} == {None, "60"}
    assert api.notify(nostr.new_pubkey()).status == 202


def test_burst_of_an_address_across_workers(make_api):
    api = make_api(workers=4, **SLOW)
    client = api.new_client()
    answers = at_once(60, lambda _: api.notify(nostr.new_pubkey(), client=client))
    assert statuses(answers) == [202] * 30 + [429] * 30
    assert api.notify(nostr.new_pubkey()).status == 202


def test_burst_of_registering_across_workers(make_api):
    api = make_api(workers=4, **SLOW)
    client = api.new_client()

    def request(i):
        body = {"trade_pubkey": nostr.new_pubkey(), "token": f"token-{i}", "platform": "ios"}
        return api.post("/api/unregister" if i % 3 == 0 else "/api/register", body, client=client)
    assert statuses(at_once(130, request)) == [200] * 100 + [429] * 30
    # A bucket of its own: the same address may still notify, and look.
    assert api.notify(nostr.new_pubkey(), client=client).status == 202
    for _ in range(3):
        for path in ("/api/health", "/api/info", "/api/status"):
            assert api.get(path, client=client).status == 200


def test_one_worker_accepts_on_a_kept_connection_too(make_api):
    """Several requests on one connection of the client's are as many requests."""
    api = make_api(**SLOW)
    connection = http.client.HTTPConnection(HOST, api.http_port, timeout=5)
    pubkey, found = nostr.new_pubkey(), []
    try:
        for _ in range(12):
            connection.request("POST", "/api/notify", json.dumps({"trade_pubkey": pubkey}),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            found.append(answer.status)
    finally:
        connection.close()
    assert found == [202] * 10 + [429] * 2


def test_registering_without_a_limit(make_api):
    api = make_api(**{**SLOW, "REGISTER_RATE_PER_IP_PER_MIN": "0"})
    client = api.new_client()
    answers = at_once(110, lambda _: api.post(
        "/api/unregister", {"trade_pubkey": nostr.new_pubkey()}, client=client))
    assert statuses(answers) == [200] * 110


# ---- New pubkeys


def register_from(api, client, pubkey=None, headers=None, token="token-1"):
    body = {"trade_pubkey": pubkey or nostr.new_pubkey(), "token": token, "platform": "ios"}
    return api.post("/api/register", body, client=client,
                    headers={"Content-Type": "application/json", **(headers or {})})


def buckets(api):
    return {key: api.redis.get(key) for key in api.redis.scan_iter("mostro:limit:*")}


def test_new_pubkeys_have_a_limit_of_their_own(make_api):
    """And a renewal is free, whatever has been refused before."""
    api = make_api(REGISTER_RATE_PER_IP_PER_MIN="0", REGISTER_NEW_PER_IP_PER_DAY="3")
    client = api.new_client()
    pubkeys = [nostr.new_pubkey() for _ in range(6)]
    found = [register_from(api, client, pubkey) for pubkey in pubkeys]
    assert statuses(found) == [200] * 3 + [429] * 3
    refused = found[-1]
    assert (refused.body, refused.header("Retry-After")) == (
        '{"success":false,"message":"rate limited"}', str(24 * 60 * 60 // 3))
    for pubkey in pubkeys[:3] * 5:
        assert register_from(api, client, pubkey, token="token-2").status == 200
    assert not api.is_registered(pubkeys[3])
    assert api.post("/api/unregister", {"trade_pubkey": pubkeys[0]}, client=client).status == 200
    assert register_from(api, client, pubkeys[0]).status == 429
    assert register_from(api, api.new_client(), pubkeys[3]).status == 200
    wait_until(lambda: api.stat("refused_new") == 4)


def test_what_is_refused_spends_nothing(make_api):
    """Neither for its new pubkey nor of what the address may ask for."""
    api = make_api(**SLOW, REGISTER_NEW_PER_IP_PER_DAY="2")
    client = api.new_client()
    assert statuses([register_from(api, client) for _ in range(2)]) == [200] * 2
    before = buckets(api)
    assert {key.split(":")[2] for key in before} == {"register", "new"}
    assert statuses([register_from(api, client) for _ in range(20)]) == [429] * 20
    assert buckets(api) == before
    # Not where the other one was full, either.
    api.redis.delete(*(key for key in before if ":register:" in key))
    assert register_from(api, client).status == 429
    assert buckets(api) == {key: value for key, value in before.items() if ":new:" in key}
    api.redis.mset(before)
    # And what the address's limit refuses spends nothing of the other.
    body = {"trade_pubkey": nostr.new_pubkey()}
    found = [api.post("/api/unregister", body, client=client) for _ in range(98)]
    assert statuses(found) == [200] * 98
    for key in before:
        if ":new:" in key:
            api.redis.delete(key)
    assert register_from(api, client).status == 429
    assert [key for key in buckets(api) if ":new:" in key] == []


def test_what_finds_no_room_is_no_new_pubkey(make_api):
    api = make_api(MAX_REGISTRATIONS="1", REGISTER_NEW_PER_IP_PER_DAY="2")
    client = api.new_client()
    assert register_from(api, client).status == 200
    assert statuses([register_from(api, client) for _ in range(5)]) == [503] * 5
    assert [int(api.redis.get(key)) - int(api.redis.time()[0]) * 1_000_000 > 43_300_000_000
            for key in api.redis.scan_iter("mostro:limit:new:*")] == [False]


def test_new_pubkeys_of_an_ipv6_site(make_api):
    """By the /64, and all that a customer has: his /48."""
    api = make_api(REGISTER_RATE_PER_IP_PER_MIN="0", REGISTER_NEW_PER_IP_PER_DAY="3",
                   NOTIFY_TRUST_PROXY_HEADERS="true")

    def register_as(address):
        return register_from(api, api.new_client(), headers={"X-Forwarded-For": address}).status
    assert [register_as(f"2001:db8:1:{i:x}::1") for i in range(5)] == [200] * 3 + [429] * 2
    assert [register_as(f"2001:db8:2::{i:x}") for i in range(5)] == [200] * 3 + [429] * 2
    assert [register_as(f"203.0.113.{i}") for i in range(5)] == [200] * 5
    assert len(list(api.redis.scan_iter("mostro:limit:new:*"))) == 3 + 1 + 1 + 1 + 5


def test_the_burst_of_new_pubkeys(make_api):
    """500, as a node's users behind one address may need; and none without a limit."""
    api = make_api(REGISTER_RATE_PER_IP_PER_MIN="0")
    client = api.new_client()
    assert statuses(at_once(510, lambda _: register_from(api, client))) == [200] * 500 + [429] * 10
    api = make_api(REGISTER_RATE_PER_IP_PER_MIN="0", REGISTER_NEW_PER_IP_PER_DAY="0")
    client = api.new_client()
    assert statuses(at_once(510, lambda _: register_from(api, client))) == [200] * 510
    assert not list(api.redis.scan_iter("mostro:limit:*"))


@pytest.mark.parametrize("body, status", [(b"{", 400), (b'{"trade_pubkey":"bad"}', 400),
                                          (b"x" * 9000, 413)])
def test_malformed_requests_spend_the_address_limit(make_api, body, status):
    api = make_api(**SLOW)
    client = api.new_client()
    found = [api.post("/api/notify", body, client=client).status for _ in range(30)]
    assert found == [status] * 30
    assert api.notify(nostr.new_pubkey(), client=client).status == 429
    assert api.post("/api/notify", body, client=client).status == 429
    assert api.wakes_added() == 0


def test_malformed_registrations_spend_the_limit(make_api):
    api = make_api(**SLOW)
    client = api.new_client()
    answers = [api.post("/api/register", b"{", client=client) for _ in range(100)]
    assert statuses(answers) == [400] * 100
    body = {"trade_pubkey": nostr.new_pubkey()}
    assert api.post("/api/unregister", body, client=client).status == 429


def test_a_refusal_advances_no_bucket(make_api):
    api = make_api(**SLOW)
    client, pubkey = api.new_client(), nostr.new_pubkey()
    for _ in range(10):
        assert api.notify(pubkey).status == 202
    bucket = f"mostro:limit:pubkey:{pubkey}"
    before = api.redis.get(bucket)
    assert [api.notify(pubkey).status for _ in range(5)] == [429] * 5
    assert api.redis.get(bucket) == before

    for _ in range(30):
        assert api.notify(nostr.new_pubkey(), client=client).status == 202
    before = address_buckets(api)
    other = nostr.new_pubkey()
    assert [api.notify(other, client=client).status for _ in range(5)] == [429] * 5
    assert address_buckets(api) == before
    # Refused by its address, a request leaves the pubkey alone.
    assert not api.redis.exists(f"mostro:limit:pubkey:{other}")


def address_buckets(api):
    return {key: api.redis.get(key) for key in api.redis.scan_iter("mostro:limit:*:ip:*")}


@pytest.mark.parametrize("registered", [True, False])
def test_one_deferred_wake(make_api, registered):
    api = make_api(**SLOW)
    pubkey = nostr.new_pubkey()
    if registered:
        api.register(pubkey, "token-1")
    assert statuses(at_once(18, lambda _: api.notify(pubkey))) == [202] * 10 + [429] * 8
    wakes = [wake for _, wake in api.redis.xrange("mostro:wakes")]
    assert [wake["pk"] for wake in wakes] == [pubkey] * 11
    due = sorted(int(wake["not_before"]) for wake in wakes)
    now = api.redis.time()[0] * 1000
    assert all(each <= now + 1000 for each in due[:10])
    assert now + 50_000 < due[10] <= now + 61_000


def test_a_limit_is_refilled(make_api):
    api = make_api(NOTIFY_RATE_PER_PUBKEY_PER_MIN="120")
    pubkey = nostr.new_pubkey()
    wait_until(lambda: api.notify(pubkey).status == 429)
    wait_until(lambda: api.notify(pubkey).status == 202, timeout=3)


def test_a_refused_address_is_let_in_again(make_api):
    api = make_api(NOTIFY_RATE_PER_IP_PER_MIN="120")
    client = api.new_client()
    wait_until(lambda: api.notify(nostr.new_pubkey(), client=client).status == 429)
    wait_until(lambda: api.notify(nostr.new_pubkey(), client=client).status == 202, timeout=3)


# ---- A clock that is set back: what has been noted then lies further ahead than it ever could

HOUR_MS = 3_600_000


def plant_ahead(api, key):
    """Makes a bucket as if an hour had been taken from it."""
    seconds, micros = api.redis.time()
    api.redis.set(key, (seconds + 3600) * 1_000_000 + micros, px=HOUR_MS)


def test_a_clock_set_back_locks_no_pubkey_out(make_api):
    api = make_api(**SLOW)
    pubkey = nostr.new_pubkey()
    plant_ahead(api, f"mostro:limit:pubkey:{pubkey}")
    assert statuses(at_once(12, lambda _: api.notify(pubkey))) == [202] * 10 + [429] * 2


def test_a_clock_set_back_locks_no_address_out(make_api):
    api = make_api(**SLOW)
    client = api.new_client()
    assert api.notify(nostr.new_pubkey(), client=client).status == 202
    (bucket,) = address_buckets(api)
    plant_ahead(api, bucket)
    assert [api.notify(nostr.new_pubkey(), client=client).status
            for _ in range(31)] == [202] * 30 + [429]


def test_a_clock_set_back_silences_nobody(make_api):
    """A deferral that seems to hold for an hour covers nothing."""
    api = make_api(**SLOW)
    pubkey = nostr.new_pubkey()
    for _ in range(10):
        assert api.notify(pubkey).status == 202
    api.redis.set(f"mostro:due:{pubkey}", "relay", px=HOUR_MS)
    assert api.notify(pubkey).status == 429
    assert api.wakes_added() == 11
    assert api.notify(pubkey).status == 429
    assert api.wakes_added() == 11


# ---- Events


def take(api, pubkey, event=None, author="", stored_by="", sent_by=""):
    """What Redis makes of one event, as a listener offers it; a new one where none is named."""
    return api.redis.fcall("mostro3_events", 1, "mostro:", 60_000_000, 10, 100_000,
                           event or nostr.new_pubkey(), pubkey, author, stored_by, sent_by)[0]


def take_all(api, pubkey, events):
    """The same of many live ones, in one call, where there is no limit."""
    words = [word for event in events for word in (event, pubkey, "", "", "")]
    return api.redis.fcall("mostro3_events", 1, "mostro:", 1, 1_000_000, 100_000, *words)


def now_ms(api):
    seconds, micros = api.redis.time()
    return seconds * 1000 + micros // 1000


def wakes(api):
    """(how it was queued, how many milliseconds later it is due) of every wake that waits."""
    return [(entry["via"], int(entry["not_before"]) - int(name.split("-")[0]))
            for name, entry in api.redis.xrange("mostro:wakes")]


# ---- Events that are repeated

@pytest.mark.parametrize("before", [None, "notify"])
def test_a_repeated_event_over_the_limit_covers_no_other(make_api, before):
    """Caught up on by one listener and then live to another, say: no wake is queued for it, so the
    next event needs its own."""
    api = make_api(**SLOW)
    pubkey, old, new = (nostr.new_pubkey() for _ in range(3))
    api.register(pubkey, "token-1")

    assert take(api, pubkey, old, stored_by=now_ms(api)) == "queued"
    for _ in range(10 if before is None else 11):
        api.notify(pubkey)
    added = api.wakes_added()
    assert api.redis.get(f"mostro:due:{pubkey}") == before
    assert take(api, pubkey, old) == "repeated"
    assert api.redis.get(f"mostro:due:{pubkey}") == before
    assert take(api, pubkey, new) == "deferred"
    assert api.wakes_added() == added + 1
    assert 50_000 < api.redis.pttl(f"mostro:due:{pubkey}") <= 60_000


# ---- Which events have woken

def kept(api, pubkey):
    """(half of an id, when it was taken in microseconds), oldest first."""
    with redis.Redis(unix_socket_path=str(api.socket)) as client:
        return client.zrange(f"mostro:woke:{pubkey}", 0, -1, withscores=True)


def ids_kept(api, pubkey):
    return [half.hex() for half, _ in kept(api, pubkey)]


def flooded(api, pubkey, n=200):
    """The ids of so many events that have woken one pubkey, in 64 a call, as a listener has it."""
    events = [nostr.new_pubkey() for _ in range(n)]
    for i in range(0, n, 64):
        batch = events[i:i + 64]
        assert take_all(api, pubkey, batch) == ["queued"] * len(batch)
    return events


def test_64_ids_of_a_pubkey_are_kept(make_api):
    """The newest, whatever they are and however they came: who sends more takes no more of Redis."""
    api = make_api()
    pubkey, other = nostr.new_pubkey(), nostr.new_pubkey()
    api.register(pubkey, "token-1")
    api.register(other, "token-2")
    alone = nostr.new_pubkey()
    assert take(api, other, alone) == "queued"
    events = flooded(api, pubkey)
    assert ids_kept(api, pubkey) == [event[:32] for event in events[-64:]]
    used = api.redis.memory_usage(f"mostro:woke:{pubkey}", samples=0)
    assert used < 2304
    flooded(api, pubkey, 1000)
    assert api.redis.memory_usage(f"mostro:woke:{pubkey}", samples=0) <= used
    # Nobody else's are forgotten.
    assert take(api, other, alone) == "repeated"


def test_a_copy_of_an_event_whose_id_is_forgotten(make_api):
    """From another relay, or by another listener, a little later than many others."""
    api = make_api()
    pubkey = nostr.new_pubkey()
    api.register(pubkey, "token-1")
    events = flooded(api, pubkey)
    added = api.wakes_added()
    assert take_all(api, pubkey, events) == ["repeated"] * len(events)
    assert api.wakes_added() == added
    assert take(api, pubkey) == "queued"


def test_stored_events_whose_ids_are_forgotten(make_api):
    """Those that must have been sent before the newest that is known have had a wake after them; of
    the others nobody knows."""
    api = make_api()
    pubkey = nostr.new_pubkey()
    api.register(pubkey, "token-1")
    flooded(api, pubkey, 63)
    now = now_ms(api)
    assert take(api, pubkey, stored_by=now, sent_by=now - 2 * HOUR_MS) == "queued"
    by = now + 10_000  # after that wake, which would cover them otherwise
    assert take(api, pubkey, stored_by=by, sent_by=now - 2 * HOUR_MS) == "repeated"
    assert take(api, pubkey, stored_by=by, sent_by=now - HOUR_MS + 5000) == "queued"
    # Nothing is known of when they were sent if the clock has been set back.
    newest, at = kept(api, pubkey)[-1]
    later = at + 3 * HOUR_MS * 1000
    api.redis.zadd(f"mostro:woke:{pubkey}", {newest: later})
    assert take(api, pubkey, stored_by=by + 10_000, sent_by=now - 2 * HOUR_MS) == "queued"
    assert kept(api, pubkey)[-1][1] == later + 1


def test_an_event_whose_wake_was_deferred_wakes_no_more(make_api):
    """Nor one that was covered by a deferred wake."""
    api = make_api(**SLOW)
    pubkey = nostr.new_pubkey()
    api.register(pubkey, "token-1")
    for _ in range(10):
        assert api.notify(pubkey).status == 202
    events = [nostr.new_pubkey() for _ in range(3)]
    assert [take(api, pubkey, event) for event in events] == ["deferred"] * 3
    api.redis.delete(f"mostro:limit:pubkey:{pubkey}", f"mostro:due:{pubkey}")  # time has passed
    added = api.wakes_added()
    assert [take(api, pubkey, event) for event in events] == ["repeated"] * 3
    api.redis.delete(*(f"mostro:seen:{event}" for event in events))
    by = now_ms(api)
    assert [take(api, pubkey, event, stored_by=by) for event in events] == ["repeated"] * 3
    assert api.wakes_added() == added


def test_who_registers_again_is_not_woken_by_what_has_woken_him(make_api):
    api = make_api()
    pubkey, event = nostr.new_pubkey(), nostr.new_pubkey()
    api.register(pubkey, "token-1")
    assert take(api, pubkey, event) == "queued"
    assert api.post("/api/unregister", {"trade_pubkey": pubkey}).status == 200
    assert take(api, pubkey) == "unregistered"
    assert ids_kept(api, pubkey) == [event[:32]]
    api.register(pubkey, "token-2")
    assert take(api, pubkey, event, stored_by=now_ms(api)) == "repeated"


# ---- What catching up brings

GATHERED_MS = 2000


def about(ms):
    """Less by what lies between two readings of the clock, in which Redis may stand still."""
    return range(ms - 500, ms + 21)


def test_stored_events_make_one_wake(make_api):
    api = make_api(**SLOW)
    pubkey, other = nostr.new_pubkey(), nostr.new_pubkey()
    api.register(pubkey, "token-1")
    api.register(other, "token-2")
    by = now_ms(api)
    assert [take(api, pubkey, stored_by=by) for _ in range(100)] == ["queued"] + ["covered"] * 99
    assert take(api, other, stored_by=by) == "queued"
    # A second listener finds more, at a relay that it is connected to as long.
    assert take(api, pubkey, stored_by=by + 500) == "covered"
    assert [via for via, _ in wakes(api)] == ["relay", "relay"]
    assert all(ms in about(GATHERED_MS) for _, ms in wakes(api))
    # What one has covered wakes nobody later.
    event = nostr.new_pubkey()
    assert take(api, pubkey, event, stored_by=by) == "covered"
    assert take(api, pubkey, event) == "repeated"
    # And a live one is not kept waiting.
    assert take(api, pubkey) == "queued"
    assert wakes(api)[-1][1] in about(0)


def test_what_was_stored_after_the_wake_has_its_own(make_api):
    """A relay that comes back later may show what a phone that was woken before has not seen."""
    api = make_api(**SLOW)
    pubkey = nostr.new_pubkey()
    api.register(pubkey, "token-1")
    by = now_ms(api)
    assert take(api, pubkey, stored_by=by) == "queued"
    assert take(api, pubkey, stored_by=by + 10_000) == "queued"
    assert len(wakes(api)) == 2


def test_an_old_wake_covers_what_is_found_late(make_api):
    """Catching up with a relay that has much takes minutes: as if a while had passed since."""
    api = make_api(**SLOW)
    pubkey = nostr.new_pubkey()
    api.register(pubkey, "token-1")
    by = now_ms(api) - 300_000
    api.redis.set(f"mostro:caught_up:{pubkey}", f"relay {by + 2500}", px=HOUR_MS)
    assert take(api, pubkey, stored_by=by) == "covered"
    assert take(api, pubkey, stored_by=by + 2000) == "queued"


def test_a_clock_set_back_keeps_no_phone_asleep(make_api):
    api = make_api(**SLOW)
    pubkey = nostr.new_pubkey()
    api.register(pubkey, "token-1")
    api.redis.set(f"mostro:caught_up:{pubkey}", f"relay {now_ms(api) + HOUR_MS}", px=HOUR_MS)
    assert take(api, pubkey, stored_by=now_ms(api)) == "queued"


def test_stored_events_of_who_is_not_registered_leave_nothing(make_api):
    api = make_api(**SLOW)

    def keys():  # but for the counters, which a worker may add to meanwhile
        return set(api.redis.keys("*")) - {"mostro:stats"}
    before = keys()
    assert take(api, nostr.new_pubkey(), author=nostr.new_pubkey(),
                stored_by=now_ms(api)) == "unregistered"
    assert keys() == before


# ---- Who writes, and how much: what is not to be seen still wakes


def test_a_stranger_wakes_silently_where_a_node_is_named(make_api):
    api = make_api()
    node, pubkey = nostr.new_pubkey(), nostr.new_pubkey()
    api.register(pubkey, "token-1", mostro_pubkey=node.upper())
    assert api.redis.hget(f"mostro:token:{pubkey}", "mostro_pubkey") == node
    for author in (node, nostr.new_pubkey(), ""):
        assert take(api, pubkey, author=author) == "queued"
    assert [via for via, _ in wakes(api)] == ["relay", "quiet", "relay"]
    # Stored ones alike; a visible one is not covered by one that is not.
    by = now_ms(api)
    found = [take(api, pubkey, author=author, stored_by=by)
             for author in (nostr.new_pubkey(), nostr.new_pubkey(), node, nostr.new_pubkey())]
    assert found == ["queued", "covered", "queued", "covered"]
    assert [via for via, _ in wakes(api)][3:] == ["quiet", "relay"]


@pytest.mark.parametrize("fields", [{}, {"mostro_pubkey": None}, {"mostro_pubkey": ""},
                                    {"mostro_pubkey": "nonsense"}], ids=repr)
def test_a_renewal_without_a_node_heeds_all(make_api, fields):
    api = make_api()
    pubkey = nostr.new_pubkey()
    api.register(pubkey, "token-1", mostro_pubkey=nostr.new_pubkey())
    api.register(pubkey, "https://push.example.org/x", **fields)
    found = api.redis.hgetall(f"mostro:token:{pubkey}")
    assert found["device_id"] and "mostro_pubkey" not in found
    assert take(api, pubkey, author=nostr.new_pubkey()) == "queued"
    assert wakes(api)[0][0] == "relay"


def test_after_ten_visible_wakes_they_are_silent(make_api):
    """One more each ten minutes is visible."""
    api = make_api(NOTIFY_RATE_PER_PUBKEY_PER_MIN="60000")
    pubkey, other = nostr.new_pubkey(), nostr.new_pubkey()
    api.register(pubkey, "token-1")
    api.register(other, "token-2")

    def take_many(n):
        for _ in range(n):
            api.redis.delete(f"mostro:limit:pubkey:{pubkey}")
            assert take(api, pubkey) == "queued"
    take_many(13)
    assert [via for via, _ in wakes(api)] == ["relay"] * 10 + ["quiet"] * 3
    key = f"mostro:loud:{pubkey}"
    assert 0 < api.redis.pttl(key) <= 6_000_000
    api.redis.set(key, int(api.redis.get(key)) - 600_000_000)  # as if ten minutes had passed
    take_many(2)
    assert [via for via, _ in wakes(api)][13:] == ["relay", "quiet"]
    assert take(api, pubkey, stored_by=now_ms(api)) == "queued"
    assert take(api, other) == "queued"
    assert [via for via, _ in wakes(api)][15:] == ["quiet", "relay"]


def test_who_is_not_registered_has_no_visible_wakes_to_spend(make_api):
    api = make_api(**SLOW)
    pubkey = nostr.new_pubkey()
    for _ in range(12):
        assert take(api, pubkey, author=nostr.new_pubkey()) == "unregistered"
    assert sorted(key.split(":")[1] for key in api.redis.keys(f"*{pubkey}")) == ["due", "limit"]


def test_a_silent_wake_that_is_deferred_covers_no_visible_one(make_api):
    api = make_api(**SLOW)
    node, pubkey = nostr.new_pubkey(), nostr.new_pubkey()
    api.register(pubkey, "token-1", mostro_pubkey=node)
    for _ in range(10):
        assert api.notify(pubkey).status == 202
    due = f"mostro:due:{pubkey}"

    def deferred():
        return [via for via, ms in wakes(api) if ms > 1000]
    for author, noted, queued in (
            (nostr.new_pubkey(), "quiet", ["quiet"]),
            (nostr.new_pubkey(), "quiet", ["quiet"]),
            (node, "relay", ["quiet", "relay"]),
            (nostr.new_pubkey(), "relay", ["quiet", "relay"]),
            (node, "relay", ["quiet", "relay"])):
        assert take(api, pubkey, author=author) == "deferred"
        assert (api.redis.get(due), deferred()) == (noted, queued)
        assert 50_000 < api.redis.pttl(due) <= 60_000
        assert api.notify(pubkey).status == 429
        assert deferred() == queued


def test_a_silent_event_outlives_a_notify_that_is_deferred(make_api):
    """The notify would be given up after an hour."""
    api = make_api(**SLOW)
    pubkey = nostr.new_pubkey()
    api.register(pubkey, "token-1", mostro_pubkey=nostr.new_pubkey())
    for _ in range(11):
        api.notify(pubkey)
    assert take(api, pubkey, author=nostr.new_pubkey()) == "deferred"
    assert [via for via, ms in wakes(api) if ms > 1000] == ["notify", "quiet"]
    assert api.redis.get(f"mostro:due:{pubkey}") == "quiet"


# ---- Addresses


def everything_in(redis):
    """All keys and values, as text."""
    found = []
    for key in redis.scan_iter():
        kind = redis.type(key)
        value = {
            "string": lambda: redis.get(key),
            "hash": lambda: redis.hgetall(key),
            "set": lambda: redis.smembers(key),
            "zset": lambda: redis.zrange(key, 0, -1, withscores=True),
            "list": lambda: redis.lrange(key, 0, -1),
            "stream": lambda: redis.xrange(key),
        }[kind]()
        found.append(f"{key} {value!r}")
    return "\n".join(found)


def test_addresses_are_in_redis_as_hashes_only(make_api):
    api = make_api(NOTIFY_TRUST_PROXY_HEADERS="true")
    address, pubkey = "203.0.113.77", nostr.new_pubkey()
    headers = {"Content-Type": "application/json", "X-Forwarded-For": address}
    client = api.new_client()
    api.post("/api/notify", {"trade_pubkey": pubkey}, headers)
    api.notify(pubkey, client=client)
    body = {"trade_pubkey": pubkey, "token": "token-1", "platform": "ios"}
    api.post("/api/register", body, headers)
    api.post("/api/register", body, client=client)
    content = everything_in(api.redis)
    for each in (address, client):
        packed = socket.inet_aton(each)
        number = struct.unpack(">I", packed)[0]
        for form in (each, packed.hex(), str(number)):
            assert form not in content.lower()
    buckets = [key.rsplit(":", 1) for key in address_buckets(api)]
    assert sorted(name for name, _ in buckets) == (
        ["mostro:limit:new:ip"] + ["mostro:limit:notify:ip"] * 2 +
        ["mostro:limit:register:ip"] * 2)
    hashes = [name for _, name in buckets]
    assert all(len(name) == 32 and int(name, 16) for name in hashes)


def test_another_redis_another_key_of_the_hashes(make_api):
    one, two = make_api(), make_api()
    client = one.new_client()
    for api in (one, two):
        api.notify(nostr.new_pubkey(), client=client)
    assert set(address_buckets(one)).isdisjoint(address_buckets(two))


def forwarded(api, client, **headers):
    """One notify with forwarding headers (Fly_Client_IP stands for Fly-Client-IP)."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.notify(nostr.new_pubkey(), client=client,
                      headers={"Content-Type": "application/json", **headers}).status


def test_forwarding_headers_are_not_trusted_by_default(make_api):
    api = make_api(**SLOW)
    client = api.new_client()
    found = [forwarded(api, client, X_Forwarded_For=f"203.0.113.{i}",
                       Fly_Client_IP=f"198.51.100.{i}") for i in range(33)]
    assert found == [202] * 30 + [429] * 3


def test_the_rightmost_forwarded_address_counts(make_api):
    api = make_api(**SLOW, NOTIFY_TRUST_PROXY_HEADERS="true")
    found = [forwarded(api, api.new_client(), X_Forwarded_For=f"10.0.0.{i}, 203.0.113.1")
             for i in range(33)]
    assert found == [202] * 30 + [429] * 3
    client = api.new_client()
    assert forwarded(api, client, X_Forwarded_For="203.0.113.1, 203.0.113.2") == 202
    assert forwarded(api, client, X_Forwarded_For="203.0.113.1") == 429
    # IPv4 in IPv6's clothes is the same client.
    assert forwarded(api, client, X_Forwarded_For="::ffff:203.0.113.1") == 429
    assert forwarded(api, client) == 202


def test_fly_client_ip_counts_before_forwarded_for(make_api):
    api = make_api(**SLOW, NOTIFY_TRUST_PROXY_HEADERS="true")
    found = [forwarded(api, api.new_client(), Fly_Client_IP="203.0.113.1",
                       X_Forwarded_For=f"198.51.100.{i}") for i in range(33)]
    assert found == [202] * 30 + [429] * 3


def test_ipv6_clients_count_by_their_network(make_api):
    api = make_api(**SLOW, NOTIFY_TRUST_PROXY_HEADERS="true")
    found = [forwarded(api, api.new_client(), X_Forwarded_For=f"2001:db8:1:2:{i:x}::1")
             for i in range(33)]
    assert found == [202] * 30 + [429] * 3
    assert forwarded(api, api.new_client(), X_Forwarded_For="2001:db8:1:3::1") == 202


def bucket_by_fastcgi(api, *pairs, peer):
    """The bucket that a notify spends whose parameters have been made by any web server."""
    for key in address_buckets(api):
        api.redis.delete(key)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(api.directory / "fcgi.sock"))
        connection.sendall(fastcgi.request(*pairs, REQUEST_METHOD="POST", REMOTE_ADDR=peer,
                                           REQUEST_URI="/api/notify", CONTENT_LENGTH="0"))
        assert fastcgi.status(connection) == 400
    [bucket] = address_buckets(api)
    return bucket


def test_parameters_of_any_web_server(make_api):
    """Some make one parameter of Fly-Client-IP and Fly_Client_IP, in either order, or two; some say
    with an empty one that the header is not there."""
    api = make_api(**SLOW, NOTIFY_TRUST_PROXY_HEADERS="true")
    real, spoof, other, peer = "203.0.113.1", "198.51.100.1", "192.0.2.77", "127.0.0.1"
    fly, forwarded_for = "HTTP_FLY_CLIENT_IP", "HTTP_X_FORWARDED_FOR"

    def spends(*pairs):
        return bucket_by_fastcgi(api, *pairs, peer=peer)
    by = {address: bucket_by_fastcgi(api, peer=address) for address in (real, spoof, other, peer)}
    assert len(set(by.values())) == 4
    for pairs, expected in (
        ([(fly, real)], real),
        ([(forwarded_for, real)], real),
        ([(fly, real), (forwarded_for, spoof)], real),
        ([(forwarded_for, f"{spoof}, {real}")], real),
        # More than one in one or in several parameters, where the proxy's is X-Forwarded-For.
        ([(fly, spoof), (fly, other), (forwarded_for, real)], real),
        ([(fly, f"{spoof}, {other}"), (forwarded_for, real)], real),
        ([(fly, ""), (fly, spoof), (forwarded_for, real)], real),
        ([(fly, spoof), (forwarded_for, real), (fly, "")], real),
        # Where it is Fly-Client-IP.
        ([(fly, real), (forwarded_for, spoof), (forwarded_for, other)], real),
        ([(forwarded_for, spoof), (fly, real), (forwarded_for, "")], real),
        # Which of them is the proxy's cannot be told, or none is.
        ([(fly, real), (fly, spoof)], peer),
        ([(fly, spoof), (fly, real)], peer),
        ([(fly, f"{real}, {spoof}")], peer),
        ([(forwarded_for, real), (forwarded_for, spoof)], peer),
        ([(forwarded_for, spoof), (forwarded_for, real)], peer),
        ([(fly, real), (fly, spoof), (forwarded_for, spoof), (forwarded_for, "")], peer),
        ([(fly, spoof), (fly, ""), (forwarded_for, "")], peer),
        ([("HTTP_FLY-CLIENT-IP", spoof), ("http_fly_client_ip", spoof)], peer),
        ([("HTTP_X-FORWARDED-FOR", spoof), ("HTTP_FORWARDED", f"for={spoof}")], peer),
    ):
        assert spends(*pairs) == by[expected], pairs


@pytest.mark.parametrize("mine, others", [
    (("Fly-Client-IP", "HTTP_FLY_CLIENT_IP"), "HTTP_X_FORWARDED_FOR"),
    (("x-forwarded-for", "HTTP_X_FORWARDED_FOR"), "HTTP_FLY_CLIENT_IP"),
])
def test_only_the_header_that_the_proxy_sets(make_api, mine, others):
    """Named, it is safe behind any web server: the other one may be a client's."""
    name, parameter = mine
    api = make_api(**SLOW, NOTIFY_TRUST_PROXY_HEADERS=name)
    real, spoof, peer = "203.0.113.1", "198.51.100.1", "127.0.0.1"
    by = {address: bucket_by_fastcgi(api, peer=address) for address in (real, peer)}
    for pairs, expected in (
        ([(parameter, real)], real),
        ([(parameter, real), (others, spoof)], real),
        ([(others, spoof), (others, spoof), (parameter, real)], real),
        ([(others, spoof)], peer),
        ([(others, spoof), (parameter, "")], peer),
        ([(others, spoof), (parameter, spoof), (parameter, real)], peer),
    ):
        assert bucket_by_fastcgi(api, *pairs, peer=peer) == by[expected], pairs
    # It is not taken for one that forwards unasked: registering is limited.
    client = api.new_client()
    answers = [api.post("/api/unregister", {"trade_pubkey": nostr.new_pubkey()},
                        client=client).status for _ in range(101)]
    assert answers == [200] * 100 + [429]


def test_an_untrusted_proxy_does_not_exhaust_registering(make_api):
    """Phones behind a proxy that the settings do not name share an address: no limit is better."""
    api = make_api(**SLOW)
    client = api.new_client()
    headers = {"Content-Type": "application/json", "X-Forwarded-For": "203.0.113.1"}
    answers = at_once(110, lambda _: api.post(
        "/api/unregister", {"trade_pubkey": nostr.new_pubkey()}, headers, client=client))
    assert statuses(answers) == [200] * 110
