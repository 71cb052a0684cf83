"""Whether a pubkey is registered cannot be told from anything that /api/notify does or answers; and
what is between a flood and Redis. All of it on the real parts, as a caller or Redis sees them.

Where a burst is counted exactly the rate is 1 a minute, so that nothing is refilled meanwhile."""
import contextlib
import gc
import os
import random
import re
import secrets
import signal
import socket
import sys
import time

import pytest
import redis

import nostr
import welch
from loopback import HOST
from phone import Phone
from stack import SLOW, wait_until
from web_servers import TOP, WEB_SERVERS

INTERVAL = 60  # seconds, at 1 a minute
PUBKEY_BURST, ADDRESS_BURST, REGISTER_BURST = 10, 30, 100

UUID4 = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
HOUSEKEEPING = ("mostro3_add", "mostro3_address_key")  # each worker's, once a second


# ---- Requests as bytes


def request_of(path, body, *headers):
    """One HTTP request, complete."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}", "Content-Type: application/json",
             f"Content-Length: {len(body)}", *headers, "", body]
    return "\r\n".join(lines).encode()


def notify_of(pubkey, *headers):
    return request_of("/api/notify", f'{{"trade_pubkey":"{pubkey}"}}', *headers)


class Caller:
    """A client's connection, kept open as long as the server lets it be."""

    def __init__(self, api, address=None):
        self._source = (address or api.new_client(), 0)
        self._port = api.http_port
        self._socket = None
        self._left = b""

    def open(self):
        if not self._socket:
            self._socket = socket.create_connection((HOST, self._port), 10, self._source)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        if self._socket:
            self._socket.close()
            self._socket = None

    def send(self, request):
        self.open()
        self._socket.sendall(request)

    def read(self):
        """One answer: its head and its body, as they came."""
        head, end, rest = b"", b"", b""
        while not end:
            rest += self._receive()
            head, end, body = rest.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)\r\ncontent-length: (\d+)", head)[1])
        while len(body) < length:
            body += self._receive()
        assert len(body) == length
        if b"connection: close" in head.lower():
            self.close()
        return head, body

    def _receive(self):
        part = self._socket.recv(65536)
        if not part:
            raise ConnectionError("the server closed the connection")
        return part

    def ask(self, request):
        self.send(request)
        return self.read()

    def status(self, request):
        return status_of(self.ask(request))


def status_of(answer):
    return int(answer[0].split(b" ", 2)[1])


@pytest.fixture(scope="module", params=WEB_SERVERS)
def web_server(request):
    return request.param


@pytest.fixture
def make_caller():
    with contextlib.ExitStack() as stack:
        def make(api, address=None):
            caller = Caller(api, address)
            stack.callback(caller.close)
            return caller
        yield make


@pytest.fixture
def make_api(make_stack):
    def make(workers=1, **settings):
        api = make_stack(**settings)
        api.start_redis()
        api.start_api(workers)
        return api
    return make


@pytest.fixture(scope="module")
def slow_api(make_shared_stack):
    """One worker, so that it is known who remembers what; no bucket is refilled."""
    api = make_shared_stack(**SLOW)
    api.start_redis()
    api.start_api(1)
    return api


def a_pubkey(api, registered):
    pubkey = nostr.new_pubkey()
    if registered:
        api.register(pubkey, "https://push.example.org/UP" + secrets.token_hex(16))
    return pubkey


# ---- What a request finds


def spend_pubkey(api, pubkey, n):
    for _ in range(n):
        api.notify(pubkey)


def spend_address(api, address, n):
    for _ in range(n):
        api.notify(nostr.new_pubkey(), client=address)


# What has to happen before the request in question, and the status it then gets.
SITUATIONS = {
    "accepted": (202, lambda api, pubkey, address: None),
    "accepted, not the first": (202, lambda api, pubkey, address: spend_pubkey(api, pubkey, 5)),
    "over the pubkey's limit": (
        429, lambda api, pubkey, address: spend_pubkey(api, pubkey, PUBKEY_BURST)),
    "over it, a wake deferred": (
        429, lambda api, pubkey, address: spend_pubkey(api, pubkey, PUBKEY_BURST + 1)),
    "over the address's limit": (
        429, lambda api, pubkey, address: spend_address(api, address, ADDRESS_BURST)),
    "over it, as the worker knows": (
        429, lambda api, pubkey, address: spend_address(api, address, ADDRESS_BURST + 1)),
}


@pytest.fixture(params=SITUATIONS)
def situation(request):
    return request.param


def prepare(api, situation, registered):
    """A pubkey and the address of a caller who then gets the situation's status."""
    pubkey, address = a_pubkey(api, registered), api.new_client()
    SITUATIONS[situation][1](api, pubkey, address)
    return pubkey, address


# ---- Redis sees the same


def watch(api, act):
    """What Redis was asked to do while act() ran: a list of commands for each that came from
    outside, itself and what its function called. The workers' housekeeping is left out."""
    client = redis.Redis(unix_socket_path=str(api.socket), decode_responses=True,
                         socket_timeout=10)
    end = secrets.token_hex(8)
    with client, client.monitor() as monitor:
        act()
        api.redis.echo(end)
        groups = []
        while True:
            line = monitor.next_command()
            words = line["command"].split(" ")
            if words == ["ECHO", end]:
                break
            if line["client_type"] == "lua":
                groups[-1].append(words)
            else:
                groups.append([words])
    return [group for group in groups if group[0][1:2] not in ([name] for name in HOUSEKEEPING)]


def shape(word, pubkey):
    """A word of a command without what differs between any two requests."""
    word = word.replace(pubkey, "<pubkey>")
    word = re.sub(r"\b[0-9a-f]{32}\b", "<hash>", word)
    return "<number>" if re.fullmatch(r"\d+(-\d+)?", word) else word


def shapes(groups, pubkey):
    return [[[shape(word, pubkey) for word in command] for command in group] for group in groups]


def watch_notify(api, pubkey, address, status):
    def act():
        assert api.notify(pubkey, client=address).status == status
    groups = watch(api, act)
    assert "token" not in str(groups)
    return shapes(groups, pubkey)


def test_redis_is_asked_the_same(slow_api, situation):
    """The same commands, as many, on keys of the same form, and none of a registration's."""
    status = SITUATIONS[situation][0]
    found = [watch_notify(slow_api, *prepare(slow_api, situation, registered), status)
             for registered in (True, False)]
    assert found[0] == found[1]
    # The worker answers by itself what it has been refused, and only that.
    assert len(found[0]) == (0 if situation == "over it, as the worker knows" else 1)
    queues = situation in ("accepted", "accepted, not the first", "over the pubkey's limit")
    assert ("XADD" in [command[0] for group in found[0] for command in group]) == queues


def test_redis_is_asked_the_same_with_a_full_queue(make_api):
    api = make_api(WAKES_MAX="4")
    spend_pubkey(api, nostr.new_pubkey(), 2)
    found = [watch_notify(api, a_pubkey(api, registered), None, 503)
             for registered in (True, False)]
    assert found[0] == found[1]
    assert [group[0][1] for group in found[0]] == ["mostro3_notify"]


def test_redis_is_asked_the_same_when_it_is_full(make_api):
    api = make_api()
    pubkeys = [a_pubkey(api, registered) for registered in (True, False)]
    api.redis.config_set("maxmemory", 1)
    found = [watch_notify(api, pubkey, None, 503) for pubkey in pubkeys]
    assert found[0] == found[1]


def test_watching_sees_a_look_at_a_registration(slow_api, pubkey):
    """Otherwise the tests above would find nothing in any case."""
    groups = watch(slow_api, lambda: slow_api.register(pubkey, "token-1"))
    assert f"mostro:token:{pubkey}" in [word for command in groups[0] for word in command]


def test_the_counters_grow_the_same(make_api):
    """What the worker counts of its answers, which is shown to operators."""
    api = make_api()
    sent = PUBKEY_BURST + 3

    def counters():
        return {name: int(n) for name, n in api.redis.hgetall("mostro:stats").items()}

    def wait_until_counted(path, n):
        wait_until(lambda: sum(count for name, count in counters().items()
                               if name.startswith(f"requests_{path}")) == n)
    found = []
    for i, registered in enumerate((True, False)):
        pubkey = a_pubkey(api, registered)
        wait_until_counted("register", 1)
        before = counters()
        spend_pubkey(api, pubkey, sent)
        wait_until_counted("notify", (i + 1) * sent)
        found.append({name: n - before.get(name, 0) for name, n in counters().items()})
    assert found[0] == found[1]


# ---- The function never looks


def lua_functions(code):
    """name -> text of every function of registry.lua, on one line or on many, in others, too."""
    body = r"(?=(( *)local function (\w+)\((?:[^\n]* end$|.*?^\2end$)))"
    return {match[3]: match[1]
            for match in re.finditer("^" + body, code, re.DOTALL | re.MULTILINE)}


def reached_from(name, functions):
    """The functions that this one calls, directly or not, and itself."""
    reached, left = set(), [name]
    while left:
        name = left.pop()
        reached.add(name)
        words = set(re.findall(r"\w+", functions[name]))
        left += [other for other in functions if other in words and other not in reached]
    return reached


def test_the_function_of_notify_never_mentions_registrations():
    code = (TOP / "shared/registry/registry.lua").read_text()
    functions = lua_functions(code)
    callback = re.search(r"^register\('notify', (\w+)\)$", code, re.MULTILINE)[1]
    reached = reached_from(callback, functions)
    # The reading of the file works:
    assert {"spend", "note_deferred", "queue_wake", "pubkey_limit_key"} < reached
    assert "token_key" in reached_from("do_registers", functions)
    assert len(functions) == len(re.findall(r"\bfunction \w+\(", code))

    text = "\n".join(functions[name] for name in reached)
    assert not re.search(r"token|platform|load|_G|fenv", text)
    assert set(re.findall(r"redis\.(\w+)", text)) == {"call"}
    calls = re.findall(r"redis\.call\((.)(\w*)", text)
    assert {quote for quote, _ in calls} == {"'"}
    assert {name for _, name in calls} == {"TIME", "GET", "SET", "PTTL", "XLEN", "XADD"}
    # And the values at the top level that it uses hold no key either.
    constants = re.findall(r"^local (\w+) = .*token.*$", code, re.MULTILINE)
    assert not set(constants) & set(re.findall(r"\w+", text))


def test_redis_runs_that_very_code(slow_api):
    libraries = slow_api.redis.function_list(library="mostro_push_*", withcode=True)
    assert [library[library.index("library_code") + 1] for library in libraries] == [
        (TOP / "shared/registry/registry.lua").read_text()]


# ---- The answers are the same


def without_what_differs(answer):
    """An answer's bytes, less the values that differ between any two: request id and date."""
    head, body = answer
    ids = re.findall(rb"(?i)\r\nX-Request-Id: ([^\r]*)", head)
    assert len(ids) == 1 and UUID4.fullmatch(ids[0]), head
    head = re.sub(rb"(?i)(\r\n(?:X-Request-Id|Date): )[^\r]*", rb"\1", head)
    return head + b"\r\n\r\n" + body


def test_the_answers_are_the_same(slow_api, make_caller, situation):
    found = []
    for registered in (True, False):
        pubkey, address = prepare(slow_api, situation, registered)
        answer = make_caller(slow_api, address).ask(notify_of(pubkey))
        assert status_of(answer) == SITUATIONS[situation][0]
        found.append(without_what_differs(answer))
    assert found[0] == found[1]
    assert b"\r\nX-Request-Id: \r\n" in found[0]


def test_refusals_do_not_tell_who_refused(slow_api, make_caller):
    found = set()
    for situation, (status, _) in SITUATIONS.items():
        if status == 429:
            pubkey, address = prepare(slow_api, situation, registered=True)
            answer = make_caller(slow_api, address).ask(notify_of(pubkey))
            found.add(without_what_differs(answer))
    # Whatever the body: what the address's limit refuses is not told apart by what it asked for.
    address = slow_api.new_client()
    spend_address(slow_api, address, ADDRESS_BURST)
    caller = make_caller(slow_api, address)
    for body in ("{", '{"trade_pubkey":"bad"}', "x" * 9000):
        found.add(without_what_differs(caller.ask(request_of("/api/notify", body))))
    assert len(found) == 1
    assert found.pop().endswith(b'\r\n\r\n{"success":false,"message":"rate limited"}')


def test_unavailability_does_not_tell(make_api, make_caller):
    api = make_api(WAKES_MAX="4")
    pubkeys = [a_pubkey(api, registered) for registered in (True, False)]
    spend_pubkey(api, nostr.new_pubkey(), 2)

    def answers():
        found = [make_caller(api).ask(notify_of(pubkey)) for pubkey in pubkeys]
        assert [status_of(answer) for answer in found] == [503, 503]
        return {without_what_differs(answer) for answer in found}
    found = answers()
    api.redis_server.kill()
    assert len(found | answers()) == 1


# ---- The timing is the same

BLOCKS, BLOCK = 640, 32  # 20,480 requests
BLOCKS_MOST = 8 * BLOCKS
LEAK_NS = 50_000
POOL = 400               # pubkeys of each kind
ADDRESSES = [f"198.51.100.{n}" for n in range(1, 65)]
RAISED = {
    "NOTIFY_TRUST_PROXY_HEADERS": "true",
    "NOTIFY_RATE_PER_PUBKEY_PER_MIN": "60000",
    "NOTIFY_RATE_PER_IP_PER_MIN": "60000",
    "REGISTER_RATE_PER_IP_PER_MIN": "0",
    "UNIFIEDPUSH_ALLOW_PRIVATE": "true",
    "WAKES_MAX": "10000000",
    "LOG_LEVEL": "info",
}


def time_one(caller, request, status, spin_ns):
    """Nanoseconds from the request's first byte to the answer's last, and `spin_ns` more."""
    caller.open()
    began = time.perf_counter_ns()
    answer = caller.ask(request)
    end = time.perf_counter_ns() + spin_ns
    while spin_ns and time.perf_counter_ns() < end:
        pass
    took = time.perf_counter_ns() - began
    assert status_of(answer) == status
    return took


def measure(caller, pools, status=202, registered_ns=0, most=BLOCKS_MOST):
    """Welch's t of registered against unregistered, in random order, of as many requests as it
    takes to see LEAK_NS on a machine that has other things to do. `registered_ns` is added to the
    time of every registered request: what a server might do that looks them up."""
    def request(registered):
        return notify_of(random.choice(pools[registered]),
                         f"X-Forwarded-For: {random.choice(ADDRESSES)}")
    blocks = []
    for _ in range(10 * BLOCK):
        time_one(caller, request(random.random() < 0.5), status, 0)
    gc.disable()
    try:
        while len(blocks) < BLOCKS or (len(blocks) < most and
                                       not welch.can_see(blocks, LEAK_NS)):
            for _ in range(BLOCKS // 4):
                kinds = [True, False] * (BLOCK // 2)
                random.shuffle(kinds)
                blocks.append([(kind, time_one(caller, request(kind), status,
                                               registered_ns if kind else 0)) for kind in kinds])
    finally:
        gc.enable()
    t = welch.compare(blocks)
    print(f"t = {t:.2f}, {len(blocks) * BLOCK} requests, {registered_ns} ns added to the registered")
    return t


def make_pools(api, size=POOL, endpoint=lambda: "x" * 163):
    pools = {kind: [secrets.token_hex(32) for _ in range(size)] for kind in (True, False)}
    for pubkey in pools[True]:
        api.register(pubkey, endpoint())
    return pools


@pytest.mark.measured
def test_registered_take_as_long(make_api, make_caller):
    api = make_api(2, **RAISED)
    pools = make_pools(api)
    caller = make_caller(api)
    assert abs(measure(caller, pools)) < welch.LIMIT
    # And this much would have been seen.
    assert measure(caller, pools, registered_ns=LEAK_NS) > welch.LIMIT


@pytest.mark.measured
def test_registered_take_as_long_while_they_are_pushed_to(make_stack, make_caller, relay):
    """With a listener on the same machine, which has more to do for the registered. Their phone is
    another process: inside this one it would hold up the very clock."""
    api = make_stack(**RAISED)
    phone = api.start_program("phone", [sys.executable, TOP / "tests/standins/phone.py"])
    wait_until(lambda: phone.output().startswith("READY ") and "\n" in phone.output())
    url = phone.output().split()[1].rsplit("/push", 1)[0]
    api.start_redis()
    api.start_api(2)
    api.start_listener(relay)
    pools = make_pools(api, endpoint=lambda: f"{url}/{Phone.path()}")
    assert abs(measure(make_caller(api), pools)) < welch.LIMIT
    assert phone.output().count("silent_wake") >= POOL / 2
    # The wakes that are left do not matter.
    api.listener.kill()


CROWD = """
import http.client, random, sys, threading
port, pubkeys = int(sys.argv[1]), sys.argv[2:]
def ask():
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while True:
        connection.request("POST", "/api/notify", '{"trade_pubkey":"%s"}' % random.choice(pubkeys),
                           {"Content-Type": "application/json"})
        connection.getresponse().read()
for _ in range(4):
    threading.Thread(target=ask).start()
print("READY", flush=True)
"""


@pytest.mark.measured
def test_registered_take_as_long_among_other_requests(make_stack, make_caller):
    """One worker, so that what is asked of Redis for the request that is measured shares its write
    with what is asked for others, who name registered pubkeys and unregistered ones."""
    api = make_stack(**RAISED)
    api.start_redis()
    api.start_api(1)
    pools = make_pools(api)
    crowd = api.start_program("crowd", [sys.executable, "-c", CROWD, str(api.http_port),
                                        *random.sample(pools[True] + pools[False], 20)])
    wait_until(lambda: crowd.output().startswith("READY"))
    assert abs(measure(make_caller(api), pools)) < welch.LIMIT
    assert crowd.is_alive()


@pytest.mark.measured
def test_registered_are_refused_as_fast(make_api, make_caller):
    api = make_api(2, **{**RAISED, "NOTIFY_RATE_PER_PUBKEY_PER_MIN": "1"})
    pools = make_pools(api, 20)
    for pool in pools.values():
        for pubkey in pool:
            spend_pubkey(api, pubkey, PUBKEY_BURST + 1)
    caller = make_caller(api)
    # No longer than a bucket takes to refill.
    assert abs(measure(caller, pools, 429, most=BLOCKS)) < welch.LIMIT


# ---- Relay events spend the same budget


@pytest.mark.parametrize("events, left", [(4, PUBKEY_BURST - 4), (PUBKEY_BURST, 0),
                                          (PUBKEY_BURST + 3, 0)])
def test_relay_events_spend_the_limit_of_anyone(make_stack, relay, phone, events, left):
    """Otherwise an early 429 would tell who is registered. An event spends it once, though two
    listeners see it and the relay sends it twice."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", **SLOW)
    stack.start_redis()
    stack.start_api()
    for name in ("listener-1", "listener-2"):
        stack.start_listener(relay, LISTENER_NAME=name)
    accepted, deferred = [], []
    for i, registered in enumerate((True, False)):
        pubkey = nostr.new_pubkey()
        if registered:
            stack.register(pubkey, phone.endpoint())
        wraps = [nostr.gift_wrap(pubkey) for _ in range(events)]
        for wrap in wraps:
            relay.publish(wrap)
        relay.deliver(wraps[0])
        wait_until(lambda: stack.stat("events_taken") == 2 * events * (i + 1),
                   what="both listeners have taken every event")
        deferred.append(stack.redis.exists(f"mostro:due:{pubkey}"))
        statuses = [stack.notify(pubkey).status for _ in range(PUBKEY_BURST + 1)]
        accepted.append(statuses.count(202))
        assert statuses == [202] * accepted[-1] + [429] * (len(statuses) - accepted[-1])
    assert accepted == [left, left]
    assert deferred[0] == deferred[1] == (events > PUBKEY_BURST)


# ---- A flood costs Redis next to nothing

FLOOD = 5000


def counted(api):
    """(calls of functions, all commands) since Redis started, by its own count."""
    return (api.redis.info("commandstats")["cmdstat_fcall"]["calls"],
            api.redis.info("stats")["total_commands_processed"])


def test_a_flood_is_refused_without_redis(make_api, make_caller):
    workers = 4
    api = make_api(workers, **SLOW)
    address = api.new_client()
    spend_address(api, address, ADDRESS_BURST)
    callers = [make_caller(api, address) for _ in range(2 * workers)]
    request = notify_of(nostr.new_pubkey())
    calls, commands = counted(api)
    began = time.monotonic()
    for _ in range(FLOOD // len(callers)):
        for caller in callers:
            caller.send(request)
        assert {status_of(caller.read()) for caller in callers} == {429}
    took = time.monotonic() - began
    more_calls, more_commands = (after - before for after, before
                                 in zip(counted(api), (calls, commands)))
    print(f"{more_calls} calls, {more_commands} commands in {took:.1f} s")
    # Each worker asks once, then knows; and once a second there is its housekeeping.
    assert more_calls <= workers * (1 + len(HOUSEKEEPING) * (took + 2))
    assert more_calls < FLOOD / 25 and more_commands < FLOOD / 4


def test_who_floods_is_admitted_as_soon_as_he_may_be(make_api, make_caller):
    """What a worker remembers of a refusal ends with it."""
    rate, refills = 120, 6
    api = make_api(4, NOTIFY_RATE_PER_IP_PER_MIN=str(rate))
    address = api.new_client()
    spend_address(api, address, ADDRESS_BURST)
    callers = [make_caller(api, address) for _ in range(8)]
    bucket, = api.redis.scan_iter("mostro:limit:notify:ip:*")
    wait_until(lambda: callers[0].status(notify_of(nostr.new_pubkey())) == 429)

    interval, late, refused = 60 / rate, [], 0
    while len(late) < refills:
        began = time.time()
        for caller in callers:
            caller.send(notify_of(nostr.new_pubkey()))
        if 202 in [status_of(caller.read()) for caller in callers]:
            # The moment from which this one could be admitted, by what its arrival then became.
            # Who has asked after it, and not only been seen after it, should have been.
            arrival = int(api.redis.get(bucket)) / 1e6
            late.append(max(0, refused - (arrival - ADDRESS_BURST * interval)))
        refused = began
    print([f"{each:.3f}" for each in late])
    assert min(late) < 0.025 and sorted(late)[refills // 2] < 0.15, late


# ---- Bursts at once


def at_once(api, make_caller, requests):
    """Sends (address, request) pairs over a connection each, to workers that stand still until all
    have been sent. Returns the statuses and how many workers had a share."""
    workers = api.workers.children()
    before = {pid: bytes_written(pid) for pid in workers}
    callers = [make_caller(api, address) for address, _ in requests]
    for caller in callers:
        caller.open()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        for caller, (_, request) in zip(callers, requests):
            caller.send(request)
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    statuses = [status_of(caller.read()) for caller in callers]
    return statuses, sum(bytes_written(pid) > before[pid] for pid in workers)


def check_bursts(api, make_caller, make_requests, statuses):
    """Every burst gets exactly these; until one was shared among workers: on a busy machine a
    single one may be through before the others wake. Returns how many bursts there were."""
    for n in range(1, 31):
        found, shared = at_once(api, make_caller, make_requests())
        assert sorted(found) == statuses
        if shared > 1:
            return n
    raise AssertionError("one worker has answered everything, every time")


def bytes_written(pid):
    with open(f"/proc/{pid}/io") as io:
        return int(re.search(r"wchar: (\d+)", io.read())[1])


def wait_for_workers(api, n):
    """Until all of them are at work: each has two connections to Redis, its loop's and its aide's,
    and the test has one."""
    wait_until(lambda: len(api.redis.client_list()) == 2 * n + 1, what="every worker")


@pytest.fixture
def eight(make_api):
    api = make_api(8, **SLOW)
    wait_for_workers(api, 8)
    return api


@pytest.mark.parametrize("registered", [True, False])
def test_burst_of_a_pubkey(eight, make_caller, registered):
    def requests():
        pubkey = a_pubkey(eight, registered)
        return [(eight.new_client(), notify_of(pubkey)) for _ in range(60)]
    bursts = check_bursts(eight, make_caller, requests,
                          [202] * PUBKEY_BURST + [429] * (60 - PUBKEY_BURST))
    assert eight.wakes_added() == bursts * (PUBKEY_BURST + 1)  # one of each is deferred


def notifies_of_one_address(api):
    address = api.new_client()
    return [(address, notify_of(nostr.new_pubkey())) for _ in range(100)]


ADMITTED_OF_100 = [202] * ADDRESS_BURST + [429] * (100 - ADDRESS_BURST)


def test_burst_of_an_address(eight, make_caller):
    check_bursts(eight, make_caller, lambda: notifies_of_one_address(eight), ADMITTED_OF_100)


def test_burst_of_registering(eight, make_caller):
    def requests():
        address = eight.new_client()
        return [(address, request_of(
            "/api/unregister" if n % 3 == 0 else "/api/register",
            f'{{"trade_pubkey":"{secrets.token_hex(32)}","token":"token-{n}","platform":"ios"}}'))
            for n in range(180)]
    check_bursts(eight, make_caller, requests,
                 [200] * REGISTER_BURST + [429] * (180 - REGISTER_BURST))


# ---- One key of the address hashes


def restart_workers(api, some):
    """Kills so many workers as they are; returns when others have taken their places."""
    before = api.workers.children()
    for pid in before[:some]:
        os.kill(pid, signal.SIGKILL)

    def replaced():
        now = api.workers.children()
        return len(now) == len(before) and not set(before[:some]) & set(now)
    wait_until(replaced, what="the workers are back")


def test_a_restarted_worker_counts_in_the_same_bucket(make_api):
    api = make_api(2, **SLOW)
    address = api.new_client()
    spend_address(api, address, ADDRESS_BURST - 5)
    restart_workers(api, 2)
    found = [api.notify(nostr.new_pubkey(), client=address).status for _ in range(7)]
    assert found == [202] * 5 + [429] * 2
    assert len(list(api.redis.scan_iter("mostro:limit:notify:ip:*"))) == 1


def test_workers_agree_again_after_redis_lost_its_data(eight, make_caller):
    """Also where another program was the first to draw a new key: here half of the workers, which
    have started since, know that one only."""
    check_bursts(eight, make_caller, lambda: notifies_of_one_address(eight), ADMITTED_OF_100)
    key = secrets.token_hex(32)
    eight.redis.flushall()
    lost = time.monotonic()
    eight.redis.set("mostro:address_key", key)
    restart_workers(eight, 4)
    wait_for_workers(eight, 8)
    # Each looks for it once a second, and nothing shows that all have.
    while time.monotonic() < lost + 3.5:
        eight.notify(nostr.new_pubkey())
    assert eight.redis.get("mostro:address_key") == key
    for _ in range(3):
        check_bursts(eight, make_caller, lambda: notifies_of_one_address(eight), ADMITTED_OF_100)
