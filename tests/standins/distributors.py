"""distributors: UnifiedPush and Web Push servers that answer as real ones do (ntfy 2.13, autopush
1.83). Each is a Phone: it records pushes, and a test may foresee the answer to one."""
import json
import time

from phone import Answer, Phone

HOST = "localhost"  # by this name the log shows it


class Distributor(Phone):
    """Endpoints have a host name, for an address is not shown in a log."""

    def endpoint(self):
        return f"{self.url_by_name}/{self.path()}"

    @property
    def url_by_name(self):
        return f"http://{HOST}:{self.port}"


class Ntfy(Distributor):
    """Takes `burst` pushes of one sender, then one more every `refill` seconds: 60 and 5 where
    nobody has set anything else. Its 429 is about the sender and says nothing of when."""

    def __init__(self, burst=60, refill=5, vapid_known=True):
        super().__init__()
        self._burst, self._refill = burst, refill
        self._room, self._filled = burst, time.monotonic()
        self._vapid_known = vapid_known
        self.refused = 0

    def judge(self, push):
        # What an old one does not know, it takes for a wrong password.
        if "Authorization" in push.headers and not self._vapid_known:
            return _json(401, {"code": 40101, "http": 401, "error": "unauthorized"})
        now = time.monotonic()
        self._room = min(self._burst, self._room + (now - self._filled) / self._refill)
        self._filled = now
        if self._room < 1:
            self.refused += 1
            return _json(429, {"code": 42901, "http": 429,
                               "error": "limit reached: too many requests",
                               "link": "https://ntfy.sh/docs/publish/#limitations"})
        self._room -= 1
        return _json(200, {"id": "x7aZ", "event": "message", "message": "triggered"})


class Autopush(Distributor):
    """Takes no message in the clear, and, where its endpoints are bound to a VAPID key, none
    without a signature."""

    def __init__(self, keyed=False):
        super().__init__()
        self._keyed = keyed

    def judge(self, push):
        if self._keyed and "Authorization" not in push.headers:
            return self._refusal(401, 109, "Unauthorized", "Missing VAPID public key")
        if "TTL" not in push.headers:
            return self._refusal(400, 111, "Bad Request", "Missing TTL value")
        if push.body and "Content-Encoding" not in push.headers:
            return self._refusal(400, 110, "Bad Request", "Missing Content-Encoding header")
        return Answer(201, {"TTL": push.headers["TTL"], "Location": f"{self.url}/m/gAAAAABn"})

    @staticmethod
    def _refusal(status, errno, error, message):
        return _json(status, {
            "code": status, "errno": errno, "error": error, "message": message,
            "more_info": "http://autopush.readthedocs.io/en/latest/http.html#error-codes"})


def _json(status, body):
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(body).encode())
