"""How many registrations there are, exactly, whatever becomes of them: what /api/status says.

Registrations expire in steps of five minutes. Redis's own time of day is moved here, so that these
pass at once."""
import random
import secrets
import time

import pytest

import nostr
from stack import TOP, preloaded, wait_until

STEP = 5 * 60 * 1000
PLATFORMS = ("android", "ios")
PAGE = 500  # as many steps are looked at in one command


class Registry:
    """A Redis with the functions, and a clock that the test moves."""

    def __init__(self, stack, directory):
        self.stack = stack
        self.redis = stack.redis
        self._ahead = directory / "ahead"
        self._ms = 0

    def call(self, name, *arguments):
        return self.redis.fcall(f"mostro3_{name}", 1, "mostro:", *arguments)

    def register(self, pubkey, platform="android", ms=STEP, token="token-1", device_id=""):
        assert self.register_all((pubkey, platform, token, device_id), ms=ms) == ["ok"]

    def register_all(self, *phones, ms=STEP, most=1_000_000):
        """In one call, as a worker does; a phone is (pubkey, platform, token, device id), or a
        pubkey. The words."""
        words = []
        for phone in phones:
            pubkey, platform, token, device_id = \
                phone if isinstance(phone, tuple) else (phone, "android", "token-1", "")
            words += ["", pubkey, platform, token, "", "", device_id, "", "", ""]
        answer = self.call("registers", 1, 1, ms, most, 1, 1, *words)
        return answer[::2]

    def version(self, pubkey):
        since, renewed = self.redis.hmget(f"mostro:token:{pubkey}", "registered_at", "renewed")
        return int(renewed or since)

    def deliver(self, pubkey, version, ms):
        """What a listener tells whose registrations live so long."""
        assert self.call("done", "one", ms, "relay", pubkey, 0, version) == 0

    def expiry(self, pubkey):
        return self.redis.pexpiretime(f"mostro:token:{pubkey}")

    def count(self):
        return tuple(self.call("count"))

    def now_ms(self):
        seconds, microseconds = self.redis.time()
        return seconds * 1000 + microseconds // 1000

    def pass_ms(self, ms):
        """Sets the clock on, or back."""
        self._ms += ms
        written = self._ahead.with_suffix(".written")
        written.write_text(str(self._ms))
        written.rename(self._ahead)
        # Redis looks at its clock once in a while, too.
        wait_until(self._is_set)

    def _is_set(self):
        before = time.time_ns() // 1_000_000
        seen = self.now_ms() - self._ms
        return before - 1 <= seen <= time.time_ns() // 1_000_000 + 1

    def pass_until(self, moment):
        self.pass_ms(moment - self.now_ms())


@pytest.fixture
def registry(make_stack, tmp_path):
    stack = make_stack(**preloaded("wall_clock", tmp_path), AHEAD=str(tmp_path / "ahead"))
    stack.start_redis("--enable-debug-command", "yes")
    stack.redis.function_load((TOP / "shared/registry/registry.lua").read_text())
    registry = Registry(stack, tmp_path)
    # Early in a step, which must not end by itself before the test is over.
    registry.pass_ms(-registry.now_ms() % STEP + random.randrange(1000, STEP // 2))
    return registry


def test_the_moment_at_which_one_expires(registry, pubkey):
    """Redis has it, and it is counted, up to the same millisecond."""
    registry.register(pubkey, ms=STEP * 3 // 2)
    key = f"mostro:token:{pubkey}"
    expiry = registry.redis.pexpiretime(key)
    assert expiry % STEP == 0
    assert STEP * 3 // 2 - 1000 < expiry - registry.now_ms() <= STEP * 5 // 2
    # Seen once before that: a machine that stands still may pass the last 200 ms over.
    seen = {registry.redis.exists(key)}
    registry.pass_until(expiry - 200)
    while 0 not in seen:
        # All of a transaction look at keys by the moment at which it began.
        before = registry.now_ms()
        with registry.redis.pipeline(transaction=True) as pipeline:
            for command in (f"EXISTS {key}", "FCALL mostro3_count 1 mostro:"):
                pipeline.execute_command(*command.split())
            exists, counts = pipeline.execute()
        after = registry.now_ms()
        if before <= expiry <= after:
            continue  # it has expired in between; Redis has it in that very millisecond, too
        assert exists == (after < expiry)
        assert counts == [exists, 0]
        seen.add(exists)
    assert seen == {0, 1}


class Model:
    """What there ought to be: pubkey -> platform and expiry."""

    def __init__(self):
        self.held = {}

    def count(self, now):
        return tuple(sum(platform == each and now < expiry
                         for platform, expiry in self.held.values()) for each in PLATFORMS)


def expiry_within(before, after, ms):
    """The step at which what was registered between these moments expires, if it is one."""
    first, last = (-(-(moment + ms) // STEP) * STEP for moment in (before, after))
    return first if first == last else None


def deliver(registry, pubkey, expiry, ms):
    """A push is delivered; returns when the registration expires then."""
    since = int(registry.redis.hget(f"mostro:token:{pubkey}", "registered_at"))
    before = registry.now_ms()
    registry.deliver(pubkey, registry.version(pubkey), ms)
    renewed = expiry_within(before, registry.now_ms(), ms) or registry.expiry(pubkey)
    return max(expiry, min(renewed, (since * 1000 + 2 * ms) // STEP * STEP))


def endpoints_of(registry, pubkeys, n=2):
    """So many device ids; the names of their stand-ins join the pubkeys."""
    found = [secrets.token_hex(16) for _ in range(n)]
    pubkeys += [each + "0" * 32 for each in found]
    registry.call("heartbeat", "one", "x", "first", "version", "1")
    assert registry.call("endpoints_begin", "one", "x") == 1
    return found


def register_some(registry, model, chance, pubkeys, endpoints):
    """In one call, one of them perhaps twice."""
    phones, ms = [], chance.randint(1, 5 * STEP)
    for _ in range(chance.randint(2, 5)):
        device_id = chance.choice(["", *endpoints])
        platform = chance.choice(PLATFORMS) if not device_id else "android"
        token = f"https://push.example.org/{device_id}" if device_id else "token-1"
        phones.append((chance.choice(pubkeys), platform, token, device_id))
    assert registry.register_all(*phones, ms=ms) == ["ok"] * len(phones)
    for pubkey, platform, *_ in phones:
        model.held[pubkey] = (platform, registry.redis.pexpiretime(f"mostro:token:{pubkey}"))


def step(registry, model, chance, pubkeys, endpoints):
    """Something that may happen to a registry."""
    pubkey, platform = chance.choice(pubkeys), chance.choice(PLATFORMS)
    held = model.held.get(pubkey, (None, 0))
    what = chance.choice(["register"] * 2 + ["registers"] * 2 + ["unregister", "forget", "pass",
                                                                 "pass", "trim", "load"] +
                         ["deliver"] * 3)
    if what == "registers":
        register_some(registry, model, chance, pubkeys, endpoints)
    elif what == "register":
        ms, device_id = chance.randint(1, 5 * STEP), chance.choice(["", *endpoints])
        before = registry.now_ms()
        registry.register(pubkey, platform if not device_id else "android", ms,
                          f"https://push.example.org/{device_id}" if device_id else "token-1",
                          device_id)
        expiry = expiry_within(before, registry.now_ms(), ms)
        if expiry is None:  # too close to a step to know which
            expiry = registry.redis.pexpiretime(f"mostro:token:{pubkey}")
        model.held[pubkey] = (platform if not device_id else "android", expiry)
    elif what == "unregister":
        registry.call("unregister", "", 1, 1, pubkey)
        model.held.pop(pubkey, None)
    elif what == "forget" and held[1] > registry.now_ms() + 1000:
        token = registry.redis.hget(f"mostro:token:{pubkey}", "token")
        if token:
            version = registry.version(pubkey)
            assert registry.call("forget", pubkey, "another token", version) == 0
            assert registry.call("forget", pubkey, token, version - 1) == 0
            assert registry.call("forget", pubkey, token, version) == 1
            del model.held[pubkey]
    elif what == "deliver" and held[1] > registry.now_ms() + 1000:
        model.held[pubkey] = (held[0], deliver(registry, pubkey, held[1],
                                               chance.randint(1, 8 * STEP)))
        assert registry.expiry(pubkey) == model.held[pubkey][1]
    elif what == "pass":
        registry.pass_ms(chance.choice([1000, STEP // 3, STEP, 4 * STEP]))
    elif what == "trim":
        registry.call("trim")
    elif what == "load":
        device_id = chance.choice(endpoints)
        registry.call("heartbeat", "one", "x", "first", "version", "1")
        registry.call("endpoints_begin", "one", "x")
        assert registry.call("endpoints_load", "one", "x", 3 * STEP + 1, device_id,
                             f"https://push.example.org/{device_id}", "", "", 0) == 1
    return what


@pytest.mark.parametrize("seed", range(4))
def test_any_sequence(registry, seed):
    """Registered, renewed, moved to another platform or endpoint, pushed to, removed, found dead,
    expired, in any order."""
    chance, model = random.Random(seed), Model()
    pubkeys = [nostr.new_pubkey() for _ in range(6)]
    endpoints = endpoints_of(registry, pubkeys)
    done = []
    for _ in range(250):
        done.append(step(registry, model, chance, pubkeys, endpoints))
        while True:
            before = registry.now_ms()
            counts = registry.count()
            if model.count(before) == model.count(registry.now_ms()):
                break
        assert counts == model.count(before), done[-10:]
    # And nothing is left of the steps that have passed.
    registry.pass_ms(10 * STEP)
    while registry.call("trim"):
        pass
    assert registry.count() == (0, 0)
    assert registry.redis.zcard("mostro:live:steps") == 0
    assert set(registry.redis.hvals("mostro:live")) <= {"0"}
    assert set(registry.redis.hkeys("mostro:live")) <= set(PLATFORMS)


def test_so_many_in_one_call_and_no_more(registry):
    """Whatever is renewed, or comes twice, in between; and what has expired makes room."""
    pubkeys = [nostr.new_pubkey() for _ in range(20)]
    assert registry.register_all(*pubkeys[:8], most=5) == ["ok"] * 5 + ["full"] * 3
    assert registry.register_all(*pubkeys[:8], most=5) == ["ok"] * 5 + ["full"] * 3
    assert registry.count() == (5, 0)
    new, renewed = pubkeys[5:9], pubkeys[3:5]
    assert registry.register_all(new[0], *renewed, *new[1:], renewed[0], most=7) == [
        "ok", "ok", "ok", "ok", "full", "full", "ok"]
    assert registry.count() == (7, 0)
    assert registry.register_all((pubkeys[0], "ios", "token-1", ""), pubkeys[8], pubkeys[8],
                                 (pubkeys[8], "ios", "token-1", ""), pubkeys[9],
                                 most=8) == ["ok"] * 4 + ["full"]
    assert registry.count() == (6, 2)
    registry.pass_ms(3 * STEP)
    assert registry.count() == (0, 0)
    assert registry.register_all(*pubkeys, most=5) == ["ok"] * 5 + ["full"] * 15
    assert registry.count() == (5, 0)


def test_a_stand_in_leaves_no_room_beyond_the_most(registry):
    """Its place is taken by a registration, which counts, in the midst of others."""
    pubkeys = [nostr.new_pubkey() for _ in range(3)]
    device_id, = endpoints_of(registry, [], 1)
    url = f"https://push.example.org/{device_id}"
    assert registry.call("endpoints_load", "one", "x", STEP, device_id, url, "", "", 0) == 1
    stands_in = (device_id + "0" * 32, "android", url, device_id)
    assert registry.register_all(pubkeys[0], stands_in, *pubkeys[1:], most=3) == [
        "ok", "ok", "ok", "full"]
    assert registry.count() == (3, 0)


def test_one_that_redis_refuses_fails_alone(registry):
    pubkeys = [nostr.new_pubkey() for _ in range(3)]
    registry.redis.set(f"mostro:token:{pubkeys[1]}", "an operator's mistake")
    answers = registry.register_all(*pubkeys)
    assert answers[::2] == ["ok", "ok"]
    assert "WRONGTYPE" in str(answers[1])
    assert registry.count() == (2, 0)


def test_pushes_renew_up_to_twice_the_time(registry, pubkey):
    registry.register(pubkey, ms=6 * STEP)
    key, version = f"mostro:token:{pubkey}", registry.version(pubkey)
    most = (int(registry.redis.hget(key, "registered_at")) * 1000 + 12 * STEP) // STEP * STEP
    before, renewals = registry.expiry(pubkey), 0
    while registry.now_ms() < most:
        assert registry.count() == (1, 0)
        registry.deliver(pubkey, version, 6 * STEP)
        expiry = registry.expiry(pubkey)
        assert before <= expiry <= most and registry.version(pubkey) == version
        renewals += expiry > before
        before = expiry
        registry.pass_ms(STEP)
    assert before == most and renewals in (5, 6)
    assert registry.count() == (0, 0) and not registry.redis.exists(key)


def test_a_push_within_the_same_step_writes_nothing(registry, pubkey):
    registry.register(pubkey, ms=2 * STEP)
    registry.pass_until(registry.expiry(pubkey) - 2 * STEP + 1000)
    registry.deliver(pubkey, registry.version(pubkey), 2 * STEP)
    changes = registry.redis.info("persistence")["rdb_changes_since_last_save"]
    for _ in range(3):
        registry.deliver(pubkey, registry.version(pubkey), 2 * STEP)
    assert registry.redis.info("persistence")["rdb_changes_since_last_save"] == changes


def test_what_a_push_does_not_renew(registry):
    """A registration of after it; one that lives for longer by its own setting; one that has
    expired, though Redis still shows it; one of schema 2 that is not adopted yet; nobody's; and the
    stand-in of an endpoint, whose phone has not been heard of."""
    registry.redis.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    newer, longer, older = (nostr.new_pubkey() for _ in range(3))
    registry.register(newer, ms=2 * STEP)
    version = registry.version(newer)
    registry.register(newer, ms=2 * STEP)
    registry.register(longer, ms=50 * STEP)
    registry.redis.hset(f"mostro:token:{older}", mapping={
        "platform": "android", "registered_at": 1, "token": "token-1"})
    registry.redis.pexpireat(f"mostro:token:{older}", registry.now_ms() // STEP * STEP + STEP + 1)
    device_id, = endpoints_of(registry, names := [], 1)
    registry.call("endpoints_load", "one", "x", 2 * STEP, device_id, "https://push.example.org/1",
                  "", "", 0)
    before = [registry.expiry(each) for each in (newer, longer, older, *names)]
    for each, of in ((newer, version), (longer, registry.version(longer)), (older, 1),
                     (names[0], 0)):
        registry.deliver(each, of, 10 * STEP)
    registry.deliver(nostr.new_pubkey(), 1, 10 * STEP)
    assert [registry.expiry(each) for each in (newer, longer, older, *names)] == before
    assert registry.count() == (2, 0)
    version = registry.version(newer)
    registry.pass_until(before[0] + 1)
    registry.deliver(newer, version, 10 * STEP)
    assert registry.count() == (1, 0)


def test_an_endpoint_lives_as_long_as_its_last_registration(registry):
    """Whichever of them is renewed."""
    one, other, device_id = nostr.new_pubkey(), nostr.new_pubkey(), secrets.token_hex(16)
    users = f"mostro:endpoint:{device_id}"
    for pubkey, steps in ((one, 2), (other, 4)):
        registry.register(pubkey, ms=steps * STEP, token="https://push.example.org/1",
                          device_id=device_id)
    for pubkey, steps in ((one, 3), (one, 6), (other, 5), (other, 8)):
        registry.deliver(pubkey, registry.version(pubkey), steps * STEP)
        last = max(registry.expiry(each) for each in (one, other))
        assert registry.redis.pexpiretime(users) == last
        assert registry.redis.zscore(users, pubkey) == registry.expiry(pubkey)
    assert registry.redis.get("mostro:endpoints:changes") == "1"
    registry.call("unregister", "", 1, 1, other)
    assert registry.redis.pexpiretime(users) == registry.expiry(one)
    registry.call("forget", one, "https://push.example.org/1", registry.version(one))
    assert not registry.redis.exists(users, "mostro:endpoints") and registry.count() == (0, 0)


def test_many_steps_that_have_passed(registry):
    """Nobody has tidied for days: the counts are exact all the same, and tidying takes a limited
    number of steps at a time, because Redis serves no other client meanwhile."""
    steps = 2 * PAGE + 7
    for n in range(steps):
        registry.register(nostr.new_pubkey(), PLATFORMS[n % 2], n * STEP + 1)
    registry.register(nostr.new_pubkey(), "ios", (steps + 10) * STEP)
    assert registry.count() == (steps // 2 + 1, steps // 2 + 1)
    registry.pass_ms((steps + 2) * STEP)
    assert registry.count() == (0, 1)
    trimmed = []
    while not trimmed or trimmed[-1]:
        trimmed.append(registry.call("trim"))
        assert registry.count() == (0, 1)
    assert trimmed[:2] == [PAGE, PAGE] and trimmed[-1] == 0 and len(trimmed) == 4
    assert registry.redis.hlen("mostro:live") == 3
    assert registry.redis.zcard("mostro:live:steps") == 1


def test_a_clock_that_was_set_back(registry):
    """What has been counted out is not counted out again, and what comes is counted."""
    registry.redis.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    old, new = nostr.new_pubkey(), nostr.new_pubkey()
    registry.register(old)
    registry.pass_ms(3 * STEP)
    registry.call("trim")
    assert registry.count() == (0, 0)
    registry.pass_ms(-3 * STEP)
    registry.register(new, ms=5 * STEP)
    assert registry.count() == (1, 0)
    assert registry.redis.exists(f"mostro:token:{old}")
    registry.call("unregister", "", 1, 1, old)
    assert registry.count() == (1, 0)
    registry.call("unregister", "", 1, 1, new)
    assert registry.count() == (0, 0)


def test_what_programs_of_before_have_registered(registry):
    """They kept the pubkeys of each platform in a set. Tidying counts those, too, each once."""
    now, living = registry.now_ms(), {}
    for n in range(PAGE + 5):
        pubkey, platform = nostr.new_pubkey(), PLATFORMS[n % 2]
        living[pubkey] = platform
        registry.redis.hset(f"mostro:token:{pubkey}", mapping={
            "platform": platform, "registered_at": 1, "token": "token-1"})
        registry.redis.pexpireat(f"mostro:token:{pubkey}", now + 10 * STEP + n)
        registry.redis.zadd(f"mostro:tokens:{platform}", {pubkey: now + 10 * STEP + n})
    renewed, removed, changed, *_ = living
    registry.redis.zadd("mostro:tokens:ios", {nostr.new_pubkey(): now - 1})  # has expired
    registry.register(renewed, ms=20 * STEP)
    registry.call("unregister", "", 1, 1, removed)
    registry.register(changed, "ios", ms=20 * STEP)
    while registry.call("trim"):
        pass
    expected = {**living, changed: "ios"}
    del expected[removed]
    assert registry.count() == tuple(list(expected.values()).count(each) for each in PLATFORMS)
    assert not registry.redis.exists("mostro:tokens:android", "mostro:tokens:ios")
    registry.pass_ms(12 * STEP)
    assert registry.count() == (1, 1)


def test_a_listener_tidies_every_so_many_hours(registry, relay, tmp_path):
    """As often as there is something left then; and not in between."""
    stack = registry.stack
    clock = tmp_path / "later"

    def set_clock(hours):
        written = tmp_path / "written"
        written.write_text(str(int(hours * 3600)))
        written.rename(clock)

    def beat(times):
        for _ in range(times):
            stack.redis.hdel("mostro:listener:listener-1", "version")
            wait_until(lambda: stack.redis.hexists("mostro:listener:listener-1", "version"))

    # Its own clock is moved, not Redis's.
    stack.start_listener(relay, **preloaded("later", tmp_path), LATER=str(clock),
                         CLEANUP_INTERVAL_HOURS="2")
    for hours in (0, 2.1):
        now = registry.now_ms() // STEP * STEP // 1000
        passed = [now - STEP // 1000 * n for n in range(2 * PAGE)]
        stack.redis.zadd("mostro:live:steps", {str(each): each for each in [*passed, now + 3600]})
        set_clock(hours + 1.9)
        beat(2)
        assert stack.redis.zcard("mostro:live:steps") == len(passed) + 1
        set_clock(hours + 2.1)
        left = [str(now + 3600)]
        wait_until(lambda left=left: stack.redis.zrange("mostro:live:steps", 0, -1) == left,
                   what="the passed steps go")
        beat(2)  # the first to find nothing is the last for a while


def test_a_stand_in_is_not_counted(registry, pubkey):
    """Not even one that expires together with others, when somebody registers its name."""
    device_id, = endpoints_of(registry, names := [], 1)
    registry.register(pubkey)
    assert registry.call("endpoints_load", "one", "x", STEP, device_id,
                         f"https://push.example.org/{device_id}", "", "", 0) == 1
    assert registry.count() == (1, 0)
    registry.redis.pexpireat(f"mostro:token:{names[0]}",
                             registry.redis.pexpiretime(f"mostro:token:{pubkey}"))
    registry.register(names[0], "ios")
    assert registry.count() == (1, 1)
