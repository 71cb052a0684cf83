"""stack: one private Mostro Push: a Redis, a web server, workers and a listener, all real, all in
one directory, each with a log there, nothing shared with another stack that runs beside it."""
import dataclasses
import http.client
import itertools
import json
import os
import pathlib
import random
import re
import signal
import socket
import ssl
import subprocess
import time

import redis

from loopback import HOST, Port
from other_web_servers import OTHER_WEB_SERVERS
from web_servers import RUNS_AS, TOP, WEB_SERVERS, Site

BUILD_DIR = pathlib.Path(os.environ.get("BUILD_DIR", TOP)).resolve()
FCGI = BUILD_DIR / "mostro-push-fcgi"
LISTENER = BUILD_DIR / "mostro-push-listener"

# Or valkey-server, say.
REDIS_SERVER = os.environ.get("REDIS_SERVER", "redis-server")

# From the caller's environment, so that sanitizers and unusual places of libraries work.
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")
# Limits so slow that a bucket does not refill during a test: one request a minute.
SLOW = {
    "NOTIFY_RATE_PER_PUBKEY_PER_MIN": "1",
    "NOTIFY_RATE_PER_IP_PER_MIN": "1",
    "REGISTER_RATE_PER_IP_PER_MIN": "1",
}
SANITIZER_REPORT = re.compile(r"(ERROR: \w+Sanitizer|runtime error): .*")


def wait_until(condition, timeout=10, what=None):
    """Asks until condition() is true and returns what it returned; for what nothing signals. It is
    asked once after the time is up, too: this process may have stood still for all of it."""
    deadline = time.monotonic() + timeout
    while True:
        is_last = time.monotonic() > deadline
        value = condition()
        if value:
            return value
        if is_last:
            raise TimeoutError(f"in vain for {timeout} s: {what or condition}")
        time.sleep(0.01)


def wait_for_append_only_file(client):
    """Until a Redis that begins to append has written its first file: before, it does not end when
    it is told to, and a child holds on to its connections."""
    wait_until(lambda: not any(client.info("persistence")[f"aof_rewrite_{state}"]
                               for state in ("in_progress", "scheduled")))


def port_of_all_addresses():
    """A port below those that connections are given, for one of them in use anywhere would be in
    the way of a socket on every address."""
    while True:
        number = random.randrange(10_000, 30_000)
        with socket.socket(socket.AF_INET6) as probe:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            try:
                probe.bind(("::", number))
                return number
            except OSError:
                pass


def preloaded(name, directory):
    """The settings that preload the library of tests/integration/<name>.c, built in `directory`."""
    library = directory / f"{name}.so"
    source = pathlib.Path(__file__).with_name(f"{name}.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", library, source], check=True)
    # AddressSanitizer wants to be the first library there is, unless told not to.
    options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {"LD_PRELOAD": str(library), "ASAN_OPTIONS": options}


def registering(pubkey, ms, token="token-1", platform="android", device_id="", most=1_000_000):
    """A call of the function with which a worker registers phones, for redis.fcall(): one phone,
    for so long, without limits. It answers ["ok", 0]."""
    return ["mostro3_registers", 1, "mostro:", 1, 1, ms, most, 1, 1,
            "", pubkey, platform, token, "", "", device_id, "", "", ""]


class Program:
    """A process (and its children) in a session of its own, with its output in one log. `stdin` is
    what it reads, or an open file or socket to be its descriptor 0."""

    def __init__(self, name, arguments, directory, settings=None, stdin=""):
        self.name = name
        self._killed = False
        self.log = directory / f"{name}.log"
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        # Debian keeps web servers out of a user's PATH.
        environment["PATH"] += ":/usr/sbin:/sbin"
        environment.update(settings or {})
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [str(one) for one in arguments], cwd=directory, env=environment,
                stdin=subprocess.PIPE if isinstance(stdin, str) else stdin, stdout=log, stderr=log,
                start_new_session=True)
        if isinstance(stdin, str):
            with self._process.stdin as pipe:
                pipe.write(stdin.encode())

    @property
    def pid(self):
        return self._process.pid

    def is_alive(self):
        return self._process.poll() is None

    def send_signal(self, number):
        """To the process and all its children. What is stopped stands still when this returns,
        which is not so yet when the kernel has taken the signal."""
        if self._killed:
            return
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return
        if number == signal.SIGSTOP:
            wait_until(lambda: all(state in "TZX" for state in self._states()),
                       what=f"{self.name} stands still")

    def _states(self):
        """Of all threads, as proc_pid_stat(5) tells them."""
        for pid in (self.pid, *self.children()):
            for stat in pathlib.Path(f"/proc/{pid}/task").glob("*/stat"):
                try:
                    yield stat.read_text().rpartition(")")[2].split()[0]
                except (FileNotFoundError, ProcessLookupError):
                    pass  # it has ended

    def wait(self, timeout=20):
        return self._process.wait(timeout)

    def stop(self, number=signal.SIGTERM, timeout=20):
        """Signals the process alone and returns its exit status; what does not obey, or is left
        behind, is killed."""
        self._process.send_signal(number)
        try:
            status = self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"{self.name} does not end on {signal.Signals(number).name}")
        self.kill()
        return status

    def kill(self):
        """And its children; once only, for the number may be another's afterwards."""
        if not self._killed:
            self.send_signal(signal.SIGKILL)
            self._process.wait()
            self._killed = True

    def children(self):
        """The process ids below this one, that is, of its session."""
        found = subprocess.run(["pgrep", "-P", str(self._process.pid)], capture_output=True,
                               text=True).stdout
        return [int(pid) for pid in found.split()]

    def files_written(self):
        """The files that it and its children have open for writing, be they deleted already; but
        for root not those of processes that nobody may look into (prctl PR_SET_DUMPABLE)."""
        found = []
        for pid in [self._process.pid, *self.children()]:
            try:
                descriptors = os.listdir(f"/proc/{pid}/fd")
            except OSError:
                continue
            for fd in descriptors:
                try:
                    info = pathlib.Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
                    target = pathlib.Path(f"/proc/{pid}/fd/{fd}")
                    if target.is_file() and int(info.split()[3], 8) & os.O_ACCMODE:
                        found.append(os.readlink(target))
                except OSError:
                    continue  # just closed
        return found

    def output(self):
        return self.log.read_text(errors="replace")


@dataclasses.dataclass
class Answer:
    status: int
    headers: list
    body: str

    def header(self, name):
        """The header's one value, None without; two are an error of the server's."""
        values = [value for each, value in self.headers if each.lower() == name.lower()]
        assert len(values) <= 1, f"{name} comes more than once: {self.headers}"
        return values[0] if values else None


def _listens(path):
    """Whether there is a Unix socket that takes connections: it is a file before (proc(5))."""
    return any(line.endswith(f" {path}\n") and line.split()[3] == "00010000"
               for line in open("/proc/net/unix", encoding="utf-8"))


class Stack:
    """Starts nothing by itself; close() stops all that was started."""

    def __init__(self, directory, web_server="lighttpd", **settings):
        self.directory = pathlib.Path(directory)
        self.socket = self.directory / "redis.sock"
        self.programs = []
        self._clients = itertools.count(1)
        self._port = Port()
        self._fcgi_port = None  # where the workers listen, if on a port
        self.http_port = self._port.number
        self.operator_socket = self.directory / "operator.sock"
        self.host = HOST
        self._tls = None
        self.web_server = web_server
        # The web server is `web`, and also `lighttpd` where it is that one.
        self.redis_server = self.web = self.lighttpd = self.workers = self.listener = None
        self.redis = redis.Redis(unix_socket_path=str(self.socket), decode_responses=True,
                                 socket_timeout=5)
        self.settings = {
            "REDIS_URL": f"unix://{self.socket}",
            "LOG_LEVEL": "debug",
            "FCM_ENABLED": "false",
            "LISTENER_NAME": "listener-1",
            # Phones are woken where it was kept and Redis has lost its data.
            "UNIFIEDPUSH_ENDPOINTS_FILE": "off",
            **settings,
        }

    # ---- Programs

    def start_program(self, name, arguments, stdin="", **settings):
        """Any program, with the settings of this stack; close() stops it."""
        program = Program(name, arguments, self.directory, {**self.settings, **settings}, stdin)
        self.programs.append(program)
        return program

    def start_redis(self, *options, example=TOP / "contrib/redis.conf.example"):
        """As operators are told to run it; `options` in the end win. Empty after every start."""
        # No option for this: Redis enters the example's folder, not everybody's, as it reads it.
        text = re.sub(r"(?m)^dir .*", f"dir {self.directory}", example.read_text())
        arguments = [REDIS_SERVER, "-", "--unixsocket", self.socket, *options]
        self.redis_server = Program("redis", arguments, self.directory, self.settings, text)
        self.programs.append(self.redis_server)

        def answers():
            assert self.redis_server.is_alive(), self.redis_server.output()
            try:
                return self.redis.ping()
            except (redis.ConnectionError, redis.TimeoutError):
                return False
        wait_until(answers, what="Redis answers")

    def start_workers(self, workers=2, program=FCGI, tcp=False, **settings):
        """So many responders, on the socket that the web server knows: a Unix socket, or a port."""
        address = self.directory / "fcgi.sock"
        if tcp:
            self._fcgi_port = Port()
            where = ["-a", HOST, "-p", self._fcgi_port.number]
        else:
            where = ["-s", address, "-M", "0600"]
        user = RUNS_AS.get(self.web_server)
        if user and os.geteuid() == 0:
            self.directory.chmod(0o711)
            where += [] if tcp else ["-U", user]
        self.workers = self.start_program(
            "workers", ["spawn-fcgi", "-n", *where, "-b", "1024", "--",
                        TOP / "contrib/workers", workers, program], **settings)
        if not tcp:
            wait_until(lambda: _listens(address), what="spawn-fcgi listens")

    def start_web(self, host=HOST, authority=None, proxy=None, edit=None, under=()):
        """The web server, as operators are told to run it: with HTTPS where an authority is to
        certify it, behind a trusted proxy where its address is given (see web_servers), under a
        command that runs it."""
        https = authority.issue("web-server") if authority else None
        if host == "[::]":
            self.http_port = port_of_all_addresses()
        self.host = host.strip("[]")
        self._tls = ssl.create_default_context(cafile=authority.certificate) if authority else None
        tcp = f"{HOST}:{self._fcgi_port.number}" if self._fcgi_port else None
        site = Site(self.directory, host, self.http_port, self.operator_socket, https, proxy, edit,
                    tcp)
        configure = {**WEB_SERVERS, **OTHER_WEB_SERVERS}[self.web_server]
        self.web = self.start_program(self.web_server, [*under, *configure(site)])
        self.lighttpd = self.web if self.web_server == "lighttpd" else None

    def start_api(self, workers=2, web=None, tcp=False, **settings):
        """So many workers and the web server, with start_web()'s arguments in `web`; returns when
        the API and all workers are there."""
        self.start_workers(workers, tcp=tcp, **settings)
        self.start_web(**(web or {}))
        self.wait_for_api()
        wait_until(lambda: len(self.workers.children()) == workers, what="all workers are there")

    def wait_for_api(self):
        def healthy():
            assert self.web.is_alive(), self.logs()
            assert self.workers.is_alive(), self.logs()
            try:
                return self.get("/api/health").status == 200
            except OSError:
                return False
        wait_until(healthy, what="the API answers")

    def spawn_listener(self, relays, **settings):
        """Starts it and does not wait."""
        urls = ",".join(relay if isinstance(relay, str) else relay.url for relay in relays)
        self.listener = self.start_program(
            "listener", [LISTENER], **{"NOSTR_RELAYS": urls, **settings})
        return self.listener

    def start_listener(self, *relays, kinds=2, **settings):
        """Returns when it is subscribed on every relay, with `kinds` REQs each."""
        before = [len(relay.reqs()) for relay in relays]
        self.spawn_listener(relays, **settings)
        for relay, n in zip(relays, before):
            relay.wait_for_req(n + kinds)
        self.wait_for_heartbeat(settings.get("LISTENER_NAME"))

    def wait_for_heartbeat(self, name=None):
        name = name or self.settings["LISTENER_NAME"]
        wait_until(lambda: self.redis.exists(f"mostro:listener:{name}"), what="a heartbeat")

    def close(self):
        """Stops everything; the listener first, so that it stops as it does in earnest."""
        disobedient = []
        for program in reversed(self.programs):
            program.send_signal(signal.SIGCONT)
            try:
                program.stop(timeout=15)
            except TimeoutError as error:
                disobedient.append(str(error))
        self.redis.close()
        self._port.close()
        if self._fcgi_port:
            self._fcgi_port.close()
        assert not disobedient, disobedient

    def kill(self):
        """Whatever is still there."""
        for program in self.programs:
            program.kill()

    def check_sanitizers(self):
        """What AddressSanitizer and its like have written is an error wherever it happened."""
        found = SANITIZER_REPORT.findall(self.logs())
        assert not found, self.logs()

    def logs(self):
        """Every log, for a person to read."""
        parts = []
        for log in sorted(self.directory.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            parts.append("\n".join([f"==== {log.name}", *lines[-200:]]))
        return "\n".join(parts)

    # ---- Requests

    def new_client(self):
        """A client address of its own for every caller, so that no limit is shared by accident."""
        n = next(self._clients)
        return f"127.{1 + n // 62500}.{n // 250 % 250}.{1 + n % 250}"

    def connect(self, client=None, operator=False, timeout=5):
        """A connection from `client` (default: from a new one), with TLS where that is on; or to
        the operator's socket, where it never is."""
        if operator:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(timeout)
            connection.connect(str(self.operator_socket))
            return connection
        source = client or (self.new_client() if ":" not in self.host else "")
        connection = socket.create_connection((self.host, self.http_port), timeout,
                                              (source, 0) if source else None)
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_hostname=HOST)
        return connection

    def request(self, method, path, body=None, headers=None, client=None, timeout=5,
                operator=False):
        """One request on a connection of its own; see connect()."""
        connection = http.client.HTTPConnection(self.host, self.http_port)
        connection.sock = self.connect(client, operator, timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read().decode())
        finally:
            connection.close()

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body, headers=None, **options):
        """`body` is sent as it is when it is text or bytes, else as JSON."""
        if not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        headers = {"Content-Type": "application/json"} if headers is None else headers
        return self.request("POST", path, body, headers, **options)

    def register(self, pubkey, token, platform="android", **fields):
        """Registers and asserts that it worked."""
        answer = self.post("/api/register", {"trade_pubkey": pubkey, "token": token,
                                             "platform": platform, **fields})
        assert answer.status == 200, answer
        return answer

    def notify(self, pubkey, **options):
        return self.post("/api/notify", {"trade_pubkey": pubkey}, **options)

    # ---- What is in Redis

    def wakes_added(self):
        """How many wakes have ever been queued since Redis started."""
        try:
            return self.redis.xinfo_stream("mostro:wakes")["entries-added"]
        except redis.ResponseError:
            return 0

    def wakes_waiting(self):
        """How many wakes wait for their push, in any listener's set."""
        return sum(self.redis.zcard(each) for each in self.redis.scan_iter("mostro:waiting:*"))

    def wakes_queued(self):
        """How many wakes are not done with."""
        return self.redis.xlen("mostro:wakes") + self.wakes_waiting()

    def wait_until_idle(self, timeout=15):
        """Waits until every wake queued so far is done with. What leaves the inbox is in a set at
        once, so it is looked at first."""
        wait_until(lambda: self.wakes_queued() == 0, timeout, "no wake is waiting")

    def is_registered(self, pubkey):
        return bool(self.redis.exists(f"mostro:token:{pubkey}"))

    def endpoint_of(self, pubkey):
        """The URL that a registration refers to."""
        device_id = self.redis.hget(f"mostro:token:{pubkey}", "device_id")
        return self.redis.hget("mostro:endpoints", device_id).split()[1]

    def stat(self, name):
        """A counter; the programs add theirs once a second."""
        return int(self.redis.hget("mostro:stats", name) or 0)
