"""loopback: what the stand-ins share: a port that stays theirs, and a small HTTP server on it."""
import socket
import ssl
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"


class Port:
    """A loopback port that nobody else can take, whether or not its owner listens on it just now.

    The socket held here is bound and never listens, so connecting is refused until a server that
    sets SO_REUSEADDR (they all do) binds the same port and listens. Linux hands a port bound like
    this to no other bind(0) and to no connect()."""

    def __init__(self, number=0, host=HOST):
        self._socket = socket.socket()
        if number:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, number))
        # After the bind: one to port 0 with it set could be given another holder's port.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.number = self._socket.getsockname()[1]

    def close(self):
        self._socket.close()


def server_tls(certificate, key):
    """A server's side of TLS, with files in PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    tls = None

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._open = set()
        self._open_lock = threading.Lock()

    def finish_request(self, request, client_address):
        """Runs in the connection's own thread, so a client that stalls in TLS holds up nobody."""
        if self.tls:
            request = self.tls.wrap_socket(request, server_side=True)
        with self._open_lock:
            self._open.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            with self._open_lock:
                self._open.discard(request)
            request.close()

    def handle_error(self, request, client_address):
        """Clients that go away are no news: tests kill them."""

    def cut_connections(self):
        with self._open_lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class WebServer:
    """HTTP/1.1 with keep-alive on a loopback port, in threads of its own.

    A subclass gives handle_request(method, path, headers, body) -> (status, headers, body), which
    is called from a thread a connection; None is no answer, the connection is reset."""

    def __init__(self, port=0, certificate=None, key=None, host=HOST):
        self._host = host
        self._port = Port(port, host)
        self._tls = server_tls(certificate, key) if certificate else None
        self._server = None
        self._thread = None
        self.port = self._port.number
        self.url = f"{'https' if certificate else 'http'}://{host}:{self.port}"

    def handle_request(self, method, path, headers, body):
        raise NotImplementedError

    def start(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # One segment an answer: with Nagle's algorithm two would wait for a delayed ACK.
            wbufsize = -1

            def respond(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                reply = outer.handle_request(self.command, self.path, self.headers, body)
                if reply is None:
                    self.reset()
                    return
                status, headers, answer = reply
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def reset(self):
                """Closed with nothing lingering, the socket sends RST in the place of FIN."""
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                           struct.pack("ii", 1, 0))
                self.close_connection = True

            do_GET = do_POST = do_PUT = do_DELETE = respond

            def log_message(self, *_):
                pass

        self._server = _Server((self._host, self.port), Handler)
        self._server.tls = self._tls
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,),
                                        daemon=True)
        self._thread.start()
        return self

    def stop(self):
        """From here on connecting is refused; start() begins anew on the same port."""
        if self._server:
            self._server.shutdown()
            self._thread.join()
            self._server.socket.close()
            self._server.cut_connections()
            self._server = None

    def close(self):
        self.stop()
        self._port.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()


class Proxy:
    """Passes bytes on, both ways, until it is told to keep them, or those of the connections that
    there are by then: they are heard of no more."""

    def __init__(self, port):
        self._port = port
        self._server = socket.create_server((HOST, 0))
        self._open = threading.Event()
        self._open.set()
        self._swallowed = 0  # of the connections, the first so many
        self._sockets = []
        self.accepted = 0
        self.port = self._server.getsockname()[1]
        self.url = f"ws://{HOST}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._open.set()
        for one in (self._server, *self._sockets):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()

    def pause(self):
        self._open.clear()

    def resume(self):
        self._open.set()

    def swallow(self):
        self._swallowed = self.accepted

    def _accept(self):
        while True:
            try:
                near = self._server.accept()[0]
                far = socket.create_connection((HOST, self._port))
            except OSError:
                return
            self._sockets += [near, far]
            self.accepted += 1
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(one, other, self.accepted),
                                 daemon=True).start()

    def _pass_on(self, one, other, number):
        try:
            while data := one.recv(65536):
                self._open.wait()
                if number > self._swallowed:
                    other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
