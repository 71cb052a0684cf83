"""How pushes travel: FCM's by HTTP/2, over few connections; to public addresses alone, none held
up by another, with the access token that they need."""
import collections
import contextlib
import dataclasses
import getpass
import json
import pathlib
import signal
import socket
import statistics
import threading
import time

import pytest

import google as fcm
import nostr
import phone as phones
from certificates import openssl
from google import Google
from loopback import HOST, Port, Proxy
from stack import FCGI, LISTENER, wait_until

STANDINS = pathlib.Path(__file__).resolve().parents[1] / "standins"

# nginx as Google has it: HTTP/2 over TLS, and which connection each request came by.
HTTP2 = """
daemon off;
user {user};
pid {directory}/http2.pid;
error_log {directory}/http2-errors.log;
events {{}}
http {{
    log_format wire "$server_protocol $connection $uri";
    access_log {directory}/http2-access.log wire;
    server {{
        listen {host}:{port} ssl http2;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location / {{
            proxy_pass http://{host}:{behind};
            proxy_http_version 1.1;
            proxy_read_timeout 120s;
        }}
    }}
    {unused}
}}
"""


class Http2:
    """nginx in front of a stand-in; `port` is a loopback.Port."""

    def __init__(self, stack, certificate, port, behind):
        self._log = stack.directory / "http2-access.log"
        conf = stack.directory / "http2.conf"
        unused = "".join(f"{name}_temp_path {stack.directory}/http2-{name};\n" for name in (
            "client_body", "proxy", "fastcgi", "scgi", "uwsgi"))
        conf.write_text(HTTP2.format(
            user=getpass.getuser(), directory=stack.directory, host=HOST, port=port.number,
            certificate=certificate[0], key=certificate[1], behind=behind, unused=unused))
        stack.start_program("http2", ["nginx", "-e", "stderr", "-c", conf])
        wait_until(lambda: (stack.directory / "http2.pid").exists())

    def requests(self, uri):
        """(protocol, connection) of each request so far for a URI that ends like this."""
        lines = [line.split(" ", 2) for line in self._log.read_text().splitlines()]
        return [(protocol, connection) for protocol, connection, path in lines
                if path.endswith(uri)]


def start(stack, relay):
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)


def wake(stack, endpoints):
    """A device for each of these tokens, and then a wake for each, as soon as can be: a push that
    is held has its time-out."""
    devices = {nostr.new_pubkey(): endpoint for endpoint in endpoints}
    for one, endpoint in devices.items():
        stack.register(one, endpoint)
    for one in devices:
        stack.notify(one)


# ---- Who asks


def test_every_request_names_this_server(make_stack, phone, google, google_settings, version):
    """A relay's upgrade, a push of either kind, and the request for an access token."""
    agent = f"mostro-push/{version}"
    with socket.create_server((HOST, 0)) as relay:
        relay.settimeout(10)
        stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", **google_settings)
        stack.start_redis()
        stack.start_api()
        stack.spawn_listener([f"ws://{HOST}:{relay.getsockname()[1]}"])
        with relay.accept()[0] as connection, connection.makefile("rb") as request:
            lines = [line.rstrip() for line in iter(request.readline, b"\r\n")]
        assert f"User-Agent: {agent}".lower().encode() in map(bytes.lower, lines)
        wake(stack, ["fcm-token-1", phone.endpoint()])
        assert phone.next_push().headers["User-Agent"] == agent
        google.next_message()
        assert google.user_agents == [agent] * 2


# ---- HTTP/2

# Seconds, no time-out of a distributor (5) or of FCM (10) among them.
AT_ONCE, AT_ONCE_BY_FCM = 4, 8
IN_FLIGHT = 150  # more than one connection carries
MESSAGES = 400


def test_many_messages_share_few_connections(make_stack, relay, tmp_path, certificate, authority):
    gate = threading.Event()
    with contextlib.closing(Port()) as port, Google(
            tmp_path, url=f"https://{HOST}:{port.number}") as google:
        stack = make_stack(
            FCM_ENABLED="true", FCM_ENDPOINT=google.url, FIREBASE_PROJECT_ID=google.PROJECT,
            FIREBASE_SERVICE_ACCOUNT_PATH=str(google.service_account),
            TLS_CA_FILE=str(authority.certificate), PUSH_MAX_IN_FLIGHT=str(IN_FLIGHT))
        server = Http2(stack, certificate, port, google.port)
        start(stack, relay)
        tokens = [f"fcm-token-{i}" for i in range(MESSAGES)]
        for token in tokens:
            google.hold(token, gate)
        wake(stack, tokens)
        wait_until(lambda: google.most_messages >= IN_FLIGHT)
        gate.set()
        stack.wait_until_idle()
        assert sorted(message.token for message in google.messages) == sorted(tokens)
        assert google.most_messages == IN_FLIGHT
        wait_until(lambda: len(server.requests(":send")) == MESSAGES)
        requests = server.requests(":send")
        assert {protocol for protocol, _ in requests} == {"HTTP/2.0"}
        assert 2 <= len({connection for _, connection in requests}) <= 4


def test_twenty_at_once_to_a_host(make_stack, relay, phone, certificate, authority):
    """Once it has answered one; each by a connection of its own, though it offers HTTP/2."""
    with contextlib.closing(Port()) as port, phones.Phone() as other:
        stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true",
                           TLS_CA_FILE=str(authority.certificate))
        server = Http2(stack, certificate, port, phone.port)
        start(stack, relay)
        wake(stack, [other.endpoint()])  # has answered, so it needs no newcomer's slot
        other.next_push()
        paths = [phone.path() for _ in range(60)]
        gates = {f"/{path}": threading.Event() for path in paths}
        for path, gate in gates.items():
            phone.answer(path, [phones.Answer(gate=gate)])
        wake(stack, [f"https://{HOST}:{port.number}/{path}" for path in paths])
        for _ in range(4):
            phone.next_push()
        # Another distributor's push comes through, and by then so would have a fifth.
        wake(stack, [other.endpoint()])
        other.next_push()
        assert len(phone.pushes) == 4
        gates[phone.pushes[0].path].set()
        for _ in range(1 + 20 - 4):
            phone.next_push()
        wake(stack, [other.endpoint()])
        other.next_push()
        assert len(phone.pushes) == 1 + 20
        for gate in gates.values():
            gate.set()
        stack.wait_until_idle()
        assert len(phone.pushes) == len(paths)
        wait_until(lambda: len(server.requests("")) == len(paths))
        assert {protocol for protocol, _ in server.requests("")} == {"HTTP/1.1"}
        assert len({connection for _, connection in server.requests("")}) == 20


def start_http2(stack, certificate, port, behind, length):
    """A front whose answers say how long they are, or do not."""
    front = stack.start_program("http2", ["node", STANDINS / "http2.cjs", *certificate, port.number,
                                          behind, length])
    wait_until(lambda: "READY" in front.output())


LENGTHS = ["with-length", "without-length"]


@pytest.mark.parametrize("length", LENGTHS)
def test_what_fcm_answers_is_read_at_once(make_stack, relay, tmp_path, certificate, authority,
                                          length):
    """However long it is: an access token, and why a push was refused."""
    with contextlib.closing(Port()) as port, Google(
            tmp_path, url=f"https://{HOST}:{port.number}") as google:
        google.access_token_bytes = 1024
        stack = make_stack(
            FCM_ENABLED="true", FCM_ENDPOINT=google.url, FIREBASE_PROJECT_ID=google.PROJECT,
            FIREBASE_SERVICE_ACCOUNT_PATH=str(google.service_account),
            TLS_CA_FILE=str(authority.certificate))
        start_http2(stack, certificate, port, google.port, length)
        start(stack, relay)
        wait_until(lambda: "an access token is at hand" in stack.listener.output(),
                   AT_ONCE_BY_FCM)
        pubkeys = []
        for size in (0, 400, 900, 1024, 2048, 4096, 8192, 14000):
            refusal = dataclasses.replace(fcm.UNREGISTERED, message="x" * size)
            google.answer(f"fcm-token-{size}", [refusal])
            pubkeys.append(nostr.new_pubkey())
            stack.register(pubkeys[-1], f"fcm-token-{size}")
            stack.notify(pubkeys[-1])
        wait_until(lambda: not any(map(stack.is_registered, pubkeys)), AT_ONCE_BY_FCM)


@pytest.mark.parametrize("length", LENGTHS)
def test_what_a_distributor_answers_holds_up_nobody(make_stack, relay, phone, certificate,
                                                    authority, length):
    """However long it is: more than 4 KB are not waited for."""
    with contextlib.closing(Port()) as port:
        stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true",
                           TLS_CA_FILE=str(authority.certificate))
        start_http2(stack, certificate, port, phone.port, length)
        start(stack, relay)
        alone = [1024, 2048, 65536]
        together = [0, 1, 900, 1024, 1025, 2048, 4096, 4097, 16384, 40000, 65536, 200000, 0]
        delivered = 0
        for sizes in [*([size] for size in alone), together]:
            for size in sizes:
                path = phone.path()
                phone.answer(f"/{path}", [phones.Answer(body=b"x" * size)])
                wake(stack, [f"https://{HOST}:{port.number}/{path}"])
            delivered += len(sizes)
            wait_until(lambda: stack.stat("wakes_delivered_unifiedpush") == delivered, AT_ONCE)
        assert stack.stat("push_retries") == 0 and len(phone.pushes) == delivered


# ---- Fairness


def test_a_connection_that_has_gone_silent(make_stack, relay, phone, certificate, authority):
    """As after the loss of its state in a NAT: nobody says so, and libcurl would use it for ever."""
    port = Port()
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", TLS_CA_FILE=str(authority.certificate))
    Http2(stack, certificate, port, phone.port)
    with Proxy(port.number) as proxy:
        start(stack, relay)
        pubkey = nostr.new_pubkey()
        stack.register(pubkey, f"https://{HOST}:{proxy.port}/push/one")
        stack.notify(pubkey)
        wait_until(lambda: stack.stat("wakes_delivered_unifiedpush") == 1)
        phone.next_push()
        proxy.swallow()
        stack.notify(pubkey)
        phone.next_push(timeout=20)
        assert proxy.accepted == 2
        stack.notify(pubkey)
        phone.next_push(timeout=4)  # no time-out of 5 s again
        stack.wait_until_idle()
        wait_until(lambda: stack.stat("wakes_delivered_unifiedpush") == 3)
        assert stack.stat("wakes_given_up_unifiedpush") == 0
    port.close()



def test_a_hundred_stuck_endpoints_hold_up_nobody(make_stack, relay, google, google_settings,
                                                  phone):
    """On twenty hosts, which share the few slots of a newcomer; nobody else's push takes longer for
    it, before or after they time out."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", PUSH_MAX_IN_FLIGHT="100",
                       **google_settings)
    start(stack, relay)
    gate = threading.Event()
    wake(stack, [phone.endpoint()])  # has answered, so it needs no newcomer's slot
    phone.next_push()
    with contextlib.ExitStack() as peers:
        hosts = [peers.enter_context(phones.Phone()) for _ in range(20)]
        peers.callback(gate.set)
        stuck = [host.endpoint() for host in hosts for _ in range(5)]
        for i, endpoint in enumerate(stuck):
            hosts[i // 5].answer(endpoint, [phones.Answer(gate=gate)] * 9)
        wake(stack, stuck)
        wait_until(lambda: sum(len(host.pushes) for host in hosts) >= 4)
        began = time.monotonic()
        waits = []
        while time.monotonic() - began < 7:  # 5 s until they time out, and then some
            for next_one, token in ((phone.next_push, phone.endpoint()),
                                    (google.next_message, f"fcm-token-{len(waits)}")):
                sent = time.monotonic()
                wake(stack, [token])
                next_one()
                waits.append(time.monotonic() - sent)
        wait_until(lambda: stack.stat("push_retries") >= 4)
        # One that waited for a slot would do so for most of a time-out.
        assert len(waits) > 10 and statistics.median(waits) < 1, sorted(waits)
        assert max(waits) < 3, sorted(waits)[-5:]
        stack.listener.kill()


# ---- Public addresses alone

LITERALS = ["127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
            "017700000001", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "0", "0.0.0.0",
            "[::1]"]
NAMES = ["localhost", "LocalHost"]  # as /etc/hosts has them


def plant(stack, pubkey, endpoint):
    """A registration that no responder would make."""
    stack.redis.hset(f"mostro:token:{pubkey}", mapping={
        "token": endpoint, "platform": "android", "registered_at": int(time.time())})


@pytest.fixture
def guarded(make_stack, relay, authority):
    stack = make_stack(TLS_CA_FILE=str(authority.certificate))
    start(stack, relay)
    return stack


def test_private_addresses_in_every_form(guarded, certificate):
    """The responder refuses the literals; the listener what is behind a name, and a literal that
    has come into the registry all the same."""
    with phones.Phone(0, *certificate) as phone:
        for host in [*LITERALS, *NAMES, "127.0.0.1."]:
            endpoint = f"https://{host}:{phone.port}/{phone.path()}"
            answer = guarded.post("/api/register", {
                "trade_pubkey": nostr.new_pubkey(), "token": endpoint, "platform": "android"})
            assert answer.status == 400 and "Invalid UnifiedPush endpoint URL" in answer.body, host
        for host in [*LITERALS, *NAMES]:
            one = nostr.new_pubkey()
            plant(guarded, one, f"https://{host}:{phone.port}/{phone.path()}")
            guarded.notify(one)
        guarded.wait_until_idle()
        assert phone.pushes == []
        wait_until(lambda: guarded.stat("wakes_given_up_unifiedpush") == len(LITERALS + NAMES))


def test_only_https_to_the_public(guarded, phone, pubkey):
    plant(guarded, pubkey, phone.endpoint())
    guarded.notify(pubkey)
    guarded.wait_until_idle()
    assert phone.pushes == []


@pytest.mark.parametrize("pattern, host, other", [
    (r"^127\.0\.0\.1$", "127.0.0.1", "localhost"),
    (r"^(localhost|.*\.example\.org)$", "LOCALHOST", "127.0.0.1"),
])
def test_hosts_can_be_narrowed(make_stack, relay, phone, pattern, host, other):
    """The expression sees the host in lower case, without its port. A phone that registered before
    it was set is not woken, either."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", UNIFIEDPUSH_ALLOWED_HOSTS_REGEX=pattern)
    start(stack, relay)
    paths = {one: phone.path() for one in (other, host)}
    planted = nostr.new_pubkey()
    plant(stack, planted, f"http://{other}:{phone.port}/{paths[other]}")
    stack.notify(planted)
    wake(stack, [f"http://{host}:{phone.port}/{paths[host]}"])
    assert phone.next_push().path == f"/{paths[host]}"
    stack.wait_until_idle()
    assert len(phone.pushes) == 1


@pytest.mark.parametrize("option", [[], ["--check-config"]], ids=["start", "check"])
def test_a_bad_expression_refuses_to_start(make_stack, option):
    stack = make_stack(UNIFIEDPUSH_ALLOWED_HOSTS_REGEX="^(push", NOSTR_RELAYS="ws://127.0.0.1:1")
    listener = stack.start_program("listener", [LISTENER, *option])
    assert listener.wait(timeout=10) == 2
    assert "UNIFIEDPUSH_ALLOWED_HOSTS_REGEX" in listener.output()
    checked = stack.start_program("fcgi", [FCGI, "--check-config"])
    assert checked.wait(timeout=10) == 2
    assert "UNIFIEDPUSH_ALLOWED_HOSTS_REGEX" in checked.output()


# ---- The service account and its access token


def test_a_service_account_that_cannot_be_used(make_stack, relay, phone, tmp_path):
    """FCM is off and says why; the rest runs."""
    broken = tmp_path / "broken.json"
    broken.write_text('{"client_email": "planted@example.org", "private_key": "planted-secret"')
    no_key = tmp_path / "no-key.json"
    no_key.write_text(json.dumps({"client_email": "planted@example.org",
                                  "token_uri": "https://planted.example.org/token",
                                  "private_key": "planted-secret"}))
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", FCM_ENABLED="true",
                       FIREBASE_PROJECT_ID="mostro-test")
    stack.start_redis()
    stack.start_api()
    for path, why in ((tmp_path / "missing.json", "there is no such file"),
                      (tmp_path, "it is a directory"), (broken, "it is not a JSON object"),
                      (no_key, "its private_key is not an RSA key in PEM")):
        stack.start_listener(relay, FIREBASE_SERVICE_ACCOUNT_PATH=str(path))
        assert (f"FCM: it is off: FIREBASE_SERVICE_ACCOUNT_PATH={path}: {why}" in
                stack.listener.output())
        wake(stack, ["fcm-token-1", phone.endpoint()])
        phone.next_push()
        stack.wait_until_idle()
        assert stack.listener.stop() == 0
    assert "planted" not in stack.listener.output()


def test_a_service_account_that_everybody_can_read(make_stack, relay, google, google_settings):
    google.service_account.chmod(0o644)
    stack = make_stack(**google_settings)
    start(stack, relay)
    wake(stack, ["fcm-token-1"])
    google.next_message()
    assert "can be read by every user" in stack.listener.output()


def test_the_project_of_the_service_account(make_stack, relay, google, google_settings):
    """Is pushed to where none is set; another one that is set is, too, with a warning."""
    stack = make_stack(**{**google_settings, "FIREBASE_PROJECT_ID": ""})
    start(stack, relay)
    wake(stack, ["fcm-token-1"])
    assert google.next_message().path == f"/v1/projects/{google.PROJECT}/messages:send"
    assert "FIREBASE_PROJECT_ID" not in stack.listener.output()
    assert stack.listener.stop() == 0
    stack.start_listener(relay, FIREBASE_PROJECT_ID="another")
    assert (f"FIREBASE_PROJECT_ID is 'another', but the service account is of '{google.PROJECT}'"
            in stack.listener.output())
    wake(stack, ["fcm-token-2"])
    # More than once, as soon as it is probed.
    wait_until(lambda: google.rejected)
    assert set(google.rejected) == {"POST /v1/projects/another/messages:send"}


def test_a_key_that_is_no_more(make_stack, relay, google, google_settings):
    """What the token endpoint says of it is told in a word, and nothing else that it says."""
    account = json.loads(google.service_account.read_text())
    account["private_key"] = openssl("genpkey", "-algorithm", "RSA").decode()
    google.service_account.write_text(json.dumps(account))
    stack = make_stack(**google_settings)
    start(stack, relay)
    wait_until(lambda: "the token endpoint answered 400, invalid_grant: this host's clock is wrong"
               in stack.listener.output())
    assert "signature" not in stack.listener.output()


@pytest.fixture
def short_lived(make_stack, relay, phone, tmp_path, certificate, authority):
    """(the server, a Google whose access tokens live for 6 s and are renewed after 3)."""
    with Google(tmp_path, 0, *certificate, lifetime=6) as google:
        stack = make_stack(
            UNIFIEDPUSH_ALLOW_PRIVATE="true", FCM_ENABLED="true", FCM_ENDPOINT=google.url,
            FIREBASE_PROJECT_ID=google.PROJECT, TLS_CA_FILE=str(authority.certificate),
            FIREBASE_SERVICE_ACCOUNT_PATH=str(google.service_account))
        start(stack, relay)
        yield stack, google


def test_an_access_token_is_renewed_in_time(short_lived):
    """In the background, one request at a time."""
    stack, google = short_lived
    used = collections.Counter()
    wait_until(lambda: len(google.claims) == 1)
    for i in range(1000):
        wake(stack, [f"fcm-token-{i}"])
        used[google.next_message().headers["Authorization"]] += 1
        if len(google.claims) == 4:
            break
    assert len(google.claims) == 4 and len(used) >= 3
    gaps = [later - earlier for earlier, later in zip(google.oauth_asked, google.oauth_asked[1:])]
    assert all(2.5 < gap < google.lifetime for gap in gaps), gaps
    assert google.most_oauth == 1
    assert google.rejected == []


def test_a_token_endpoint_that_hangs(short_lived, phone):
    """The token at hand is used for as long as it lives, phones do not wait at all, and messages
    go out once there is another."""
    stack, google = short_lived
    gate = threading.Event()
    # Its life begins when the listener has it, which is a while after it was asked for.
    wait_until(lambda: "an access token is at hand" in stack.listener.output())
    had = time.monotonic()
    google.hold_oauth(gate)
    wait_until(lambda: len(google.oauth_asked) == 2)
    wake(stack, ["fcm-token-1"])
    google.next_message()
    wait_until(lambda: time.monotonic() > had + google.lifetime)
    wake(stack, ["fcm-token-2", phone.endpoint()])
    phone.next_push(timeout=4)
    assert len(google.messages) == 1
    gate.set()
    assert google.next_message().token == "fcm-token-2"
    assert google.most_oauth == 1


def test_a_token_endpoint_that_fails(make_stack, relay, google, google_settings):
    """It is asked again after 1 s, doubling, of which up to half may be drawn off."""
    google.answer_oauth([500, 403, 503])
    stack = make_stack(**google_settings)
    start(stack, relay)
    wake(stack, ["fcm-token-1"])
    google.next_message(timeout=20)
    gaps = [later - earlier for earlier, later in zip(google.oauth_asked, google.oauth_asked[1:])]
    assert len(gaps) == 3
    assert all(0.45 * 2 ** n < gap < 2 * 2 ** n for n, gap in enumerate(gaps)), gaps


# ---- The end


def test_sigterm_waits_for_so_long(with_google, google, relay, pubkey):
    """What FCM does not answer within 10 s stays for the next."""
    gate = threading.Event()
    google.hold("fcm-token-1", gate)
    with_google.register(pubkey, "fcm-token-1")
    with_google.notify(pubkey)
    google.next_message()
    began = time.monotonic()
    with_google.listener.send_signal(signal.SIGTERM)
    assert with_google.listener.wait() == 0
    assert 8 < time.monotonic() - began < 15
    assert with_google.wakes_queued() == 1
    gate.set()
    with_google.start_listener(relay)
    assert google.next_message().token == "fcm-token-1"
    with_google.wait_until_idle()


def test_sigkill_with_many_messages_under_way(with_google, google, relay):
    gate = threading.Event()
    tokens = {f"fcm-token-{i}" for i in range(12)}
    for token in tokens:
        google.hold(token, gate)
    wake(with_google, sorted(tokens))
    google.next_message()
    with_google.listener.kill()
    gate.set()
    before = len(google.messages)
    with_google.start_listener(relay)
    with_google.wait_until_idle()
    assert {message.token for message in google.messages[before:]} == tokens


def dumps_no_core(pid):
    with open(f"/proc/{pid}/limits", encoding="utf-8") as limits:
        return any(line.split()[:6] == ["Max", "core", "file", "size", "0", "0"]
                   for line in limits)


def test_no_core_is_dumped(live):
    for pid in (live.listener.pid, *live.workers.children()):
        # The API answers as soon as one of the workers has begun.
        wait_until(lambda pid=pid: dumps_no_core(pid))
