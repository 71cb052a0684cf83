#!/bin/bash
# lighttpd answers a Range request from a FastCGI responder's complete answer: 206 with a piece of
# it, or a page of lighttpd's own with 416 in its place, though the responder knows no ranges.
#
# One expects a server to cut pieces from files, and to leave an answer that a program makes to
# the program: it sees the header as HTTP_RANGE, says Accept-Ranges if it can, and a client that
# gets 200 with the whole takes that. lighttpd does so for a POST and for another status than 200.
# But a GET that the responder answers with 200, with or without a validator or a Content-Length,
# even with Cache-Control: no-store, is cut after the responder has done its work. Each piece is
# then of another answer: pieces of something that changes do not fit together, and the responder
# knows only of answers with 200. `Accept-Ranges: none` in the responder's answer turns it off.
# nginx passes such an answer whole.
#
# Seen on 2026-11-27 with Debian 12's lighttpd 1.4.69-1 and nginx 1.22.1-9+deb12u11. The responder
# counts its answers: "answer number N; range asked for: yes", always 200 unless said otherwise:
#
#   lighttpd, no Range: 200 "answer number 1; range asked for: no"
#   lighttpd, Range 0-14: 206 "answer number 2"
#   lighttpd, Range 15-: 206 "; range asked for: yes"
#   lighttpd, Range 0-14, Cache-Control no-store: 206 "answer number 4"
#   lighttpd, Range 900-: 416 "<html>"
#   lighttpd, Range 0-14, responder says 201: 201 "answer number 6; range asked for: yes"
#   lighttpd, Range 0-14, POST: 200 "answer number 7; range asked for: yes"
#   lighttpd, Range 0-14, Accept-Ranges none: 200 "answer number 8; range asked for: yes"
#   nginx, Range 0-14: 200 "answer number 9; range asked for: yes"
#
# Takes some seconds. Needs apt-get with package lists, curl and python3; installs nothing: the
# packages are unpacked into a temporary folder. Everything listens on 127.0.0.1, on ports that
# were free.
set -euo pipefail

work=$(mktemp -d)
started=()
finish() {
    ((${#started[@]} == 0)) || kill "${started[@]}" 2>/dev/null || true
    wait
    rm -rf -- "$work"
}
trap finish EXIT

fetch() { # PACKAGE[=VERSION]...
    (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$@") || {
        echo "could not be run: Debian does not offer these packages: $*" >&2
        exit 2
    }
    for package in "$work"/*.deb; do
        dpkg-deb -x "$package" "$work/root"
    done
    LD_LIBRARY_PATH=$(echo "$work"/root/usr/lib/*-linux-gnu)
}
fetch lighttpd=1.4.69-1 nginx=1.22.1-9+deb12u11 libnettle8 libxxhash0 libpcre2-8-0

# Ports that are free, and below those that outgoing connections take.
free_ports() { # COUNT
    python3 - "$1" <<'END'
import random, socket, sys

held = []
while len(held) < int(sys.argv[1]):
    try:
        held.append(socket.create_server(("127.0.0.1", random.randrange(20000, 32000))))
    except OSError:
        pass
print(*(each.getsockname()[1] for each in held))
END
}
read -r responder lighttpd nginx < <(free_ports 3)

# A responder that takes one request a connection and looks for words among its parameters.
cat >"$work/responder.py" <<'END'
import socket, struct, sys

HEADERS = {b"/no-store": "Cache-Control: no-store\r\n", b"/created": "Status: 201 Created\r\n",
           b"/none": "Accept-Ranges: none\r\n"}


def exactly(stream, size):
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def params(stream):
    found = b""
    while True:
        _, kind, _, size, padding = struct.unpack(">BBHHBx", exactly(stream, 8))
        content = exactly(stream, size + padding)[:size]
        if kind == 4:
            found += content
        elif kind == 5 and not content:
            return found


def record(kind, content):
    return struct.pack(">BBHHBx", 1, kind, 1, len(content), 0) + content


with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    answers = 0
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as stream:
            try:
                request = params(stream)
            except EOFError:
                continue
            asked = "no"
            if b"HTTP_RANGE" in request:
                asked = "yes"
            if b"/ready" not in request:
                answers += 1
            headers = "".join(text for path, text in HEADERS.items() if path in request)
            answer = (f"Content-Type: text/plain\r\n{headers}\r\n"
                      f"answer number {answers}; range asked for: {asked}")
            stream.write(record(6, answer.encode()) + record(6, b"") + record(3, bytes(8)))
END

cat >"$work/lighttpd.conf" <<END
server.bind = "127.0.0.1"
server.port = $lighttpd
server.document-root = "$work"
server.modules = ("mod_fastcgi")
fastcgi.server = ("/" => ((
    "host" => "127.0.0.1", "port" => $responder, "check-local" => "disable")))
END
cat >"$work/nginx.conf" <<END
daemon off;
pid $work/nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path $work/body;
    fastcgi_temp_path $work/fastcgi;
    proxy_temp_path $work/proxy;
    scgi_temp_path $work/scgi;
    uwsgi_temp_path $work/uwsgi;
    server {
        listen 127.0.0.1:$nginx;
        location / {
            fastcgi_pass 127.0.0.1:$responder;
            fastcgi_param REQUEST_URI \$request_uri;
        }
    }
}
END

begin() { # LOG COMMAND...
    LD_LIBRARY_PATH=$LD_LIBRARY_PATH "${@:2}" >"$work/$1" 2>&1 &
    started+=($!)
}
begin responder.log python3 "$work/responder.py" "$responder"
begin lighttpd.log "$work/root/usr/sbin/lighttpd" -D -m "$work/root/usr/lib/lighttpd" \
    -f "$work/lighttpd.conf"
begin nginx.log "$work/root/usr/sbin/nginx" -e stderr -c "$work/nginx.conf"
for port in "$lighttpd" "$nginx"; do
    for ((i = 0; ; i++)); do
        ! curl -sf --noproxy '*' "http://127.0.0.1:$port/ready" >"$work/first" || break
        if ((i == 100)); then
            echo "could not be run: nothing answers on port $port" >&2
            tail -n 5 "$work"/*.log >&2
            exit 2
        fi
        sleep 0.2
    done
done

get() { # WORDS PORT PATH [OPTION...]
    local status
    status=$(curl -sS --noproxy '*' --max-time 20 -o "$work/body.txt" -w '%{http_code}' \
        "${@:4}" "http://127.0.0.1:$2/$3")
    ! grep -q '<html' "$work/body.txt" || echo '<html>' >"$work/body.txt"
    echo "$1: $status \"$(<"$work/body.txt")\""
}

look() {
    get 'lighttpd, no Range' "$lighttpd" plain
    get 'lighttpd, Range 0-14' "$lighttpd" plain -H 'Range: bytes=0-14'
    get 'lighttpd, Range 15-' "$lighttpd" plain -H 'Range: bytes=15-'
    get 'lighttpd, Range 0-14, Cache-Control no-store' "$lighttpd" no-store \
        -H 'Range: bytes=0-14'
    get 'lighttpd, Range 900-' "$lighttpd" plain -H 'Range: bytes=900-'
    get 'lighttpd, Range 0-14, responder says 201' "$lighttpd" created -H 'Range: bytes=0-14'
    get 'lighttpd, Range 0-14, POST' "$lighttpd" plain -H 'Range: bytes=0-14' -d a=b
    get 'lighttpd, Range 0-14, Accept-Ranges none' "$lighttpd" none -H 'Range: bytes=0-14'
    get 'nginx, Range 0-14' "$nginx" plain -H 'Range: bytes=0-14'
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
