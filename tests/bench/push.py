#!/usr/bin/python3
"""push: what a push to FCM costs the listener, with a provider that takes 50 ms for each.

    make bench            (or: BUILD_DIR=... tests/bench/push.py)

The provider (provider.js: HTTP/2 over TLS) shares one core with Redis and this program, the
listener has another one to itself. README says what bounds each figure.
"""
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

# rig first: it says where the others are
from rig import command, row, run
from certificates import Authority, openssl
from stack import LISTENER, Stack, registering, wait_until

HERE = pathlib.Path(__file__).resolve().parent
DELAY_MS = 50
IN_FLIGHT = 400  # what 4 connections carry
PHONES = int(os.environ.get("BENCH_PUSHES", "40000"))
HALF_RATE = 1500  # pushes a second where latency is measured
CORES = sorted(os.sched_getaffinity(0))
TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")

# A wake's id and its not_before are from one clock in one breath, as registry.lua makes them.
QUEUE = """
for i, pubkey in ipairs(ARGV) do
  local now = redis.call('TIME')
  redis.call('XADD', KEYS[1], '*', 'pk', pubkey, 'via', 'relay',
             'not_before', string.format('%d', now[1] * 1000 + math.floor(now[2] / 1000)))
end
"""


def pubkey(number):
    return f"{number:064x}"


def device_token(number):
    """As long as real ones are."""
    return f"{number:08d}:APA91b".ljust(163, "x")


class Rig:
    """The provider, a Redis with PHONES registrations, and a listener that has an access token."""

    def __init__(self, delay_ms=DELAY_MS, **settings):
        self.stack = Stack(tempfile.mkdtemp(prefix="mostro-bench-"))
        directory = self.stack.directory
        self.authority = Authority(directory)
        self.provider = self.stack.start_program(
            "provider", ["node", HERE / "provider.js", *self.authority.issue("provider"), delay_ms])
        self.url = wait_until(lambda: re.search(r"READY (\S+)", self.provider.output()))[1]
        account = directory / "account.json"
        account.touch(0o600)
        account.write_text(json.dumps({
            "client_email": "push@bench.example", "token_uri": f"{self.url}/token",
            "private_key": openssl("genpkey", "-algorithm", "RSA").decode()}))
        self.stack.start_redis()
        self.listener = self.stack.start_program(
            "listener", ["taskset", "-c", CORES[0], LISTENER], **{
                "NOSTR_RELAYS": "ws://127.0.0.1:1", "LOG_LEVEL": "info", "FCM_ENABLED": "true",
                "FCM_ENDPOINT": self.url, "FIREBASE_PROJECT_ID": "bench",
                "FIREBASE_SERVICE_ACCOUNT_PATH": account, "PUSH_MAX_IN_FLIGHT": str(IN_FLIGHT),
                "TLS_CA_FILE": self.authority.certificate, **settings})
        self.stack.wait_for_heartbeat()
        wait_until(lambda: "an access token is at hand" in self.listener.output())
        self._fill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.kill()
        shutil.rmtree(self.stack.directory)

    def _fill(self):
        pipe = subprocess.Popen(["redis-cli", "-s", self.stack.socket, "--pipe"],
                                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for i in range(PHONES):
            pipe.stdin.write(command("FCALL", *registering(pubkey(i), 172800000, device_token(i),
                                                           most=PHONES)))
        pipe.stdin.close()
        assert pipe.wait() == 0

    def queue(self, numbers):
        """A wake for each of these phones; when that began, on the provider's clock."""
        began = time.monotonic_ns()
        self.stack.redis.eval(QUEUE, 1, "mostro:wakes", *map(pubkey, numbers))
        return began

    def report(self):
        """What the provider has seen since the report before."""
        return json.loads(subprocess.run(
            ["curl", "-s", "--http2", "--cacert", self.authority.certificate, f"{self.url}/report"],
            check=True, capture_output=True).stdout)

    def wait_until_idle(self):
        self.stack.wait_until_idle(60)
        return self.report()

    def cpu_us(self):
        """Processor time of the listener so far, all threads."""
        stat = pathlib.Path(f"/proc/{self.listener.pid}/stat").read_text().rpartition(")")[2]
        return sum(int(field) for field in stat.split()[11:13]) * TICK_US

    def memory(self, which):
        """Resident memory of the listener, VmRSS or VmHWM, in bytes."""
        status = pathlib.Path(f"/proc/{self.listener.pid}/status").read_text()
        return int(re.search(rf"{which}:\s+(\d+) kB", status)[1]) * 1024


def throughput(in_flight):
    with Rig(PUSH_MAX_IN_FLIGHT=str(in_flight)) as rig:
        rig.queue(range(1000))
        rig.wait_until_idle()
        spent = rig.cpu_us()
        for first in range(0, PHONES, 1000):
            rig.queue(range(first, first + 1000))
        report = rig.wait_until_idle()
        spent = rig.cpu_us() - spent
        times = [when for _, when in report["arrivals"]]
        assert len(times) == PHONES, len(times)
        rate = (PHONES - 1) * 1e9 / (max(times) - min(times))
        name = f"pushes, {in_flight} in flight"
        row(name, f"{rate:,.0f}", "a second", "at least 3,000", rate >= 3000)
        row(f"{name}, connections", report["sessions"], f"({report['most']} streams)", "at most 4",
            report["sessions"] <= 4)
        row(f"{name}, processor time", f"{spent / PHONES:.0f}", "us a push", "at most 80",
            spent / PHONES <= 80)


def memory():
    """What each further push in flight takes, its part of the further connections included."""
    taken = []
    for in_flight in (IN_FLIGHT // 4, IN_FLIGHT):
        with Rig(1000, PUSH_MAX_IN_FLIGHT=str(in_flight)) as rig:
            before = rig.memory("VmRSS")
            rig.queue(range(in_flight))
            most = rig.wait_until_idle()["most"]
            taken.append((most, rig.memory("VmHWM") - before))
            print(f"    {most} in flight: {taken[-1][1] / 1024:,.0f} KiB more")
    (few, little), (many, much) = taken
    each = (much - little) / (many - few)
    row("memory of a push in flight", f"{each / 1024:.1f}", "KiB", "at most 20", each <= 20480)


def latency():
    """From just before a wake is queued until its request is with the provider."""
    with Rig() as rig:
        rig.queue(range(1000))
        rig.wait_until_idle()
        sent = {}
        begun = time.monotonic()
        for n in itertools.count():
            at = begun + n / HALF_RATE
            if n == 6 * HALF_RATE:
                break
            time.sleep(max(0, at - time.monotonic()))
            sent[device_token(n)] = rig.queue([n])
        took = time.monotonic() - begun
        report = rig.wait_until_idle()
        waits = sorted((when - sent[token]) / 1e6 for token, when in report["arrivals"])
        assert len(waits) == len(sent)
        p99 = waits[len(waits) * 99 // 100]
        print(f"    {len(waits) / took:,.0f} wakes a second, p50 {waits[len(waits) // 2]:.2f} ms, "
              f"p99.9 {waits[len(waits) * 999 // 1000]:.2f} ms")
        row("queue to request, p99", f"{p99:.2f}", "ms", "under 20", p99 < 20)


def main():
    if not LISTENER.exists():
        sys.exit(f"{LISTENER} is missing: `make bench` builds it")
    os.sched_setaffinity(0, {CORES[-1]})
    print(f"{len(CORES)} cores, a provider that takes {DELAY_MS} ms")
    return run([lambda: throughput(200), lambda: throughput(IN_FLIGHT), memory, latency])


if __name__ == "__main__":
    sys.exit(main())
