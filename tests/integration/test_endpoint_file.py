"""The one file on disk: it holds the endpoints that are registered, and brings their phones back
when Redis has lost its data."""
import hashlib
import json
import random
import signal
import stat
import time

import pytest

import nostr
import web_push
from stack import registering, wait_until

NAME = "data/unifiedpush_endpoints.json"
LARGEST = 64 * 1024 * 1024
HOUR_MS = 3_600_000
TTL_MS = 720 * HOUR_MS


def device_id(url):
    return hashlib.sha256(url.encode()).hexdigest()[:32]


def without_duplicates(pairs):
    found = dict(pairs)
    assert len(found) == len(pairs)
    return found


def read(stack):
    """The file's records; it must be whole whenever it is there."""
    text = (stack.directory / NAME).read_text()
    return json.loads(text, object_pairs_hook=without_duplicates)


def urls(stack):
    try:
        return {record["endpoint_url"] for record in read(stack).values()}
    except FileNotFoundError:
        return None


def wait_for(stack, *wanted, timeout=5):
    wait_until(lambda: urls(stack) == set(wanted), timeout, f"the file holds {wanted}")


def register_for(stack, pubkey, url, ms):
    """As the responder does it, but to the millisecond: others expire at whole five minutes."""
    stack.redis.fcall(*registering(pubkey, HOUR_MS, url, device_id=device_id(url)))
    expire(stack, pubkey, url, ms)


def expire(stack, pubkey, url, ms):
    """The registration ends so long from now on."""
    users, expiry = f"mostro:endpoint:{device_id(url)}", int(time.time() * 1000) + ms
    stack.redis.zadd(users, {pubkey: expiry})
    stack.redis.pexpireat(users, int(stack.redis.zrange(users, -1, -1, withscores=True)[0][1]))
    stack.redis.pexpireat(f"mostro:token:{pubkey}", expiry)


def unregister(stack, pubkey):
    answer = stack.post("/api/unregister", {"trade_pubkey": pubkey})
    assert "Token unregistered" in answer.body


def put(stack, text):
    """A file as it was left by an earlier run."""
    (stack.directory / NAME).parent.mkdir(mode=0o700, exist_ok=True)
    (stack.directory / NAME).write_text(text)


def record(url, registered_at=1_700_000_000):
    return {device_id(url): {"device_id": device_id(url), "endpoint_url": url,
                             "registered_at": registered_at}}


def file_of(*endpoints):
    return json.dumps({key: value for url in endpoints for key, value in record(url).items()})


@pytest.fixture
def stack(make_stack):
    """Redis and the API; the file is where it is by default."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", UNIFIEDPUSH_ENDPOINTS_FILE="")
    stack.start_redis()
    stack.start_api()
    return stack


@pytest.fixture
def kept(stack, relay):
    """With a listener."""
    stack.start_listener(relay)
    return stack


def lines(stack):
    return [line for line in stack.listener.output().splitlines() if "endpoint file: " in line]


# ---- What is in it


def test_a_registration_is_in_the_file_soon(kept, phone, pubkey):
    wait_for(kept)
    url, began = phone.endpoint(), int(time.time())
    kept.register(pubkey, url)
    wait_for(kept, url)
    path = kept.directory / NAME
    (key, value), = read(kept).items()
    assert key == device_id(url)
    assert value == {"device_id": key, "endpoint_url": url,
                     "registered_at": value["registered_at"]}
    assert isinstance(value["registered_at"], int)
    assert began <= value["registered_at"] <= time.time()
    assert pubkey not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_it_is_written_only_when_endpoints_change(kept, phone, pubkey):
    url, other = phone.endpoint(), nostr.new_pubkey()
    kept.register(pubkey, url)
    wait_for(kept, url)
    before = (kept.directory / NAME).stat()
    kept.register(nostr.new_pubkey(), "an-fcm-token")
    kept.register(other, url)
    kept.register(pubkey, url)
    unregister(kept, other)
    kept.register(pubkey, url)
    kept.notify(pubkey)
    phone.next_push()
    kept.wait_until_idle()
    # Longer than a change takes to be written.
    time.sleep(2.5)
    after = (kept.directory / NAME).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert urls(kept) == {url}


def test_writes_are_at_least_a_second_apart(kept, phone):
    path = kept.directory / NAME
    wait_for(kept)
    before = path.stat().st_mtime
    inodes, end = [], time.monotonic() + 4
    while time.monotonic() < end:
        kept.register(nostr.new_pubkey(), phone.endpoint())
        inodes.append(path.stat().st_ino)
    writes = sum(a != b for a, b in zip(inodes, inodes[1:]))
    assert 2 <= writes <= time.time() - before


def test_many_endpoints(kept, phone):
    """More than Redis gives in one answer."""
    known = [phone.endpoint() for _ in range(3000)]
    with kept.redis.pipeline(transaction=False) as pipeline:
        for url in known:
            pipeline.fcall(*registering(nostr.new_pubkey(), TTL_MS, url,
                                        device_id=device_id(url)))
        pipeline.execute()
    wait_for(kept, *known)


def test_a_flood_of_endpoints_leaves_room_for_those_of_phones(stack, relay):
    """More than the file holds, all newer than the phones' and under many names of one domain."""
    known = [f"https://push.example/up?id={i}" for i in range(200)]
    flood = [f"https://r{i}.flood.test/{'x' * 960}" for i in range(70_000)]
    with stack.redis.pipeline(transaction=False) as pipeline:
        # What registrations leave, but for those themselves.
        for moment, endpoints in ((1_700_000_000, known), (1_800_000_000, flood)):
            pipeline.hset("mostro:endpoints", mapping={
                device_id(url): f"{moment} {url}" for url in endpoints})
            for url in endpoints:
                pipeline.zadd(f"mostro:endpoint:{device_id(url)}", {device_id(url): 1})
        pipeline.execute()
    stack.start_listener(relay)
    path = stack.directory / NAME
    wait_until(path.exists, 60, "the file is written")
    assert LARGEST - 2000 < path.stat().st_size <= LARGEST
    written = urls(stack)
    assert set(known) <= written
    assert 40_000 < len(written) < 70_000
    assert any("not all endpoints fit" in line for line in lines(stack))


# ---- What leaves it


def test_the_last_registration_takes_its_endpoint_along(kept, phone):
    url, other_url = phone.endpoint(), phone.endpoint()
    first, second, third = (nostr.new_pubkey() for _ in range(3))
    kept.register(first, url)
    kept.register(second, url)
    kept.register(third, other_url)
    wait_for(kept, url, other_url)
    assert kept.redis.zcard(f"mostro:endpoint:{device_id(url)}") == 2
    unregister(kept, first)
    unregister(kept, third)
    wait_for(kept, url)
    unregister(kept, second)
    wait_for(kept)
    assert not [key for key in kept.redis.keys() if "endpoint:" in key]
    assert not kept.redis.exists("mostro:endpoints")


@pytest.mark.parametrize("token, platform", [("an-fcm-token", "android"), ("an-apns-one", "ios"),
                                             (None, "android")])
def test_another_token(kept, phone, pubkey, token, platform):
    url = phone.endpoint()
    kept.register(pubkey, url)
    wait_for(kept, url)
    token = token or phone.endpoint()
    kept.register(pubkey, token, platform)
    wait_for(kept, *([token] if "://" in token else []))


def test_a_dead_endpoint(kept, phone, pubkey):
    url, other = phone.endpoint(), nostr.new_pubkey()
    kept.register(pubkey, url)
    kept.register(other, url)
    wait_for(kept, url)
    phone.answer(url, [410, 404])
    kept.notify(pubkey)
    phone.next_push()
    kept.wait_until_idle()
    assert not kept.is_registered(pubkey) and kept.is_registered(other)
    assert urls(kept) == {url}
    kept.notify(other)
    wait_for(kept)


def test_the_last_registration_expires(kept, phone, pubkey):
    short, long = phone.endpoint(), phone.endpoint()
    register_for(kept, pubkey, short, 60_000)
    register_for(kept, nostr.new_pubkey(), long, 1000)
    register_for(kept, nostr.new_pubkey(), long, 60_000)
    wait_for(kept, short, long)
    expire(kept, pubkey, short, 500)
    wait_until(lambda: not kept.is_registered(pubkey))
    wait_for(kept, long)


def test_what_has_expired_is_not_written(stack, phone, pubkey):
    """Whether or not it has been swept out."""
    here = phone.endpoint()
    register_for(stack, pubkey, phone.endpoint(), 1)
    stack.register(nostr.new_pubkey(), here)
    wait_until(lambda: not stack.is_registered(pubkey))
    assert stack.redis.hlen("mostro:endpoints") == 2
    cursor, *found = stack.redis.fcall("mostro3_endpoints_read", 1, "mostro:", "0")
    assert (cursor, found[0], len(found)) == ("0", device_id(here), 2)
    assert found[1].partition(" ")[2] == here


def test_the_latest_registration_leaves_and_the_other_expires(kept, phone, pubkey):
    """The endpoint lives no longer than the registration that is left."""
    url, other = phone.endpoint(), nostr.new_pubkey()
    register_for(kept, other, url, 60_000)
    register_for(kept, pubkey, url, 120_000)
    wait_for(kept, url)
    unregister(kept, pubkey)
    left = kept.redis.pexpiretime(f"mostro:token:{other}")
    assert kept.redis.pexpiretime(f"mostro:endpoint:{device_id(url)}") == left > 0
    expire(kept, other, url, 500)
    wait_for(kept)


def test_expired_registrations_of_an_endpoint_do_not_pile_up(stack, phone):
    """A phone has a trade key for each trade, for years."""
    url = phone.endpoint()
    key = f"mostro:endpoint:{device_id(url)}"
    stack.register(nostr.new_pubkey(), url)
    for _ in range(10):
        register_for(stack, nostr.new_pubkey(), url, 1)
    wait_until(lambda: len(stack.redis.keys("mostro:token:*")) == 1)
    stack.register(nostr.new_pubkey(), url)
    assert stack.redis.zcard(key) == 2
    assert TTL_MS - HOUR_MS < stack.redis.pttl(key) <= TTL_MS + 5 * 60 * 1000


def test_a_registration_under_a_stand_in_s_name(stack, phone):
    """Anybody may choose it; it is one like any other."""
    url = phone.endpoint()
    name = device_id(url) + "0" * 32
    stack.register(name, url)
    assert stack.is_registered(name)
    stack.register(nostr.new_pubkey(), url)
    assert stack.is_registered(name)
    assert stack.redis.zcard(f"mostro:endpoint:{device_id(url)}") == 2
    assert stack.get("/api/status").body.endswith('"tokens":{"total":2,"android":2,"ios":0}}')
    unregister(stack, name)
    assert not stack.is_registered(name)
    assert stack.redis.zcard(f"mostro:endpoint:{device_id(url)}") == 1


def test_the_latest_registration_leaves_and_the_other_has_expired(stack, phone, pubkey):
    url = phone.endpoint()
    key = f"mostro:endpoint:{device_id(url)}"
    register_for(stack, nostr.new_pubkey(), url, 1)
    stack.register(pubkey, url)
    # As if it had been more than a registration takes along.
    stack.redis.zadd(key, {nostr.new_pubkey(): int(time.time() * 1000) - 1000})
    unregister(stack, pubkey)
    assert not stack.redis.exists(key, "mostro:endpoints")


# ---- Redis has lost its data


def check_pace(pushes, since):
    """None comes sooner than at 50 a second since before the first; but later, and then many at
    once, where a machine has stood still. A wake may be pushed 20 ms early."""
    for i, arrived in enumerate(sorted(push.arrived for push in pushes)):
        assert arrived > since + 0.02 * i - 0.05, i


def pushed(phone):
    return {phone.url + push.path for push in list(phone.pushes)}


def test_redis_loses_its_data_while_the_listener_runs(kept, phone):
    known = [phone.endpoint() for _ in range(130)]
    for url in known:
        kept.register(nostr.new_pubkey(), url)
    wait_for(kept, *known)
    before, since = read(kept), time.time()
    kept.redis.flushall()
    while pushed(phone) != set(known):
        assert read(kept) == before
        phone.next_push()
    kept.wait_until_idle()
    assert len(phone.pushes) == len(known)
    check_pace(phone.pushes, since)
    for push in phone.pushes:
        assert push.json["type"] == "silent_wake" and len(push.json) == 2
    assert phone.pushes[-1].arrived - phone.pushes[0].arrived < 5  # 2.6 s, and half as fast 5.2
    assert read(kept) == before
    assert kept.get("/api/status").body.endswith('"tokens":{"total":0,"android":0,"ios":0}}')


def test_a_flood_delays_no_phone_when_redis_has_lost_its_data(stack, relay, phone):
    """Of 20,000 endpoints, which would take 400 s, all of a stranger's are newer than the phones',
    under many names of one domain."""
    known = [phone.endpoint() for _ in range(100)]
    flood = {f"http://r{i}.flood.invalid/{i}": 1_800_000_000 + i for i in range(20_000)}
    put(stack, json.dumps({device_id(url): {"device_id": device_id(url), "endpoint_url": url,
                                            "registered_at": moment}
                           for url, moment in flood.items()})[:-1] + ", " +
        json.dumps({key: value for url in known for key, value in record(url).items()})[1:])
    looks = [time.time()]

    def are_brought_back():
        looks.append(time.time())
        return any("are brought back, and their phones woken" in line for line in lines(stack))
    stack.start_listener(relay)
    wait_until(are_brought_back, 60)
    phone.next_push(timeout=60)
    wait_until(lambda: pushed(phone) == set(known), 15, "all phones are woken")
    check_pace(phone.pushes, looks[-2])
    assert phone.pushes[-1].arrived - phone.pushes[0].arrived < 8  # two owners: 4 s


def test_redis_loses_its_data_while_no_listener_runs(kept, relay, phone, pubkey):
    url = phone.endpoint()
    kept.register(pubkey, url)
    wait_for(kept, url)
    kept.listener.stop()
    kept.redis_server.stop()
    kept.start_redis()
    assert urls(kept) == {url}
    kept.start_listener(relay)
    assert phone.url + phone.next_push().path == url
    # A restart of the listener alone is no loss.
    kept.wait_until_idle()
    kept.listener.stop()
    kept.start_listener(relay)
    other = phone.endpoint()
    kept.register(nostr.new_pubkey(), other)
    wait_for(kept, url, other)
    assert len(phone.pushes) == 1


def test_phones_that_register_anew_are_woken_all_the_same(kept, relay, phone, pubkey):
    """They may have other trades."""
    url = phone.endpoint()
    kept.register(pubkey, url)
    wait_for(kept, url)
    kept.listener.stop()
    kept.redis.flushall()
    kept.register(pubkey, url)
    kept.start_listener(relay)
    phone.next_push()
    kept.wait_until_idle()
    unregister(kept, pubkey)
    wait_for(kept)
    assert len(phone.pushes) == 1


def test_a_loss_while_it_is_loaded(stack, phone):
    """The file must not be taken for loaded then."""
    assert stack.get("/api/status").status == 200  # the functions are loaded
    one = [device_id(url := phone.endpoint()), url, "", "", 0]

    def call(name, *arguments):
        return stack.redis.fcall(f"mostro3_endpoints_{name}", 1, "mostro:", "one", "x", *arguments)

    def beat():
        stack.redis.hset("mostro:listener:one", "instance", "x")

    beat()
    assert not call("loaded") and not call("load", HOUR_MS, *one)
    assert call("begin") and call("load", HOUR_MS, *one)
    stack.redis.flushdb()
    beat()
    assert not call("load", HOUR_MS, *one) and not call("loaded")
    assert not stack.redis.exists("mostro:endpoints", "mostro:endpoints:loaded")
    assert call("begin")
    stack.redis.set("mostro:endpoints:writer", "another")
    assert not call("load", HOUR_MS, *one) and not call("loaded")
    stack.redis.delete("mostro:endpoints:writer")
    assert call("load", HOUR_MS, *one) and call("loaded")
    assert call("state")[1] > 0
    assert not call("loaded")


def test_who_had_given_keys_gets_nothing_in_the_clear(kept, phone, pubkey):
    """The keys are lost, and that there were some is not."""
    clear, both, late = (phone.endpoint() for _ in range(3))
    keys = web_push.Keys().fields
    kept.register(nostr.new_pubkey(), clear)
    kept.register(nostr.new_pubkey(), both, **keys)
    kept.register(nostr.new_pubkey(), both)
    kept.register(nostr.new_pubkey(), late)
    wait_for(kept, clear, both, late)
    kept.register(nostr.new_pubkey(), late, **keys)
    wait_until(lambda: read(kept)[device_id(late)].get("encrypted") is True)
    records = read(kept)
    assert records[device_id(both)]["encrypted"] is True
    assert "encrypted" not in records[device_id(clear)]
    for _ in range(2):  # what was brought back is brought back again
        kept.wait_until_idle()
        phone.pushes.clear()
        kept.redis.flushall()
        wait_until(lambda: pushed(phone) == {clear, both, late})
        for push in phone.pushes:
            if phone.url + push.path == clear:
                assert push.json["type"] == "silent_wake"
                continue
            assert push.body == b"" and push.headers["Content-Length"] == "0"
            assert not {"Content-Type", "Content-Encoding"} & set(push.headers)
        assert read(kept) == records
    kept.register(pubkey, both, **keys)
    kept.wait_until_idle()
    phone.pushes.clear()
    kept.notify(pubkey)
    wait_until(lambda: phone.pushes)
    assert phone.pushes[0].headers["Content-Encoding"] == "aes128gcm"


def test_records_of_others_do_not_stop_the_file(kept, phone, pubkey):
    wait_for(kept)
    for key, value in (("x", "1 https://push.example/x"), ("0" * 32, "no record"),
                       ("1" * 32, "1 " + "u" * 5000)):
        kept.redis.hset("mostro:endpoints", key, value)
        kept.redis.zadd(f"mostro:endpoint:{key}", {"x": 1})
    url = phone.endpoint()
    kept.register(pubkey, url)
    wait_for(kept, url)


def test_what_was_brought_back_gives_way_to_registrations(kept, phone, pubkey):
    url = phone.endpoint()
    kept.register(pubkey, url)
    wait_for(kept, url)
    since = read(kept)[device_id(url)]["registered_at"]
    kept.redis.flushall()
    phone.next_push()
    kept.register(pubkey, url)
    kept.wait_until_idle()
    assert read(kept)[device_id(url)]["registered_at"] == since
    unregister(kept, pubkey)
    wait_for(kept)
    assert not kept.redis.keys("mostro:token:*")


def test_phones_that_never_register_anew_are_forgotten(kept, phone, pubkey):
    url = phone.endpoint()
    kept.register(pubkey, url)
    wait_for(kept, url)
    kept.redis.flushall()
    phone.next_push()
    keys = f"mostro:endpoint:{device_id(url)}", f"mostro:token:{device_id(url)}{'0' * 32}"
    for key in keys:
        assert TTL_MS - HOUR_MS < kept.redis.pttl(key) <= TTL_MS
    for key in keys:  # the listener may take the one along when the other has expired
        kept.redis.pexpire(key, 1)
    wait_for(kept)


def test_endpoints_that_are_gone_are_forgotten(kept, phone, pubkey):
    gone, here = phone.endpoint(), phone.endpoint()
    for url in (gone, here):
        kept.register(nostr.new_pubkey(), url)
    wait_for(kept, gone, here)
    phone.answer(gone, [410])
    kept.redis.flushall()
    wait_for(kept, here, timeout=10)
    assert pushed(phone) == {gone, here}


def test_wakes_are_spread_whoever_queues_them(make_stack, phone):
    """A listener that starts anew, too: it goes on where the one before has stopped."""
    stack = make_stack()
    stack.start_redis()
    stack.start_api()
    known = [phone.endpoint() for _ in range(120)]
    arguments = [word for url in known for word in (device_id(url), url, "", "", 0)]
    assert stack.get("/api/status").status == 200  # the functions are loaded
    stack.redis.hset("mostro:listener:one", "instance", "x")
    stack.redis.fcall("mostro3_endpoints_begin", 1, "mostro:", "one", "x")
    assert stack.redis.fcall("mostro3_endpoints_load", 1, "mostro:", "one", "x", HOUR_MS,
                             *arguments)
    for name, instance in (("another", "y"), ("one", "y")):
        assert not stack.redis.fcall("mostro3_endpoints_wake", 1, "mostro:", name, instance, 1000)
    began = time.time() * 1000
    while stack.redis.exists("mostro:endpoints:to_wake"):
        stack.redis.fcall("mostro3_endpoints_wake", 1, "mostro:", "one", "x", 1000)
        due = [int(fields["not_before"]) for _, fields in stack.redis.xrange("mostro:wakes")]
        assert max(due) <= time.time() * 1000 + 1001
    assert len(due) == len(known)
    assert all(20 <= b - a for a, b in zip(due, due[1:]))
    assert due[-1] - began < 120 * 20 + 1000


def test_a_full_queue_takes_no_wakes_of_endpoints(make_stack, phone):
    stack = make_stack()
    stack.start_redis()
    stack.start_api()
    assert stack.get("/api/status").status == 200
    arguments = [word for url in (phone.endpoint() for _ in range(10))
                 for word in (device_id(url), url, "", "", 0)]
    stack.redis.hset("mostro:listener:one", "instance", "x")
    stack.redis.fcall("mostro3_endpoints_begin", 1, "mostro:", "one", "x")
    stack.redis.fcall("mostro3_endpoints_load", 1, "mostro:", "one", "x", HOUR_MS, *arguments)
    stack.redis.fcall("mostro3_endpoints_wake", 1, "mostro:", "one", "x", 4)
    assert stack.redis.xlen("mostro:wakes") == 4
    assert stack.redis.zcard("mostro:endpoints:to_wake") == 6


def test_a_failing_endpoint_is_tried_again(kept, phone, pubkey):
    url = phone.endpoint()
    kept.register(pubkey, url)
    wait_for(kept, url)
    phone.answer(url, [503])
    kept.redis.flushall()
    for _ in range(2):
        assert phone.url + phone.next_push(timeout=15).path == url
    kept.wait_until_idle()
    assert urls(kept) == {url}


def test_no_endpoint_is_lost_whenever_the_listener_is_killed(stack, relay, phone):
    """Between the loss and the file's being in Redis, above all."""
    known = {phone.endpoint() for _ in range(30)}
    put(stack, file_of(*known))
    for i in range(12):
        stack.redis.flushall()
        stack.spawn_listener([relay])
        if i % 2:
            wait_until(lambda: stack.redis.exists("mostro:epoch"))
        # The keeper begins when there is a heartbeat, and so a quarter of a second later.
        time.sleep(random.uniform(0.2, 0.35) if i % 2 else random.uniform(0, 0.8))
        stack.listener.kill()
        assert urls(stack) == known
    phone.pushes.clear()
    stack.redis.flushall()
    stack.start_listener(relay)
    wait_until(lambda: pushed(phone) == known)


def test_the_file_is_whole_whenever_the_listener_is_killed(stack, relay, phone):
    known = set()
    for _ in range(8):
        stack.spawn_listener([relay])
        stack.wait_for_heartbeat()
        stack.redis.delete("mostro:listener:listener-1")
        end = time.monotonic() + random.uniform(0.2, 1.6)
        while time.monotonic() < end:
            url = phone.endpoint()
            stack.register(nostr.new_pubkey(), url)
            known.add(url)
        stack.listener.kill()
        assert (urls(stack) or set()) <= known
    stack.start_listener(relay)
    wait_for(stack, *known)
    folder = stack.directory / NAME
    assert list(folder.parent.iterdir()) == [folder]


def test_a_stop_writes_what_is_still_to_be_written(kept, phone, pubkey):
    wait_for(kept)
    url = phone.endpoint()
    kept.register(pubkey, url)
    kept.listener.stop()
    assert urls(kept) == {url}


# ---- The file is not as it should be


def wait_until_replaced(stack, text):
    """What is set aside stays under its name as well, until there is a better one."""
    wait_until(lambda: (stack.directory / NAME).read_text() != text)


@pytest.mark.parametrize("text", [
    "", "{", "[]", '{"a":{"endpoint_url":"https://push.example/1"', "{}" + " " * (LARGEST - 1),
    '{"a":' + "[" * 100_000, "\0" * 1000,
], ids=["empty", "cut", "array", "cut record", "huge", "deep", "NULs"])
def test_a_damaged_file_is_set_aside(stack, relay, phone, pubkey, text):
    put(stack, text)
    stack.start_listener(relay)
    url = phone.endpoint()
    stack.register(pubkey, url)
    wait_until(lambda: (stack.directory / f"{NAME}.damaged").exists())
    wait_until_replaced(stack, text)
    wait_for(stack, url)
    assert (stack.directory / f"{NAME}.damaged").read_text() == text
    assert sum("is kept as *.damaged" in line for line in lines(stack)) == 1
    stack.notify(pubkey)
    phone.next_push()


def test_a_file_may_be_so_large(stack, relay, phone):
    url = phone.endpoint()
    text = file_of(url)
    put(stack, text + " " * (LARGEST - len(text)))
    stack.start_listener(relay)
    assert phone.url + phone.next_push().path == url
    wait_for(stack, url)
    assert not (stack.directory / f"{NAME}.damaged").exists()


def test_what_can_be_read_of_a_damaged_file_is_used(stack, relay, phone):
    known = [phone.endpoint() for _ in range(3)]
    text = file_of(*known)[:-60]
    put(stack, text)
    stack.start_listener(relay)
    wait_until(lambda: pushed(phone) == set(known[:2]))
    wait_until_replaced(stack, text)
    wait_for(stack, *known[:2])
    assert (stack.directory / f"{NAME}.damaged").exists()


def test_entries_that_may_not_be_pushed_to_are_left_out(stack, relay, phone):
    url = phone.endpoint()
    bad = "ftp://127.0.0.1/up"
    text = json.dumps({**record(bad), "x": 1, **record(url, "2026-01-01T00:00:00Z")})
    put(stack, text)
    stack.start_listener(relay)
    assert phone.url + phone.next_push().path == url
    wait_until(lambda: set(read(stack)) == {device_id(url)})
    assert abs(read(stack)[device_id(url)]["registered_at"] - time.time()) < 60
    assert any("2 entries are no endpoints" in line for line in lines(stack))
    kept = stack.directory / f"{NAME}.damaged"
    assert kept.read_text() == text and stat.S_IMODE(kept.stat().st_mode) == 0o600


# ---- The disk is not as it should be


def check_trouble(stack, phone, pubkey, mend):
    """It is said once, pushes go on, and the file comes when it can."""
    wait_until(lambda: "endpoint file: cannot be written" in stack.listener.output())
    url = phone.endpoint()
    stack.register(pubkey, url)
    stack.notify(pubkey)
    phone.next_push()
    time.sleep(6)  # in which it is tried again
    assert stack.listener.output().count("endpoint file: cannot be") == 1
    assert "error: endpoint file: cannot be written" in stack.listener.output()
    mend()
    wait_for(stack, url, timeout=10)
    wait_until(lambda: "endpoint file: works again" in stack.listener.output())


def test_the_folder_cannot_be_made(stack, relay, phone, pubkey):
    in_the_way = stack.directory / "data"
    in_the_way.write_text("")
    stack.start_listener(relay)
    check_trouble(stack, phone, pubkey, in_the_way.unlink)


def test_the_file_cannot_be_made(stack, relay, phone, pubkey):
    """As on a disk that is read-only; root may write to any other."""
    in_the_way = stack.directory / f"{NAME}.listener-1.new"
    in_the_way.mkdir(parents=True)
    stack.start_listener(relay)
    check_trouble(stack, phone, pubkey, in_the_way.rmdir)
    # It is said anew when it begins anew.
    in_the_way.mkdir()
    url = phone.endpoint()
    stack.register(pubkey, url)
    wait_until(lambda: stack.listener.output().count("endpoint file: cannot be written") == 2)
    in_the_way.rmdir()
    wait_for(stack, url, timeout=10)
    wait_until(lambda: stack.listener.output().count("endpoint file: works again") == 2)


def test_a_folder_that_others_may_look_into(stack, relay, phone):
    (stack.directory / "data").mkdir(mode=0o755)
    stack.start_listener(relay)
    wait_for(stack)
    wait_until(lambda: any("others may look into its folder" in line for line in lines(stack)))
    url = phone.endpoint()
    stack.register(nostr.new_pubkey(), url)
    wait_for(stack, url)
    assert sum("others may look into its folder" in line for line in lines(stack)) == 1


# ---- None, and several listeners


def test_off(make_stack, relay, phone, pubkey):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", UNIFIEDPUSH_ENDPOINTS_FILE="off")
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    url = phone.endpoint()
    register_for(stack, pubkey, url, 60_000)
    assert stack.redis.exists("mostro:endpoints")
    expire(stack, pubkey, url, 500)
    # Nothing stays in Redis for want of a file.
    wait_until(lambda: not stack.redis.exists("mostro:endpoints"))
    assert not (stack.directory / "data").exists()
    assert not (stack.directory / "off").exists()
    assert not stack.redis.exists("mostro:endpoints:writer")


def leave_to_another(stack):
    """The claim of a listener that does not renew it ends at once, and not only in 30 s."""
    assert 25_000 < stack.redis.pttl("mostro:endpoints:writer") <= 30_000
    stack.redis.pexpire("mostro:endpoints:writer", 1)


def test_of_two_listeners_one_writes(kept, relay, phone, pubkey):
    first, url = kept.listener, phone.endpoint()
    wait_for(kept)  # it is the first one's, which takes it a little after its heartbeat
    kept.start_listener(relay, LISTENER_NAME="listener-2")
    kept.register(pubkey, url)
    wait_for(kept, url)
    assert kept.redis.get("mostro:endpoints:writer") == "listener-1"
    inode = (kept.directory / NAME).stat().st_ino
    time.sleep(2)
    assert (kept.directory / NAME).stat().st_ino == inode
    first.kill()
    leave_to_another(kept)
    other = phone.endpoint()
    kept.register(nostr.new_pubkey(), other)
    wait_for(kept, url, other)
    assert kept.redis.get("mostro:endpoints:writer") == "listener-2"
    # And it brings them back.
    kept.redis.flushall()
    wait_until(lambda: pushed(phone) == {url, other})
    assert urls(kept) == {url, other}


def test_a_listener_that_hung_writes_nothing_old(kept, relay, phone, pubkey):
    """Another one looks after the file by then."""
    url, first = phone.endpoint(), kept.listener
    wait_for(kept)
    first.send_signal(signal.SIGSTOP)
    kept.register(pubkey, url)
    leave_to_another(kept)
    kept.start_listener(relay, LISTENER_NAME="listener-2")
    wait_for(kept, url)
    inode = (kept.directory / NAME).stat().st_ino
    first.send_signal(signal.SIGCONT)
    kept.redis.delete("mostro:listener:listener-1")
    kept.wait_for_heartbeat("listener-1")
    time.sleep(1.5)
    assert (kept.directory / NAME).stat().st_ino == inode
