"""Connections that a web server keeps (FCGI_KEEP_CONN): one worker serves many at once, each request
gets its own answer, and what goes wrong on one is nothing to the others.

The requests register for platforms that do not exist: the 400 repeats the name, so an answer shows
whose request it is to."""
import collections
import contextlib
import ctypes
import fcntl
import itertools
import json
import os
import pathlib
import random
import re
import resource
import signal
import socket
import statistics
import struct
import termios
import threading
import time

import pytest

from loopback import HOST, Port
from nostr import new_pubkey
from stack import FCGI, SLOW, wait_until

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, DATA, GET_VALUES = 1, 2, 3, 4, 5, 6, 8, 9
KEEP = 1

# Of notify, where the rate is one a minute (SLOW).
PUBKEY_BURST, ADDRESS_BURST = 10, 30

LIBC = ctypes.CDLL(None, use_errno=True)
PIDFD_GETFD = 438  # pidfd_getfd(2), of which Python has nothing

Answer = collections.namedtuple("Answer", "status headers body request")


# ---- What a web server sends


def record(kind, content=b"", request=1, padding=0, version=1):
    return struct.pack(">BBHHBx", version, kind, request, len(content), padding) + content + \
        bytes(padding)


def begin(request=1, role=1, flags=KEEP):
    return record(BEGIN, struct.pack(">HB5x", role, flags), request)


def parameters(**pairs):
    def length(text):
        return bytes([len(text)]) if len(text) < 128 else struct.pack(">I", len(text) | 1 << 31)
    return b"".join(length(name) + length(value) + name.encode() + value.encode()
                    for name, value in pairs.items())


def stream(kind, content, request=1, size=65528, padding=0):
    parts = (content[at:at + size] for at in range(0, len(content), size))
    return b"".join(record(kind, part, request, padding) for part in parts) + \
        record(kind, b"", request)


_addresses = itertools.count()


def new_address():
    """Of a client whose limits no other test has touched."""
    n = next(_addresses)
    return f"100.{64 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"


def message(method, path, body=b"", request=1, flags=KEEP, address=None, **more):
    """All records of a request; `more` are parameters."""
    told = {"REQUEST_METHOD": method, "REQUEST_URI": path, "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)), "REMOTE_ADDR": address or new_address(), **more}
    return begin(request, flags=flags) + stream(PARAMS, parameters(**told), request, padding=3) + \
        stream(STDIN, body, request)


def marked(marker, request=1, filler=0, **options):
    """A request whose answer holds `marker`."""
    body = {"trade_pubkey": new_pubkey(), "token": "t" * (20 + filler), "platform": marker}
    return message("POST", "/api/register", json.dumps(body).encode(), request, **options)


def health(**options):
    return message("GET", "/api/health", **options)


def notify(pubkey=None, **options):
    body = json.dumps({"trade_pubkey": pubkey or new_pubkey()}).encode()
    return message("POST", "/api/notify", body, **options)


class Broken(Exception):
    """The worker has closed the connection; says after how many bytes of an answer."""


class Connection:
    """To a worker, as a web server holds it."""

    def __init__(self, address, timeout=10):
        self.socket = socket.socket(socket.AF_INET if isinstance(address, tuple) else
                                    socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(str(address) if isinstance(address, pathlib.Path) else address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, content):
        self.socket.sendall(content)

    def _read(self, size):
        content = b""
        while len(content) < size:
            try:
                more = self.socket.recv(size - len(content))
            except ConnectionResetError:
                more = b""
            if not more:
                raise Broken(len(content))
            content += more
        return content

    def answer(self):
        said = b""
        while True:
            kind, request, size, padding = struct.unpack(">xBHHBx", self._read(8))
            content = self._read(size + padding)[:size]
            if kind == END:
                break
            assert kind == STDOUT, kind
            said += content
        head, _, body = said.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        return Answer(int(lines[0].split()[1]), lines[1:], body.decode(), request)

    def ended(self):
        """The id of a request of which the worker says nothing but that it is over."""
        kind, request, size, padding = struct.unpack(">xBHHBx", self._read(8))
        assert (kind, self._read(size + padding)) == (END, bytes(8))
        return request

    def ask(self, content):
        self.send(content)
        return self.answer()

    def ask_marked(self, marker, request=1, **options):
        check_marked(self.ask(marked(marker, request, **options)), marker, request)

    def is_closed(self):
        """Whether the worker closes it, without a byte of an answer."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def unread(self):
        """Whether the worker has not yet read all that was sent to it (Unix sockets)."""
        return struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4)))[0]


def check_marked(answer, marker, request=1):
    assert answer.status == 400 and f"'{marker}'" in answer.body, (marker, answer)
    assert answer.request == request


# ---- Workers


@pytest.fixture
def port():
    with contextlib.closing(Port()) as port:
        yield port.number


@pytest.fixture
def make_workers(make_stack):
    """make_workers(n, SETTING="value", ...) -> a stack of Redis and n workers, without a web
    server; its `address` is theirs."""
    def make(workers=1, port=None, redis=True, **settings):
        stack = make_stack(LOG_LEVEL="info", **settings)
        if redis:
            stack.start_redis()
        if port:
            stack.address = (HOST, port)
            stack.workers = stack.start_program(
                "workers", ["spawn-fcgi", "-n", "-a", HOST, "-p", port, "-b", "1024", "--", FCGI])
        else:
            stack.address = stack.directory / "fcgi.sock"
            stack.start_workers(workers)

        def answers():
            with contextlib.suppress(ConnectionRefusedError):
                with Connection(stack.address) as one:
                    return one.ask(health(flags=0)).status == 200
        wait_until(answers)
        return stack
    return make


@pytest.fixture(params=["unix", "tcp"])
def workers(request, make_workers, port):
    return make_workers(port=port if request.param == "tcp" else None)


def pid_of(stack):
    """Of the one worker; over TCP it is what spawn-fcgi has become."""
    children = stack.workers.children()
    return children[0] if children else stack.workers.pid


def names():
    for n in itertools.count():
        yield f"p{n}-{random.randrange(1 << 32):08x}"


NAME = names()


# ---- Request after request


def test_a_thousand_requests_on_one_connection(workers):
    with Connection(workers.address) as kept:
        for n in range(1000):
            kept.ask_marked(next(NAME), request=1 + n % 3, filler=n)


def test_without_keep_conn_the_connection_is_closed_after_the_answer(workers):
    with Connection(workers.address) as one:
        one.ask_marked(next(NAME), flags=0)
        assert one.is_closed()


def test_a_request_of_no_body_need_not_end_it(workers):
    """As HAProxy 2.6 leaves it after an empty chunked body."""
    told = parameters(REQUEST_METHOD="GET", REQUEST_URI="/api/health", CONTENT_LENGTH="0")
    with Connection(workers.address) as kept:
        for n in range(1, 20):
            assert kept.ask(begin(n) + stream(PARAMS, told, n)).status == 200
            if n % 2:
                kept.send(record(STDIN, b"", n))
            kept.ask_marked(next(NAME), request=n + 1)


def test_a_late_end_of_the_body_cuts_no_answer_off(workers):
    """Nor does it where the connection is then closed."""
    told = parameters(REQUEST_METHOD="GET", REQUEST_URI="/api/health", CONTENT_LENGTH="0")
    for _ in range(300):
        with Connection(workers.address) as one:
            one.send(begin(flags=0) + stream(PARAMS, told))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                one.send(record(STDIN))
            assert one.answer().status == 200


def test_the_late_end_of_a_body_can_still_be_sent(workers):
    """Caddy answers 502 itself where its write fails; the worker closes when the end has come."""
    told = parameters(REQUEST_METHOD="GET", REQUEST_URI="/api/health", CONTENT_LENGTH="0")
    pid = pid_of(workers)
    before = len(os.listdir(f"/proc/{pid}/fd"))
    with contextlib.ExitStack() as open_:
        for _ in range(20):
            one = open_.enter_context(Connection(workers.address))
            one.send(begin(flags=0) + stream(PARAMS, told))
            assert one.answer().status == 200
            assert one.is_closed()  # nothing more is said
            one.send(record(STDIN)[:3])
        wait_until(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before + 1)


def early_answers():
    """(status, request) where the answer is known before the body is looked at, or but for some of
    it."""
    rest = b'{"trade_pubkey":"' + b"7" * 5000 + b'"}'
    pubkey = new_pubkey()
    yield 404, message("POST", "/api/nothing", rest)
    yield 405, message("PUT", "/api/notify", rest)
    yield 405, message("GET", "/api/register", b"x" * 100_000)
    yield 400, message("POST", "/api/notify", rest)
    yield 400, message("POST", "/api/notify", rest, CONTENT_TYPE="text/plain")
    yield 400, message("POST", "/api/notify", rest, CONTENT_LENGTH="7")
    yield 413, message("POST", "/api/notify", b"x" * 8193)
    yield 413, message("POST", "/api/register", b"x" * (128 * 1024 + 1))
    yield 413, message("POST", "/api/register", b"x" * 1_000_000)
    yield 413, message("POST", "/api/register", b"x" * 1_000_000, CONTENT_LENGTH="")
    yield 413, message("POST", "/api/notify", rest, CONTENT_LENGTH="9" * 18)
    for _ in range(PUBKEY_BURST):
        yield 202, notify(pubkey)
    yield 429, notify(pubkey)
    yield 404, message("GET", "/metrics", record(PARAMS, rest) + health())


def test_what_an_early_answer_leaves_unread_is_no_part_of_the_next_request(make_workers, port):
    for tcp_port in (None, port):
        stack = make_workers(port=tcp_port, **SLOW)
        with Connection(stack.address) as kept:
            for status, request in early_answers():
                answer = kept.ask(request)
                assert answer.status == status, (request[:200], answer)
                kept.ask_marked(next(NAME))


def test_a_request_that_comes_before_the_answer_waits_for_its_turn(workers):
    with Connection(workers.address) as kept:
        for n in range(50):
            one, other = next(NAME), next(NAME)
            kept.send(marked(one, 1, filler=n) + marked(other, 2))
            check_marked(kept.answer(), one, 1)
            check_marked(kept.answer(), other, 2)


# ---- Many at once


def test_requests_in_pieces_on_many_connections_get_their_own_answers(workers):
    """Every piece comes between the pieces of others."""
    dice = random.Random(7)
    with contextlib.ExitStack() as open_:
        kept = [open_.enter_context(Connection(workers.address)) for _ in range(60)]
        for _ in range(10):
            names_ = [next(NAME) for _ in kept]
            left = {one: marked(name, request=1 + n, filler=dice.randrange(3000))
                    for n, (one, name) in enumerate(zip(kept, names_))}
            while left:
                one = dice.choice(list(left))
                size = dice.randrange(1, 1500)
                one.send(left[one][:size])
                left[one] = left[one][size:]
                if not left[one]:
                    del left[one]
            for n, (one, name) in enumerate(zip(kept, names_)):
                check_marked(one.answer(), name, 1 + n)


@pytest.mark.measured
def test_a_slow_request_holds_nobody_back(workers):
    """The next piece comes when another connection's request has been answered: a worker that
    waited for it would wait for ever."""
    name = next(NAME)
    times = []
    with Connection(workers.address) as slow, Connection(workers.address) as quick:
        request = marked(name, filler=200)
        for at in range(len(request)):
            slow.send(request[at:at + 1])
            before = time.monotonic()
            assert quick.ask(health()).status == 200
            times.append(time.monotonic() - before)
        check_marked(slow.answer(), name)
    # Nor does it wait a while: most of these take far less than a millisecond.
    assert statistics.median(times) < 0.1, sorted(times)[-10:]


# ---- What makes no sense


GARBAGE = {
    "STDIN first": record(STDIN, b"x"),
    "PARAMS first": record(PARAMS, b"\1\1xy"),
    "another version": record(BEGIN, struct.pack(">HB5x", 1, 1), version=2),
    "another role": begin(role=2),
    "id 0": begin(request=0),
    "HTTP": b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n",
    "noise": bytes(range(128, 256)) * 20,
    "STDIN before the end of PARAMS": begin() + record(PARAMS, b"\1\1xy") + record(STDIN, b"x"),
    "PARAMS after their end": begin() + stream(PARAMS, b"\1\1xy") + record(PARAMS, b"\1\1xy"),
    "a second request": begin(1) + stream(PARAMS, b"\1\1xy") + marked("of-another-request", 2),
    "the same once more": begin(1) + record(PARAMS, b"\1\1xy") + marked("of-another-request", 1),
    "another's body": begin(1) + stream(PARAMS, b"\1\1xy") + record(STDIN, b"x", 2),
    "an abort that says more": begin() + record(PARAMS, b"\1\1xy") + record(ABORT, b"x"),
    "another's abort": begin(1) + record(PARAMS, b"\1\1xy") + record(ABORT, b"", 2),
    "DATA": begin() + stream(PARAMS, b"\1\1xy") + record(DATA, b"x"),
    "an unknown kind": begin() + record(77, b"x"),
    "parameters beyond the limit": begin() + record(PARAMS, parameters(A="a" * 65_000)) +
    record(PARAMS, parameters(B="b" * 600)),
    "lengths beyond the parameters": begin() + record(PARAMS, b"\xff\xff\xff\xff\xff\xff\xff\xff") +
    record(PARAMS) + record(STDIN),
    "a body of 9 MiB": begin() + stream(PARAMS, parameters(REQUEST_METHOD="POST", CONTENT_LENGTH=""))
    + stream(STDIN, b"x" * (9 << 20)),
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_closes_its_connection_alone(workers, garbage):
    with Connection(workers.address) as used, Connection(workers.address) as begun:
        used.ask_marked(next(NAME))
        name = next(NAME)
        request = marked(name)
        begun.send(request[:70])
        for before in (b"", marked(first := next(NAME))):
            with Connection(workers.address) as bad:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    bad.send(before + GARBAGE[garbage])
                if before:
                    with contextlib.suppress(Broken):
                        check_marked(bad.answer(), first)
                assert bad.is_closed()
        used.ask_marked(next(NAME))
        begun.send(request[70:])
        check_marked(begun.answer(), name)


@pytest.mark.parametrize("given_up", [
    begin(7), begin(7) + record(PARAMS, b"\1\1xy", 7), begin(7) + stream(PARAMS, b"\1\1xy", 7),
    begin(7) + stream(PARAMS, b"\1\1xy", 7) + record(STDIN, b"x" * 5000, 7)])
def test_a_request_that_is_given_up_is_ended(workers, given_up):
    """As HAProxy does when a client leaves: what comes next on the connection is answered."""
    with Connection(workers.address) as kept:
        for _ in range(3):
            kept.send(given_up + record(ABORT, b"", 7))
            assert kept.ended() == 7
            kept.ask_marked(next(NAME))
            # Too late: this one has been answered.
            kept.send(record(ABORT))
            kept.ask_marked(next(NAME))


def test_a_request_that_is_given_up_and_was_not_to_be_kept(workers):
    with Connection(workers.address) as once:
        once.send(begin(flags=0) + record(PARAMS, b"\1\1xy") + record(ABORT))
        assert once.ended() == 1
        assert once.is_closed()


def test_what_breaks_off_leaves_nothing_behind(workers):
    name = next(NAME)
    request = marked(name, filler=3000)
    pid = pid_of(workers)
    with Connection(workers.address) as kept:
        kept.ask_marked(next(NAME))
        before = len(os.listdir(f"/proc/{pid}/fd"))
        for at in range(1, len(request), 97):
            with Connection(workers.address) as bad:
                bad.send(request[:at])
            kept.ask_marked(next(NAME))
        # One that says no more, but listens.
        with Connection(workers.address) as half:
            half.send(request)
            half.socket.shutdown(socket.SHUT_WR)
            check_marked(half.answer(), name)
            assert half.is_closed()
        # One more: the second thread may have connected to Redis meanwhile.
        wait_until(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before + 1)
    assert pid_of(workers) == pid


# ---- Idle ones


def memory_of(pid):
    """PSS, in KiB."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"(?m)^Pss: +(\d+)", text)[1])


@pytest.fixture
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.measured
def test_ten_thousand_idle_connections(make_workers, many_descriptors):
    stack = make_workers()
    pid = pid_of(stack)
    with contextlib.ExitStack() as open_:
        first = open_.enter_context(Connection(stack.address))
        first.ask_marked(next(NAME))
        before = memory_of(pid)
        kept = []
        for _ in range(10_000):
            kept.append(open_.enter_context(Connection(stack.address)))
            assert kept[-1].ask(health()).status == 200
        each = (memory_of(pid) - before) / len(kept)
        assert each <= 8, f"{each} KiB each"
        for one in (first, kept[0], kept[-1], *random.sample(kept, 200)):
            one.ask_marked(next(NAME))
        with Connection(stack.address) as new:
            new.ask_marked(next(NAME))


def test_without_descriptors_the_idlest_makes_room(make_workers):
    stack = make_workers()
    pid = pid_of(stack)
    with contextlib.ExitStack() as open_:
        in_use = len(os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (in_use + 5, 20_000))
        kept = []
        for _ in range(12):
            kept.append(open_.enter_context(Connection(stack.address)))
            kept[-1].ask_marked(next(NAME))
        assert "no descriptor is left" in stack.workers.output()
        assert kept[0].is_closed()
        kept[-1].ask_marked(next(NAME))

        # All of them in the midst of a request: the next one waits.
        begun = []
        for _ in range(8):
            one = open_.enter_context(Connection(stack.address))
            name = next(NAME)
            request = marked(name)
            one.send(request[:40])
            begun.append((one, name, request[40:]))
        for one, name, rest in begun:
            one.send(rest)
        for one, name, _ in begun:
            check_marked(one.answer(), name)
            one.socket.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (1000, 20_000))
        for _ in range(50):
            open_.enter_context(Connection(stack.address)).ask_marked(next(NAME))
    assert pid_of(stack) == pid


# ---- The end


def end_worker(stack, pid):
    """Returns when it takes no new connections any more."""
    os.kill(pid, signal.SIGTERM)

    def has_seen():
        try:
            return os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
        except FileNotFoundError:
            return True
    wait_until(has_seen)


def descriptor_of(pid, number):
    """A copy of another process's, with the same flags."""
    pidfd = os.pidfd_open(pid)
    try:
        found = LIBC.syscall(PIDFD_GETFD, pidfd, number, 0)
    finally:
        os.close(pidfd)
    assert found >= 0, os.strerror(ctypes.get_errno())
    return found


def test_sigterm_answers_what_was_begun(make_workers):
    stack = make_workers()
    pid = pid_of(stack)
    with contextlib.ExitStack() as open_:
        begun = [open_.enter_context(Connection(stack.address)) for _ in range(20)]
        requests = [(name := next(NAME), marked(name)) for _ in begun]
        for one, (_, request) in zip(begun, requests):
            one.send(request[:60])
        wait_until(lambda: not any(one.unread() for one in begun))
        end_worker(stack, pid)
        for one, (name, request) in zip(begun, requests):
            one.send(request[60:])
            check_marked(one.answer(), name)
            assert one.is_closed()
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), timeout=5)
        with Connection(stack.address) as new:
            new.ask_marked(next(NAME))


@pytest.mark.measured
def test_sigterm_answers_what_comes_within_a_second(make_workers):
    """It was on its way when the worker was told to end."""
    stack = make_workers()
    pid = pid_of(stack)
    with contextlib.ExitStack() as open_:
        idle, late = ([open_.enter_context(Connection(stack.address)) for _ in range(5)]
                      for _ in range(2))
        for one in (*idle, *late):
            one.ask_marked(next(NAME))
        sent = [(one, name := next(NAME), marked(name)) for one in late]
        end_worker(stack, pid)
        for one, _, request in sent:
            one.send(request)
        for one, name, _ in sent:
            check_marked(one.answer(), name)
        for one in (*late, *idle):
            assert one.is_closed()
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), timeout=5)


def test_a_listening_socket_that_blocks(make_workers):
    """Its flags are shared: systemd takes O_NONBLOCK back when it runs the command of a reload."""
    stack = make_workers()
    pid = pid_of(stack)
    listening = descriptor_of(pid, 0)
    flags = fcntl.fcntl(listening, fcntl.F_GETFL)
    assert flags & os.O_NONBLOCK
    fcntl.fcntl(listening, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)
    os.close(listening)
    for _ in range(5):
        with Connection(stack.address) as one:
            one.ask_marked(next(NAME))
    end_worker(stack, pid)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), timeout=5)


def test_sigterm_while_redis_is_asked(make_workers):
    stack = make_workers()
    pid = pid_of(stack)
    with contextlib.ExitStack() as open_:
        kept = [open_.enter_context(Connection(stack.address)) for _ in range(30)]
        for one in kept:
            assert one.ask(notify()).status == 202
        stack.redis_server.send_signal(signal.SIGSTOP)
        for one in kept:
            one.send(notify())
        wait_until(lambda: not any(one.unread() for one in kept))
        os.kill(pid, signal.SIGTERM)
        stack.redis_server.send_signal(signal.SIGCONT)
        for one in kept:
            assert one.answer().status in (202, 503)
            assert one.is_closed()
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), timeout=5)


def test_no_request_is_lost_by_sigterm_under_load(make_workers):
    """Web servers send again what they could not send, on another connection."""
    stack = make_workers(2)
    stop = threading.Event()
    lost, answered = [], collections.Counter()

    def ask_on(me):
        one = Connection(stack.address)
        while not stop.is_set():
            name = next_name(me)
            try:
                one.ask_marked(name)
            except (Broken, BrokenPipeError) as error:
                # Closed after the last answer; nothing of this one was begun.
                if isinstance(error, Broken) and error.args[0] != 0:
                    lost.append(name)
                one.socket.close()
                one = Connection(stack.address)
                try:
                    one.ask_marked(name)
                except (Broken, BrokenPipeError, ConnectionError) as again:
                    lost.append((name, again))
            except AssertionError as error:
                lost.append(error)
                return
            answered[me] += 1
        one.socket.close()

    def next_name(me, counter=itertools.count()):
        return f"t{me}-{next(counter)}"

    threads = [threading.Thread(target=ask_on, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        time.sleep(0.4)
        old = stack.workers.children()[0]
        os.kill(old, signal.SIGTERM)
        wait_until(lambda: not os.path.exists(f"/proc/{old}"), timeout=5)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert not lost, lost[:5]
    assert len(answered) == 12 and sum(answered.values()) > 200, answered


def test_a_worker_that_is_killed_takes_its_own_connections_alone(make_workers):
    stack = make_workers(2)
    with contextlib.ExitStack() as open_:
        kept = [open_.enter_context(Connection(stack.address)) for _ in range(100)]
        for one in kept:
            one.ask_marked(next(NAME))

        def held_by(pid):
            """How many connections; what it has beside them is the same for both."""
            return sum(os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
                       for fd in os.listdir(f"/proc/{pid}/fd"))
        victim, other = stack.workers.children()
        gone = 0
        others = held_by(victim)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in stack.workers.children())
        for one in kept:
            try:
                one.ask_marked(next(NAME))
            except (Broken, BrokenPipeError) as error:
                assert not error.args or error.args[0] in (0, 32), error
                gone += 1
        assert gone < others  # it had the listening socket and Redis, too
        assert gone + held_by(other) > len(kept)
        for _ in range(20):
            open_.enter_context(Connection(stack.address)).ask_marked(next(NAME))


# ---- Limits


@pytest.mark.parametrize("workers_", [1, 3])
def test_bursts_over_many_connections_are_exact(make_workers, workers_):
    """All asked at once, so that one worker has many under way."""
    stack = make_workers(workers_, **SLOW)
    with contextlib.ExitStack() as open_:
        kept = [open_.enter_context(Connection(stack.address)) for _ in range(64)]
        for one in kept:
            one.ask_marked(next(NAME))
        address, pubkey = new_address(), new_pubkey()
        for admitted, options in ((ADDRESS_BURST, {"address": address}),
                                  (PUBKEY_BURST, {"pubkey": pubkey})):
            for one in kept:
                one.send(notify(**options))
            got = collections.Counter(one.answer().status for one in kept)
            assert got == {202: admitted, 429: len(kept) - admitted}
