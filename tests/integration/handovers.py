"""handovers: a stack whose Redis has a keeper (contrib/redis-handover), and a load that keeps count
of what must be there and what must be pushed, while Redis is replaced."""
import collections
import os
import re
import subprocess
import sys
import threading
import time

import redis

import nostr
from stack import BUILD_DIR, REDIS_SERVER, TOP, Program, Stack, wait_until

sys.path.insert(0, str(TOP / "contrib"))

import handover  # noqa: E402

HandOver, Failed = handover.HandOver, handover.Failed
HANDOVER = TOP / "contrib/redis-handover"
TRIES = 500
# Put there by contrib/check --long (tests/debian/servers).
SERVERS = BUILD_DIR / "servers"


class Kept:
    """Redis as operators run it: `stack`'s, with a keeper."""

    def __init__(self, stack: Stack, server=REDIS_SERVER, lines=(), **settings):
        self.stack = stack
        self.redis = stack.redis
        self.config = self.write("redis.conf", *lines)
        self.settings = {**stack.settings, **settings}
        self.keeper = None
        self._server = server

    def write(self, name, *lines):
        """A configuration: the example with these lines behind it."""
        text = (TOP / "contrib/redis.conf.example").read_text()
        for pattern, value in (("unixsocket .*", f"unixsocket {self.stack.socket}"),
                               ("unixsocketperm .*", "unixsocketperm 700"),
                               ("dir .*", f"dir {self.stack.directory}")):
            text = re.sub(rf"(?m)^{pattern}", value, text)
        path = self.stack.directory / name
        path.write_text("\n".join([text, *lines, ""]))
        return path

    def start(self, wait=True):
        self.keeper = Program("redis", [HANDOVER, "--keep", "--server", self._server, self.config],
                              self.stack.directory, self.settings)
        self.stack.programs.append(self.keeper)
        if wait:
            wait_until(lambda: self.control.exists() and self.pid(), what="the keeper is there")
        return self

    @property
    def control(self):
        return self.stack.socket.with_name(self.stack.socket.name + ".handover")

    @property
    def new_socket(self):
        return self.stack.socket.with_name(self.stack.socket.name + ".new")

    def pid(self):
        """Of the Redis that serves; None where none does."""
        try:
            return self.redis.info("server")["process_id"]
        except redis.ConnectionError:
            return None

    def begin(self, *options, config=None, server=None, **environment):
        """A hand-over that is under way."""
        return subprocess.Popen(
            [HANDOVER, "--server", server or self._server, *options, config or self.config],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={"PATH": os.environ["PATH"], **environment})

    def hand_over(self, *options, **more):
        """(exit status, what it said)."""
        process = self.begin(*options, **more)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def slowly(self, keys=1000, ms=30_000):
        """From now on a copy takes so long, for a test to do something meanwhile."""
        pipeline = self.redis.pipeline()
        for n in range(keys):
            pipeline.set(f"filling:{n}", n)
        pipeline.execute()
        self.redis.config_set("rdb-key-save-delay", ms * 1000 // keys)

    def new_one(self):
        """A client of the new server, which is still a replica."""
        client = redis.Redis(unix_socket_path=str(self.new_socket), decode_responses=True)

        def answers():
            try:
                return client.ping()
            except redis.ConnectionError:
                return False
        wait_until(answers, what="the new server answers")
        return client


class Load:
    """Phones register, and each is woken once: by a notify or by a gift wrap. Meanwhile strangers
    are notified all the time, which shows for how long the API answers 503. In threads of its own."""

    def __init__(self, stack, phone, relay):
        self._stack, self._phone, self._relay = stack, phone, relay
        self._stopping = threading.Event()
        self._errors = []
        self.answers = collections.defaultdict(list)  # request -> (begun, ended, status)
        self.expiries = {}  # pubkey -> as Redis had it, of those registered before
        self.endpoints = {}  # pubkey -> endpoint, of those registered
        self.wakes = {}  # pubkey -> how often its notify was sent; 1 for an event
        self._threads = [threading.Thread(target=self._run, args=(what,), daemon=True)
                         for what in (self._phones, self._strangers, self._strangers)]

    def register(self, count):
        """So many phones that are there before."""
        for _ in range(count):
            self._register()
        self.expiries = {pubkey: self._stack.redis.pexpiretime(f"mostro:token:{pubkey}")
                         for pubkey in self.endpoints}

    def start(self):
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join(20)
        assert not self._errors, self._errors

    def _run(self, what):
        try:
            while not self._stopping.is_set():
                what()
        except Exception as error:
            self._errors.append(repr(error))

    def _until(self, status, request, body):
        """As a client would that asks again; how often it has asked."""
        for asked in range(1, TRIES + 1):
            if self._ask(request, f"/api/{request}", body) == status:
                return asked
            time.sleep(0.02)
        raise AssertionError(f"{request} was refused {TRIES} times")

    def _ask(self, request, path, body):
        begun = time.monotonic()
        answer = self._stack.post(path, body)
        self.answers[request].append((begun, time.monotonic(), answer.status))
        return answer.status

    def _register(self):
        """Until it is registered: as a phone would that asks again."""
        pubkey, endpoint = nostr.new_pubkey(), self._phone.endpoint()
        self._until(200, "register", {
            "trade_pubkey": pubkey, "token": endpoint, "platform": "android"})
        self.endpoints[pubkey] = endpoint
        return pubkey

    def _phones(self):
        pubkey = self._register()
        if len(self.endpoints) % 2:
            self._relay.publish(nostr.gift_wrap(pubkey))
            self.wakes[pubkey] = 1
        else:
            self.wakes[pubkey] = self._until(202, "notify", {"trade_pubkey": pubkey})
        time.sleep(0.01)

    def _strangers(self):
        self._ask("stranger", "/api/notify", {"trade_pubkey": nostr.new_pubkey()})
        time.sleep(0.002)

    def longest_outage(self, after=0):
        """In seconds: from the first request that got 503 to the end of the next that did not."""
        longest = 0
        for answers in self.answers.values():
            since = None
            for begun, ended, status in sorted(each for each in answers if each[0] >= after):
                if status == 503:
                    since = begun if since is None else since
                elif since is not None:
                    longest, since = max(longest, ended - since), None
        return longest

    def check(self):
        """All is there, and all have been woken, once."""
        statuses = {(request, status) for request, answers in self.answers.items()
                    for _, _, status in answers}
        assert statuses <= {("register", 200), ("register", 503), ("notify", 202), ("notify", 503),
                            ("stranger", 202), ("stranger", 503)}
        store = self._stack.redis
        assert {pubkey: store.pexpiretime(f"mostro:token:{pubkey}")
                for pubkey in self.expiries} == self.expiries
        lost = [pubkey for pubkey in self.endpoints if not store.exists(f"mostro:token:{pubkey}")]
        assert not lost, f"{len(lost)} of {len(self.endpoints)} registrations are lost"
        total = sum(int(each) for each in store.hmget("mostro:live", "android", "ios") if each)
        assert total == len(self.endpoints)
        self._stack.wait_until_idle(30)
        counts = collections.Counter(push.path for push in self._phone.pushes)
        pushes = {pubkey: counts[self.endpoints[pubkey].removeprefix(self._phone.url)]
                  for pubkey in self.wakes}
        assert not [pubkey for pubkey, count in pushes.items() if count == 0]
        # A notify that was answered 503 may have been queued before its answer was lost.
        assert not [pubkey for pubkey, count in pushes.items() if count > self.wakes[pubkey]]
