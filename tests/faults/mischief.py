"""mischief: what goes wrong, a class each: begin() does it, end() undoes it, and both tell the
ledger what that explains. What goes wrong when is drawn from a seed."""
import contextlib
import itertools
import os
import random
import resource
import signal
import socket
import threading

import redis

from ledger import BY_FILE, EVERYTHING
from load import Strangers
from world import (DISTRIBUTORS, FCM, LISTENER, MEMORY, PROVIDERS, REDIS, RELAYS, WAKES_MAX, WEB,
                   WORKER, now)

# How much later than its end what waited for an outage may come, in seconds. Backing off doubles up
# to a minute; reading what relays have stored takes half a second a page of 500.
RECOVERY_BACKOFF = 65
RECOVERY_START = 20
RECOVERY_SOON = 10
RECOVERY_TAKEOVER = 30 + 10 + RECOVERY_START  # a heartbeat's life, and looking for the dead
PAGE, PAGE_SECONDS = 500, 1
# Of a push's request, at the most, and what follows its answer.
PUSH_SECONDS = 5
AFTERMATH_SECONDS = 1
FILE_SECONDS = 10  # after which an endpoint is in the file, amply
FILE_WAKES_PER_S = 50  # ENDPOINT_WAKES_PER_S in registry.lua
FEW_DESCRIPTORS = 8
STARTED_SECONDS = 8  # by when a listener has all that it needs, amply


class Fault:
    """`scope` is the part that fails, and no two faults of one part are there at once; None: none
    does, and everybody else must not notice. `seconds` is how long, where that is not said."""

    scope = None
    recovery = 0
    most_seconds = None
    spares_processes = True  # whether listener and workers stay the same

    def __init__(self, world, load, rng):
        self.world, self.load, self.ledger = world, load, world.ledger
        self.rng = rng
        self._outage = None

    def __str__(self):
        words = "".join(f" {one.lower()}" if one.isupper() else one for one in type(self).__name__)
        return f"{words.strip()}{f' ({self.scope})' if self.scope else ''}"

    def may_begin(self):
        return True

    def begin(self):
        if self.scope:
            self._outage = self.ledger.outage(self.scope, now(), self.recovery + self.pages(),
                                              str(self))
        self.do()

    def end(self):
        self.undo()
        if self._outage:
            self._outage.recovery = self.recovery + self.pages()
            self._outage.end = now()

    def pages(self):
        """Seconds to read what relays have stored."""
        return self.load.published // PAGE * PAGE_SECONDS

    def doubt(self, scope, before=AFTERMATH_SECONDS, after=AFTERMATH_SECONDS):
        at = now()
        self.ledger.doubt(scope, at - before, at + after)


# ---- Killed


class WorkerKilled(Fault):
    """Its keeper starts another."""

    scope, recovery, most_seconds, spares_processes = WORKER, 3, 1, False

    def do(self):
        os.kill(self.rng.choice(self.world.workers()), signal.SIGKILL)
        self.world.workers_killed += 1

    def undo(self):
        pass


class _Killed(Fault):
    def do(self):
        self.world.kill(self.scope)

    def undo(self):
        self.world.start(self.scope)


class WebServerKilled(_Killed):
    scope, recovery, most_seconds = WEB, 1, 2


class ListenerKilled(_Killed):
    scope, recovery, spares_processes = LISTENER, RECOVERY_START, False

    def do(self):
        """What it has pushed and could not tell Redis of is pushed again."""
        hung = self.ledger.outages_at(now() - AFTERMATH_SECONDS, now(), REDIS)
        since = min((outage.begin for outage in hung), default=now())
        super().do()
        self.doubt(EVERYTHING, before=now() - since + AFTERMATH_SECONDS)


class ListenerReplaced(ListenerKilled):
    """By one of another name, which has to find out that nobody cares for the wakes any more."""

    recovery = RECOVERY_TAKEOVER

    def undo(self):
        self.world.listener_number += 1
        super().undo()


class RelayKilled(_Killed):
    recovery = RECOVERY_BACKOFF

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.scope = self.rng.choice(RELAYS)


class RedisKilled(_Killed):
    """It comes back empty; phones register anew."""

    scope, recovery = REDIS, RECOVERY_START

    def do(self):
        troubles = [outage.begin for part in (REDIS, LISTENER)
                    for outage in self.ledger.outages_at(now() - FILE_SECONDS, now(), part)]
        super().do()
        self.load.forget_accounts()
        self.doubt(EVERYTHING)
        self.ledger.lose_data(now(), min([now(), *troubles]) - FILE_SECONDS)
        self._file = self.ledger.outage(BY_FILE, now(), self.recovery, "the endpoint file")

    def undo(self):
        """All endpoints in the file are woken, strangers' too, evenly spread."""
        super().undo()
        self.load.forget_accounts()
        self._file.recovery = self.recovery + self.world.endpoints_in_file() / FILE_WAKES_PER_S
        self._file.end = now()


# ---- Stopped


class _Stopped(Fault):
    def do(self):
        self.world.program(self.scope).send_signal(signal.SIGSTOP)

    def undo(self):
        self.world.program(self.scope).send_signal(signal.SIGCONT)


class RedisStopped(_Stopped):
    scope, recovery, most_seconds = REDIS, RECOVERY_SOON, 8


class RelayStopped(_Stopped):
    recovery = RECOVERY_BACKOFF

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.scope = self.rng.choice(RELAYS)


class _ProviderFault(Fault):
    """Pushes about its beginning and end may have had an answer that nobody heard."""

    among, recovery = PROVIDERS, RECOVERY_BACKOFF

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.scope = self.rng.choice(self.among)

    def begin(self):
        super().begin()
        self.doubt(self.scope)

    def end(self):
        super().end()
        self.doubt(self.scope)


class ProviderStopped(_ProviderFault):
    """What it reads when it goes on, nobody waits for any more."""

    def do(self):
        self.world.program(self.scope).send_signal(signal.SIGSTOP)

    def undo(self):
        self.world.program(self.scope).send_signal(signal.SIGCONT)
        self.doubt(self.scope, after=3)


# ---- Failing providers


class _Mood(_ProviderFault):
    mood = None

    def do(self):
        self.world.providers[self.scope].turn(self.mood)

    def undo(self):
        self.world.providers[self.scope].turn("well")


class ProviderErrors(_Mood):
    mood = "errors"


class ProviderStalls(_Mood):
    mood = "stalls"


class ProviderResets(_Mood):
    mood = "resets"


class ProviderHiccups(_Mood):
    mood, recovery = "hiccups", RECOVERY_SOON


class DistributorDown(_Mood):
    mood, among = "down", DISTRIBUTORS


class FcmDown(_Mood):
    mood, among = "down", (FCM,)


class AccessTokensRevoked(_Mood):
    mood, among, recovery, most_seconds = "revoked", (FCM,), RECOVERY_SOON, 1


# ---- Descriptors exhausted


class _NoDescriptors(Fault):
    def may_begin(self):
        """One that has none to start with may well end."""
        return not any(outage.end + STARTED_SECONDS > now()
                       for outage in self.ledger.outages_at(now(), now(), self.scope))

    def starve(self, pid):
        self._pid = pid
        self._limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW_DESCRIPTORS, self._limits[1]))

    def undo(self):
        try:
            resource.prlimit(self._pid, resource.RLIMIT_NOFILE, self._limits)
        except ProcessLookupError:
            self.world.died.append(f"{self.scope}, without descriptors")


class ListenerWithoutDescriptors(_NoDescriptors):
    scope, recovery = LISTENER, RECOVERY_BACKOFF

    def do(self):
        self.starve(self.world.program(LISTENER).pid)


class WorkerWithoutDescriptors(_NoDescriptors):
    scope, recovery = WORKER, 2

    def do(self):
        self.starve(self.rng.choice(self.world.workers()))


class MemoryShort(Fault):
    """Redis has less than 30 % of its memory left: new pubkeys are refused, and nobody else."""

    scope, recovery = MEMORY, 2

    def do(self):
        with contextlib.suppress(redis.RedisError):
            used = self.world.stack.redis.info("memory")["used_memory"]
            self.world.stack.redis.config_set("maxmemory", used * 4 // 3)

    def undo(self):
        with contextlib.suppress(redis.RedisError):
            self.world.stack.redis.config_set("maxmemory", "2gb")


# ---- Attacks, a tenth of what the defaults let in; nobody else may notice


class _Attack(Fault):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.strangers = Strangers(self.load)
        self.halt = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def do(self):
        self._thread.start()

    def undo(self):
        self.halt.set()
        self._thread.join()

    def _go_on(self):
        try:
            self.attack()
        except Exception as error:
            self.load.failures.append(f"{self}: {error!r}")


class RegistryFlood(_Attack):
    """One address registers pubkeys with long endpoints, as fast as it is answered."""

    def attack(self):
        address = self.world.stack.new_client()
        while not self.halt.is_set():
            self.load.client.register(
                self.load.new_pubkey(), self.strangers.endpoint("https://push.example", 1024),
                client=address)


class _SilentServer(_Attack):
    """With a server that accepts and never answers."""

    def do(self):
        self._server = socket.create_server(("127.66.1.1", 0), backlog=1024)
        self.port = self._server.getsockname()[1]
        self._taken = []
        threading.Thread(target=self._accept, daemon=True).start()
        super().do()

    def undo(self):
        super().undo()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for one in self._taken:
            one.close()

    def _accept(self):
        try:
            while True:
                self._taken.append(self._server.accept()[0])
        except OSError:
            pass


class SilentHost(_SilentServer):
    """More pubkeys than half of the queue, all at one host."""

    most_seconds = None

    def attack(self):
        origin = f"http://127.66.1.1:{self.port}"
        self.strangers.each((self.strangers.endpoint(origin) for _ in range(WAKES_MAX * 6 // 10)),
                            self.halt)


class NewHostNames(_SilentServer):
    """Ten a second, which are one server."""

    def attack(self):
        for n in itertools.count():
            if self.halt.wait(0.1):
                return
            self.strangers.register_and_notify(self.strangers.endpoint(
                f"http://h{n}-{self.rng.randrange(1 << 32)}.localhost:{self.port}"))


class DistinctEvents(_Attack):
    """Valid ones for one's own pubkey, a hundred a second by one relay."""

    def attack(self):
        pubkey = self.load.new_pubkey()
        endpoint = self.strangers.endpoint(self.world.providers[DISTRIBUTORS[0]].url)
        self.load.client.register(pubkey, endpoint)
        while not self.halt.is_set():
            events = [self.load.new_event(pubkey) for _ in range(50)]
            self.load.publisher.publish_all(events, RELAYS[:1])
            self.halt.wait(0.5)


KINDS = [
    WorkerKilled, WebServerKilled, ListenerKilled, ListenerReplaced, RelayKilled, RedisKilled,
    RedisStopped, RelayStopped, ProviderStopped,
    ProviderErrors, ProviderStalls, ProviderResets, ProviderHiccups,
    DistributorDown, FcmDown, AccessTokensRevoked,
    ListenerWithoutDescriptors, WorkerWithoutDescriptors, MemoryShort,
    RegistryFlood, SilentHost, NewHostNames, DistinctEvents,
]
# That last, in a run of five minutes, as long as they say; in another, in proportion.
LONG_SECONDS = {DistributorDown: 60, FcmDown: 40, RelayKilled: 20, RelayStopped: 40,
                SilentHost: 15, NewHostNames: 15}
SHORT_SECONDS = 0.5, 6


def schedule(seed, kinds, seconds, gap):
    """[(when, how long, kind, a seed of its own)] of so many seconds: every kind once before any
    comes again, in an order drawn anew each time."""
    rng = random.Random(seed)
    planned, at, deck = [], 0, []
    while True:
        at += rng.uniform(0.2, 2 * gap - 0.2)
        if at >= seconds:
            return planned
        if not deck:
            deck = rng.sample(kinds, len(kinds))
        kind = deck.pop()
        lasts = rng.uniform(*SHORT_SECONDS)
        if kind in LONG_SECONDS:
            lasts = max(lasts, LONG_SECONDS[kind] * min(1, seconds * 2 / 300) * rng.uniform(0.5, 1))
        planned.append((at, min(lasts, kind.most_seconds or lasts), kind, rng.randrange(1 << 32)))
