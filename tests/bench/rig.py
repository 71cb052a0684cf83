"""rig: what the benchmarks of the API share: a build's responders behind a web server, wrk, what
/proc says of processes, and the rows of the table."""
import contextlib
import dataclasses
import functools
import os
import pathlib
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "integration"), str(HERE.parent / "standins")]

from stack import BUILD_DIR, Stack, wait_until  # noqa: E402

CONNECTIONS = 32
SECONDS = int(os.environ.get("BENCH_SECONDS", "3"))
TURNS = int(os.environ.get("BENCH_TURNS", "3"))
WORKERS = int(os.environ.get("BENCH_WORKERS", "8"))
REGISTRATIONS = int(os.environ.get("BENCH_REGISTRATIONS", "1000000"))
REDIS_OPTIONS = shlex.split(os.environ.get("BENCH_REDIS", ""))
WEB_SERVERS = ("lighttpd", "nginx")
TICK = os.sysconf("SC_CLK_TCK")

SETTINGS = {
    "LOG_LEVEL": "error",
    "NOTIFY_TRUST_PROXY_HEADERS": "true",  # so that wrk can be many clients
    "WAKES_MAX": "10000000",
}


# ---- What is measured

@dataclasses.dataclass(frozen=True)
class Build:
    """Responders, how many of them, and the tree that they were built from; whether the tree's
    nginx keeps its connections to them."""
    program: pathlib.Path
    workers: int
    tree: pathlib.Path
    keeps: bool


def build(directory, workers):
    """A build of ours, with what is in its own tree."""
    directory = pathlib.Path(directory).resolve()
    if not (directory / "mostro-push-fcgi").exists():
        sys.exit(f"{directory}/mostro-push-fcgi is missing: `make bench` builds it")
    makefile = (directory / "Makefile").read_text()
    tree = pathlib.Path(re.search(r"(?m)^abs_top_srcdir = (.*)$", makefile)[1]).resolve()
    nginx = (tree / "contrib/nginx.conf.example").read_text()
    return Build(directory / "mostro-push-fcgi", workers, tree,
                 bool(re.search(r"(?m)^ *fastcgi_keep_conn +on;", nginx)))


OURS = build(BUILD_DIR, WORKERS)
# One request a connection, as libfcgi's accept loop has it: a kept connection would pin it.
NOOP = Build(BUILD_DIR / "tests/bench/noop_responder", 8, OURS.tree, keeps=False)


def _unkept(text):
    """nginx's configuration with a connection for each request."""
    return re.sub(r"(?m)^ *(fastcgi_keep_conn|keepalive) .*\n", "", text)


def answers(stack, status):
    try:
        return stack.get("/api/status").status == status
    except OSError:
        return False


@contextlib.contextmanager
def serving(web_server, what=OURS, authority=None, edit=None, redis_server=None, **settings):
    """A stack with a Redis of its own, as the build's own example configures it, or one that runs,
    which `settings` lead to; the build's responders; and a web server: this tree's configuration
    for every build, but that nginx keeps only connections that the build can bear."""
    def configuration(text):
        text = text if what.keeps else _unkept(text)
        return edit(text) if edit else text

    stack = Stack(tempfile.mkdtemp(prefix="mostro-bench-"), web_server=web_server,
                  **{**SETTINGS, **settings})
    try:
        stack.redis_server = redis_server
        if not redis_server:
            stack.start_redis(*REDIS_OPTIONS, example=what.tree / "contrib/redis.conf.example")
        stack.start_workers(what.workers, what.program)
        stack.start_web(authority=authority, edit=configuration)
        wait_until(lambda: answers(stack, 202 if what is NOOP else 200), what="it answers")
        yield stack
    finally:
        stack.kill()
        shutil.rmtree(stack.directory)


# ---- Load

@dataclasses.dataclass
class Run:
    """Requests a second, the 99th percentile in milliseconds, how many were answered, how many of
    them not with 2xx; and for each request, in Redis and in the workers, microseconds of processor
    time."""
    rate: float
    p99: float
    requests: int
    refused: int
    redis_us: float = 0
    worker_us: float = 0


def _wrk(stack, script, path, connections):
    return ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}", "--latency",
            *(["-s", HERE / script] if script else []),
            f"http://127.0.0.1:{stack.http_port}{path}"]


def _read(output):
    """What wrk says."""
    rate = float(re.search(r"Requests/sec: +([0-9.]+)", output)[1])
    value, unit = re.search(r"99% +([0-9.]+)(us|ms|s)", output).groups()
    requests = int(re.search(r"(\d+) requests in", output)[1])
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    return Run(rate, float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit], requests,
               int(refused[1]) if refused else 0)


def _run(command):
    # In the scripts' folder, where Lua looks for requests.lua.
    return _read(subprocess.run(command, check=True, capture_output=True, text=True,
                                cwd=HERE).stdout)


def _parts(stack):
    """Their processes."""
    return {"redis": [stack.redis_server.pid], "worker": stack.workers.children()}


def wrk(stack, script, path="/api/notify", connections=CONNECTIONS):
    """A Run of SECONDS; `script` is wrk's, None for GET."""
    parts = _parts(stack)
    before = {name: processor_us(pids) for name, pids in parts.items()}
    run = _run(_wrk(stack, script, path, connections))
    for name, pids in parts.items():
        setattr(run, f"{name}_us", (processor_us(pids) - before[name]) / run.requests)
    return run


def instructions(stack, script, path="/api/notify", connections=CONNECTIONS):
    """Thousands of instructions that a request takes in each part, the kernel's for it included; {}
    where perf cannot count. A run of its own, because counting slows what is counted down."""
    command, files = _wrk(stack, script, path, connections), {}
    if not _can_count():
        return {}
    for name, pids in _parts(stack).items():
        files[name] = stack.directory / f"perf.{name}"
        command = [*_EVENTS, "-o", files[name], "-p", ",".join(map(str, pids)), "--", *command]
    requests = _run(command).requests
    return {name: _counted(file) / requests / 1000 for name, file in files.items()}


def median(runs, what):
    """Of one of a Run's figures."""
    return statistics.median(getattr(run, what) for run in runs)


# ---- Processes

def processor_us(pids):
    """Microseconds of processor time that they have taken so far, user and system."""
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total * 1_000_000 // TICK


_EVENTS = ["perf", "stat", "-x,", "-e", "instructions:u,instructions:k"]


@functools.cache
def _can_count():
    """Whether there is perf, a processor that counts, and leave to ask it about the kernel."""
    try:
        tried = subprocess.run([*_EVENTS, "true"], capture_output=True, text=True)
    except FileNotFoundError:
        return False
    return tried.returncode == 0 and all(line[0].isdigit() for line in tried.stderr.splitlines())


def _counted(file):
    return sum(float(line.split(",")[0]) for line in file.read_text().splitlines()
               if "instructions" in line)


def memory_kib(pids):
    """Their proportional set size (PSS): pages that several share are counted once, in parts. The
    programs let nobody look into them but who may trace everything, as root mostly may."""
    return sum(int(re.search(r"(?m)^Pss: +(\d+) kB",
                             pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text())[1])
               for pid in pids)


# ---- The table

ROWS = []


def row(name, value, unit, wanted, good):
    ROWS.append(good)
    print(f"{name:42} {value:>10} {unit:14} {wanted:18} {'ok' if good else 'MISSED'}", flush=True)


def note(name, value, unit):
    """A row of what is measured without a target."""
    print(f"{name:42} {value:>10} {unit}", flush=True)


def run(scenarios, wanted=(), arguments=()):
    """All of them, or those that are named, with `arguments`; the exit status."""
    unknown = set(wanted) - {scenario.__name__ for scenario in scenarios}
    if unknown:
        sys.exit(f"no scenario: {', '.join(sorted(unknown))}")
    for scenario in scenarios:
        if not wanted or scenario.__name__ in wanted:
            scenario(*arguments)
    print(f"{sum(ROWS)} of {len(ROWS)} as wanted")
    return 0 if all(ROWS) else 1


def command(*words):
    """A command as Redis reads it."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)
