"""Registering with an encrypted token, as contrib/encrypt-token makes it, with one that this file
makes by itself, and with the vectors; the server's key; the whitelist."""
import base64
import hashlib
import json
import os
import subprocess

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

import nostr
from stack import FCGI
from web_servers import TOP

VECTORS = json.loads((TOP / "tests/unit/encrypted_tokens.json").read_text())
KEY, PUBKEY = VECTORS[0]["server_private_key"], VECTORS[0]["server_pubkey"]
PLACEHOLDER = "0" * 63 + "1"
BAD_BASE64 = "Invalid base64 encoding in encrypted_token"
BAD_SIZE = "Invalid encrypted token size (expected 281 bytes, got %d)"
NOT_OURS = "Failed to decrypt token"
REGISTERED = '{"success":true,"message":"Token registered successfully","platform":"%s"}'
ENDPOINT = "https://push.example.org/UP?token=abc"
# The nodes that the app has built in.
TRUSTED = [
    "00000235a3e904cfe1213a8a54d6f1ec1bef7cc6bfaabd6193e82931ccf1366a",
    "0000cc02101ec29eea9ce623258752b9d7da66c27845ed26846dd0b0fc736b40",
    "00000978acc594c506976c655b6decbf2d4af25ffdaa6680f2a9568b0a88441b",
    "00007cb3305fb972f5cc83f83a8fbca1e64e93c9d1369880a9fd62ef95d23f91",
    "82fa8cb978b43c79b2156585bac2c011176a21d2aead6d9f7c575c005be88390",
    "000009ee1e4b1dc7add19ab30e4ef854d7b562e208b62686fd9002b50b24dabb",
]


@pytest.fixture(scope="module")
def api(make_shared_stack):
    stack = make_shared_stack(SERVER_PRIVATE_KEY=KEY, REGISTER_RATE_PER_IP_PER_MIN="0")
    stack.start_redis()
    stack.start_api()
    return stack


def start(make_stack, **settings):
    stack = make_stack(REGISTER_RATE_PER_IP_PER_MIN="0", **settings)
    stack.start_redis()
    stack.start_api()
    return stack


def encrypt_token(token, platform="android", pubkey=PUBKEY, check=True):
    """What contrib/encrypt-token prints."""
    if isinstance(token, str):
        token = token.encode()
    return subprocess.run([TOP / "contrib/encrypt-token", pubkey, platform], input=token,
                          capture_output=True, check=check)


def encrypt(plaintext, nonce=None, pubkey=PUBKEY):
    """Any plaintext, in the same form."""
    server = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), bytes.fromhex(pubkey))
    ephemeral = ec.generate_private_key(ec.SECP256K1())
    key = HKDF(hashes.SHA256(), 32, b"mostro-push-v1", b"mostro-token-encryption").derive(
        ephemeral.exchange(ec.ECDH(), server))
    nonce = nonce or os.urandom(12)
    point = ephemeral.public_key().public_bytes(serialization.Encoding.X962,
                                                serialization.PublicFormat.CompressedPoint)
    return point + nonce + ChaCha20Poly1305(key).encrypt(nonce, plaintext, None)


def plaintext(token, platform=2, length=None, size=220):
    head = bytes([platform]) + (len(token) if length is None else length).to_bytes(2, "big")
    return head + token + os.urandom(size - len(head) - len(token))


def register(stack, encrypted, **fields):
    """Bytes are put in base64."""
    if isinstance(encrypted, bytes):
        encrypted = base64.b64encode(encrypted).decode()
    pubkey = nostr.new_pubkey()
    answer = stack.post("/api/register", {"trade_pubkey": pubkey, "encrypted_token": encrypted,
                                          **fields})
    stored = stack.redis.hgetall(f"mostro:token:{pubkey}")
    stored.pop("registered_at", None)
    return answer, stored


def check_taken(answered, token, platform, node=None):
    """`node` is what is kept of the Mostro instance that was named."""
    answer, stored = answered
    assert (answer.status, answer.body) == (200, REGISTERED % platform)
    assert stored.pop("mostro_pubkey", None) == node
    kept = {"token": token}
    if "://" in token:
        kept = {"device_id": hashlib.sha256(token.encode()).hexdigest()[:32]}
    assert stored == {**kept, "platform": platform}


def check_refused(answered, message, status=400):
    answer, stored = answered
    body = '{"success":false,"message":"%s"}' % message
    assert (answer.status, answer.body) == (status, body)
    assert stored == {}


# ---- contrib/encrypt-token


@pytest.mark.parametrize("platform", ["android", "ios"])
@pytest.mark.parametrize("token", ["t", "fcm-token:APA91b" + "x" * 147, "x" * 217,
                                   "\u00e9\U0001f600" * 36])
def test_the_example_is_understood(api, token, platform):
    done = encrypt_token(token, platform)
    line = done.stdout.decode()
    assert line.endswith("=\n") and len(base64.b64decode(line, validate=False)) == 281
    assert done.stderr == b""
    check_taken(register(api, line.strip()), token, platform)


def test_the_example_with_a_line_from_standard_input(api):
    """echo's newline is not part of the token."""
    for end in ("\n", "\r\n"):
        line = encrypt_token("token-1" + end).stdout.decode()
        check_taken(register(api, line.strip()), "token-1", "android")


def test_the_example_never_says_the_same_twice():
    messages = [base64.b64decode(encrypt_token("token-1").stdout) for _ in range(3)]
    for begin, end in ((0, 33), (33, 45), (45, 265), (265, 281)):
        assert len({message[begin:end] for message in messages}) == 3


@pytest.mark.parametrize("token, platform, pubkey, complaint", [
    ("", "android", PUBKEY, "0 bytes"),
    ("\n", "android", PUBKEY, "0 bytes"),
    ("x" * 218, "android", PUBKEY, "218 bytes"),
    ("\u00e9" * 109, "android", PUBKEY, "218 bytes"),
    ("secret-token", "windows", PUBKEY, "neither android nor ios"),
    ("secret-token", "toString", PUBKEY, "neither android nor ios"),
    ("secret-token", "android", PUBKEY[2:], "66 hex"),
    ("secret-token", "android", "04" + PUBKEY[2:], "66 hex"),
    ("secret-token", "android", "02" + "f" * 64, "not a point"),
    ("secret-token", "android", "02" + "0" * 63 + "5", "not a point"),
])
def test_the_example_complains(token, platform, pubkey, complaint):
    done = encrypt_token(token, platform, pubkey, check=False)
    assert done.returncode != 0 and done.stdout == b""
    assert complaint in done.stderr.decode() and b"secret-token" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


# ---- What the server makes of it


def test_an_encrypted_token_made_elsewhere(api):
    check_taken(register(api, encrypt(plaintext(b"token-1", 1))), "token-1", "ios")
    check_taken(register(api, encrypt(plaintext(b"y" * 217, 2))), "y" * 217, "android")
    check_taken(register(api, encrypt(plaintext(ENDPOINT.encode(), 2))), ENDPOINT, "android")


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_vectors(make_stack, vector):
    stack = start(make_stack, SERVER_PRIVATE_KEY=vector["server_private_key"])
    check_taken(register(stack, vector["encrypted_token"]), vector["token"], vector["platform"])


def test_a_tampered_byte_anywhere(api):
    """Of the first byte not the lowest bit: a point and its negative have the same x coordinate,
    which is all that the key is made of, so either sign is the same message."""
    message = encrypt(plaintext(b"token-1"))
    check_taken(register(api, message), "token-1", "android")
    for i in range(len(message)):
        for flip in ((0x80, 0x04) if i == 0 else (0x01, 0x80)):
            tampered = bytearray(message)
            tampered[i] ^= flip
            check_refused(register(api, bytes(tampered)), NOT_OURS)


def test_a_token_for_another_server(api):
    other = next(v["server_pubkey"] for v in VECTORS if v["server_pubkey"] != PUBKEY)
    check_refused(register(api, encrypt(plaintext(b"token-1"), pubkey=other)), NOT_OURS)
    check_refused(register(api, b"\0" * 281), NOT_OURS)
    check_refused(register(api, os.urandom(281)), NOT_OURS)
    check_refused(register(api, b"\2" + b"\xff" * 280), NOT_OURS)


@pytest.mark.parametrize("inside", [
    plaintext(b"token-1", 0), plaintext(b"token-1", 3), plaintext(b"token-1", 0xff),
    plaintext(b"token-1", length=218), plaintext(b"token-1", length=0xffff),
    plaintext(b"with\0NUL"), plaintext(b"not \xff UTF-8"), plaintext(b"cut \xc3", length=5),
], ids=range(8))
def test_sealed_nonsense(api, inside):
    check_refused(register(api, encrypt(inside)), NOT_OURS)


@pytest.mark.parametrize("inside, message", [
    (plaintext(b""), "Token cannot be empty"),
    (plaintext(ENDPOINT.encode(), 1), "Invalid UnifiedPush endpoint URL"),
    (plaintext(b"http://push.example.org/UP"), "Invalid UnifiedPush endpoint URL"),
    (plaintext(b"https://127.0.0.1/UP"), "Invalid UnifiedPush endpoint URL"),
], ids=range(4))
def test_the_rows_on_what_was_inside(api, inside, message):
    check_refused(register(api, encrypt(inside)), message)


def test_a_host_that_is_not_allowed(make_stack):
    stack = start(make_stack, SERVER_PRIVATE_KEY=KEY,
                  UNIFIEDPUSH_ALLOWED_HOSTS_REGEX=r"^push\.example\.org$")
    check_taken(register(stack, encrypt(plaintext(b"https://push.example.org/UP"))),
                "https://push.example.org/UP", "android")
    check_refused(register(stack, encrypt(plaintext(b"https://push.example.net/UP"))),
                  "Invalid UnifiedPush endpoint URL")


@pytest.mark.parametrize("size", [1, 280, 282, 562, 90_000])
def test_another_size(api, size):
    check_refused(register(api, os.urandom(size)), BAD_SIZE % size)


def test_bad_base64(api):
    good = base64.b64encode(encrypt(plaintext(b"token-1"))).decode()
    assert len(good) == 376 and good.endswith("=") and not good.endswith("==")
    for bad in (good[:-1], good + "=", good[:-1] + "==", good + "\n", " " + good, "=" + good[1:],
                good[:100] + "\n" + good[100:], good[:100] + "=" + good[101:],
                good[:100] + "-_" + good[102:], good[:100] + "\u00e9" + good[101:],
                "!", "=", "====", "A", "AA", "AAA"):
        check_refused(register(api, bad), BAD_BASE64)
    # The last character before the padding has two bits that must be 0.
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    sloppy = good[:-2] + digits[digits.index(good[-2]) + 1] + "="
    check_refused(register(api, sloppy), BAD_BASE64)
    check_taken(register(api, good), "token-1", "android")


def test_both_tokens_are_none(api):
    good = base64.b64encode(encrypt(plaintext(b"token-1"))).decode()
    check_refused(register(api, good, token="token-2", platform="ios"), "Invalid JSON body")
    for nothing in (None, ""):
        check_taken(register(api, good, token=nothing, platform=nothing), "token-1", "android")
    check_refused(register(api, ""), "Token cannot be empty")
    check_refused(register(api, 281), "Invalid JSON body")
    check_refused(register(api, good, trade_pubkey="x"),
                  "Invalid trade_pubkey format (expected 64 hex characters)")


def test_a_plain_token_is_still_taken(api):
    pubkey = nostr.new_pubkey()
    api.register(pubkey, "token-1")
    assert api.is_registered(pubkey)


def test_without_a_key_nothing_is_opened(make_stack):
    stack = start(make_stack, SERVER_PRIVATE_KEY=PLACEHOLDER)
    assert '"encryption_enabled":false' in stack.get("/api/info").body
    check_refused(register(stack, encrypt(plaintext(b"token-1"))), NOT_OURS)


# ---- The server's key


def info(version, pubkey):
    return ('{"server_pubkey":"%s","version":"%s","encryption_enabled":true,'
            '"encrypted_token_size":281}' % (pubkey, version))


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_info_with_a_key(make_stack, version, vector):
    stack = start(make_stack, SERVER_PRIVATE_KEY=vector["server_private_key"].upper())
    answer = stack.get("/api/info")
    assert (answer.status, answer.body) == (200, info(version, vector["server_pubkey"]))


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_from_a_file(make_stack, version, tmp_path, mode):
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    file.chmod(mode)
    stack = start(make_stack, SERVER_PRIVATE_KEY_FILE=str(file))
    assert stack.get("/api/info").body == info(version, PUBKEY)
    check_taken(register(stack, encrypt_token("token-1").stdout.decode().strip()), "token-1",
                "android")


def refuses_to_start(make_stack, **settings):
    """--check-config and a real start say the same, and nothing secret."""
    stack = make_stack(**settings)
    said = []
    for name, command in (
            ("asked", [FCGI, "--check-config"]),
            ("started", ["spawn-fcgi", "-n", "-s", stack.directory / "fcgi.sock", "--", FCGI])):
        program = stack.start_program(name, command)
        assert program.wait() == 2
        said.append(program.output())
    assert said[0] == said[1] != ""
    assert KEY not in said[0].lower()
    return said[0]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o666, 0o610])
def test_a_key_that_others_can_read(make_stack, tmp_path, mode):
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(mode)
    said = refuses_to_start(make_stack, SERVER_PRIVATE_KEY_FILE=str(file))
    assert "SERVER_PRIVATE_KEY_FILE" in said and "read by others" in said


@pytest.mark.parametrize("content", ["", KEY[1:], KEY + "0", KEY + "\n" + KEY, "0x" + KEY[2:],
                                     "secret" * 100, None], ids=range(7))
def test_a_key_file_without_a_key(make_stack, tmp_path, content):
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
        file.chmod(0o600)
    said = refuses_to_start(make_stack, SERVER_PRIVATE_KEY_FILE=str(file))
    assert "SERVER_PRIVATE_KEY_FILE" in said and "secret" not in said


@pytest.mark.parametrize("key", [
    "z" * 64, KEY[1:], "0" * 64, "f" * 64,
    "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",  # the group's order
], ids=range(5))
def test_what_is_no_key(make_stack, key):
    said = refuses_to_start(make_stack, SERVER_PRIVATE_KEY=key)
    assert "SERVER_PRIVATE_KEY" in said and key not in said


# ---- The whitelist


REQUIRED = "Mostro instance pubkey required"
NOT_TRUSTED = "Mostro instance not trusted"
BAD_INSTANCE = "Invalid mostro_pubkey format (expected 64 hex characters)"


def register_plain(stack, **fields):
    pubkey = nostr.new_pubkey()
    body = {"trade_pubkey": pubkey, "token": "token-1", "platform": "ios", **fields}
    answer = stack.post("/api/register", body)
    stored = stack.redis.hgetall(f"mostro:token:{pubkey}")
    stored.pop("registered_at", None)
    return answer, stored


def check_whitelist(stack, trusted, stranger):
    """Every row of it, for plain and for encrypted tokens."""
    sealed = encrypt(plaintext(b"token-1", 1))
    for ask in (register_plain, lambda stack, **fields: register(stack, sealed, **fields)):
        for name in (trusted.lower(), trusted.upper()):
            check_taken(ask(stack, mostro_pubkey=name), "token-1", "ios", trusted.lower())
        check_refused(ask(stack), REQUIRED, 403)
        for nothing in (None, ""):
            check_refused(ask(stack, mostro_pubkey=nothing), REQUIRED, 403)
        check_refused(ask(stack, mostro_pubkey=stranger), NOT_TRUSTED, 403)
        for bad in (trusted[1:], trusted + "0", "g" + trusted[1:], "npub1" + "a" * 58):
            check_refused(ask(stack, mostro_pubkey=bad), BAD_INSTANCE)
        check_refused(ask(stack, mostro_pubkey=1), "Invalid JSON body")
    # Only registering asks.
    assert stack.notify(nostr.new_pubkey()).status == 202
    assert stack.post("/api/unregister", {"trade_pubkey": nostr.new_pubkey()}).status == 200
    # Other rows: a plain token's come before, those of an encrypted one after.
    check_refused(register_plain(stack, token=""), "Token cannot be empty")
    check_refused(register_plain(stack, trade_pubkey="x"),
                  "Invalid trade_pubkey format (expected 64 hex characters)")
    check_refused(register(stack, "!"), REQUIRED, 403)
    check_refused(register(stack, "!", mostro_pubkey=stranger), NOT_TRUSTED, 403)
    check_refused(register(stack, "!", mostro_pubkey=trusted), BAD_BASE64)


def test_the_embedded_whitelist(make_stack):
    stack = start(make_stack, TRUSTED_WHITELIST_ENABLED="true", SERVER_PRIVATE_KEY=KEY)
    assert json.loads((TOP / "contrib/trusted_mostro_pubkeys.json").read_text()) == TRUSTED
    for trusted in TRUSTED:
        check_taken(register_plain(stack, mostro_pubkey=trusted), "token-1", "ios", trusted)
    check_whitelist(stack, TRUSTED[0], nostr.new_pubkey())


def test_a_whitelist_from_a_file(make_stack, tmp_path):
    """It takes the place of the embedded one; its case does not matter."""
    mine = [nostr.new_pubkey() for _ in range(50)]
    file = tmp_path / "trusted.json"
    file.write_text(json.dumps([pubkey.upper() if i % 2 else pubkey
                                for i, pubkey in enumerate(mine)], indent=2))
    stack = start(make_stack, TRUSTED_WHITELIST_ENABLED="true", SERVER_PRIVATE_KEY=KEY,
                  TRUSTED_MOSTRO_PUBKEYS_FILE=str(file))
    check_whitelist(stack, mine[7], TRUSTED[0])
    for pubkey in mine:
        check_taken(register_plain(stack, mostro_pubkey=pubkey), "token-1", "ios", pubkey)


@pytest.mark.parametrize("settings", [
    {}, {"TRUSTED_WHITELIST_ENABLED": "false"},
    {"TRUSTED_WHITELIST_ENABLED": "true", "TRUSTED_MOSTRO_PUBKEYS_FILE": "empty"},
], ids=["unset", "off", "empty"])
def test_no_whitelist(make_stack, tmp_path, settings):
    if "TRUSTED_MOSTRO_PUBKEYS_FILE" in settings:
        (tmp_path / "empty").write_text("[]")
        settings = {**settings, "TRUSTED_MOSTRO_PUBKEYS_FILE": str(tmp_path / "empty")}
    stack = start(make_stack, **settings)
    node = nostr.new_pubkey()
    for fields, kept in (({}, None), ({"mostro_pubkey": node.upper()}, node),
                         ({"mostro_pubkey": "nonsense"}, None)):
        check_taken(register_plain(stack, **fields), "token-1", "ios", kept)


@pytest.mark.parametrize("content", [
    None, "", "{}", "null", "[1]", '["x"]', f'["{KEY}", null]', f'["{KEY}"', f'["{KEY}"]x',
    f'{{"trusted":["{KEY}"]}}', f'["{KEY[1:]}"]', f'["{KEY}0"]', f"{KEY}\n",
], ids=range(13))
def test_a_whitelist_file_that_is_none(make_stack, tmp_path, content):
    file = tmp_path / "trusted.json"
    if content is not None:
        file.write_text(content)
    said = refuses_to_start(make_stack, TRUSTED_WHITELIST_ENABLED="true",
                            TRUSTED_MOSTRO_PUBKEYS_FILE=str(file))
    assert "TRUSTED_MOSTRO_PUBKEYS_FILE" in said and str(file) in said
