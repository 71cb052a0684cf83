"""watch: what is looked at from outside: whether this machine stood still, memory and descriptors
of the programs, and what they wrote."""
import os
import pathlib
import re
import subprocess
import threading

from stack import LISTENER as PROGRAM
from stack import SANITIZER_REPORT
from world import DISTRIBUTORS, LISTENER, SECRET, now

TICK_S = 0.02
STALL_S = 0.1

# Growth that is none: pages that the allocator has not given back; connections kept for reuse, as
# many to each distributor as it may have at once, and some.
MEMORY_SLACK = 12 << 20
DESCRIPTORS_SLACK = 20 * len(DISTRIBUTORS) + 24

# Of the server's parts; what stand-ins print is theirs.
LOGS = ("listener.log", "workers.log", "redis.log", "lighttpd.log", "lighttpd-errors.log")
HEX = re.compile(rb"(?<![0-9A-Za-z])[0-9a-fA-F]{16,}")
ADDRESS = re.compile(rb"(?<![0-9.])127\.(?!0\.0\.1(?![0-9]))[0-9]+\.[0-9]+\.[0-9]+")


class Pulse:
    """Notes when a thread that wants to run every TICK_S could not: then nobody's time counts."""

    def __init__(self):
        self._stalls = []
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def stop(self):
        self._halt.set()
        self._thread.join()

    def stalled(self, begin, end):
        """Seconds of that time in which this machine stood still."""
        return sum(max(0, min(end, stop) - max(begin, start)) for start, stop in self._stalls)

    def _beat(self):
        last = now()
        while not self._halt.wait(TICK_S):
            here = now()
            if here - last > STALL_S:
                self._stalls.append((last, here))
            last = here


def _measure(pid):
    """(anonymous memory in bytes, descriptors)."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return (int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) * 1024,
            len(os.listdir(f"/proc/{pid}/fd")))


def measure(world):
    """{name of a process: (process id, memory, descriptors)}."""
    processes = {LISTENER: world.program(LISTENER).pid}
    processes.update((f"worker {n}", pid) for n, pid in enumerate(world.workers(), 1))
    return {name: (pid, *_measure(pid)) for name, pid in processes.items()}


def _is_sanitized():
    """AddressSanitizer keeps freed memory for long."""
    return "libasan" in subprocess.run(["ldd", PROGRAM], capture_output=True, text=True).stdout


def growth(before, after):
    """Lines about what has grown, of processes that are the same."""
    keeps_memory = _is_sanitized()
    for name, (pid, memory, descriptors) in after.items():
        if name not in before or before[name][0] != pid:
            continue
        if memory > before[name][1] + MEMORY_SLACK and not keeps_memory:
            yield f"memory of {name}: {before[name][1] >> 10} KiB, later {memory >> 10} KiB"
        if descriptors > before[name][2] + DESCRIPTORS_SLACK:
            yield f"descriptors of {name}: {before[name][2]}, later {descriptors}"


def identifying(directory, planted):
    """Lines about what the logs show of anybody: of `planted` hex strings, their first half; any
    endpoint or token; any client's address."""
    heads = {text[:16].encode() for text in planted}
    for name in LOGS:
        path = pathlib.Path(directory) / name
        for number, line in enumerate(path.open("rb") if path.exists() else (), 1):
            what = ("an endpoint or a token" if SECRET.encode() in line else
                    "an address" if ADDRESS.search(line) else
                    "a pubkey or an event id"
                    if any(found[:16].lower() in heads for found in HEX.findall(line)) else None)
            if what:
                yield f"{name}, line {number} shows {what}"


def sanitizer_reports(directory):
    """What they have written in any log."""
    return [found[0] for log in pathlib.Path(directory).glob("*.log")
            for found in SANITIZER_REPORT.finditer(log.read_text(errors="replace"))]
