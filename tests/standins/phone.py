#!/usr/bin/python3
"""phone: a UnifiedPush distributor and the phones behind it: records pushes, answers as told.

Alone: `phone.py [PORT]` prints `READY http://127.0.0.1:PORT/...`, an endpoint URL that a phone
could register (every other path is an endpoint too), then each push as one line of JSON.
"""
import collections
import dataclasses
import json
import queue
import secrets
import sys
import threading
import time

from loopback import WebServer


@dataclasses.dataclass
class Answer:
    """What a push gets: after `delay` seconds and once `gate` (a threading.Event) is set."""
    status: int = 201
    headers: dict = dataclasses.field(default_factory=dict)
    body: bytes = b""
    delay: float = 0
    gate: threading.Event | None = None


@dataclasses.dataclass
class Push:
    method: str
    path: str
    headers: dict
    body: bytes
    arrived: float

    @property
    def json(self):
        return json.loads(self.body)


class Phone(WebServer):
    """Every path is one device's endpoint."""

    def __init__(self, port=0, certificate=None, key=None, **options):
        super().__init__(port, certificate, key, **options)
        self._answers = collections.defaultdict(collections.deque)
        self._lock = threading.Lock()
        self._arrived = queue.Queue()
        self.pushes = []

    def endpoint(self):
        """A new device's endpoint URL: long and not to be guessed, as real ones are."""
        return f"{self.url}/{self.path()}"

    @staticmethod
    def path():
        return f"push/{secrets.token_urlsafe(24)}?up=1"

    def answer(self, endpoint, answers):
        """The next pushes to `endpoint` (URL or path) get these (statuses or Answers), then 201."""
        path = endpoint.removeprefix(self.url)
        with self._lock:
            self._answers[path].extend(
                Answer(one) if isinstance(one, int) else one for one in answers)

    def next_push(self, timeout=10):
        """The next push that has arrived, in order; queue.Empty when none does in time."""
        return self._arrived.get(timeout=timeout)

    def judge(self, push):
        """The answer to a push that no test has foreseen; called for one at a time."""
        return Answer()

    def handle_request(self, method, path, headers, body):
        push = Push(method, path, dict(headers.items()), body, time.time())
        with self._lock:
            answers = self._answers[path]
            answer = answers.popleft() if answers else self.judge(push)
            self.pushes.append(push)
        self._arrived.put(push)
        if answer.gate:
            answer.gate.wait(60)
        if answer.delay:
            time.sleep(answer.delay)
        return answer.status, answer.headers, answer.body


def main(port):
    with Phone(port) as phone:
        print(f"READY {phone.endpoint()}", flush=True)
        while True:
            push = phone.next_push(timeout=None)
            print(json.dumps({
                "arrived": push.arrived,
                "method": push.method,
                "path": push.path,
                "headers": push.headers,
                "body": push.body.decode(errors="replace"),
            }), flush=True)


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    except KeyboardInterrupt:
        pass
