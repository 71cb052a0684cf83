"""Redis as it must be, as it may be set up, and as it may fail: every worker and the listener live
through it, nobody waits, and no answer is another's."""
import contextlib
import hashlib
import json
import os
import random
import re
import secrets
import signal
import socket
import statistics
import subprocess
import threading
import time

import pytest
import redis

import nostr
from loopback import HOST, Port
from phone import Answer
from stack import (FCGI, SLOW, TOP, preloaded, registering, wait_for_append_only_file,
                   wait_until)

UNAVAILABLE = '{"success":false,"message":"service unavailable"}'
REGISTERED = '{"success":true,"message":"Token registered successfully","platform":"%s"}'
UNREGISTERED = '{"success":true,"message":"Token unregistered successfully"}'
ABSENT = '{"success":true,"message":"Token not found (may have already been unregistered)"}'
ACCEPTED = '{"accepted":true}'

TIMEOUT, HOLD_OFF = 0.3, 0.25  # of a command; after a failure
SLACK = 0.15                   # for a machine that does other things, too
SLOWEST = 2                    # less than those wait who may wait for Redis (2.5 s)


@pytest.fixture
def make_api(make_stack):
    def make(workers=2, **settings):
        api = make_stack(**settings)
        api.start_redis()
        api.start_api(workers)
        return api
    return make


def registration(pubkey, token="token-1", platform="android"):
    return {"trade_pubkey": pubkey, "token": token, "platform": platform}


def requests_that_need_redis():
    """(path, body) of each kind, each of a pubkey of its own."""
    return [
        ("/api/status", None),
        ("/api/register", registration(nostr.new_pubkey())),
        ("/api/unregister", {"trade_pubkey": nostr.new_pubkey()}),
        ("/api/notify", {"trade_pubkey": nostr.new_pubkey()}),
    ]


def ask(api, path, body):
    return api.get(path) if body is None else api.post(path, body)


def cut_connections(stack):
    """Redis closes all but the test's own, and has when this returns. New ones may be there."""
    own = stack.redis.client_id()
    before = {int(each["id"]) for each in stack.redis.client_list()} - {own}
    stack.redis.client_kill_filter(_type="normal", skipme=True)
    wait_until(lambda: not before & {int(each["id"]) for each in stack.redis.client_list()})


def replace_workers(stack):
    """Kills the workers; returns when others have taken their places."""
    before = stack.workers.children()
    for pid in before:
        os.kill(pid, signal.SIGKILL)

    def replaced():
        now = stack.workers.children()
        return len(now) == len(before) and not set(before) & set(now)
    wait_until(replaced, what="the workers are back")


def check_unavailable(answer):
    assert (answer.status, answer.body) == (503, UNAVAILABLE), answer
    assert answer.header("Retry-After") == "1"


# ---- A Redis that persists

PERSISTING = {"save": ["--save", "3600 1"], "appendonly": ["--appendonly", "yes"]}
HIDING = ["--user", *"default on nopass ~* &* +@all -config".split()]


def responder_of(stack, **settings):
    return stack.start_program(
        "responder", ["spawn-fcgi", "-n", "-s", stack.directory / "one.sock", "--", FCGI],
        **settings)


def lines_with(program, text):
    return [line for line in program.output().splitlines() if text in line]


def operators_word(stack):
    """What /api/ready says on the operator's address: (status, reason or None)."""
    answer = stack.get("/api/ready", operator=True)
    told = json.loads(answer.body)
    assert told.pop("status") == ("ready" if answer.status == 200 else "not ready")
    reason = told.pop("reason", None)
    assert told == {}
    return answer.status, reason


def wait_for_reason(stack, status, reason):
    """Each worker keeps what it has found out for a second."""
    wait_until(lambda: operators_word(stack) == (status, reason), timeout=5,
               what=f"{operators_word(stack)} is {status}, {reason}")


def connections_made(stack):
    return stack.redis.info("stats")["total_connections_received"]


def check_refused(stack, reason):
    """While a Redis may not be used the worker and the listener stay, log once what to do, and
    answer requests accordingly."""
    workers = stack.workers.children()
    for _ in range(3):
        for path, body in requests_that_need_redis():
            check_unavailable(ask(stack, path, body))
        assert stack.get("/api/health").status == 200
        assert stack.get("/api/ready").body == '{"status":"not ready"}'
    wait_for_reason(stack, 503, f"Redis may not be used: {reason}")
    # Some attempts of every thread's later; each is a connection of its own.
    before = connections_made(stack)
    wait_until(lambda: connections_made(stack) > before + 12)
    for program in (stack.workers, stack.listener):
        wait_until(lambda program=program: lines_with(program, "cannot be used:"))
        line, = lines_with(program, "cannot be used:")
        assert " error: redis: " in line and line.endswith(f" cannot be used: {reason}"), line
        assert lines_with(program, "in use again") == []
    assert stack.workers.children() == workers and stack.listener.is_alive()


def check_mended(stack, relay, phone):
    """Everything works again without a restart."""
    wait_until(lambda: all(stack.get("/api/status").status == 200 for _ in range(5)), timeout=5)
    stack.wait_for_heartbeat()
    relay.wait_for_req(2, timeout=20)
    pubkey = nostr.new_pubkey()
    stack.register(pubkey, phone.endpoint())
    stack.notify(pubkey)
    phone.next_push()
    wait_for_reason(stack, 200, None)
    for program in (stack.workers, stack.listener):
        wait_until(lambda program=program: lines_with(program, "in use again"))
        assert len(lines_with(program, "in use again")) == 1


REFUSED = {
    "save": (PERSISTING["save"], 'it persists to disk: set save ""',
             lambda client: client.config_set("save", "")),
    "appendonly": (PERSISTING["appendonly"], "it persists to disk: set appendonly no",
                   lambda client: client.config_set("appendonly", "no")),
    "hidden config": (
        HIDING, "CONFIG GET is not allowed or unknown there: grant it, or set "
        "REDIS_ALLOW_PERSISTENCE=true if you know it keeps nothing on disk",
        lambda client: client.execute_command("ACL", "SETUSER", "default", "+config")),
    "hidden role": (
        ["--user", *"default on nopass ~* &* +@all -role".split()],
        "its ACL hides whether it is a primary: grant +role (compare users.acl.example)",
        lambda client: client.execute_command("ACL", "SETUSER", "default", "+role")),
    "replica": (["--replicaof", "127.0.0.1", "1"],
                "it is a read-only replica: point REDIS_URL at the primary",
                lambda client: client.replicaof("NO", "ONE")),
    # It takes writes, and loses them.
    "writable replica": (["--replicaof", "127.0.0.1", "1", "--replica-read-only", "no"],
                         "it is a read-only replica: point REDIS_URL at the primary",
                         lambda client: client.replicaof("NO", "ONE")),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_may_not_be_used_is_waited_for(make_stack, relay, phone, what):
    options, reason, mend = REFUSED[what]
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
    stack.start_redis(*options)
    stack.start_api(1)
    stack.spawn_listener([relay])
    check_refused(stack, reason)
    # It is left as it was found.
    assert stack.redis.dbsize() == 0 and stack.redis.function_list() == []
    mend(stack.redis)
    check_mended(stack, relay, phone)


def test_a_primary_waits_for_its_replicas(make_stack, relay, phone):
    """They may be back in a moment, so it counts as away. Functions are refused as all else is."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
    stack.start_redis()
    stack.start_api(1)
    stack.spawn_listener([relay])
    stack.wait_for_heartbeat()
    pubkey = nostr.new_pubkey()
    stack.register(pubkey, phone.endpoint())
    stack.redis.config_set("min-replicas-to-write", 1)
    check_unavailable(ask(stack, "/api/notify", {"trade_pubkey": pubkey}))
    wait_until(lambda: operators_word(stack)[0] == 503)
    for program in (stack.workers, stack.listener):
        line, = wait_until(lambda program=program: lines_with(program, "cannot be used:"))
        assert " warn: redis: " in line and "takes no writes without its replicas" in line, line
    stack.redis.config_set("min-replicas-to-write", 0)
    check_mended(stack, relay, phone)


def test_a_refusal_is_told_of_once_a_minute(make_stack, relay, tmp_path):
    """Also without requests."""
    stack = make_stack(**preloaded("later", tmp_path))
    clock = tmp_path / "clock"
    stack.settings["LATER"] = str(clock)
    stack.start_redis(*PERSISTING["save"])
    stack.start_workers(1)
    stack.spawn_listener([relay])
    for minutes in range(3):
        for program in (stack.workers, stack.listener):
            wait_until(lambda program=program: len(
                lines_with(program, "cannot be used:")) == minutes + 1)
        written = tmp_path / "written"
        written.write_text(str(61 * (minutes + 1)))
        written.rename(clock)


def test_a_redis_that_takes_no_writes_any_more(make_stack, relay, phone):
    """Of every connection that there is already."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
    stack.start_redis()
    stack.start_api(1)
    stack.start_listener(relay)
    stack.register(nostr.new_pubkey(), "token-1")
    _, reason, mend = REFUSED["replica"]
    stack.redis.replicaof("127.0.0.1", 1)
    # What only reads may be answered until something has written on that connection.
    wait_until(lambda: stack.notify(nostr.new_pubkey()).status == 503)
    check_refused(stack, reason)
    mend(stack.redis)
    check_mended(stack, relay, phone)


def test_a_new_program_brings_its_functions_to_a_redis_that_was_refused(make_stack):
    """Those of an older one may still be there."""
    stack = make_stack()
    stack.start_redis(*PERSISTING["save"])
    old = (TOP / "shared/registry/registry.lua").read_text().replace(
        "local function do_count(keys)", "local function do_count(keys) do return {7, 0} end")
    stack.redis.function_load(old)
    stack.start_api(1)
    check_unavailable(stack.get("/api/status"))
    stack.redis.config_set("save", "")
    wait_until(lambda: stack.get("/api/status").status == 200, timeout=3)
    assert '"total":0' in stack.get("/api/status").body


PASSWORD = "p@ss/w?rd-geheim"


@pytest.fixture
def with_port(make_stack, relay):
    """Makes a stack whose Redis is asked by TCP; `login` is what comes before the host in the URL.
    The test itself is a user of its own there where the default one has a password."""
    with contextlib.closing(Port()) as port:
        def make(login, *options):
            stack = make_stack(REDIS_URL=f"redis://{login}{HOST}:{port.number}")
            if "--requirepass" in options:
                stack.redis.close()
                stack.redis = redis.Redis(unix_socket_path=str(stack.socket), socket_timeout=5,
                                          decode_responses=True, username="test", password="any")
                options = (*options, "--user", *"test on nopass ~* &* +@all".split())
            stack.start_redis("--port", port.number, "--bind", HOST, *options)
            stack.start_api(1)
            stack.spawn_listener([relay])
            return stack
        yield make


def check_tells_no_password(stack):
    written = stack.logs() + operators_word(stack)[1]
    assert not [part for part in ("geheim", "p@ss", "w?rd", "wrong", "somebody")
                if part in written]


def test_a_password_may_hold_anything(with_port):
    """It ends at the last @ of the URL."""
    stack = with_port(f":{PASSWORD}@", "--requirepass", PASSWORD)
    wait_until(lambda: stack.get("/api/status").status == 200)
    stack.wait_for_heartbeat()


REFUSED_LOGIN = {
    "wrong password": (
        f":{PASSWORD}-wrong@", ["--requirepass", PASSWORD],
        "it does not take the user or the password of REDIS_URL"),
    "unknown user": (
        f"somebody:{PASSWORD}@", [], "it does not take the user or the password of REDIS_URL"),
    "a password that it does not have": (
        f":{PASSWORD}@", [],
        "it has no password: take it out of REDIS_URL, or put a user before it"),
    # Its answer repeats what was sent.
    "no AUTH at all": (
        f"somebody:{PASSWORD}@", ["--rename-command", "AUTH", ""],
        "it does not take the user or the password of REDIS_URL"),
    "no password where one is wanted": (
        "", ["--requirepass", PASSWORD], "it wants a password: put it into REDIS_URL"),
}


@pytest.mark.parametrize("what", REFUSED_LOGIN)
def test_a_login_that_fails_is_told_of_without_the_password(with_port, what):
    login, options, reason = REFUSED_LOGIN[what]
    stack = with_port(login, *options)
    check_refused(stack, reason)
    check_tells_no_password(stack)


def test_an_eviction_policy_is_warned_about(make_stack, relay):
    stack = make_stack()
    stack.start_redis("--maxmemory-policy", "allkeys-lru")
    stack.start_api(1)
    stack.start_listener(relay)
    cut_connections(stack)
    for program in (stack.workers, stack.listener):
        wait_until(lambda program=program: lines_with(program, "noeviction"))
    assert stack.get("/api/status").status == 200
    for program in (stack.workers, stack.listener):
        line, = lines_with(program, "noeviction")
        assert line.endswith("it may evict registrations: set maxmemory-policy noeviction")


def test_a_refusal_is_told_where_the_log_is(make_stack, relay):
    """Which is stderr where nobody takes lines for syslog; a line says so first."""
    stack = make_stack(LOG_TARGET="syslog")
    stack.start_redis(*PERSISTING["save"])
    stack.start_api(1)
    stack.spawn_listener([relay])
    wait_until(lambda: stack.redis.info("stats")["total_connections_received"] > 8)
    for program in (stack.workers, stack.listener):
        if os.path.exists("/dev/log"):
            assert not program.output()
            continue
        # One of the two may have made all those connections.
        wait_until(lambda program=program: lines_with(program, " error: redis: "))
        lines = program.output().splitlines()
        assert all(re.match(r"\S+Z mostro-push-\w+\[\d+] \w+: ", line) for line in lines), lines
        assert " warn: log: LOG_TARGET=syslog, but nobody takes lines at /dev/log (" in lines[0]
        assert any(" error: redis: " in line for line in lines[1:]), lines


def answers(stack):
    with contextlib.suppress(redis.exceptions.ResponseError):
        return stack.redis.ping()
    return False


@contextlib.contextmanager
def busy(stack):
    """A script that does not end: whatever is asked, this Redis says that it is busy."""
    stack.start_redis("--busy-reply-threshold", "1")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(str(stack.socket))
        connection.sendall(b"EVAL 'while true do end' 0\r\n")
        try:
            yield
        finally:
            stack.redis.script_kill()
    wait_until(lambda: answers(stack), what="the script has ended")


@contextlib.contextmanager
def crowded(stack):
    """What a Redis says to one client too many, and closes."""
    def turn_away():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"-ERR max number of clients reached\r\n")

    with contextlib.closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(stack.socket))
        server.listen()
        thread = threading.Thread(target=turn_away)
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
    stack.socket.unlink()
    stack.start_redis()


@pytest.mark.parametrize("trouble", [busy, crowded])
def test_what_passes_by_itself_is_waited_for(make_stack, relay, trouble):
    """An error that says nothing of persistence: a program must not end for it."""
    stack = make_stack()
    with trouble(stack):
        responder, listener = responder_of(stack), stack.spawn_listener([relay])
        for program in (responder, listener):
            wait_until(lambda program=program: "cannot be used" in program.output(),
                       what="it has met that Redis")
            assert program.is_alive(), program.output()
    stack.wait_for_heartbeat()
    assert responder.is_alive() and "refusing" not in responder.output()


@pytest.mark.parametrize("options", [*PERSISTING.values(), HIDING],
                         ids=[*PERSISTING, "hidden"])
def test_what_may_persist_is_taken_where_allowed(make_stack, relay, phone, pubkey, options):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", REDIS_ALLOW_PERSISTENCE="true")
    stack.start_redis(*options)
    stack.start_api()
    stack.start_listener(relay)
    stack.register(pubkey, phone.endpoint())
    stack.notify(pubkey)
    phone.next_push()


def test_a_redis_that_comes_back_persisting(make_api):
    """The log tells the reason that holds now, not only the first one."""
    api = make_api(1)
    api.redis_server.kill()
    check_unavailable(api.get("/api/status"))
    api.start_redis(*PERSISTING["appendonly"])

    def is_told():
        check_unavailable(api.get("/api/status"))
        return "persists to disk: set appendonly" in api.workers.output()
    wait_until(is_told, timeout=3)


@pytest.mark.parametrize("name, value, before", [("save", "3600 1", ""),
                                                 ("appendonly", "yes", "no")])
def test_persistence_switched_on_later(make_api, pubkey, name, value, before):
    """Whoever connects from then on finds it unusable, and says which setting it is."""
    api = make_api()
    api.register(pubkey, "token-1")
    api.redis.config_set(name, value)
    wait_for_append_only_file(api.redis)
    cut_connections(api)
    for path, body in requests_that_need_redis():
        check_unavailable(ask(api, path, body))
    assert api.get("/api/health").status == 200
    wait_until(lambda: f"persists to disk: set {name}" in api.workers.output())
    api.redis.config_set(name, before)
    wait_until(lambda: all(api.get("/api/status").status == 200 for _ in range(10)), timeout=3)
    assert '"total":1' in api.get("/api/status").body


# ---- Who may do what

ACL = TOP / "contrib/users.acl.example"
PASSWORDS = {"mostro-push": "wakes", "operator": "looks", "admin": "tests"}


def acl_user(name):
    """The line of the example that makes a user."""
    line, = [line for line in ACL.read_text().splitlines() if line.startswith(f"user {name} ")]
    return line


def granted(name):
    return set(re.findall(r" \+([\w|@]+)", acl_user(name)))


def hashed(line, password):
    return re.sub(r"#\S+", "#" + hashlib.sha256(password.encode()).hexdigest(), line)


class AclStack:
    """A stack whose Redis has the example's users, and one for the test."""

    def __init__(self, stack, unix):
        if unix:
            lines = [re.sub(r"#\S+", "nopass", acl_user("mostro-push").replace(
                "user mostro-push ", "user default "))]
        else:
            lines = [acl_user("default"),
                     hashed(acl_user("mostro-push"), PASSWORDS["mostro-push"])]
        lines.append(hashed(acl_user("operator"), PASSWORDS["operator"]))
        lines.append(f"user admin on >{PASSWORDS['admin']} ~* &* +@all")
        users = stack.directory / "users.acl"
        users.write_text("\n".join(lines) + "\n")
        self._port = Port()
        self.stack = stack
        stack.redis.close()
        stack.redis = self.client("admin")
        if not unix:
            stack.settings["REDIS_URL"] = (
                f"redis://mostro-push:{PASSWORDS['mostro-push']}@{HOST}:{self._port.number}")
        stack.start_redis("--include", users, "--port", self._port.number, "--bind", HOST)

    def client(self, name):
        return redis.Redis(unix_socket_path=str(self.stack.socket), decode_responses=True,
                           socket_timeout=5, username=name, password=PASSWORDS.get(name))

    def close(self):
        self._port.close()


@pytest.fixture
def with_acl(make_stack):
    with contextlib.ExitStack() as closing:
        def make(unix=False, **settings):
            made = AclStack(make_stack(**settings), unix)
            closing.callback(made.close)
            return made
        yield make


def test_the_example_as_it_is_lets_nobody_in(make_stack):
    """Its passwords have to be put in first."""
    stack = make_stack()
    with pytest.raises(AssertionError):
        stack.start_redis("--include", ACL)
    assert "users.acl.example" in stack.redis_server.output() or (
        "password" in stack.redis_server.output().lower())


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_the_programs_need_no_more(with_acl, relay, phone, pubkey, unix):
    acl = with_acl(unix, UNIFIEDPUSH_ALLOW_PRIVATE="true", NOTIFY_RATE_PER_PUBKEY_PER_MIN="60")
    stack = acl.stack
    stack.start_api()
    endpoint = phone.endpoint()
    stack.register(pubkey, endpoint)
    # A wake that was read by a listener which no longer runs.
    stack.redis.xgroup_create("mostro:wakes", "dispatch", "0", mkstream=True)
    stack.notify(pubkey)
    assert stack.redis.xreadgroup("dispatch", "nobody", {"mostro:wakes": ">"})
    stack.start_listener(relay)
    phone.next_push()
    wait_until(lambda: len(stack.redis.xinfo_consumers("mostro:wakes", "dispatch")) == 1)
    stack.register(nostr.new_pubkey(), "token-1", "ios")
    assert '"total":2' in stack.get("/api/status").body
    wait_until(lambda: stack.get("/api/ready").status == 200)
    assert stack.get("/api/metrics", operator=True).status == 200
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    stack.notify(pubkey)
    phone.next_push()
    stack.notify(nostr.new_pubkey())
    # Over the limit, by notify and by an event; both limits refuse.
    client = stack.new_client()
    for _ in range(40):
        stack.notify(pubkey, client=client)
    relay.publish(nostr.gift_wrap(pubkey))
    wait_until(lambda: stack.redis.get(f"mostro:due:{pubkey}") in ("relay", None))
    stack.post("/api/notify", b"{", client=client)
    stack.post("/api/register", b"{")
    # Dead tokens, Redis without functions and without data.
    phone.answer(endpoint, [410] * 20)
    stack.notify(pubkey)  # for what was deferred may have been pushed by now
    wait_until(lambda: not stack.is_registered(pubkey), timeout=20)
    stack.redis.function_flush()
    stack.register(pubkey, phone.endpoint())
    stack.redis.flushall()
    endpoint = phone.endpoint()
    stack.register(pubkey, endpoint)
    stack.notify(pubkey)
    wait_until(lambda: endpoint in [phone.url + push.path for push in list(phone.pushes)])
    assert stack.post("/api/unregister", {"trade_pubkey": pubkey}).body == UNREGISTERED
    stack.wait_until_idle()
    stack.listener.stop()
    stack.workers.stop()
    assert stack.redis.acl_log() == []


def test_a_command_that_is_not_granted_is_told_of_and_fills_no_log(with_acl):
    acl = with_acl()
    acl.stack.start_api(workers=1)
    acl.stack.redis.execute_command("ACL", "SETUSER", "mostro-push", "-hset")
    for _ in range(20):
        registration = {"trade_pubkey": nostr.new_pubkey(), "token": "token-1", "platform": "ios"}
        assert acl.stack.post("/api/register", registration).status == 503
    said = [line for line in acl.stack.workers.output().splitlines() if "refused a command" in line]
    assert len(said) == 1 and "users.acl.example" in said[0]


def test_functions_that_may_not_be_loaded_are_told_of(with_acl):
    """The same where a program sends the command itself."""
    acl = with_acl()
    acl.stack.redis.execute_command("ACL", "SETUSER", "mostro-push", "-function|load")
    acl.stack.start_api(workers=1)
    check_unavailable(acl.stack.get("/api/status"))
    said, = wait_until(lambda: lines_with(acl.stack.workers, "refused a command"))
    assert "users.acl.example" in said


def test_a_prefix_that_the_acl_does_not_have(with_acl, relay):
    acl = with_acl(REDIS_PREFIX="other:")
    acl.stack.start_api(workers=1)
    acl.stack.spawn_listener([relay])
    check_refused(acl.stack, "its ACL lacks ~other:* (compare users.acl.example)")


def test_the_programs_are_granted_what_they_use():
    """No command more: what registry.lua calls, and what the programs send themselves."""
    called = re.findall(r"redis\.p?call\('(\w+)'(?:, '([A-Z]+)')?",
                        (TOP / "shared/registry/registry.lua").read_text())
    assert len(called) == len(re.findall(r"redis\.p?call\(", (
        TOP / "shared/registry/registry.lua").read_text()))
    sent = ["fcall", "function|load", "role", "config|get", "set", "xgroup|create", "xreadgroup",
            "time", "wait"]
    assert granted("mostro-push") == {
        "|".join(filter(None, words)).lower() for words in called} | set(sent)
    sources = "\n".join(file.read_text() for file in (TOP / "shared").rglob("*.c"))
    for name in sent:
        assert name.split("|")[0].upper() in sources


FORBIDDEN = [
    "KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE", "MONITOR", "CONFIG SET save 1", "CONFIG REWRITE",
    "FLUSHALL", "FLUSHDB", "DEBUG SLEEP 0", "SAVE", "BGSAVE", "BGREWRITEAOF", "SHUTDOWN NOSAVE",
    "EVAL return 0", "FUNCTION FLUSH", "FUNCTION DELETE mostro_push_3", "FUNCTION DUMP",
    "SCRIPT FLUSH", "ACL LIST", "ACL SETUSER x on", "CLIENT LIST", "CLIENT KILL TYPE normal",
    "SLOWLOG GET", "REPLICAOF NO ONE", "MODULE LIST", "SUBSCRIBE x", "PUBLISH x y",
    "XRANGE mostro:wakes - +", "DUMP mostro:stats", "RENAME mostro:stats mostro:x",
    "GET other", "SET other 1", "OBJECT ENCODING mostro:wakes",
]


def refused(client, command):
    try:
        client.execute_command(*command.split(" "))
    except redis.exceptions.NoPermissionError:
        return True
    except redis.exceptions.ResponseError as error:
        # Of some it is not even asked who sends them.
        return "NOPERM" in str(error) or "command not allowed" in str(error)
    return False


def test_what_the_programs_may_not(with_acl):
    acl = with_acl()
    client = acl.client("mostro-push")
    assert [command for command in FORBIDDEN if not refused(client, command)] == []


def test_what_operators_may_and_may_not(with_acl, relay, pubkey):
    acl = with_acl()
    stack = acl.stack
    stack.start_api()
    stack.start_listener(relay)
    stack.register(pubkey, "token-1")
    client = acl.client("operator")
    wait_until(lambda: client.hgetall("mostro:stats"))
    wait_until(lambda: client.hgetall("mostro:listener:listener-1")["relays_connected"] == "1")
    wait_until(lambda: stack.redis.exists("mostro:wakes"), what="somebody reads the inbox")
    assert client.xlen("mostro:wakes") == 0
    assert client.xpending("mostro:wakes", "dispatch")["pending"] == 0
    assert client.hmget("mostro:live", "android", "ios") == ["1", None]
    assert client.function_list("mostro_push_*")
    assert client.info("memory") and client.ping()
    forbidden = FORBIDDEN + [
        f"HGETALL mostro:token:{pubkey}", "GET mostro:address_key", "DEL mostro:stats",
        f"GET mostro:limit:pubkey:{pubkey}", f"HMGET mostro:token:{pubkey} token",
        "HSET mostro:stats x 1", "XADD mostro:wakes * pk x", "CONFIG GET *",
        "XREADGROUP GROUP dispatch x STREAMS mostro:wakes >", "FUNCTION LOAD x",
        f"FCALL mostro3_lookup 1 mostro: {pubkey}",
    ]
    assert [command for command in forbidden if not refused(client, command)] == []


def test_what_the_manual_page_asks(with_acl, relay):
    """The very commands, by redis-cli: those that only look as the operator, others as the
    programs' user."""
    acl = with_acl()
    acl.stack.start_api()
    acl.stack.start_listener(relay)
    wait_until(lambda: acl.stack.redis.exists("mostro:wakes"), what="somebody reads the inbox")
    page = (TOP / "contrib/man/mostro-push-redis.7").read_text().partition(".Sh EXAMPLES")[2]
    commands = [re.sub(" Ns Ar NAME", "listener-1", command).replace("\\", "")
                for command in re.findall(r"(?m)^\.It Li (.*)", page)]
    assert len(commands) > 6
    for command in commands:
        user = "mostro-push" if command.split()[0] in ("SET", "DEL") else "operator"
        asked = subprocess.run(
            f"redis-cli -s {acl.stack.socket} --user {user} --no-auth-warning -e {command}",
            shell=True, env={"PATH": "/usr/bin:/bin", "REDISCLI_AUTH": PASSWORDS[user]},
            capture_output=True, text=True, check=False)
        assert asked.returncode == 0, (command, asked.stdout, asked.stderr)


def test_nobody_without_a_name(with_acl):
    acl = with_acl()
    client = redis.Redis(unix_socket_path=str(acl.stack.socket))
    with pytest.raises(redis.exceptions.AuthenticationError):
        client.ping()
    with pytest.raises(redis.exceptions.AuthenticationError):
        client.get("mostro:address_key")


# ---- The example configuration


def test_the_example_forgets_and_tells_nothing(make_stack):
    stack = make_stack()
    stack.start_redis()
    wanted = {
        "save": "", "appendonly": "no", "maxmemory-policy": "noeviction",
        "slowlog-log-slower-than": "-1", "latency-monitor-threshold": "0",
        "crash-log-enabled": "no", "crash-memcheck-enabled": "no",
        "repl-diskless-sync": "yes", "repl-diskless-load": "swapdb", "rdb-del-sync-files": "yes",
        "hash-max-listpack-value": "256", "shutdown-on-sigterm": "nosave",
        "shutdown-on-sigint": "nosave", "protected-mode": "yes", "port": "0",
    }
    found = {name: stack.redis.config_get(name)[name] for name in wanted}
    assert found == wanted
    assert int(stack.redis.config_get("maxmemory")["maxmemory"]) >= 1 << 30
    stack.redis.set("mostro:x", "y")
    stack.redis_server.stop()
    left = {path.name for path in stack.directory.iterdir()} - {"redis.log"}
    assert left == set()


MOST_BYTES = 420
# The tables of Redis double when they are full: filled to the same share as with a million.
REGISTRATIONS = 125_000


@pytest.mark.measured
def test_the_memory_of_a_registration(make_stack):
    """With tokens of 163 characters, as FCM gives them."""
    stack = make_stack()
    stack.start_redis()
    stack.redis.function_load((TOP / "shared/registry/registry.lua").read_text())

    def used():
        """Without what clients' buffers take."""
        memory = stack.redis.info("memory")
        return memory["used_memory"] - memory["mem_clients_normal"]
    before = used()
    with redis.Redis(unix_socket_path=str(stack.socket), socket_timeout=30) as client:
        pipeline = client.pipeline(transaction=False)
        for _ in range(REGISTRATIONS // 1000):
            for i in range(1000):
                pipeline.fcall(*registering(
                    secrets.token_hex(32), 48 * 3600 * 1000, secrets.token_urlsafe(123)[:163],
                    "ios" if i % 3 == 0 else "android"))
            assert pipeline.execute() == [[b"ok", 0]] * 1000
    each = (used() - before) / REGISTRATIONS
    print(f"{each:.1f} bytes a registration")
    assert each <= MOST_BYTES
    assert sum(stack.redis.fcall("mostro3_count", 1, "mostro:")) == REGISTRATIONS


# ---- How long it keeps what

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
# What has no expiry, and why it does not grow for ever.
LASTING = {
    "wakes",              # an entry goes when a listener takes it
    "waiting:listener-1", # a member goes when its push has an outcome
    "waiters",            # so many listeners
    "stats",              # so many counters
    "epoch",              # one value
    "address_key",        # one value
    "live",               # steps that have passed are removed
    "live:steps",
    "listeners",          # every heartbeat removes who has none
    "endpoints",          # those whose last registration has expired are swept
    "endpoints:changes",  # one number
    "endpoints:loaded",   # one number
}


@pytest.fixture
def slow(make_stack, relay):
    """The whole server, with limits that are not refilled during a test, and an endpoint file."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", UNIFIEDPUSH_ENDPOINTS_FILE="", **SLOW)
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    return stack


def expires_in(stack, key, ms):
    """Whether it does, as set by something that this test has done."""
    return ms - 30 * SECOND < stack.redis.pttl(f"mostro:{key}") <= ms


def only_key(stack, pattern):
    key, = stack.redis.scan_iter(f"mostro:{pattern}")
    return key.removeprefix("mostro:")


def lasting(stack):
    """What is there and has no expiry; one that goes meanwhile had one."""
    return {key for key in stack.redis.scan_iter() if stack.redis.pttl(key) == -1}


def deliver(stack, relay, pubkey, times=1):
    """So many events; returns the last one, when all have been taken."""
    for _ in range(times):
        event = nostr.gift_wrap(pubkey)
        relay.deliver(event)
    wait_until(lambda: stack.redis.exists(f"mostro:seen:{event['id']}"))
    return event


@pytest.mark.parametrize("registered", [True, False])
def test_how_long_an_event_is_remembered(slow, relay, phone, pubkey, registered):
    """For registered and unregistered pubkeys alike, or the limit would tell them apart. Only an
    event that has woken a phone could do so again."""
    if registered:
        slow.register(pubkey, phone.endpoint())
    event = deliver(slow, relay, pubkey)
    assert expires_in(slow, f"seen:{event['id']}", 10 * MINUTE)
    assert expires_in(slow, f"limit:pubkey:{pubkey}", MINUTE)
    woke = f"woke:{pubkey}"
    assert expires_in(slow, woke, 4 * DAY) if registered else (
        not slow.redis.exists(f"mostro:{woke}"))


def test_a_bucket_is_kept_until_it_is_full_again(slow, pubkey):
    client = slow.new_client()
    for n in (1, 2, 3):
        assert slow.notify(pubkey, client=client).status == 202
        slow.post("/api/register", registration(pubkey, platform="ios"), client=client)
        assert expires_in(slow, f"limit:pubkey:{pubkey}", n * MINUTE)
        for bucket in ("notify", "register"):
            assert expires_in(slow, only_key(slow, f"limit:{bucket}:ip:*"), n * MINUTE)


@pytest.mark.parametrize("registered", [True, False])
def test_a_deferral_is_noted_until_its_wake_is_due(slow, relay, phone, pubkey, registered):
    """And no longer: then it would stand for wakes that are still to come."""
    if registered:
        slow.register(pubkey, phone.endpoint())
    assert [slow.notify(pubkey).status for _ in range(12)] == [202] * 10 + [429] * 2
    due = f"mostro:due:{pubkey}"
    assert expires_in(slow, f"due:{pubkey}", MINUTE)
    expiry = slow.redis.pexpiretime(due)
    if registered:
        wait_until(lambda: slow.redis.xlen("mostro:wakes") == 0, what="all have been taken")
        deferred = slow.redis.zscore("mostro:waiting:listener-1", f"notify:{pubkey}")
        assert 0 < deferred - expiry < 100
    # An event makes it one of the visible kind, and no longer one.
    deliver(slow, relay, pubkey)
    assert (slow.redis.get(due), slow.redis.pexpiretime(due)) == ("relay", expiry)


def test_an_event_notes_a_deferral_for_as_long(slow, relay, pubkey):
    deliver(slow, relay, pubkey, times=11)
    wait_until(lambda: slow.redis.get(f"mostro:due:{pubkey}") == "relay")
    assert expires_in(slow, f"due:{pubkey}", MINUTE)


def test_how_long_a_relay_is_remembered(slow, relay):
    for kind in (nostr.GIFT_WRAP, nostr.DIRECT_MESSAGE):
        key = f"cursor:{relay.url}:{kind}"
        wait_until(lambda: slow.redis.exists(f"mostro:{key}"))
        assert expires_in(slow, key, 30 * DAY)


def test_everything_else_expires(slow, relay, phone, pubkey):
    """A bit of all that there is: no key stays but those that are meant to."""
    stranger, endpoint = nostr.new_pubkey(), phone.endpoint()

    def be_used():
        slow.register(pubkey, endpoint)
        slow.register(nostr.new_pubkey(), "token-1", "ios")
        left = nostr.new_pubkey()
        slow.register(left, phone.endpoint())
        assert slow.post("/api/unregister", {"trade_pubkey": left}).body == UNREGISTERED
        for path in ("/api/notify", "/api/register", "/api/unregister"):
            assert slow.post(path, b"{").status == 400
        for path in ("/api/status", "/api/ready"):
            slow.get(path)
        for each in (pubkey, stranger):
            assert [slow.notify(each).status for _ in range(11)] == [202] * 10 + [429]
            deliver(slow, relay, each, times=2)
        wait_until(lambda: list(slow.redis.scan_iter("mostro:cursor:*")))

    def check():
        keys = set(slow.redis.scan_iter())
        assert all(key.startswith("mostro:") for key in keys)
        kinds = {key.split(":")[1] for key in keys}
        assert kinds >= {"token", "limit", "due", "seen", "woke", "listener", "cursor", "endpoint"}
        assert lasting(slow) <= {f"mostro:{name}" for name in LASTING}

    be_used()
    check()
    # What the endpoint file brings back is there for a while, too.
    file = slow.directory / "data/unifiedpush_endpoints.json"
    wait_until(lambda: file.exists() and endpoint in file.read_text())
    slow.redis.flushall()
    wait_until(lambda: list(slow.redis.scan_iter(f"mostro:token:*{'0' * 32}")))
    wait_until(lambda: not slow.redis.exists("mostro:endpoints:loading",
                                             "mostro:endpoints:to_wake"))
    assert slow.redis.exists("mostro:endpoints:loaded", "mostro:endpoints:writer") == 2
    assert lasting(slow) <= {f"mostro:{name}" for name in LASTING}
    be_used()
    check()


@pytest.mark.parametrize("end", ["expiry", "unregistering"])
def test_an_endpoint_of_very_many_goes_without_a_stop(make_api, pubkey, end):
    """Nobody waits while Redis frees the set of those who used it."""
    api = make_api()
    api.register(pubkey, "https://push.example.org/x")
    key, = api.redis.keys("mostro:endpoint:*")
    # They have expired long ago.
    api.redis.zadd(key, {nostr.new_pubkey(): n for n in range(200)})
    before = api.redis.info("memory")["lazyfreed_objects"]
    if end == "expiry":
        api.redis.pexpire(key, 1)
    else:
        api.post("/api/unregister", {"trade_pubkey": pubkey})
    wait_until(lambda: not api.redis.exists(key))
    wait_until(lambda: api.redis.info("memory")["lazyfreed_objects"] > before,
               what="a thread has freed it")


# ---- Full


def metrics(stack):
    """Series -> value."""
    answer = stack.get("/api/metrics", operator=True)
    assert answer.status == 200
    return {name: float(value) for name, value in (
        line.rsplit(" ", 1) for line in answer.body.splitlines() if not line.startswith("#"))}


def full_by_metrics(stack):
    """What is, of the four that may be."""
    found = {name.split('"')[1]: value for name, value in metrics(stack).items()
             if name.startswith("mostro_full{")}
    assert set(found) == {"redis", "memory", "registrations", "queue"}
    return {what for what, value in found.items() if value == 1}


def check_told_of_full(program, what):
    """Once in ten seconds, however often it is met."""
    line, = lines_with(program, " error: registry: ")
    assert line.endswith(f": registry: {what}"), line


QUEUE_HALF_FULL = ("the inbox of wakes is half full, so that notifies are answered 503: see that a "
                   "listener runs, and keeps up, or raise WAKES_MAX")
REDIS_FULL = ("Redis is full, so that requests are answered 503 and events wait: raise its "
              "maxmemory, or lower MAX_REGISTRATIONS")


def test_an_operator_is_told_what_is_full(make_stack, relay, pubkey):
    """While all is well otherwise: ready, and what is full in the logs, the metrics, and the answer
    on the operator's address."""
    stack = make_stack(WAKES_MAX="4", MAX_REGISTRATIONS="1")
    stack.start_redis()
    stack.start_api(1)
    stack.start_listener(relay)
    wait_for_reason(stack, 200, None)
    assert full_by_metrics(stack) == set()
    stack.register(pubkey, "token-1")
    wait_for_reason(stack, 200, "MAX_REGISTRATIONS is reached")
    assert full_by_metrics(stack) == {"registrations"}
    assert stack.get("/api/ready").body == '{"status":"ready"}'
    stack.post("/api/unregister", {"trade_pubkey": pubkey})
    wait_for_reason(stack, 200, None)
    # A listener that stalls, and has not been missed yet.
    stack.listener.send_signal(signal.SIGSTOP)
    for _ in range(2):
        assert stack.notify(nostr.new_pubkey()).status == 202
    wait_for_reason(stack, 200, "the inbox of wakes is half full: does a listener keep up?")
    for _ in range(20):
        check_unavailable(stack.notify(nostr.new_pubkey()))
    check_told_of_full(stack.workers, QUEUE_HALF_FULL)
    assert full_by_metrics(stack) == {"queue"}
    stack.listener.send_signal(signal.SIGCONT)
    wait_for_reason(stack, 200, None)



def test_the_registry_holds_so_many(make_api, pubkey):
    api = make_api(1, MAX_REGISTRATIONS="3")
    pubkeys = [nostr.new_pubkey() for _ in range(3)]
    for i, each in enumerate(pubkeys):
        api.register(each, f"token-{i}", ("android", "ios")[i % 2])
    assert operators_word(api)[1] == "no listener has a fresh heartbeat"
    for _ in range(20):
        check_unavailable(api.post("/api/register", registration(pubkey)))
    assert not api.is_registered(pubkey)
    check_told_of_full(api.workers, "MAX_REGISTRATIONS is reached, so that new registrations are "
                       "answered 503: raise it if Redis has the memory")
    assert full_by_metrics(api) == {"registrations"}
    # Who is in may renew, change and leave; everything else works.
    for platform in ("ios", "android"):
        assert api.register(pubkeys[0], "token-x", platform).body == REGISTERED % platform
    assert '"total":3' in api.get("/api/status").body
    assert api.notify(pubkey).status == 202
    assert api.notify(pubkeys[0]).status == 202
    assert api.post("/api/unregister", {"trade_pubkey": pubkey}).body == ABSENT
    check_unavailable(api.post("/api/register", registration(pubkey)))
    assert api.post("/api/unregister", {"trade_pubkey": pubkeys[1]}).body == UNREGISTERED
    api.register(pubkey, "token-1")
    assert api.post("/api/register", registration(pubkeys[1])).status == 503
    # And who has expired leaves room: its step is one that has passed.
    key = f"mostro:token:{pubkey}"
    step = api.redis.pexpiretime(key) // 1000
    api.redis.hincrby("mostro:live", f"android:{step}", -1)
    api.redis.hincrby("mostro:live", "android:300", 1)
    api.redis.zadd("mostro:live:steps", {"300": 300})
    api.redis.delete(key)
    api.register(pubkeys[1], "token-1")


MEMORY_SHORT = ("over 70 % of Redis's maxmemory is used, so that new registrations are answered 503 "
                "and the rest keeps room: raise maxmemory, or lower MAX_REGISTRATIONS or "
                "TOKEN_TTL_HOURS")


def used_of_max(stack):
    memory = stack.redis.info("memory")
    return memory["used_memory"] / memory["maxmemory"]


def register_until_refused(stack):
    """As a flood of requests makes the workers do; what all of it was answered."""
    answers = set()
    while answers <= {("ok", 0)}:
        with stack.redis.pipeline(transaction=False) as pipeline:
            for _ in range(1000):
                pipeline.fcall(*registering(nostr.new_pubkey(), DAY * 1000, "t" * 4096))
            answers |= {tuple(answer) for answer in pipeline.execute()}
    return answers


def test_new_registrations_leave_room_for_all_else(live, relay, phone, pubkey, device):
    live.redis.config_set("maxmemory", 16 << 20)
    assert register_until_refused(live) == {("ok", 0), ("memory", 0)}
    assert register_until_refused(live) == {("memory", 0)}
    assert 0.7 <= used_of_max(live) < 0.8
    for _ in range(20):
        check_unavailable(live.post("/api/register", registration(nostr.new_pubkey())))
    told = lines_with(live.workers, " error: registry: ")
    assert 1 <= len(told) <= 2 and all(line.endswith(MEMORY_SHORT) for line in told)
    wait_for_reason(live, 200, "Redis is over 70 % full, so that new registrations are refused: "
                               "raise its maxmemory")
    assert full_by_metrics(live) == {"memory"}
    # Who is there is served as ever, and there is room for many who are not.
    live.register(pubkey, device)
    assert live.notify(pubkey).status == 202
    phone.next_push()
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    for _ in range(100):
        assert live.notify(nostr.new_pubkey()).status == 202
    assert live.post("/api/unregister", {"trade_pubkey": pubkey}).body == UNREGISTERED
    check_unavailable(live.post("/api/register", registration(pubkey)))
    live.redis.config_set("maxmemory", 32 << 20)
    wait_until(lambda: live.post("/api/register", registration(pubkey)).status == 200, 5)
    wait_for_reason(live, 200, None)


def test_redis_without_a_limit_takes_all(make_api):
    api = make_api()
    api.redis.config_set("maxmemory", 0)
    for _ in range(3):
        api.register(nostr.new_pubkey(), "token-1")


FILLER = 4 << 20


def fill(stack):
    """Redis is out of memory until its one big key goes. (Made there: sent, it would be in the
    connection's buffer, too, for a while.)"""
    stack.redis.setrange("mostro:filler", FILLER - 1, "x")
    stack.redis.config_set("maxmemory", stack.redis.info("memory")["used_memory"] - FILLER // 2)


def test_redis_itself_is_full(live, relay, phone, pubkey, device):
    workers = live.workers.children()
    gate = threading.Event()
    phone.answer(device, [Answer(201, gate=gate)])
    live.notify(pubkey)
    phone.next_push()
    fill(live)
    gate.set()
    live.wait_until_idle()  # what is done with leaves all the same
    for _ in range(4):
        check_unavailable(live.post("/api/register", registration(nostr.new_pubkey())))
        check_unavailable(live.post("/api/register", registration(pubkey, device)))
        check_unavailable(live.notify(pubkey))
        check_unavailable(live.notify(nostr.new_pubkey()))
        assert '"total":1' in live.get("/api/status").body
        assert live.post("/api/unregister", {"trade_pubkey": nostr.new_pubkey()}).body == ABSENT
    wrap = nostr.gift_wrap(pubkey)
    relay.publish(wrap)
    live.wait_for_heartbeat()
    wait_for_reason(live, 200, "Redis is full: raise its maxmemory")
    assert full_by_metrics(live) == {"redis", "memory"}
    assert live.listener.is_alive() and live.workers.children() == workers
    wait_until(lambda: lines_with(live.listener, " error: registry: "))
    check_told_of_full(live.listener, REDIS_FULL)
    # Of each worker.
    told = lines_with(live.workers, " error: registry: ")
    assert 1 <= len(told) <= len(workers) and all(line.endswith(REDIS_FULL) for line in told)

    live.redis.delete("mostro:filler")
    phone.next_push(timeout=15)  # what came meanwhile is taken now
    assert live.notify(pubkey).status == 202
    phone.next_push()
    # After the second for which Redis's memory is not looked at again.
    wait_until(lambda: live.post("/api/register", registration(nostr.new_pubkey())).status == 200,
               5)
    live.wait_until_idle()
    assert live.workers.children() == workers


def test_unregistering_makes_room(make_api, pubkey):
    """It is let through whatever the memory; here without a limit, which would need some."""
    api = make_api(REGISTER_RATE_PER_IP_PER_MIN="0")
    api.register(pubkey, "token-1")
    fill(api)
    check_unavailable(api.post("/api/register", registration(nostr.new_pubkey())))
    assert api.post("/api/unregister", {"trade_pubkey": pubkey}).body == UNREGISTERED
    assert '"total":0' in api.get("/api/status").body


def test_unregistering_makes_room_with_limits(make_api, pubkey):
    """Also with a worker that has not spoken to this Redis before."""
    api = make_api()
    api.register(pubkey, "token-1")
    fill(api)
    replace_workers(api)
    assert api.post("/api/unregister", {"trade_pubkey": pubkey}).body == UNREGISTERED


# ---- Gone or stalled


class Traffic:
    """Requests of every kind, all the time, from a thread each; every answer is looked at: it is
    that kind's own or 503, and comes within a second, if one in a hundred is left out that this
    machine may be slow at. Those that wait for Redis are given 503 after 2.5 s, and not before."""

    FAST = 1
    WAITING = ("android", "ios", "unregister")
    PATIENCE, SLOWEST_WAITING = 2.5, 2.5 + SLOWEST

    def __init__(self, api):
        self._api = api
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self.answers = {}  # kind -> [(began, ended, status)]
        self.late = []
        self.wrong = []
        self._threads = [threading.Thread(target=self._run, args=kind) for kind in self._kinds()]

    def _kinds(self):
        def post(path, make_body):
            return lambda: self._api.post(path, make_body(nostr.new_pubkey()))

        def exactly(status, body):
            return lambda answer: (answer.status, answer.body) == (status, body)
        return [
            ("status", lambda: self._api.get("/api/status"), lambda answer: re.fullmatch(
                r'\{"status":"running","version":"[^"]*","tokens":\{"total":(\d+),'
                r'"android":\d+,"ios":\d+\}\}', answer.body) and answer.status == 200),
            ("android", post("/api/register", lambda pubkey: registration(pubkey)),
             exactly(200, REGISTERED % "android")),
            ("ios", post("/api/register", lambda pubkey: registration(pubkey, platform="IOS")),
             exactly(200, REGISTERED % "ios")),
            ("unregister", post("/api/unregister", lambda pubkey: {"trade_pubkey": pubkey}),
             exactly(200, ABSENT)),
            ("notify", post("/api/notify", lambda pubkey: {"trade_pubkey": pubkey}),
             exactly(202, ACCEPTED)),
            ("malformed", post("/api/notify", lambda pubkey: {"trade_pubkey": pubkey[1:]}),
             lambda answer: answer.status == 400),
            ("health", lambda: self._api.get("/api/health"), exactly(200, '{"status":"ok"}')),
        ]

    def _run(self, kind, request, is_right):
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                answer = request()
            except Exception as error:
                self._note(kind, began, 0, f"{kind}: {error!r}")
                continue
            right = is_right(answer) or kind != "health" and (
                answer.status, answer.body) == (503, UNAVAILABLE)
            self._note(kind, began, answer.status, None if right else f"{kind}: {answer}")

    def _note(self, kind, began, status, wrong):
        ended = time.monotonic()
        shown = f"{kind}: {status} after {ended - began:.2f} s"
        with self._changed:
            self.answers.setdefault(kind, []).append((began, ended, status))
            if wrong:
                self.wrong.append(wrong)
            elif not self._is_in_time(kind, status, ended - began):
                self.wrong.append(shown)
            elif kind not in self.WAITING and ended - began > self.FAST:
                self.late.append(shown)
            self._changed.notify_all()

    def _is_in_time(self, kind, status, seconds):
        if kind not in self.WAITING:
            return seconds <= SLOWEST
        return seconds <= self.SLOWEST_WAITING and (status != 503 or seconds >= self.PATIENCE)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if len(self.late) > sum(map(len, self.answers.values())) / 100:
            self.wrong += self.late

    def since(self, moment):
        """kind -> statuses of the requests that began after that moment."""
        with self._changed:
            return {kind: [status for began, _, status in answers if began > moment]
                    for kind, answers in self.answers.items()}

    def wait_for(self, condition, timeout=20, but=()):
        """Until condition(statuses) holds for every kind that needs Redis, `but` for some, counted
        from now."""
        began = time.monotonic()

        def holds():
            found = self.since(began)
            return len(found) == len(self._threads) and all(
                condition(statuses) for kind, statuses in found.items()
                if kind not in ("health", *but))
        with self._changed:
            assert self._changed.wait_for(holds, timeout), self.since(began)

    def wait_until_failing(self):
        self.wait_for(lambda statuses: statuses.count(503) >= 3, but=self.WAITING)

    def wait_until_well(self):
        self.wait_for(lambda statuses: len(statuses) >= 10 and 503 not in statuses[-10:])

    def last_failure(self, moment):
        """Seconds from that moment to the beginning of the last request that is given 503. (When
        its answer is seen here is up to this machine.)"""
        with self._changed:
            return max([began - moment for answers in self.answers.values()
                        for began, _, status in answers if began > moment and status == 503],
                       default=0)


def test_a_stalled_redis(make_api):
    """Stopped for longer than every time-out, several times."""
    api = make_api(4)
    workers = api.workers.children()
    back = []
    with Traffic(api) as traffic:
        traffic.wait_until_well()
        for _ in range(5):
            api.redis_server.send_signal(signal.SIGSTOP)
            traffic.wait_until_failing()
            api.redis_server.send_signal(signal.SIGCONT)
            moment = time.monotonic()
            traffic.wait_until_well()
            back.append(traffic.last_failure(moment))
    assert traffic.wrong == []
    assert api.workers.children() == workers
    print("back after", [f"{each:.3f}" for each in back])
    assert min(back) <= HOLD_OFF + 0.05 and statistics.median(back) <= HOLD_OFF + SLACK, back


def test_a_redis_that_answers_at_the_last_moment(make_api):
    """Stopped for about as long as a command may take: replies come just in time or just too late,
    and late ones answer no request."""
    api = make_api(4)
    workers = api.workers.children()
    pause = threading.Event()
    with Traffic(api) as traffic:
        traffic.wait_until_well()
        for _ in range(12):
            api.redis_server.send_signal(signal.SIGSTOP)
            pause.wait(random.uniform(TIMEOUT - 0.05, TIMEOUT + 0.05))
            api.redis_server.send_signal(signal.SIGCONT)
            traffic.wait_for(lambda statuses: len(statuses) >= 3)
        traffic.wait_until_well()
    assert traffic.wrong == []
    assert api.workers.children() == workers


def test_a_connection_that_redis_has_closed(make_api):
    """Nobody notices: idle clients are cut by `timeout`, and by operators."""
    api = make_api(1)
    for i in range(3):
        for path, body in requests_that_need_redis():
            assert ask(api, path, body).status in (200, 202)
        # When it has flushed its counters the worker leaves Redis alone.
        wait_until(lambda: i + 1 == sum(
            int(n) for name, n in api.redis.hgetall("mostro:stats").items()
            if name.startswith("requests_status")))
        cut_connections(api)


def test_a_redis_that_restarts(make_api):
    api = make_api(4)
    workers = api.workers.children()
    back = []
    with Traffic(api) as traffic:
        traffic.wait_until_well()
        for _ in range(3):
            api.redis_server.kill()
            traffic.wait_until_failing()
            api.start_redis()
            moment = time.monotonic()
            traffic.wait_until_well()
            back.append(traffic.last_failure(moment))
    assert traffic.wrong == []
    assert api.workers.children() == workers
    assert statistics.median(back) <= HOLD_OFF + SLACK, back


# ---- A Redis that talks nonsense

ADDRESS_KEY = "07" * 32


def bulk(text):
    return b"$%d\r\n%s\r\n" % (len(text), text.encode())


class FakeRedis:
    """Speaks just enough for a worker, and what it is told to instead where it matters: `reply` to
    every function but that of the address key and of the counters. None: the right one."""

    RIGHT = {
        "mostro3_notify": b"*1\r\n:0\r\n",
        "mostro3_registers": b"*2\r\n" + bulk("ok") + b":0\r\n",
        "mostro3_unregister": b"*2\r\n" + bulk("absent") + b":0\r\n",
        "mostro3_spend": b":0\r\n",
        "mostro3_count": b"*2\r\n:1\r\n:2\r\n",
        "mostro3_add": b":1\r\n",
        "mostro3_address_key": bulk(ADDRESS_KEY),
    }

    def __init__(self, path):
        self.reply = None
        self.asked = 0
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(64)
        self._connections = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self._server.accept()[0]
                self._connections.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError, ValueError), connection:
            stream = connection.makefile("rb")
            while True:
                count = stream.readline()
                if not count:
                    return
                words = []
                for _ in range(int(count[1:])):
                    length = int(stream.readline()[1:])
                    words.append(stream.read(length + 2)[:-2].decode())
                self._answer(connection, words)

    def _answer(self, connection, words):
        name = words[1] if len(words) > 1 else ""
        if words[0] == "CONFIG":
            values = {"save": "", "appendonly": "no"}
            connection.sendall(b"*4\r\n" + b"".join(
                bulk(name) + bulk(value) for name, value in values.items()))
        elif words[0] == "ROLE":
            connection.sendall(b"*3\r\n" + bulk("master") + b":0\r\n*0\r\n")
        elif words[0] == "SET":
            connection.sendall(b"$-1\r\n")
        elif words[0] == "FUNCTION":
            connection.sendall(bulk("mostro_push_3"))
        elif name in ("mostro3_address_key", "mostro3_add") or self.reply is None:
            connection.sendall(self.RIGHT[name])
        else:
            self.asked += 1
            self.reply(connection)


def says(*parts, close=False):
    def reply(connection):
        for part in parts:
            connection.sendall(part)
        if close:
            connection.shutdown(socket.SHUT_RDWR)
    return reply


def drips(connection):
    """A byte now and then: every single wait is short, all of them together are not."""
    for byte in b"*2\r\n:00000000000000000000000000000000000000001\r\n:2\r\n":
        connection.sendall(bytes([byte]))
        threading.Event().wait(TIMEOUT / 3)


def floods(connection):
    """One reply that never ends."""
    connection.sendall(b"$536870912\r\n")
    part = bytes(1 << 20)
    for _ in range(512):
        connection.sendall(part)


NONSENSE = {
    "nothing but the end": says(close=True),
    "garbage": says(b"HTTP/1.1 200 OK\r\n\r\n"),
    "zeros": says(bytes(1000)),
    "no reply's type": says(b"\xff\xfe\r\n"),
    "the beginning of one": says(b"*2\r\n$6\r\nque", close=True),
    "half a length": says(b"*2\r\n$", close=True),
    "no answer in time": says(),
    "the beginning and then nothing": says(b"*2\r\n$6\r\n"),
    "a status": says(b"+OK\r\n"),
    "nil": says(b"$-1\r\n"),
    "nil array": says(b"*-1\r\n"),
    "empty text": says(b"$0\r\n\r\n"),
    "empty array": says(b"*0\r\n"),
    "a number": says(b":60000001\r\n"),
    "a number too large": says(b":99999999999999999999999\r\n"),
    "no number": says(b":abc\r\n"),
    "a negative length": says(b"$-5\r\n"),
    "a negative count": says(b"*-7\r\n"),
    "a huge length": says(b"$9223372036854775807\r\nabc", close=True),
    "a huge count": says(b"*2147483647\r\n", close=True),
    "a count past 64 bits": says(b"*99999999999999999999\r\n", close=True),
    "deep nesting": says(b"*1\r\n" * 1000, close=True),
    "other words": says(b"*2\r\n" + bulk("open sesame") + b":0\r\n"),
    "words in the wrong place": says(b"*2\r\n:0\r\n" + bulk("queued")),
    "an array in an array": says(b"*2\r\n*1\r\n" + bulk("ok") + b":0\r\n"),
    "too many": says(b"*3\r\n" + bulk("ok") + b":0\r\n:0\r\n"),
    "negative counts": says(b"*2\r\n:-1\r\n:-2\r\n"),
    "nils inside": says(b"*2\r\n$-1\r\n$-1\r\n"),
    "an error": says(b"-ERR no\r\n"),
    "an empty error": says(b"-\r\n"),
    "a long error": says(b"-" + b"x" * 60000 + b"\r\n"),
    "a map of RESP3": says(b"%1\r\n+a\r\n+b\r\n"),
    "null of RESP3": says(b"_\r\n"),
    "a large text": says(b"$1000000\r\n" + b"x" * 1000000 + b"\r\n"),
    "functions missing, for ever": says(b"-ERR Function not found\r\n"),
    "loading": says(b"-LOADING Redis is loading the dataset in memory\r\n"),
    "busy": says(b"-BUSY Redis is busy running a script\r\n"),
    "full": says(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"),
}


@pytest.fixture(scope="module")
def nonsense(make_shared_stack):
    """A worker with a Redis that says what a test wants."""
    stack = make_shared_stack()
    fake = FakeRedis(stack.socket)
    stack.start_api(1)
    stack.fake = fake
    yield stack
    fake.close()


def not_503(request):
    """Its first answer that is not. This process is the fake, too: it may be too late for one."""
    return wait_until(lambda: (answer := request()).status != 503 and answer, timeout=3)


def check_right_again(stack):
    """As soon as the hold-off is over, and every answer its own."""
    stack.fake.reply = None
    for _ in range(3):
        status = not_503(lambda: stack.get("/api/status"))
        assert '"total":3,"android":1,"ios":2}' in status.body
        assert not_503(lambda: stack.notify(nostr.new_pubkey())).body == ACCEPTED
        assert stack.post("/api/unregister", {"trade_pubkey": nostr.new_pubkey()}).body == ABSENT
        assert stack.register(nostr.new_pubkey(), "token-1").body == REGISTERED % "android"


def once(stack, reply):
    def say(connection):
        stack.fake.reply = None
        reply(connection)
    return say


def check_nonsense(stack, reply):
    """Where it is the connection that is of no use any more, what may wait is asked again."""
    workers = stack.workers.children()
    check_right_again(stack)
    for path, body in requests_that_need_redis():
        waits = path in ("/api/register", "/api/unregister")
        stack.fake.reply, asked = once(stack, reply) if waits else reply, stack.fake.asked
        began = time.monotonic()
        answer = ask(stack, path, body)
        assert time.monotonic() - began < SLOWEST
        if not waits or answer.status != 200:
            check_unavailable(answer)
        assert stack.fake.asked > asked, "it has not been asked"
        assert stack.get("/api/health").status == 200
        # The next one is not answered by what was left over.
        stack.fake.reply = None
        status = not_503(lambda: stack.get("/api/status"))
        assert '"total":3,"android":1,"ios":2}' in status.body
    check_right_again(stack)
    assert stack.workers.children() == workers


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_harms_nobody(nonsense, what):
    check_nonsense(nonsense, NONSENSE[what])


def test_a_reply_that_drips_is_given_up_in_time(nonsense):
    check_nonsense(nonsense, drips)


def test_a_reply_that_does_not_end_is_given_up_in_time(nonsense):
    worker, = nonsense.workers.children()

    def most_memory():
        with open(f"/proc/{worker}/status") as status:
            return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1]) << 10
    before = most_memory()
    check_nonsense(nonsense, floods)
    assert most_memory() - before < 384 << 20  # of the 512 MiB; sanitizers keep what is freed


def test_a_reply_too_many_is_nobodys(nonsense):
    """Two for one request: the second must not answer the next."""
    workers = nonsense.workers.children()
    check_right_again(nonsense)
    nonsense.fake.reply = says(b"*2\r\n:3\r\n:4\r\n*2\r\n:700\r\n:800\r\n")
    answer = nonsense.get("/api/status")
    assert answer.status == 503 or '"total":7' in answer.body
    check_right_again(nonsense)
    assert nonsense.workers.children() == workers


# ---- Emptied


def test_functions_that_vanish_are_loaded_again(make_api, pubkey):
    """While requests come to every worker: not one of them notices."""
    api = make_api(4)
    api.register(pubkey, "token-1")
    with Traffic(api) as traffic:
        traffic.wait_until_well()
        began = time.monotonic()
        for _ in range(20):
            api.redis.function_flush()
            traffic.wait_for(lambda statuses: len(statuses) >= 2)
        found = traffic.since(began)
    assert traffic.wrong == []
    assert not any(503 in statuses for statuses in found.values())
    assert api.redis.function_list(library="mostro_push_*")


def test_data_that_vanish(live, relay, phone):
    """FLUSHALL again and again: the queue and its group are made anew, and who registers after it
    is woken, by an event and by a notify."""
    workers = live.workers.children()
    for i in range(5):
        live.redis.flushall()
        if i % 2:
            live.redis.function_flush()
        pubkey, endpoint = nostr.new_pubkey(), phone.endpoint()
        live.register(pubkey, endpoint)
        assert '"total":1' in live.get("/api/status").body
        assert live.notify(pubkey).status == 202
        assert phone.url + phone.next_push().path == endpoint
        relay.publish(nostr.gift_wrap(pubkey))
        assert phone.url + phone.next_push().path == endpoint
        live.wait_until_idle()
    assert live.redis.xinfo_groups("mostro:wakes")[0]["name"] == "dispatch"
    assert live.listener.is_alive() and live.workers.children() == workers


# ---- A Redis that has a name ---------------------------------------------------------------------

@pytest.fixture
def named(make_stack, tmp_path):
    """A stack whose workers know their Redis by a name, and what makes their resolver slow."""
    slow = tmp_path / "slow"
    with contextlib.closing(Port()) as port:
        stack = make_stack()
        stack.start_redis("--port", port.number, "--bind", HOST)
        stack.start_api(REDIS_URL=f"redis://redis.example:{port.number}", SLOW=str(slow),
                        **preloaded("slow_dns", tmp_path))
        yield stack, slow, port


def answered(stack, path):
    began = time.monotonic()
    status = stack.get(path).status
    assert time.monotonic() - began < SLOWEST
    return status


def test_a_name_that_is_not_resolved_holds_nobody_up(named, pubkey):
    """The address that it had is used meanwhile."""
    stack, slow, port = named
    assert stack.register(pubkey, "token-1", "ios").status == 200
    slow.touch()
    stack.redis_server.stop()
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert answered(stack, "/api/status") == 503
        assert answered(stack, "/api/health") == 200
    stack.start_redis("--port", port.number, "--bind", HOST)
    wait_until(lambda: answered(stack, "/api/status") == 200)
