"""web_push: the keys of a device, and what it and its distributor do with a push (RFC 8291 and RFC
8292), written from the RFCs with Python's cryptography."""
import base64
import json
import os
import re
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SALT, KEY_LENGTH, POINT = slice(0, 16), 20, slice(21, 86)
RECORDS = 86
LAST = b"\2"


def encode(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode(text):
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text), text
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _hkdf(salt, key, info, length):
    return HKDF(hashes.SHA256(), length, salt, info).derive(key)


class Keys:
    """What a device makes for its endpoint; `fields` is what it registers of them."""

    def __init__(self):
        self._private = ec.generate_private_key(ec.SECP256R1())
        self._point = self._private.public_key().public_bytes(Encoding.X962,
                                                              PublicFormat.UncompressedPoint)
        self._secret = os.urandom(16)
        self.fields = {"p256dh": encode(self._point), "auth": encode(self._secret)}

    def private_parts(self):
        """In base64url, as web-push and http_ece want them."""
        number = self._private.private_numbers().private_value
        return encode(number.to_bytes(32, "big")), self.fields["auth"]

    def decrypt(self, body):
        """The plaintext; an exception for what is not one record for these keys."""
        assert body[KEY_LENGTH] == len(self._point)
        assert len(body) - RECORDS <= int.from_bytes(body[16:20], "big") <= 4096
        sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), body[POINT])
        ikm = _hkdf(self._secret, self._private.exchange(ec.ECDH(), sender),
                    b"WebPush: info\0" + self._point + body[POINT], 32)
        key = _hkdf(body[SALT], ikm, b"Content-Encoding: aes128gcm\0", 16)
        nonce = _hkdf(body[SALT], ikm, b"Content-Encoding: nonce\0", 12)
        padded = AESGCM(key).decrypt(nonce, body[RECORDS:], None)
        plaintext, delimiter = padded.rstrip(b"\0")[:-1], padded.rstrip(b"\0")[-1:]
        assert delimiter == LAST
        return plaintext


def check_vapid(header, origin, public_key):
    """The claims, after what a distributor has to check of them and of the signature."""
    scheme, parameters = header.split(" ", 1)
    assert scheme == "vapid"
    parameters = dict(one.strip().split("=", 1) for one in parameters.split(","))
    assert set(parameters) == {"t", "k"} and parameters["k"] == public_key
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decode(parameters["k"]))
    about, claims, signature = parameters["t"].split(".")
    assert json.loads(decode(about)) == {"typ": "JWT", "alg": "ES256"}
    raw = decode(signature)
    assert len(raw) == 64
    r, s = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
    key.verify(utils.encode_dss_signature(r, s), f"{about}.{claims}".encode(),
               ec.ECDSA(hashes.SHA256()))
    claims = json.loads(decode(claims))
    assert claims["aud"] == origin
    assert 0 < claims["exp"] - time.time() <= 24 * 3600
    return claims
