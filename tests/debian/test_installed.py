"""The package as an operator has it after `apt install`: what tests/debian/run puts into a clean
root, where systemd cannot run. What its units say is done by hand here, each command as its user."""
import contextlib
import grp
import os
import pathlib
import pwd
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "contrib"), str(TOP / "tests/standins")]

import demo  # noqa: E402
from phone import Phone  # noqa: E402
from relay import Relay  # noqa: E402

UNITS = [pathlib.Path("/usr/lib/systemd/system"), pathlib.Path("/lib/systemd/system")]
ETC = pathlib.Path("/etc/mostro-push")
ENV = ETC / "env"
EXAMPLES = pathlib.Path("/usr/share/doc/mostro-push/examples")
STORES = [name for name in ("redis", "valkey") if shutil.which(f"{name}-server")]
ENDPOINTS = pathlib.Path("/var/lib/mostro-push/unifiedpush_endpoints.json")
UNUSABLE = 2
SERVER_KEY = "1" * 64


def wait_until(condition, what, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.02)


class Unit:
    """A unit with its drop-ins. `values` has what each name is set to; an empty one begins anew."""

    def __init__(self, name):
        self.name = name
        prefix, at, rest = name.partition("@")
        self.instance, _, kind = rest.rpartition(".") if at else ("", "", "")
        template = f"{prefix}@.{kind}" if at else name
        folder = next(each for each in UNITS if (each / template).exists())
        parts = [folder / template, *sorted((folder / f"{name}.d").glob("*.conf"))]
        self.values = {}
        for key, value in re.findall(r"(?m)^(\w+)=(.*)$", "\n".join(
                part.read_text() for part in parts)):
            self.values[key] = self.values.get(key, []) + [value] if value else []

    def one(self, key, default=None):
        return self._filled_in(self.values.get(key, [default])[-1] or "")

    def environment(self):
        return dict(self._filled_in(each).split("=", 1)
                    for each in self.values.get("Environment", []))

    def command(self):
        environment = self.environment()
        return [re.sub(r"^\$\{(\w+)\}$", lambda found: environment[found[1]], word)
                for word in self.one("ExecStart").split()]

    def _filled_in(self, text):
        return text.replace("%i", self.instance).replace("%H", socket.gethostname())


class Services:
    """What has been started; close() ends it, the last one first."""

    def __init__(self, directory):
        self._directory = directory
        self._running = []

    def run(self, unit, stdin=subprocess.DEVNULL):
        """Its command, with the folders, credentials, user and groups that it is to have."""
        user = pwd.getpwnam(unit.one("User"))
        group = grp.getgrnam(unit.one("Group")).gr_gid
        for key, top in (("RuntimeDirectory", "/run"), ("StateDirectory", "/var/lib")):
            if unit.values.get(key):
                folder = pathlib.Path(top, unit.one(key))
                folder.mkdir(exist_ok=True)
                os.chown(folder, user.pw_uid, group)
                folder.chmod(int(unit.one(f"{key}Mode", "0755"), 8))
        environment = {"PATH": os.environ["PATH"], **unit.environment()}
        if unit.values.get("LoadCredential"):
            environment["CREDENTIALS_DIRECTORY"] = self._credentials(unit, user.pw_uid)
        command = ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(group), "--clear-groups",
                   "--no-new-privs", "--bounding-set=-all", "--", *unit.command()]
        with contextlib.ExitStack() as stack:
            if unit.one("Type") == "notify":
                ready = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
                environment["NOTIFY_SOCKET"] = self._bind(ready, unit.name)
            program = self.start(unit.name, command, environment, stdin,
                                 cwd=unit.one("WorkingDirectory", "/"),
                                 umask=int(unit.one("UMask", "0022"), 8))
            while unit.one("Type") == "notify" and b"READY=1" not in ready.recv(4096):
                pass
        return program

    @staticmethod
    def _bind(ready, name):
        """sd_notify(3): whoever comes behind this unit waits until it says so."""
        path = pathlib.Path("/run", f"{name}.notify")
        path.unlink(missing_ok=True)
        ready.settimeout(20)
        ready.bind(str(path))
        path.chmod(0o777)
        return str(path)

    def _credentials(self, unit, uid):
        """As systemd names and guards them."""
        shown = pathlib.Path("/run/credentials") / unit.name
        shutil.rmtree(shown, ignore_errors=True)
        shown.mkdir(parents=True)
        for each in unit.values["LoadCredential"]:
            name, folder = each.split(":")
            for key in pathlib.Path(folder).iterdir():
                copy = shown / f"{name}_{key.name}"
                copy.write_bytes(key.read_bytes())
                copy.chmod(0o400)
                os.chown(copy, uid, -1)
        return str(shown)

    def start(self, name, command, environment=None, stdin=subprocess.DEVNULL, **options):
        with open(self._directory / f"{name}.log", "ab") as log:
            program = subprocess.Popen(command, env=environment, stdin=stdin, stdout=log,
                                       stderr=log, start_new_session=True, **options)
        self._running.append(program)
        return program

    def log(self, name):
        return (self._directory / f"{name}.log").read_text()

    def close(self):
        for program in reversed(self._running):
            program.terminate()
            program.wait(30)


@pytest.fixture
def services(tmp_path):
    with contextlib.closing(Services(tmp_path)) as services:
        yield services
        for log in sorted(tmp_path.glob("*.log")):
            print(f"==== {log.name}\n{log.read_text()}")


@contextlib.contextmanager
def settings(**values):
    """Put into the file as an operator would: in the place of the line that is there for each."""
    before = text = ENV.read_text()
    for name, value in values.items():
        text, n = re.subn(rf"(?m)^#?{name}=.*$", lambda _: f"{name}={value}", text)
        assert n == 1, name
    try:
        ENV.write_text(text)
        yield
    finally:
        ENV.write_text(before)


def held(unit):
    """The socket of a unit."""
    listening = socket.socket(socket.AF_UNIX)
    path = pathlib.Path(unit.one("ListenStream"))
    path.unlink(missing_ok=True)
    listening.bind(str(path))
    shutil.chown(path, unit.one("SocketUser"), unit.one("SocketGroup"))
    path.chmod(int(unit.one("SocketMode"), 8))
    listening.listen(int(unit.one("Backlog")))
    return listening


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.read().decode()
    except OSError:
        return None


OPERATOR = "/run/mostro-push/operator/http.sock"


def check_what_is_to_be_watched():
    """By a user of the group adm: in the terminal, and in a browser with the charts' library."""
    as_adm = ["setpriv", "--reuid", "nobody", "--regid", "adm", "--clear-groups"]

    def shown():
        return subprocess.run([*as_adm, "mostro-push-top", "--once"], check=True,
                              capture_output=True, text=True).stdout
    # The listener tells of its relay once a second.
    wait_until(lambda: re.search(r"(?m)^READY(.*\n)*relays +1 of 1 up", shown()), "top shows it")
    for path, begin in (("/", "<!doctype html>"), ("/chart.js", "/*!\n * Chart.js v3")):
        ask = [*as_adm, "curl", "-sf", "--unix-socket", OPERATOR, f"http://x{path}"]
        page = subprocess.run(ask, check=True, capture_output=True, text=True).stdout
        assert page.startswith(begin), page[:100]


def test_files_and_users():
    for path, mode, owner, group in (
            (ENV, 0o640, "root", "mostro-push"),
            (ETC / "keys", 0o700, "root", "root"),
            (ETC / "keys-fcgi", 0o700, "root", "root"),
            (ETC / "keys-listener", 0o700, "root", "root"),
            ("/run/mostro-push", 0o755, "root", "root"),
            ("/run/mostro-push/operator", 0o2750, "root", "adm")):
        found = os.stat(path)
        assert found.st_mode & 0o7777 == mode, path
        assert pwd.getpwuid(found.st_uid).pw_name == owner, path
        assert grp.getgrgid(found.st_gid).gr_name == group, path
    assert os.getgrouplist("mostro-push", -1)[1:] == []
    assert not any("mostro-push" in each.gr_mem for each in grp.getgrall())


def test_before_it_is_set_up_the_journal_says_what_is_missing(services):
    listener = Unit("mostro-push-listener@1.service")
    assert services.run(listener).wait(10) == UNUSABLE
    assert "NOSTR_RELAYS" in services.log(listener.name)
    assert str(UNUSABLE) in listener.one("RestartPreventExitStatus").split()


@pytest.mark.parametrize("unit", [
    "mostro-push-fcgi.socket", "mostro-push-fcgi.service", "mostro-push-listener@1.service",
    *(f"{store}-server@mostro-push.service" for store in STORES)])
def test_units_are_valid_and_sandboxed(unit):
    """The threshold is ten times the figure that is shown; a socket has no processes."""
    verify = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
                            capture_output=True, text=True)
    assert (verify.returncode, verify.stderr) == (0, ""), verify
    if unit.endswith(".service"):
        subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],
                       check=True)


@pytest.mark.parametrize("web_server", ["lighttpd", "nginx"])
@pytest.mark.parametrize("store", STORES)
def test_it_wakes_a_phone(services, store, web_server):
    """Through the Redis, the web server and the settings that the package has, as they are."""
    key = ETC / "keys-fcgi/server.key"
    key.write_text(SERVER_KEY)
    key.chmod(0o600)
    ENDPOINTS.unlink(missing_ok=True)
    socket_unit = Unit("mostro-push-fcgi.socket")
    with Relay() as relay, Phone() as phone, contextlib.closing(held(socket_unit)) as listening, \
            settings(NOSTR_RELAYS=relay.url, UNIFIEDPUSH_ALLOW_PRIVATE="true",
                     REDIS_URL=f"unix:///run/{store}-mostro-push/redis.sock",
                     SERVER_PRIVATE_KEY_FILE="keys-fcgi/server.key"):
        services.run(Unit(f"{store}-server@mostro-push.service"))
        services.run(Unit("mostro-push-fcgi.service"), listening)
        services.run(Unit("mostro-push-listener@1.service"))
        # nginx's example says so: it does not start beside one that is left.
        pathlib.Path(OPERATOR).unlink(missing_ok=True)
        conf = EXAMPLES / f"{web_server}.conf.example"
        services.start(web_server, ["lighttpd", "-D", "-f", conf] if web_server == "lighttpd"
                       else ["nginx", "-g", "daemon off;", "-c", conf])
        url = "http://127.0.0.1:8080"
        wait_until(lambda: answers(f"{url}/api/health"), "the API answers")
        demo.demonstrate(url, relay, phone)
        assert '"encryption_enabled":true' in answers(f"{url}/api/info")
        check_what_is_to_be_watched()
        wait_until(ENDPOINTS.exists, "the endpoint file")
    found = os.stat(f"/run/{store}-mostro-push/redis.sock")
    assert grp.getgrgid(found.st_gid).gr_name == "mostro-push"
    assert found.st_mode & 0o007 == 0
