#!/usr/bin/python3
"""bench: what the API costs, beside a responder that does nothing.

    make bench            (or: BUILD_DIR=... tests/bench/bench.py [SCENARIO...])

Every figure that depends on the machine is a ratio of two medians from one run, ours and the no-op
responder's behind the same web server, taken in turns. README says what bounds each.
"""
import hashlib
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "integration"), str(HERE.parent / "standins")]

import fastcgi  # noqa: E402
from stack import BUILD_DIR, FCGI, Stack, wait_until  # noqa: E402

NOOP = BUILD_DIR / "tests/bench/noop_responder"
WORKERS = 8
CONNECTIONS = 32
SECONDS = int(os.environ.get("BENCH_SECONDS", "3"))
TURNS = int(os.environ.get("BENCH_TURNS", "3"))
REGISTRATIONS = int(os.environ.get("BENCH_REGISTRATIONS", "1000000"))
WEB_SERVERS = ("lighttpd", "nginx")

SETTINGS = {
    "LOG_LEVEL": "error",
    "NOTIFY_TRUST_PROXY_HEADERS": "true",  # so that wrk can be many clients
    "WAKES_MAX": "10000000",
}


def answers(stack, status):
    try:
        return stack.get("/api/status").status == status
    except OSError:
        return False


class Rig:
    """A Redis, and the real and the no-op responders, each behind a web server of its own."""

    def __init__(self, web_server):
        self.name = web_server
        self.ours, self.noop = (
            Stack(tempfile.mkdtemp(prefix="mostro-bench-"), web_server=web_server, **SETTINGS)
            for _ in range(2))
        self.ours.start_redis()
        self.ours.start_api(WORKERS)
        self.noop.start_workers(WORKERS, NOOP)
        self.noop.start_web()
        wait_until(lambda: answers(self.noop, 202), what="the no-op responder answers")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in (self.ours, self.noop):
            each.kill()
            shutil.rmtree(each.directory)


def wrk(stack, script, path="/api/notify", connections=CONNECTIONS):
    """Requests a second, and the 99th percentile in milliseconds."""
    output = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}", "--latency",
         *(["-s", HERE / script] if script else []), f"http://127.0.0.1:{stack.http_port}{path}"],
        check=True, capture_output=True, text=True).stdout
    rate = float(re.search(r"Requests/sec: +([0-9.]+)", output).group(1))
    value, unit = re.search(r"99% +([0-9.]+)(us|ms|s)", output).groups()
    return rate, float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


ROWS = []


def row(name, value, unit, wanted, good):
    ROWS.append(good)
    print(f"{name:42} {value:>10} {unit:14} {wanted:18} {'ok' if good else 'MISSED'}", flush=True)


def run(scenarios, wanted=()):
    """All of them, or those that are named; the exit status."""
    for scenario in scenarios:
        if not wanted or scenario.__name__ in wanted:
            scenario()
    print(f"{sum(ROWS)} of {len(ROWS)} as wanted")
    return 0 if all(ROWS) else 1


def compare(rig, name, script, path, least, most_p99=None):
    """Ours and the no-op in turns; the queue and the registry are emptied in between."""
    rates, noop_rates, slow = [], [], []
    for _ in range(TURNS):
        noop_rates.append(wrk(rig.noop, script, path)[0])
        rate, p99 = wrk(rig.ours, script, path)
        rates.append(rate)
        slow.append(p99)
        rig.ours.redis.flushdb()
    rate, noop_rate = statistics.median(rates), statistics.median(noop_rates)
    print(f"    {rig.name}: {rate:,.0f} requests/s, no-op {noop_rate:,.0f}")
    row(f"{name} ({rig.name})", f"{rate / noop_rate:.2f}", "of the no-op", f"at least {least}",
        rate / noop_rate >= least)
    if most_p99:
        p99 = statistics.median(slow)
        row(f"{name}, p99 ({rig.name})", f"{p99:.2f}", "ms", f"under {most_p99}", p99 < most_p99)


def notify_accepted():
    for web_server in WEB_SERVERS:
        with Rig(web_server) as rig:
            compare(rig, "notify accepted", "notify.lua", "/api/notify", 0.50, most_p99=4)


def notify_refused():
    for web_server in WEB_SERVERS:
        with Rig(web_server) as rig:
            compare(rig, "notify refused", "flood.lua", "/api/notify", 0.85)


def register():
    for web_server in WEB_SERVERS:
        with Rig(web_server) as rig:
            compare(rig, "register", "register.lua", "/api/register", 0.40)


def command(*words):
    """A command as Redis reads it."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


def fcm_token(i):
    return [f"{i:08d}:APA91b".ljust(163, "x"), "", ""]


def endpoint(i):
    url = f"https://push.example/up/{i:08d}".ljust(120, "x")
    return [url, "", "", hashlib.sha256(url.encode()).hexdigest()[:32]]


def fill(stack, first, last, token):
    """Registrations as the responder makes them, through the same function, as fast as it goes."""
    pipe = subprocess.Popen(["redis-cli", "-s", stack.socket, "--pipe"], stdin=subprocess.PIPE,
                            stdout=subprocess.DEVNULL)
    for i in range(first, last):
        pipe.stdin.write(command("FCALL", "mostro2_register", 1, "mostro:", "", 1, 1, f"{i:064x}",
                                 172800000, 10 * REGISTRATIONS, "android", *token(i)))
    pipe.stdin.close()
    assert pipe.wait() == 0


def memory_of_one(stack, token):
    before = stack.redis.info("memory")["used_memory"]
    fill(stack, 1000, REGISTRATIONS, token)
    return (stack.redis.info("memory")["used_memory"] - before) / (REGISTRATIONS - 1000)


def registry():
    """What a registration costs in memory, and that /api/status does not depend on how many."""
    with Rig("lighttpd") as rig:
        rates = []
        fill(rig.ours, 0, 1000, endpoint)
        each = memory_of_one(rig.ours, endpoint)
        row("memory of one with an endpoint", f"{each:.0f}", "bytes", "at most 1200", each <= 1200)
        rig.ours.redis.flushdb()
        fill(rig.ours, 0, 1000, fcm_token)
        rates.append(max(wrk(rig.ours, None, "/api/status", 1)[0] for _ in range(TURNS)))
        each = memory_of_one(rig.ours, fcm_token)
        rates.append(max(wrk(rig.ours, None, "/api/status", 1)[0] for _ in range(TURNS)))
        row("memory of a registration", f"{each:.0f}", "bytes", "at most 600", each <= 600)
        flat = rates[1] / rates[0]
        row(f"status at {REGISTRATIONS:,} registrations", f"{flat:.2f}", "of 1,000's", "at least 0.9",
            flat >= 0.9)


def first_answer_ms(stack):
    """From exec of a worker on a socket of its own to its first answer that took Redis."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(tempfile.mktemp(prefix="mostro-bench-"))
        listener.listen()
        client.connect(listener.getsockname())
        client.sendall(fastcgi.request(REQUEST_METHOD="GET", REQUEST_URI="/api/status"))
        begun = time.monotonic()
        process = subprocess.Popen([FCGI], stdin=listener, env={**os.environ, **stack.settings})
        answer = client.recv(4096)
        ms = (time.monotonic() - begun) * 1000
        process.terminate()
        process.wait()
        os.unlink(listener.getsockname())
    assert b"Status: 200 OK" in answer
    return ms


def worker():
    """Memory of a worker under load, and how soon it answers."""
    with Rig("lighttpd") as rig:
        wrk(rig.ours, "notify.lua")
        wrk(rig.ours, "register.lua", "/api/register")
        sizes = []
        for pid in rig.ours.workers.children():
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            sizes.append(int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) / 1024)
        assert len(sizes) == WORKERS
        row("memory of a worker (RSS)", f"{max(sizes):.1f}", "MiB", "at most 6", max(sizes) <= 6)

        rig.ours.workers.stop()
        times = [first_answer_ms(rig.ours) for _ in range(TURNS)]
        ms = statistics.median(times)
        row("first answer after exec", f"{ms:.0f}", "ms", "within 300", ms <= 300)


SCENARIOS = [notify_accepted, notify_refused, register, registry, worker]


def main(wanted):
    missing = [program for program in (FCGI, NOOP) if not program.exists()]
    if missing:
        sys.exit(f"{missing[0]} is missing: `make bench` builds it")
    print(f"{os.cpu_count()} cores, {TURNS} turns of {SECONDS} s, wrk -t1 -c{CONNECTIONS}, "
          f"{WORKERS} workers")
    return run(SCENARIOS, wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
