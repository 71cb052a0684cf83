"""Registers and unregisters wait up to 2.5 s for a Redis that is away, since the app takes a 503 as
final; nothing else waits, nor for them."""
import collections
import concurrent.futures
import contextlib
import json
import os
import resource
import signal
import socket
import struct
import threading
import time

import pytest
import redis

import fastcgi
import nostr
from stack import SLOW, wait_until

PATIENCE = 2.5
QUICK = 2  # less, and yet enough for a machine that does other things, too
ABORT_REQUEST = 2
REGISTERED = '{"success":true,"message":"Token registered successfully","platform":"android"}'
UNREGISTERED = '{"success":true,"message":"Token unregistered successfully"}'
ABSENT = '{"success":true,"message":"Token not found (may have already been unregistered)"}'
UNAVAILABLE = '{"success":false,"message":"service unavailable"}'

Told = collections.namedtuple("Told", "status body seconds")


@pytest.fixture
def make_api(make_stack):
    def make(workers=1, redis=True, **settings):
        api = make_stack(**settings)
        if redis:
            api.start_redis()
        api.start_api(workers)
        return api
    return make


def prepare_redis(stack, *options):
    """Starts one where nobody looks for it. Returns what puts it into its place at once: whoever
    waits for it has not the time for a program's start as well."""
    place, client = stack.socket, stack.redis
    stack.socket = coming = place.with_name("coming.sock")
    stack.redis = redis.Redis(unix_socket_path=str(coming), socket_timeout=5)
    stack.start_redis(*options)
    stack.redis.close()
    stack.socket, stack.redis = place, client
    return lambda: coming.rename(place)


def told(api, path, body, client=None):
    began = time.monotonic()
    answer = api.post(path, body, client=client)
    return Told(answer.status, answer.body, time.monotonic() - began)


def registration(pubkey=None):
    return {"trade_pubkey": pubkey or nostr.new_pubkey(), "token": "token-1", "platform": "android"}


@contextlib.contextmanager
def meanwhile(*requests):
    """Has requests asked, one thread each; gives their futures, which all are done in the end."""
    with concurrent.futures.ThreadPoolExecutor(len(requests)) as threads:
        yield [threads.submit(request) for request in requests]


def waiting(stack):
    """How many times a request has begun to wait, as the debug log says."""
    return stack.workers.output().count("waits for Redis")


def wait_for_waiting(stack, count):
    wait_until(lambda: waiting(stack) >= count, what=f"{count} requests wait")


def check_all_else_is_quick(api):
    """Is answered as without those that wait."""
    for path, status in (("/api/health", 200), ("/api/info", 200), ("/api/status", 503)):
        began = time.monotonic()
        assert api.get(path).status == status
        assert time.monotonic() - began < QUICK, path
    for pubkey in (nostr.new_pubkey(), "nonsense"):
        notified = told(api, "/api/notify", {"trade_pubkey": pubkey})
        assert (notified.status, notified.seconds < QUICK) == (503, True), notified


# ---- How long, and for what


def test_redis_is_killed_and_back_after_a_second(make_api, pubkey):
    """What waited is done once: charged, and known to Redis."""
    api = make_api(2, **SLOW)
    present = nostr.new_pubkey()
    api.redis_server.kill()
    come_back = prepare_redis(api)
    clients = [api.new_client() for _ in range(3)]
    with meanwhile(
            lambda: told(api, "/api/register", registration(pubkey), clients[0]),
            lambda: told(api, "/api/register", registration(present), clients[1]),
            lambda: told(api, "/api/unregister", {"trade_pubkey": nostr.new_pubkey()}, clients[2]),
    ) as asked:
        wait_for_waiting(api, 3)
        began = time.monotonic()
        while time.monotonic() - began < 0.9:
            check_all_else_is_quick(api)
        come_back()
    found = [one.result() for one in asked]
    assert [one[:2] for one in found] == [(200, REGISTERED), (200, REGISTERED), (200, ABSENT)]
    assert all(0.9 < one.seconds for one in found), found
    assert api.is_registered(pubkey) and api.is_registered(present)
    assert '"total":2' in api.get("/api/status").body
    assert len(list(api.redis.scan_iter("mostro:limit:register:ip:*"))) == 3


@pytest.mark.parametrize("way", ["killed", "stopped"])
def test_a_redis_that_does_not_come_back(make_api, way):
    api = make_api()
    assert api.register(nostr.new_pubkey(), "token-1").status == 200
    if way == "killed":
        api.redis_server.kill()
    else:
        api.redis_server.send_signal(signal.SIGSTOP)
    with meanwhile(lambda: told(api, "/api/register", registration()),
                   lambda: told(api, "/api/unregister", {"trade_pubkey": nostr.new_pubkey()}),
                   ) as asked:
        wait_for_waiting(api, 2)
        check_all_else_is_quick(api)
    for one in asked:
        assert one.result()[:2] == (503, UNAVAILABLE)
        assert PATIENCE <= one.result().seconds < PATIENCE + QUICK, one.result()
    # A malformed one has nothing to wait for.
    for path in ("/api/register", "/api/unregister"):
        refused = told(api, path, {"trade_pubkey": "nonsense"})
        assert (refused.status, refused.seconds < QUICK) == (503, True)


def test_workers_that_have_never_seen_redis(make_api, pubkey):
    """Nor the key of the address hashes, without which nobody is let past his limit."""
    api = make_api(redis=False)
    come_back = prepare_redis(api)
    with meanwhile(lambda: told(api, "/api/register", registration(pubkey))) as asked:
        wait_for_waiting(api, 1)
        check_all_else_is_quick(api)
        come_back()
    assert asked[0].result()[:2] == (200, REGISTERED)
    assert api.is_registered(pubkey)
    assert len(list(api.redis.scan_iter("mostro:limit:register:ip:*"))) == 1


def test_what_died_under_way_is_sent_again(make_api, pubkey):
    """A Redis that stands still for longer than a command may take does all that it has got: the
    first try, too, which is charged; the second is not, nor refused by what the first has spent."""
    api = make_api(**{**SLOW, "REGISTER_NEW_PER_IP_PER_DAY": "1"})
    client, other = api.new_client(), nostr.new_pubkey()
    api.register(other, "token-1")
    api.redis_server.send_signal(signal.SIGSTOP)
    with meanwhile(lambda: told(api, "/api/register", registration(pubkey), client),
                   lambda: told(api, "/api/unregister", {"trade_pubkey": other})) as asked:
        wait_for_waiting(api, 2)
        api.redis_server.send_signal(signal.SIGCONT)
    assert asked[0].result()[:2] == (200, REGISTERED)
    assert asked[1].result()[:2] in ((200, UNREGISTERED), (200, ABSENT))
    assert api.is_registered(pubkey) and not api.is_registered(other)
    # The address has registered its one new pubkey of the day.
    assert told(api, "/api/register", registration(), client).status == 429
    assert told(api, "/api/register", registration(pubkey), client).status == 200


def test_limits_hold_for_those_who_waited(make_api):
    """A burst of B admits exactly B, though all are sent at once."""
    api = make_api(2, **SLOW, REGISTER_NEW_PER_IP_PER_DAY="7")
    client = api.new_client()
    api.redis_server.kill()
    come_back = prepare_redis(api)
    with meanwhile(*[lambda: told(api, "/api/register", registration(), client)] * 20) as asked:
        wait_for_waiting(api, 20)
        come_back()
    found = collections.Counter(one.result().status for one in asked)
    assert found == {200: 7, 429: 13}


def test_what_needs_an_operator_is_not_waited_for(make_api):
    """Nor waited for any longer, once it is seen."""
    api = make_api()
    api.redis_server.kill()
    come_back = prepare_redis(api, "--save", "3600 1")
    with meanwhile(lambda: told(api, "/api/register", registration())) as asked:
        wait_for_waiting(api, 1)
        come_back()
    assert asked[0].result().status == 503
    assert asked[0].result().seconds < QUICK
    refused = told(api, "/api/register", registration())
    assert (refused.status, refused.seconds < QUICK) == (503, True), refused


def test_a_full_redis_is_not_waited_for(make_api):
    api = make_api()
    api.redis.config_set("maxmemory", 1)
    full = told(api, "/api/register", registration())
    assert (full.status, full.seconds < QUICK) == (503, True)


# ---- Places


def register_records(pubkey=None, **more):
    """A request as a web server sends it; `more` are parameters."""
    body = json.dumps(registration(pubkey)).encode()
    return fastcgi.request(REQUEST_METHOD="POST", REQUEST_URI="/api/register",
                           CONTENT_TYPE="application/json", CONTENT_LENGTH=str(len(body)),
                           REMOTE_ADDR="192.0.2.1", body=body, **more)


HEALTH = fastcgi.request(REQUEST_METHOD="GET", REQUEST_URI="/api/health")


def connect(stack):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(stack.directory / "fcgi.sock"))
    return connection


def status_of(connection):
    with connection:
        return fastcgi.status(connection)


def ask(stack, records):
    connection = connect(stack)
    connection.sendall(records)
    return connection


@pytest.fixture
def few_descriptors(make_stack):
    """A worker with so many descriptors, and so room for half as many that wait."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def make(descriptors):
        stack = make_stack(REGISTER_RATE_PER_IP_PER_MIN="0", REGISTER_NEW_PER_IP_PER_DAY="0")
        stack.start_redis()
        stack.start_workers(1)
        wait_until(stack.workers.children)
        resource.prlimit(stack.workers.pid, resource.RLIMIT_NOFILE, (descriptors, descriptors))
        before = stack.workers.children()
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: stack.workers.children() not in ([], before))
        wait_until(lambda: status_of(ask(stack, HEALTH)) == 200)
        return stack
    yield make
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_half_of_the_places_and_no_more(few_descriptors):
    """Beyond them 503 comes at once; a client that leaves makes room for another."""
    stack = few_descriptors(80)
    stack.redis_server.kill()
    come_back = prepare_redis(stack)
    with contextlib.ExitStack() as open_:
        def register(kept=False):
            records = register_records()
            return open_.enter_context(ask(stack, fastcgi.kept(records) if kept else records))

        held = [register() for _ in range(39)]
        kept = register(kept=True)
        wait_for_waiting(stack, 40)
        for _ in range(10):
            assert status_of(register()) == 503
            assert status_of(ask(stack, HEALTH)) == 200
        for one in held[:10]:
            one.close()
        # As HAProxy says that one has left: it is answered, and its connection kept.
        kept.sendall(struct.pack(">BBHHBB", 1, ABORT_REQUEST, 1, 0, 0, 0))
        assert fastcgi.answer(kept).startswith(b"Status: 503")
        held = held[10:] + [register() for _ in range(11)]
        wait_for_waiting(stack, 51)
        assert status_of(register()) == 503
        come_back()
        assert [fastcgi.status(one) for one in held] == [200] * 40
        kept.sendall(fastcgi.kept(HEALTH))
        assert fastcgi.answer(kept).startswith(b"Status: 200")


def test_they_hold_so_much_memory_and_no_more(make_stack):
    """8 MiB, by what a client may have a web server send along."""
    stack = make_stack(REGISTER_RATE_PER_IP_PER_MIN="0", REGISTER_NEW_PER_IP_PER_DAY="0")
    stack.start_redis()
    stack.start_workers(1)
    wait_until(lambda: status_of(ask(stack, HEALTH)) == 200)
    stack.redis_server.kill()
    come_back = prepare_redis(stack)
    records = register_records(**{f"HTTP_{n}": "x" for n in range(4000)})
    with contextlib.ExitStack() as open_:
        held = [open_.enter_context(ask(stack, records)) for _ in range(60)]
        wait_for_waiting(stack, 30)
        assert status_of(ask(stack, HEALTH)) == 200
        come_back()
        found = collections.Counter(fastcgi.status(one) for one in held)
        assert found[200] >= 30 and found[503] >= 10 and found.total() == 60, found


# ---- The end


@pytest.mark.parametrize("comes_back", [True, False])
def test_sigterm_while_some_wait(make_stack, comes_back):
    stack = make_stack()
    stack.start_redis()
    stack.start_workers(1)
    wait_until(lambda: status_of(ask(stack, HEALTH)) == 200)
    pid = stack.workers.children()[0]
    stack.redis_server.kill()
    come_back = prepare_redis(stack) if comes_back else None
    with contextlib.ExitStack() as open_:
        began = time.monotonic()
        held = [open_.enter_context(ask(stack, register_records())) for _ in range(5)]
        wait_for_waiting(stack, 5)
        os.kill(pid, signal.SIGTERM)
        if comes_back:
            come_back()
        found = [fastcgi.status(one) for one in held]
        assert found == [200 if comes_back else 503] * 5
        assert comes_back or time.monotonic() - began >= PATIENCE
    wait_until(lambda: pid not in stack.workers.children())


# ---- Notify


def test_notify_is_as_quick_beside_those_that_wait(make_api):
    """Beside registers that are sent again it waits for none of them."""
    api = make_api(NOTIFY_RATE_PER_IP_PER_MIN="6000", REGISTER_RATE_PER_IP_PER_MIN="0")
    back = threading.Event()

    def notify():
        found = []
        while not back.is_set():
            found.append(told(api, "/api/notify", {"trade_pubkey": nostr.new_pubkey()}))
        return found
    api.redis_server.kill()
    come_back = prepare_redis(api)
    with meanwhile(notify, *[lambda: told(api, "/api/register", registration())] * 30) as asked:
        try:
            wait_for_waiting(api, 30)
            time.sleep(1)
            come_back()
            assert {one.result().status for one in asked[1:]} == {200}
        finally:
            back.set()
    found = asked[0].result()
    statuses = collections.Counter(one.status for one in found)
    assert set(statuses) == {202, 503} and statuses[503] > 10, statuses
    # Two that this machine was slow at do not count.
    assert sorted(one.seconds for one in found)[-3] < 0.7
