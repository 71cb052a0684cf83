"""Web Push against those who did not read our code: npm's http_ece opens what the listener sends,
and npm's web-push sends what our stand-in for a device opens."""
import base64
import json
import pathlib
import subprocess
import time

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import nostr
import web_push
from stack import LISTENER

HERE = pathlib.Path(__file__).resolve().parent
SUBJECT = "mailto:admin@example.org"


@pytest.fixture
def vapid(tmp_path):
    """(file, public key)"""
    file = tmp_path / "key.pem"
    made = subprocess.run([LISTENER, "--generate-vapid-key", file], check=True,
                          capture_output=True, text=True)
    return file, made.stdout.strip()


@pytest.fixture
def device(node):
    """A process whose lines are JSON; see push-endpoint.cjs."""
    with subprocess.Popen(["node", HERE / "push-endpoint.cjs"], env=node, text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield lambda: json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(10)


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_http_ece_opens_what_the_listener_sends(make_stack, relay, pubkey, device, vapid, signed):
    settings = {"VAPID_PRIVATE_KEY_FILE": str(vapid[0]), "VAPID_SUBJECT": SUBJECT} if signed else {}
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", **settings)
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    registered = device()
    stack.register(pubkey, registered["endpoint"], p256dh=registered["p256dh"],
                   auth=registered["auth"])
    for wake in (lambda: stack.notify(pubkey), lambda: relay.publish(nostr.gift_wrap(pubkey))):
        wake()
        push = device()
        assert "error" not in push, push
        message = json.loads(push["plaintext"])
        assert message == {"type": "silent_wake", "timestamp": message["timestamp"]}
        assert abs(message["timestamp"] - time.time()) < 60
        assert push["headers"]["content-encoding"] == "aes128gcm"
        assert ("authorization" in push["headers"]) == signed
        stack.wait_until_idle()


def test_web_push_sends_the_same(make_stack, node, relay, phone, pubkey, vapid):
    """To the same device, with the same key and the same text: what may differ is what is random,
    and when the signature expires."""
    file, public = vapid
    keys, endpoint = web_push.Keys(), phone.endpoint()
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", VAPID_PRIVATE_KEY_FILE=str(file),
                       VAPID_SUBJECT=SUBJECT)
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    stack.register(pubkey, endpoint, **keys.fields)
    stack.notify(pubkey)
    ours = phone.next_push()
    text = keys.decrypt(ours.body)

    number = load_pem_private_key(file.read_bytes(), None).private_numbers().private_value
    made = subprocess.run(["node", HERE / "web-push.cjs"], env=node, check=True, text=True,
                          stdout=subprocess.PIPE, input=json.dumps({
                              "subscription": {"endpoint": endpoint, "keys": keys.fields},
                              "payload": text.decode(),
                              "options": {
                                  "TTL": 86400, "urgency": "high", "contentEncoding": "aes128gcm",
                                  "vapidDetails": {
                                      "subject": SUBJECT, "publicKey": public,
                                      "privateKey": web_push.encode(number.to_bytes(32, "big"))},
                              }}))
    theirs = json.loads(made.stdout)
    body = base64.b64decode(theirs["body"])
    assert keys.decrypt(body) == text
    assert len(body) == len(ours.body) and body[16:22] == ours.body[16:22]
    assert theirs["method"] == ours.method and theirs["endpoint"] == endpoint
    for name in ("TTL", "Urgency", "Content-Type", "Content-Encoding", "Content-Length"):
        assert str(theirs["headers"][name]) == ours.headers[name]
    claims = [web_push.check_vapid(headers["Authorization"], phone.url, public)
              for headers in (theirs["headers"], ours.headers)]
    for each in claims:
        del each["exp"]
    assert claims[0] == claims[1]
