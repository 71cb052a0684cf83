"""handover: one hand-over from the Redis that serves at a socket to a new one (see redis-handover).

The new one starts with a socket of another name, as a replica of the old one. When it has
everything, the old one's writers are stopped (CLIENT PAUSE WRITE), both get to the same offset, the
new one is promoted, its socket is renamed over the old one's, and the old one ends its clients'
connections and is killed. Until the rename all can be undone: the new one goes, and the old one
serves as before. Nobody ever writes to both: before the rename no client knows the new one, and
from it on the old one is paused.

The old one is killed and not asked to end, for it would remove the file of its socket, which is
the new one's by then."""
import os
import re
import secrets
import signal
import time

from redis_server import (NEW, Failed, Redis, RedisError, Relay, directives, has_ended, quoted,
                          serving, start)

START_SECONDS = 15
STALLED_SECONDS = 60  # without a byte of the copy
PAUSE_MS = 500  # clients give up sooner; ends by itself, should this process be killed
EQUAL_SECONDS = 0.15  # for both to get to the same offset
TRIES = 10
COMMITTED_PAUSE_MS = 600_000  # of what is about to be killed
HOLD_MS = 30_000
END_SECONDS = 10
PERSISTS = 'the new server would persist to disk: set save "" and appendonly no'


def available_memory():
    with open("/proc/meminfo", encoding="ascii") as table:
        return int(re.search(r"MemAvailable: *(\d+)", table.read())[1]) * 1024


def megabytes(count):
    return f"{count / 1e6:.0f} MB"


class HandOver:
    """One, from the Redis at `path`. tell(text) is for the operator; check() raises where he wants
    no more of it, and is not asked any more once the socket has been moved."""

    def __init__(self, path, request, tell, check):
        self._path, self._new_path = path, path + NEW
        self._request = request
        self._login = request["user"], request["password"]
        self._hold = f"{request['prefix']}paused", f"redis-handover {secrets.token_hex(8)}"
        self._tell, self._check = tell, check
        self._old = self._new = self._process = self._relay = self._old_process = None
        self._holding = self._copied = False
        self.paused_ms = None

    def run(self):
        """The new server's process; what has failed leaves the old one as it was."""
        try:
            self._look_at_the_old_one()
            self._start_the_new_one()
            self._look_at_the_new_one()
            self._wait_for_the_copy()
            self._hold_pushing()
            self._switch()
        except BaseException as error:
            if not self._rescue(error):
                self._undo()
                self._close()
                if isinstance(error, (OSError, RedisError)):
                    raise Failed(f"{type(error).__name__}: {error}") from error
                raise
        self._finish()
        self._close()
        return self._process

    # ---- Before anything is touched

    def _look_at_the_old_one(self):
        self._old = Redis(self._path, self._login)
        try:
            self._old_process = os.pidfd_open(self._old.pid)
            signal.pidfd_send_signal(self._old_process, 0)
        except OSError as error:
            raise Failed(f"the Redis that serves is another user's: {error}") from None
        role = self._old.call("ROLE")
        if role[0] != "master":
            raise Failed("the Redis that serves is a replica")
        if role[2]:
            raise Failed("it has replicas: use contrib/redis-ha/switch")
        memory = self._old.info("memory")
        self._size = int(memory["used_memory"])
        # The copy, what writers change while the old one's child still holds it, and buffers.
        needed, room = self._size * 5 // 4 + (64 << 20), available_memory()
        if room < needed:
            raise Failed(f"two of them need {megabytes(needed)} more of memory, of which there "
                         f"are {megabytes(room)}")
        self._tell(f"{self._old.version()} holds {megabytes(self._size)}")

    def _start_the_new_one(self):
        if directives(self._request["config"]).get("appendonly", "no") != "no":
            raise Failed(PERSISTS)  # it would make its files as it starts
        self._relay = Relay(self._path)
        self._relay.start()
        overrides = [f"unixsocket {self._new_path}", "port 0", "tls-port 0",
                     f"replicaof 127.0.0.1 {self._relay.port}", "replica-read-only yes"]
        user, password = self._login
        if password:
            overrides += [f"masterauth {quoted(password)}"]
            overrides += [f"masteruser {quoted(user)}"] if user else []
        if os.path.lexists(self._new_path):
            os.unlink(self._new_path)
        self._process = start(self._request["server"], self._request["config"],
                              "\n".join(["", *overrides, ""]))
        self._new = self._await(lambda: serving(self._new_path, self._login), "does not answer")

    def _await(self, condition, what):
        deadline = time.monotonic() + START_SECONDS
        while not (value := condition()):
            self._check()
            if self._process.poll() is not None:
                raise Failed("the new server has ended: its log says why")
            if time.monotonic() > deadline:
                raise Failed(f"the new server {what}")
            time.sleep(0.01)
        return value

    def _look_at_the_new_one(self):
        found = self._new.config("save", "appendonly", "maxmemory", "maxmemory-policy")
        if found["save"] or found["appendonly"] != "no":
            raise Failed(PERSISTS)
        if found["maxmemory-policy"] != "noeviction":
            raise Failed("the new server would evict registrations: set maxmemory-policy "
                         "noeviction")
        limit = int(found["maxmemory"])
        if limit and self._size > limit * 0.7:
            raise Failed(f"the new server's maxmemory of {megabytes(limit)} is too little for "
                         f"{megabytes(self._size)}: over 70 % no new pubkeys are taken")
        self._tell(f"{self._new.version()} is there and copies")

    def _wait_for_the_copy(self):
        begun = moved = time.monotonic()
        seen = 0
        while self._new.info("replication").get("master_link_status") != "up":
            self._check()
            if self._process.poll() is not None:
                raise Failed("the new server has ended: its log says why")
            # Its child, which writes the copy, may keep its connections for a while.
            if has_ended(self._old_process):
                raise Failed("the old server has died before it was copied")
            if self._relay.ended:
                raise Failed(f"{self._new.version()} cannot copy what {self._old.version()} "
                             "holds: its log says why (a format that it cannot read, an ACL)")
            now = time.monotonic()
            if self._relay.bytes != seen:
                seen, moved = self._relay.bytes, now
            if now - moved > STALLED_SECONDS:
                raise Failed(f"no more of the copy has come for {STALLED_SECONDS} s")
            time.sleep(0.02)
        self._copied = True
        self._tell(f"copied {megabytes(self._relay.bytes)} in {time.monotonic() - begun:.1f} s")

    # ---- What is undone if anything fails

    def _hold_pushing(self):
        """A push that nobody begins now is none that could be made twice. It ends by itself."""
        name, value = self._hold
        try:
            self._holding = self._old.call("SET", name, value, "NX", "PX", HOLD_MS) == "OK"
        except RedisError as error:
            if not str(error).startswith("OOM"):
                raise

    def _release_pushing(self, redis):
        name, value = self._hold
        if self._holding and redis.call("GET", name) == value:
            redis.call("DEL", name)

    def _switch(self):
        for _ in range(TRIES):
            self._check()
            begun = time.monotonic()
            self._old.call("CLIENT", "PAUSE", PAUSE_MS, "WRITE")
            if self._wait_for_the_offset(begun + EQUAL_SECONDS):
                break
            self._old.call("CLIENT", "UNPAUSE")
            time.sleep(0.1)
        else:
            raise Failed("the new server does not keep up with the old one's writers")
        counted = [redis.info("keyspace") for redis in (self._old, self._new)]
        keys = [{db: re.match(r"keys=\d+", text)[0] for db, text in each.items()}
                for each in counted]
        if keys[0] != keys[1]:
            raise Failed(f"the copy is not whole: {keys[0]} are {keys[1]} there")
        self._promote()
        self._check()
        self._old.call("CLIENT", "PAUSE", COMMITTED_PAUSE_MS, "WRITE")
        if time.monotonic() - begun > PAUSE_MS / 1000 * 0.9:
            raise Failed("it took too long: the old server's writers may have gone on")
        os.rename(self._new_path, self._path)
        self.paused_ms = (time.monotonic() - begun) * 1000

    def _wait_for_the_offset(self, deadline):
        end = self._old.offset()
        while self._new.offset() < end:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.001)
        return True

    def _promote(self):
        self._new.call("REPLICAOF", "NO", "ONE")
        if self._new.call("ROLE")[0] != "master":
            raise Failed("the new server is not promoted")

    def _rescue(self, error):
        """Where the old one has died after it was copied, what came through is in the new one."""
        if isinstance(error, Failed) or not self._copied or not has_ended(self._old_process, 1):
            return False
        self._promote()
        os.rename(self._new_path, self._path)
        self._tell("the old server has died meanwhile: the new one has all that it had copied")
        return True

    def _undo(self):
        if self._process:
            self._process.kill()
            self._process.wait()
        if os.path.lexists(self._new_path):
            os.unlink(self._new_path)
        try:
            # On a connection of its own: the other may be in the middle of an answer.
            if not self._old_has_ended() and (old := serving(self._path, self._login)):
                old.call("CLIENT", "UNPAUSE")
                self._release_pushing(old)
                old.close()
        except (OSError, RedisError):
            pass  # it has gone

    def _old_has_ended(self):
        return self._old_process is not None and has_ended(self._old_process)

    # ---- What follows once it is done

    def _finish(self):
        try:
            self._old.call("CLIENT", "KILL", "TYPE", "normal")
        except (OSError, RedisError):
            pass  # they notice when it has gone
        try:
            signal.pidfd_send_signal(self._old_process, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            self._take_the_port()
            self._release_pushing(self._new)
        except (OSError, RedisError) as error:
            self._tell(f"the new server serves, but: {error}")

    def _close(self):
        for redis in (self._old, self._new):
            if redis:
                redis.close()
        if self._relay:
            self._relay.close()
        if self._old_process is not None:
            os.close(self._old_process)

    def _take_the_port(self):
        found = directives(self._request["config"])
        port = found.get("port", "6379")
        if port == "0":
            return
        has_ended(self._old_process, END_SECONDS)
        if "bind" in found:
            self._new.call("CONFIG", "SET", "bind", found["bind"])
        self._new.call("CONFIG", "SET", "port", port)
