#!/usr/bin/python3
"""provider: a distributor, or Google, in a process of its own, that fails as it is told.

    provider.py distributor HOST PORT
    provider.py google DIRECTORY

Prints `READY URL`, then a line `[time, endpoint or token, status]` for each push, in seconds of the
monotonic clock, which all processes share; the status is null where it was given no answer. On
stdin comes how it is to behave, a word a line, and is printed when it does:

    well     as the stand-in answers
    errors   500 or 503 to everything
    hiccups  the same, once to each endpoint or token
    stalls   takes requests and answers nothing until it is told another word
    resets   ends each connection without an answer
    down     refuses connections
    revoked  (Google) takes back the access tokens it has given, and goes on as before
"""
import collections
import json
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "standins"))

import google as fcm  # noqa: E402
from certificates import Authority  # noqa: E402
from phone import Phone  # noqa: E402

_printing = threading.Lock()


def tell(*words):
    """One line, whole, whichever thread writes."""
    with _printing:
        print(*words, flush=True)


class Unruly:
    """Before a WebServer that makes the answers when all is well."""

    ERROR = 500, {}, b""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._mood = "well"
        self._released = threading.Event()
        self._hiccuped = collections.Counter()

    def turn(self, mood):
        if mood == "revoked":
            self.revoke_access_tokens()
        else:
            if mood == "down":
                self.stop()
            elif self._mood == "down":
                self.start()
            self._mood = mood
            self._hiccuped.clear()
            self._released.set()
            self._released = threading.Event()
        tell(mood)

    def handle_request(self, method, path, headers, body):
        arrived = time.monotonic()
        target = self.target_of(path, body)
        mood, released = self._mood, self._released
        if mood in ("stalls", "resets"):
            if mood == "stalls":
                released.wait()
            answer = None
        elif mood == "errors" or mood == "hiccups" and not self._hiccuped[target]:
            self._hiccuped[target] += 1
            answer = self.ERROR
        else:
            answer = super().handle_request(method, path, headers, body)
        if target:
            tell(json.dumps([arrived, target, answer[0] if answer else None]))
        return answer


class Distributor(Unruly, Phone):
    @staticmethod
    def target_of(path, _body):
        return path


class Google(Unruly, fcm.Google):
    ERROR = fcm.UNAVAILABLE.code, {"Content-Type": "application/json"}, json.dumps(
        fcm.UNAVAILABLE.body).encode()

    @staticmethod
    def target_of(path, body):
        """None for a request for an access token."""
        return json.loads(body)["message"]["token"] if path.endswith(":send") else None


def main(kind, place, port=0):
    if kind == "google":
        certificate, key = Authority(place).issue("google")
        server = Google(place, 0, certificate, key)
    else:
        server = Distributor(int(port), host=place)
    server.start()
    tell(f"READY {server.url}")
    for line in sys.stdin:
        server.turn(line.strip())
    server.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
