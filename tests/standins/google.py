#!/usr/bin/python3
"""google: Google's OAuth 2 token endpoint and FCM HTTP v1, on loopback, over TLS where given a
certificate. It trusts one service account, whose key is made when it starts.

Alone: `google.py DIRECTORY [PORT]` writes DIRECTORY/ca.pem and DIRECTORY/service-account.json,
prints `READY https://127.0.0.1:PORT`, then each message as one line of JSON.
"""
import base64
import collections
import dataclasses
import functools
import json
import pathlib
import queue
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

from certificates import Authority, openssl
from loopback import WebServer

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


@dataclasses.dataclass
class Refusal:
    """An error as FCM words it."""
    code: int
    status: str
    message: str
    error_code: str | None = None
    field: str | None = None
    headers: dict = dataclasses.field(default_factory=dict)

    @property
    def body(self):
        details = []
        if self.error_code:
            details.append({"@type": FCM_ERROR, "errorCode": self.error_code})
        if self.field:
            details.append({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": self.field, "description": self.message}],
            })
        error = {"code": self.code, "message": self.message, "status": self.status}
        return {"error": {**error, "details": details} if details else error}


UNREGISTERED = Refusal(404, "NOT_FOUND", "Requested entity was not found.", "UNREGISTERED")
WRONG_PROJECT = Refusal(404, "NOT_FOUND", "Requested entity was not found.")
BAD_TOKEN = Refusal(400, "INVALID_ARGUMENT",
                    "The registration token is not a valid FCM registration token",
                    "INVALID_ARGUMENT", "message.token")
BAD_MESSAGE = Refusal(400, "INVALID_ARGUMENT", "Invalid value at 'message.data'",
                      "INVALID_ARGUMENT", "message.data")
SENDER_ID_MISMATCH = Refusal(403, "PERMISSION_DENIED", "SenderId mismatch", "SENDER_ID_MISMATCH")
NO_PERMISSION = Refusal(403, "PERMISSION_DENIED",
                        "Permission 'cloudmessaging.messages.create' denied on resource")
UNAUTHENTICATED = Refusal(401, "UNAUTHENTICATED",
                          "Request had invalid authentication credentials.")
UNAVAILABLE = Refusal(503, "UNAVAILABLE", "The service is currently unavailable.", "UNAVAILABLE")


@dataclasses.dataclass
class Message:
    """A message as it came, accepted or not."""
    path: str
    headers: dict
    message: dict
    arrived: float

    @property
    def token(self):
        return self.message.get("token")


@functools.cache
def service_account_key():
    """One for all accounts of this process: making a key takes longer than most tests."""
    return openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")


class Google(WebServer):
    """`directory` receives the service account's file (`service_account`, a secret of this run);
    `url` is what clients know it by, where that is another server in front of it."""

    PROJECT = "mostro-test"
    EMAIL = "push@mostro-test.iam.gserviceaccount.com"

    def __init__(self, directory, port=0, certificate=None, key=None, lifetime=3599, url=None):
        super().__init__(port, certificate, key)
        self.url = url or self.url
        self._lock = threading.Lock()
        self._access_tokens = set()
        self.last_access_token = None
        self._oauth_answers = collections.deque()
        self._oauth_gate = None
        self._gates = {}
        self._oauth_now = self._messages_now = 0
        self.most_oauth = self.most_messages = 0  # at once
        self.oauth_asked = []  # when an access token was asked for
        self._answers = collections.defaultdict(collections.deque)
        self._arrived = queue.Queue()
        self.user_agents = []  # of each request
        self.lifetime = lifetime
        self.access_token_bytes = 209  # real ones are longer, too: about 1,024
        self.messages = []
        self.validated = []  # messages that were not to be sent
        self.claims = []  # of each assertion that was accepted
        self.rejected = []  # why assertions and messages were not even looked at
        self._make_service_account(pathlib.Path(directory))

    def _make_service_account(self, directory):
        directory.mkdir(parents=True, exist_ok=True)
        private = service_account_key()
        self._public = directory / "service-account.pub.pem"
        self._public.write_bytes(openssl("pkey", "-pubout", input=private))
        self.token_uri = f"{self.url}/token"
        self.service_account = directory / "service-account.json"
        self.service_account.write_text(json.dumps({
            "type": "service_account",
            "project_id": self.PROJECT,
            "private_key_id": secrets.token_hex(20),
            "private_key": private.decode(),
            "client_email": self.EMAIL,
            "client_id": "100000000000000000000",
            "auth_uri": f"{self.url}/auth",
            "token_uri": self.token_uri,
        }, indent=2))
        self.service_account.chmod(0o600)

    # ---- What a test does to it

    def answer(self, device_token, answers):
        """The next messages to `device_token` get these Refusals (None: 200), then 200."""
        with self._lock:
            self._answers[device_token].extend(answers)

    def forgive(self, device_token):
        """From now on its messages are accepted."""
        with self._lock:
            self._answers[device_token].clear()

    def answer_oauth(self, statuses):
        """The next requests for an access token get these statuses, then what they deserve."""
        with self._lock:
            self._oauth_answers.extend(statuses)

    def hold(self, device_token, gate):
        """Messages to `device_token` are answered once the gate (a threading.Event) is set."""
        self._gates[device_token] = gate

    def hold_oauth(self, gate):
        """Requests for an access token are answered once the gate is set."""
        self._oauth_gate = gate

    def revoke_access_tokens(self):
        """Those issued so far get 401 from here on."""
        with self._lock:
            self._access_tokens.clear()

    def next_message(self, timeout=10):
        """The next message that has arrived with a valid access token, refused or not."""
        return self._arrived.get(timeout=timeout)

    # ---- In the server's threads

    def handle_request(self, method, path, headers, body):
        self.user_agents.append(headers["User-Agent"])
        if method == "POST" and path == "/token":
            status, answer, more = self._oauth(headers, body)
        elif method == "POST" and path == f"/v1/projects/{self.PROJECT}/messages:send":
            status, answer, more = self._send(path, headers, body)
        else:
            self.rejected.append(f"{method} {path}")
            status, answer, more = 404, WRONG_PROJECT.body, {}
        return (status, {"Content-Type": "application/json; charset=UTF-8", **more},
                json.dumps(answer).encode())

    def _oauth(self, headers, body):
        with self._lock:
            status = self._oauth_answers.popleft() if self._oauth_answers else 200
            self.oauth_asked.append(time.monotonic())
            self._oauth_now += 1
            self.most_oauth = max(self.most_oauth, self._oauth_now)
        try:
            if self._oauth_gate:
                self._oauth_gate.wait(60)
            return self._grant(status, headers, body)
        finally:
            with self._lock:
                self._oauth_now -= 1

    def _grant(self, status, headers, body):
        if status != 200:
            return status, {"error": "internal_failure"}, {}
        try:
            if headers.get_content_type() != "application/x-www-form-urlencoded":
                raise ValueError("wrong Content-Type")
            form = urllib.parse.parse_qs(body.decode(), strict_parsing=True)
            if form.get("grant_type") != [GRANT] or len(form.get("assertion", [])) != 1:
                raise ValueError("not an assertion grant")
            claims = self._verified_claims(form["assertion"][0])
        except (ValueError, KeyError, TypeError) as error:
            self.rejected.append(f"assertion: {error}")
            return 400, {"error": "invalid_grant", "error_description": str(error)}, {}
        # Real ones end in dots.
        token = f"ya29.{secrets.token_urlsafe(self.access_token_bytes)}"
        token = token[:self.access_token_bytes - 4] + "...."
        with self._lock:
            self.claims.append(claims)
            self._access_tokens.add(token)
            self.last_access_token = token
        return 200, {"access_token": token, "expires_in": self.lifetime,
                     "token_type": "Bearer"}, {}

    def _verified_claims(self, assertion):
        """The claims of a JWT (RFC 7519, RFC 7523) that the service account has signed."""
        if "=" in assertion:
            raise ValueError("base64url must not be padded")
        head, payload, signature = assertion.split(".")
        decode = lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        header, claims = json.loads(decode(head)), json.loads(decode(payload))
        if header.get("alg") != "RS256" or header.get("typ", "JWT") != "JWT":
            raise ValueError("not an RS256 JWT")
        with tempfile.NamedTemporaryFile() as file:
            file.write(decode(signature))
            file.flush()
            try:
                openssl("dgst", "-sha256", "-verify", self._public, "-signature", file.name,
                        input=f"{head}.{payload}".encode())
            except subprocess.CalledProcessError:
                raise ValueError("bad signature") from None
        now = time.time()
        if claims["iss"] != self.EMAIL:
            raise ValueError("wrong iss")
        if claims["aud"] != self.token_uri:
            raise ValueError("wrong aud")
        if claims["scope"] != SCOPE:
            raise ValueError("wrong scope")
        if not (type(claims["iat"]) is int and type(claims["exp"]) is int
                and abs(claims["iat"] - now) < 300
                and now < claims["exp"] <= claims["iat"] + 3600):
            raise ValueError("wrong iat or exp")
        return claims

    def _send(self, path, headers, body):
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        with self._lock:
            known = scheme == "Bearer" and token in self._access_tokens
        if not known:
            self.rejected.append("message without a valid access token")
            return UNAUTHENTICATED.code, UNAUTHENTICATED.body, {}
        try:
            if headers.get_content_type() != "application/json":
                raise ValueError("wrong Content-Type")
            asked = json.loads(body)
            message = asked["message"]
            device = message["token"] if "token" in message else message["topic"]
        except (ValueError, KeyError, TypeError) as error:
            self.rejected.append(f"message: {error}")
            return BAD_MESSAGE.code, BAD_MESSAGE.body, {}
        if asked.get("validate_only") is True:
            return self._validate(device, message)
        with self._lock:
            answers = self._answers[device]
            refusal = answers.popleft() if answers else None
            record = Message(path, dict(headers.items()), message, time.time())
            self.messages.append(record)
            name = f"projects/{self.PROJECT}/messages/0:{len(self.messages)}"
            self._messages_now += 1
            self.most_messages = max(self.most_messages, self._messages_now)
        self._arrived.put(record)
        if gate := self._gates.get(device):
            gate.wait(60)
        with self._lock:
            self._messages_now -= 1
        if refusal:
            return refusal.code, refusal.body, refusal.headers
        return 200, {"name": name}, {}


    def _validate(self, target, message):
        """As if it were sent; the name in the answer is the same for all."""
        with self._lock:
            answers = self._answers[target]
            refusal = answers.popleft() if answers else None
            self.validated.append(message)
        if refusal:
            return refusal.code, refusal.body, refusal.headers
        return 200, {"name": f"projects/{self.PROJECT}/messages/fake_message_id"}, {}


def main(directory, port):
    certificate, key = Authority(directory).issue("google")
    with Google(directory, port, certificate, key) as google:
        print(f"READY {google.url}", flush=True)
        while True:
            print(json.dumps(google.next_message(timeout=None).message), flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    except KeyboardInterrupt:
        pass
