"""against: what the API costs beside another build of ours, say that of an earlier commit.

Both have a Redis of their own and are behind the same kind of web server. They are measured in
turns; each scenario is given the other build. Rows say "x theirs" for ratios of two medians.
"""
import contextlib
import dataclasses
import json
import pathlib
import re
import resource
import signal
import socket
import subprocess
import tempfile
import time

# rig first: it says where the others are
from rig import (HERE, OURS, REGISTRATIONS, SECONDS, TURNS, WEB_SERVERS, instructions, median,
                 memory_kib, note, row, serving, wrk)
import fastcgi
from certificates import Authority

WORKERS = 8  # of the other build
LEAST = {("notify", "nginx"): 2.4, ("notify", "lighttpd"): 1.4, ("register", "nginx"): 2.2,
         ("register", "lighttpd"): 1.0}
MOST_US = {("notify", "redis"): 12, ("notify", "worker"): 10}
IDLE = (1_000, 10_000)
UNLIMITED = {"REGISTER_RATE_PER_IP_PER_MIN": "0", "REGISTER_NEW_PER_IP_PER_DAY": "0"}


@contextlib.contextmanager
def side_by_side(web_server, other, **options):
    """(ours, theirs): two stacks that run at once."""
    with serving(web_server, **options) as ours, serving(web_server, other, **options) as theirs:
        yield ours, theirs


def in_turns(stacks, script, path, **options):
    """Two lists of Runs, theirs first in each turn; the registry is emptied in between."""
    ours, theirs = stacks
    runs, their_runs = [], []
    for _ in range(TURNS):
        for stack, those in ((theirs, their_runs), (ours, runs)):
            those.append(wrk(stack, script, path, **options))
            stack.redis.flushdb()
    return runs, their_runs


def ratio(runs, their_runs, what):
    return median(runs, what) / median(their_runs, what)


def say(name, runs, their_runs, workers=OURS.workers):
    """What the ratios are of, for a person to read."""
    print(f"    {name}: {median(runs, 'rate'):,.0f} requests/s of {workers} workers, theirs "
          f"{median(their_runs, 'rate'):,.0f} of {WORKERS}; p99 {median(runs, 'p99'):.2f} ms, "
          f"theirs {median(their_runs, 'p99'):.2f}")


def accepted(name, script, path, web_server, other):
    """Rows for requests that are to be accepted, all; behind nginx for what they cost, too."""
    with side_by_side(web_server, other) as stacks:
        runs, their_runs = in_turns(stacks, script, path)
        counts = [instructions(stack, script, path) for stack in stacks if web_server == "nginx"]
    for those, whose in ((runs, "ours"), (their_runs, "theirs")):
        most = max(run.refused / run.requests for run in those)
        if most > 0.01:  # a refusal costs less: the rates say nothing
            row(f"{name} ({web_server}), refused by {whose}", f"{most:.0%}", "of a run",
                "at most 1 %", False)
    say(f"{name}, {web_server}", runs, their_runs)
    rate, slow = ratio(runs, their_runs, "rate"), ratio(runs, their_runs, "p99")
    least = LEAST[name, web_server]
    row(f"{name} ({web_server}), {OURS.workers} for their {WORKERS}", f"{rate:.2f}", "x theirs",
        f"at least {least}", rate >= least)
    row(f"{name}, p99 ({web_server})", f"{slow:.2f}", "x theirs", "at most 1", slow <= 1)
    if counts:
        costs(name, runs, their_runs, *counts)


def costs(name, runs, their_runs, counts, their_counts):
    """Rows for what a request costs each part; instructions have no targets."""
    for part, what in (("redis", "Redis"), ("worker", "workers")):
        us, their_us = (median(each, f"{part}_us") for each in (runs, their_runs))
        print(f"    {what}: {us:.1f} us a {name}, theirs {their_us:.1f}")
        if (name, part) in MOST_US:
            most = MOST_US[name, part]
            row(f"{what}, processor time a {name}", f"{us:.1f}", "us", f"at most {most}",
                us <= most)
        if their_counts:
            k, their_k = counts[part], their_counts[part]
            print(f"    {what}: {k:.0f},000 instructions a {name}, theirs {their_k:.0f},000")
            note(f"{what}, instructions a {name}", f"{k / their_k:.2f}", "x theirs")


def notify(other):
    for web_server in WEB_SERVERS:
        accepted("notify", "notify.lua", "/api/notify", web_server, other)


def register(other):
    for web_server in WEB_SERVERS:
        accepted("register", "register.lua", "/api/register", web_server, other)


def refused(other):
    """A flood from one address."""
    for web_server in WEB_SERVERS:
        with side_by_side(web_server, other) as stacks:
            runs, their_runs = in_turns(stacks, "flood.lua", "/api/notify")
        say(f"refused, {web_server}", runs, their_runs)
        note(f"refused by address ({web_server})", f"{ratio(runs, their_runs, 'rate'):.2f}",
             "x theirs")


def processes(other):
    """So many of ours, beside all of theirs."""
    for workers in (1, 2, 4):
        with serving("nginx", dataclasses.replace(OURS, workers=workers)) as ours, \
                serving("nginx", other) as theirs:
            runs, their_runs = in_turns((ours, theirs), "notify.lua", "/api/notify")
        say("notify, nginx", runs, their_runs, workers)
        note(f"notify, {workers} of ours (nginx)", f"{ratio(runs, their_runs, 'rate'):.2f}",
             "x theirs")


def connections(other):
    """From few clients to many."""
    with side_by_side("nginx", other) as stacks:
        for n in (1, 32, 256, 1024):
            runs, their_runs = in_turns(stacks, "notify.lua", "/api/notify", connections=n)
            say(f"notify, nginx, {n} connections", runs, their_runs)
            note(f"notify, {n:,} connections (nginx)", f"{ratio(runs, their_runs, 'rate'):.2f}",
                 "x theirs")


# ---- HTTP/2

def h2load(stack, body):
    """Accepted registrations a second by clients that speak HTTP/2 over TLS."""
    output = subprocess.run(
        ["h2load", "-t1", "-c32", "-m8", "-D", str(SECONDS), "-d", body, "-H",
         "content-type: application/json", f"https://127.0.0.1:{stack.http_port}/api/register"],
        check=True, capture_output=True, text=True).stdout
    good, bad = re.search(r"status codes: (\d+) 2xx, (.*)", output).groups()
    assert bad == "0 3xx, 0 4xx, 0 5xx", output
    return int(good) / SECONDS


def http2(other):
    """One phone that registers again and again, since h2load has but one body."""
    with tempfile.TemporaryDirectory(prefix="mostro-bench-") as directory:
        body = pathlib.Path(directory, "body")
        body.write_text(json.dumps({"trade_pubkey": "ab" * 32, "platform": "android",
                                    "token": "x" * 163}))
        options = dict(authority=Authority(directory), **UNLIMITED,
                       edit=lambda text: text.replace(" ssl;", " ssl http2;"))
        with side_by_side("nginx", other, **options) as (ours, theirs):
            rates = [(h2load(theirs, body), h2load(ours, body)) for _ in range(TURNS)]
    their_rate, rate = (sorted(each)[TURNS // 2] for each in zip(*rates))
    print(f"    {rate:,.0f} registrations/s, theirs {their_rate:,.0f}")
    note("register, HTTP/2 clients (nginx)", f"{rate / their_rate:.2f}", "x theirs")


# ---- Memory

def registered(stack):
    return json.loads(stack.get("/api/status").body)["tokens"]["total"]


def fill(stack, n):
    """Registers until there are `n` phones or a few more, through the API; how many there are."""
    process = subprocess.Popen(
        ["wrk", "-t1", "-c32", "-d1h", "-s", HERE / "register.lua",
         f"http://127.0.0.1:{stack.http_port}/api/register"], stdout=subprocess.DEVNULL,
        cwd=HERE)
    while registered(stack) < n:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.wait()
    return registered(stack)


def growth(stack):
    """Bytes that a registration takes in Redis, and what is left of the rate of /api/status."""
    def state(n):
        phones = fill(stack, n)
        rate = max(wrk(stack, None, "/api/status", 1).rate for _ in range(TURNS))
        return phones, rate, stack.redis.info("memory")["used_memory"]

    few, many = state(1000), state(REGISTRATIONS)
    return (many[2] - few[2]) / (many[0] - few[0]), many[1] / few[1]


def registrations(other):
    with serving("nginx", other, **UNLIMITED) as theirs:
        print("    theirs: {:.0f} bytes a registration, status {:.2f}".format(*growth(theirs)))
    with serving("nginx", **UNLIMITED) as ours:
        each, flat = growth(ours)
    row("memory of a registration", f"{each:.0f}", "bytes", "at most 420", each <= 420)
    row(f"status at {REGISTRATIONS:,} registrations", f"{flat:.2f}", "of 1,000's", "at least 0.9",
        flat >= 0.9)


def memory(other):
    """Of all workers, after load."""
    with side_by_side("nginx", other) as stacks:
        sizes = []
        for stack in stacks:
            wrk(stack, "notify.lua")
            wrk(stack, "register.lua", "/api/register")
            sizes.append(memory_kib(stack.workers.children()) / 1024)
    size, their_size = sizes
    row(f"memory of {OURS.workers} workers (PSS)", f"{size:.1f}", "MiB",
        f"at most {their_size:.1f}", size <= their_size)


def kept_connection(stack):
    """A connection to the workers after one request, that the responder is asked to keep."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    connection.connect(str(stack.directory / "fcgi.sock"))
    connection.sendall(fastcgi.kept(fastcgi.request(
        REQUEST_METHOD="GET", REQUEST_URI="/api/status", REMOTE_ADDR="192.0.2.1")))
    assert fastcgi.answer(connection).startswith(b"Status: 200 ")
    return connection


def idle(_other):
    """What a kept connection takes while it waits for its next request, in the workers. What the
    kernel keeps for a socket comes on top, in any program."""
    few, many = IDLE
    resource.setrlimit(resource.RLIMIT_NOFILE, [resource.getrlimit(resource.RLIMIT_NOFILE)[1]] * 2)
    with serving("nginx") as stack, contextlib.ExitStack() as kept:
        sizes = []
        for n in (few, many - few):
            try:
                for _ in range(n):
                    kept.enter_context(kept_connection(stack))
            except TimeoutError:
                row("memory of an idle kept connection", "-", "bytes", "at most 8192", False)
                print("    the workers do not serve so many kept connections")
                return
            sizes.append(memory_kib(stack.workers.children()))
        each = (sizes[1] - sizes[0]) * 1024 / (many - few)
        print(f"    {sizes[0] / 1024:.1f} MiB at {few:,}, {sizes[1] / 1024:.1f} at {many:,}")
        row("memory of an idle kept connection", f"{each:.0f}", "bytes", "at most 8192",
            each <= 8192)


SCENARIOS = [notify, register, refused, processes, connections, http2, registrations, memory, idle]
