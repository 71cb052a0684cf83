"""FastCGI, as far as a web server speaks it to a responder."""
import struct

BEGIN_SIZE = 16
END_REQUEST, STDOUT = 3, 6  # kinds of records


def _record(kind, content):
    """Of request 1."""
    return struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content


def request(*pairs, body=b"", **parameters):
    """BEGIN_REQUEST as responder (BEGIN_SIZE bytes), the parameters, and the body; `pairs` are
    (name, value), for names that come more than once."""
    told = b"".join(bytes([len(name), len(value)]) + name.encode() + value.encode()
                    for name, value in [*parameters.items(), *pairs])
    return (_record(1, struct.pack(">HB5x", 1, 0)) + _record(4, told) + _record(4, b"") +
            (_record(5, body) if body else b"") + _record(5, b""))


def kept(told):
    """The same request, with the wish that its connection stay open."""
    flags = 10  # of BEGIN_REQUEST, behind its header and the role
    return told[:flags] + b"\1" + told[flags + 1:]


def _read(connection, size):
    """So many bytes, not fewer."""
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        assert more, f"the end after {len(data)} of {size} bytes"
        data += more
    return data


def answer(connection):
    """What the responder says to the request at hand, up to END_REQUEST."""
    said = b""
    while True:
        kind, size, padding = struct.unpack(">xB2xHBx", _read(connection, 8))
        content = _read(connection, size + padding)[:size]
        if kind == END_REQUEST:
            return said
        said += content if kind == STDOUT else b""


def status(connection):
    """The HTTP status of the answer to it; returns when the responder has said all."""
    answer = b"".join(iter(lambda: connection.recv(65536), b""))
    size = struct.unpack_from(">H", answer, 4)[0]
    return int(answer[8:8 + size].split()[1])
