"""operators_address: asks the operator's private address, a Unix socket or an http URL that leads
to it. Whatever answers there, and however slowly, is bounded. Standard library only."""
import http.client
import io
import json
import re
import socket
import time
import urllib.parse

SECONDS = 5  # for a whole answer
MOST_BYTES = 4 << 20
READY, METRICS = "/api/ready", "/api/metrics"


class Away(Exception):
    """Nobody answers there, or nothing that makes sense; says why in a few words."""


class _Bytes:
    """An answer that has come, for http.client to read."""

    def __init__(self, data):
        self._data = data

    def makefile(self, *_):
        return io.BytesIO(self._data)


class Address:
    """ValueError where the text is no address."""

    def __init__(self, text):
        self.text = text
        self._path, self._host, self._port = None, "localhost", None
        if "://" not in text:
            self._path = text
            return
        url = urllib.parse.urlsplit(text)
        # Reading the port may raise, too.
        if url.scheme != "http" or not url.hostname or url.path.strip("/") or url.query:
            raise ValueError("not a path and not http://HOST[:PORT]")
        self._host, self._port = url.hostname, url.port or 80

    def get(self, path):
        """(status, text); Away."""
        deadline = time.monotonic() + SECONDS
        try:
            with self._connect() as connection:
                data = self._exchange(connection, path, deadline)
        except TimeoutError:
            raise Away(f"no answer within {SECONDS} s") from None
        except OSError as error:
            raise Away((error.strerror or str(error)).lower()) from None
        response = http.client.HTTPResponse(_Bytes(data), method="GET")
        try:
            response.begin()
            return response.status, response.read().decode("utf-8", "replace")
        except (http.client.HTTPException, ValueError):
            raise Away("what answers there is no web server") from None

    def _connect(self):
        if self._path is None:
            return socket.create_connection((self._host, self._port), SECONDS)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(SECONDS)
        try:
            connection.connect(self._path)
        except OSError:
            connection.close()
            raise
        return connection

    def _exchange(self, connection, path, deadline):
        """All that comes until the other side closes."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                           .encode())
        data = bytearray()
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
            piece = connection.recv(65536)
            if not piece:
                return bytes(data)
            data += piece
            if len(data) > MOST_BYTES:
                raise Away("the answer is too long")

    def readiness(self):
        """(whether it is ready, what needs the operator or "")."""
        status, text = self.get(READY)
        try:
            told = json.loads(text)
            ready, reason = told["status"] == "ready", told.get("reason", "")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Away(f"HTTP status {status} for {READY}") from None
        return ready and status == 200, printable(reason) if isinstance(reason, str) else ""

    def metrics(self):
        status, text = self.get(METRICS)
        if status == 404:
            raise Away("this is not the operator's address: no metrics there")
        if status != 200:
            raise Away(f"HTTP status {status} for {METRICS}")
        return text


def printable(text):
    """What a terminal may be shown, whoever wrote it."""
    return re.sub(r"[^ -~]", "?", text)[:1000]
