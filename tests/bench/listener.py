#!/usr/bin/python3
"""listener: what the relay side costs.

    make bench            (or: BUILD_DIR=... tests/bench/listener.py [SCENARIO...])

A relay that sends frames it has made beforehand as fast as they are read; the listener, with all
its threads, has the first core for itself and shares the others with Redis and the relay.
"""
import asyncio
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import statistics
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "integration"), str(HERE.parent / "standins")]

import nostr  # noqa: E402
from certificates import Authority  # noqa: E402
from google import Google  # noqa: E402
from raw_relay import RawRelay  # noqa: E402
from rig import row, run  # noqa: E402
from stack import LISTENER, Stack, registering, wait_until  # noqa: E402

EVENTS = int(os.environ.get("BENCH_EVENTS", "20000"))
COPIES = 10
RATE = 500
SECONDS = int(os.environ.get("BENCH_SECONDS", "10"))
EVENT_SIZE = 2048
CORES = sorted(os.sched_getaffinity(0))

SETTINGS = {
    "LOG_LEVEL": "error",
    "UNIFIEDPUSH_ALLOW_PRIVATE": "true",
    "NOTIFY_RATE_PER_PUBKEY_PER_MIN": "60000",
    "WAKES_MAX": "10000000",
    "RELAY_EVENTS_PER_SEC": "0",  # it is the listener that is to set the pace
}
HEARTBEAT = "mostro:listener:listener-1"


class Phone(multiprocessing.Process):
    """Answers every push, and notes when it came by the path it came to; a process of its own."""

    def __init__(self):
        super().__init__(daemon=True)
        self._ours, self._its = multiprocessing.Pipe()
        self.arrived = {}

    def begin(self):
        self.start()
        self.url = self._ours.recv()
        return self

    def end(self):
        """Returns {path: CLOCK_MONOTONIC of its arrival}."""
        self._ours.send("end")
        return self._ours.recv()

    def run(self):
        asyncio.run(self._run())

    async def _run(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._its.send("http://127.0.0.1:%d" % server.sockets[0].getsockname()[1])
        while not self._its.poll():
            await asyncio.sleep(0.05)
        self._its.send(self.arrived)

    async def _serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.arrived[head.split(b" ", 2)[1].decode()] = time.monotonic()
                size = re.search(rb"(?i)content-length: *(\d+)", head)
                await reader.readexactly(int(size[1]) if size else 0)
                writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def fcm_that_is_down(directory):
    """Settings with which wakes for device tokens wait: the port is taken, and nobody listens."""
    google = Google(directory, 0, *Authority(directory).issue("loopback"))
    return {"FCM_ENABLED": "true", "FCM_ENDPOINT": google.url, "FIREBASE_PROJECT_ID": "bench",
            "FIREBASE_SERVICE_ACCOUNT_PATH": str(google.service_account)}


class Rig:
    """A Redis, and a listener that is subscribed to a RawRelay."""

    def __init__(self):
        self.stack = Stack(tempfile.mkdtemp(prefix="mostro-bench-"), **SETTINGS)
        self.stack.settings.update(fcm_that_is_down(self.stack.directory))
        self.stack.start_redis()
        self.redis = self.stack.redis
        self.relay = RawRelay()
        self.stack.spawn_listener([self.relay.url])
        self.relay.wait_until_live()
        wait_until(lambda: self.redis.hget(HEARTBEAT, "relays_connected") == "1")
        self.pid = self.stack.listener._process.pid
        for task in os.listdir(f"/proc/{self.pid}/task"):
            os.sched_setaffinity(int(task), CORES[:1])
        os.sched_setaffinity(0, CORES[1:] or CORES)
        os.sched_setaffinity(self.stack.redis_server._process.pid, CORES[1:] or CORES)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.kill()
        shutil.rmtree(self.stack.directory)

    def register(self, endpoints):
        pipeline = self.redis.pipeline(transaction=False)
        for pubkey, token in endpoints.items():
            pipeline.fcall(*registering(pubkey, 10**8, token, most=10**7))
        pipeline.execute()

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")")[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def send_and_wait(self, frames, wakes):
        """Seconds until so many wakes are queued in all, and processor seconds of the listener."""
        begun, cpu = time.monotonic(), self.cpu_s()
        self.relay.send(frames)
        wait_until(lambda: self.stack.wakes_added() >= wakes, 120)
        return time.monotonic() - begun, self.cpu_s() - cpu


def wrap(pubkey):
    event = nostr.gift_wrap(pubkey)
    spare = EVENT_SIZE - len(json.dumps(event, separators=(",", ":")))
    return nostr.make_event(nostr.Key(), nostr.GIFT_WRAP, [["p", pubkey]],
                            event["content"] + "A" * max(spare, 0))


def intake():
    """Distinct events, each for a registered pubkey of its own, up to its wake in the queue; then
    the same again and again. FCM is down, so that no push takes part."""
    pubkeys = [nostr.new_pubkey() for _ in range(EVENTS)]
    events = [wrap(pubkey) for pubkey in pubkeys]
    with Rig() as rig:
        rig.register({pubkey: f"token-{i}" for i, pubkey in enumerate(pubkeys)})
        frames = b"".join(rig.relay.event_frame(event) for event in events)
        seconds, cpu = rig.send_and_wait(frames, EVENTS)
        print(f"    {EVENTS:,} events of {len(frames) // EVENTS} bytes: {cpu / EVENTS * 1e6:.0f} us "
              "of processor time each")
        row("verified events to queued wakes", f"{EVENTS / seconds:,.0f}", "a second",
            "at least 10,000", EVENTS / seconds >= 10_000)
        last = nostr.new_pubkey()
        rig.register({last: "token-last"})
        time.sleep(1)
        copies = EVENTS * COPIES
        seconds, cpu = rig.send_and_wait(frames * COPIES + rig.relay.event_frame(wrap(last)),
                                         EVENTS + 1)
        print(f"    {copies:,} copies: {cpu / copies * 1e6:.0f} us of processor time each")
        row("copies of known events", f"{copies / seconds:,.0f}", "a second", "at least 40,000",
            copies / seconds >= 40_000)


def latency():
    """From the relay's sending to the push's arrival, at a steady rate."""
    n = RATE * SECONDS
    pubkeys = [nostr.new_pubkey() for _ in range(n)]
    events = [wrap(pubkey) for pubkey in pubkeys]
    phone = Phone().begin()
    with Rig() as rig:
        rig.register({pubkey: f"{phone.url}/{pubkey}" for pubkey in pubkeys})
        frames = [rig.relay.event_frame(event) for event in events]
        sent = {}
        begun = time.monotonic()
        for i, (pubkey, one) in enumerate(zip(pubkeys, frames)):
            wait = begun + i / RATE - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            sent[f"/{pubkey}"] = time.monotonic()
            rig.relay.send(one)
        wait_until(lambda: rig.stack.wakes_queued() == 0 and
                   rig.stack.wakes_added() == n, 60)
        arrived = phone.end()
    times = sorted((arrived[path] - moment) * 1000 for path, moment in sent.items())
    assert len(times) == n
    middle, slow = statistics.median(times), times[n * 99 // 100]
    row(f"publish to push at {RATE}/s, p50", f"{middle:.2f}", "ms", "under 2", middle < 2)
    row(f"publish to push at {RATE}/s, p99", f"{slow:.2f}", "ms", "under 10", slow < 10)


SCENARIOS = [intake, latency]


def main(wanted):
    if not LISTENER.exists():
        sys.exit(f"{LISTENER} is missing: `make bench` builds it")
    print(f"{len(CORES)} cores, the listener on one of them")
    return run(SCENARIOS, wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
