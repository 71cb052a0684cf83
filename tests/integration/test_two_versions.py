"""This version beside the last release on one Redis, in the order in which OPERATING has them
upgraded: listeners, then workers. Where the history is not there (a release's archive, a shallow
clone) there is nothing to build the last release from."""
import pathlib
import re
import subprocess

import pytest

import nostr
from stack import FCGI, LISTENER, TOP, wait_until

COMMIT = (TOP / "tests/last-release").read_text().strip()


def run(*words, cwd):
    subprocess.run(words, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def last_release(tmp_path_factory):
    """The folder of the last release's programs."""
    git = ["git", "-c", f"safe.directory={TOP}", "-C", TOP]
    if subprocess.run([*git, "cat-file", "-e", f"{COMMIT}^{{commit}}"],
                      capture_output=True).returncode:
        pytest.skip(f"the history down to the last release, {COMMIT[:8]}, is not here: "
                    "git fetch --unshallow")
    folder = tmp_path_factory.mktemp("last-release")
    archive = folder / "source.tar"
    run(*git, "archive", "-o", archive, COMMIT, cwd=folder)
    run("tar", "-xf", archive, cwd=folder)
    run("autoreconf", "-i", cwd=folder)
    run("./configure", "--quiet", cwd=folder)
    run("make", "-s", "-j2", cwd=folder)
    return pathlib.Path(folder)


@pytest.fixture
def both(make_stack, last_release):
    """Two servers on one Redis, the new one and that of the last release; nothing runs yet."""
    settings = {"UNIFIEDPUSH_ALLOW_PRIVATE": "true", "NOTIFY_RATE_PER_PUBKEY_PER_MIN": "1",
                "LOG_LEVEL": "info"}
    new = make_stack(**settings)
    old = make_stack(**settings, LISTENER_NAME="listener-2", REDIS_URL=new.settings["REDIS_URL"])
    old.redis.close()
    old.redis = new.redis
    new.start_redis()
    return new, old


def errors(stack):
    return re.findall(r"\] error: .*", "".join(
        program.output() for program in (stack.workers, stack.listener) if program))


def start_listener(stack, relay, program):
    """Returns when it is subscribed."""
    before = len(relay.reqs())
    stack.listener = stack.start_program(f"listener-{stack.settings['LISTENER_NAME']}", [program],
                                         NOSTR_RELAYS=relay.url)
    relay.wait_for_req(before + 2)
    stack.wait_for_heartbeat()


def start_api(stack, program):
    stack.start_workers(program=program)
    stack.start_web()
    stack.wait_for_api()


def register(stack, phone):
    pubkey, endpoint = nostr.new_pubkey(), phone.endpoint()
    assert stack.register(pubkey, endpoint).status == 200
    return pubkey, endpoint


def is_woken(phone, cause, registration):
    """By `cause`, once, at its own endpoint."""
    pubkey, endpoint = registration
    cause(pubkey)
    push = phone.next_push()
    assert phone.url + push.path == endpoint


@pytest.mark.long
def test_an_upgrade_loses_no_wake(both, last_release, relay, phone):
    new, old = both

    def event(pubkey):
        relay.deliver(nostr.gift_wrap(pubkey))
    start_api(old, last_release / "mostro-push-fcgi")
    start_listener(old, relay, last_release / "mostro-push-listener")
    before = register(old, phone)
    is_woken(phone, old.notify, before)
    # The listeners come first.
    start_listener(new, relay, LISTENER)
    for cause in (old.notify, event):
        is_woken(phone, cause, before)
    old.listener.stop()
    is_woken(phone, old.notify, before)
    # Then the workers.
    start_api(new, FCGI)
    after = register(new, phone)
    for registration in (before, after):
        for cause in (old.notify, new.notify, event):
            is_woken(phone, cause, registration)
    # What the new workers have registered an old one renews, and the other way round.
    for stack, (pubkey, endpoint) in ((old, after), (new, before)):
        assert stack.register(pubkey, endpoint).status == 200
        is_woken(phone, new.notify, (pubkey, endpoint))
    new.wait_until_idle()
    assert len(phone.pushes) == 12
    assert not errors(old) and not errors(new)


@pytest.mark.long
def test_limits_are_shared(both, last_release, pubkey):
    new, old = both
    start_api(old, last_release / "mostro-push-fcgi")
    start_api(new, FCGI)
    answers = [stack.notify(pubkey).status for _ in range(6) for stack in (old, new)]
    assert answers == [202] * 10 + [429] * 2
    assert not errors(old) and not errors(new)


@pytest.mark.long
def test_counts_are_those_of_both_once_a_listener_has_tidied(both, last_release, phone):
    new, old = both
    start_api(old, last_release / "mostro-push-fcgi")
    start_api(new, FCGI)
    register(old, phone)
    register(new, phone)
    while new.redis.fcall("mostro3_trim", 1, "mostro:"):
        pass
    wait_until(lambda: '"total":2,"android":2,"ios":0' in new.get("/api/status").body)
