"""With Sentinels a register or unregister is answered when a replica has it, and nothing else waits
for that."""
import concurrent.futures
import contextlib
import statistics
import time

import pytest

import nostr
from stack import wait_until

CONFIRM = 0.1
UNREGISTERED = '{"success":true,"message":"Token unregistered successfully"}'


@pytest.fixture
def replicated(make_replicated):
    """Takes writes also without its replicas."""
    stack = make_replicated({"min_replicas": False}, NOTIFY_RATE_PER_IP_PER_MIN="6000",
                            REGISTER_RATE_PER_IP_PER_MIN="0")
    stack.start_api(1)
    wait_until(lambda: timed(stack, register)[0].status == 200)
    return stack


def replicas(stack):
    return [node for node in stack.service.nodes if node is not stack.service.primary()]


def register(stack, pubkey=None):
    return stack.post("/api/register", {"trade_pubkey": pubkey or nostr.new_pubkey(),
                                        "token": "token-1", "platform": "android"})


def timed(stack, what, *arguments):
    began = time.monotonic()
    answer = what(stack, *arguments)
    return answer, time.monotonic() - began


@contextlib.contextmanager
def stopped(nodes):
    for node in nodes:
        node.pause()
    try:
        yield
    finally:
        for node in nodes:
            node.resume()


def unconfirmed(stack):
    return stack.stat("registrations_unconfirmed")


def test_a_replica_confirms_what_is_answered(replicated):
    """With that the wait is over, and nothing is counted; but where the machine is busy."""
    others = [node.client() for node in replicas(replicated)]
    took = []
    for _ in range(50):
        pubkey = nostr.new_pubkey()
        answer, seconds = timed(replicated, register, pubkey)
        assert answer.status == 200
        took.append(seconds)
        assert any(each.exists(f"mostro:token:{pubkey}") for each in others)
        answer = replicated.post("/api/unregister", {"trade_pubkey": pubkey})
        assert answer.body == UNREGISTERED
    assert statistics.median(took) < CONFIRM / 2
    assert unconfirmed(replicated) < 10


def test_without_a_replica_it_is_answered_all_the_same(replicated):
    """After 100 ms, counted and told; and nothing else is slower for it."""
    before = replicated.workers.output().count("no replica has confirmed")
    with stopped(replicas(replicated)), concurrent.futures.ThreadPoolExecutor(1) as other:
        for _ in range(5):
            slow = other.submit(timed, replicated, register)
            quick = []
            while not slow.done():
                _, seconds = timed(replicated, lambda stack: stack.notify(nostr.new_pubkey()))
                quick.append(seconds)
            answer, seconds = slow.result()
            assert answer.status == 200 and CONFIRM <= seconds < CONFIRM + 0.3, seconds
            assert min(quick) < CONFIRM / 2, quick
    wait_until(lambda: unconfirmed(replicated) == 5)
    assert replicated.workers.output().count("no replica has confirmed") == before + 1


def test_many_at_once_share_their_wait(replicated):
    """What comes while others wait is sent when these are done: no more than two waits for any."""
    with stopped(replicas(replicated)), concurrent.futures.ThreadPoolExecutor(16) as threads:
        asked = [threads.submit(timed, replicated, register) for _ in range(48)]
        for one in asked:
            answer, seconds = one.result()
            assert answer.status == 200 and seconds < 3 * CONFIRM + 0.3, seconds
    wait_until(lambda: unconfirmed(replicated) == 48)


def test_a_wait_that_is_not_granted_is_told_of(replicated):
    client = replicated.service.primary().client()
    client.execute_command("ACL", "SETUSER", "mostro-push", "-wait")
    assert register(replicated).status == 200
    wait_until(lambda: "grant +wait" in replicated.workers.output())
    wait_until(lambda: unconfirmed(replicated) == 1)
