#!/bin/bash
# A chunked request without a byte of body reaches a FastCGI responder behind HAProxy without the
# end of its body: the responder waits for it until HAProxy gives up.
#
# FCGI_STDIN is a stream: a web server ends it with an empty record, also where nothing was in it
# (FastCGI specification, 3.3 and 6.2). HAProxy does so for a GET and for `Content-Length: 0`. For
# `Transfer-Encoding: chunked` with nothing but the last chunk it says CONTENT_LENGTH=0 and sends no
# FCGI_STDIN record at all. A responder that reads its body to the end holds still until HAProxy's
# `timeout server`, and so a few such requests keep all processes of a small pool from others.
#
# A responder should take CONTENT_LENGTH=0 as the end of the body. But other web servers, Caddy for
# one, say the same of every GET and do write the empty record: a responder that has answered by
# then must not close the connection before that, or the web server's write fails and the client
# gets a 502.
#
# Seen on 2026-11-27 with Debian 12's haproxy 2.6.12-1+deb12u4; records by type: 1 BEGIN_REQUEST,
# 4 PARAMS, 5 STDIN, with their sizes (PARAMS that are not empty: +):
#
#   GET: CONTENT_LENGTH 0, records 1:8 4:+ 4:0 5:0
#   POST, Content-Length 0: CONTENT_LENGTH 0, records 1:8 4:+ 4:0 5:0
#   POST, chunked, 5 bytes: CONTENT_LENGTH 5, records 1:8 4:+ 4:0 5:5 5:0
#   POST, chunked, 0 bytes: CONTENT_LENGTH 0, records 1:8 4:+ 4:0
#
# Takes some ten seconds. Needs apt-get with package lists, curl and python3; installs nothing: the
# package is unpacked into a temporary folder. HAProxy listens on 127.0.0.1, on a port that was
# free.
set -euo pipefail

work=$(mktemp -d)
started=()
finish() {
    ((${#started[@]} == 0)) || kill "${started[@]}" 2>/dev/null || true
    wait
    rm -rf -- "$work"
}
trap finish EXIT

(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download haproxy=2.6.12-1+deb12u4 \
    liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 libpcre2-8-0) || {
    echo "could not be run: Debian does not offer these packages" >&2
    exit 2
}
for package in "$work"/*.deb; do
    dpkg-deb -x "$package" "$work/root"
done
LD_LIBRARY_PATH=$(echo "$work"/root/usr/lib/*-linux-gnu)

# Below the ports that outgoing connections take.
port=$(python3 - <<'END'
import random, socket

while True:
    try:
        with socket.create_server(("127.0.0.1", random.randrange(20000, 32000))) as server:
            print(server.getsockname()[1])
            break
    except OSError:
        pass
END
)

# Answers with the records that have come once none has for a second.
cat >"$work/responder.py" <<'END'
import re, socket, struct, sys


def records(stream):
    while True:
        head = stream.read(8)
        if len(head) < 8:
            return
        _, kind, number, size, padding = struct.unpack(">BBHHBx", head)
        yield kind, number, stream.read(size), stream.read(padding)


with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(sys.argv[1])
    listener.listen()
    while True:
        connection, _ = listener.accept()
        connection.settimeout(1)
        seen, length, number = [], "none", 0
        try:
            for kind, number, content, _ in records(connection.makefile("rb")):
                seen.append(f"{kind}:{'+' if kind == 4 and content else len(content)}")
                found = re.search(rb"CONTENT_LENGTH(\d+)", content)
                length = found[1].decode() if found else length
        except TimeoutError:
            pass
        answer = (f"Content-Type: text/plain\r\n\r\nCONTENT_LENGTH {length}, "
                  f"records {' '.join(seen)}").encode()
        try:
            for kind, content in ((6, answer), (6, b""), (3, bytes(8))):
                connection.sendall(struct.pack(">BBHHBx", 1, kind, number, len(content), 0) + content)
        except OSError:
            pass
        connection.close()
END
python3 "$work/responder.py" "$work/sock" >"$work/responder.log" 2>&1 &
started+=($!)

cat >"$work/haproxy.cfg" <<END
defaults
    mode http
    timeout connect 20s
    timeout client 20s
    timeout server 20s
fcgi-app responder
    docroot /
    no option keep-conn
listen http
    bind 127.0.0.1:$port
    use-fcgi-app responder
    server responder unix@$work/sock proto fcgi
END
LD_LIBRARY_PATH=$LD_LIBRARY_PATH "$work/root/usr/sbin/haproxy" -db -f "$work/haproxy.cfg" \
    >"$work/haproxy.log" 2>&1 &
started+=($!)
for ((i = 0; ; i++)); do
    [[ ! -S $work/sock ]] || ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    if ((i == 100)); then
        echo 'could not be run: HAProxy does not start' >&2
        cat "$work/haproxy.log" >&2
        exit 2
    fi
    sleep 0.1
done

ask() { # WORDS [OPTION...]
    echo "$1: $(curl -sS --noproxy '*' --max-time 15 "${@:2}" "http://127.0.0.1:$port/")"
}
look() {
    ask GET
    ask 'POST, Content-Length 0' -d ''
    ask 'POST, chunked, 5 bytes' -H 'Transfer-Encoding: chunked' -d hello
    ask 'POST, chunked, 0 bytes' -H 'Transfer-Encoding: chunked' -d ''
}
look >"$work/seen"

cat "$work/seen"
# The indented lines of this file's header are what is expected.
if ! diff <(sed -n 's/^#   //p' "$0") "$work/seen" >"$work/differs"; then
    echo "CHANGED: not what this file's header tells (<); seen now (>):"
    cat "$work/differs"
    exit 1
fi
echo 'as told'
