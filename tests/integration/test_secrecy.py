"""What is never written: a whole run at LOG_LEVEL=debug with values planted everywhere, then a look
for each of them in every file that any of the programs has left."""
import base64
import json
import signal

import google as fcm
import nostr
import phone as phones
from stack import wait_until

FORWARDED = "203.0.113.77"
PROXIED_V6 = "2001:db8:77:77::77"


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
        if not path.is_file() or path.name == "lighttpd.conf":
            continue
        content = path.name.encode() + b"\n" + path.read_bytes()
        for what, value in planted.items():
            found += [f"{what} in {path.name}" for form in forms(value) if form in content]
    return found


def test_find_finds(tmp_path):
    """Or the test below would see nothing whatever was there."""
    pubkey = nostr.new_pubkey()
    for text in (pubkey, pubkey.upper(), f"x{pubkey[:16]}...", pubkey.encode().hex()):
        (tmp_path / "a.log").write_text(f"before {text} after\n")
        assert find({"pubkey": pubkey}, tmp_path)
    (tmp_path / "a.log").write_text(f"pubkey {pubkey[:8]}\n")
    assert not find({"pubkey": pubkey}, tmp_path)


def test_nothing_planted_is_written(make_stack, relay, phone, google, google_settings):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", NOTIFY_TRUST_PROXY_HEADERS="true",
                       **google_settings)
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    planted = {"forwarded address": FORWARDED, "IPv6 address": PROXIED_V6}
    account = json.loads(google.service_account.read_text())
    planted["service account's key"] = account["private_key"].splitlines()[3]
    planted["service account's key id"] = account["private_key_id"]

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
    stack.register(pubkey, endpoint("a phone"))
    relay.publish(wrap("an event", pubkey))
    phone.next_push()
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
        ("a phone that refuses", phones.Answer(400, body=secret.encode())),
        ("a phone that redirects", phones.Answer(302, {"Location": url})),
        ("a phone to be tried again", phones.Answer(503, {"Retry-After": "600"})),
    ):
        key = plant(f"pubkey of {what}", nostr.new_pubkey())
        target = endpoint(what)
        phone.answer(target, [answer])
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

    # Redis hangs, then dies; everything stops as it would in earnest, or does not.
    stack.redis_server.send_signal(signal.SIGSTOP)
    stack.notify(pubkey, headers=headers)
    relay.publish(wrap("an event that finds no Redis", pubkey))
    wait_until(lambda: stack.get("/api/status").status == 503)
    stack.redis_server.send_signal(signal.SIGCONT)
    wait_until(lambda: stack.get("/api/status").status == 200)
    stack.register(pubkey, endpoint("a phone once more"))
    stack.redis_server.stop()
    stack.post("/api/register", {"trade_pubkey": refused, "token": secret, "platform": "ios"},
               headers)
    stack.listener.stop()
    stack.workers.stop()
    stack.lighttpd.stop()

    assert "listener" in stack.listener.output() and len(stack.listener.output()) > 1000
    for claims in (google.claims, google.messages):
        assert claims
    plant("access token", google.last_access_token)
    assert find(planted, stack.directory) == []
    for program in (stack.listener, stack.workers):
        assert f":{phone.port}" not in program.output()
