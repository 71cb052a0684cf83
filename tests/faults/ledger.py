"""ledger: what must wake whom, and what has. Pure: it is told every time, in seconds of one
monotonic clock, and knows neither sockets nor processes. May be called from any thread.

An account is one registration: a pubkey of its own with an endpoint or token of its own. A cause
is a request or an event that concerns it:

    MUST  it was acknowledged: at least one push arrives that is later than its beginning
    MAY   nobody knows (no answer, an error): a push may come of it
    NOT   it was refused

A push is delivered (answered with success) or only tried. An outage is a time in which a part
failed, and `recovery` how much later what waited for it may come; a cause is late when no outage
explains its wait. A doubt is a time in which a delivered push may be made once more, since its
outcome could not be kept: those in flight at a SIGKILL."""
import bisect
import collections
import dataclasses
import math
import threading

MUST, MAY, NOT = "must", "may", "not"
NOTIFY, EVENT, FILE = "notify", "event", "file"
EVERYTHING = "everything"  # a doubt's scope
BY_FILE = "by the file"  # the route of what the endpoint file wakes


@dataclasses.dataclass
class Cause:
    account: "Account"
    via: str
    begun: float
    verdict: str = None  # None: under way
    settled: float = None
    routes: tuple = ()  # the parts any one of which brings it: the relays that took an event
    woken: float = None


@dataclasses.dataclass
class Account:
    name: str
    scopes: frozenset  # the parts that every wake of it needs
    opened: float
    closed: float = None
    token: str = None  # what is registered, where somebody wants to know
    surely: bool = False  # closed for certain, and not by a guess or a loss
    causes: list = dataclasses.field(default_factory=list)
    pushes: list = dataclasses.field(default_factory=list)  # when delivered, sorted
    waiting: list = dataclasses.field(default_factory=list)  # causes not woken, not NOT


@dataclasses.dataclass
class Outage:
    scope: str
    begin: float
    recovery: float
    what: str
    end: float = math.inf

    @property
    def until(self):
        return self.end + self.recovery


class Ledger:
    """`patience` is what a wake may take, in seconds, where nothing fails."""

    def __init__(self, patience):
        self._patience = patience
        self._lock = threading.RLock()
        self._outages = []
        self._doubts = []  # (scope, begin, end)
        self._accounts = {}
        self._strays = collections.Counter()
        self.counts = collections.Counter()

    # ---- What is told

    def open(self, name, scopes, at):
        with self._lock:
            account = self._accounts[name] = Account(name, frozenset(scopes), at)
            return account

    def close(self, account, at, surely=True):
        """It is registered no more, or perhaps it is; nothing more will be begun for it. What was
        lost before then is in the endpoint file for long."""
        with self._lock:
            if account.closed is None:
                account.closed, account.surely = at, surely

    def begin(self, account, via, at):
        with self._lock:
            cause = Cause(account, via, at)
            account.causes.append(cause)
            account.waiting.append(cause)
            return cause

    def settle(self, cause, verdict, at, routes=()):
        with self._lock:
            if verdict == MUST and cause.via != FILE and self._is_closed(cause):
                verdict = MAY  # Redis was lost between the choice of the account and this
            cause.verdict, cause.settled, cause.routes = verdict, at, tuple(routes)
            self.counts[f"{cause.via}, {verdict}"] += 1
            if verdict == NOT:
                cause.account.causes.remove(cause)
                cause.account.waiting = [one for one in cause.account.waiting if one is not cause]
            else:
                self._wake(cause.account)

    def push(self, name, at, delivered):
        """A push has arrived; told in any order."""
        with self._lock:
            self.counts["pushes delivered" if delivered else "pushes tried in vain"] += 1
            account = self._accounts.get(name)
            if not account:
                self._strays[name] += 1
            elif delivered:
                bisect.insort(account.pushes, at)
                self._wake(account)

    def outage(self, scope, at, recovery, what):
        """One begins; its `end` is to be set when it does."""
        with self._lock:
            outage = Outage(scope, at, recovery, what)
            self._outages.append(outage)
            return outage

    def doubt(self, scope, begin, end):
        """Delivered pushes of accounts with this scope may be made once more."""
        with self._lock:
            self._doubts.append((scope, begin, end))

    def lose_data(self, at, kept_before):
        """Redis is killed: every account is closed, and what it was still to be woken for is lost.
        The endpoint file must wake once what was registered from before `kept_before` to now, and
        may wake what perhaps was; and what it may have brought back, it brings back each time."""
        with self._lock:
            for account in self._accounts.values():
                was_open = account.closed is None
                if was_open:
                    account.closed = at
                    self._lose_causes(account)
                if "file" in account.scopes and (was_open or not account.surely
                                                 or account.closed >= kept_before):
                    sure = was_open and account.opened < kept_before
                    account.surely = False
                    cause = self.begin(account, FILE, at)
                    self.settle(cause, MUST if sure else MAY, at, [BY_FILE])

    # ---- What is asked

    def is_quiet(self, account):
        """Whether nothing that concerns it is under way or may still come."""
        with self._lock:
            return not account.waiting

    def is_settled(self, account):
        """Whether nothing is under way, nor must come."""
        with self._lock:
            return all(cause.verdict == MAY for cause in account.waiting)

    def is_tainted(self, account):
        """Whether a push may come, or may have come, that nobody could tell from a double."""
        with self._lock:
            return any(cause.verdict == MAY for cause in account.causes)

    def outages_at(self, begin, end, scope):
        """Those of a part that touch this time."""
        with self._lock:
            return [one for one in self._outages
                    if one.scope == scope and one.begin <= end and one.until >= begin]

    def unwoken(self):
        """How many causes still must wake somebody, and by when the last is late."""
        with self._lock:
            waiting = [cause for account in self._accounts.values() for cause in account.waiting
                       if cause.verdict != MAY]
            return len(waiting), max(map(self._deadline, waiting), default=0)

    def lost(self):
        """Causes that must have woken somebody and have not."""
        with self._lock:
            return [cause for account in self._accounts.values() for cause in account.waiting
                    if cause.verdict == MUST]

    def late(self):
        """Causes whose push came later than any outage explains."""
        with self._lock:
            return [cause for account in self._accounts.values() for cause in account.causes
                    if cause.verdict == MUST and cause.woken is not None
                    and cause.woken > cause.settled + self._patience
                    and cause.woken > self._deadline(cause)]

    def doubles(self):
        """[(account, time of the push)]: more pushes up to then than causes, those aside that were
        in doubt."""
        with self._lock:
            return [found for account in self._accounts.values()
                    for found in self._doubles_of(account)]

    def strays(self):
        """How many pushes came for names that nobody has opened."""
        with self._lock:
            return self._strays.total()

    def in_doubt(self):
        """How many delivered pushes may have been made once more."""
        with self._lock:
            return sum(self._is_doubtful(account, at) for account in self._accounts.values()
                       for at in account.pushes)

    def calm_waits(self):
        """Seconds to the push, sorted, of acknowledged causes that no outage touched."""
        with self._lock:
            return sorted(
                cause.woken - cause.settled for account in self._accounts.values()
                for cause in account.causes if cause.verdict == MUST and cause.woken is not None
                and not any(self._touching(account.scopes, cause.begun, cause.woken)))

    def waits_after_outages(self, scopes):
        """Seconds from the end of an outage of one of these parts to the push of what it kept
        waiting, sorted."""
        with self._lock:
            return sorted(
                cause.woken - outage.end for account in self._accounts.values()
                for cause in account.causes if cause.verdict == MUST and cause.woken is not None
                for outage in self._touching(account.scopes & set(scopes), cause.begun, cause.begun)
                if cause.begun <= outage.end < cause.woken
                and not any(outage.begin < other.begin < cause.woken
                            for other in self._outages if other.scope in account.scopes))

    # ---- Inside

    @staticmethod
    def _is_closed(cause):
        return cause.account.closed is not None and cause.account.closed <= cause.begun

    def _lose_causes(self, account):
        for cause in account.waiting:
            if cause.verdict == MUST:
                cause.verdict = MAY
                self.counts["acknowledged and lost with Redis"] += 1
        account.waiting = []

    def _wake(self, account):
        """A push is for every cause that began before it."""
        still = []
        for cause in account.waiting:
            place = bisect.bisect_left(account.pushes, cause.begun)
            if place == len(account.pushes):
                still.append(cause)
            elif cause.verdict is None:
                still.append(cause)  # whether it counts is not known yet
            else:
                cause.woken = account.pushes[place]
        account.waiting = still

    def _touching(self, scopes, begin, end):
        return (one for one in self._outages
                if one.scope in scopes and one.begin <= end and one.until >= begin)

    def _deadline(self, cause):
        """Each outage that begins before the time that is left runs out lengthens it."""
        begun, settled = cause.begun, cause.settled or cause.begun
        ways = [cause.account.scopes | {route} for route in cause.routes] or [cause.account.scopes]
        return min(self._deadline_by(scopes, begun, settled) for scopes in ways)

    def _deadline_by(self, scopes, begun, settled):
        end = settled + self._patience
        while True:
            until = max((one.until + self._patience
                         for one in self._touching(scopes, begun, end)), default=end)
            if until <= end:
                return end
            end = until

    def _is_doubtful(self, account, at):
        return any(begin <= at <= end and (scope == EVERYTHING or scope in account.scopes)
                   for scope, begin, end in self._doubts)

    def _doubles_of(self, account):
        """In the order of time, a cause before a push at the same one."""
        steps = sorted([(cause.begun, 0) for cause in account.causes] +
                       [(at, 1) for at in account.pushes])
        credit = 0
        for at, is_push in steps:
            if not is_push:
                credit += 1
            elif self._is_doubtful(account, at):
                continue
            elif credit == 0:
                yield account, at
            else:
                credit -= 1
