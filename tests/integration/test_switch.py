"""contrib/redis-ha/switch: a planned change of primary, over which nothing is lost."""
import threading
import time

import pytest
import redis

from stack import wait_until

pytestmark = pytest.mark.servers


@pytest.fixture
def stack(make_replicated):
    return make_replicated()


class Writer:
    """Writes key after key to whoever the Sentinels name, for as long as it is not told to stop."""

    def __init__(self, service):
        self._client = service.redis()
        self.acknowledged = []
        self.longest = 0  # seconds without a write
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def _write(self):
        last, n = time.monotonic(), 0
        while not self._halt.is_set():
            n += 1
            try:
                self._client.set(f"written-{n}", n)
            except redis.RedisError:
                continue
            self.acknowledged.append(f"written-{n}")
            self.longest = max(self.longest, time.monotonic() - last)
            last = time.monotonic()

    def __enter__(self):
        self._thread.start()
        wait_until(lambda: len(self.acknowledged) > 100, what="a hundred writes")
        return self

    def __exit__(self, *_):
        self._halt.set()
        self._thread.join()

    def lost(self):
        return [key for key in self.acknowledged if not self._client.exists(key)]


def test_nothing_is_lost(stack):
    old = stack.service.primary()
    with Writer(stack.service) as writer:
        status, said = stack.service.switch()
        assert status == 0, said
        new = stack.service.primary()
        before = len(writer.acknowledged)
        wait_until(lambda: len(writer.acknowledged) > before + 100, what="writes to the new one")
    assert new is not old and old.role() == "slave", said
    assert writer.lost() == []
    assert writer.longest < 5, said
    stack.service.wait_until_whole()
    # The third node did not take over when the Sentinels had looked around.
    assert stack.service.primary() is new


def test_refusals(stack):
    service = stack.service
    primary, replica = service.primary(), service.replicas()[0]

    def refuses(words):
        status, said = service.switch()
        assert status == 1 and words in said, said
        assert service.primary() is primary
        assert primary.client().set("still", "written")

    assert service.switch("--check")[0] == 0
    replica.client().config_set("save", "60 1")
    refuses("persists")
    replica.client().config_set("save", "")
    # It may not be fed.
    primary.client().execute_command("ACL SETUSER replica off")
    replica.client().execute_command("CLIENT KILL TYPE master")
    wait_until(lambda: not replica.is_in_sync(), what="a replica without its primary")
    refuses("is not in sync")
    primary.client().execute_command("ACL SETUSER replica on")
    wait_until(replica.is_in_sync, what="a replica in sync")
    for sentinel in service.sentinels[1:]:
        sentinel.kill()
    status, said = service.switch()
    assert status == 1 and "only 1 of 3 Sentinels answer" in said, said


def test_old_primary_restarts_at_once(stack):
    """Its machine is rebooted as soon as switch says so."""
    old = stack.service.primary()
    stack.redis.set("kept", "1")
    assert stack.service.switch()[0] == 0
    old.stop()
    old.redis_start()
    wait_until(old.role, 20, "it answers")
    assert old.role() == "slave"
    wait_until(old.is_in_sync, what="a copy")
    assert [node.client().get("kept") for node in stack.service.nodes] == ["1", "1", "1"]
