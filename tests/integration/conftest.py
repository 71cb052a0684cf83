"""Fixtures: a stack for each test or for a whole file, and the peers it meets."""
import contextlib
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "standins"))

from certificates import Authority  # noqa: E402
from google import Google  # noqa: E402
from nostr import new_pubkey  # noqa: E402
from phone import Phone  # noqa: E402
from relay import Relay  # noqa: E402
from sentinels import ReplicatedRedis  # noqa: E402
from stack import FCGI, LISTENER, Stack  # noqa: E402

_stacks = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failing test's report shows the logs of the stacks that were up."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for stack in _stacks:
            report.sections.append((f"logs in {stack.directory}", stack.logs()))
            stack.keep = True


def pytest_configure(config):
    config.addinivalue_line("markers", "measured: its verdict is about time or memory")
    config.addinivalue_line("markers", "long: only with contrib/check --long")
    config.addinivalue_line("markers", "peers: its verdict is about what other programs send us")
    config.addinivalue_line("markers", "servers: its verdict is about what servers of Redis and the "
                                       "scripts around them do")
    config.addinivalue_line("markers", "heavy: takes a processor for a minute")


@pytest.fixture(scope="session", autouse=True)
def programs():
    """Without the programs every test would fail in its own confusing way."""
    for program in (FCGI, LISTENER):
        if not program.exists():
            pytest.exit(f"{program} is missing: build it, or name its place in BUILD_DIR", 2)


@pytest.fixture(scope="session")
def version():
    """PACKAGE_VERSION."""
    output = subprocess.run([FCGI, "--version"], check=True, capture_output=True, text=True).stdout
    return output.split()[-1]


@pytest.fixture(scope="module")
def web_server():
    """What stacks run behind. Files whose tests go through each have this fixture anew, with
    params=WEB_SERVERS."""
    return "lighttpd"


def _make_stacks(web_server):
    made = []

    def make(**settings):
        # Not pytest's tmp_path: a Unix socket's path must fit in 108 bytes.
        stack = Stack(tempfile.mkdtemp(prefix="mostro-push-stack-"), web_server, **settings)
        stack.keep = False
        made.append(stack)
        _stacks.append(stack)
        return stack

    yield make
    try:
        for stack in made:
            try:
                stack.close()
                stack.check_sanitizers()
            except AssertionError:
                stack.keep = True
                raise
    finally:
        for stack in made:
            stack.kill()
            _stacks.remove(stack)
            if not stack.keep:
                shutil.rmtree(stack.directory)


@pytest.fixture
def make_stack(web_server):
    """make_stack(SETTING="value", ...) -> a Stack that has started nothing yet."""
    yield from _make_stacks(web_server)


@pytest.fixture(scope="module")
def make_shared_stack(web_server):
    """The same for a whole file."""
    yield from _make_stacks(web_server)


# Replicas say once a second how far they are. On a machine that is busy with other tests that comes
# late, and a primary then refuses writes for a moment.
PATIENT = ["min-replicas-max-lag 5"]


@pytest.fixture
def make_replicated(web_server):
    """make_replicated({options of ReplicatedRedis}, SETTING="value", ...) -> a Stack whose Redis,
    `service`, is several nodes and Sentinels that are up."""
    services = []

    def make(service=None, **settings):
        stack = make_stack(**settings)
        stack.service = ReplicatedRedis(stack.directory, stack.programs,
                                        **{"options": PATIENT, **(service or {})})
        services.append(stack.service)
        stack.settings.update(stack.service.settings)
        stack.redis.close()
        stack.redis = stack.service.redis()
        return stack

    try:
        with contextlib.contextmanager(_make_stacks)(web_server) as make_stack:
            yield make
    finally:
        for service in services:
            service.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificate(authority):
    """(certificate file, key file) of 127.0.0.1."""
    return authority.issue("loopback")


@pytest.fixture
def relay():
    with Relay() as relay:
        yield relay


@pytest.fixture
def phone():
    with Phone() as phone:
        yield phone


@pytest.fixture
def google(tmp_path, certificate):
    with Google(tmp_path, 0, *certificate) as google:
        yield google


@pytest.fixture
def google_settings(google, authority):
    """What makes a listener push to the `google` stand-in."""
    return {
        "FCM_ENABLED": "true",
        "FCM_ENDPOINT": google.url,
        "FIREBASE_PROJECT_ID": google.PROJECT,
        "FIREBASE_SERVICE_ACCOUNT_PATH": str(google.service_account),
        "TLS_CA_FILE": str(authority.certificate),
    }


@pytest.fixture
def live(make_stack, relay, phone):
    """The whole server, subscribed to `relay`, that may push to `phone`."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    return stack


@pytest.fixture
def with_google(make_stack, relay, phone, google_settings):
    """The same, with FCM."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", **google_settings)
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    return stack


@pytest.fixture
def pubkey():
    """A trade pubkey that is not registered."""
    return new_pubkey()


@pytest.fixture
def device(live, phone, pubkey):
    """The endpoint URL with which `pubkey` is registered in `live`."""
    endpoint = phone.endpoint()
    live.register(pubkey, endpoint)
    return endpoint
