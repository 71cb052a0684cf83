#!/usr/bin/python3
"""bench: what the API costs, beside a responder that does nothing.

    make bench            (or: BUILD_DIR=... tests/bench/bench.py [SCENARIO...])

Every figure that depends on the machine is a ratio of two medians from one run, ours and the no-op
responder's behind the same web server, taken in turns. With --against BUILD_DIR they are ratios to
another build of ours (against.py). README says what bounds each.
"""
import argparse
import contextlib
import hashlib
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

# rig first: it says where the others are
from rig import (CONNECTIONS, NOOP, OURS, REGISTRATIONS, SECONDS, TURNS, WEB_SERVERS, WORKERS, build,
                 command, instructions, median, note, row, run, serving, wrk)
import against
import fastcgi
from sentinels import PASSWORDS, ReplicatedRedis


@contextlib.contextmanager
def beside_noop(web_server):
    """(ours, the no-op's): two stacks that run at once."""
    with serving(web_server) as ours, serving(web_server, NOOP) as noop:
        yield ours, noop


def compare(name, script, path, least, most_p99=None):
    """Ours and the no-op in turns, behind each web server; what ours has left in Redis is removed
    in between."""
    for web_server in WEB_SERVERS:
        runs, noop_runs = [], []
        with beside_noop(web_server) as (ours, noop):
            for _ in range(TURNS):
                noop_runs.append(wrk(noop, script, path))
                runs.append(wrk(ours, script, path))
                ours.redis.flushdb()
        rate, noop_rate, p99 = median(runs, "rate"), median(noop_runs, "rate"), median(runs, "p99")
        print(f"    {web_server}: {rate:,.0f} requests/s, no-op {noop_rate:,.0f}")
        row(f"{name} ({web_server})", f"{rate / noop_rate:.2f}", "of the no-op",
            f"at least {least}", rate / noop_rate >= least)
        if most_p99:
            row(f"{name}, p99 ({web_server})", f"{p99:.2f}", "ms", f"under {most_p99}",
                p99 < most_p99)


def notify_accepted():
    compare("notify accepted", "notify.lua", "/api/notify", 0.50, most_p99=4)


def notify_refused():
    compare("notify refused", "flood.lua", "/api/notify", 0.85)


def register():
    compare("register", "register.lua", "/api/register", 0.40)


@contextlib.contextmanager
def with_and_without_sentinels(web_server):
    """(stack, stack): both of one primary that has two replicas; the first knows that from its
    Sentinels, and so has a replica confirm what it answers, the second knows nothing of either."""
    with tempfile.TemporaryDirectory(prefix="mostro-bench-") as directory, \
            ReplicatedRedis(directory) as service:
        primary = service.primary()
        alone = f"redis://mostro-push:{PASSWORDS['mostro-push']}@{primary}"
        with serving(web_server, redis_server=primary.process, **service.settings) as waits, \
                serving(web_server, redis_server=primary.process, REDIS_URL=alone) as plain:
            yield waits, plain


def confirmed():
    """What it costs a register that a replica has to confirm it (WAIT)."""
    def asked(stack, connections):
        return wrk(stack, "register.lua", "/api/register", connections)

    with with_and_without_sentinels("nginx") as (waits, plain):
        for connections in (1, 8, 32):
            runs, plain_runs = [], []
            for _ in range(TURNS):
                plain_runs.append(asked(plain, connections))
                runs.append(asked(waits, connections))
            rate, plain_rate = median(runs, "rate"), median(plain_runs, "rate")
            print(f"    {rate:,.0f} requests/s, without {plain_rate:,.0f}; p99 "
                  f"{median(runs, 'p99'):.2f} ms, without {median(plain_runs, 'p99'):.2f}")
            refused = sum(run.refused for run in runs + plain_runs)
            row(f"register confirmed, {connections} connections", f"{rate / plain_rate:.2f}",
                "of unconfirmed", "none refused", refused == 0)
            taken, plain_taken = (instructions(stack, "register.lua", "/api/register", connections)
                                  for stack in (waits, plain))
            for part, thousands in taken.items():
                note(f"    {part}, instructions a register", f"{thousands:,.0f}k",
                     f"without {plain_taken[part]:,.0f}k")


def fcm_token(i):
    return [f"{i:08d}:APA91b".ljust(163, "x"), "", "", ""]


def endpoint(i):
    url = f"https://push.example/up/{i:08d}".ljust(120, "x")
    return [url, "", "", hashlib.sha256(url.encode()).hexdigest()[:32]]


def fill(stack, first, last, token):
    """Registrations as the responder makes them, through the same function, as fast as it goes."""
    pipe = subprocess.Popen(["redis-cli", "-s", stack.socket, "--pipe"], stdin=subprocess.PIPE,
                            stdout=subprocess.DEVNULL)
    for begin in range(first, last, 64):
        words = []
        for i in range(begin, min(begin + 64, last)):
            words += ["", f"{i:064x}", "android", *token(i), "", "", ""]
        pipe.stdin.write(command("FCALL", "mostro3_registers", 1, "mostro:", 1, 1, 172800000,
                                 10 * REGISTRATIONS, 1, 1, *words))
    pipe.stdin.close()
    assert pipe.wait() == 0
    assert sum(stack.redis.fcall("mostro3_count", 1, "mostro:")) == last


def memory_of_one(stack, token):
    before = stack.redis.info("memory")["used_memory"]
    fill(stack, 1000, REGISTRATIONS, token)
    return (stack.redis.info("memory")["used_memory"] - before) / (REGISTRATIONS - 1000)


def status_rate(stack):
    return max(wrk(stack, None, "/api/status", 1).rate for _ in range(TURNS))


def registry():
    """What a registration costs in memory, and that /api/status does not depend on how many."""
    with serving("lighttpd") as stack:
        fill(stack, 0, 1000, endpoint)
        each = memory_of_one(stack, endpoint)
        row("memory of one with an endpoint", f"{each:.0f}", "bytes", "at most 1200", each <= 1200)
        # Longer than a client of the tests waits.
        subprocess.run(["redis-cli", "-s", stack.socket, "FLUSHDB"], check=True,
                       stdout=subprocess.DEVNULL)
        fill(stack, 0, 1000, fcm_token)
        rates = [status_rate(stack)]
        each = memory_of_one(stack, fcm_token)
        rates.append(status_rate(stack))
        row("memory of a registration", f"{each:.0f}", "bytes", "at most 420", each <= 420)
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
        process = subprocess.Popen([OURS.program], stdin=listener, env={**os.environ, **stack.settings})
        answer = client.recv(4096)
        ms = (time.monotonic() - begun) * 1000
        process.terminate()
        process.wait()
        os.unlink(listener.getsockname())
    assert b"Status: 200 OK" in answer
    return ms


def worker():
    """Memory of a worker under load, and how soon it answers."""
    with serving("lighttpd") as stack:
        wrk(stack, "notify.lua")
        wrk(stack, "register.lua", "/api/register")
        sizes = []
        for pid in stack.workers.children():
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            sizes.append(int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) / 1024)
        assert len(sizes) == WORKERS
        row("memory of a worker (RSS)", f"{max(sizes):.1f}", "MiB", "at most 6", max(sizes) <= 6)

        stack.workers.stop()
        ms = sorted(first_answer_ms(stack) for _ in range(TURNS))[TURNS // 2]
        row("first answer after exec", f"{ms:.0f}", "ms", "within 300", ms <= 300)


SCENARIOS = [notify_accepted, notify_refused, register, confirmed, registry, worker]


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--against", metavar="BUILD_DIR", help="another build, built before")
    parser.add_argument("scenario", nargs="*")
    told = parser.parse_args(arguments)
    print(f"{os.cpu_count()} cores, {TURNS} turns of {SECONDS} s, wrk -t1 -c{CONNECTIONS}, "
          f"{WORKERS} workers")
    if told.against:
        return run(against.SCENARIOS, told.scenario, [build(told.against, against.WORKERS)])
    if not NOOP.program.exists():
        sys.exit(f"{NOOP.program} is missing: `make bench` builds it")
    return run(SCENARIOS, told.scenario)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
