"""contrib/container without an engine: what the Containerfile does to the package's files, and the
services of compose.yaml as that file has them, each with its user, its mounts, a root that cannot be
written to, and no capability. What an engine adds of its own (its network, limits) is left out."""
import contextlib
import grp
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
import yaml

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "contrib"), str(TOP / "tests/standins")]

import demo  # noqa: E402
from phone import Phone  # noqa: E402
from relay import Relay  # noqa: E402
from steps import set_in, wait_until  # noqa: E402

CONTAINER = TOP / "contrib/container"
COMPOSE = yaml.safe_load((CONTAINER / "compose.yaml").read_text())
SERVICES = list(COMPOSE["services"])
CONTAINERFILE = re.sub(r"\\\n\s*", "", (CONTAINER / "Containerfile").read_text())
OWN = "mostro-push"
LIGHTTPD = pathlib.Path("/etc/lighttpd/lighttpd.conf")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def last(word):
    """What the image's own stage has behind it."""
    return re.findall(rf"(?m)^{word} (.*)$", CONTAINERFILE)[-1]


def here(text):
    """The image's number of the group is chosen; the package's is not."""
    return re.sub(r"\b801\b", str(grp.getgrnam(OWN).gr_gid), text)


class Containers:
    """All services; `place` is what the host has beside compose.yaml, and the volumes."""

    def __init__(self, place):
        self.place, self.running = place, {}

    def make_volumes(self):
        for name, options in COMPOSE["volumes"].items():
            volume = self.place / f"volume-{name}"
            volume.mkdir()
            if options:
                assert options["driver_opts"]["type"] == "tmpfs"
                subprocess.run(["mount", "-t", "tmpfs", "-o", here(options["driver_opts"]["o"]),
                                "tmpfs", volume], check=True)
            else:  # an engine gives it the owner that the image's folder has
                shutil.chown(volume, OWN, OWN)

    def _mounts(self, service):
        for volume in service.get("volumes", []):
            if isinstance(volume, dict):
                assert volume["type"] == "bind"
                yield (f"mount --bind {self.place}/{volume['source']} {volume['target']}",
                       volume["target"], volume["read_only"])
            else:
                name, target = volume.split(":")
                yield f"mount --bind {self.place}/volume-{name} {target}", target, False
        for temporary in service.get("tmpfs", []):
            target, options = temporary.split(":")
            yield f"mount -t tmpfs -o {here(options)} tmpfs {target}", target, False

    def _script(self, service):
        """/run and /tmp are folders of the image, and empty there. They are covered last: `place` is
        in neither, and a folder is made where an engine would make it."""
        user, group = service["user"].split(":")
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        mounts = list(self._mounts(service))
        environment = [f"{name}={value}" for name, value in service.get("environment", {}).items()]
        lines = ["mount --make-rprivate /", "mount -t proc proc /proc",
                 "mount -t tmpfs -o mode=0755 tmpfs /run", "mount -t tmpfs -o mode=1777 tmpfs /tmp"]
        lines += [f"mkdir -p {target}" for _, target, _ in mounts if not target.endswith("/env")]
        for command, target, is_read_only in mounts:
            lines.append(command)
            lines += [f"mount -o remount,bind,ro {target}"] if is_read_only else []
        covered = {target for _, target, _ in mounts}
        lines += [f"mount -o remount,ro {folder}" for folder in ("/run", "/tmp")
                  if folder not in covered]
        lines += ["mount -o remount,bind,ro /", f"ulimit -c {service['ulimits']['core']}",
                  shlex.join(["exec", "setpriv", "--reuid", user, "--regid", group,
                              "--clear-groups", "--no-new-privs", "--bounding-set=-all",
                              "--inh-caps=-all", "--", "env", "-i", "-C", last("WORKDIR"), PATH,
                              last("ENV"), *environment, *service["command"]])]
        return "\n".join(lines)

    def start(self, name):
        service = COMPOSE["services"][name]
        alone = ["--net"] if service.get("network_mode") == "none" else []
        with open(self.place / f"{name}.log", "w") as log:
            self.running[name] = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", *alone, "sh", "-ec",
                 self._script(service)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT)

    def first_process(self, name):
        pid = self.running[name].pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return children[0] if children else None

    def run(self, name, *command):
        """In it, as its user."""
        service = COMPOSE["services"][name]
        user, group = service["user"].split(":")
        environment = [f"{key}={value}" for key, value in service.get("environment", {}).items()]
        return subprocess.run(
            ["nsenter", "--target", self.first_process(name), "--mount", "--pid", "--net", "setpriv",
             "--reuid", user, "--regid", group, "--clear-groups", "env", "-i", PATH, *environment,
             *command], capture_output=True, text=True)

    def is_healthy(self, name):
        kind, *command = COMPOSE["services"][name]["healthcheck"]["test"]
        assert kind in ("CMD", "CMD-SHELL")
        if self.running[name].poll() is not None or not self.first_process(name):
            return False
        return self.run(name, *(command if kind == "CMD" else
                                ["sh", "-c", *command])).returncode == 0

    def stop(self):
        """With its first process ends all that is in one; who has changed his user outlives unshare."""
        for name, process in self.running.items():
            first = self.first_process(name)
            if first:
                os.kill(int(first), signal.SIGKILL)
            process.wait()
        for volume in self.place.glob("volume-*"):
            subprocess.run(["umount", volume], capture_output=True)

    def logs(self):
        return "".join(f"==== {log.name}\n{log.read_text()}" for log in self.place.glob("*.log"))


@contextlib.contextmanager
def image():
    """The files of the image's last layer, but for what apt has put there."""
    before = LIGHTTPD.read_text()
    steps = [step for step in last("RUN").split(" && ") if re.match("(cp|sed|install) ", step)]
    assert len(steps) == 3
    try:
        for step in steps:
            subprocess.run(["sh", "-c", step], check=True)
        yield
    finally:
        LIGHTTPD.write_text(before)


@pytest.fixture(scope="module")
def world():
    with Relay() as relay, Phone() as phone:
        yield relay, phone


@pytest.fixture(scope="module")
def containers(world):
    """As OPERATING, In a container, has the host set up."""
    place = pathlib.Path("/srv/mostro-push")
    place.mkdir(parents=True)
    containers = Containers(place)
    (place / "env").write_text(set_in(
        pathlib.Path("/usr/share/mostro-push/env.example").read_text(),
        {"NOSTR_RELAYS": world[0].url, "UNIFIEDPUSH_ALLOW_PRIVATE": "true",
         "SERVER_PRIVATE_KEY_FILE": "keys-fcgi/server.key"}))
    for folder in ("keys-fcgi", "keys-listener"):
        (place / folder).mkdir()
    (place / "keys-fcgi/server.key").write_text("1" * 64)
    for file, mode in (("env", 0o400), ("keys-fcgi/server.key", 0o400), ("keys-fcgi", 0o500),
                       ("keys-listener", 0o500)):
        shutil.chown(place / file, OWN, OWN)
        os.chmod(place / file, mode)
    try:
        containers.make_volumes()
        with image():
            for name in SERVICES:
                containers.start(name)
            for name in SERVICES:
                wait_until(lambda: containers.is_healthy(name), f"{name} is healthy")
            yield containers
    finally:
        print(containers.logs())
        containers.stop()
        shutil.rmtree(place)


def test_they_wake_a_phone(containers, world):
    demo.demonstrate("http://127.0.0.1:8080", *world)


def test_a_large_body_has_room(containers):
    """lighttpd writes it where the image has no room for it."""
    body = json.dumps({"trade_pubkey": "none", "unknown": "x" * 100_000}).encode()
    request = urllib.request.Request("http://127.0.0.1:8080/api/register", body,
                                     {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert (refused.value.code, b"trade_pubkey" in refused.value.read()) == (400, True)


@pytest.mark.parametrize("name", SERVICES)
def test_what_one_may_do(containers, name):
    process = containers.first_process(name)
    status = dict(line.split(":\t", 1) for line in
                  pathlib.Path(f"/proc/{process}/status").read_text().splitlines())
    assert "0" not in status["Uid"].split()
    assert {status[kind].strip("0") for kind in ("CapEff", "CapPrm", "CapInh", "CapBnd")} == {""}
    assert status["NoNewPrivs"] == "1"
    for folder in ("/", "/etc", "/usr", "/run", "/var/lib"):
        assert containers.run(name, "touch", f"{folder}/x").returncode != 0, folder


def test_keys_are_for_those_who_need_them(containers):
    """The service account is the listener's, the server's key the workers'."""
    for name in SERVICES:
        seen = containers.run(name, "cat", "/etc/mostro-push/keys-fcgi/server.key")
        assert (seen.returncode == 0) == (name == "workers"), name


def test_those_without_a_network_reach_nobody(containers):
    for name in SERVICES:
        seen = containers.run(name, "curl", "-s", "-m", "10", "http://127.0.0.1:8080/api/health")
        assert (seen.returncode != 0) == (name in ("redis", "workers")), name
