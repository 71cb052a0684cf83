"""Names that lead to the public internet when they are checked, and to this network when a push is
made. The listener is a real one with a resolver that lies (rebinding.c)."""
import pytest

import nostr
from phone import Phone
from stack import preloaded, wait_until


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return preloaded("rebinding", tmp_path_factory.mktemp("shim"))


@pytest.fixture
def there(authority):
    """A phone on loopback that those names are also certified for."""
    names = "DNS:*.moves.example,DNS:*.both.example"
    with Phone(0, *authority.issue("rebinding", names)) as phone:
        yield phone


@pytest.fixture
def stack(make_stack, authority):
    stack = make_stack(TLS_CA_FILE=str(authority.certificate))
    stack.start_redis()
    stack.start_api()
    return stack


@pytest.fixture
def start_listener(stack, relay, shim):
    """With the shim; every start is a new process that remembers no name."""
    def start():
        stack.start_listener(relay, **shim, MOVES=str(stack.directory / "moved"))
    return start


def register(stack, phone, name):
    pubkey = nostr.new_pubkey()
    stack.register(pubkey, f"https://{name}:{phone.port}/{phone.path()}")
    return pubkey


def test_a_name_that_moves_into_this_network(stack, start_listener, there):
    pubkey = register(stack, there, "a.moves.example")
    start_listener()
    stack.notify(pubkey)
    there.next_push()
    stack.wait_until_idle()
    assert stack.listener.stop() == 0
    (stack.directory / "moved").touch()
    start_listener()
    stack.notify(pubkey)
    stack.wait_until_idle()
    assert len(there.pushes) == 1
    wait_until(lambda: stack.stat("wakes_given_up_unifiedpush") == 1)
    assert stack.is_registered(pubkey)
    # Who runs the server is told, once an hour for all phones there.
    stack.notify(register(stack, there, "a.moves.example"))
    wait_until(lambda: stack.stat("wakes_given_up_unifiedpush") == 2)
    said = [line.partition(" info: ")[2] for line in stack.listener.output().splitlines()
            if "moves.example" in line]
    assert said == ["UnifiedPush: a.moves.example is at an address that is not public; "
                    "nothing is sent there"]
    assert ("was pushed to by UnifiedPush (no public address): given up"
            in stack.listener.output())


def test_a_name_that_is_in_this_network_too(stack, start_listener, there):
    """Of its addresses only the public one is tried, and nobody is there."""
    pubkey = register(stack, there, "a.both.example")
    start_listener()
    stack.notify(pubkey)
    wait_until(lambda: stack.stat("push_retries") >= 1)
    assert there.pushes == []


def test_a_connection_that_is_kept_is_no_way_around_it(stack, start_listener, there):
    """It was opened while the name was public, and goes on being used: to that public address."""
    first, second = (register(stack, there, "a.moves.example") for _ in range(2))
    start_listener()
    stack.notify(first)
    there.next_push()
    stack.wait_until_idle()  # before its answer the connection is no use to another
    (stack.directory / "moved").touch()
    stack.notify(second)
    there.next_push()
    stack.wait_until_idle()
    there.stop()  # cuts the connection
    there.start()
    other = register(stack, there, "b.moves.example")
    stack.notify(other)
    stack.wait_until_idle()
    assert len(there.pushes) == 2
