"""Pushes to endpoint URLs that are encrypted (RFC 8291) and signed (RFC 8292), and the key for the
latter: made, read, refused, and told to who asks."""
import base64
import json
import os
import subprocess
import time

import pytest

import nostr
import phone as phones
import web_push
from certificates import openssl
from distributors import Autopush, Ntfy
from stack import FCGI, LISTENER, wait_until

SUBJECT = "mailto:admin@example.org"
SERVER_KEY = "1" * 64
NO_KEY = "does not hold a private key in PEM without a password"
OTHER_KIND = "holds a key of another kind than P-256"


def generate(file):
    return subprocess.run([LISTENER, "--generate-vapid-key", file], capture_output=True, text=True)


@pytest.fixture(scope="session")
def vapid(tmp_path_factory):
    """(file, public key)"""
    file = tmp_path_factory.mktemp("vapid") / "key.pem"
    made = generate(file)
    assert made.returncode == 0, made.stderr
    return str(file), made.stdout.strip()


@pytest.fixture
def signing(make_stack, relay, vapid):
    """The whole server, with a VAPID key."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", VAPID_PRIVATE_KEY_FILE=vapid[0],
                       VAPID_SUBJECT=SUBJECT)
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    return stack


def check_message(plaintext):
    message = json.loads(plaintext)
    assert message == {"type": "silent_wake", "timestamp": message["timestamp"]}
    assert abs(message["timestamp"] - time.time()) < 60


def check_headers(push, encrypted, signed=False):
    assert push.headers["TTL"] == "86400" and push.headers["Urgency"] == "high"
    assert push.headers["Content-Type"] == (
        "application/octet-stream" if encrypted else "application/json")
    assert push.headers.get("Content-Encoding") == ("aes128gcm" if encrypted else None)
    assert ("Authorization" in push.headers) == signed


# ---- Pushes


def test_a_device_with_keys_is_told_in_secret(live, relay, phone, pubkey):
    """Whatever wakes it, and with nothing that comes twice."""
    keys = web_push.Keys()
    live.register(pubkey, phone.endpoint(), **keys.fields)
    bodies = []
    for wake in (lambda: live.notify(pubkey), lambda: relay.publish(nostr.gift_wrap(pubkey)),
                 lambda: live.notify(pubkey)):
        wake()
        push = phone.next_push()
        check_headers(push, encrypted=True)
        check_message(keys.decrypt(push.body))
        assert b"silent" not in push.body
        bodies.append(push.body)
        live.wait_until_idle()
    assert len({body[web_push.SALT] for body in bodies}) == 3
    assert len({body[web_push.POINT] for body in bodies}) == 3
    with pytest.raises(Exception):
        web_push.Keys().decrypt(bodies[0])


def test_keys_in_standard_base64(live, phone, pubkey):
    """As a page makes them with btoa(); they are kept as any other's."""
    keys = web_push.Keys()
    standard = {name: base64.b64encode(web_push.decode(value)).decode()
                for name, value in keys.fields.items()}
    assert all(value.endswith("=") for value in standard.values())
    live.register(pubkey, phone.endpoint(), **standard)
    stored = live.redis.hgetall(f"mostro:token:{pubkey}")
    assert {name: stored[name] for name in keys.fields} == keys.fields
    live.notify(pubkey)
    check_message(keys.decrypt(phone.next_push().body))
    live.wait_until_idle()


def test_a_retry_is_encrypted_as_well(live, phone, pubkey):
    keys, endpoint = web_push.Keys(), phone.endpoint()
    live.register(pubkey, endpoint, **keys.fields)
    phone.answer(endpoint, [503])
    live.notify(pubkey)
    for _ in range(2):
        push = phone.next_push()
        check_headers(push, encrypted=True)
        check_message(keys.decrypt(push.body))


def test_keys_come_and_go_with_the_registration(live, phone, pubkey):
    """The last one counts."""
    first, second, endpoint = web_push.Keys(), web_push.Keys(), phone.endpoint()
    for keys in (None, first, second, None, first):
        live.register(pubkey, endpoint, **(keys.fields if keys else {}))
        live.notify(pubkey)
        push = phone.next_push()
        check_headers(push, encrypted=keys is not None)
        check_message(keys.decrypt(push.body) if keys else push.body)
        live.wait_until_idle()


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_a_push_is_signed(signing, phone, pubkey, vapid, encrypted):
    """For its distributor alone; the same signature serves for hours."""
    keys = web_push.Keys()
    headers = []
    with phones.Phone() as other:
        for distributor in (phone, other, phone):
            signing.register(pubkey, distributor.endpoint(), **(keys.fields if encrypted else {}))
            signing.notify(pubkey)
            push = distributor.next_push()
            check_headers(push, encrypted, signed=True)
            check_message(keys.decrypt(push.body) if encrypted else push.body)
            headers.append(push.headers["Authorization"])
            claims = web_push.check_vapid(headers[-1], distributor.url, vapid[1])
            assert claims["sub"] == SUBJECT and set(claims) == {"aud", "exp", "sub"}
            signing.wait_until_idle()
        with pytest.raises(AssertionError):
            web_push.check_vapid(headers[0], other.url, vapid[1])
    assert headers[0] == headers[2] != headers[1]


def test_a_subject_is_optional(make_stack, relay, phone, pubkey, vapid):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", VAPID_PRIVATE_KEY_FILE=vapid[0])
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    stack.register(pubkey, phone.endpoint())
    stack.notify(pubkey)
    authorization = phone.next_push().headers["Authorization"]
    assert set(web_push.check_vapid(authorization, phone.url, vapid[1])) == {"aud", "exp"}


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_who_refuses_signatures_is_pushed_to_without(signing, pubkey, encrypted):
    """At once, for it is no try again; and nothing has failed."""
    keys = web_push.Keys()
    with Ntfy(vapid_known=False) as ntfy:
        signing.register(pubkey, ntfy.endpoint(), **(keys.fields if encrypted else {}))
        signing.notify(pubkey)
        signed, bare = ntfy.next_push(), ntfy.next_push()
        check_headers(signed, encrypted, signed=True)
        check_headers(bare, encrypted)
        check_message(keys.decrypt(bare.body) if encrypted else bare.body)
        assert bare.path == signed.path
        wait_until(lambda: signing.stat("wakes_delivered_unifiedpush") == 1)
        assert len(ntfy.pushes) == 2 and signing.stat("push_retries") == 0
    assert "UnifiedPush: localhost" not in signing.listener.output()


def test_autopush_takes_a_signed_empty_message(signing, pubkey):
    with Autopush(keyed=True) as autopush:
        signing.register(pubkey, autopush.endpoint())
        signing.notify(pubkey)
        clear, empty = autopush.next_push(), autopush.next_push()
        assert clear.body and empty.body == b""
        assert clear.headers["Authorization"] == empty.headers["Authorization"]
        wait_until(lambda: signing.stat("wakes_delivered_unifiedpush") == 1)


def test_keys_in_redis_that_are_none(live, phone, pubkey):
    """Somebody else has written there: nothing is sent, least of all in the clear, and nothing is
    lost but these wakes."""
    keys = web_push.Keys().fields
    point = bytearray(web_push.decode(keys["p256dh"]))
    point[40] ^= 1
    live.register(pubkey, phone.endpoint(), **keys)
    bad = [
        {"p256dh": web_push.encode(bytes(point))},
        {"p256dh": web_push.encode(b"\4" + bytes(64))},
        {"p256dh": web_push.encode(b"\6" + web_push.decode(keys["p256dh"])[1:])},
        {"p256dh": keys["p256dh"][:-1]},
        {"p256dh": ""},
        {"auth": ""},
        {"auth": keys["auth"] + "AA"},
        {"auth": "\0" * 22},
        {"p256dh": "\u00e9" * 40, "auth": "%s%n"},
    ]
    for n, fields in enumerate(bad, 1):
        live.redis.hset(f"mostro:token:{pubkey}", mapping={**keys, **fields})
        live.redis.delete(f"mostro:limit:pubkey:{pubkey}")
        live.notify(pubkey)
        wait_until(lambda: live.stat("wakes_given_up_unifiedpush") == n, what=fields)
    # Longer than what can be a key: no registration of ours.
    live.redis.hset(f"mostro:token:{pubkey}", mapping={**keys, "p256dh": "A" * 5000})
    live.notify(pubkey)
    wait_until(lambda: live.stat("wakes_unregistered") == 1)
    live.redis.hset(f"mostro:token:{pubkey}", mapping=keys)
    live.notify(pubkey)
    check_headers(phone.next_push(), encrypted=True)
    live.wait_until_idle()
    assert len(phone.pushes) == 1 and live.is_registered(pubkey)


# ---- What the API tells


def test_info(make_stack, version, vapid):
    """Byte for byte, in both of its forms; a responder needs the file at its start alone."""
    plain = ('{"version":"%s","encryption_enabled":false,'
             '"note":"Token encryption will be enabled in a future phase"%s}')
    sealed = ('{"server_pubkey":"034f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa"'
              ',"version":"%s","encryption_enabled":true,"encrypted_token_size":281%s}')
    told = f',"vapid_public_key":"{vapid[1]}"'
    for form, settings in ((plain, {}), (sealed, {"SERVER_PRIVATE_KEY": SERVER_KEY})):
        for end, more in (("", {}), (told, {"VAPID_PRIVATE_KEY_FILE": vapid[0]})):
            stack = make_stack(**settings, **more)
            stack.start_redis()
            stack.start_api()
            answer = stack.get("/api/info")
            assert (answer.status, answer.body) == (200, form % (version, end))
            stack.close()


# ---- The key


def test_a_new_key(tmp_path):
    file = tmp_path / "new.pem"
    made = generate(file)
    assert (made.returncode, made.stderr) == (0, "")
    assert file.stat().st_mode & 0o7777 == 0o600
    public = made.stdout.removesuffix("\n")
    assert web_push.decode(public)[0] == 4 and len(web_push.decode(public)) == 65
    described = openssl("pkey", "-in", file, "-pubout", "-outform", "DER")
    assert described.endswith(web_push.decode(public))
    content = file.read_bytes()
    again = generate(file)
    assert again.returncode != 0 and again.stdout == "" and "File exists" in again.stderr
    assert file.read_bytes() == content
    assert generate(tmp_path / "other.pem").stdout != made.stdout


def test_no_new_key_where_none_can_be(tmp_path):
    made = generate(tmp_path / "nowhere" / "new.pem")
    assert made.returncode != 0 and made.stdout == "" and "No such file" in made.stderr
    assert subprocess.run([LISTENER, "--generate-vapid-key"], capture_output=True).returncode == 2
    os.symlink(tmp_path / "target", tmp_path / "link")
    assert generate(tmp_path / "link").returncode != 0
    assert not (tmp_path / "target").exists()


def test_a_full_disk_leaves_no_half_of_a_key(tmp_path):
    file = tmp_path / "new.pem"
    limited = "trap '' XFSZ; exec prlimit --fsize=100 \"$@\""
    made = subprocess.run(["bash", "-c", limited, "-", LISTENER, "--generate-vapid-key", file],
                          capture_output=True, text=True)
    assert made.returncode != 0 and made.stdout == "" and "File too large" in made.stderr
    assert not file.exists()


def test_help_tells_how():
    said = subprocess.run([LISTENER, "--help"], capture_output=True, text=True).stdout
    assert "--generate-vapid-key FILE" in said and "VAPID_PRIVATE_KEY_FILE" in said
    said = subprocess.run([FCGI, "--help"], capture_output=True, text=True).stdout
    assert "VAPID_PRIVATE_KEY_FILE" in said and "VAPID_SUBJECT" not in said


def other_curve(file):
    file.write_bytes(openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"))


def encrypted(file):
    file.write_bytes(openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                             "-aes256", "-pass", "pass:secret"))


def public(file):
    generate(file)
    file.write_bytes(openssl("pkey", "-in", file, "-pubout"))


def cut(file):
    generate(file)
    file.write_bytes(file.read_bytes()[:120])


def readable(file):
    generate(file)
    file.chmod(0o640)


@pytest.mark.parametrize("make, complaint", [
    (lambda file: None, "No such file or directory"),
    (lambda file: file.mkdir(), "is not a regular file"),
    (lambda file: file.write_text(""), NO_KEY),
    (lambda file: file.write_text("secret " * 20), NO_KEY),
    (lambda file: file.write_text("secret " * 2000), "is too large to be a key"),
    (cut, NO_KEY),
    (encrypted, NO_KEY),
    (public, NO_KEY),
    (other_curve, OTHER_KIND),
    (readable, "can be read by others: chmod 600"),
], ids=range(10))
def test_what_is_no_key(make_stack, tmp_path, make, complaint):
    """Both programs say so, when asked and when started in earnest, and do not start."""
    file = tmp_path / "key.pem"
    make(file)
    if file.is_file() and make != readable:
        file.chmod(0o600)
    stack = make_stack(VAPID_PRIVATE_KEY_FILE=str(file), NOSTR_RELAYS="ws://127.0.0.1:1")
    commands = [[FCGI, "--check-config"], [LISTENER, "--check-config"], [LISTENER],
                ["spawn-fcgi", "-n", "-s", stack.directory / "fcgi.sock", "--", FCGI]]
    for n, command in enumerate(commands):
        program = stack.start_program(f"program-{n}", command)
        assert program.wait() != 0
        assert program.output() == f"VAPID_PRIVATE_KEY_FILE={file}: {complaint}\n"


def test_a_key_made_with_openssl(make_stack, tmp_path):
    """In either of the forms that it writes."""
    for n, command in enumerate((
            ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            ["ecparam", "-name", "prime256v1", "-genkey"],
            ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-conv_form", "compressed"])):
        file = tmp_path / "key.pem"
        file.write_bytes(openssl(*command))
        file.chmod(0o600)
        stack = make_stack(VAPID_PRIVATE_KEY_FILE=str(file))
        program = stack.start_program(f"fcgi-{n}", [FCGI, "--check-config"])
        assert program.wait() == 0, program.output()
