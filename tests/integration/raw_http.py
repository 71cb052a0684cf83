"""raw_http: requests as bytes, for what no client library would send; the answers that the workers
give, and which address a request was counted for."""
import http.client
import os
import socket

from loopback import HOST
from stack import Answer

NOT_FOUND = '{"success":false,"message":"not found"}'
BAD_JSON = '{"success":false,"message":"Invalid JSON body"}'
BAD_PUBKEY = ('{"success":false,'
              '"message":"Invalid trade_pubkey format (expected 64 hex characters)"}')
TOO_LARGE = '{"success":false,"message":"Request body too large"}'
ACCEPTED = '{"accepted":true}'
KEY = "ab" * 32


def wake():
    """The body of a notify for a pubkey of its own, always of the same length."""
    return b'{"trade_pubkey":"%s"}' % os.urandom(32).hex().encode()


BODY = wake()


def send(stack, *pieces, method="POST", client=None, operator=False, end=False):
    """Bytes as they are, each piece once the last has been taken by the kernel; the first answer
    that is not 100, or None where the connection is closed without one."""
    with stack.connect(client, operator) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            if end:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before it was all there
        return receive(connection, method)


def receive(connection, method="POST"):
    response = http.client.HTTPResponse(connection, method=method)
    try:
        response.begin()
    except (http.client.BadStatusLine, ConnectionResetError):
        return None
    return Answer(response.status, response.getheaders(), response.read().decode())


def head(path="/api/notify", *lines, method="POST", host=HOST):
    """A request's head; `Connection: close`, so that an answer's end is its end."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close",
             "Content-Type: application/json", *lines, "", ""]
    return "\r\n".join(lines).encode()


def check(answer, status, body):
    assert (answer.status, answer.body) == (status, body)
    assert answer.header("Content-Type") == "application/json"


def check_web_servers_own(answer):
    """No answer, or a refusal that is not the workers'."""
    assert answer is None or (400 <= answer.status < 600 and "success" not in answer.body), answer


def padded(size):
    text = wake()[:-1] + b',"token":"t","platform":"ios"}'
    return text + b" " * (size - len(text))


def spent(stack, *lines, client=None):
    """The one address bucket that a notify with these header lines spends."""
    def buckets():
        return list(stack.redis.scan_iter("mostro:limit:notify:ip:*"))
    for bucket in buckets():
        stack.redis.delete(bucket)
    body = wake()
    answer = send(stack, head("/api/notify", f"Content-Length: {len(body)}", *lines), body,
                  client=client)
    assert answer.status == 202
    [bucket] = buckets()
    return bucket
