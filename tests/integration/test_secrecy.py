"""What is never written: a whole run at LOG_LEVEL=debug with values planted everywhere, then a look
for each of them in every file that any of the programs has left."""
import base64
import json
import signal
import socket
import subprocess

import pytest

import google as fcm
import nostr
import phone as phones
import web_push
from loopback import HOST
from stack import LISTENER, wait_until
from web_servers import WEB_SERVERS

FORWARDED = "203.0.113.77"
PROXIED_V6 = "2001:db8:77:77::77"


@pytest.fixture(scope="module", params=WEB_SERVERS)
def web_server(request):
    return request.param


def forms(value):
    """How a value might be written: as it is, in other cases, hex, base64, percent-encoded."""
    raw = value.encode()
    found = {value, value.lower(), value.upper(), raw.hex(), base64.b64encode(raw).decode(),
             json.dumps(value)[1:-1]}
    if len(value) >= 32:
        found |= {value[:16], value[-16:], value[:16].upper(), value[-16:].upper()}
    return {form.encode() for form in found}


def find(planted, directory):
    """Where which planted value is, in files' contents and names."""
    found = []
    for path in directory.rglob("*"):
        if not path.is_file():
            continue
        content = path.name.encode() + b"\n" + path.read_bytes()
        for what, value in planted.items():
            found += [f"{what} in {path.name}" for form in forms(value) if form in content]
    return found


def test_find_finds(tmp_path):
    """Otherwise the test below would see nothing in any case."""
    pubkey = nostr.new_pubkey()
    for text in (pubkey, pubkey.upper(), f"x{pubkey[:16]}...", pubkey.encode().hex()):
        (tmp_path / "a.log").write_text(f"before {text} after\n")
        assert find({"pubkey": pubkey}, tmp_path)
    (tmp_path / "a.log").write_text(f"pubkey {pubkey[:8]}\n")
    assert not find({"pubkey": pubkey}, tmp_path)


def check_files_written(stack):
    """That no program writes where find() does not look."""
    found = {name for program in stack.programs if program.is_alive()
             for name in program.files_written()}
    assert found and all(name.startswith(f"{stack.directory}/") for name in found), found


def keep_metrics(stack):
    """What they tell must be as harmless as a log: find() will look at it."""
    def answer():
        found = stack.request("GET", "/api/metrics", operator=True)
        return found.status == 200 and found.body
    text = wait_until(answer)
    assert len(text) > 100
    (stack.directory / "metrics").write_text(text)


def impatient(text):
    """An example that gives a worker up after a second."""
    for long, short in (('"read-timeout"    => 15', '"read-timeout" => 1'),
                        ("fastcgi_read_timeout    15s;", "fastcgi_read_timeout 1s;")):
        text = text.replace(long, short)
    return text


@pytest.mark.parametrize("https", [False, True], ids=["http", "https"])
def test_web_servers_complain_about_nobody(make_stack, authority, https):
    """Whatever makes a web server write to its error log: no request, no body, no address in it."""
    stack = make_stack()
    stack.start_redis()
    stack.start_api(web={"edit": impatient, "authority": authority if https else None})
    pubkey, token = nostr.new_pubkey(), "planted-token-" + "z" * 60
    client = "127.99.88.77"
    planted = {"pubkey": pubkey, "token": token, "client": client, "forwarded": FORWARDED,
               "forwarded IPv6": PROXIED_V6, "path": "planted-path", "query": "planted-query",
               "host": "planted.example.org"}
    body = json.dumps({"trade_pubkey": pubkey, "token": token, "platform": "ios"}).encode()

    def head(*lines, method="POST", path=f"/api/planted-path?planted-query&{token}",
             version="HTTP/1.1", host="planted.example.org"):
        lines = [f"{method} {path} {version}", f"Host: {host}",
                 "Content-Type: application/json", f"X-Forwarded-For: {FORWARDED}, {PROXIED_V6}",
                 f"Authorization: Bearer {token}", f"Referer: https://planted.example.org/{pubkey}",
                 f"User-Agent: {token}", "Connection: close", *lines, "", ""]
        return "\r\n".join(lines).encode()

    def send(*pieces, end=True):
        """What comes first of the answer, or nothing."""
        with stack.connect(client) as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
                if end:
                    connection.shutdown(socket.SHUT_WR)
                return connection.recv(65536)
            except OSError:
                return b""

    length = f"Content-Length: {len(body)}"
    # Requests that no server likes.
    for request in (
        pubkey.encode() + b"\r\n\r\n",
        b"\x16\x03\x01" + body,
        b"\0" * 100 + body,
        head(length, method=token),
        head(length, method="CONNECT", path="planted.example.org:443"),
        head(length, version="HTTP/9.9"),
        head(length, version="ICY"),
        head(length, path=f"/api/%zz/{pubkey}"),
        head(length, path=f"/api/\x01{pubkey}"),
        head(length, path=f"/api/../../{pubkey}"),
        head(length, path=f"/api/{token * 200}"),
        head(length, path=f"/{pubkey}/planted-path"),
        head(length, host=f"{token} {pubkey}"),
        head(length, host=f"planted.example.org\0{token}"),
        head(length, f"Host: {token}"),
        head(length, f"{token}: {token * 200}"),
        head(length, f"{pubkey} : {token}"),
        head(length, f"No colon {pubkey}"),
        head(length, f"X: {pubkey}\0{token}"),
        head(length, *(f"X-{i}: {token}" for i in range(500))),
        head("Content-Length: " + pubkey),
        head("Content-Length: 5", f"Content-Length: {len(body)}"),
        head("Content-Length: 99999999"),
        head("Content-Length: 999999999999999999999"),
        head(f"Transfer-Encoding: {token}"),
        head(length, "Transfer-Encoding: chunked"),
        head("Transfer-Encoding: chunked") + pubkey.encode() + b"\r\n",
        head("Transfer-Encoding: chunked") + b"fffffff\r\n",
        head(length, f"Expect: {token}"),
        head(length, f"Range: bytes={token}"),
        head(length, f"Upgrade: {token}", "Connection: Upgrade"),
        head(f"Content-Length: {len(body) + 10}"),
        head(length, method="GET", path="/api/metrics"),
        head(length, path="/api/register"),
        head(length, path="/api/notify"),
    ):
        send(request, body)
    send(head("Content-Length: 250000"), body * 1000)
    send(head("Content-Length: 400000"), body * 2000)
    # Clients that go away: before the answer, and with a reset.
    for piece in (head(length), head(length) + body):
        with stack.connect(client) as connection:
            connection.sendall(piece)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    if https:
        # What is not TLS, and TLS that comes to nothing.
        with socket.create_connection((HOST, stack.http_port), 5, (client, 0)) as connection:
            connection.sendall(head(length) + body)
            connection.recv(65536)
        for arguments in (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-alpn", token],
                          ["-servername", f"{pubkey[:60]}.example.org"]):
            subprocess.run(["openssl", "s_client", "-connect", f"{HOST}:{stack.http_port}",
                            "-bind", f"{client}:0", *arguments],
                           stdin=subprocess.DEVNULL, capture_output=True, check=False)
    # No place for bodies.
    bodies = stack.directory / "bodies"
    bodies.rename(stack.directory / "gone")
    send(head("Content-Length: 200000"), (body * 2000)[:200_000])
    (stack.directory / "gone").rename(bodies)
    # Workers that hang, then die in the middle of a request.
    for number in (signal.SIGSTOP, signal.SIGKILL):
        stack.workers.send_signal(signal.SIGSTOP)
        with stack.connect(client) as connection:
            connection.sendall(head(length) + body)
            if number == signal.SIGKILL:
                stack.workers.kill()
            assert b" 200 " not in connection.recv(65536).partition(b"\r\n")[0]
        stack.workers.send_signal(signal.SIGCONT)
    # Nobody behind the socket; then no socket; then one that nobody may use.
    for _ in range(3):
        assert b" 50" in send(head(length), body, end=False).partition(b"\r\n")[0]
    (stack.directory / "fcgi.sock").unlink()
    assert b" 50" in send(head(length), body, end=False).partition(b"\r\n")[0]
    (stack.directory / "fcgi.sock").write_text("")
    assert b" 50" in send(head(length), body, end=False).partition(b"\r\n")[0]
    check_files_written(stack)
    # A web server whose processes are killed in the middle of a request.
    with stack.connect(client) as connection:
        connection.sendall(head(length))
        stack.web.send_signal(signal.SIGTERM)
        stack.web.wait()
    stack.redis_server.stop()
    assert find(planted, stack.directory) == []


def test_nothing_planted_is_written(make_stack, relay, phone, google, google_settings, tmp_path):
    signing_key = tmp_path / "vapid.pem"
    subprocess.run([LISTENER, "--generate-vapid-key", signing_key], check=True, capture_output=True)
    relay_key = nostr.Key().secret.hex()
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", NOTIFY_TRUST_PROXY_HEADERS="true",
                       NOSTR_AUTH_PRIVATE_KEY=relay_key,
                       VAPID_PRIVATE_KEY_FILE=str(signing_key),
                       UNIFIEDPUSH_ENDPOINTS_FILE="endpoints.json", **google_settings)
    stack.start_redis()
    stack.start_api()
    stack.spawn_listener([f"{relay.url}/planted-relay-path?planted-relay-query"])
    relay.wait_for_req(2)
    stack.wait_for_heartbeat()
    planted = {"forwarded address": FORWARDED, "IPv6 address": PROXIED_V6,
               "relay's path": "planted-relay-path", "relay's query": "planted-relay-query"}
    account = json.loads(google.service_account.read_text())
    planted["service account's key"] = account["private_key"].splitlines()[3]
    planted["service account's key id"] = account["private_key_id"]
    planted["key for relays"] = relay_key
    planted["VAPID key"] = signing_key.read_text().splitlines()[2]

    def plant(what, value):
        planted[what] = value
        return value

    def wrap(what, pubkey):
        event = nostr.gift_wrap(pubkey)
        plant(f"id of {what}", event["id"])
        plant(f"author of {what}", event["pubkey"])
        plant(f"signature of {what}", event["sig"])
        plant(f"content of {what}", event["content"])
        return event

    def endpoint(what):
        url = phone.endpoint()
        plant(f"endpoint of {what}", url)
        plant(f"path of {what}", url.split("/")[-1])
        return url

    headers = {"Content-Type": "application/json", "X-Forwarded-For": FORWARDED}

    # Phones that are woken, of both sorts, and from behind a proxy.
    pubkey = plant("pubkey with an endpoint", nostr.new_pubkey())
    keys = web_push.Keys()
    for name, value in keys.fields.items():
        plant(name, value)
    stack.register(pubkey, endpoint("a phone"), **keys.fields)
    relay.publish(wrap("an event", pubkey))
    push = phone.next_push()
    plant("JWT", push.headers["Authorization"].partition("t=")[2].partition(",")[0])
    keys.decrypt(push.body)
    other = plant("pubkey with a token", nostr.new_pubkey())
    token = plant("token", "planted-fcm-token-" + "y" * 120)
    stack.post("/api/register", {"trade_pubkey": other, "token": token, "platform": "ios"},
               headers)
    stack.post("/api/notify", {"trade_pubkey": other}, headers)
    google.next_message(timeout=15)
    relay.publish(wrap("another event", other))
    google.next_message(timeout=15)
    stack.notify(pubkey, headers={**headers, "X-Forwarded-For": PROXIED_V6})
    phone.next_push()

    # Requests that are refused, each for its own reason.
    refused = plant("pubkey of refused requests", nostr.new_pubkey())
    secret = plant("token of refused requests", "planted-token-" + "z" * 60)
    url = plant("endpoint of refused requests", "ftp://planted.example.org/UPplanted")
    for body in (
        {"trade_pubkey": refused + "0", "token": secret, "platform": "ios"},
        {"trade_pubkey": refused, "token": secret, "platform": secret},
        {"trade_pubkey": refused, "token": url, "platform": "android"},
        {"trade_pubkey": refused, "token": secret * 100, "platform": "ios"},
        {"trade_pubkey": refused, "token": "https://planted.example.org/UP", "p256dh": secret,
         "platform": "android", "auth": secret},
        f'{{"trade_pubkey":"{refused}","token":"{secret}"',
        f'{{"{refused}":1,"{refused}":"{secret}"}}',
    ):
        for path in ("/api/register", "/api/unregister", "/api/notify"):
            stack.post(path, body, headers)
    stack.post("/api/notify", refused.encode() * 200, headers)
    stack.get(f"/api/notify/{refused}?token={secret}", headers=headers)
    stack.get(f"/{refused}?token={secret}", headers=headers)
    stack.get(f"/api/%2e%2e/{refused}", headers=headers)
    stack.request("POST", "/api/notify", b"{}", {**headers, "X-Forwarded-For": f"{secret}, junk"})
    wait_until(lambda: stack.notify(pubkey, headers=headers).status == 429)
    client = plant("client's address", "127.99.88.77")
    stack.notify(pubkey, client=client)
    stack.post("/api/notify", b"x" * (300 * 1024), headers, client=client)

    # Events that are refused, and what else a relay may say.
    event = wrap("a forged event", refused)
    relay.deliver({**event, "sig": wrap("a third event", refused)["sig"]})
    relay.deliver({**event, "id": wrap("a fourth event", refused)["id"]})
    for text in ("NOTICE", "AUTH"):
        relay.send_message(text, f"bad event {event['id']} of {refused} from {FORWARDED}")
    relay.send_message("CLOSED", "unknown", f"error: {refused} {url}")
    relay.send_raw(f'["EVENT","x",{{"id":"{refused}","content":"{secret}"')

    # Pushes that fail, each in its own way.
    for what, answer in (
        ("a dead phone", phones.Answer(410)),
        ("a phone that refuses", phones.Answer(400, body=json.dumps(
            {"errno": 110, "message": secret, "more_info": url}).encode())),
        ("a phone that redirects", phones.Answer(302, {"Location": url})),
        ("a phone to be tried again", phones.Answer(503, {"Retry-After": "600"})),
    ):
        key = plant(f"pubkey of {what}", nostr.new_pubkey())
        target = endpoint(what)
        phone.answer(target, [answer] * 2)  # a distributor that refuses a message gets an empty one
        stack.register(key, target)
        relay.publish(wrap(f"an event for {what}", key))
        wait_until(lambda: any(phone.url + push.path == target for push in list(phone.pushes)))
    for what, refusal in (("a dead token", fcm.UNREGISTERED), ("a bad token", fcm.BAD_TOKEN),
                          ("a foreign token", fcm.NO_PERMISSION)):
        key = plant(f"pubkey of {what}", nostr.new_pubkey())
        target = plant(what, f"planted-{what.replace(' ', '-')}-" + "w" * 100)
        google.answer(target, [refusal])
        stack.register(key, target)
        stack.notify(key)
        wait_until(lambda: any(message.token == target for message in list(google.messages)))
    key = plant("pubkey of a phone that is gone", nostr.new_pubkey())
    stack.register(key, endpoint("a phone that is gone"))
    retries = stack.stat("push_retries")
    phone.stop()
    relay.publish(wrap("an event for a phone that is gone", key))
    wait_until(lambda: stack.stat("push_retries") > retries)
    phone.start()

    key = plant("pubkey of a phone with bad keys", nostr.new_pubkey())
    stack.register(key, endpoint("a phone with bad keys"), **keys.fields)
    stack.redis.hset(f"mostro:token:{key}", "auth", plant("bad key", "planted-bad-key"))
    wait_until(lambda: stack.stat("wakes_given_up_unifiedpush") == 2)
    stack.notify(key)
    wait_until(lambda: stack.stat("wakes_given_up_unifiedpush") == 3)

    file = stack.directory / "endpoints.json"
    wait_until(lambda: file.exists() and planted["path of a dead phone"] not in file.read_text())

    # Redis hangs, then dies; everything stops as it would in earnest, or does not.
    stack.redis_server.send_signal(signal.SIGSTOP)
    stack.notify(pubkey, headers=headers)
    relay.publish(wrap("an event that finds no Redis", pubkey))
    wait_until(lambda: stack.get("/api/status").status == 503)
    stack.redis_server.send_signal(signal.SIGCONT)
    body = {"trade_pubkey": pubkey, "token": endpoint("a phone once more"), "platform": "android"}
    wait_until(lambda: stack.post("/api/register", body, headers).status == 200)
    keep_metrics(stack)
    check_files_written(stack)
    stack.redis_server.stop()
    stack.post("/api/register", {"trade_pubkey": refused, "token": secret, "platform": "ios"},
               headers)
    stack.listener.stop()
    stack.workers.stop()
    stack.web.stop()

    assert "listener" in stack.listener.output() and len(stack.listener.output()) > 1000
    for claims in (google.claims, google.messages):
        assert claims
    plant("access token", google.last_access_token)
    # The one file that holds endpoints, of those who are registered, and nothing else. (All
    # endpoints begin alike, so that a part of every one is there.)
    endpoints = {f"{what} in {file.name}" for what in planted
                 if what.startswith("endpoint of a ") or
                 what.startswith("path of a ") and what != "path of a dead phone"}
    found = set(find(planted, stack.directory))
    assert f"path of a phone that refuses in {file.name}" in found
    assert found <= endpoints
    for program in (stack.listener, stack.workers):
        assert f":{phone.port}" not in program.output()
