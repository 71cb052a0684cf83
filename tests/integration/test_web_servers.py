"""The operators' examples, lighttpd.conf.example and contrib/nginx.conf.example, at work: who is
who, what a body may do, what is for the operator alone, HTTPS.

Answers that a web server makes itself (400, 411, 413, 502, 503) are its own business; that they are
no answers of the workers' is checked, what they say is not."""
import http.client
import json
import os
import re
import select
import signal
import socket
import ssl
import stat
import subprocess
import threading
import time

import pytest

from loopback import HOST
from raw_http import (ACCEPTED, BAD_JSON, BAD_PUBKEY, BODY, KEY, NOT_FOUND, TOO_LARGE, check,
                      check_web_servers_own, head, padded, receive, send, spent, wake)
from stack import wait_until
from web_servers import TOP, WEB_SERVERS


@pytest.fixture(scope="module", params=WEB_SERVERS)
def web_server(request):
    return request.param


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 loopback")


@pytest.fixture(scope="module")
def api(make_shared_stack):
    """No limits, for whatever does not look at them."""
    stack = make_shared_stack(NOTIFY_RATE_PER_PUBKEY_PER_MIN="60000",
                              NOTIFY_RATE_PER_IP_PER_MIN="60000",
                              REGISTER_RATE_PER_IP_PER_MIN="0")
    stack.start_redis()
    stack.start_api()
    return stack


@pytest.fixture(scope="module")
def trusting(make_shared_stack):
    """Takes the client's address from the forwarding headers; what is spent stays spent."""
    stack = make_shared_stack(NOTIFY_TRUST_PROXY_HEADERS="true", NOTIFY_RATE_PER_IP_PER_MIN="1")
    stack.start_redis()
    stack.start_api()
    return stack


@pytest.fixture(scope="module")
def untrusting(make_shared_stack):
    """The same that takes no notice of them."""
    stack = make_shared_stack(NOTIFY_RATE_PER_IP_PER_MIN="1")
    stack.start_redis()
    stack.start_api()
    return stack


def make(make_stack, web=None, workers=2, **settings):
    stack = make_stack(**settings)
    stack.start_redis()
    stack.start_api(workers, web)
    return stack


# ---- Paths and methods


@pytest.mark.parametrize("path", ["/", "/api", "/apis", "/index.html", "/favicon.ico",
                                  "/api/../etc/passwd", "/etc/passwd", "//api/health",
                                  "/api/%2e%2e/api/health", "/api/health%2f", "/nonexistent",
                                  "/api/notify/", "/.env", "/api/health;x", "*"])
def test_nothing_but_the_api(api, path):
    answer = send(api, head(path, method="GET"), method="GET")
    assert answer.status == 404 or (answer.status == 400 and "success" not in answer.body)


def test_a_whole_url_as_the_request_target(api):
    """RFC 9112, section 3.2.2: a server must take it."""
    answer = send(api, head(f"http://{HOST}/api/health", method="GET"), method="GET")
    check(answer, 200, '{"status":"ok"}')


def test_head_is_get_without_the_body(api):
    for path in ("/api/health", "/api/info", "/api/status", "/api/ready", "/api/notify",
                 "/api/register", "/api/nowhere"):
        got = send(api, head(path, method="GET"), method="GET")
        with api.connect() as connection:
            connection.sendall(head(path, method="HEAD"))
            # As a GET, so that a body would be read.
            first, _, rest = b"".join(iter(lambda: connection.recv(65536), b"")).partition(
                b"\r\n\r\n")
        assert rest == b"", path
        told = first.decode().split("\r\n")
        assert int(told[0].split()[1]) == got.status
        headers = {name.lower(): value for name, _, value in
                   (line.partition(": ") for line in told[1:])}
        for name, value in got.headers:
            if name.lower() not in ("date", "x-request-id"):
                assert headers.pop(name.lower(), None) == value, (path, name)
        assert set(headers) <= {"date", "x-request-id"}, path


def test_head_then_get_on_one_connection(api):
    connection = http.client.HTTPConnection(HOST, api.http_port, timeout=5)
    try:
        for method, body in (("HEAD", b""), ("GET", b'{"status":"ok"}')) * 3:
            connection.request(method, "/api/health")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, body)
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["push_api", "push_api:8080", "mostro_push.example.org", "-",
                                  "UPPER.example", "127.1", "0x7f.1", "[::1]:80", "localhost."])
def test_any_host_may_be_asked(api, host):
    """Upstreams of nginx and services of compose have such names."""
    check(send(api, head("/api/health", method="GET", host=host), method="GET"), 200,
          '{"status":"ok"}')
    body = wake()
    check(send(api, head("/api/notify", f"Content-Length: {len(body)}", host=host), body), 202,
          ACCEPTED)


@pytest.mark.parametrize("lines", [
    ["Range: bytes=0-3"], ["Range: bytes=-1"], ["Range: bytes=0-0,2-3"], ["Range: bytes=900-"],
    ["Range: bytes=0-3", 'If-Range: "x"'], ["If-None-Match: *"],
    ["If-Modified-Since: Fri, 27 Nov 2099 00:00:00 GMT"], ["Accept-Encoding: gzip, br"],
    ["TE: trailers"], ["Accept: text/html"],
])
def test_an_answer_comes_whole(api, lines):
    check(send(api, head("/api/health", *lines, method="GET"), method="GET"), 200,
          '{"status":"ok"}')
    check(send(api, head("/api/nowhere", *lines, method="GET"), method="GET"), 404, NOT_FOUND)
    body = wake()
    check(send(api, head("/api/notify", *lines, f"Content-Length: {len(body)}"), body), 202,
          ACCEPTED)


@pytest.mark.parametrize("size", [1, 88, 9000, 130_000])
def test_a_get_may_have_a_body(api, size):
    """RFC 9110, section 9.3.1: it means nothing."""
    body = b"x" * size
    for method, expected in (("GET", '{"status":"ok"}'), ("HEAD", "")):
        answer = send(api, head("/api/health", f"Content-Length: {size}", method=method), body,
                      method=method)
        assert (answer.status, answer.body) == (200, expected)
    chunked = [head("/api/health", "Transfer-Encoding: chunked", method="GET"),
               b"%x\r\n%s\r\n0\r\n\r\n" % (size, body)]
    check(send(api, *chunked, method="GET"), 200, '{"status":"ok"}')
    answer = send(api, head("/api/notify", f"Content-Length: {size}", method="GET"), body,
                  method="GET")
    assert (answer.status, answer.header("Allow")) == (405, "POST")


KEPT_S = 20


def test_a_connection_is_kept_longer_than_by_the_app(api):
    """Its HTTP client keeps one for 15 s, and does not repeat a POST that meets the end of it."""
    connection = http.client.HTTPConnection(HOST, api.http_port, timeout=5)
    try:
        connection.connect()
        for _ in range(2):
            connection.request("POST", "/api/notify", wake(), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert (answer.status, answer.read().decode()) == (202, ACCEPTED)
            assert answer.getheader("Connection", "keep-alive") == "keep-alive"
            # Readable would be its end.
            assert select.select([connection.sock], [], [], KEPT_S)[0] == []
    finally:
        connection.close()


# ---- Bodies


@pytest.mark.parametrize("path, most, status", [
    ("/api/register", 128 * 1024, 200),
    ("/api/unregister", 8 * 1024, 200),
    ("/api/notify", 8 * 1024, 202),
])
def test_body_limits_to_the_byte(api, path, most, status):
    def chunked(body):
        pieces = [body[i:i + 5000] for i in range(0, len(body), 5000)]
        return [head(path, "Transfer-Encoding: chunked"),
                *(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"]

    def whole(body):
        return [head(path, f"Content-Length: {len(body)}"), body]

    for form in (whole, chunked):
        assert send(api, *form(padded(most))).status == status
        for size in (most + 1, most + 5000, 136 * 1024):
            answer = send(api, *form(padded(size)))
            check(answer, 413, TOO_LARGE)
            assert (answer.header("X-Request-Id") is not None) == (path == "/api/notify")
    # The web server's own limit: whatever it says, nobody is woken and the next one is served.
    for size in (136 * 1024 + 1, 10_000_000):
        check_web_servers_own(send(api, head(path, f"Content-Length: {size}"), padded(100)))
    assert api.post("/api/notify", wake()).status == 202


def test_chunks_of_every_sort(api):
    begin = head("/api/notify", "Transfer-Encoding: chunked")
    one_by_one = [b"1\r\n%c\r\n" % byte for byte in wake()]
    check(send(api, begin, *one_by_one, b"0\r\n\r\n"), 202, ACCEPTED)
    check(send(api, begin + b"%X;name=value\r\n%s\r\n0\r\n\r\n" % (len(BODY), wake())), 202,
          ACCEPTED)
    check(send(api, begin + b"0\r\n\r\n"), 400, BAD_PUBKEY)
    before = api.wakes_added()
    for bad in (b"zz\r\n" + BODY, b"-1\r\n" + BODY, b"%x\r\n%s" % (len(BODY) + 1, BODY),
                b"ffffffffffffffff\r\n" + BODY, b"ffffffffffffffffff\r\n" + BODY):
        check_web_servers_own(send(api, begin + bad, end=True))
    assert api.wakes_added() == before


def test_expect_100_continue(api):
    with api.connect() as connection:
        connection.sendall(head("/api/notify", f"Content-Length: {len(BODY)}",
                                "Expect: 100-continue"))
        interim = connection.recv(65536)
        assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(wake())
        check(receive(connection), 202, ACCEPTED)


def test_no_length_at_all(api):
    """411 is the web server's; else there is no body."""
    for path, body in (("/api/notify", BAD_PUBKEY), ("/api/register", BAD_JSON)):
        answer = send(api, head(path), BODY)
        if answer.status != 411:
            check(answer, 400, body)


def test_a_body_shorter_than_it_says(api):
    """The client stops in the middle: no wake comes of it, and the next request is served."""
    before = api.wakes_added()
    for missing in (1, 1000, 100_000):
        length = f"Content-Length: {len(BODY) + missing}"
        check_web_servers_own(send(api, head("/api/notify", length), BODY, end=True))
    assert api.wakes_added() == before
    assert api.post("/api/notify", wake()).status == 202


def test_a_body_longer_than_it_says(api):
    """What is over does not belong to it."""
    check(send(api, head("/api/notify", f"Content-Length: {len(BODY)}"), wake() + wake()), 202,
          ACCEPTED)
    check(send(api, head("/api/notify", f"Content-Length: {len(BODY) - 1}"), BODY), 400,
          BAD_PUBKEY)


@pytest.mark.parametrize("lines", [
    ["Content-Length: -1"],
    [f"Content-Length: -{len(BODY)}"],
    ["Content-Length: 0x58"],
    ["Content-Length: 8 8"],
    ["Content-Length: 99999999999999999999999"],
    ["Content-Length: 18446744073709551704"],
    [f"Content-Length: {len(BODY)}", "Content-Length: 1"],
    [f"Content-Length: {len(BODY)}", "Transfer-Encoding: chunked"],
    [f"Content-Length: {len(BODY)}", "Transfer-Encoding: identity, chunked"],
    ["Transfer-Encoding: gzip"],
])
def test_lengths_that_are_none(api, lines):
    before = api.wakes_added()
    check_web_servers_own(send(api, head("/api/notify", *lines), BODY, end=True))
    assert api.wakes_added() == before


def test_a_content_length_that_the_server_does_not_read(api):
    """Underscores make the same parameter's name of it, with HTTP_ in front."""
    check(send(api, head("/api/notify", f"Content-Length: {len(BODY)}", "Content_Length: 7",
                         "Content_Type: text/plain", "Http_Content_Length: 7"), wake()), 202,
          ACCEPTED)


def test_slow_clients_hold_no_worker(api):
    """Ten begin a request and are in no hurry; two workers go on answering others."""
    slow = [api.connect() for _ in range(10)]
    try:
        for connection in slow:
            connection.sendall(head("/api/notify", f"Content-Length: {len(BODY)}") + wake()[:-1])
        for _ in range(10):
            assert api.post("/api/notify", wake(), timeout=2).status == 202
        for connection in slow:
            connection.sendall(BODY[-1:])
            check(receive(connection), 202, ACCEPTED)
    finally:
        for connection in slow:
            connection.close()


def test_a_client_in_the_middle_of_a_request_is_not_waited_for(api):
    """Whoever says nothing for 5 s is let go, so that strangers' connections do not add up."""
    began = time.monotonic()
    with api.connect(timeout=20) as in_head, api.connect(timeout=20) as in_body:
        in_head.sendall(head()[:-2])
        in_body.sendall(head("/api/notify", f"Content-Length: {len(BODY)}") + BODY[:-1])
        for connection in (in_head, in_body):
            check_web_servers_own(receive(connection))
            assert 4.5 < time.monotonic() - began < 9


def test_a_large_body_is_in_a_file_of_the_folder_for_it_alone(api):
    """Which the examples want to be a file system in memory, of its own size."""
    body = padded(130 * 1024)
    bodies = api.directory / "bodies"

    def kept():
        return [name for name in api.web.files_written() if not name.endswith(".log")]
    with api.connect() as connection:
        connection.sendall(head("/api/register", f"Content-Length: {len(body)}"))
        for i in range(0, 120_000, 10_000):
            connection.sendall(body[i:i + 10_000])
            # Somebody else is answered: what came before has been read.
            api.get("/api/health")
        assert all(name.startswith(f"{bodies}/") for name in wait_until(kept))
        connection.sendall(body[120_000:])
        check(receive(connection), 413, TOO_LARGE)
    # Not before the answer has been sent.
    wait_until(lambda: list(bodies.iterdir()) == [], what="the folder is empty")


def test_a_body_of_a_phone_is_in_no_file(api):
    body = padded(8 * 1024)
    with api.connect() as connection:
        connection.sendall(head("/api/register", f"Content-Length: {len(body)}") + body[:-1])
        api.get("/api/health")
        assert [name for name in api.web.files_written() if not name.endswith(".log")] == []
        connection.sendall(body[-1:])
        assert receive(connection).status == 200


BODIES = "/run/mostro-push/bodies"


def test_the_examples_keep_bodies_in_memory():
    """Their folder is a tmpfs by the line that they have for it, and is on one without, too."""
    lighttpd = (TOP / "lighttpd.conf.example").read_text()
    nginx = (TOP / "contrib/nginx.conf.example").read_text()
    assert re.findall(r'(?m)^var\.bodies +=  *"(.+?)"', lighttpd) == [BODIES]
    assert "server.upload-dirs = ( var.bodies )" in lighttpd
    assert re.findall(r"(?m)^ *client_body_temp_path +([^ ;]+);", nginx) == [BODIES]
    assert "fastcgi_max_temp_file_size 0;" in nginx
    for text in (lighttpd, nginx):
        line, = re.findall(r"(?m)^ *# +(tmpfs .*)\n *# +(.*)$", text)
        device, folder, kind, options, *_ = " ".join(line).split()
        assert (device, folder, kind) == ("tmpfs", BODIES, "tmpfs")
        assert {"size=64m", "mode=0700", "uid=www-data"} <= set(options.split(","))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_folder_for_bodies_that_is_full_harms_nobody_else(make_stack):
    """Of the size that the mount gives it; large bodies, which no phone has, find no room."""
    stack = make_stack(REGISTER_RATE_PER_IP_PER_MIN="0")
    stack.start_redis()
    # In a changed root, which is no mount and cannot be made private, all is private already.
    mount = ["unshare", "-m", "--propagation", "unchanged", "sh", "-c",
             'mount --make-rprivate / 2>/dev/null; '
             'mount -t tmpfs -o size=64k,mode=0777 tmpfs "$0" && exec "$@"',
             stack.directory / "bodies"]
    stack.start_api(web={"under": mount})
    large = padded(120 * 1024)
    check_web_servers_own(send(stack, head("/api/register", f"Content-Length: {len(large)}"),
                               large))
    assert stack.post("/api/register", padded(8 * 1024)).status == 200
    assert stack.post("/api/notify", wake()).status == 202


# ---- Who is who


REAL, SPOOF, OTHER = "203.0.113.1", "198.51.100.1", "192.0.2.77"


@pytest.fixture
def known(trusting):
    """address -> its bucket, where the forwarding headers are trusted."""
    return lambda address: spent(trusting, f"X-Forwarded-For: {address}")


@pytest.mark.parametrize("lines", [
    [f"X-Forwarded-For: {SPOOF}, {REAL}"],
    [f"X-Forwarded-For: {SPOOF},{REAL}"],
    [f"X-Forwarded-For:{OTHER} , {SPOOF} ,{REAL} "],
    [f"X-Forwarded-For: {SPOOF}", f"X-Forwarded-For: {REAL}"],
    [f"X-Forwarded-For: {OTHER}, {SPOOF}", f"x-forwarded-for: {OTHER}, {REAL}"],
    [f"X-Forwarded-For: ::ffff:{REAL}"],
    [f"X-Forwarded-For: {SPOOF}, [::ffff:{REAL}]:443"],
    [f"X-Forwarded-For: {REAL}:51234"],
    [f"Fly-Client-IP: {REAL}", f"X-Forwarded-For: {SPOOF}"],
    [f"X-Forwarded-For: {SPOOF}", f"fly-client-ip: {REAL}"],
    [f"Fly-Client-IP: ::ffff:{REAL}", f"X-Forwarded-For: {SPOOF}"],
    # Fly's proxy writes one address: more than one means that another party has written, too.
    [f"Fly-Client-IP: {SPOOF}", f"Fly-Client-IP: {OTHER}", f"X-Forwarded-For: {REAL}"],
    [f"Fly-Client-IP: {SPOOF}, {OTHER}", f"X-Forwarded-For: {REAL}"],
    [f"Fly-Client-IP: {SPOOF}junk", f"X-Forwarded-For: {REAL}"],
    ["Fly-Client-IP: ", f"X-Forwarded-For: {REAL}"],
])
def test_a_trusted_proxys_word(trusting, known, lines):
    assert spent(trusting, *lines) == known(REAL)


@pytest.mark.parametrize("lines", [
    [f"X-Forwarded-For: {REAL}", f"X_Forwarded_For: {SPOOF}"],
    [f"X_Forwarded_For: {SPOOF}", f"X-Forwarded-For: {REAL}"],
    [f"X-Forwarded-For: {REAL}", f"X-Forwarded_For: {SPOOF}"],
    [f"X-Forwarded-For: {REAL}", f"X.Forwarded~For: {SPOOF}"],
    [f"X-Forwarded-For: {REAL}", f"X_Forwarded_For: {OTHER}, {SPOOF}"],
    [f"X-Forwarded-For: {REAL}", f"X_Forwarded_For: {SPOOF}", f"X_Forwarded_For: {SPOOF}"],
    [f"Fly-Client-IP: {REAL}", f"Fly_Client_IP: {SPOOF}"],
    [f"Fly_Client_IP: {SPOOF}", f"Fly-Client-IP: {REAL}"],
    [f"Fly-Client-IP: {REAL}", f"Fly.Client!IP: {SPOOF}"],
    [f"X-Forwarded-For: {REAL}", f"Http_X_Forwarded_For: {SPOOF}"],
    [f"X-Forwarded-For: {REAL}", f"Remote-Addr: {SPOOF}", f"Remote_Addr: {SPOOF}"],
    [f"X-Forwarded-For: {REAL}", f"Forwarded: for={SPOOF}", f"X-Real-IP: {SPOOF}",
     f"X-Client-IP: {SPOOF}", f"True-Client-IP: {SPOOF}"],
])
def test_nobody_speaks_for_the_proxy(trusting, known, web_server, lines):
    """A name that becomes the same parameter's name, whatever its place: nginx drops it; behind
    lighttpd believed is the proxy or nobody (then the peer is who counts)."""
    client = trusting.new_client()
    believed = [known(REAL)] if web_server == "nginx" else [known(REAL), known(client)]
    assert spent(trusting, *lines, client=client) in believed


def spellings(name):
    """All names but its own that become its parameter's name: `-` and `_`, and some more."""
    found = [name]
    for i in (i for i, c in enumerate(name) if c == "-"):
        found = [one[:i] + c + one[i + 1:] for one in found for c in "-_"]
    found += [name.replace("-", c) for c in "!#$%&'*+.^`|~"] + [name.lower().replace("-", "_")]
    return [one for one in found if one != name]


FLY, FORWARDED = "Fly-Client-IP", "X-Forwarded-For"


@pytest.mark.parametrize("before", [True, False], ids=["before", "behind"])
@pytest.mark.parametrize("proxys", [FLY, FORWARDED, None])
@pytest.mark.parametrize("name", [FLY, FORWARDED])
def test_no_name_passes_for_a_proxys_header(trusting, known, web_server, name, proxys, before):
    """The proxy sets one of the two and has dropped the other, the client sends what passes for
    either: it never counts, and what the proxy set does as long as it can be told."""
    client = trusting.new_client()
    real, peer = known(REAL), known(client)
    believed = [real] if proxys else [peer]
    if name == proxys and web_server == "lighttpd":
        believed.append(peer)
    for spelling in spellings(name):
        lines = [f"{proxys}: {REAL}"] if proxys else []
        for value in (SPOOF, f"{OTHER}, {SPOOF}", ""):
            lines.insert(0 if before else len(lines), f"{spelling}: {value}")
        assert spent(trusting, *lines, client=client) in believed, spelling
        lines = [line for line in lines if SPOOF not in line or OTHER not in line]
        assert spent(trusting, *lines, client=client) in believed, spelling


@pytest.mark.parametrize("lines", [
    [], ["X-Forwarded-For: "], ["X-Forwarded-For: unknown"], [f"X-Forwarded-For: {SPOOF}, junk"],
    [f"X-Forwarded-For: {SPOOF},"], [f"X-Forwarded-For: {SPOOF} {OTHER}x"],
    [f"X-Forwarded-For: {SPOOF}/32"], ["X-Forwarded-For: 1.2.3"],
    ["X-Forwarded-For: " + "1" * 5000], ["Fly-Client-IP: unknown"],
    [f"Fly-Client-IP: {SPOOF}, {OTHER}"],
])
def test_a_proxy_that_says_nothing(trusting, known, lines):
    client = trusting.new_client()
    assert spent(trusting, *lines, client=client) == known(client)


def test_ipv6_counts_by_its_network(trusting, known):
    assert known("2001:db8:1:2::1") == known("2001:DB8:1:2:ffff:ffff:ffff:ffff")
    assert known("2001:db8:1:2::1") == spent(trusting, "Fly-Client-IP: 2001:db8:0001:2:3::")
    assert known("2001:db8:1:2::1") != known("2001:db8:1:3::1")
    assert known("::ffff:203.0.113.1") == known(REAL) != known("::203.0.113.1")


def warnings(stack):
    return stack.workers.output().count("NOTIFY_TRUST_PROXY_HEADERS")


@pytest.mark.parametrize("lines", [
    [f"X-Forwarded-For: {SPOOF}"],
    [f"X-Forwarded-For: {SPOOF}, {OTHER}"],
    [f"Fly-Client-IP: {SPOOF}"],
    [f"Fly_Client_IP: {SPOOF}", f"X_Forwarded_For: {SPOOF}"],
    [f"Fly-Client-IP: {SPOOF}", f"X-Forwarded-For: {SPOOF}", f"X-Forwarded-For: {OTHER}"],
])
def test_without_trust_the_headers_are_nothing(untrusting, lines):
    client = untrusting.new_client()
    assert spent(untrusting, *lines, client=client) == spent(untrusting, client=client)
    assert spent(untrusting, *lines) != spent(untrusting, client=client)


def test_what_passes_for_a_header_shows_no_proxy(make_stack):
    """So that a client cannot take off the limit on registering, either."""
    stack = make(make_stack, workers=1, REGISTER_RATE_PER_IP_PER_MIN="1")
    client = stack.new_client()
    found = [stack.post("/api/unregister", {"trade_pubkey": KEY},
                        {"Content-Type": "application/json", "Fly_Client_IP": SPOOF,
                         "X_Forwarded_For": SPOOF}, client=client).status for _ in range(102)]
    assert found == [200] * 100 + [429] * 2
    assert warnings(stack) == 0


def test_one_warning_a_worker(make_stack):
    stack = make(make_stack, workers=1)
    stack.post("/api/notify", wake())
    assert warnings(stack) == 0
    for i in range(20):
        spent(stack, f"X-Forwarded-For: 203.0.113.{i}")
        stack.post("/api/unregister", {"trade_pubkey": KEY},
                   {"Content-Type": "application/json", "Fly-Client-IP": SPOOF})
    assert warnings(stack) == 1


@pytest.mark.parametrize("host", [HOST, pytest.param("[::]", marks=needs_ipv6)])
def test_behind_a_proxy_that_the_web_server_trusts(make_stack, host):
    """With the examples' lines for it in use."""
    proxy, stranger, phone = "127.0.0.9", "127.0.0.10", "127.0.0.11"
    stack = make(make_stack, {"proxy": proxy, "host": host}, NOTIFY_RATE_PER_IP_PER_MIN="1",
                 REGISTER_RATE_PER_IP_PER_MIN="1")
    stack.host = HOST

    def by_proxy(*lines):
        return spent(stack, *lines, client=proxy)
    one = spent(stack, client=phone)
    assert by_proxy(f"X-Forwarded-For: {phone}") == one
    assert by_proxy(f"X-Forwarded-For: {SPOOF}, {phone}") == one
    assert by_proxy(f"X-Forwarded-For: {SPOOF}", f"X-Forwarded-For: {phone}") == one
    assert by_proxy(f"X-Forwarded-For: {phone}", f"Fly-Client-IP: {SPOOF}",
                    f"X-Real-IP: {SPOOF}") == one
    assert by_proxy(f"X-Forwarded-For: {REAL}") != one
    assert by_proxy() not in (one, by_proxy(f"X-Forwarded-For: {REAL}"))
    here = by_proxy("X-Forwarded-For: 2001:db8:1:2::1")
    assert here == by_proxy("X-Forwarded-For: 2001:db8:1:2:9::")
    assert here != by_proxy("X-Forwarded-For: 2001:db8:1:3::1")
    # What the proxy said has been heard, so it warns of no proxy and limits registering.
    headers = {"Content-Type": "application/json", "X-Forwarded-For": phone}
    found = [stack.post("/api/unregister", {"trade_pubkey": KEY}, headers, client=proxy).status
             for _ in range(102)]
    assert found == [200] * 100 + [429] * 2
    assert warnings(stack) == 0
    assert by_proxy(f"X-Forwarded-For: {phone}", f"X_Forwarded_For: {SPOOF}") == one
    # Nobody else is believed.
    assert spent(stack, f"X-Forwarded-For: {phone}", client=stranger) == spent(
        stack, client=stranger) != one


def test_behind_the_proxies_of_a_network(make_stack):
    """As a CDN's are named: each address of it is believed, and none beside it."""
    stack = make(make_stack, {"proxy": "127.0.8.0/24"}, NOTIFY_RATE_PER_IP_PER_MIN="1")
    phone = "127.0.9.11"
    one = spent(stack, client=phone)
    for proxy in ("127.0.8.1", "127.0.8.200"):
        assert spent(stack, f"X-Forwarded-For: {phone}", client=proxy) == one
    assert spent(stack, f"X-Forwarded-For: {phone}", client="127.0.9.200") != one


@needs_ipv6
def test_an_ipv6_client(make_stack):
    """::1 is of the same network as ::2, and so is its limit."""
    stack = make(make_stack, {"host": "[::1]"}, NOTIFY_TRUST_PROXY_HEADERS="true",
                 NOTIFY_RATE_PER_IP_PER_MIN="1")
    assert spent(stack) == spent(stack, "X-Forwarded-For: ::2")
    assert spent(stack) != spent(stack, "X-Forwarded-For: 2001:db8::1")
    assert spent(stack) != spent(stack, "X-Forwarded-For: 0.0.0.1")


@needs_ipv6
def test_one_socket_for_both_families(make_stack):
    """There an IPv4 client has a mapped address, which is the same client."""
    stack = make(make_stack, {"host": "[::]"}, NOTIFY_TRUST_PROXY_HEADERS="true",
                 NOTIFY_RATE_PER_IP_PER_MIN="1")
    own = spent(stack)
    stack.host = HOST
    client = stack.new_client()
    assert spent(stack, client=client) == spent(stack, f"X-Forwarded-For: {client}")
    assert spent(stack, client=client) != own


# ---- For the operator alone


def ask_operator(stack, path, method="GET", *lines, body=b""):
    return send(stack, head(path, *lines, f"Content-Length: {len(body)}", method=method), body,
                method=method, operator=True)


def test_metrics_are_for_the_operator(api):
    check(api.get("/api/metrics"), 404, NOT_FOUND)
    answer = ask_operator(api, "/api/metrics")
    assert answer.status == 200
    assert answer.header("Content-Type").startswith("text/plain; version=0.0.4")
    assert re.search(r"(?m)^# TYPE \w+ counter$", answer.body)
    assert ask_operator(api, "/api/metrics?x=1").status == 200
    head_only = ask_operator(api, "/api/metrics", "HEAD")
    assert (head_only.status, head_only.body) == (200, "")


@pytest.mark.parametrize("lines", [
    ["MOSTRO_METRICS: 1"], ["MOSTRO-METRICS: 1"], ["Mostro.Metrics: 1"], ["mostro_metrics: 1"],
    ["Http-Mostro-Metrics: 1"], ["Env: MOSTRO_METRICS=1"], ["Proxy: 1"], ["X-Mostro-Metrics: 1"],
    ["MOSTRO_METRICS=1: 1"], ["Cookie: MOSTRO_METRICS=1"], ["X-A: b\nMOSTRO_METRICS: 1"],
    ["X-A: 1\0MOSTRO_METRICS=1"], ["X-Forwarded-Server: unix:"],
    ["Content-Type: a\0MOSTRO_METRICS=1"], ["Forwarded: host=x;for=unix:"],
])
def test_no_client_makes_itself_the_operator(api, lines):
    for host in (HOST, "x", "localhost", f"unix:{api.operator_socket}"):
        for path in ("/api/metrics", "/api/metrics?MOSTRO_METRICS=1",
                     "http://x/api/metrics"):
            answer = send(api, head(path, *lines, method="GET", host=host), method="GET")
            if answer is not None and answer.status != 400:
                check(answer, 404, NOT_FOUND)


def test_the_operators_address_serves_nothing_else(api):
    """What is no API at all, the page there, is test_charts's."""
    before = api.wakes_added()
    for path in ("/api", "/api/health", "/api/status", "/api/info", "/api/metrics/", "/api/ready/x"):
        assert ask_operator(api, path).status == 404
    for path in ("/api/notify", "/api/register", "/api/unregister"):
        assert ask_operator(api, path, "POST", body=BODY).status == 404
    assert api.wakes_added() == before


def test_the_operators_address_is_no_port():
    """Which every user of the machine could ask."""
    lighttpd = (TOP / "lighttpd.conf.example").read_text()
    nginx = (TOP / "contrib/nginx.conf.example").read_text()
    assert re.findall(r'(?m)^var\.operator += "(/run/[^"]+)"', lighttpd) == re.findall(
        r"(?m)^ *listen +unix:([^;]+);", nginx) != []
    assert len(re.findall(r"(?m)^ *listen ", nginx)) == 2


def user_may_ask(stack, group):
    """Whether a user of this group, who has nothing to do with the server, gets the metrics."""
    done = subprocess.run(
        ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--groups", group,
         "curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "--unix-socket",
         stack.operator_socket, "http://x/api/metrics"], check=False, capture_output=True, text=True)
    return done.stdout == "200"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be others")
def test_the_operators_socket_is_for_his_group(make_stack, web_server):
    """In the folder that the example has for it, which makes it the group's."""
    example = {"lighttpd": "lighttpd.conf.example", "nginx": "contrib/nginx.conf.example"}
    install, = re.findall(r"`(install -d .*) /run/mostro-push/operator`",
                          (TOP / example[web_server]).read_text())
    stack = make_stack()
    folder = stack.directory / "operator"
    subprocess.run([*install.split(), folder], check=True)
    stack.directory.chmod(0o711)
    stack.operator_socket = folder / "http.sock"
    stack.start_redis()
    stack.start_api()
    assert user_may_ask(stack, "adm")
    assert not user_may_ask(stack, "nogroup")
    if web_server == "lighttpd":
        assert stat.S_IMODE(stack.operator_socket.stat().st_mode) == 0o660


def test_ready(make_stack, relay):
    stack = make(make_stack, workers=1)  # each keeps what it has found out for a second

    def not_ready():
        check(stack.get("/api/ready"), 503, '{"status":"not ready"}')
        answer = ask_operator(stack, "/api/ready")
        assert answer.status == 503
        told = json.loads(answer.body)
        assert told.pop("status") == "not ready"
        reason = told.pop("reason")
        assert isinstance(reason, str) and reason and told == {}
        return reason
    without_listener = not_ready()
    stack.start_listener(relay)
    wait_until(lambda: stack.get("/api/ready").status == 200)
    check(stack.get("/api/ready"), 200, '{"status":"ready"}')
    check(ask_operator(stack, "/api/ready"), 200, '{"status":"ready"}')
    stack.redis_server.kill()
    wait_until(lambda: stack.get("/api/ready").status == 503)
    assert not_ready() != without_listener


# ---- HTTPS


@pytest.mark.parametrize("host", [HOST, pytest.param("[::]", marks=needs_ipv6)])
def test_https(make_stack, authority, host):
    """With the examples' lines for it in use; the operator's address stays as it is."""
    stack = make(make_stack, {"authority": authority, "host": host})
    check(stack.get("/api/health"), 200, '{"status":"ok"}')
    stack.host = HOST  # by IPv4, whatever that was
    check(stack.get("/api/health"), 200, '{"status":"ok"}')
    check(stack.post("/api/notify", wake()), 202, ACCEPTED)
    check(stack.post("/api/register", padded(128 * 1024 + 1)), 413, TOO_LARGE)
    assert ask_operator(stack, "/api/metrics").status == 200
    # Plain HTTP on this port gets nothing but the web server's own complaint.
    with socket.create_connection((HOST, stack.http_port), 5) as connection:
        connection.sendall(head("/api/health", method="GET"))
        check_web_servers_own(receive(connection, "GET"))
    old = subprocess.run(["openssl", "s_client", "-connect", f"{HOST}:{stack.http_port}",
                          "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert old.returncode != 0 and "Cipher is (NONE)" in old.stdout


def test_curl_over_https(make_stack, authority):
    """A client that nobody here wrote; it speaks HTTP/2 where the web server does."""
    stack = make(make_stack, {"authority": authority})

    def curl(path, *arguments):
        done = subprocess.run(
            ["curl", "-sS", "--noproxy", "*", "--cacert", authority.certificate, "-m", "10",
             "-w", "\n%{http_code}", *arguments, f"https://{HOST}:{stack.http_port}{path}"],
            check=True, capture_output=True, text=True)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body
    assert curl("/api/health") == (200, '{"status":"ok"}')
    assert curl("/api/health", "-I")[0] == 200
    json_type = ("-H", "Content-Type: application/json; charset=utf-8")
    assert curl("/api/notify", *json_type, "-d", wake().decode()) == (202, ACCEPTED)
    large = stack.directory / "large"
    for size, status in ((8192, 202), (8193, 413)):
        large.write_bytes(padded(size))
        assert curl("/api/notify", *json_type, "--data-binary", f"@{large}")[0] == status
    large.write_bytes(padded(128 * 1024 + 1))
    assert curl("/api/register", *json_type, "-H", "Expect: 100-continue", "--data-binary",
                f"@{large}") == (413, TOO_LARGE)


def test_a_renewed_certificate(make_stack, authority, web_server):
    """As OPERATING has it taken up, by what `systemctl reload` sends: no request goes unanswered."""
    stack = make(make_stack, {"authority": authority})
    ended, statuses = threading.Event(), []

    def served():
        return ssl.get_server_certificate((HOST, stack.http_port), timeout=5)

    def clients():
        while not ended.is_set():
            try:
                statuses.append(stack.get("/api/health").status)
            except OSError as error:
                statuses.append(repr(error))

    before = served()
    thread = threading.Thread(target=clients)
    thread.start()
    try:
        wait_until(lambda: statuses)
        authority.issue("web-server")
        stack.web.send_signal({"lighttpd": signal.SIGUSR1, "nginx": signal.SIGHUP}[web_server])
        wait_until(lambda: served() != before, what="the new certificate")
        seen = len(statuses)
        wait_until(lambda: len(statuses) > seen + 5, what="requests under the new one")
    finally:
        ended.set()
        thread.join()
    assert set(statuses) == {200}
    assert ask_operator(stack, "/api/metrics").status == 200
