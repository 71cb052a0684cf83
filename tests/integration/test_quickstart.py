"""contrib/quickstart as a newcomer runs it: the demonstration, restarts, stopping, clear errors."""
import contextlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import ssl
import stat
import subprocess
import tempfile
import threading
import time

import pytest
import redis

import nostr
from loopback import HOST, Port
from phone import Phone
from stack import BUILD_DIR, FCGI, LISTENER, PASSED_ON, TOP, wait_until

PATIENCE = 60
BACK = 2  # seconds: the one that is promised, and another for a machine that is busy
READY = r"^mostro-push: ready on http://127\.0\.0\.1:(\d+)$"
WOKEN_BY_RELAY = r"^demo: .*gift wrap.* woken after (\d+\.\d) ms$"
WOKEN_BY_NOTIFY = r"^demo: POST /api/notify: .* woken after (\d+\.\d) ms$"


def processes():
    """pid -> (parent, start time, command line) of every process that is not a zombie."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if fields[0] != "Z":
            found[int(entry.name)] = (int(fields[1]), fields[19], command)
    return found


def below(pid):
    """What a process has started, directly or not: pid -> (parent, start time, command line)."""
    everything = processes()
    family = {pid}
    grown = True
    while grown:
        grown = False
        for child, (parent, _, _) in everything.items():
            if parent in family and child not in family:
                family.add(child)
                grown = True
    return {child: everything[child] for child in family - {pid}}


class QuickStart:
    """One contrib/quickstart and what it prints."""

    def __init__(self, directory, *options, build=BUILD_DIR, path=None, env_file="", **settings):
        self.run_dir = directory / "run"
        directory.mkdir(exist_ok=True)
        (directory / ".env").write_text(env_file)
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        if path:
            environment["PATH"] = f"{path}:{environment['PATH']}"
        if build:
            options += ("--build-dir", str(build))
        self.process = subprocess.Popen(
            [TOP / "contrib/quickstart", "--skip-install", "--run-dir", "run", *options],
            cwd=directory, env={**environment, **settings}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.lines = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def output(self):
        return "\n".join(self.lines)

    def wait_for(self, pattern, timeout=PATIENCE):
        """The match of the first line that fits."""
        def found():
            return re.search(pattern, self.output, re.MULTILINE)
        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended, timeout)
            assert found(), f"never printed: {pattern}\n{self.output}"
            return found()

    def get(self, path):
        port = int(self.wait_for(READY)[1])
        connection = http.client.HTTPConnection(HOST, port, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def post(self, path, body):
        connection = http.client.HTTPConnection(HOST, int(self.wait_for(READY)[1]), timeout=10)
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        return connection.getresponse().status

    def started(self, program):
        """The process ids of a program that this quick start runs."""
        return {pid for pid, (parent, _, command) in below(self.process.pid).items()
                if command.split()[:1] == [str(program)]
                or f"/{program} " in command and parent == self.process.pid}

    def stop(self, number=signal.SIGTERM):
        """Exit status; fails if anything it started is left."""
        family = below(self.process.pid)
        self.process.send_signal(number)
        # Well below the 12 s after which it would kill what does not heed SIGTERM.
        return self.ended(family, timeout=8)

    def ended(self, family=None, timeout=PATIENCE):
        status = self.process.wait(timeout)
        self._reader.join(PATIENCE)

        def left():
            return {pid: process for pid, process in processes().items()
                    if str(self.run_dir) in process[2]
                    or pid in (family or {}) and family[pid][1] == process[1]}
        # Only the pipe of lighttpd's log may take a moment to see that its writer has gone.
        wait_until(lambda: not left(), 5, "every process to be gone")
        return status

    def kill(self):
        """For a test that has failed."""
        family = below(self.process.pid)
        for pid in (self.process.pid, *family):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()


@pytest.fixture
def place():
    """A directory with a path short enough for Unix sockets."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="mostro-push-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def quickstart(place):
    """quickstart(name, ...) -> a QuickStart in a directory of its own on a port of its own."""
    made = []
    ports = []

    def make(*options, name="one", **settings):
        if "SERVER_PORT" not in settings and "env_file" not in settings:
            ports.append(Port())
            settings["SERVER_PORT"] = str(ports[-1].number)
        made.append(QuickStart(place / name, *options, **settings))
        return made[-1]

    yield make
    for one in made:
        one.kill()
    for port in ports:
        port.close()


def test_it_shows_both_wakes_and_their_latency(quickstart):
    one = quickstart()
    one.wait_for(READY)
    assert one.get("/api/health") == (200, '{"status":"ok"}')
    assert 0 < float(one.wait_for(WOKEN_BY_RELAY)[1]) < 10_000
    assert 0 < float(one.wait_for(WOKEN_BY_NOTIFY)[1]) < 10_000
    assert stat.S_IMODE(one.run_dir.stat().st_mode) == 0o700
    assert {"redis.log", "workers.log", "lighttpd.log", "listener.log"} <= {
        log.name for log in (one.run_dir / "log").iterdir()}
    assert not list(one.run_dir.glob("**/dump.rdb"))
    # The one file that endpoints are in is with the rest, and not where a user's would be.
    wait_until((one.run_dir / "demo.endpoints.json").exists, PATIENCE)
    assert {path.name for path in one.run_dir.parent.iterdir()} == {"run", ".env"}
    assert one.get("/elsewhere")[0] == 404
    check_what_readme_shows(one)
    assert one.stop() == 0


def check_what_readme_shows(one):
    """Its lines, numbers aside, and what it has one ask."""
    readme = (TOP / "README").read_text()
    shown = re.findall(r"(?m)^    ((?:mostro-push|demo): .*(?:\n        .*)*)", readme)
    for line in (" ".join(line.split()) for line in shown):
        pattern = re.sub(r"\\?[\d.]*\d", r"[\\d.]+", re.escape(line))
        assert re.search(f"(?m)^{pattern}$", one.output), line
    top = f"{TOP}/contrib/top/mostro-push-top --once"  # no terminal is here
    asked = [command.replace("contrib/top/mostro-push-top", top)
             for command in re.findall(r"(?m)^    (.* run/operator\.sock.*)", readme)]
    wait_until(lambda: one.get("/api/ready")[0] == 200, PATIENCE, "the next heartbeat")
    answers = [subprocess.run(["sh", "-c", command], cwd=one.run_dir.parent, check=True,
                              capture_output=True, text=True).stdout for command in asked]
    assert len(shown) == 4 and len(answers) == 2
    assert answers[0] == '{"status":"ready"}' and "\nREADY\n" in answers[1]


def wake_by_notify(one, phone, pubkey):
    assert one.post("/api/notify", f'{{"trade_pubkey":"{pubkey}"}}') == 202
    assert phone.next_push(PATIENCE).json["type"] == "silent_wake"


def test_a_worker_and_the_listener_are_back_within_a_second(quickstart):
    one = quickstart(LISTENER_NAME="listener-q", FCGI_WORKERS="3")
    one.wait_for(WOKEN_BY_NOTIFY)
    store = redis.Redis(unix_socket_path=str(one.run_dir / "redis.sock"), decode_responses=True)
    pubkey = nostr.new_pubkey()
    with Phone() as phone:
        assert one.post("/api/register", f'{{"trade_pubkey":"{pubkey}",'
                        f'"token":"{phone.endpoint()}","platform":"android"}}') == 200

        worker = BUILD_DIR / "mostro-push-fcgi"
        before = one.started(worker)
        assert len(before) == 3
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(one.started(worker) - {killed}) == 3, BACK, "another worker")
        wake_by_notify(one, phone, pubkey)

        instance = store.hget("mostro:listener:listener-q", "instance")
        listener, = one.started(BUILD_DIR / "mostro-push-listener")
        os.kill(listener, signal.SIGKILL)
        wait_until(lambda: one.started(BUILD_DIR / "mostro-push-listener") - {listener}, BACK,
                   "another listener")
        wait_until(lambda: store.hget("mostro:listener:listener-q", "instance")
                   not in (None, instance), PATIENCE, "its heartbeat")
        wake_by_notify(one, phone, pubkey)

        log = one.run_dir / "log/listener.log"
        wait_until(lambda: log.read_text().count("subscribed to kind 1059") == 2, PATIENCE)
        relay = (one.run_dir / "demo.relay").read_text().strip()
        assert nostr.publish(relay, nostr.gift_wrap(pubkey))[2]
        assert phone.next_push(PATIENCE)
    assert one.stop() == 0


def test_everything_else_that_dies_is_back_too(quickstart):
    one = quickstart()
    one.wait_for(WOKEN_BY_NOTIFY)
    for program in ("lighttpd", "redis-server", "contrib/workers"):
        dying, = one.started(program)
        its_own = below(dying)
        os.kill(dying, signal.SIGKILL)
        wait_until(lambda: not {dying, *its_own} & processes().keys(), PATIENCE,
                   f"{program} and all below it to be gone")

        def answers():
            try:
                body = f'{{"trade_pubkey":"{nostr.new_pubkey()}"}}'
                return one.get("/api/health")[0] == 200 and one.post("/api/notify", body) == 202
            except (OSError, http.client.HTTPException):
                return False
        wait_until(answers, PATIENCE, f"an answer after {program} was killed")
    assert one.stop() == 0


def test_its_redis_is_replaced_by_a_new_one(quickstart):
    """As OPERATING has it upgraded: what was registered stays, and this quick start looks after the new
    one as it did after the old one."""
    one = quickstart()
    one.wait_for(WOKEN_BY_NOTIFY)
    store = redis.Redis(unix_socket_path=str(one.run_dir / "redis.sock"))
    pubkey = nostr.new_pubkey()
    with Phone() as phone:
        assert one.post("/api/register", f'{{"trade_pubkey":"{pubkey}",'
                        f'"token":"{phone.endpoint()}","platform":"android"}}') == 200
        old = store.info("server")["process_id"]
        handed_over = subprocess.run([TOP / "contrib/redis-handover", "run/redis.conf"],
                                     cwd=one.run_dir.parent, capture_output=True, text=True)
        assert handed_over.returncode == 0, handed_over
        new = store.info("server")["process_id"]
        assert new != old and old not in processes() and new in below(one.process.pid)
        wait_until(lambda: one.post("/api/notify", f'{{"trade_pubkey":"{pubkey}"}}') == 202, 5)
        assert phone.next_push(PATIENCE).json["type"] == "silent_wake"
    assert "has died" not in one.output
    assert one.stop() == 0


def test_two_run_side_by_side(quickstart):
    one = quickstart(name="one")
    two = quickstart(name="two")
    one.wait_for(WOKEN_BY_NOTIFY)
    two.wait_for(WOKEN_BY_NOTIFY)
    assert one.stop(signal.SIGINT) == 0
    assert two.get("/api/health")[0] == 200
    assert two.stop() == 0


@pytest.mark.parametrize("seen", ["lock", "redis.sock", "demo.relay", "fcgi.sock"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_in_the_middle_of_its_start(quickstart, seen, number):
    one = quickstart()
    wait_until((one.run_dir / seen).exists, PATIENCE)
    assert one.stop(number) == 0


def test_nothing_survives_it_even_if_it_is_killed(quickstart):
    one = quickstart()
    one.wait_for(WOKEN_BY_NOTIFY)
    family = below(one.process.pid)
    one.process.kill()
    one.process.wait()
    wait_until(lambda: not family.keys() & processes().keys(), PATIENCE)


def fake_autoreconf(directory, script):
    directory.mkdir()
    (directory / "autoreconf").write_text(f"#!/bin/sh\n{script}\n")
    (directory / "autoreconf").chmod(0o755)
    return directory


def test_a_build_that_fails_is_said_clearly(quickstart, place):
    path = fake_autoreconf(place / "bin", "echo 'no autoconf today' >&2; exit 1")
    one = quickstart(build=None, path=path)
    assert one.ended() == 1
    assert "no autoconf today" in one.output
    assert "build has failed" in one.lines[-1]


def test_it_stops_in_the_middle_of_the_build(quickstart, place):
    path = fake_autoreconf(place / "bin", f"touch {place}/building; sleep 1000")
    one = quickstart(build=None, path=path)
    wait_until((place / "building").exists, PATIENCE)
    assert one.stop() == 0


def test_a_wake_that_does_not_arrive_is_an_error(quickstart, place):
    """The API registers the phone, but to a listener of other settings its host is none to push
    to."""
    build = place / "build"
    build.mkdir()
    (build / FCGI.name).symlink_to(FCGI)
    listener = build / LISTENER.name
    listener.write_text("#!/bin/sh\n"
                        f"UNIFIEDPUSH_ALLOWED_HOSTS_REGEX='^elsewhere$' exec {LISTENER} \"$@\"\n")
    listener.chmod(0o755)
    one = quickstart(build=build)
    assert one.ended() == 1
    assert re.search("^demo: the gift wrap did not wake the phone within 10 s", one.output, re.M)


def test_a_port_that_is_taken_is_named(quickstart):
    with Phone() as other:
        one = quickstart(SERVER_PORT=str(other.port))
        assert one.ended() == 1
    assert one.lines[-1].startswith(f"mostro-push: 127.0.0.1:{other.port} is taken")


@pytest.mark.parametrize("name, value", [
    ("SERVER_PORT", "http"), ("SERVER_PORT", "0"), ("SERVER_PORT", "65536"),
    ("FCGI_WORKERS", "0"), ("FCGI_WORKERS", "1025"), ("SERVER_HOST", "two words"),
    ("NOSTR_RELAYS", "http://not-a-relay"), ("TOKEN_TTL_HOURS", "soon"),
])
def test_a_bad_setting_is_named(quickstart, name, value):
    one = quickstart(**{name: value})
    assert one.ended() == 1
    assert name in one.output and value in one.output


def test_settings_come_from_the_file_and_the_environment_wins(quickstart):
    with contextlib.closing(Port()) as port:
        env_file = (f"# a comment\nexport SERVER_PORT= '{port.number}' # ours\nFCGI_WORKERS=2 # two\n"
                    'NOSTR_RELAYS="ws://127.0.0.1:1"\n')
        one = quickstart(env_file=env_file, FCGI_WORKERS="1", SERVER_HOST="")
        assert int(one.wait_for(READY)[1]) == port.number
        assert len(one.started(BUILD_DIR / "mostro-push-fcgi")) == 1
        wait_until((one.run_dir / "data/endpoints.json").exists, PATIENCE)
        assert {path.name for path in one.run_dir.parent.iterdir()} == {"run", ".env"}
        assert one.stop() == 0
    assert "demo" not in one.output


def test_a_directory_in_use_or_of_someone_else_is_refused(quickstart, place):
    one = quickstart()
    wait_until((one.run_dir / "redis.sock").exists, PATIENCE)
    again = quickstart()
    assert again.process.wait(PATIENCE) == 1
    again.wait_for("in use by another quick start")
    assert one.stop() == 0

    occupied = place / "two" / "run"
    occupied.mkdir(parents=True)
    (occupied / "precious").touch()
    assert quickstart(name="two").ended() == 1
    assert stat.S_IMODE(occupied.stat().st_mode) != 0o700

    (occupied / "precious").unlink()
    empty = quickstart(name="two")
    wait_until((occupied / "redis.sock").exists, PATIENCE)
    assert stat.S_IMODE(occupied.stat().st_mode) == 0o700
    assert empty.stop() == 0


def test_workers_that_die_at_once_are_held_back(place):
    program = place / "dies"
    program.write_text(f"#!/bin/sh\necho >>{place}/starts\nexit 1\n")
    program.chmod(0o755)
    begun = time.monotonic()
    keeper = subprocess.Popen(["spawn-fcgi", "-n", "-s", place / "sock", "-b", "1024", "--",
                               TOP / "contrib/workers", "2", program], stderr=subprocess.DEVNULL)
    try:
        starts = place / "starts"
        wait_until(lambda: starts.exists() and len(starts.read_text()) >= 6, PATIENCE)
        assert time.monotonic() - begun > 0.5
    finally:
        keeper.terminate()
    assert keeper.wait(PATIENCE) == 0


@pytest.mark.parametrize("served", [False, True])
def test_workers_whose_settings_are_bad_are_given_up(place, served):
    """Whether they are from the start or have become so, but not while one still serves."""
    starts, good = place / "starts", place / "good"
    program = place / "program"
    program.write_text(f"#!/bin/sh\necho $$ >>{starts}\ntest -e {good} || exit 2\n"
                       "exec sleep 600\n")
    program.chmod(0o755)
    if served:
        good.touch()
    keeper = subprocess.Popen(["spawn-fcgi", "-n", "-s", place / "sock", "-b", "1024", "--",
                               TOP / "contrib/workers", "2", program], stderr=subprocess.PIPE,
                              text=True)

    def pids():
        return [int(pid) for pid in starts.read_text().split()] if starts.exists() else []
    try:
        if served:
            wait_until(lambda: len(pids()) == 2)
            time.sleep(2.5)  # until they are no longer new
            good.unlink()
            first, second = pids()
            os.kill(first, signal.SIGTERM)
            wait_until(lambda: len(pids()) >= 4, what="it is tried again")
            assert keeper.poll() is None
            os.kill(second, signal.SIGTERM)
        told = keeper.communicate(timeout=PATIENCE)[1]
        assert keeper.returncode == 2
    finally:
        keeper.kill()
    assert told.count("ends with status 2") == 1
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids())


def test_the_example_serves_https_once_its_lines_are_in_use(place):
    """As its comment tells an operator: the # taken off, the files named."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", place / "key.pem",
                    "-out", place / "certificate.pem", "-days", "2", "-subj", "/CN=localhost"],
                   check=True, capture_output=True)
    with contextlib.closing(Port()) as port:
        text = (TOP / "lighttpd.conf.example").read_text()
        for pattern, replacement in (
                (r"^var\.port .*", f"var.port = {port.number}"),
                (r"^var\.socket .*", f'var.socket = "{place}/none.sock"'),
                (r"^var\.errors .*", f'var.errors = "{place}/errors.log"'),
                (r"^var\.operator .*", f'var.operator = "{place}/operator.sock"'),
                (r"^server\.(user|group)name .*\n", ""),
                (r'^#(server\.modules \+= \( "mod_openssl" \))', r"\1"),
                (r"^#(ssl\.engine .*)", r"\1"),
                (r"^#ssl\.pemfile .*", f'ssl.pemfile = "{place}/certificate.pem"'),
                (r"^#ssl\.privkey .*", f'ssl.privkey = "{place}/key.pem"')):
            text, replaced = re.subn(pattern, replacement, text, flags=re.MULTILINE)
            assert replaced, pattern
        (place / "lighttpd.conf").write_text(text)
        environment = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"}
        server = subprocess.Popen(["lighttpd", "-D", "-f", place / "lighttpd.conf"],
                                  env=environment, start_new_session=True)
        try:
            trust = ssl.create_default_context(cafile=str(place / "certificate.pem"))
            trust.check_hostname = False

            def status():
                assert server.poll() is None, "lighttpd does not start"
                try:
                    client = http.client.HTTPSConnection(HOST, port.number, context=trust,
                                                         timeout=10)
                    client.request("GET", "/elsewhere")
                    return client.getresponse().status
                except ConnectionRefusedError:
                    return None
            assert wait_until(status) == 404

            # A handshake that fails is logged by lighttpd with the client's address.
            subprocess.run(["openssl", "s_client", "-connect", f"{HOST}:{port.number}", "-tls1_1",
                            "-cipher", "ALL:@SECLEVEL=0"],
                           stdin=subprocess.DEVNULL, capture_output=True, check=False)
            log = place / "errors.log"
            wait_until(lambda: "unsupported protocol" in log.read_text())
            assert HOST not in log.read_text() and "[...]" in log.read_text()
        finally:
            server.terminate()
            server.wait(10)
