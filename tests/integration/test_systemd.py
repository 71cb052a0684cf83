"""The units for systemd, by a stand-in for it: the socket that it holds outlives the workers."""
import contextlib
import os
import re
import socket
import subprocess
import threading

import pytest

from nostr import new_pubkey
from stack import BUILD_DIR, FCGI, TOP, wait_until

RESTARTS = 3
CLIENTS = 4


@pytest.fixture(scope="module")
def web_server():
    return "nginx"


def unit(path):
    """Name -> values of a unit's lines, sections aside."""
    found = {}
    for name, value in re.findall(r"(?m)^(\w+)=(.*)$", path.read_text()):
        found.setdefault(name, []).append(value)
    return found


class Service:
    """mostro-push-fcgi.socket and .service of a stack, started and stopped as systemd does."""

    def __init__(self, stack):
        self._stack = stack
        self._service = unit(BUILD_DIR / "contrib/systemd/mostro-push-fcgi.service")
        assert self._service["StandardInput"] == ["socket"]
        assert self._service["KillMode"] == ["mixed"]
        held = unit(TOP / "contrib/systemd/mostro-push-fcgi.socket")
        assert "Accept" not in held
        self._path = stack.directory / "fcgi.sock"
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self._path))
        os.chmod(self._path, int(held["SocketMode"][0], 8))
        self._socket.listen(int(held["Backlog"][0]))

    def start(self):
        """Its command, with the programs of this build."""
        words = self._service["ExecStart"][0].split()
        assert [os.path.basename(word) for word in words] == [
            "workers", "${WORKERS}", "mostro-push-fcgi"]
        number = dict(each.split("=", 1) for each in self._service["Environment"])["WORKERS"]
        self._stack.workers = self._stack.start_program(
            "workers", [TOP / "contrib/workers", number, FCGI], self._socket)

    def stop(self):
        """The signal goes to the main process, as KillMode=mixed says."""
        assert self._stack.workers.stop(timeout=int(self._service["TimeoutStopSec"][0])) == 0

    def waiting(self):
        """How many connections wait for a worker."""
        lines = subprocess.run(["ss", "-Hxl", "src", str(self._path)], check=True,
                               capture_output=True, text=True).stdout.splitlines()
        assert len(lines) == 1, lines
        return int(lines[0].split()[2])

    def close(self):
        self._socket.close()


class Load:
    """Clients that ask one thing after another, until stop() says what they were answered."""

    def __init__(self, stack):
        self._stack = stack
        self._ends = threading.Event()
        self.statuses = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self):
        while not self._ends.is_set():
            try:
                self.statuses.append(self._stack.notify(new_pubkey(), timeout=30).status)
            except OSError as error:
                self.statuses.append(repr(error))

    def grows(self):
        """Waits for an answer to each client, at least."""
        before = len(self.statuses)
        wait_until(lambda: len(self.statuses) >= before + 2 * CLIENTS, what="more answers")

    def stop(self):
        self._ends.set()
        for thread in self._threads:
            thread.join()
        return self.statuses


def test_restarts_lose_no_request(make_stack):
    """Whole ones: all workers are gone, requests wait at the socket, and new workers take them."""
    stack = make_stack(LOG_LEVEL="info")
    stack.start_redis()
    with contextlib.closing(Service(stack)) as service:
        service.start()
        stack.start_web()
        stack.wait_for_api()
        load = Load(stack)
        try:
            for _ in range(RESTARTS):
                load.grows()
                service.stop()
                wait_until(lambda: service.waiting() == CLIENTS, what="all wait for a worker")
                service.start()
            load.grows()
        finally:
            statuses = load.stop()
        assert set(statuses) == {202}, statuses
        assert stack.wakes_added() == len(statuses)


def test_the_listener_may_have_the_threads_that_it_may_need():
    """OPERATING, Sizing: by what its settings allow as they are. Redis and the rest have a few."""
    limits = [
        unit(BUILD_DIR / "contrib/systemd/mostro-push-listener@.service")["TasksMax"][-1],
        re.findall(r"(?m)^    pids_limit: (.*)$",
                   (TOP / "contrib/container/compose.yaml").read_text())[-1]]
    pushes = re.search(r'(?m)^PUSH_MAX_IN_FLIGHT=(\d+)$',
                       (BUILD_DIR / "env.example").read_text().replace("#", ""))[1]
    assert min(int(limit) for limit in limits) > 6 * int(pushes) + 4 * 32 + 50
