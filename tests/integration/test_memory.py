"""What is left in a worker's memory when it has answered: nothing of a token or a trade key, wherever
libraries have put it."""
import re
import secrets

import pytest

import nostr
from web_servers import WEB_SERVERS


@pytest.fixture(scope="module", params=WEB_SERVERS)
def web_server(request):
    return request.param


def writable_memory(pid):
    """Name and bytes of each part that the process may write to."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            start, end, rights, name = re.match(
                r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)", line).groups()
            if "w" in rights:
                memory.seek(int(start, 16))
                yield name, memory.read(int(end, 16) - int(start, 16))


def left_in(pid, planted):
    return [f"{what} in {name or 'mapped memory'}" for name, content in writable_memory(pid)
            for what, value in planted.items() if value.encode() in content]


def test_it_is_found_where_it_is(make_stack):
    """Otherwise the test below would see nothing in any case."""
    stack = make_stack()
    stack.start_redis()
    stack.redis.set("planted", value := secrets.token_hex(12))
    assert left_in(stack.programs[0].pid, {"value": value})


@pytest.mark.measured  # a sanitizer keeps what is freed, to see that nobody uses it
def test_a_worker_forgets(make_stack):
    stack = make_stack(REGISTER_RATE_PER_IP_PER_MIN="0")
    stack.start_redis()
    stack.start_api(workers=1)
    planted = {}
    for size in (100, 163, 1500, 4000):
        pubkey, mark = nostr.new_pubkey(), secrets.token_hex(12)
        planted |= {f"trade key {size}": pubkey[:24], f"token of {size}": mark}
        assert stack.register(pubkey, (mark * 200)[:size]).status == 200
        assert stack.notify(pubkey).status == 202
        assert stack.post("/api/unregister", {"trade_pubkey": pubkey}).status == 200
    assert stack.get("/api/health").status == 200
    for pid in stack.workers.children():
        assert not left_in(pid, planted)
