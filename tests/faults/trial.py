"""trial: load and mischief, and what came of them."""
import collections
import pathlib
import random
import re
import sys
import time
import unittest

import contract
import mischief
import watch
from ledger import EVENT, MUST, NOTIFY, Ledger
from load import Load, Odd
from stack import wait_until
from world import LISTENER, MEMORY, PROVIDERS, REDIS, WEB, WORKER, World, now

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 5  # seconds that a wake may take where nothing fails
WARM_UP, CALM = 5, 8
AT_ONCE = 2  # faults
GAP = 2  # seconds, on average, from the beginning of one fault to the next
TAKEN_UP_SECONDS = 5  # by when a listener that has started has taken what had come
SHOWN = 10  # of what fails in the same way


class Report:
    """Counts checks; each is a line."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, problems):
        problems = list(problems)
        if problems:
            self.failed += 1
            print(f"---- {what}: {len(problems)}")
            for problem in problems[:SHOWN]:
                print(f"     {problem}")
        else:
            self.passed += 1
            print(f"     {what}: well")

    def unit_tests(self):
        tests = unittest.defaultTestLoader.discover(str(HERE), "test_*.py")
        result = unittest.TextTestRunner(sys.stdout, verbosity=0).run(tests)
        bad = len(result.failures) + len(result.errors)
        self.passed += result.testsRun - bad
        self.failed += bad


class Trial:
    """Load, mischief in two halves, and what came of it."""

    def __init__(self, seconds, seed, directory):
        self.seconds, self.seed = seconds, seed
        self.rng = random.Random(seed)
        self.ledger = Ledger(PATIENCE)
        self.pulse = watch.Pulse()
        self.world = World(directory, self.ledger)
        self.load = Load(self.world, random.Random(seed))
        self.active = []
        self.began = collections.Counter()
        self.start = now()

    def say(self, text):
        print(f"{now() - self.start:7.1f} s  {text}", flush=True)

    def run(self, kinds):
        """Listener and workers stay the same in the second half, in which they may not grow."""
        self.load.start()
        wait_until(lambda: self.load.accounts > 100, 60, "accounts")
        self.calm(WARM_UP)
        self.mischief(kinds, self.seconds / 2, 0)
        self.calm(CALM)
        self.before = watch.measure(self.world)
        self.say("half time: listener and workers stay from here on")
        self.mischief([kind for kind in kinds if kind.spares_processes], self.seconds / 2, 1)
        self.calm(CALM)
        self.load.stop()
        self.settle()
        self.after = watch.measure(self.world)

    def calm(self, seconds):
        until = now() + seconds
        while now() < until:
            self.world.look_for_the_dead()
            time.sleep(0.1)

    def mischief(self, kinds, seconds, half):
        """What has had to wait until the time is over does not begin any more."""
        planned = mischief.schedule(self.seed * 2 + half, kinds, seconds, GAP) if kinds else []
        begun = now()
        while now() < begun + seconds or self.active:
            self.world.look_for_the_dead()
            self.end_those_over()
            over = now() - begun
            if planned and planned[0][0] <= over < seconds and self.is_room_for(planned[0]):
                self.begin(*planned.pop(0)[1:])
            time.sleep(0.05)

    def is_room_for(self, plan):
        """Not where as many fail already, or the same part does; nor before it may."""
        fault = self.made(*plan[2:])
        return len(self.active) < AT_ONCE and fault.may_begin() and not (
            fault.scope and any(one.scope == fault.scope for _, one in self.active))

    def made(self, kind, seed):
        return kind(self.world, self.load, random.Random(seed))

    def begin(self, lasts, kind, seed):
        fault = self.made(kind, seed)
        self.say(f"{fault} for {lasts:.1f} s")
        fault.begin()
        self.began[kind.__name__] += 1
        self.active.append((now() + lasts, fault))

    def end_those_over(self):
        for until, fault in list(self.active):
            if until <= now():
                self.active.remove((until, fault))
                fault.end()
                self.say(f"{fault} is over")

    def settle(self):
        """Until nobody is to be woken any more, or has waited longer than anything explains."""
        begun = now()
        while True:
            unwoken, deadline = self.ledger.unwoken()
            if not unwoken or now() > deadline:
                break
            self.calm(0.2)
        self.say(f"balanced {now() - begun:.1f} s after the last cause")
        self.calm(CALM)

    def close(self):
        self.pulse.stop()
        self.dead_workers = sum(map(int, re.findall(r"workers: (\d+) dead",
                                                    self.world.stack.workers.output())))
        self.world.close()
        self.world.close_providers()

    # ---- What came of it

    def report(self, report, kinds):
        report.check("no wake is lost", map(self.described, self.ledger.lost()))
        report.check("none is later than the outages explain",
                     map(self.described, self.ledger.late()))
        report.check("none comes twice", (
            f"{self.when(at)}: {account.name[:20]}, opened {self.when(account.opened)}, causes "
            f"{[(c.via, c.verdict, self.when(c.begun)) for c in account.causes]}, pushes "
            f"{[self.when(push) for push in account.pushes]}"
            for account, at in self.ledger.doubles()))
        report.check("nobody else is woken", ["pushes"] * self.ledger.strays())
        odd = [one for one in self.load.client.odd if not self.is_explained(one)]
        report.check("every answer is the contract's",
                     (self.shown(one) for one in odd if not one.is_slow))
        report.check("every answer comes in time", (self.shown(one) for one in odd if one.is_slow))
        report.check("no process has died by itself", self.world.died)
        report.check("as many workers have died as were killed", [
            f"{self.dead_workers}, {self.world.workers_killed} killed"]
            if self.dead_workers != self.world.workers_killed else [])
        report.check("memory and descriptors are flat", watch.growth(self.before, self.after))
        report.check("the logs identify nobody",
                     watch.identifying(self.world.directory, self.load.planted))
        report.check("sanitizers are silent", watch.sanitizer_reports(self.world.directory))
        report.check("this program has not failed", self.load.failures)
        causes = sum(self.ledger.counts[f"{via}, {MUST}"] for via in (NOTIFY, EVENT))
        report.check("there was a load, and things went wrong", [
            text for text, well in (
                (f"{causes} causes", causes > 5 * self.seconds),
                (f"{len(self.ledger.calm_waits())} in calm", len(self.ledger.calm_waits()) > 20),
                (f"{dict(self.began)}", not kinds or self.began)) if not well])

    def figures(self):
        print("     " + ", ".join(f"{n} {what}" for what, n in sorted(self.ledger.counts.items())))
        waits = self.ledger.calm_waits()
        if waits:
            print(f"     untouched by outages {len(waits)}: p50 {waits[len(waits) // 2]:.3f} s, "
                  f"p99 {waits[len(waits) * 99 // 100]:.3f} s")
        waits = self.ledger.waits_after_outages(PROVIDERS)
        if waits:
            print(f"     {len(waits)} waited for a provider, and after it was well p50 "
                  f"{waits[len(waits) // 2]:.1f} s, p99 {waits[len(waits) * 99 // 100]:.1f} s, "
                  f"most {waits[-1]:.1f} s")
        print(f"     {self.ledger.in_doubt()} pushes in doubt (in flight at a SIGKILL or at a "
              f"provider's failing); {self.load.client.asked} requests, the slowest "
              f"{self.load.client.slowest:.2f} s")
        for name, (pid, memory, descriptors) in self.after.items():
            _, memory_before, descriptors_before = self.before.get(name, (0, 0, 0))
            print(f"     {name}: {memory_before >> 10} KiB, then {memory >> 10}; descriptors "
                  f"{descriptors_before}, then {descriptors}")

    def when(self, at):
        return f"{at - self.start:.1f} s"

    def described(self, cause):
        woken = f"woken {self.when(cause.woken)}" if cause.woken else "never woken"
        pushes = [self.when(at) for at in cause.account.pushes[-3:]]
        return (f"{self.when(cause.begun)}: {cause.via} of {cause.account.name[:20]} "
                f"({', '.join(sorted(cause.account.scopes | set(cause.routes)))}), settled "
                f"{self.when(cause.settled)}, {woken}; its last pushes {pushes}")

    def shown(self, odd):
        return (f"{self.when(odd.began)}: {odd.request} answered {odd.shown} after "
                f"{odd.took:.2f} s")

    def inbox_may_be_full(self, at):
        """Under an attack, while nobody empties it or has just begun to."""
        return any(outage.end + TAKEN_UP_SECONDS >= at
                   for outage in self.ledger.outages_at(at, at, LISTENER))

    def is_explained(self, odd):
        """By a part that failed at that time; a slow one by this machine's standing still, too."""
        ended = odd.began + odd.took

        def failed(part):
            return bool(self.ledger.outages_at(odd.began - 1, ended, part))
        foreign = failed(WEB) or failed(WORKER)
        if odd.is_slow:
            stalled = self.pulse.stalled(odd.began, ended)
            if not foreign and Odd(odd.request, odd.began, odd.took - stalled, "", "").is_slow:
                return False
        if odd.kind == contract.UNAVAILABLE:
            return (failed(REDIS) or odd.request == "register" and failed(MEMORY)
                    or odd.request == "notify" and self.inbox_may_be_full(odd.began))
        return foreign or odd.kind not in (None, contract.FOREIGN)
