#!/usr/bin/python3
"""nostr: keys, NIP-01 events and NIP-59 gift wraps, as a Mostro node would make them.

Schnorr signatures come from libsecp256k1 through ctypes. Alone:
    nostr.py key                      a new key pair: secret and pubkey in hex
    nostr.py wrap PUBKEY              a gift wrap for PUBKEY, as one line of JSON
    nostr.py publish RELAY PUBKEY     publishes such a gift wrap and prints the relay's answer
"""
import asyncio
import base64
import ctypes
import ctypes.util
import hashlib
import json
import os
import sys
import time

GIFT_WRAP = 1059
DIRECT_MESSAGE = 14
CLIENT_AUTH = 22242  # NIP-42
DAY = 24 * 3600


def _load_secp256k1():
    """Debian 12 has libsecp256k1.so.1, Debian 13 libsecp256k1.so.2."""
    for name in (ctypes.util.find_library("secp256k1"), "libsecp256k1.so.2", "libsecp256k1.so.1"):
        try:
            library = ctypes.CDLL(name) if name else None
        except OSError:
            library = None
        if library:
            break
    else:
        raise ImportError("libsecp256k1 is not installed (Debian: libsecp256k1-1 or -2)")
    library.secp256k1_context_create.restype = ctypes.c_void_p
    return library, ctypes.c_void_p(library.secp256k1_context_create(ctypes.c_uint(1)))


_secp256k1, _context = _load_secp256k1()


class Key:
    """A key pair; `pubkey` is the x-only public key in 64 hex digits."""

    def __init__(self, secret=None):
        self._keypair = ctypes.create_string_buffer(96)
        self.secret = secret or os.urandom(32)
        while not _secp256k1.secp256k1_keypair_create(_context, self._keypair, self.secret):
            if secret:
                raise ValueError("not a secp256k1 secret key")
            self.secret = os.urandom(32)
        point = ctypes.create_string_buffer(64)
        serialized = ctypes.create_string_buffer(32)
        _secp256k1.secp256k1_keypair_xonly_pub(_context, point, None, self._keypair)
        _secp256k1.secp256k1_xonly_pubkey_serialize(_context, serialized, point)
        self.pubkey = serialized.raw.hex()

    def sign(self, digest):
        """The BIP-340 signature of 32 bytes, in hex."""
        signature = ctypes.create_string_buffer(64)
        if not _secp256k1.secp256k1_schnorrsig_sign32(
                _context, signature, digest, self._keypair, os.urandom(32)):
            raise RuntimeError("signing failed")
        return signature.raw.hex()


def new_pubkey():
    """A trade pubkey that nobody else has."""
    return Key().pubkey


def verify(pubkey, digest, signature):
    """Whether `signature` (hex) of 32 bytes is that of `pubkey` (hex)."""
    point = ctypes.create_string_buffer(64)
    try:
        pubkey, signature = bytes.fromhex(pubkey), bytes.fromhex(signature)
    except (TypeError, ValueError):
        return False
    return (len(pubkey) == 32 and len(signature) == 64
            and bool(_secp256k1.secp256k1_xonly_pubkey_parse(_context, point, pubkey))
            and bool(_secp256k1.secp256k1_schnorrsig_verify(
                _context, signature, digest, ctypes.c_size_t(32), point)))


def event_digest(event):
    """SHA-256 of an event's canonical form (NIP-01)."""
    canonical = [0, event["pubkey"], event["created_at"], event["kind"], event["tags"],
                 event["content"]]
    text = json.dumps(canonical, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def is_valid(event):
    """Whether an event has NIP-01's form, its own id, and its author's signature."""
    try:
        tags = event["tags"]
        if not (isinstance(tags, list) and isinstance(event["content"], str)
                and all(isinstance(tag, list) and all(isinstance(item, str) for item in tag)
                        for tag in tags)
                and type(event["kind"]) is int and type(event["created_at"]) is int):
            return False
        digest = event_digest(event)
        return digest.hex() == event["id"] and verify(event["pubkey"], digest, event["sig"])
    except (KeyError, TypeError, UnicodeEncodeError):
        return False


def make_event(key, kind, tags, content, created_at=None):
    """A signed event; created now unless told otherwise."""
    event = {
        "pubkey": key.pubkey,
        "created_at": int(time.time()) if created_at is None else int(created_at),
        "kind": kind,
        "tags": tags,
        "content": content,
    }
    digest = event_digest(event)
    return {"id": digest.hex(), **event, "sig": key.sign(digest)}


def encrypted_content(padded_size=1280):
    """What NIP-44 ciphertext looks like: a version, a nonce, padded text, a MAC, in base64."""
    return base64.b64encode(b"\x02" + os.urandom(32 + 2 + padded_size + 32)).decode()


def gift_wrap(trade_pubkey, created_at=None):
    """A NIP-59 gift wrap from a one-time key, backdated by a day (they are by up to two)."""
    if created_at is None:
        created_at = time.time() - DAY
    return make_event(Key(), GIFT_WRAP, [["p", trade_pubkey]], encrypted_content(), created_at)


def direct_message(trade_pubkey, author=None, created_at=None):
    """A kind 14 message of Mostro's protocol v2: signed by the node, created when it is sent."""
    return make_event(author or Key(), DIRECT_MESSAGE, [["p", trade_pubkey]],
                      encrypted_content(), created_at)


async def publish_async(url, event, tls=None):
    """Publishes one event as a client does; returns the relay's ["OK", id, accepted, message]."""
    import websockets

    options = {"ssl": tls} if tls else {}
    async with websockets.connect(url, **options) as socket:
        await socket.send(json.dumps(["EVENT", event]))
        async for message in socket:
            answer = json.loads(message)
            if answer[:2] == ["OK", event["id"]]:
                return answer
    raise ConnectionError("the relay closed the connection without an OK")


def publish(url, event, tls=None, timeout=10):
    """publish_async() for callers without an event loop."""
    return asyncio.run(asyncio.wait_for(publish_async(url, event, tls), timeout))


def main(arguments):
    match arguments:
        case ["key"]:
            key = Key()
            print(key.secret.hex(), key.pubkey)
        case ["wrap", pubkey]:
            print(json.dumps(gift_wrap(pubkey)))
        case ["publish", url, pubkey]:
            print(json.dumps(publish(url, gift_wrap(pubkey))))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
