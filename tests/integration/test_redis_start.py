"""contrib/redis-ha/redis-start: as what a node starts, which must never be an empty primary while
another node may hold something."""
import pytest

from stack import wait_until

pytestmark = pytest.mark.servers


@pytest.fixture
def service(make_replicated):
    """With something in it, on all nodes."""
    stack = make_replicated()
    stack.redis.set("kept", "1")
    service = stack.service
    wait_until(lambda: all(node.client().get("kept") for node in service.nodes), what="all have it")
    return service


def kept(service):
    """What the nodes that run have, once they are in sync."""
    running = [node for node in service.nodes if node.is_alive()]
    for node in running:
        wait_until(node.is_in_sync, 30, f"{node.name} is in sync")
    return [node.client().get("kept") for node in running]


def wait_for_words(node, words, timeout=20):
    wait_until(lambda: words in node.process.output(), timeout, words)


def starts_as(node, role, timeout=20):
    """Waits until it answers at all, and is that at once."""
    found = wait_until(node.role, timeout, f"{node.name} answers")
    assert found == role, node.process.output()


def test_old_primary_waits_for_the_fail_over(service):
    old = service.primary()
    old.kill()
    old.redis_start()
    starts_as(old, "slave")
    assert service.primary() is not old
    assert kept(service) == ["1", "1", "1"]


def test_replica_starts_at_once(service):
    replica = service.replicas()[0]
    replica.kill()
    replica.redis_start()
    starts_as(replica, "slave", 10)
    assert kept(service) == ["1", "1", "1"]


def test_without_most_sentinels_nobody_starts(service):
    """Nor is it a matter of time."""
    for sentinel in service.sentinels[:2]:
        sentinel.kill()
    old = service.primary()
    old.kill()
    old.redis_start(REDIS_ALONE_AFTER="1")
    wait_for_words(old, "only 1 of 3 Sentinels answer")
    for sentinel in service.sentinels[:2]:
        assert old.role() is None
        sentinel.start()
    starts_as(old, "slave")
    assert kept(service) == ["1", "1", "1"]


@pytest.mark.long
def test_all_start_together(service):
    """After a power cut, say: in the end there is one primary, empty."""
    for node in service.nodes:
        node.kill()
    for node in reversed(service.nodes):
        node.redis_start()
    service.wait_until_whole()
    assert kept(service) == [None, None, None]


@pytest.mark.long
def test_node_that_does_not_answer_may_hold_all(service):
    """Stopped nodes stand for machines that are cut off: they answer nothing, and hold all."""
    old, others = service.primary(), service.replicas()
    for node in others:
        node.pause()
    old.kill()
    old.redis_start()
    wait_for_words(old, "may have the data and does not answer", 30)
    for node in others:
        node.resume()
    starts_as(old, "slave", 40)
    assert kept(service) == ["1", "1", "1"]


@pytest.mark.long
def test_node_that_does_not_answer_is_waited_for_no_longer_than_told(service):
    old = service.primary()
    for node in service.replicas():
        node.pause()
    old.kill()
    old.redis_start(REDIS_ALONE_AFTER="1")
    starts_as(old, "master", 40)
    assert "takes what did not answer for lost" in old.process.output()


@pytest.mark.long
def test_nobody_knows_the_service(service):
    """The first node of the list is the primary; if another is one already, that is."""
    for sentinel in service.sentinels:
        sentinel.client().execute_command("SENTINEL REMOVE", "mostro")
    for node in service.replicas():
        node.kill()
        node.redis_start()
        starts_as(node, "slave")
        wait_until(node.is_in_sync, what="a copy")
    for node in service.nodes:
        node.kill()
    service.nodes[1].redis_start()
    service.nodes[0].redis_start()
    starts_as(service.nodes[0], "master")
    starts_as(service.nodes[1], "slave")


@pytest.mark.long
def test_without_sentinels_and_by_order(service):
    for node in service.nodes:
        node.kill()
    service.nodes[0].redis_start(REDIS_SENTINELS="")
    service.nodes[1].redis_start("--primary")
    starts_as(service.nodes[0], "master")
    starts_as(service.nodes[1], "master")


def test_wrong_settings_are_told(service):
    node = service.nodes[0]
    node.kill()
    for settings, words in (
            ({"REDIS_NODES": "127.0.0.1:1"}, "is not in REDIS_NODES"),
            ({"REDIS_NODE": "127.0.0.1"}, "is not HOST:PORT")):
        node.redis_start(**settings)
        assert node.process.wait() == 1
        assert words in node.process.output()
    for setting in ("REDIS_SENTINEL_PASSWORD", "REDIS_NODE_PASSWORD"):
        node.redis_start(**{setting: "wrong"})
        wait_for_words(node, f"refuses {setting}")
        assert node.role() is None
        node.kill()
