"""world: the whole server with real parts, and the stand-ins that it meets, each a process that can
be stopped or killed: two relays that store events in a file, three distributors, Google."""
import collections
import json
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
STANDINS = HERE.parent / "standins"
sys.path[:0] = [str(HERE.parent / "integration"), str(STANDINS)]

from google import Google  # noqa: E402
from loopback import Port  # noqa: E402
from sentinels import ReplicatedRedis  # noqa: E402
from stack import FCGI, Stack, wait_until  # noqa: E402

PYTHON = "/usr/bin/python3"
WORKERS = 2
RELAYS = ("relay-1", "relay-2")
DISTRIBUTORS = ("distributor-1", "distributor-2", "distributor-3")
FCM = "fcm"
PROVIDERS = (*DISTRIBUTORS, FCM)
REDIS, WEB, WORKER, LISTENER = "redis", "web", "worker", "listener"
MEMORY = "memory"  # of Redis

# Endpoints and tokens have it in them, so that a log that shows one is found by it. What begins
# with the other is a stranger's, of which the ledger does not know.
SECRET = "sEcReTfAuLtS"
STRANGER = "/stranger"
# So small that a tenth of an attack at default limits is more than half of it.
START_SECONDS = 60  # by when a program of ours has begun, on a machine that does much else
WAKES_MAX = 2000


def now():
    return time.monotonic()


def _name_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None  # it has ended


class Provider:
    """A provider.py in a process of its own; tells the ledger of each push."""

    def __init__(self, scope, arguments, directory, ledger):
        self.scope = scope
        self._ledger = ledger
        self._said = collections.deque()
        self._news = threading.Condition()
        self._log = open(directory / f"provider-{scope}.stderr", "ab")
        self._process = subprocess.Popen(
            [PYTHON, HERE / "provider.py", *map(str, arguments)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._log, text=True, bufsize=1)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self._expect("READY ", START_SECONDS).split()[1]

    def turn(self, mood):
        self._process.stdin.write(f"{mood}\n")
        self._process.stdin.flush()
        self._expect(mood)

    def send_signal(self, number):
        self._process.send_signal(number)

    def is_alive(self):
        return self._process.poll() is None

    def close(self):
        """Returns when all that it has printed has been read."""
        self._process.send_signal(signal.SIGCONT)
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(10)
        self._log.close()

    def _expect(self, beginning, seconds=10):
        with self._news:
            assert self._news.wait_for(
                lambda: any(one.startswith(beginning) for one in self._said), seconds), self.scope
            found = next(one for one in self._said if one.startswith(beginning))
            self._said.remove(found)
            return found

    def _read(self):
        for line in self._process.stdout:
            if line.startswith("["):
                at, target, status = json.loads(line)
                if not target.startswith(STRANGER):
                    self._ledger.push(target, at, status is not None and 200 <= status < 300)
            else:
                with self._news:
                    self._said.append(line.strip())
                    self._news.notify_all()


class World:
    """Starts all; what the faults do to the parts goes through here, so that it is known what may
    be down."""

    redis_forgets = True  # all, when it is killed

    def __init__(self, directory, ledger):
        self.directory = pathlib.Path(directory)
        self.endpoints_file = self.directory / "endpoints" / "endpoints.json"
        self.ledger = ledger
        self.down = set()  # parts that are meant to be
        self.died = []  # what was not
        self.workers_killed = 0
        self.listener_number = 1  # of those that have had a name of their own
        self._relay_ports = {name: Port() for name in RELAYS}
        self._relays = {}
        self.providers = {}
        self.stack = None
        try:
            self._start()
        except BaseException:
            self.kill_all()
            raise

    def _start(self):
        for n, name in enumerate(DISTRIBUTORS, 1):
            # Each in a network of its own, as they are in the world.
            self.providers[name] = Provider(name, ["distributor", f"127.77.{n}.1", 0],
                                            self.directory, self.ledger)
        self.providers[FCM] = Provider(FCM, ["google", self.directory / "google"], self.directory,
                                       self.ledger)
        self.stack = Stack(self.directory, **self._settings())
        self._start_redis()
        for name in RELAYS:
            self.start_relay(name)
        self.stack.start_api(WORKERS)
        self.start_listener()
        self.stack.wait_for_heartbeat()
        wait_until(lambda: self.stack.get("/api/ready").status == 200, 20, "the server is ready")

    def _start_redis(self):
        self.stack.start_redis()

    def _settings(self):
        google = self.directory / "google"
        return {
            "UNIFIEDPUSH_ALLOW_PRIVATE": "true",
            "UNIFIEDPUSH_ENDPOINTS_FILE": str(self.endpoints_file),
            "FCM_ENABLED": "true",
            "FCM_ENDPOINT": self.providers[FCM].url,
            "FIREBASE_PROJECT_ID": Google.PROJECT,
            "FIREBASE_SERVICE_ACCOUNT_PATH": str(google / "service-account.json"),
            "TLS_CA_FILE": str(google / "ca.pem"),
            "WAKES_MAX": str(WAKES_MAX),
        }

    # ---- Parts

    def relay_url(self, name):
        return f"ws://127.0.0.1:{self._relay_ports[name].number}"

    def start_relay(self, name):
        port = self._relay_ports[name].number
        self._relays[name] = self.stack.start_program(
            name, [PYTHON, STANDINS / "relay.py", port, self.directory / f"{name}.events"])

        def listens():
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                return False
        wait_until(listens, 20, f"{name} listens")

    def start_listener(self):
        self.stack.spawn_listener([self.relay_url(name) for name in RELAYS],
                                  LISTENER_NAME=f"listener-{self.listener_number}")

    def program(self, part):
        if part in RELAYS:
            return self._relays[part]
        return {REDIS: self.stack.redis_server, WEB: self.stack.web, WORKER: self.stack.workers,
                LISTENER: self.stack.listener}.get(part) or self.providers[part]

    def parts(self):
        return [REDIS, WEB, WORKER, LISTENER, *RELAYS, *PROVIDERS]

    def kill(self, part):
        """The part is down until it is started again."""
        self.down.add(part)
        program = self.program(part)
        program.kill()
        self.stack.programs.remove(program)

    def start(self, part):
        if part in RELAYS:
            self.start_relay(part)
        else:
            {REDIS: self.stack.start_redis, WEB: self.stack.start_web,
             LISTENER: self.start_listener}[part]()
        self.down.discard(part)

    def workers(self):
        """Their process ids. Their keeper has another child while it waits for a moment."""
        return [pid for pid in self.stack.workers.children() if _name_of(pid) == FCGI.name[:15]]

    def endpoints_in_file(self):
        return (len(json.loads(self.endpoints_file.read_text()))
                if self.endpoints_file.exists() else 0)

    def look_for_the_dead(self):
        """Whatever has ended and was not killed is noted, and started again where that can be."""
        for part in self.parts():
            if part not in self.down and not self.program(part).is_alive():
                self.died.append(part)
                self.down.add(part)
                if part in (REDIS, WEB, LISTENER, *RELAYS):
                    self.kill(part)
                    self.start(part)

    def close(self):
        """The server alone; providers are closed apart, and keep what they have heard."""
        self.stack.close()

    def close_providers(self):
        for provider in self.providers.values():
            provider.close()

    def kill_all(self):
        for provider in self.providers.values():
            provider.send_signal(signal.SIGKILL)
        if self.stack:
            self.stack.kill()
        for port in self._relay_ports.values():
            port.close()


class ReplicatedWorld(World):
    """The same with several data nodes and Sentinels, `service`, which keep what one of them loses;
    `options` are those of ReplicatedRedis."""

    redis_forgets = False

    def __init__(self, directory, ledger, **options):
        self._options = options
        self.service = None
        super().__init__(directory, ledger)

    def _start_redis(self):
        self.service = ReplicatedRedis(self.directory, self.stack.programs, **self._options)
        self.stack.settings.update(self.service.settings)
        self.stack.redis.close()
        self.stack.redis = self.service.redis()

    def parts(self):
        return [part for part in super().parts() if part != REDIS]

    def kill_all(self):
        super().kill_all()
        if self.service:
            self.service.close()
