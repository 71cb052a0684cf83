"""raw_relay: a relay that stores and checks nothing, and sends bytes as fast as they are read."""
import base64
import hashlib
import json
import re
import socket
import threading

import nostr
from loopback import HOST


def frame(text):
    """A text frame of a server (RFC 6455, 5.2)."""
    payload = text.encode()
    if len(payload) < 126:
        return bytes([0x81, len(payload)]) + payload
    return b"\x81\x7e" + len(payload).to_bytes(2, "big") + payload


class RawRelay:
    """One client after another; says EOSE to every REQ."""

    def __init__(self):
        self._server = socket.create_server((HOST, 0))
        self._socket = None
        self._sending = threading.Lock()
        self._live = threading.Event()
        self.url = f"ws://{HOST}:{self._server.getsockname()[1]}"
        self.subscription = None  # the id of the REQ for live gift wraps
        threading.Thread(target=self._run, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Both, for close() alone does not wake the threads that wait.
        for one in (self._server, self._socket):
            if one:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                one.close()

    def wait_until_live(self, timeout=20):
        """Until a client has asked for two kinds."""
        if not self._live.wait(timeout):
            raise TimeoutError("nobody subscribes")

    def send(self, frames):
        """Returns when the client, or what is between, has taken them."""
        with self._sending:
            self._socket.sendall(frames)

    def event_frame(self, event):
        return frame(json.dumps(["EVENT", self.subscription, event], separators=(",", ":")))

    def _run(self):
        while True:
            try:
                self._socket = self._server.accept()[0]
            except OSError:
                return
            try:
                self._serve()
            except OSError:
                pass

    def _serve(self):
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = b""
        while b"\r\n\r\n" not in request:
            request += self._socket.recv(65536)
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)[1]
        accept = base64.b64encode(
            hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        self._socket.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                             b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept +
                             b"\r\n\r\n")
        asked = 0
        for message in self._messages():
            if message[0] != "REQ":
                continue
            if message[2]["kinds"] == [nostr.GIFT_WRAP] and "since" not in message[2]:
                self.subscription = message[1]
            self.send(frame(json.dumps(["EOSE", message[1]])))
            asked += 1
            if asked == 2:
                self._live.set()

    def _messages(self):
        """What the client says; its pings are answered."""
        stream = self._socket.makefile("rb")
        while head := stream.read(2):
            size = head[1] & 127
            if size == 126:
                size = int.from_bytes(stream.read(2), "big")
            mask = stream.read(4)
            text = bytes(byte ^ mask[i % 4] for i, byte in enumerate(stream.read(size)))
            if head[0] & 15 == 1:
                yield json.loads(text)
            elif head[0] & 15 == 9:
                self.send(bytes([0x8a, len(text)]) + text)
