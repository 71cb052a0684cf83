"""Both programs and Sentinel: they find the primary, leave one that is demoted while it goes on
answering, and never use a node that no Sentinel names. (What is kept of the data in a fail-over is
in test_failover.py.)"""
import contextlib
import threading
import time

import pytest
import redis

import nostr
from loopback import HOST, Port
from sentinels import SERVICE
from stack import FCGI, LISTENER, REDIS_SERVER, wait_until

OURS = {"FCALL", "XREADGROUP", "XGROUP"}  # commands that nobody else sends

# As a demoted primary does for ten seconds, these go on acknowledging.
ALONE = {"min_replicas": False}


class Watched:
    """What a node is sent by the two programs, with the times at which it was."""

    def __init__(self, node):
        self.node, self.seen = node, []
        self._client = redis.Redis(*node.address, username="tests", password="password-of-tests",
                                   decode_responses=True)
        self._monitor = self._client.monitor()
        self._monitor.__enter__()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with contextlib.suppress(redis.RedisError, OSError, ValueError):
            for command in self._monitor.listen():
                if command["command"].split()[0].upper() in OURS:
                    self.seen.append(command["time"])

    def since(self, moment):
        return [seen for seen in self.seen if seen > moment]

    def close(self):
        self._client.close()


class Switches:
    """When the Sentinels say +switch-master."""

    def __init__(self, service):
        self._listening = []
        self.at = []
        for sentinel in service.sentinels:
            if sentinel.is_alive():
                heard = sentinel.client().pubsub()
                heard.subscribe("+switch-master")
                thread = threading.Thread(target=self._run, args=(heard,), daemon=True)
                thread.start()

    def _run(self, heard):
        with contextlib.suppress(redis.RedisError, OSError, ValueError):
            while True:
                message = heard.get_message(ignore_subscribe_messages=True, timeout=1)
                if message:
                    self.at.append(time.time())

    def first(self):
        return wait_until(lambda: self.at, 20, "+switch-master")[0]


@contextlib.contextmanager
def load(stack):
    """Notifies all the time; yields [(when it was answered, status)]."""
    answers, ends = [], threading.Event()

    def run():
        client = stack.new_client()
        while not ends.is_set():
            answers.append((stack.notify(nostr.new_pubkey(), client=client).status, time.time()))
            time.sleep(0.01)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield answers
    finally:
        ends.set()
        thread.join()


def works(stack):
    return stack.notify(nostr.new_pubkey()).status == 202


def lines_with(program, text):
    return [line for line in program.output().splitlines() if text in line]


def check_both_work(stack, relay, phone):
    """A request, and a wake from the queue to a phone."""
    wait_until(lambda: works(stack), 5, "notify is answered 202")
    pubkey = nostr.new_pubkey()
    wait_until(lambda: stack.register(pubkey, phone.endpoint()).status == 200, 5, "registered")
    stack.notify(pubkey)
    phone.next_push(timeout=10)


def start_both(stack, relay):
    stack.start_api(2)
    stack.start_listener(relay)


def replicated(make_replicated, service=None):
    return make_replicated(service or {}, UNIFIEDPUSH_ALLOW_PRIVATE="true",
                           NOTIFY_RATE_PER_IP_PER_MIN="60000")


@pytest.mark.measured
def test_two_of_three_sentinels_may_be_gone(make_replicated, relay, phone):
    """One that is dead comes first, and one that says nothing second. When all are gone, what
    stands goes on."""
    stack = replicated(make_replicated)
    dead, silent, third = stack.service.sentinels
    dead.kill()
    silent.pause()
    before = time.monotonic()
    start_both(stack, relay)
    check_both_work(stack, relay, phone)
    took = time.monotonic() - before
    print(f"{took:.1f} s to start")
    assert took < 8
    # A new connection waits for none of them once they are known to be gone. (Soon after the one
    # before it would wait for its turn, a quarter of a second.)
    took = []
    for _ in range(5):
        time.sleep(0.5)
        stack.redis.client_kill_filter(_type="normal", user="mostro-push")
        before = time.monotonic()
        wait_until(lambda: works(stack))
        took.append(time.monotonic() - before)
    print([f"{each:.3f}" for each in took])
    assert sorted(took)[2] < 0.3, took
    third.kill()
    time.sleep(4)  # until that is known
    assert all(works(stack) for _ in range(20))
    silent.resume()


def test_a_primary_that_dies(make_replicated, relay, phone):
    """Within five seconds both programs work with the new one; later by no more than the Sentinels,
    whose vote a busy machine delays, are late themselves."""
    stack = replicated(make_replicated)
    start_both(stack, relay)
    check_both_work(stack, relay, phone)
    old = stack.service.primary()
    workers = stack.workers.children()
    switches = Switches(stack.service)
    with load(stack) as answers:
        died = time.time()
        old.kill()
        switched = switches.first()
        wait_until(lambda: any(status == 202 and at > died + 1 for status, at in answers))
    back = min(at for status, at in answers if status == 202 and at > died + 0.1)
    print(f"the Sentinels took {switched - died:.1f} s, the programs {back - switched:.1f} s")
    assert back < max(died + 5, switched + 1.5)
    assert {status for status, _ in answers} == {202, 503}
    check_both_work(stack, relay, phone)
    assert stack.workers.children() == workers and stack.listener.is_alive()
    for program in (stack.workers, stack.listener):
        assert lines_with(program, " warn: redis: the primary is ")
    wait_until(lambda: stack.stat("primary_changes") == 3, what="two workers and a listener count it")


def test_a_demoted_primary_is_left_while_it_goes_on_answering(make_replicated, relay, phone):
    stack = replicated(make_replicated, ALONE)
    start_both(stack, relay)
    check_both_work(stack, relay, phone)
    old = stack.service.primary()
    watched, switches = Watched(old), Switches(stack.service)
    with load(stack) as answers:
        stack.service.fail_over()
        switched = switches.first()
        time.sleep(3)
        assert old.role() == "master"
    assert watched.seen
    # A good second before they say so, the Sentinels have made the other one the primary.
    late = watched.since(switched - 0.2)
    assert not late, late[-1] - switched
    # And for no longer than that takes: a new connection is made at once.
    refused = [at for status, at in answers if status != 202]
    assert not refused or refused[-1] - switched < 1, refused[-1] - switched
    check_both_work(stack, relay, phone)
    watched.close()


def test_a_primary_that_was_paused_is_not_used_again(make_replicated, relay, phone):
    stack = replicated(make_replicated, ALONE)
    start_both(stack, relay)
    check_both_work(stack, relay, phone)
    old = stack.service.primary()
    watched = Watched(old)
    with load(stack):
        old.pause()
        stack.service.wait_for_another(old)
        wait_until(lambda: works(stack), 5)
        resumed = time.time()
        old.resume()
        wait_until(lambda: old.role() == "master")
        time.sleep(2)
        assert old.role() == "master"
    # What was on its way to it when it was stopped is read late.
    assert watched.since(resumed + 1) == []
    check_both_work(stack, relay, phone)
    watched.close()


def test_redis_own_failover_is_followed_before_the_sentinels_do(make_replicated, relay, phone):
    stack = replicated(make_replicated)
    start_both(stack, relay)
    check_both_work(stack, relay, phone)
    old = stack.service.primary()
    new = stack.service.replicas()[0]
    with load(stack) as answers:
        began = time.time()
        old.client().execute_command("FAILOVER", "TO", new.host, new.port)
        wait_until(lambda: new.role() == "master")
        watched = Watched(new)
        wait_until(lambda: works(stack), 5)
        assert all(sentinel.names() == old.address for sentinel in stack.service.sentinels)
        time.sleep(0.5)
    assert time.time() - began < 6
    assert watched.seen
    assert {status for status, _ in answers[-15:]} == {202}
    check_both_work(stack, relay, phone)
    watched.close()


def asked_for_their_role(node):
    return node.client().info("commandstats")["cmdstat_role"]["calls"]


def test_a_primary_that_no_sentinel_knows_is_not_used(make_replicated, relay, phone):
    """The one that is named is a replica of it; and it says that it is a primary."""
    stack = replicated(make_replicated)
    start_both(stack, relay)
    check_both_work(stack, relay, phone)
    named, directory = stack.service.primary(), stack.service.directory
    for sentinel in stack.service.sentinels[1:]:
        sentinel.kill()  # the one that is left can promote nobody
    stranger = Port()
    program = stack.start_program("stranger", [REDIS_SERVER, "-"], stdin="\n".join([
        f"include {directory}/node.conf", f"bind {HOST}", f"port {stranger.number}",
        f"unixsocket {directory}/stranger.sock", "min-replicas-to-write 0",
        "user tests on >password-of-tests ~* &* +@all", ""]))
    client = redis.Redis(HOST, stranger.number, username="tests", password="password-of-tests")

    def answers():
        with contextlib.suppress(redis.RedisError):
            return client.ping()
        return False
    wait_until(answers)
    named.client().replicaof(HOST, stranger.number)
    wait_until(lambda: not works(stack))
    before = asked_for_their_role(named)
    wait_until(lambda: asked_for_their_role(named) > before + 8, what="it is tried again")
    assert not works(stack)
    commands = client.info("commandstats")
    assert "cmdstat_fcall" not in commands and "cmdstat_role" not in commands, commands
    client.close()
    program.stop()
    stranger.close()


WRONG = {
    "no password": ({"REDIS_SENTINEL_PASSWORD": ""},
                    "its Sentinels want a password: set REDIS_SENTINEL_PASSWORD"),
    "a wrong password": ({"REDIS_SENTINEL_PASSWORD": "planted-secret"},
                         "its Sentinels do not take REDIS_SENTINEL_PASSWORD"),
    "another service": ({"service": "other"},
                        "its Sentinels watch no service of this name: see REDIS_URL"),
    "nobody there": ({"place": lambda _, nobody: f"{HOST}:{nobody.number}"},
                     "none of its Sentinels answers"),
}


def test_what_an_operator_is_told(make_replicated, relay):
    """By --check-config, and by the log."""
    stack = make_replicated({"nodes": 1, "sentinels": 1}, NOSTR_RELAYS=relay.url)
    nobody = Port()
    for number, (settings, reason) in enumerate(WRONG.values()):
        settings = dict(settings)
        place = settings.pop("place", lambda stack, _: stack.service.sentinels[0])(stack, nobody)
        settings["REDIS_URL"] = (f"redis+sentinel://mostro-push:planted-secret@{place}/"
                                 f"{settings.pop('service', SERVICE)}")
        for program in (FCGI, LISTENER):
            asked = stack.start_program(f"asked-{number}-{program.name}",
                                        [program, "--check-config"], **settings)
            assert asked.wait() == 0
            said, = lines_with(asked, " redis: ")
            said = said.removesuffix("; waiting for it")
            assert said.endswith(f" cannot be used: {reason}"), said
            assert "planted-secret" not in asked.output()
    nobody.close()
