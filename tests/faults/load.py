"""load: what phones, traders and nodes do all the time, each request and event noted in the ledger:
accounts register, are notified and written to, and leave; and requests that anybody may make."""
import asyncio
import concurrent.futures
import http.client
import itertools
import json
import secrets
import threading
import time

import contract
import nostr
from ledger import EVENT, MAY, MUST, NOTIFY
from world import DISTRIBUTORS, FCM, LISTENER, PROVIDERS, REDIS, RELAYS, SECRET, STRANGER, now

try:
    from websockets.asyncio.client import connect
except ImportError:  # before version 13
    from websockets import connect
from websockets.exceptions import WebSocketException

ACCOUNTS = 150
# Of one account, before another takes its place: a phone's trades end, too.
CAUSES_MOST = 30
PUBLISH_SECONDS = 3
REQUEST_SECONDS = 10
FAILED_SECONDS = 0.5  # from a failed registration to the next
# A second, at the most.
NOTIFIES, EVENTS, RENEWALS, OTHERS = 10, 8, 40, 3


class Odd:
    """A request that was not answered as if all were well and in time."""

    def __init__(self, request, began, took, kind, shown):
        self.request, self.began, self.took, self.kind = request, began, took, kind
        self.shown = shown

    @property
    def is_slow(self):
        return self.took > contract.MOST_SECONDS_FOR_REDIS.get(self.request,
                                                               contract.MOST_SECONDS)


class Client:
    """Asks the API; keeps what was odd."""

    def __init__(self, stack):
        self._stack = stack
        self._asked = itertools.count(1)
        self.odd = []
        self.asked = 0
        self.slowest = 0

    def ask(self, request, path, body=None, client=None):
        """(kind of the answer, None where there was none; Answer); `request` is contract.py's name
        of it, `client` an address (default: a new one)."""
        began, answer, kind, shown = now(), None, None, "no answer"
        client = client or self._stack.new_client()
        try:
            if body is None:
                answer = self._stack.get(path, client=client, timeout=REQUEST_SECONDS)
            else:
                answer = self._stack.post(path, body, client=client, timeout=REQUEST_SECONDS)
            kind, shown = contract.judge(request, answer), contract.shown(answer)
        except (OSError, http.client.HTTPException) as error:
            shown = type(error).__name__
        odd = Odd(request, began, now() - began, kind, shown)
        self.asked = next(self._asked)
        if kind in (None, contract.FOREIGN, contract.UNAVAILABLE) or odd.is_slow:
            self.odd.append(odd)
        elif kind == contract.OK:
            self.slowest = max(self.slowest, odd.took)
        return kind, answer

    def register(self, pubkey, token, request="register", **options):
        return self.ask(request, "/api/register", {
            "trade_pubkey": pubkey, "token": token, "platform": "android"}, **options)[0]

    def unregister(self, pubkey):
        return self.ask("unregister", "/api/unregister", {"trade_pubkey": pubkey})[0]

    def notify(self, pubkey, **options):
        return self.ask("notify", "/api/notify", {"trade_pubkey": pubkey}, **options)[0]


class Publisher:
    """A client of each relay, connected again when it is not; in a thread of its own."""

    def __init__(self, urls):
        self._urls = urls
        self._sockets = {}
        self._answers = {}
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def publish(self, event, names):
        """The names of the relays, of those, that have taken the event."""
        return self.publish_all([event], names)[0]

    def publish_all(self, events, names):
        """The same of many at once, in their order."""
        async def at_once():
            return await asyncio.gather(*(self._to_all(event, names) for event in events))
        return asyncio.run_coroutine_threadsafe(at_once(), self._loop).result()

    async def _to_all(self, event, names):
        answers = await asyncio.gather(*(self._to_one(event, name) for name in names))
        return [name for name, taken in zip(names, answers) if taken]

    async def _to_one(self, event, name):
        answer = self._answers.setdefault((name, event["id"]), self._loop.create_future())
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                socket = await self._connected(name)
                await socket.send(json.dumps(["EVENT", event]))
                return await answer
        except (OSError, WebSocketException, TimeoutError):
            return False
        finally:
            self._answers.pop((name, event["id"]), None)

    async def _connected(self, name):
        """One caller connects, the others wait for it."""
        if name not in self._sockets:
            self._sockets[name] = asyncio.ensure_future(
                connect(self._urls[name], ping_interval=None, close_timeout=1))
            self._sockets[name].add_done_callback(lambda done: self._begin(name, done))
        return await asyncio.shield(self._sockets[name])

    def _begin(self, name, done):
        if done.cancelled() or done.exception():
            self._sockets.pop(name, None)
        else:
            asyncio.ensure_future(self._read(name, done.result()))

    async def _read(self, name, socket):
        try:
            async for text in socket:
                match json.loads(text):
                    case ["OK", event_id, bool(taken), *_]:
                        answer = self._answers.get((name, event_id))
                        if answer and not answer.done():
                            answer.set_result(taken)
        except (OSError, WebSocketException):
            pass
        finally:
            self._sockets.pop(name, None)


class Load:
    """start(), then accounts and causes until stop()."""

    def __init__(self, world, rng):
        self.world, self.ledger = world, world.ledger
        self.client = Client(world.stack)
        self.publisher = Publisher({name: world.relay_url(name) for name in RELAYS})
        self.planted = set()  # 64 hex characters that no log may show: pubkeys and event ids
        self._rng = rng
        self._lock = threading.Lock()
        self._accounts = {}  # pubkey -> ledger's account
        self._busy = set()
        self._halt = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(function, rate / n), daemon=True)
            for function, rate, n in (
                (self._notify, NOTIFIES, 4),
                (self._write, EVENTS, 4),
                (self._renew, RENEWALS, 2),
                (self._ask_anything, OTHERS, 1),
            ) for _ in range(n)
        ]
        self.failures = []
        self.published = 0

    def start(self):
        for thread in self._threads:
            thread.start()

    def halt(self):
        """Nothing more is asked for soon."""
        self._halt.set()

    def stop(self):
        self.halt()
        for thread in self._threads:
            thread.join()

    @property
    def accounts(self):
        return len(self._accounts)

    def registered(self):
        """The pubkeys of the accounts that are there now."""
        with self._lock:
            return list(self._accounts)

    def forget_accounts(self):
        """They are registered no more: Redis has lost them."""
        with self._lock:
            self._accounts.clear()

    def new_pubkey(self):
        pubkey = nostr.new_pubkey()
        self.planted.add(pubkey)
        return pubkey

    def new_event(self, pubkey):
        """A gift wrap, dated back as they are, or a direct message."""
        if self._draw() < 0.7:
            event = nostr.gift_wrap(pubkey, time.time() - self._draw() * 47 * 3600)
        else:
            event = nostr.direct_message(pubkey)
        self.planted.update((event["id"], event["pubkey"]))
        return event

    # ---- In threads

    def _draw(self):
        with self._lock:
            return self._rng.random()

    def _choose(self, among):
        with self._lock:
            return self._rng.choice(among)

    def _repeat(self, function, rate):
        due = now()
        while not self._halt.is_set():
            try:
                function()
            except Exception as error:  # a fault of this program's: told, and fails the run
                self.failures.append(f"{function.__name__}: {error!r}")
            due = max(due + 1 / rate, now() - 1)
            self._halt.wait(max(0, due - now()))

    def _take_account(self):
        """(pubkey, account) that is nobody else's until _give_back(); None where there is none.
        Mostly one that nothing is to wake any more, so that a push too many shows."""
        any_one = self._draw() < 0.2
        with self._lock:
            for pubkey in self._rng.sample(list(self._accounts), min(12, len(self._accounts))):
                account = self._accounts[pubkey]
                if pubkey not in self._busy and (any_one or self.ledger.is_quiet(account)):
                    self._busy.add(pubkey)
                    return pubkey, account
        return None

    def _give_back(self, pubkey):
        with self._lock:
            self._busy.discard(pubkey)

    def _notify(self):
        """One request, or now and then so many that the limit of the pubkey is spent."""
        if taken := self._take_account():
            pubkey, account = taken
            for _ in range(14 if self._draw() < 0.01 else 1):
                cause = self.ledger.begin(account, NOTIFY, now())
                kind = self.client.notify(pubkey)
                verdict = MUST if kind in (contract.OK, contract.LIMITED) else MAY
                self.ledger.settle(cause, verdict, now())
            self._give_back(pubkey)

    def _write(self):
        """One event, to one relay or more; now and then the same to the others later."""
        if taken := self._take_account():
            pubkey, account = taken
            event = self.new_event(pubkey)
            at = RELAYS if self._draw() < 0.6 else [self._choose(RELAYS)]
            cause = self.ledger.begin(account, EVENT, now())
            took = self.publisher.publish(event, at)
            self.published += 1
            self.ledger.settle(cause, MUST if took else MAY, now(), took)
            if len(at) < len(RELAYS) and self._draw() < 0.3:
                self._halt.wait(self._draw() * 3)
                self.publisher.publish(event, RELAYS)
            self._give_back(pubkey)

    def _renew(self):
        """Accounts that have had their day leave, others come; and some register again."""
        worn = None
        with self._lock:
            for pubkey in self._rng.sample(list(self._accounts), min(12, len(self._accounts))):
                account = self._accounts[pubkey]
                if (pubkey not in self._busy and self.ledger.is_settled(account) and (
                        len(account.causes) >= CAUSES_MOST or self.ledger.is_tainted(account))):
                    del self._accounts[pubkey]
                    worn = pubkey, account
                    break
            few = len(self._accounts) < ACCOUNTS
        if worn:
            kind = self.client.unregister(worn[0])
            self.ledger.close(worn[1], now(), kind == contract.OK)
        elif few:
            self._register(self._choose(PROVIDERS))
        elif self._draw() < 0.05 and (taken := self._take_account()):
            pubkey, account = taken
            self.client.register(pubkey, account.token, "renewal")
            self._give_back(pubkey)

    def _register(self, provider):
        name = f"{SECRET}{secrets.token_urlsafe(40)}"
        token = name
        if provider != FCM:
            name = f"/up/{name}?up=1"
            token = self.world.providers[provider].url + name
        scopes = {REDIS, LISTENER, provider} | ({"file"} if provider in DISTRIBUTORS else set())
        pubkey, began = self.new_pubkey(), now()
        # A push may come of it as soon as it is asked for: from the endpoint file.
        account = self.ledger.open(name, scopes, began)
        account.token = token
        kind = self.client.register(pubkey, token)
        may_be_lost = (self.world.redis_forgets
                       and self.ledger.outages_at(began, now(), REDIS))
        if kind == contract.OK and not may_be_lost:
            with self._lock:
                self._accounts[pubkey] = account
                return
        self.ledger.close(account, now(), surely=False)
        self._halt.wait(FAILED_SECONDS)

    def _ask_anything(self):
        request, path, body = self._choose([
            ("health", "/api/health", None),
            ("info", "/api/info", None),
            ("status", "/api/status", None),
            ("ready", "/api/ready", None),
            ("nothing", "/api/nothing", None),
            ("notify, bad pubkey", "/api/notify", {"trade_pubkey": "x"}),
            ("register, bad pubkey", "/api/register", {"trade_pubkey": "x"}),
            ("register, bad body", "/api/register", "{"),
            ("notify", "/api/notify", {"trade_pubkey": self.new_pubkey()}),
            ("unregister", "/api/unregister", {"trade_pubkey": self.new_pubkey()}),
        ])
        self.client.ask(request, path, body)


class Strangers:
    """What attacks are made of: registrations that the ledger does not know of."""

    def __init__(self, load):
        self._load = load

    def endpoint(self, origin, size=0):
        path = f"{STRANGER}/{SECRET}{secrets.token_urlsafe(24)}"
        return origin + path.ljust(size - len(origin), "x")

    def register_and_notify(self, endpoint):
        client, pubkey = self._load.client, self._load.new_pubkey()
        if client.register(pubkey, endpoint) == contract.OK:
            client.notify(pubkey)

    def each(self, endpoints, halt):
        """Registers and notifies for all of them, until halt is set."""
        def one(endpoint):
            if not halt.is_set():
                self.register_and_notify(endpoint)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            list(pool.map(one, endpoints))
