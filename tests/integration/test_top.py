"""mostro-push-top: what it makes of metrics, whoever sends them; what it shows; in a terminal."""
import fcntl
import json
import math
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

import pyte
import pytest

from nostr import new_pubkey
from stack import TOP, wait_until

sys.path.insert(0, str(TOP / "contrib/top"))

from frame import View, count, duration, frame, text_of  # noqa: E402
from metrics_text import MOST_SERIES, History, Metrics, Unusable, quantile  # noqa: E402
from operators_address import MOST_BYTES, Address, Away, printable  # noqa: E402

TOP_PROGRAM = TOP / "contrib/top/mostro-push-top"


def metrics(*lines):
    return Metrics("\n".join(lines))


# ---- The format


def test_series_labels_and_values():
    found = metrics('# HELP mostro_a What it is.', '# TYPE mostro_a gauge', 'mostro_a 1',
                    'mostro_b{x="1",y="a\\"b\\\\c\\nd"} 2.5e3 1700000000', 'mostro_b{x="2",} +Inf',
                    'mostro_c{} -0.5')
    assert found.sum("mostro_a") == 1
    assert found.series("mostro_b", x="1") == [({"x": "1", "y": 'a"b\\c\nd'}, 2500)]
    assert found.series("mostro_b", x="2") == [({"x": "2"}, math.inf)]
    assert found.sum("mostro_b") == 2500  # what is no number is not added
    assert found.sum("mostro_c") == -0.5
    assert found.sum("mostro_d") is None and found.series("mostro_d") == []


@pytest.mark.parametrize("line", [
    "mostro_x", "mostro_x ", "mostro_x one", "mostro_x 1 2 3", "mostro_x 1_000", "mostro_x{ 1",
    'mostro_x{a="1" 1', 'mostro_x{a="1"', 'mostro_x{a="1\\"} 1', "mostro_x{a=1} 1", "{} 1",
    'mostro_x{a="1"}1', "mostro_x 0x10", "mostro_x nan", 'mostro_x{="1"} 1', "\0", "mostro_x\t1"])
def test_a_line_that_is_none_is_skipped(line):
    found = metrics("mostro_a 1", line, "mostro_b 2")
    assert "mostro_x" not in found and found.sum("mostro_b") == 2


def test_what_is_no_metrics_or_too_many():
    for text in ("", "<html>\n<p>404</p>", "node_cpu 1\n", "\n" * 10_000):
        with pytest.raises(Unusable):
            Metrics(text)
    lines = [f'mostro_a{{n="{n}"}} 1' for n in range(MOST_SERIES + 1)]
    assert metrics(*lines[1:]).sum("mostro_a") == MOST_SERIES
    with pytest.raises(Unusable):
        metrics(*lines)


def test_a_hostile_line_takes_no_time():
    began = time.process_time()
    for line in ('mostro_a{x="' + "\\" * 500_000, "mostro_a{" + 'x="",' * 100_000,
                 "mostro_a " + "1" * 1_000_000, 'mostro_a{x="' + '\\"' * 300_000):
        metrics("mostro_b 1", line)
    assert time.process_time() - began < 5


# ---- What has grown


def history(*moments):
    """Of (seconds, {labels: value} of mostro_a)."""
    made = History()
    for at, values in moments:
        made.add(at, metrics(*(f'mostro_a{{n="{n}"}} {value}' for n, value in values.items())))
    return made


def test_growth_within_the_last_minute():
    assert history((0, {1: 5})).grown("mostro_a") is None
    assert history((0, {1: 5}), (2, {1: 8, 2: 1})).grown("mostro_a") == 3  # 2 was not known before
    assert history((0, {1: 5, 2: 1}), (2, {1: 8, 2: 2})).grown("mostro_a", n="2") == 1
    moments = [(at, {1: at * 10}) for at in range(0, 200, 10)]
    assert history(*moments).grown("mostro_a") == 600 and history(*moments).seconds == 60
    assert history((0, {1: 5}), (100, {1: 500})).grown("mostro_a") is None  # nobody looked


def test_a_counter_that_begins_anew():
    """As after a loss of Redis's data: what it counts is counted from nothing."""
    made = history((0, {1: 1000}), (2, {1: 1010}), (4, {1: 3}), (6, {1: 7}))
    assert made.grown("mostro_a") == 10 + 3 + 4


def test_quantiles():
    assert quantile({}, 0.5) is None and quantile({0.1: 0, math.inf: 0}, 0.5) is None
    assert quantile({0.1: 10, 0.2: 10, math.inf: 10}, 0.5) == pytest.approx(0.05)
    assert quantile({0.1: 0, 0.2: 10, math.inf: 10}, 0.9) == pytest.approx(0.19)
    assert quantile({0.1: 5, math.inf: 10}, 0.9) == math.inf
    # No histogram: it ends, and with a number.
    assert quantile({0.1: 10, 0.2: 3, math.inf: 5}, 0.99) <= 0.1
    assert quantile({math.nan: 10, 0.1: 10}, 0.5) == pytest.approx(0.05)
    bucket = 'mostro_t_bucket{{backend="fcm",le="{}"}} {}'
    made = History()
    for at, (fast, slow) in enumerate([(100, 100), (100, 110)]):
        made.add(at, metrics(bucket.format("0.1", fast), bucket.format("1", slow),
                             bucket.format("+Inf", slow)))
        assert made.quantiles("mostro_t", [0.5], backend="fcm") == [
            pytest.approx(0.05 if at == 0 else 0.55)]
    assert made.quantiles("mostro_t", [0.5], backend="other") == [None]


# ---- What is shown

FULL = """\
mostro_build_info{version="1.0.0"} 1
mostro_registrations{platform="android"} 1234567
mostro_registrations{platform="ios"} 89
mostro_wakes_inbox 3
mostro_wakes_held 12
mostro_pushes_in_flight 2
mostro_oldest_wake_seconds 3725
mostro_paused 1
mostro_traced_pubkeys 2
mostro_lost 1
mostro_lost_registrations 42
mostro_full{what="redis"} 1
mostro_full{what="queue"} 0
mostro_listeners 2
mostro_relays_connected 3
mostro_relays_configured 4
mostro_relays_may_hide_wraps 1
mostro_unifiedpush_hosts_held 1
mostro_requests_total{route="notify",status="202"} 1000
mostro_requests_total{route="notify",status="503"} 4
mostro_wakes_total{outcome="given_up",backend="fcm"} 7
mostro_wakes_total{outcome="delivered",backend="unifiedpush"} 123456789
"""
RELAY = """\
mostro_relay_connected{{listener="{0}",relay="{1}"}} {2}
mostro_relay_subscribed{{listener="{0}",relay="{1}",kind="1059"}} {2}
mostro_relay_subscribed{{listener="{0}",relay="{1}",kind="14"}} 0
mostro_relay_refused{{listener="{0}",relay="{1}",kind="14"}} {3}
mostro_relay_last_event_age_seconds{{listener="{0}",relay="{1}"}} 90
mostro_relay_may_hide_wraps{{listener="{0}",relay="{1}"}} {3}
"""
STATE = 'mostro_backend_state{{listener="{}",backend="{}",state="{}"}} {}\n'


def view(text, **more):
    made = History()
    made.add(0, Metrics(text))
    return View(**{"address": "/run/x.sock", "time": "02:00:00", "history": made, "ready": True,
                   **more})


def shown(text, *size, **more):
    return text_of(frame(view(text, **more), *size))


def test_a_frame_has_all_of_it():
    text = FULL + RELAY.format("one", "wss://a.example", 1, 0) + RELAY.format(
        "one", "wss://b.example", 0, 1)
    for listener in ("one", "two"):
        for state in ("up", "no_access_token"):
            text += STATE.format(listener, "fcm", state, int(state == "no_access_token"))
        text += STATE.format(listener, "unifiedpush", "up" if listener == "one" else "down", 1)
    found = shown(text, reason="Redis is full: raise its maxmemory")
    for each in ("mostro-push 1.0.0", "/run/x.sock  02:00:00", "READY     Redis is full: raise its",
                 "1.2 M Android, 89 iOS, 2 traced by an operator",
                 "3 in the inbox, 12 waiting, 2 being pushed, oldest 1.0 h",
                 "PAUSED by an operator", "FCM no access token", "UnifiedPush down (two)",
                 "1 distributor held", "full: Redis", "lost 42 registrations",
                 "1 relay may hide gift wraps", "3 of 4 up, 2 listeners",
                 "down      wss://b.example  1059 waits, 14 refused, may hide gift wraps, event",
                 "up        wss://a.example  1059, 14 waits, event 90 s ago"):
        assert each in found, found
    assert "half of the inbox" not in found
    assert re.search(r"notify 202 +- +1,000 ", found)
    assert re.search(r"FCM given up +- +7$", found, re.M)
    assert re.search(r"UnifiedPush delivered +- +123.5 M$", found, re.M)
    assert found.index("b.example") < found.index("a.example")


def test_what_is_not_as_it_should_be_says_so():
    assert "NOT READY no listener has a fresh heartbeat" in shown(
        FULL, ready=False, reason="no listener has a fresh heartbeat")
    assert "AWAY      no such file or directory; the numbers are of 02:00" in shown(
        FULL, away="no such file or directory", since="02:00")
    nothing = View("/run/x.sock", "02:00:00", History(), away="refused", since="02:00")
    assert text_of(frame(nothing)).splitlines()[1:] == ["AWAY      refused"]


@pytest.mark.parametrize("size", [(80, 24), (80, 25), (200, 60), (79, 10), (80, 1)])
def test_it_fits(size):
    text = FULL + "".join(RELAY.format("one", f"wss://{n}.example/{'x' * 100}", n % 2, n % 3)
                          for n in range(50)) + STATE.format("one", "fcm", "up", 1)
    lines = shown(text, *size, reason="word " * 200).splitlines()
    assert len(lines) <= size[1] and max(map(len, lines)) <= max(80, size[0])
    if size[1] >= 24:
        more, = re.findall(r"and (\d+) more", lines[-1])
        assert int(more) + sum("wss:" in line for line in lines) == 50
        states = [line.split()[0] for line in lines if "wss:" in line]
        assert states[0] == "down" and states == sorted(states)
    assert sum("wss:" in line for line in shown(text).splitlines()) == 50


def test_numbers():
    numbers = (None, 0, 999_999, 1_000_000, 12_345_678, 5e9, 5e12, 1e300)
    assert [count(each) for each in numbers] == [
        "-", "0", "999,999", "1.0 M", "12.3 M", "5.0 G", "5.0 T", "1.0e+300"]
    assert [duration(each) for each in (None, 0, 0.0123, 1.25, 59, 150, 7200, 1e6, math.inf)] == [
        "-", "0 ms", "12 ms", "1.2 s", "59 s", "2.5 min", "2.0 h", "12 d", "longer"]


def test_nothing_hostile_reaches_the_terminal():
    evil = "\x1b]0;x\x07\x9b31m\u202e\0é"
    assert printable(evil) == "?]0;x??31m???"
    line = evil.replace("\0", "") + "z" * 3000
    found = shown(FULL.replace("1.0.0", line) + RELAY.format(line, line, 1, 0)
                  + RELAY.format("two", line, 0, 1) + STATE.format(line, "fcm", line, 1)
                  + STATE.format("two", "fcm", "up", 1)
                  + f'mostro_full{{what="{line}"}} 1\nmostro_wakes_held 1e300\n'
                  + "mostro_listeners NaN\nmostro_oldest_wake_seconds -5\n")
    assert re.fullmatch(r"[\n -~]*", found), found


# ---- Who answers


class Peer:
    """Answers each connection to a Unix socket with bytes, and then closes, or never does."""

    def __init__(self, path, answer, closes=True):
        self._answer, self._closes = answer, closes
        self._server = socket.create_server(str(path), family=socket.AF_UNIX)
        self._kept = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._kept.append(connection)
            asked = connection.recv(65536).decode()
            answer = self._answer(asked.split()[1]) if callable(self._answer) else self._answer
            try:
                connection.sendall(answer)
                if self._closes:
                    connection.close()
            except OSError:
                pass  # it wanted no more

    def close(self):
        self._server.close()


def answer_of(text, status=200):
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


def test_bounded_whatever_answers(tmp_path, monkeypatch):
    for n, (answer, closes, says) in enumerate([
            (b"", True, "no web server"), (b"\xff" * 1000, True, "no web server"),
            (b"SSH-2.0-OpenSSH\r\n", True, "no web server"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", True, "no web server"),
            (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n", True, "no web server"),
            (answer_of("x" * (MOST_BYTES + 1)), True, "too long"),
            (b"HTTP/1.1 200 OK\r\n", False, "no answer within"),
            (answer_of("[" * 100_000), True, "status 200"), (answer_of("[]"), True, "status 200"),
            (answer_of('{"reason":1}'), True, "status 200"), (answer_of("no", 502), True, "502")]):
        path = tmp_path / str(n)
        peer = Peer(path, answer, closes)
        if not closes:
            monkeypatch.setattr("operators_address.SECONDS", 0.3)
        began = time.monotonic()
        with pytest.raises(Away, match=says):
            Address(str(path)).readiness()
        assert closes or time.monotonic() - began < 4
        monkeypatch.undo()
        peer.close()
    with pytest.raises(Away, match="no such file"):
        Address(str(tmp_path / "none")).metrics()


@pytest.mark.parametrize("text", ["https://x", "http://", "http://x:99999", "http://x:1/api",
                                  "unix:///run/x", "http://x/?a"])
def test_what_is_no_address(text):
    done = subprocess.run([TOP_PROGRAM, "--once", text], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 2 and "usage:" in done.stderr and "Traceback" not in done.stderr


# ---- With a real server


def once(*arguments, status=0, **environment):
    done = subprocess.run([TOP_PROGRAM, "--once", *arguments], capture_output=True, text=True,
                          env={**os.environ, **environment}, check=False)
    assert (done.returncode, done.stderr) == (status, ""), done
    return done.stdout


def test_a_real_server(live, relay, phone, device, pubkey):
    wait_until(lambda: json.loads(live.get("/api/ready").body)["status"] == "ready")
    live.notify(pubkey)
    live.notify(new_pubkey())
    phone.next_push()
    live.wait_until_idle()
    wait_until(lambda: live.stat("wakes_delivered_unifiedpush") == 1
               and live.stat("requests_notify_202") == 2)
    found = once(live.operator_socket)
    assert re.search(r"(?m)^READY", found)
    assert "1 Android, 0 iOS" in found and "1 of 1 up, 1 listener\n" in found
    assert f"up        {relay.url}  1059, 14\n" in found and "FCM off, UnifiedPush up\n" in found
    assert re.search(r"notify 202 +- +2 ", found)
    assert re.search(r"UnifiedPush delivered +- +1\n", found)
    assert re.search(r"push's answer.* [\d.]+ m?s\n", found)
    live.redis_server.kill()
    wait_until(lambda: "NOT READY Redis cannot be reached" in once(live.operator_socket, status=1))
    live.web.stop()
    assert "AWAY      connection refused" in once(live.operator_socket, status=1)


class Terminal:
    """The program in a pseudo-terminal, and what a person sees there."""

    def __init__(self, *arguments, columns=80, rows=24, **environment):
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._master, slave = os.openpty()
        self.resize(columns, rows)
        environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", **environment}
        self.process = subprocess.Popen([TOP_PROGRAM, *arguments], stdin=slave, stdout=slave,
                                        stderr=slave, env=environment, start_new_session=True)
        self.raw = b""
        os.close(slave)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            while data := os.read(self._master, 65536):
                with self._lock:
                    self.raw += data
                    self._stream.feed(data)
        except OSError:
            pass  # it has ended

    def resize(self, columns, rows):
        with self._lock:
            self._screen.resize(rows, columns)
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def lines(self):
        with self._lock:
            return [line.rstrip() for line in self._screen.display]

    def wait_for(self, pattern):
        return wait_until(lambda: re.search(pattern, "\n".join(self.lines()), re.M), 20,
                          what=pattern)

    def wait_for_the_screen_of_before(self):
        wait_until(lambda: b"\x1b[?1049l" in self.raw[-100:])

    def press(self, key):
        os.write(self._master, key.encode())


@pytest.fixture
def terminal():
    opened = []

    def open_terminal(*arguments, **options):
        opened.append(Terminal(*arguments, **options))
        return opened[-1]
    yield open_terminal
    for each in opened:
        each.process.kill()
        each.process.wait()


COLOUR = re.compile(rb"\x1b\[[0-9;]*[34][0-7]")


def test_in_a_terminal(live, terminal, pubkey):
    """80x24; what happens is seen to happen; other sizes; the server goes and comes again."""
    shows = terminal("--interval", "0.5", str(live.operator_socket))
    shows.wait_for(r"^READY")
    shows.wait_for(r"notify 202 +0 +0 ")
    for _ in range(3):
        live.notify(pubkey)
    shows.wait_for(r"notify 202 +3 +3 ")
    shows.wait_for(r"^relays +1 of 1 up")
    shows.resize(120, 40)
    shows.process.send_signal(signal.SIGWINCH)
    shows.wait_for(r"^mostro-push.{100,}")
    live.web.stop()
    shows.wait_for(r"^AWAY +connection refused; the numbers are of")
    live.start_web()
    shows.wait_for(r"^READY$")
    assert COLOUR.search(shows.raw)
    shows.press("q")
    assert shows.process.wait(10) == 0
    shows.wait_for_the_screen_of_before()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_terminal_as_it_was(terminal, tmp_path, number):
    shows = terminal(str(tmp_path / "none"), columns=20, rows=3, NO_COLOR="1")
    shows.wait_for("^AWAY")
    shows.process.send_signal(number)
    assert shows.process.wait(10) == 0
    shows.wait_for_the_screen_of_before()
    assert not COLOUR.search(shows.raw)
    assert b"Traceback" not in shows.raw


def test_where_there_is_no_terminal(terminal, tmp_path):
    done = subprocess.run([TOP_PROGRAM, str(tmp_path)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False, timeout=20,
                          env={**os.environ, "TERM": "xterm-256color"})
    assert (done.returncode, done.stdout) == (2, "") and "--once" in done.stderr
    shows = terminal(str(tmp_path), TERM="no-such-terminal")
    assert shows.process.wait(10) == 2
    wait_until(lambda: b"cannot be used" in shows.raw)
