"""contrib/redis-handover: a running Redis is replaced by a new one, and nothing is lost; or, where
that fails, the old one serves as if nothing had been."""
import contextlib
import os
import pathlib
import re
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import time

import pytest
import redis

import handovers
from handovers import SERVERS, Failed, HandOver, Kept, Load
from loopback import HOST, Port
from stack import BUILD_DIR, REDIS_SERVER, TOP, wait_until
from test_redis import PASSWORDS, acl_user, hashed

pytestmark = pytest.mark.servers
HELD = "mostro:paused"


@pytest.fixture
def kept(make_stack):
    return Kept(make_stack()).start()


@pytest.fixture
def loaded(make_stack, relay, phone):
    """make(server) -> (Kept, Load): the whole server, with 200 phones."""
    def make(server=REDIS_SERVER):
        stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", LOG_LEVEL="info")
        one = Kept(stack, server).start()
        stack.start_api(workers=2)
        stack.start_listener(relay)
        load = Load(stack, phone, relay)
        load.register(200)
        return one, load
    return make


def replace(one, load, server=None):
    """One hand-over, with half a second of load before and after it; how long it took."""
    time.sleep(0.5)
    old, begun = one.pid(), time.monotonic()
    status, output = one.hand_over(server=server)
    took = time.monotonic() - begun
    assert status == 0, output
    time.sleep(0.5)
    assert one.pid() != old and not pathlib.Path(f"/proc/{old}").exists()
    return took


@pytest.mark.measured
def test_nothing_is_lost_under_load(loaded):
    one, load = loaded()
    load.start()
    replace(one, load)
    load.stop()
    load.check()
    # Half of it is for a machine that stands still beside other tests; the long ones have less.
    assert load.longest_outage() < 2
    assert not one.new_socket.exists()


@pytest.mark.long
def test_twenty_times_under_load(loaded):
    one, load = loaded()
    load.start()
    took, outages = [], []
    for _ in range(20):
        begun = time.monotonic()
        took.append(replace(one, load))
        outages.append(load.longest_outage(begun))
    load.stop()
    load.check()
    print(f"{statistics.median(took):.2f} s, at most {max(took):.2f}; 503 for "
          f"{statistics.median(outages):.3f} s, at most {max(outages):.3f}")
    assert load.longest_outage() < 1


# ---- From version to version

@pytest.mark.long
@pytest.mark.parametrize("old, new", [("redis-7.0", "redis-8.0"), ("redis-7.0", "valkey-8.1"),
                                      ("valkey-8.1", "redis-8.0")])
def test_an_upgrade_under_load(loaded, old, new):
    one, load = loaded(SERVERS / old)
    before = one.redis.info("server")
    load.start()
    replace(one, load, SERVERS / new)
    load.stop()
    load.check()
    assert load.longest_outage() < 1
    after = one.redis.info("server")
    assert ("valkey_version" in after) == new.startswith("valkey")
    assert after["redis_version"] != before["redis_version"]


@pytest.mark.long
@pytest.mark.parametrize("old, new", [("redis-8.0", "valkey-8.1"), ("redis-8.0", "redis-7.0"),
                                      ("valkey-8.1", "redis-7.0")])
def test_an_upgrade_that_cannot_work_is_refused(make_stack, old, new):
    one = Kept(make_stack(), SERVERS / old).start()
    check_fails(one, "cannot copy what", server=SERVERS / new)


# ---- Failures

def check_whole(one, pid, digest):
    """The old one serves as before."""
    assert one.pid() == pid
    assert not one.new_socket.exists()
    assert one.redis.get(HELD) is None
    begun = time.monotonic()
    one.redis.set("written", 1)
    # A pause of before the end is over by itself in half a second; the last one takes minutes.
    assert time.monotonic() - begun < 3, "its writers are held"
    one.redis.delete("written")
    assert one.redis.info("replication")["connected_slaves"] == 0
    assert contents(one) == digest
    assert one.redis.role()[0] == "master"


def contents(one):
    return {key: one.redis.get(key) for key in one.redis.scan_iter(match="data:*")}


def fill(one):
    one.redis.mset({f"data:{n}": n for n in range(100)})
    return one.pid(), contents(one)


def check_fails(one, why, *options, **more):
    pid, digest = fill(one)
    status, output = one.hand_over(*options, **more)
    assert status == 1 and why in output, output
    wait_until(lambda: one.redis.info("replication")["connected_slaves"] == 0, what="it has gone")
    check_whole(one, pid, digest)


# Lines of the new one's configuration, and what is said.
REFUSED = {
    "saving": (['save "3600 1"'], "would persist to disk"),
    "appending": (["appendonly yes"], "would persist to disk"),
    "evicting": (["maxmemory-policy allkeys-lru"], "would evict"),
    "small": (["maxmemory 500kb"], "is too little"),
    "nonsense": (["nonsense yes"], "the new server has ended"),
    "asking for a password": (["requirepass x"], "NOAUTH"),
    "that cannot be asked": (['rename-command INFO ""'], "unknown command"),
    "that cannot be promoted": (['rename-command REPLICAOF ""'], "unknown command"),
    # It ends when it is asked for its offset, while the old one's writers are paused.
    "dying in the pause": (['rename-command ROLE ""', "rename-command SHUTDOWN ROLE"],
                           "failed: Connection"),
}


def test_what_cannot_be_used_changes_nothing(kept):
    for name, (lines, why) in REFUSED.items():
        check_fails(kept, why, config=kept.write("other.conf", *lines))
    check_fails(kept, "no such program", server="no-such-server")
    check_fails(kept, "the new server has ended", server="/bin/false")
    kept.new_socket.mkdir()
    pid, digest = fill(kept)
    status, output = kept.hand_over()
    kept.new_socket.rmdir()
    assert status == 1 and "Is a directory" in output
    assert not (kept.stack.directory / "appendonlydir").exists()
    check_whole(kept, pid, digest)
    # And once nothing is in its way, it works.
    assert kept.hand_over()[0] == 0
    assert contents(kept) == digest and kept.pid() != pid


def test_a_redis_with_replicas_is_left_as_it_is(make_stack):
    port = Port()
    one = Kept(make_stack(), lines=[f"port {port.number}", f"bind {HOST}"]).start()
    pid = one.pid()
    one.stack.start_program("replica", [
        REDIS_SERVER, "--port", "0", "--unixsocket", one.stack.directory / "replica.sock",
        "--save", "", "--replicaof", HOST, port.number])
    wait_until(lambda: one.redis.info("replication")["connected_slaves"] == 1, what="a replica")
    status, output = one.hand_over()
    assert status == 1 and "it has replicas: use contrib/redis-ha/switch" in output
    assert one.pid() == pid and one.redis.info("replication")["connected_slaves"] == 1
    port.close()


def test_an_interrupted_one_changes_nothing(kept):
    pid, digest = fill(kept)
    kept.slowly()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process = kept.begin()
        wait_until(kept.new_socket.exists, what="the new server's socket")
        process.send_signal(number)
        output, _ = process.communicate(timeout=10)
        assert process.returncode == 1 and "interrupted: the old server serves as before" in output
        wait_until(lambda: kept.redis.info("replication")["connected_slaves"] == 0)
        check_whole(kept, pid, digest)


def test_an_old_one_that_dies_early_ends_all(kept):
    """Then all is lost anyway, and what has started it starts it again."""
    kept.slowly()
    process = kept.begin()
    new_pid = kept.new_one().info("server")["process_id"]
    os.kill(kept.pid(), signal.SIGKILL)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 1 and "serves as before" not in output
    assert kept.keeper.wait() == 1
    assert not pathlib.Path(f"/proc/{new_pid}").exists()
    assert not kept.stack.socket.exists() and not kept.control.exists()


STEPS = ["_look_at_the_new_one", "_wait_for_the_copy", "_hold_pushing", "_switch", "_promote"]


@pytest.fixture
def dying(make_stack, monkeypatch):
    """dying(step, who) -> what comes of a hand-over in which `who` is killed before a step: (Kept,
    its process id before, its contents before, the HandOver, or what it raises)."""
    ended = []
    # So long that it shows where nothing ends it.
    monkeypatch.setattr(handovers.handover, "PAUSE_MS", 60_000)

    def make(step, who):
        one = Kept(make_stack())
        one.stack.start_redis("--unixsocketperm", "700")
        pid, digest = fill(one)

        class Dying(HandOver):
            def do(self, what):
                victim = pid if who == "old" else self._process.pid
                os.kill(victim, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitid(os.P_PID, victim, os.WEXITED | os.WNOWAIT)
                what()

        def killing(self):
            self.do(lambda: getattr(HandOver, step)(self))
        setattr(Dying, step, killing)
        request = {"server": REDIS_SERVER, "config": str(one.config), "user": None,
                   "password": None, "prefix": "mostro:"}
        hand_over = Dying(str(one.stack.socket), request, lambda text: None, lambda: None)
        try:
            ended.append(hand_over.run())
        except Failed as error:
            hand_over = error
        return one, pid, digest, hand_over
    yield make
    for process in ended:
        process.kill()
        process.wait()


@pytest.mark.parametrize("step", STEPS)
def test_a_new_one_that_dies_changes_nothing(dying, step):
    one, pid, digest, outcome = dying(step, "new")
    assert isinstance(outcome, Failed)
    check_whole(one, pid, digest)


@pytest.mark.parametrize("step", STEPS[2:])
def test_an_old_one_that_dies_late_is_survived(dying, step):
    """The copy was whole: the new one serves."""
    one, pid, digest, outcome = dying(step, "old")
    assert isinstance(outcome, HandOver), outcome
    assert one.pid() != pid and one.redis.role()[0] == "master"
    assert contents(one) == digest
    one.redis.set("written", 1)


def test_the_keeper_stops_in_the_middle(kept):
    kept.slowly()
    process = kept.begin()
    pids = kept.pid(), kept.new_one().info("server")["process_id"]
    kept.keeper._process.send_signal(signal.SIGTERM)
    assert kept.keeper.wait() == 0
    process.communicate(timeout=10)
    assert process.returncode == 1
    assert not [pid for pid in pids if pathlib.Path(f"/proc/{pid}").exists()]


# ---- Who else is there

def test_an_operators_hold_stays(kept):
    assert kept.hand_over()[0] == 0
    assert not kept.redis.exists(HELD), "its own does not stay"
    kept.redis.set(HELD, "by an operator")
    assert kept.hand_over()[0] == 0
    assert kept.redis.get(HELD) == "by an operator"
    assert kept.redis.pttl(HELD) == -1


def test_a_redis_without_a_keeper_is_taken_over(make_stack):
    one = Kept(make_stack())
    one.stack.start_redis("--unixsocketperm", "700")
    pid, digest = fill(one)
    one.start(wait=False)
    wait_until(lambda: one.pid() not in (None, pid), what="a new Redis")
    assert contents(one) == digest
    wait_until(one.control.exists, what="the keeper listens")
    assert one.hand_over()[0] == 0
    assert contents(one) == digest


def test_a_keeper_that_is_killed_is_followed_by_the_next(kept):
    """Which finds the Redis that it has left, and takes over what it holds."""
    pid, digest = fill(kept)
    os.kill(kept.keeper.pid, signal.SIGKILL)
    kept.keeper.wait()
    assert kept.pid() == pid
    kept.start(wait=False)
    wait_until(lambda: kept.pid() not in (None, pid), what="a new Redis")
    assert contents(kept) == digest
    wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), what="the old one is gone")


def test_one_that_loads_slowly_is_waited_for(kept):
    """Redis 8.0's second connection, which the copy comes on, has long ended by then."""
    kept.redis.mset({f"data:large:{n}": secrets.token_hex(4096) for n in range(100)})
    pid, digest = fill(kept)
    status, output = kept.hand_over(config=kept.write(
        "slow.conf", "key-load-delay 5000", "loading-process-events-interval-bytes 1024"))
    assert status == 0, output
    assert contents(kept) == digest and kept.pid() != pid


def test_without_a_keeper_it_says_so(make_stack):
    one = Kept(make_stack())
    one.stack.start_redis()
    status, output = one.hand_over()
    assert status == 1 and "no keeper of" in output


def test_a_port_moves_too(make_stack, pubkey):
    with_port = make_stack()
    port = Port()
    with_port.settings["REDIS_URL"] = f"redis://{HOST}:{port.number}"
    one = Kept(with_port, lines=[f"port {port.number}", f"bind {HOST}"]).start()
    with_port.start_api()
    with_port.register(pubkey, "token-1")
    status, output = one.hand_over()
    assert status == 0 and "but:" not in output, output
    wait_until(lambda: with_port.get("/api/status").status == 200, 5)
    assert '"total":1' in with_port.get("/api/status").body
    with redis.Redis(HOST, port.number) as client:
        assert client.info("server")["process_id"] == one.pid()
    port.close()


def command_lines():
    """Of all processes; other tests' end meanwhile."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield path.read_bytes()


def test_with_users_and_a_password(make_stack):
    """Neither of which is seen in a log or on a command line."""
    stack = make_stack()
    password = "handed-over-in-secret"
    PASSWORDS["admin"] = "tests"
    users = stack.directory / "users.acl"
    users.write_text("\n".join([
        acl_user("mostro-push").replace("user mostro-push ", "user default ").replace(
            "#SHA256-OF-ITS-PASSWORD", "nopass"),
        hashed(acl_user("handover"), password), "user admin on >tests ~* &* +@all", ""]))
    stack.redis.close()
    stack.redis = redis.Redis(unix_socket_path=str(stack.socket), decode_responses=True,
                              username="admin", password="tests")
    one = Kept(stack, lines=[f"include {users}"]).start()
    pid, digest = fill(one)
    check_fails(one, "cannot copy what")
    one.slowly(ms=500)
    process = one.begin("--user", "handover", REDISCLI_AUTH=password)
    wait_until(one.new_socket.exists)
    commands = list(command_lines())
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert one.pid() != pid and contents(one) == digest
    assert password not in output + stack.logs()
    assert not [each for each in commands if password.encode() in each]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_nobody_else_gets_in_by_its_port(kept):
    """The default user needs no password: what keeps others out is the socket's mode."""
    kept.slowly()
    process = kept.begin()
    port = kept.new_one().info("replication")["master_port"]
    ask = (f"import socket; s = socket.create_connection(('{HOST}', {port})); s.settimeout(3)\n"
           "s.sendall(b'PING\\r\\n'); print(s.recv(100))")
    stranger = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", sys.executable,
                               "-c", ask], capture_output=True, text=True)
    assert "PONG" not in stranger.stdout and (
        stranger.stdout == "b''\n" or "ConnectionReset" in stranger.stderr), stranger
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)


# ---- Its unit

@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd")
def test_its_unit_is_one(tmp_path):
    """Debian's, with the drop-in, has commands that are there and says nothing that is unknown."""
    unit = pathlib.Path("/lib/systemd/system/redis-server@.service")
    (tmp_path / unit.name).write_text(unit.read_text())
    folder = tmp_path / "redis-server@mostro-push.service.d"
    folder.mkdir()
    drop_in = (BUILD_DIR / "contrib/systemd/redis.d/handover.conf").read_text()
    program, = set(re.findall("(?m)^Exec.*=(/.*/redis-handover) ", drop_in))
    assert "@" not in re.sub("redis-server@", "", drop_in)
    (folder / "handover.conf").write_text(
        drop_in.replace(program, str(TOP / "contrib/redis-handover")))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "redis-server@mostro-push.service"],
        env={"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_an_upgrade_of_the_package_leaves_it_alone():
    """Its maintainer scripts restart the service that apt has started, and no instance."""
    scripts = "".join(pathlib.Path(f"/var/lib/dpkg/info/redis-server.{name}").read_text()
                      for name in ("postinst", "prerm"))
    assert "redis-server.service" in scripts and "redis-server@" not in scripts
