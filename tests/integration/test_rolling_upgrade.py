"""Three nodes and three Sentinels get a newer Redis, one node after the other, as contrib/redis-ha/README
says, while phones register and are woken."""
import pytest

import sentinels
from handovers import SERVERS, Load
from stack import wait_until


def version_of(node):
    info = node.client().info("server")
    return "valkey" if "valkey_version" in info else "redis", info["redis_version"]


def upgrade(service, node, server):
    """As its package does: its unit is stopped, and starts the new server by redis-start."""
    node.stop()
    node.redis_start(REDIS_SERVER=str(server))
    wait_until(node.answers, 60, f"{node.name} answers")
    service.wait_until_whole()


@pytest.mark.long
@pytest.mark.parametrize("new", ["redis-8.0", "valkey-8.1"])
def test_nothing_is_lost(make_replicated, monkeypatch, relay, phone, new):
    monkeypatch.setattr(sentinels, "REDIS_SERVER", str(SERVERS / "redis-7.0"))
    stack = make_replicated(UNIFIEDPUSH_ALLOW_PRIVATE="true", LOG_LEVEL="info")
    service = stack.service
    stack.start_api()
    stack.start_listener(relay)
    load = Load(stack, phone, relay)
    load.register(200)
    before = version_of(service.primary())
    load.start()
    old = service.primary()
    for replica in service.replicas():
        upgrade(service, replica, SERVERS / new)
    status, output = service.switch()
    assert status == 0, output
    assert service.primary() is not old
    # At once: its next full copy of its successor would fail, and leave it with nothing.
    upgrade(service, old, SERVERS / new)
    load.stop()
    versions = {version_of(node) for node in service.nodes}
    assert len(versions) == 1 and before not in versions
    load.check()
    print(f"503 for at most {load.longest_outage():.2f} s: {output.strip()}")
    assert load.longest_outage() < 5
