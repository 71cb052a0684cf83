"""FastCGI, as far as a web server speaks it to a responder."""
import struct

BEGIN_SIZE = 16


def _record(kind, content):
    """Of request 1."""
    return struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content


def request(**parameters):
    """BEGIN_REQUEST as responder (BEGIN_SIZE bytes), the parameters, and an empty body."""
    pairs = b"".join(bytes([len(name), len(value)]) + name.encode() + value.encode()
                     for name, value in parameters.items())
    return (_record(1, struct.pack(">HB5x", 1, 0)) + _record(4, pairs) + _record(4, b"") +
            _record(5, b""))
