"""What the listener makes of another primary, which may be without the last that the one before had
been told."""
import collections
import time

import pytest

import nostr
from stack import wait_until


@pytest.fixture
def stack(make_replicated, relay):
    stack = make_replicated({"min_replicas": False}, UNIFIEDPUSH_ALLOW_PRIVATE="true")
    stack.start_api()
    stack.start_listener(relay)
    return stack


def register(stack, phone, n):
    found = {}
    for _ in range(n):
        pubkey, endpoint = nostr.new_pubkey(), phone.endpoint()
        stack.register(pubkey, endpoint)
        found[pubkey] = endpoint
    return found


def cut_replicas_off(node):
    """From now on they hear nothing more of this node, which takes writes all the same."""
    node.client().execute_command("ACL", "SETUSER", "replica", "off")
    node.client().execute_command("CLIENT", "KILL", "USER", "replica")
    wait_until(lambda: node.client().info("replication")["connected_slaves"] == 0)


def pushes(phone):
    return collections.Counter(phone.url + push.path for push in list(phone.pushes))


def test_what_the_new_primary_is_without(stack, relay, phone):
    """Events that the old one alone had taken wake again; those that both have do not, nor those
    that come later; and a wake that waited is pushed once."""
    before, lost, after, waits = register(stack, phone, 4).items()
    assert relay.publish(nostr.gift_wrap(before[0]))[0]
    phone.next_push()
    stack.wait_until_idle()
    old = stack.service.primary()
    stack.redis.set("mostro:paused", "1")
    wait_until(lambda: stack.redis.zcard("mostro:pauses") == 1)
    assert relay.publish(nostr.gift_wrap(waits[0]))[0]
    wait_until(lambda: stack.wakes_waiting() == 1)
    assert stack.redis.execute_command("WAIT", 2, 2000) == 2
    cut_replicas_off(old)
    old.client().delete("mostro:paused")
    assert relay.publish(nostr.gift_wrap(lost[0]))[0]
    wait_until(lambda: pushes(phone) == {before[1]: 1, waits[1]: 1, lost[1]: 1})
    wait_until(lambda: old.client().zcard("mostro:waiting:listener-1") == 0)
    for node in stack.service.nodes:
        assert node is old or not node.client().exists(f"mostro:woke:{lost[0]}")
    relay.clear_frames()
    old.kill()
    new = stack.service.wait_for_another(old)
    assert new.client().exists("mostro:paused")
    wait_until(lambda: any("since" in req[2] for req in relay.reqs()), what="pages are asked for")
    new.client().delete("mostro:paused")
    wait_until(lambda: pushes(phone)[lost[1]] == 2)
    assert relay.publish(nostr.gift_wrap(after[0]))[0]
    wait_until(lambda: pushes(phone)[after[1]] == 1)
    stack.wait_until_idle()
    # The end of its push was told to the old one alone.
    assert pushes(phone) == {before[1]: 1, waits[1]: 2, lost[1]: 2, after[1]: 1}
    assert "Redis has lost" not in stack.listener.output()
    assert "Redis is empty" not in stack.listener.output().partition("no longer")[2]


def test_nothing_is_pushed_twice_when_nothing_was_lost(stack, relay, phone):
    """Wakes that waited at the change go out, once; so do those of events that came meanwhile."""
    phones = register(stack, phone, 12)
    early, waiting, meanwhile = (list(phones)[i::3] for i in range(3))
    for pubkey in early:
        relay.publish(nostr.gift_wrap(pubkey))
    wait_until(lambda: len(phone.pushes) == len(early))
    stack.wait_until_idle()  # Redis knows, too
    stack.redis.set("mostro:paused", "1")
    wait_until(lambda: stack.redis.zcard("mostro:pauses") == 1)
    for pubkey in waiting:
        relay.publish(nostr.gift_wrap(pubkey))
    wait_until(lambda: stack.wakes_waiting() == len(waiting))
    assert stack.redis.execute_command("WAIT", 2, 2000) == 2
    old = stack.service.primary()
    old.kill()
    for pubkey in meanwhile:
        relay.publish(nostr.gift_wrap(pubkey))
    new = stack.service.wait_for_another(old)
    wait_until(lambda: new.client().zcard("mostro:waiting:listener-1") == 8)
    assert new.client().xinfo_groups("mostro:wakes")[0]["name"] == "dispatch"
    new.client().delete("mostro:paused")
    wait_until(lambda: len(phone.pushes) >= len(phones))
    stack.wait_until_idle()
    time.sleep(1)
    assert pushes(phone) == dict.fromkeys(phones.values(), 1)

