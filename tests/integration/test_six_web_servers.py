"""Every web server that has an example or lines in OPERATING, before the workers: what FastCGI
makes of requests there.

Each has its own way with bodies, lengths and connections; the workers' answers are the same to the
byte, and no byte of one request becomes part of another."""
import concurrent.futures
import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import time

import pytest

import fastcgi
from nostr import new_pubkey
from other_web_servers import OTHER_WEB_SERVERS
from raw_http import (ACCEPTED, BAD_JSON, BAD_PUBKEY, KEY, NOT_FOUND, TOO_LARGE,
                      check_web_servers_own, head, padded, receive, send, spent, wake)
from stack import wait_until
from web_servers import WEB_SERVERS

pytestmark = pytest.mark.peers

LIMITED = '{"success":false,"message":"rate limited"}'
NOT_ALLOWED = '{"success":false,"message":"method not allowed"}'
REGISTERED = '{"success":true,"message":"Token registered successfully","platform":"android"}'
UNREGISTERED = '{"success":true,"message":"Token unregistered successfully"}'
UNKNOWN = '{"success":true,"message":"Token not found (may have already been unregistered)"}'
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

# Headers of the web server's own. Apache passes on no Content-Length; Caddy does the Status line.
THE_SERVERS = {"connection", "date", "keep-alive", "server", "status", "transfer-encoding"}


# Who closes after each request does what lighttpd and nginx do then.
ONLY_LONG = {"haproxy-closing", "apache-closing", "h2o-closing"}


@pytest.fixture(scope="module", params=[
    pytest.param(name, marks=[pytest.mark.long] if name in ONLY_LONG else [])
    for name in [*WEB_SERVERS, *OTHER_WEB_SERVERS]])
def web_server(request):
    if request.param.startswith("h2o") and not shutil.which("h2o"):
        pytest.skip("this Debian has no h2o")
    return request.param


def make(make_stack, workers=2, tcp=False, **settings):
    stack = make_stack(**settings)
    stack.start_redis()
    stack.start_api(workers, tcp=tcp)
    return stack


NO_LIMITS = {"NOTIFY_RATE_PER_PUBKEY_PER_MIN": "60000", "NOTIFY_RATE_PER_IP_PER_MIN": "60000",
             "REGISTER_RATE_PER_IP_PER_MIN": "0", "REGISTER_NEW_PER_IP_PER_DAY": "0"}


@pytest.fixture(scope="module")
def api(make_shared_stack):
    return make(make_shared_stack, **NO_LIMITS)


@pytest.fixture(scope="module")
def limited(make_shared_stack):
    """What an address has spent stays spent."""
    return make(make_shared_stack, NOTIFY_RATE_PER_IP_PER_MIN="1")


def check(answer, status, body, path="/api/notify", **more):
    """The worker's answer to the byte, with exactly its headers; `more` are those of this one."""
    assert answer is not None
    assert (answer.status, answer.body) == (status, body)
    headers = {name.lower() for name, _ in answer.headers} - THE_SERVERS
    expected = {"content-type": "application/json", **more}
    if "content-length" in headers:
        expected["content-length"] = str(len(body))
    if path == "/api/notify":
        expected["x-request-id"] = answer.header("X-Request-Id")
        assert UUID4.fullmatch(expected["x-request-id"])
    assert {name: answer.header(name) for name in headers} == expected


def post(path, body, *lines):
    """The bytes of a POST."""
    return head(path, f"Content-Length: {len(body)}", *lines) + body


def chunked(path, body, size=5000):
    chunks = [body[i:i + size] for i in range(0, len(body), size)]
    return [head(path, "Transfer-Encoding: chunked"),
            *(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks), b"0\r\n\r\n"]


def get(api, path):
    return send(api, head(path, method="GET"), method="GET")


# ---- Every route, every refusal


def check_every_route(api, version):
    check(get(api, "/api/health"), 200, '{"status":"ok"}', "")
    check(get(api, "/api/info?x=1"), 200, '{"version":"%s","encryption_enabled":false,"note":'
          '"Token encryption will be enabled in a future phase"}' % version, "")
    check(get(api, "/api/ready"), 503, '{"status":"not ready"}', "")
    check(get(api, "/api/metrics"), 404, NOT_FOUND, "")
    key = new_pubkey()
    phone = json.dumps({"trade_pubkey": key, "token": "t", "platform": "android"}).encode()
    check(send(api, post("/api/register", phone)), 200, REGISTERED, "")
    assert api.is_registered(key)
    check(get(api, "/api/status"), 200, '{"status":"running","version":"%s",'
          '"tokens":{"total":1,"android":1,"ios":0}}' % version, "")
    before = api.wakes_added()
    answer = send(api, post("/api/notify", b'{"trade_pubkey":"%s"}' % key.encode(),
                            f"X-Request-Id: {KEY}"))
    check(answer, 202, ACCEPTED)
    assert api.wakes_added() == before + 1
    for expected in (UNREGISTERED, UNKNOWN):
        body = b'{"trade_pubkey":"%s"}' % key.encode()
        check(send(api, post("/api/unregister", body)), 200, expected, "")
    assert not api.is_registered(key)


def test_every_route(api, version):
    check_every_route(api, version)


def test_workers_on_a_port(make_stack, version):
    api = make(make_stack, tcp=True, **NO_LIMITS)
    check_every_route(api, version)
    for size, status, body in ((8192, 202, ACCEPTED), (8193, 413, TOO_LARGE)):
        check(send(api, post("/api/notify", padded(size))), status, body)
        check(send(api, *chunked("/api/notify", padded(size))), status, body)


def test_refusals(api):
    check(send(api, post("/api/notify", b"{}")), 400, BAD_PUBKEY)
    check(send(api, post("/api/register", b"{")), 400, BAD_JSON, "")
    check(send(api, post("/api/nowhere", wake())), 404, NOT_FOUND, "")
    check(get(api, "/api/notify"), 405, NOT_ALLOWED, allow="POST")
    check(send(api, post("/api/health", wake())), 405, NOT_ALLOWED, "", allow="GET, HEAD")
    head_only = send(api, head("/api/notify", method="HEAD"), method="HEAD")
    assert (head_only.status, head_only.body) == (405, "")
    assert UUID4.fullmatch(head_only.header("X-Request-Id"))


# ---- Bodies


@pytest.mark.parametrize("path, most, good", [
    ("/api/notify", 8 * 1024, (202, ACCEPTED)),
    ("/api/register", 128 * 1024, (200, REGISTERED.replace("android", "ios"))),
])
def test_body_limits(api, path, most, good):
    for size in (most - 1, most):
        check(send(api, post(path, padded(size))), *good, path)
    for size in (most + 1, most + 8000):
        check(send(api, post(path, padded(size))), 413, TOO_LARGE, path)


# HAProxy takes chunked bodies only as far as its buffer goes.
CHUNKED_MOST = {"haproxy": 15_000}


@pytest.mark.parametrize("path, good", [
    ("/api/notify", (202, ACCEPTED)),
    ("/api/register", (200, REGISTERED.replace("android", "ios"))),
])
@pytest.mark.parametrize("size", [120, 8192, 8193, 15_000, 16_383, 16_384, 17_000, 131_072,
                                  131_073])
def test_chunked_bodies(api, web_server, path, good, size):
    answer = send(api, *chunked(path, padded(size)))
    if size > CHUNKED_MOST.get(web_server.partition("-")[0], size):
        check_web_servers_own(answer)
    elif size > (8192 if path == "/api/notify" else 131_072):
        check(answer, 413, TOO_LARGE, path)
    else:
        check(answer, *good, path)


def test_an_empty_body(api):
    """Counted or chunked; HAProxy sends no end of the latter, so nobody may wait for it."""
    for _ in range(3):
        check(send(api, *chunked("/api/notify", b"")), 400, BAD_PUBKEY)
        check(send(api, post("/api/notify", b"")), 400, BAD_PUBKEY)
        check(send(api, post("/api/notify", wake())), 202, ACCEPTED)


@pytest.mark.parametrize("form", ["counted", "chunked"])
def test_a_body_in_pieces(api, form):
    """Over two seconds, from more clients than there are workers, who serve others meanwhile. Some
    web servers give a worker a request whose body they do not have."""
    bodies = [wake() for _ in range(6)]
    is_chunked = form == "chunked"
    length = f"Content-Length: {len(wake())}"

    def piece(data):
        return b"%x\r\n%s\r\n" % (len(data), data) if is_chunked else data
    slow = [api.connect() for _ in bodies]
    before = api.wakes_added()
    try:
        for connection in slow:
            connection.sendall(head("/api/notify", "Transfer-Encoding: chunked" if is_chunked else
                                    length))
        for i in range(0, len(wake()) - 8, 8):
            for connection, body in zip(slow, bodies):
                connection.sendall(piece(body[i:i + 8]))
            time.sleep(0.2)
            assert api.post("/api/notify", wake(), timeout=2).status == 202
        for connection, body in zip(slow, bodies):
            connection.sendall(piece(body[i + 8:]) + (b"0\r\n\r\n" if is_chunked else b""))
        for connection in slow:
            check(receive(connection), 202, ACCEPTED)
    finally:
        for connection in slow:
            connection.close()
    assert api.wakes_added() == before + len(bodies) + i // 8 + 1


@pytest.mark.parametrize("size", [100, 100_000])
@pytest.mark.parametrize("rudely", [False, True], ids=["fin", "rst"])
def test_a_client_that_leaves_midway(api, size, rudely):
    """None of its request happens, and none of it is left for the next one."""
    before = api.wakes_added()
    body = padded(max(size, 150))
    for path in ("/api/notify", "/api/register") * 5:
        with api.connect() as connection:
            connection.sendall(post(path, body)[:-size // 2])
            if rudely:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for i in range(10):
        check(send(api, post("/api/notify", wake())), 202, ACCEPTED)
        assert api.wakes_added() == before + i + 1


def test_refused_in_the_middle_of_a_body(limited):
    """Over its limit, whatever it still has to say."""
    client = limited.new_client()
    for _ in range(30):
        check(send(limited, post("/api/notify", wake()), client=client), 202, ACCEPTED)
    before = limited.wakes_added()
    for size in (100, 7000, 100_000):
        text = post("/api/notify", padded(max(size, 150)))
        with limited.connect(client) as connection:
            connection.sendall(text[:-size // 2])
            select.select([connection], [], [], 0.3)
            try:
                connection.sendall(text[-size // 2:])
            except OSError:
                pass  # answered and closed
            check(receive(connection), 429, LIMITED, **{"retry-after": "60"})
        assert limited.wakes_added() == before
        check(send(limited, post("/api/notify", wake())), 202, ACCEPTED)
        before += 1


# ---- One request after another


class Client:
    """Sends requests on one connection as long as it is kept, and then on another."""

    def __init__(self, api):
        self._api = api
        self._connection = None
        self.connections = 0

    def ask(self, method, path, body=b""):
        if not self._connection:
            self._connection = self._api.connect()
            self.connections += 1
        text = head(path, f"Content-Length: {len(body)}", method=method)
        self._connection.sendall(text.replace(b"Connection: close\r\n", b"") + body)
        answer = receive(self._connection, method)
        if answer is None or (answer.header("Connection") or "").lower() == "close":
            self.close()
        return answer

    def close(self):
        if self._connection:
            self._connection.close()
            self._connection = None


def smuggled(size):
    """A body made of requests to wake somebody, as a web server would write them to a worker."""
    one = fastcgi.request(REQUEST_METHOD="POST", REQUEST_URI="/api/notify", REMOTE_ADDR="192.0.2.1",
                          CONTENT_TYPE="application/json", CONTENT_LENGTH=str(len(wake())),
                          body=wake())
    return (one * (size // len(one) + 1))[:size]


def test_what_is_not_read_is_no_request(api):
    """Early answers leave a body unread; between them a good request is answered as ever."""
    client = Client(api)
    before = api.wakes_added()
    try:
        for i, size in enumerate((1, 300, 8193, 9001, 16_000, 40_003, 100_000, 131_071) * 2):
            body = smuggled(size)
            check(client.ask("POST", "/api/nowhere", body), 404, NOT_FOUND, "")
            check(client.ask("PUT", "/api/notify", body), 405, NOT_ALLOWED, allow="POST")
            check(client.ask("POST", "/api/health", body), 405, NOT_ALLOWED, "", allow="GET, HEAD")
            check(client.ask("GET", "/api/health", body), 200, '{"status":"ok"}', "")
            refusal = (413, TOO_LARGE) if size > 8192 else (400, BAD_PUBKEY)
            check(client.ask("POST", "/api/notify", body), *refusal)
            check(client.ask("POST", "/api/notify", wake()), 202, ACCEPTED)
            assert api.wakes_added() == before + i + 1
    finally:
        client.close()


def test_two_hundred_requests_at_once(api):
    """Each gets the answer to its own."""
    before = api.wakes_added()

    def ask(i):
        if i % 4 == 0:
            return send(api, post("/api/notify", wake()))
        body = json.dumps({"trade_pubkey": new_pubkey(), "token": "t" * (i * 10),
                           "platform": f"phone {i}"}).encode()
        form = chunked("/api/register", body) if i % 4 == 1 else [post("/api/register", body)]
        return send(api, *form)
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(ask, range(200)))
    for i, answer in enumerate(answers):
        if i % 4 == 0:
            check(answer, 202, ACCEPTED)
        else:
            check(answer, 400, '{"success":false,"message":"Invalid platform \'phone %d\' '
                  '(expected \'android\' or \'ios\')"}' % i, "")
    assert api.wakes_added() == before + 50


def next_worker(api, told):
    """One that has not been told to end; their keeper has other children, too."""
    found = []

    def look():
        for pid in set(api.workers.children()) - told:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as name:
                if "mostro-push-fcgi".startswith(name.read().strip()):
                    found.append(pid)
        return found
    wait_until(look)
    return found[0]


def test_workers_that_are_replaced(api, web_server):
    """Whose kept connections end as requests come: nginx sends such a request once more."""
    if not web_server.startswith("nginx"):
        pytest.skip("answers 502 or 503, or closes")
    before, answers, told = api.wakes_added(), [], set()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(6):
            asked = [pool.submit(send, api, post("/api/notify", wake())) for _ in range(40)]
            worker = next_worker(api, told)
            os.kill(worker, signal.SIGTERM)
            told.add(worker)
            answers += [each.result() for each in asked]
    for answer in answers:
        check(answer, 202, ACCEPTED)
    assert api.wakes_added() >= before + len(answers)


# ---- Who is who


REAL, SPOOF = "203.0.113.1", "198.51.100.1"


def test_the_limit_is_the_addresses_own(limited):
    client = limited.new_client()
    answers = [send(limited, post("/api/notify", wake()), client=client) for _ in range(32)]
    for answer in answers[:30]:
        check(answer, 202, ACCEPTED)
    for answer in answers[30:]:
        check(answer, 429, LIMITED, **{"retry-after": "60"})
    check(send(limited, post("/api/notify", wake())), 202, ACCEPTED)


def test_no_header_is_an_address(limited):
    client = limited.new_client()
    own = spent(limited, client=client)
    for name in ("Remote-Addr", "Remote_Addr", "X-Forwarded-For", "X_Forwarded_For",
                 "Fly-Client-IP", "Fly_Client_IP", "Forwarded", "X-Real-IP", "Client-IP"):
        assert spent(limited, f"{name}: {SPOOF}", client=client) == own, name
    assert spent(limited) != own


def test_no_header_takes_the_limit_on_registering_off(make_stack):
    """Nor does one that the web server adds by itself."""
    api = make(make_stack, REGISTER_RATE_PER_IP_PER_MIN="1")
    client = api.new_client()
    found = [send(api, post("/api/unregister", b'{"trade_pubkey":"%s"}' % KEY.encode()),
                  client=client).status for _ in range(102)]
    assert found == [200] * 100 + [429] * 2


@pytest.mark.parametrize("trusted, other", [("X-Forwarded-For", "Fly-Client-IP"),
                                            ("Fly-Client-IP", "X-Forwarded-For")])
def test_only_the_named_header_of_a_proxy_counts(make_stack, trusted, other):
    api = make(make_stack, NOTIFY_TRUST_PROXY_HEADERS=trusted, NOTIFY_RATE_PER_IP_PER_MIN="1")
    client = api.new_client()
    own = spent(api, client=client)
    for name in (other, other.replace("-", "_"), other.replace("-", "_", 1), other.upper(),
                 other.replace("-", ".")):
        assert spent(api, f"{name}: {SPOOF}", client=client) == own, name


@pytest.mark.parametrize("lines", [["MOSTRO_METRICS: 1"], ["Mostro-Metrics: 1"],
                                   ["Http-Mostro-Metrics: 1"], ["Env: MOSTRO_METRICS=1"]])
def test_no_client_makes_itself_the_operator(api, lines):
    answer = send(api, head("/api/metrics", *lines, method="GET"), method="GET")
    check(answer, 404, NOT_FOUND, "")
