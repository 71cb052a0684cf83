"""failover: the ways in which a primary goes, and what must hold over each: what was answered 200 is
registered, what was answered 202 wakes, once. Under the load of load.py, and of requests that show
for how long the API did not do its work."""
import concurrent.futures
import dataclasses
import os
import random
import secrets
import signal
import threading
import time
import typing

import contract
import redis
from ledger import EVERYTHING, NOTIFY, Ledger
from load import Client, Load
from stack import wait_until
from world import LISTENER, REDIS, ReplicatedWorld, now

PATIENCE = 5  # seconds that a wake may take where nothing fails
RECOVERY = 15  # seconds after a fault by which what it kept waiting has come
DOUBT = 1  # second before and after a fault in which a push's outcome may not have been kept
CALM = 3
SERVERS = "redis-7.0", "redis-8.0", "valkey-8.1"
SAMPLES_AT_ONCE, SAMPLE_EVERY = 4, 0.04


class Samples:
    """Asks the API the same again and again, each time about another pubkey."""

    def __init__(self, ask):
        self._ask = ask
        self._halt = threading.Event()
        self._lock = threading.Lock()
        self._well = []  # when answered well
        self.pubkeys = []  # those that were answered well
        self.wrong = []  # (kind of the answer, seconds), of those that nothing explains
        self._pool = concurrent.futures.ThreadPoolExecutor(SAMPLES_AT_ONCE)
        self._threads = [self._pool.submit(self._go_on) for _ in range(SAMPLES_AT_ONCE)]

    def _go_on(self):
        while not self._halt.wait(SAMPLE_EVERY):
            pubkey, began = secrets.token_hex(32), now()
            kind = self._ask(pubkey)
            with self._lock:
                if kind == contract.OK:
                    self._well.append(now())
                    self.pubkeys.append(pubkey)
                elif kind != contract.UNAVAILABLE:
                    self.wrong.append((kind, now() - began))

    def has_answered_since(self, at):
        with self._lock:
            return any(one > at for one in self._well[-1:])

    def longest_gap(self, since):
        """Seconds between two good answers, at the most, from shortly before `since` on."""
        with self._lock:
            times = sorted(at for at in self._well if at > since - 1)
        return max((later - at for at, later in zip(times, times[1:])), default=float("inf"))

    def halt(self):
        """Nothing more is asked for soon."""
        self._halt.set()

    def stop(self):
        self.halt()
        for thread in self._threads:
            thread.result()
        self._pool.shutdown()


@dataclasses.dataclass
class Case:
    """`fail(trial)` brings about what goes wrong, `mend(trial)` puts back what it has taken; `kills`
    is whether our own programs are killed, so that the web server answers in their place; `for_good`
    whether what is gone stays so, unless another case is to follow; `at_risk` for how many seconds
    the old primary can accept a notify that only it will ever know of; `most_seconds` what nothing may be done for: a cut-off machine takes a Sentinel
    along, and the other two may have to vote again."""
    name: str
    fail: typing.Callable
    mend: typing.Callable = lambda trial: None
    options: dict = dataclasses.field(default_factory=dict)
    kills: bool = False
    for_good: bool = False
    at_risk: float = 0
    most_seconds: float = 8

    def __str__(self):
        return self.name


def _kill_primary(trial):
    trial.gone = trial.service.primary()
    trial.gone.kill()


def _restart(trial):
    if trial.gone and not trial.gone.is_alive():
        trial.gone.redis_start()


def _kill_and_restart_after(seconds):
    def fail(trial):
        _kill_primary(trial)
        time.sleep(seconds)
        _restart(trial)
    return fail


def _kill_a_sentinel(trial):
    trial.sentinel = trial.service.sentinels[0]
    trial.sentinel.kill()


def _kill_programs_and_primary(trial):
    trial.gone = trial.service.primary()
    for pid in trial.world.workers():
        os.kill(pid, signal.SIGKILL)
    trial.world.kill(LISTENER)
    trial.gone.kill()
    trial.world.start(LISTENER)


def _cut(trial):
    trial.gone = trial.service.primary()
    trial.service.cut(trial.gone.number)


def _cut_for(seconds):
    def fail(trial):
        _cut(trial)
        time.sleep(seconds)
        trial.service.join(trial.gone.number)
    return fail


def _join(trial):
    trial.service.join(trial.gone.number)


def _both_nodes(trial):
    """The primary, and when all is whole again its successor."""
    for _ in range(2):
        _kill_primary(trial)
        trial.service.wait_for_another(trial.gone)
        _restart(trial)
        trial.service.wait_until_whole()


def _switch(trial):
    trial.gone = None
    status, said = trial.service.switch()
    assert status == 0, said


def _upgrade_to(server):
    """The replicas first, each through redis-start; then switch, then the old primary at once."""
    def upgrade(node):
        node.stop()
        node.server = server
        node.redis_start()
        wait_until(lambda: node.role() and node.is_in_sync(), 60, f"{node.name} is in sync")

    def version(node):
        return node.client().info("server")["redis_version"]

    def fail(trial):
        old = trial.service.primary()
        before = version(old)
        for node in trial.service.replicas():
            upgrade(node)
        trial.service.wait_until_whole()
        _switch(trial)
        upgrade(old)
        after = set(map(version, trial.service.nodes))
        assert len(after) == 1 and before not in after, after
    return fail


def on_other_servers(servers):
    """From the oldest to each other, of the programs in that folder, and what needs no network of
    its own on each of these."""
    oldest, *others = (servers / name for name in SERVERS)
    for server in others:
        yield Case(f"upgrade to {server.name}", _upgrade_to(server), options={"server": oldest})
        for case in cases():
            if not case.options.get("machines"):
                yield dataclasses.replace(case, name=f"{case.name}, {server.name}",
                                          options={**case.options, "server": server})


def cases():
    yield Case("primary killed", _kill_primary, _restart)
    yield Case("Sentinel killed", _kill_a_sentinel, lambda trial: trial.sentinel.start())
    yield Case("primary and programs killed", _kill_programs_and_primary, _restart, kills=True)
    yield Case("SENTINEL FAILOVER", lambda trial: trial.service.fail_over())
    yield Case("switch", _switch)
    for seconds in (0, 0.5, 4):
        yield Case(f"primary killed, back after {seconds} s", _kill_and_restart_after(seconds))
    yield Case("one node after the other", _both_nodes)
    for delay in (1, 10, 50):
        common = {"options": {"machines": True, "delay": delay}, "at_risk": 0.5, "most_seconds": 20}
        yield Case(f"cut off, {delay} ms", _cut, _join, for_good=True, **common)
        yield Case(f"cut off for 5 s, {delay} ms", _cut_for(5), **common)
    yield Case("primary killed, two nodes", _kill_primary, _restart, {"nodes": 2})


class Trial:
    """One world under load; any number of cases that want it so."""

    def __init__(self, directory, options, with_load=True):
        self.ledger = Ledger(PATIENCE)
        self.world = ReplicatedWorld(directory, self.ledger, **options)
        self.service = self.world.service
        self.gone = self.sentinel = None
        self.load = Load(self.world, random.Random()) if with_load else None
        client = Client(self.world.stack)
        self.registers = Samples(lambda pubkey: client.register(pubkey, secrets.token_urlsafe(100)))
        self.notifies = Samples(client.notify)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self):
        for samples in (self.registers, self.notifies):
            wait_until(lambda: len(samples.pubkeys) > 50, 60, "answers before anything fails")
        if self.load:
            self.load.start()
            wait_until(lambda: self.load.accounts > 50, 60, "accounts")

    def run(self, case):
        """Returns (seconds without a registration, seconds without a notify)."""
        self.gone = self.sentinel = None
        began = self._began = now()
        outages = [self.ledger.outage(scope, began, RECOVERY, str(case))
                   for scope in (REDIS, LISTENER)]
        case.fail(self)
        # What is answered at once may have been under way.
        time.sleep(CALM)
        later = now()
        for samples in (self.registers, self.notifies):
            wait_until(lambda: samples.has_answered_since(later), 60, f"the API after {case}")
        for outage in outages:
            outage.end = now()
        time.sleep(CALM)
        self.ledger.doubt(EVERYTHING, began - DOUBT, outages[0].end + DOUBT)
        return self.registers.longest_gap(began), self.notifies.longest_gap(began)

    def stop(self):
        """Ends the load and waits until nobody is to be woken any more, or for too long."""
        for samples in (self.registers, self.notifies):
            samples.stop()
        if self.load:
            self.load.stop()
            wait_until(self._is_settled, 120, "the ledger balances or does not")

    def mend(self, case):
        """What is back must not take anything along."""
        case.mend(self)
        self.service.wait_until_whole()

    def _is_settled(self):
        unwoken, deadline = self.ledger.unwoken()
        return not unwoken or now() > deadline

    def problems(self, case):
        """What must not be, a line each."""
        lost = self.missing()
        if lost:
            yield f"{len(lost)} of {len(self.registers.pubkeys)} registrations are lost: {lost[:3]}"
        if self.load:
            for what, found in (("lost", self._lost(case)), ("late", self.ledger.late()),
                                ("double", self.ledger.doubles()),
                                ("stray", ["pushes"] * self.ledger.strays())):
                if found:
                    yield f"{len(found)} wakes are {what}: {found[:3]}"
            yield from self.load.failures
        if not case.kills:
            wrong = self.registers.wrong + self.notifies.wrong
            if wrong:
                yield f"{len(wrong)} answers are not the contract's: {wrong[:5]}"
        yield from (f"{name} has died" for name in self.world.died)

    def _is_at_risk(self, case, at):
        return case.at_risk and self._began - case.at_risk < at < self._began + case.at_risk

    def _lost(self, case):
        """Relays still have the events of that time, and are asked for them."""
        return [cause for cause in self.ledger.lost()
                if not (cause.via == NOTIFY and self._is_at_risk(case, cause.settled))]

    def missing(self):
        """Pubkeys that were answered 200 and are not registered."""
        known = [*self.registers.pubkeys, *(self.load.registered() if self.load else [])]
        # Not by connections that a test had before: some are to a node that is gone.
        pipeline = self.service.primary().client().pipeline(transaction=False)
        for pubkey in known:
            pipeline.exists(f"mostro:token:{pubkey}")
        return [pubkey for pubkey, found in zip(known, pipeline.execute()) if not found]

    def close(self):
        """Also of one that has not come to its end, whose threads would keep this process."""
        for asking in (self.registers, self.notifies, self.load):
            if asking:
                asking.halt()
        try:
            self.service.join_all()
            self.world.close()
            self.world.close_providers()
        except redis.RedisError:
            pass
        finally:
            self.world.kill_all()
