"""redis_server: a redis-server as redis-handover sees it: its process, its configuration, a
connection to it, and the way on which another copies it. Standard library only."""
import contextlib
import glob
import os
import select
import socket
import struct
import subprocess
import threading

REPLY_SECONDS = 5
NEW, CONTROL = ".new", ".handover"  # what is put behind the name of its socket


class Failed(Exception):
    """Told to the operator; the old Redis serves as before."""


class RedisError(Exception):
    """An error reply."""


class Redis:
    """A connection to a Unix socket; OSError when it breaks or nothing comes."""

    def __init__(self, path, login=(None, None)):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(REPLY_SECONDS)
        self._socket.connect(path)
        self._file = self._socket.makefile("rb")
        user, password = login
        if password:
            self.call("AUTH", *([user] if user else []), password)

    @property
    def pid(self):
        """Of the process that listens there."""
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return struct.unpack("3i", credentials)[0]

    def call(self, *words):
        command = [b"*%d\r\n" % len(words)]
        for word in words:
            word = str(word).encode(errors="surrogateescape")
            command.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self._socket.sendall(b"".join(command))
        reply = self._read()
        if isinstance(reply, RedisError):
            raise reply
        return reply

    def _read(self):
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis has closed the connection")
        kind, rest = line[:1], line[1:-2].decode(errors="surrogateescape")
        if kind == b"-":
            return RedisError(rest)
        if kind == b":":
            return int(rest)
        if kind == b"*":
            return [self._read() for _ in range(int(rest))]
        if kind == b"$" and rest != "-1":
            return self._file.read(int(rest) + 2)[:-2].decode(errors="surrogateescape")
        return None if kind == b"$" else rest

    def info(self, section):
        lines = (line.partition(":") for line in self.call("INFO", section).splitlines())
        return {name: value for name, colon, value in lines if colon}

    def config(self, *names):
        # One by one: 7.0 was the first to take several.
        return {name: (self.call("CONFIG", "GET", name) or [None, ""])[1] for name in names}

    def offset(self):
        role = self.call("ROLE")
        return role[1] if role[0] == "master" else role[4]

    def version(self):
        server = self.info("server")
        if "valkey_version" in server:
            return f"Valkey {server['valkey_version']}"
        return f"Redis {server['redis_version']}"

    def close(self):
        self._file.close()
        self._socket.close()


def serving(path, login=(None, None)):
    """A connection to the Redis that serves there, or None where nobody does."""
    try:
        return Redis(path, login)
    except (FileNotFoundError, ConnectionRefusedError):
        return None


def directives(path, found=None):
    """The last value of every directive of a configuration and of what it includes."""
    found = {} if found is None else found
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            name, _, value = line.strip().partition(" ")
            value = value.strip().strip("\"'")
            if name.lower() == "include":
                for each in sorted(glob.glob(value)):
                    directives(each, found)
            elif name and not name.startswith("#"):
                found[name.lower()] = value
    return found


def socket_of(config):
    try:
        path = directives(config).get("unixsocket")
    except OSError as error:
        raise Failed(f"{config}: {error.strerror}") from None
    if not path:
        raise Failed(f"{config} names no unixsocket")
    if len(os.fsencode(path + CONTROL)) > 107:
        raise Failed(f"the path of the socket is too long: {path}")
    return path


def quoted(text):
    """As a word of a configuration."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in os.fsencode(text)) + '"'


def start(program, config, overrides=None):
    """A redis-server. `overrides` are on its standard input, where no other user sees them."""
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("NOTIFY_SOCKET", "REDISCLI_AUTH")}
    command = [program, config]
    if overrides is None:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)
    process = subprocess.Popen([*command, "-"], stdin=subprocess.PIPE, env=environment)
    with contextlib.suppress(BrokenPipeError), process.stdin:  # it has ended, as will be seen
        process.stdin.write(overrides.encode(errors="surrogateescape"))
    return process


def has_ended(pidfd, seconds=0):
    """All of its threads, so that its ports are free."""
    return bool(select.select([pidfd], [], [], seconds)[0])


# ---- The way of the copy -------------------------------------------------------------------------

class Relay(threading.Thread):
    """Leads replication, which knows TCP alone, to the old one's Unix socket: a port on loopback
    that serves connections of this process's own user, of whom the kernel tells, and no others."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.ended = False  # the new one has had connections, and was without any since
        self.bytes = 0
        self._open = []
        self._serving = 0
        self._lock = threading.Lock()

    def run(self):
        try:
            while True:
                client, address = self._listener.accept()
                if self._is_ours(address[1]):
                    with self._lock:
                        self._serving += 1
                    threading.Thread(target=self._serve, args=(client,), daemon=True).start()
                else:
                    client.close()
        except OSError:
            pass  # close()

    def _is_ours(self, port):
        ends = f"0100007F:{port:04X}", f"0100007F:{self.port:04X}"
        with open("/proc/net/tcp", encoding="ascii") as table:
            for line in table:
                _, local, remote, _, _, _, _, uid, *_ = line.split()
                if (local, remote) == ends:
                    return int(uid) == os.geteuid()
        return False

    def _serve(self, client):
        try:
            with client, socket.socket(socket.AF_UNIX) as server:
                server.connect(self._path)
                self._open += [client, server]
                self._pump({client: server, server: client})
        except OSError:
            pass
        # Redis 8.0 copies on a connection of its own, which ends while the new one still loads.
        with self._lock:
            self._serving -= 1
            self.ended |= self._serving == 0

    def _pump(self, other):
        while True:
            for end in select.select(list(other), [], [])[0]:
                data = end.recv(1 << 18)
                if not data:
                    return
                other[end].sendall(data)
                self.bytes += len(data)

    def close(self):
        for each in (self._listener, *self._open):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._listener.close()
