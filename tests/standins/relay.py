#!/usr/bin/python3
"""relay: a NIP-01 relay in memory, in a thread of its own, with handles for what relays do wrong.

Alone: `relay.py [PORT [FILE]]` prints `READY ws://127.0.0.1:PORT` and serves until it is
interrupted; FILE keeps what it stores for its next start.
"""
import asyncio
import dataclasses
import http
import json
import secrets
import sys
import threading
import time

import nostr
from loopback import HOST, Port, server_tls

try:
    from websockets.asyncio.server import serve
except ImportError:  # before version 13
    from websockets import serve
from websockets.exceptions import ConnectionClosed

MAX_FRAME = 128 * 1024
MAX_ANSWER = 500
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10  # opcodes of RFC 6455
AUTH_TOLERANCE = 600  # seconds between the clocks of relay and client


def wire_frame(payload, opcode=TEXT, final=True):
    """A WebSocket frame as a server writes it (RFC 6455, 5.2), whatever it holds."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 1 << 16:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return bytes([(0x80 if final else 0) | opcode]) + length + payload


def wire_frames(payload, size, opcode=TEXT):
    """A message in frames of at most so many bytes, one after another."""
    pieces = in_pieces(payload, size)
    return b"".join(wire_frame(piece, 0 if i else opcode, i == len(pieces) - 1)
                    for i, piece in enumerate(pieces))


def in_pieces(data, size):
    return [data[i:i + size] for i in range(0, len(data), size)]


@dataclasses.dataclass
class Auth:
    """What a relay wants of who asks for `kinds` (NIP-42). A REQ for them alone is CLOSED until
    then; out of the answer to any other REQ they are left without a word.

    when        "connect": a challenge with every connection; "req": with every REQ for them that
                is refused; "silent": with every connection, and no REQ is refused
    admits      the pubkeys that may see them, after OK true; None: whoever authenticates
    turns_away  others are not admitted with OK false, instead of CLOSED with restricted:
    challenge   what it sends, in the place of a random one
    refusal     the words of CLOSED to who has not authenticated
    addressees  who is admitted is shown but what is addressed to him, and is not told so
    """

    when: str = "connect"
    kinds: frozenset = frozenset({nostr.GIFT_WRAP})
    admits: frozenset = None
    turns_away: bool = False
    challenge: str = None
    refusal: str = "auth-required: these events are shown to who authenticates"
    addressees: bool = False

    def admits_pubkey(self, pubkey):
        return self.admits is None or pubkey in self.admits

    def guards_all_of(self, filters):
        return all(condition.get("kinds") and self.kinds.issuperset(condition["kinds"])
                   for condition in filters)

    def complaint(self, event, url, challenge):
        """What is wrong with the event of an AUTH, or None."""
        tags = {tag[0]: tag[1] for tag in reversed(event["tags"]) if len(tag) > 1}
        if not nostr.is_valid(event):
            return "bad event id or signature"
        if event["kind"] != nostr.CLIENT_AUTH:
            return "not of kind 22242"
        if abs(event["created_at"] - time.time()) > AUTH_TOLERANCE:
            return "not made just now"
        if tags.get("relay", "").rstrip("/") != url:
            return "made for another relay"
        if challenge is None or tags.get("challenge") != challenge:
            return "not the challenge of this connection"
        return None


def matches(event, condition):
    """NIP-01's filter, `limit` aside: that is of stored events alone."""
    for name, wanted in condition.items():
        if name == "ids" and event["id"] not in wanted:
            return False
        if name == "authors" and event["pubkey"] not in wanted:
            return False
        if name == "kinds" and event["kind"] not in wanted:
            return False
        if name == "since" and event["created_at"] < wanted:
            return False
        if name == "until" and event["created_at"] > wanted:
            return False
        if name.startswith("#") and not any(
                tag[0] == name[1:] and tag[1] in wanted for tag in event["tags"] if len(tag) > 1):
            return False
    return True


class _Connection:
    """A client: what it is subscribed to, and what waits to be sent to it."""

    def __init__(self, number, socket):
        self.number = number
        self.socket = socket
        self.subscriptions = {}
        self.outbox = asyncio.Queue()
        self.segment = None  # how many bytes of a send_wire() go out together
        self.challenge = None
        self.pubkeys = set()  # that have authenticated

    def send(self, *message):
        self.outbox.put_nowait(json.dumps(message, ensure_ascii=False, separators=(",", ":")))

    async def write(self):
        try:
            while True:
                item = await self.outbox.get()
                if not isinstance(item, bytes):
                    await self.socket.send(item)
                    continue
                for piece in in_pieces(item, self.segment or len(item)):
                    self.socket.transport.write(piece)
                    if self.segment:
                        await asyncio.sleep(0.001)
        except ConnectionClosed:
            pass


def _extensions(connection):
    socket = connection.socket
    return getattr(socket, "protocol", socket).extensions


class Relay:
    """Everything public may be called from any thread; start() and stop() as often as wanted:
    port and stored events stay, and events may be stored meanwhile.

    A REQ is answered with no more than `max_answer` stored events, newest first; with as many
    whatever its `limit` where that is ignored. EOSE comes `eose_after` seconds later, never if that
    is None, and never to `limit:0` where that is not answered (nostr-rs-relay). `until` excludes
    its own second where it is exclusive (PyPI's nostr-relay). Messages are compressed if the client
    agrees, and `compression` is not None. An event that clients publish is in the file `journal`
    before they are told so; what is in it at first is stored."""

    def __init__(self, port=0, certificate=None, key=None, check_events=True, auth=None,
                 max_answer=MAX_ANSWER, ignores_limit=False, answers_limit_0=True, eose_after=0,
                 until_is_exclusive=False, compression="deflate", journal=None, document=None):
        self._port = Port(port)
        self._tls = server_tls(certificate, key) if certificate else None
        if self._tls:
            self._tls.sni_callback = self._count_handshake
        self._check_events = check_events
        self._auth = auth
        self._max_answer = max_answer
        self._ignores_limit = ignores_limit
        self._answers_limit_0 = answers_limit_0
        self._eose_after = eose_after
        self._until_is_exclusive = until_is_exclusive
        self._compression = compression
        self._document = document
        self._refusals = []
        self._connections = {}
        self._accepted = 0
        self._changed = threading.Condition()
        self._loop = None
        self._thread = None
        self._halt = None
        self.port = self._port.number
        self.url = f"{'wss' if certificate else 'ws'}://{HOST}:{self.port}"
        self.handshakes = 0  # of TLS, begun
        self.stored = {}
        self._journal = open(journal, "a+", encoding="utf-8") if journal else None
        self._read_journal()
        self.frames = []  # (number of the connection, message) in order of arrival
        self.ended = []  # the names of subscriptions that have been sent EOSE
        self.authenticated = []  # (number of the connection, pubkey) of every AUTH taken

    def _read_journal(self):
        """A last line that was cut short by a kill was never acknowledged."""
        if self._journal:
            self._journal.seek(0)
            whole = [line for line in self._journal if line.endswith("\n")]
            self.stored = {event["id"]: event for event in map(json.loads, whole)}
            self._journal.truncate(sum(len(line.encode()) for line in whole))

    # ---- What a test does to it

    def start(self):
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise RuntimeError("the relay does not start")
        return self

    def stop(self):
        """Dies: connections are cut without a closing handshake, connecting is refused."""
        if self._thread:
            self._loop.call_soon_threadsafe(self._halt.set)
            self._thread.join()
            self._thread = None

    def close(self):
        self.stop()
        self._port.close()
        if self._journal:
            self._journal.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def publish(self, event):
        """Takes an event as from a client: checked, stored, sent to who is subscribed.
        Returns (accepted, message)."""
        return self._call(self._take, event)

    def deliver(self, *events):
        """Sends events to who is subscribed to their like, unchecked and unstored, as often as it
        is called: some relays pass on forgeries and duplicates."""
        self._call(lambda: [self._broadcast(event) for event in events])

    def store(self, *events):
        """Has these events from before: unchecked, and sent to nobody who does not ask."""
        self._call(lambda: self.stored.update({event["id"]: event for event in events}))

    def challenge(self):
        """Challenges every connection once more; the challenge before is void."""
        self._call(lambda: [self._challenge(c, anew=True) for c in self._connections.values()])

    def refuse_reqs(self, reason, times=1):
        """Answers the next REQs, after those that are to be refused by now, with CLOSED for this
        reason; None lets them through."""
        self._call(self._refusals.extend, [reason] * times)

    def close_subscriptions(self, reason):
        """Ends every subscription with CLOSED for this reason."""
        self._call(self._end_subscriptions, reason)

    def send_message(self, *message):
        """Sends ["EVENT", ...] or whatever it is to every connection, as it is."""
        self._call(lambda: [c.send(*message) for c in self._connections.values()])

    def send_raw(self, text):
        """Sends one frame to every connection, or from a list of texts one message in as many
        frames; for frames that no relay should send."""
        self._call(lambda: [c.outbox.put_nowait(text) for c in self._connections.values()])

    def send_wire(self, data, segment=None):
        """Writes wire_frame()s or any bytes to every connection, never compressed; so many bytes at
        a time, a millisecond between them, where a segment is given."""
        def send():
            for connection in self._connections.values():
                connection.segment = segment
                connection.outbox.put_nowait(data)
        self._call(send)

    def kill_connections(self):
        self._call(self._abort)

    def wait_until(self, condition, timeout=10):
        """Waits until condition(self) holds, asking again whenever a client did something."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), timeout):
                raise TimeoutError(f"the relay waited in vain; it received {self.frames}")

    def reqs(self):
        """Every REQ received so far, in order."""
        return [message for _, message in list(self.frames) if message[0] == "REQ"]

    def wait_for_req(self, n=1, timeout=10):
        """Waits for the n-th REQ since the relay was made; its subscription is in force then."""
        self.wait_until(lambda _: len(self.reqs()) >= n, timeout)
        return self.reqs()

    def clear_frames(self):
        with self._changed:
            self.frames.clear()

    @property
    def connections(self):
        return len(self._connections)

    @property
    def accepted(self):
        """How many connections there have ever been."""
        return self._accepted

    @property
    def compresses(self):
        """Whether every client there is takes compressed messages (RFC 7692)."""
        return all(any(extension.name == "permessage-deflate" for extension in extensions)
                   for extensions in map(_extensions, list(self._connections.values())))

    # ---- In the relay's own thread

    async def _run(self, ready):
        self._loop = asyncio.get_running_loop()
        self._halt = asyncio.Event()
        async with serve(self._serve, HOST, self.port, ssl=self._tls, max_size=MAX_FRAME,
                         close_timeout=1, compression=self._compression,
                         process_request=self._describe):
            ready.set()
            await self._halt.wait()
            self._abort()

    async def _describe(self, first, second):
        """The document, in place of an upgrade; before version 13 the headers come second, and then
        the request does."""
        headers = getattr(second, "headers", second)
        if self._document is None or headers.get("Accept") != "application/nostr+json":
            return None
        if hasattr(first, "respond"):
            return first.respond(http.HTTPStatus.OK, self._document)
        return http.HTTPStatus.OK, [], self._document.encode()

    def _call(self, function, *arguments):
        if not self._thread:
            return function(*arguments)

        async def run():
            return function(*arguments)
        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def _abort(self):
        for connection in self._connections.values():
            connection.socket.transport.abort()

    async def _serve(self, socket):
        self._accepted += 1
        connection = _Connection(self._accepted, socket)
        self._note(lambda: self._connections.update({connection.number: connection}))
        if self._auth and self._auth.when != "req":
            self._challenge(connection)
        writer = asyncio.ensure_future(connection.write())
        try:
            async for text in socket:
                message = self._receive(connection, text)
                self._note(lambda: self.frames.append((connection.number, message)))
        except ConnectionClosed:
            pass
        finally:
            writer.cancel()
            self._note(lambda: self._connections.pop(connection.number))

    def _count_handshake(self, *_):
        with self._changed:
            self.handshakes += 1
            self._changed.notify_all()

    def _note(self, change):
        with self._changed:
            change()
            self._changed.notify_all()

    def _receive(self, connection, text):
        try:
            message = json.loads(text)
            match message:
                case ["EVENT", dict(event)]:
                    accepted, reason = self._take(event)
                    connection.send("OK", str(event.get("id", "")), accepted, reason)
                case ["REQ", str(name), *filters] if filters:
                    self._subscribe(connection, name, filters)
                case ["CLOSE", str(name)]:
                    connection.subscriptions.pop(name, None)
                case ["AUTH", dict(event)] if self._auth:
                    self._authenticate(connection, event)
                case _:
                    connection.send("NOTICE", "invalid: not a message of NIP-01")
            return message if isinstance(message, list) and message else ["?", text]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            connection.send("NOTICE", f"invalid: {error}")
            return ["?", text]

    def _take(self, event):
        if self._check_events and not nostr.is_valid(event):
            return False, "invalid: bad event id or signature"
        if event["id"] in self.stored:
            return True, "duplicate: already have this event"
        if not 20000 <= event["kind"] < 30000:
            self.stored[event["id"]] = event
            if self._journal:
                print(json.dumps(event), file=self._journal, flush=True)
        self._broadcast(event)
        return True, ""

    def _broadcast(self, event):
        for connection in self._connections.values():
            for name, filters in connection.subscriptions.items():
                if self._may_see(connection, event) and any(
                        matches(event, condition) for condition in filters):
                    connection.send("EVENT", name, event)

    def _subscribe(self, connection, name, filters):
        refusal = self._refusals.pop(0) if self._refusals else self._refusal(connection, filters)
        if refusal:
            connection.subscriptions.pop(name, None)
            connection.send("CLOSED", name, refusal)
            return
        found = {}
        newest_first = sorted(self.stored.values(), key=lambda e: (-e["created_at"], e["id"]))
        for condition in filters:
            limit = min(condition.get("limit", self._max_answer), self._max_answer)
            if self._ignores_limit:
                limit = self._max_answer
            hits = [event for event in newest_first
                    if matches(event, condition) and self._may_see(connection, event)
                    and not (self._until_is_exclusive
                             and event["created_at"] == condition.get("until"))]
            found.update({event["id"]: event for event in hits[:limit]})
        connection.subscriptions[name] = filters
        for event in sorted(found.values(), key=lambda e: (-e["created_at"], e["id"])):
            connection.send("EVENT", name, event)
        if self._answers_limit_0 or any(condition.get("limit") != 0 for condition in filters):
            self._end_stored(connection, name)

    def _end_stored(self, connection, name):
        def end():
            connection.send("EOSE", name)
            self._note(lambda: self.ended.append(name))
        if self._eose_after == 0:
            end()
        elif self._eose_after is not None:
            self._loop.call_later(self._eose_after, end)

    def _end_subscriptions(self, reason):
        for connection in self._connections.values():
            for name in connection.subscriptions:
                connection.send("CLOSED", name, reason)
            connection.subscriptions.clear()

    # ---- Authentication

    def _challenge(self, connection, anew=False):
        if anew or connection.challenge is None:
            connection.challenge = self._auth.challenge or secrets.token_hex(16)
        connection.send("AUTH", connection.challenge)

    def _authenticate(self, connection, event):
        complaint = self._auth.complaint(event, self.url, connection.challenge)
        if complaint:
            connection.send("OK", str(event.get("id", "")), False, f"invalid: {complaint}")
        elif self._auth.turns_away and not self._auth.admits_pubkey(event["pubkey"]):
            connection.send("OK", event["id"], False, "restricted: you are not a member")
        else:
            connection.pubkeys.add(event["pubkey"])
            self.authenticated.append((connection.number, event["pubkey"]))
            connection.send("OK", event["id"], True, "")

    def _is_admitted(self, connection):
        return any(self._auth.admits_pubkey(pubkey) for pubkey in connection.pubkeys)

    def _may_see(self, connection, event):
        if not self._auth or event["kind"] not in self._auth.kinds:
            return True
        if self._auth.addressees:
            return any(["p", pubkey] in event["tags"] for pubkey in connection.pubkeys)
        return self._is_admitted(connection)

    def _refusal(self, connection, filters):
        """Why a REQ is not answered, or None."""
        if (not self._auth or self._auth.when == "silent" or not self._auth.guards_all_of(filters)
                or self._is_admitted(connection)):
            return None
        if connection.pubkeys:
            return "restricted: you are not a member"
        if self._auth.when == "req":
            self._challenge(connection)
        return self._auth.refusal


def main(port=0, journal=None):
    with Relay(int(port), journal=journal) as relay:
        print(f"READY {relay.url}", flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
