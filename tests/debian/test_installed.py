"""The package as an operator has it after `apt install`, under the systemd of its release:
tests/debian/run has put it into a clean root, and tests/debian/boot has started that.

README's commands, in README's order: each test goes on where the one before has left the machine, up
to the last one, which purges the package."""
import contextlib
import grp
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys
import threading

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "contrib"), str(TOP / "tests/standins")]

import demo  # noqa: E402
import nostr  # noqa: E402
from certificates import Authority  # noqa: E402
from google import Google  # noqa: E402
from phone import Phone  # noqa: E402
from relay import Relay  # noqa: E402
from steps import (ENV, ETC, EXAMPLES, LISTENER, OPERATOR, SOCKET, STATE, URL,  # noqa: E402
                   WORKERS, answer, check_nothing_reaches_a_disk, processes, registered, run,
                   set_up, settings, show, wait_until, web_server)

PACKAGE = "/mostro-push.deb"
KEY = ETC / "keys-fcgi/server.key"
STORES = [name for name in ("redis", "valkey") if shutil.which(f"{name}-server")]
UNUSABLE = 2


def end(store):
    """Redis's unit refuses to be stopped by hand."""
    if show(store, "ActiveState") == "active":
        run("systemctl", "kill", store)
    wait_until(lambda: show(store, "ActiveState") == "inactive", "Redis ends")


class Machine:
    """What one Redis is the store of; `phone` and `relay` are the world outside."""

    def __init__(self, store):
        self.store = f"{store}-server@mostro-push.service"
        self.socket = f"/run/{store}-mostro-push/redis.sock"
        self.server = f"{store}-server"

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.relay = stack.enter_context(Relay())
            self.phone = stack.enter_context(Phone())
            set_up(NOSTR_RELAYS=self.relay.url, UNIFIEDPUSH_ALLOW_PRIVATE="true",
                   REDIS_URL=f"unix://{self.socket}",
                   SERVER_PRIVATE_KEY_FILE="keys-fcgi/server.key")
            stack.callback(self._stop)
            run("systemctl", "enable", "--now", self.store)
            run("systemctl", "enable", "--now", SOCKET, WORKERS, LISTENER)
            self._leave = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._leave.close()

    def _stop(self):
        """After the purge there is none of them."""
        for unit in (SOCKET, WORKERS, LISTENER):
            if show(unit, "LoadState") == "loaded":
                run("systemctl", "stop", unit)
        end(self.store)


@pytest.fixture(scope="module", params=STORES)
def machine(request):
    KEY.write_text("1" * 64)
    KEY.chmod(0o600)
    with Machine(request.param) as machine:
        yield machine


def check_what_is_to_be_watched():
    """By a user of the group adm: in the terminal, and in a browser with the charts' library."""
    as_adm = ["setpriv", "--reuid", "nobody", "--regid", "adm", "--clear-groups"]
    # The listener tells of its relay once a second.
    wait_until(lambda: re.search(r"(?m)^READY(.*\n)*relays +1 of 1 up",
                                 run(*as_adm, "mostro-push-top", "--once")), "top shows it")
    for path, begin in (("/", "<!doctype html>"), ("/chart.js", "/*!\n * Chart.js v3")):
        page = run(*as_adm, "curl", "-sf", "--unix-socket", OPERATOR, f"http://x{path}")
        assert page.startswith(begin), page[:100]


def test_files_and_users():
    for path, mode, owner, group in (
            (ENV, 0o640, "root", "mostro-push"),
            (ETC / "keys", 0o700, "root", "root"),
            (ETC / "keys-fcgi", 0o700, "root", "root"),
            (ETC / "keys-listener", 0o700, "root", "root"),
            ("/run/mostro-push", 0o755, "root", "root"),
            ("/run/mostro-push/operator", 0o2750, "root", "adm"),
            ("/run/mostro-push/bodies", 0o700, "www-data", "www-data")):
        found = os.stat(path)
        assert found.st_mode & 0o7777 == mode, path
        assert pwd.getpwuid(found.st_uid).pw_name == owner, path
        assert grp.getgrgid(found.st_gid).gr_name == group, path
    user = pwd.getpwnam("mostro-push")
    assert user.pw_shell.endswith("/nologin")
    assert os.getgrouplist(user.pw_name, user.pw_gid) == [user.pw_gid]
    assert not any(user.pw_name in each.gr_mem for each in grp.getgrall())


def test_manual_pages_and_examples():
    for page in (TOP / "contrib/man").glob("mostro-push*.[78]*"):
        name = page.name.removesuffix(".in")
        assert pathlib.Path(f"/usr/share/man/man{name[-1]}/{name}.gz").stat().st_size > 1000, name
    for name in ("lighttpd", "nginx", "nftables", "redis"):
        assert (EXAMPLES / f"{name}.conf.example").exists(), name


def test_every_setting_is_in_the_file():
    text = ENV.read_text()
    for program in ("/usr/sbin/mostro-push-listener", "/usr/libexec/mostro-push/mostro-push-fcgi"):
        names = re.findall(r"(?m)^  ([A-Z][A-Z0-9_]+)$", run(program, "--help"))
        assert len(names) > 10
        for name in set(names) - {"LISTENER_NAME"}:
            assert re.search(rf"(?m)^#?{name}=", text), name


@contextlib.contextmanager
def all_that_is_asked(directory):
    """Redis, a relay and Google, and keys that root alone may read; no unit of ours has run."""
    authority = Authority(directory)
    certificate = pathlib.Path("/run/authority.pem")  # for every user
    shutil.copy(authority.certificate, certificate)
    account = ETC / "keys-listener/account.json"
    store = f"{STORES[0]}-server@mostro-push.service"
    with contextlib.ExitStack() as stack:
        google = stack.enter_context(Google(directory, 0, *authority.issue("loopback")))
        relay = stack.enter_context(Relay())
        for key, text in ((account, google.service_account.read_text()), (KEY, "1" * 64)):
            key.touch(mode=0o600)
            key.write_text(text)
            stack.callback(key.unlink)
        stack.enter_context(settings(
            NOSTR_RELAYS=relay.url, REDIS_URL=f"unix:///run/{STORES[0]}-mostro-push/redis.sock",
            SERVER_PRIVATE_KEY_FILE="keys-fcgi/server.key", TLS_CA_FILE=certificate,
            FCM_ENDPOINT=google.url, FIREBASE_PROJECT_ID=google.PROJECT,
            FIREBASE_SERVICE_ACCOUNT_PATH="keys-listener/account.json"))
        run("systemctl", "start", store)
        stack.callback(end, store)
        yield


@pytest.mark.parametrize("program, folder, wanted", [
    ("mostro-push-listener", "keys-listener", {"Redis", "FCM", "endpoint file"}),
    ("/usr/libexec/mostro-push/mostro-push-fcgi", "keys-fcgi", {"Redis"}),
])
def test_what_a_program_may_is_asked_as_its_unit_runs_it(tmp_path, program, folder, wanted):
    """By OPERATING's command, which root gives."""
    command = re.search(r"(?m)^    systemd-run (.*\\\n)+.*$",
                        (TOP / "contrib/OPERATING").read_text())[0]
    command = command.replace("mostro-push-listener ", f"{program} ")
    command = command.replace("keys-listener", folder)
    assert not STATE.exists()
    with all_that_is_asked(tmp_path):
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    STATE.rmdir()
    assert done.returncode == 0, done
    assert wanted <= set(re.findall(r"(?m)^ok +([^:]*)", done.stdout)), done
    assert "asked as root" not in done.stdout


def test_before_it_is_set_up_the_journal_says_what_is_missing():
    run("systemctl", "start", LISTENER)
    wait_until(lambda: show(LISTENER, "ActiveState") == "failed", "the listener fails")
    assert show(LISTENER, "ExecMainStatus") == str(UNUSABLE)
    assert show(LISTENER, "NRestarts") == "0"
    assert "NOSTR_RELAYS" in run("journalctl", "--unit", LISTENER)
    run("systemctl", "reset-failed", LISTENER)


@pytest.mark.parametrize("unit", [SOCKET, WORKERS, LISTENER,
                                  *(f"{store}-server@mostro-push.service" for store in STORES)])
def test_units_are_valid_and_sandboxed(unit):
    """The threshold is ten times the figure that is shown; a socket has no processes."""
    verify = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
                            capture_output=True, text=True)
    assert (verify.returncode, verify.stderr) == (0, ""), verify
    if unit.endswith(".service"):
        run("systemd-analyze", "security", "--threshold=20", unit)


@pytest.mark.parametrize("name", ["lighttpd", "nginx"])
def test_it_wakes_a_phone(machine, name):
    """Through the Redis, the web server and the settings that the package has, as they are; the
    server's key is one that root alone can read."""
    with web_server(name):
        demo.demonstrate(URL, machine.relay, machine.phone)
        assert '"encryption_enabled":true' in answer("/api/info")[1]
        wait_until(lambda: '"status":"ready"' in run(
            "curl", "--silent", "--unix-socket", OPERATOR, "http://x/api/ready"), "ready")
        check_what_is_to_be_watched()
    wait_until((STATE / "unifiedpush_endpoints.json").exists, "the endpoint file")


def test_redis_is_its_own_and_keeps_to_itself(machine):
    found = os.stat(machine.socket)
    assert grp.getgrgid(found.st_gid).gr_name == "mostro-push"
    assert found.st_mode & 0o007 == 0
    check_nothing_reaches_a_disk(machine.store, machine.server)
    # A restart would lose every registration.
    assert subprocess.run(["systemctl", "restart", machine.store], capture_output=True).returncode != 0


def test_a_reload_puts_a_new_redis_in_its_place(machine):
    with web_server("lighttpd"):
        trade_pubkey = nostr.new_pubkey()
        demo.expect(200, URL, "/api/register", {"trade_pubkey": trade_pubkey, "platform": "android",
                                                "token": machine.phone.endpoint()})
        count, before = registered(), processes(machine.store, machine.server)
        run("systemctl", "reload", machine.store)
        assert not set(before) & set(processes(machine.store, machine.server))
        wait_until(lambda: answer("/api/status")[0] == 200, "the new Redis is used")
        assert registered() == count > 0


class Questions:
    """Asks for the API's health without a pause, until it is left."""

    def __enter__(self):
        self.statuses, self._ends = [], threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def _ask(self):
        while not self._ends.is_set():
            self.statuses.append(answer("/api/health")[0])

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()


def test_the_workers_take_new_settings_but_no_bad_ones(machine):
    with web_server("lighttpd"), Questions() as questions:
        before = processes(WORKERS, "mostro-push-fcgi")
        run("systemctl", "reload", WORKERS)

        def are_new():
            now = processes(WORKERS, "mostro-push-fcgi")
            return len(now) == len(before) and not set(before) & set(now)
        wait_until(are_new, "new workers")
        kept = processes(WORKERS, "mostro-push-fcgi")
        with settings(NOTIFY_RATE_PER_IP_PER_MIN="0"):
            run("systemctl", "reload", WORKERS)
            wait_until(lambda: "NOTIFY_RATE_PER_IP_PER_MIN" in run("journalctl", "--unit", WORKERS),
                       "the journal says what is wrong")
        assert processes(WORKERS, "mostro-push-fcgi") == kept
    assert set(questions.statuses) == {200}


def test_an_upgrade_restarts_the_programs_alone(machine):
    """The same package once more: no request is lost, and neither settings nor registrations."""
    written = ENV.read_text()
    units = [WORKERS, LISTENER, machine.store, SOCKET]
    with web_server("lighttpd"), Questions() as questions:
        count = registered()
        before = [show(unit, "InvocationID") for unit in units]
        run("dpkg", "--install", PACKAGE)
        after = [show(unit, "InvocationID") for unit in units]
        asked = len(questions.statuses)
        wait_until(lambda: len(questions.statuses) > asked, "an answer by new workers")
        assert registered() == count > 0
    assert set(questions.statuses) == {200}
    assert [old == new for old, new in zip(before, after)] == [False, False, True, True]
    assert ENV.read_text() == written


def test_purged_it_leaves_nothing_but_keys():
    """And its user, locked, as Debian's packages do."""
    files = [pathlib.Path(line) for line in run("dpkg", "--listfiles", "mostro-push").splitlines()]
    run("dpkg", "--purge", "mostro-push")
    left = [path for path in files if os.path.lexists(path)
            and subprocess.run(["dpkg", "--search", path], capture_output=True).returncode != 0
            and path != pathlib.Path("/")]
    assert left == []
    places = ["/etc", "/var", "/usr", "/run"]
    named = run("find", *places, "-name", "*mostro*").split()
    owned = run("find", *places, "-user", "mostro-push").split()
    assert (sorted(named), owned) == ([str(ETC)], [])
    assert [path for path in ETC.rglob("*") if path.is_file()] == [KEY]
    assert pwd.getpwnam("mostro-push").pw_shell.endswith("/nologin")
