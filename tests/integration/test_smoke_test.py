"""contrib/smoke-test, behind each web server, and at servers that get one thing wrong."""
import http.client
import re
import subprocess

import pytest

from loopback import WebServer
from stack import wait_until
from web_servers import TOP, WEB_SERVERS

SMOKE_TEST = TOP / "contrib/smoke-test"
SENT_ID = "00000000-0000-4000-8000-000000000000"


def smoke(url, *options):
    """The exit status, and what was said of each thing."""
    ended = subprocess.run([SMOKE_TEST, *options, url], capture_output=True, text=True, timeout=60,
                           check=False)
    lines = re.findall(r"(?m)^(ok|BAD) +(.*?(?:: X-Request-Id|: Allow)?): (.*)$", ended.stdout)
    bad = [what for verdict, what, _ in lines if verdict == "BAD"]
    assert ended.returncode == (1 if bad else 0), ended
    return lines, bad


class Between(WebServer):
    """In front of a server: hands on what it says, but for what a test changes."""

    def __init__(self, port, change):
        super().__init__()
        self._behind, self._change = port, change

    def handle_request(self, method, path, headers, body):
        behind = http.client.HTTPConnection("127.0.0.1", self._behind, timeout=10)
        behind.request(method, path, body or None, {
            name: value for name, value in headers.items() if name not in ("Host", "Content-Length")})
        answer = behind.getresponse()
        found = [answer.status, dict(answer.getheaders()), answer.read()]
        behind.close()
        found[1].pop("Content-Length", None)
        self._change(method, path, found, body)
        return tuple(found)


@pytest.mark.parametrize("behind", WEB_SERVERS)
def test_all_is_well(make_stack, relay, behind):
    stack = make_stack()
    stack.web_server = behind
    stack.start_redis()
    stack.start_api(workers=1)
    stack.start_listener(relay)
    wait_until(lambda: stack.get("/api/ready").status == 200)
    lines, bad = smoke(f"http://127.0.0.1:{stack.http_port}/", "--socket", stack.operator_socket)
    assert not bad
    assert [what for _, what, _ in lines] == [
        "health", "info", "status", "ready", "notify", "notify: X-Request-Id",
        "notify of no pubkey", "notify of no pubkey: X-Request-Id", "register of no JSON",
        "register of no pubkey", "register of no token", "register of an endpoint of ours",
        "unregister of nobody", "no such path", "another method", "a body that is too large",
        "metrics are not public", "ready, by the socket", "metrics, by the socket"]
    assert not stack.redis.keys("mostro:token:*") and not stack.redis.exists("mostro:live")


def is_at(path, method=None, holds=b""):
    return lambda m, p, body: p == path and method in (None, m) and holds in body


NOTIFY_GOOD = is_at("/api/notify", "POST", b"ffff")
NOTIFY_BAD = is_at("/api/notify", "POST", b"nobody")


def sets(status=None, header=None, body=None):
    def change(found):
        if status:
            found[0] = status
        if header:
            found[1] = {name: value for name, value in found[1].items()
                        if name.lower() != header[0].lower()} | dict([header])
        if body:
            found[2] = body
    return change


# What is wrong where -> the checks that fail; each of a row at once.
WRONG = [[
    (is_at("/api/health"), sets(body=b'{"status":"OK"}'), ["health"]),
    (is_at("/api/info"), sets(body=b'{"version":"1"}'), ["info"]),
    (is_at("/api/status"), sets(status=503), ["status"]),
    (is_at("/api/ready"), sets(status=503), ["ready"]),
    (NOTIFY_GOOD, sets(status=429), ["notify"]),
    (NOTIFY_BAD, sets(status=202, body=b'{"accepted":true}'), ["notify of no pubkey"]),
    (is_at("/api/register", "POST"), sets(status=200, body=b'{"success":true}'),
     ["register of no JSON", "register of no pubkey", "register of no token",
      "register of an endpoint of ours"]),
    (is_at("/api/unregister"), sets(status=404), ["unregister of nobody"]),
    (is_at("/api/nothing"), sets(status=200), ["no such path"]),
    (is_at("/api/notify", "GET"), sets(status=404), ["another method"]),
    (is_at("/api/notify", "POST", b"     "), sets(status=400), ["a body that is too large"]),
    (is_at("/api/metrics"), sets(status=200, body=b"mostro_x 1\n"), ["metrics are not public"]),
], [
    (is_at("/api/health"), sets(header=("Content-Type", "text/html")), ["health"]),
    (NOTIFY_GOOD, sets(header=("X-Request-Id", SENT_ID)), ["notify: X-Request-Id"]),
    (NOTIFY_BAD, sets(header=("x-request-ID", "1")), ["notify of no pubkey: X-Request-Id"]),
    (is_at("/api/notify", "GET"), sets(header=("Allow", "GET")), ["another method: Allow"]),
]]


@pytest.fixture
def site(make_stack, relay):
    stack = make_stack()
    stack.start_redis()
    stack.start_api(workers=1)
    stack.start_listener(relay)
    wait_until(lambda: stack.get("/api/ready").status == 200)
    return stack


@pytest.mark.parametrize("wrong", WRONG, ids=["answers", "headers"])
def test_each_check_fails(site, wrong):
    def change(method, path, found, body):
        for matches, changes, _ in wrong:
            if matches(method, path, body):
                changes(found)
    with Between(site.http_port, change) as between:
        _, bad = smoke(between.url)
    assert bad == [each for _, _, failing in wrong for each in failing]


def test_an_instance_that_is_not_ready(site):
    """And who asks by the socket hears why."""
    site.redis.config_set("save", "60 1")
    site.redis.client_kill_filter(_type="normal", skipme=True)
    wait_until(lambda: site.get("/api/ready").status == 503)
    lines, bad = smoke(f"http://127.0.0.1:{site.http_port}", "--socket", site.operator_socket)
    assert {"ready", "status", "ready, by the socket"} <= set(bad)
    assert any("it persists to disk" in text for _, what, text in lines
               if what == "ready, by the socket")


def test_a_server_that_is_ready_in_a_moment(site):
    """As after a start: it is asked again."""
    asked = []

    def change(method, path, found, body):
        if path == "/api/ready":
            asked.append(found[0])
            if len(asked) < 4:
                found[:] = [503, found[1], b'{"status":"not ready"}']
    with Between(site.http_port, change) as between:
        _, bad = smoke(between.url)
    assert not bad and len(asked) == 4


def test_nobody_there():
    ended = subprocess.run([SMOKE_TEST, "http://127.0.0.1:1"], capture_output=True, text=True,
                           check=False)
    assert ended.returncode == 1
    assert ended.stdout.startswith("BAD  health: no answer: curl: ")
    assert ended.stdout.count("\n") == 2
    for wrong in ([], ["push.example.org"], ["--what", "http://x"], ["http://x/api"]):
        assert subprocess.run([SMOKE_TEST, *wrong], capture_output=True,
                              check=False).returncode == 2


def test_a_certificate_of_ones_own(make_stack, authority):
    stack = make_stack()
    stack.start_redis()
    stack.start_api(workers=1, web={"authority": authority})
    url = f"https://127.0.0.1:{stack.http_port}"
    ended = subprocess.run([SMOKE_TEST, url], capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and "certificate" in ended.stdout
    lines, bad = smoke(url, "--cacert", authority.certificate)
    assert bad == ["ready"]  # there is no listener
