#!/bin/bash
# libfcgi refuses a second request on a busy FastCGI connection, as it may, and then loses a piece
# of the first one's body: a hole in the midst of it, and no error.
#
# FastCGI lets a web server send several requests on one connection, told apart by their ids. A
# responder that cannot do that answers the second FCGI_BEGIN_REQUEST with FCGI_CANT_MPX_CONN. One
# expects it to drop what else comes for the refused id, which the server sent before it could
# know. libfcgi drops that, but after an empty record of it, such as ends a request's parameters
# or its body, the next record goes too, whose ever it is. If that is a piece of the first one's
# body, FCGX_GetStr returns the body without it, FCGX_GetError says 0, and the responder answers a
# request that nobody sent.
#
# So a responder on libfcgi should compare the number of bytes that it has read with
# CONTENT_LENGTH, where that is a number.
#
# Seen on 2026-11-27 with Debian 12's libfcgi 2.4.2-2+deb12u1, a responder that reads STDIN to its
# end, and a client that sends "abcde", with a CONTENT_LENGTH of 5, in a record for each letter:
#
#   alone: read 5 "abcde", error 0
#   the beginning of a second one after a: refused with 1; read 5 "abcde", error 0
#   all of a second one after a: refused with 1; read 4 "acde", error 0
#   all of a second one before a: refused with 1; read 4 "bcde", error 0
#   all of a second one after a, sent at once: refused with 1; read 4 "acde", error 0
#
# Takes some seconds. Needs apt-get with package lists, gcc and python3; installs nothing: the
# packages are unpacked into a temporary folder. The responder listens on a Unix socket there.
set -euo pipefail

work=$(mktemp -d)
responder=
finish() {
    [[ ! $responder ]] || kill "$responder" 2>/dev/null || true
    wait
    rm -rf -- "$work"
}
trap finish EXIT

(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download \
    libfcgi-dev=2.4.2-2+deb12u1 libfcgi0ldbl=2.4.2-2+deb12u1) || {
    echo 'could not be run: Debian does not offer libfcgi 2.4.2-2+deb12u1' >&2
    exit 2
}
for package in "$work"/*.deb; do
    dpkg-deb -x "$package" "$work/root"
done

cat >"$work/responder.c" <<'END'
#include <fcgiapp.h>

int main(int argc, char **argv)
{
    FCGX_Request request;
    int listener;

    if (argc != 2 || FCGX_Init() != 0 || (listener = FCGX_OpenSocket(argv[1], 16)) < 0 ||
        FCGX_InitRequest(&request, listener, 0) != 0)
        return 1;
    while (FCGX_Accept_r(&request) == 0) {
        char body[101];
        int size = FCGX_GetStr(body, sizeof(body) - 1, request.in);

        body[size] = '\0';
        FCGX_FPrintF(request.out, "Content-Type: text/plain\r\n\r\nread %d \"%s\", error %d", size,
                     body, FCGX_GetError(request.in));
        FCGX_Finish_r(&request);
    }
    return 0;
}
END
library=$(find "$work/root" -name libfcgi.so.0)
gcc -Wall -Wextra -I"$(dirname "$(find "$work/root" -name fcgiapp.h)")" \
    -Wl,-rpath,"$(dirname "$library")" -o "$work/responder" "$work/responder.c" "$library"
"$work/responder" "$work/responder.sock" &
responder=$!
for ((i = 0; i < 100; i++)); do
    [[ ! -S $work/responder.sock ]] || break
    sleep 0.1
done

cat >"$work/look.py" <<'END'
import socket, struct, sys, time

BEGIN, END, PARAMS, STDIN, STDOUT = 1, 3, 4, 5, 6


def record(kind, ident, content=b""):
    return struct.pack(">BBHHBx", 1, kind, ident, len(content), 0) + content


def pair(name, value):
    return bytes([len(name), len(value)]) + name + value


def begin(ident):
    return record(BEGIN, ident, struct.pack(">HB5x", 1, 1))  # a responder, connection kept


def params(ident):
    return (record(PARAMS, ident, pair(b"REQUEST_METHOD", b"POST") + pair(b"CONTENT_LENGTH", b"5"))
            + record(PARAMS, ident))


def ask(words, *pieces):
    """Sends the pieces, and tells what came until request 1 was over."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(sys.argv[1])
    for piece in pieces:
        client.sendall(piece)
        time.sleep(0.5)
    refused, answer = "", b""
    with client, client.makefile("rb") as stream:
        while True:
            _, kind, ident, size, padding = struct.unpack(">BBHHBx", stream.read(8))
            content = stream.read(size + padding)[:size]
            if kind == STDOUT:
                answer += content
            elif kind == END and ident == 2:
                refused = f"refused with {content[4]}; "
            elif kind == END:
                break
    body = answer.decode().split("\r\n\r\n", 1)[1]
    print(f"{words}: {refused}{body}")


def letters(text):
    return b"".join(record(STDIN, 1, bytes([letter])) for letter in text)


first = begin(1) + params(1)
second = begin(2) + params(2) + record(STDIN, 2, b"other") + record(STDIN, 2)
rest = letters(b"bcde") + record(STDIN, 1)
ask("alone", first + letters(b"a"), rest)
ask("the beginning of a second one after a", first + letters(b"a"), begin(2), rest)
ask("all of a second one after a", first + letters(b"a"), second, rest)
ask("all of a second one before a", first, second, letters(b"a") + rest)
ask("all of a second one after a, sent at once", first + letters(b"a") + second + rest)
END
python3 "$work/look.py" "$work/responder.sock" >"$work/seen"

cat "$work/seen"
# The indented lines of this file's header are what is expected.
if ! diff <(sed -n 's/^#   //p' "$0") "$work/seen" >"$work/differs"; then
    echo "CHANGED: not what this file's header tells (<); seen now (>):"
    cat "$work/differs"
    exit 1
fi
echo 'as told'
