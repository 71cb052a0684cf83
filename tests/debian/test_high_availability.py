"""contrib/redis-ha as its README sets it up, on Debian's own units: one data node and one Sentinel
of the three of each, for there is one machine here. What they do when one fails is tested in
tests/integration, test_failover.py and the like.

Before the tests of test_installed.py, and leaves the machine as it has found it."""
import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "contrib"), str(TOP / "tests/standins")]

import demo  # noqa: E402
from phone import Phone  # noqa: E402
from relay import Relay  # noqa: E402
from steps import (EXAMPLES, LISTENER, SOCKET, STATE, URL, WORKERS,  # noqa: E402
                   check_nothing_reaches_a_disk, registered, run, settings, show, web_server)

README = (EXAMPLES / "redis-ha/README").read_text()
ADDRESS = "10.77.0.1"  # as in the examples
STORES = [name for name in ("redis", "valkey")
          if shutil.which(f"{name}-server") and shutil.which(f"{name}-sentinel")]
PASSWORD = "a-long-random-password-of-{}"


def commands(of):
    """The indented lines that begin with this, to the next empty one."""
    return re.search(rf"(?m)^    {of}(.*\n)+?(?=\n)", README)[0]


def fill_in(folder):
    """Passwords, or their hashes, and that there is one of each alone."""
    def password(found):
        return PASSWORD.format(found[1].lower())

    def digest(found):
        return found[1] + hashlib.sha256(PASSWORD.format(found[2]).encode()).hexdigest()

    alone = {"node.conf": (r"^min-replicas-.*\n", "", 2),
             "sentinel.conf": (rf"^(sentinel monitor mostro {ADDRESS} 6379) 2$", r"\1 1", 1),
             "node.env": (r",10\.77\..*", "", 2)}
    for name in ("users.acl", "users-ha.acl", "node.conf", "sentinel.conf", "node.env"):
        file = folder / name
        text = re.sub(r"(?m)\bPASSWORD-OF-([A-Z]+)$", password, file.read_text())
        text = re.sub(r"(?m)^(user ([a-z-]+) reset on #)SHA256-[A-Z-]+", digest, text)
        if name in alone:
            pattern, by, times = alone[name]
            text, found = re.subn(f"(?m){pattern}", by, text)
            assert found == times, name
        file.write_text(text)


class Nodes:
    """A data node and a Sentinel of this machine."""

    def __init__(self, store):
        self.store, self.node, self.sentinel = store, f"{store}-server", f"{store}-sentinel"
        self.folder = pathlib.Path("/etc") / store
        self.drop_in = pathlib.Path(f"/etc/systemd/system/{self.node}.service.d")

    def _set_up(self):
        """With README's commands, but for apt's."""
        text = commands("store=").replace("store=redis", f"store={self.store}")
        text = re.sub(r"(?m)^    apt-get .*", "", text)
        if self.store == "valkey":
            text += commands("sed ")
        run("bash", "-e", "-c", text)
        fill_in(self.folder)
        run("bash", "-e", "-c", commands("systemctl daemon-reload"),
            env={**os.environ, "store": self.store})

    def _take_away(self):
        run("systemctl", "stop", self.node, self.sentinel)
        run("rm", "-rf", self.folder, self.drop_in)
        self._kept.rename(self.folder)
        run("systemctl", "daemon-reload")

    @contextlib.contextmanager
    def running(self):
        self._kept = self.folder.with_suffix(".kept")
        run("cp", "-a", self.folder, self._kept)
        run("ip", "address", "add", f"{ADDRESS}/24", "dev", "lo")
        # A name that the units of either store want, of which a machine has one.
        pathlib.Path("/etc/systemd/system/sentinel.service").unlink(missing_ok=True)
        try:
            self._set_up()
            yield self
        finally:
            self._take_away()
            run("ip", "address", "del", f"{ADDRESS}/24", "dev", "lo")

    def ask(self, *words):
        return run(f"{self.store}-cli", "-h", ADDRESS, "--user", "sentinel", "--no-auth-warning",
                   *words, env={"REDISCLI_AUTH": PASSWORD.format("sentinel")})


@pytest.fixture(params=STORES)
def nodes(request):
    with Nodes(request.param).running() as nodes:
        yield nodes


@contextlib.contextmanager
def programs(**values):
    """Both, on the nodes."""
    with settings(REDIS_URL=f"redis+sentinel://mostro-push:{PASSWORD.format('mostro-push')}@"
                            f"{ADDRESS}/mostro",
                  REDIS_SENTINEL_PASSWORD=PASSWORD.format("sentinels"), **values):
        run("systemctl", "start", SOCKET, WORKERS, LISTENER)
        try:
            yield
        finally:
            run("systemctl", "stop", SOCKET, WORKERS, LISTENER)
            run("rm", "-rf", STATE)


def test_a_node_starts_as_readme_says_and_has_a_phone(nodes):
    assert show(nodes.node, "ActiveState") == show(nodes.sentinel, "ActiveState") == "active"
    assert "starts as the primary" in run("journalctl", "--unit", nodes.node)
    assert "role:master" in nodes.ask("INFO", "replication")
    # Redis has the first of the three alone, and Valkey the others beside it.
    kept = nodes.ask("CONFIG", "GET", "slowlog-max-len", "commandlog-large-*-max-len").split()[1::2]
    assert len(kept) == {"redis": 1, "valkey": 3}[nodes.store] and set(kept) == {"0"}
    check_nothing_reaches_a_disk(nodes.node, nodes.node)
    # It finds its settings, and has no other node to look for.
    switch = subprocess.run(["/usr/libexec/mostro-push/switch", "--check"], capture_output=True,
                            text=True)
    assert switch.returncode == 1
    assert switch.stderr == "switch: there is no replica that could take its place\n"
    with (Relay() as relay, Phone() as phone,
          programs(NOSTR_RELAYS=relay.url, UNIFIEDPUSH_ALLOW_PRIVATE="true"),
          web_server("lighttpd")):
        demo.demonstrate(URL, relay, phone)
        assert registered() == 1
