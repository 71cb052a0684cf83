#!/bin/bash
# What CONTENT_LENGTH a FastCGI responder gets for a chunked request is a number, no variable at
# all, or -1, according to the web server and the body's size.
#
# A client that sends Transfer-Encoding: chunked does not say how long its body is. CGI knows no
# such thing: a body has a CONTENT_LENGTH, and where that is absent there is none (RFC 3875,
# 4.1.2). So one expects the web server to read the body to its end and count, as lighttpd and
# nginx do, or to refuse the request. Apache counts a small body; one of more than about 16 KB it
# passes with no CONTENT_LENGTH. Caddy passes every chunked body with CONTENT_LENGTH=-1. The whole
# body comes in STDIN records in each case. A responder that reads CONTENT_LENGTH bytes sees an
# empty body there; one that tests it for digits refuses a good request; one that turns -1 into
# an unsigned size has a bound of 2^64.
#
# A FastCGI responder should read STDIN to its end, within a limit of its own, and compare the
# result with CONTENT_LENGTH only where that is a number.
#
# Seen on 2026-11-27 with Debian 12's apache2-bin 2.4.71-1~deb12u1 (mod_proxy_fcgi),
# caddy 2.6.2-5 and lighttpd 1.4.69-1; "length" is CONTENT_LENGTH, "read" what STDIN brought:
#
#   lighttpd, 15000 bytes chunked: length 15000, read 15000
#   lighttpd, 40000 bytes chunked: length 40000, read 40000
#   Apache, 15000 bytes chunked: length 15000, read 15000
#   Apache, 17000 bytes chunked: no length, read 17000
#   Apache, 40000 bytes chunked: no length, read 40000
#   Apache, 40000 bytes with Content-Length: length 40000, read 40000
#   Caddy, 100 bytes chunked: length -1, read 100
#   Caddy, 40000 bytes chunked: length -1, read 40000
#   Caddy, 40000 bytes with Content-Length: length 40000, read 40000
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
fetch apache2-bin=2.4.71-1~deb12u1 caddy=2.6.2-5 lighttpd=1.4.69-1 libapr1 libaprutil1 \
    libnettle8 libxxhash0 libpcre2-8-0

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
read -r responder lighttpd apache caddy < <(free_ports 4)

# A responder that takes one request a connection, and answers what it was told of the body.
cat >"$work/responder.py" <<'END'
import socket, struct, sys


def exactly(stream, size):
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def record(kind, content):
    return struct.pack(">BBHHBx", 1, kind, 1, len(content), 0) + content


def lengths(data):
    """The name-value pairs of FCGI_PARAMS (FastCGI specification, 3.4)."""
    at = 0
    while at < len(data):
        sizes = []
        for _ in range(2):
            if data[at] < 0x80:
                sizes.append(data[at])
                at += 1
            else:
                sizes.append(struct.unpack_from(">I", data, at)[0] & 0x7FFFFFFF)
                at += 4
        name, value = data[at:at + sizes[0]], data[at + sizes[0]:at + sum(sizes)]
        at += sum(sizes)
        if name == b"CONTENT_LENGTH" and value:
            yield value.decode()


def serve(stream):
    got = {4: b"", 5: b""}  # FCGI_PARAMS, FCGI_STDIN
    while True:
        _, kind, _, size, padding = struct.unpack(">BBHHBx", exactly(stream, 8))
        content = exactly(stream, size)
        exactly(stream, padding)
        if kind in got:
            got[kind] += content
        if kind == 5 and not content:
            break
    length = " ".join(f"length {value}" for value in lengths(got[4])) or "no length"
    answer = f"Content-Type: text/plain\r\n\r\n{length}, read {len(got[5])}"
    stream.write(record(6, answer.encode()) + record(6, b"") + record(3, bytes(8)))
    stream.flush()


with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as stream:
            try:
                serve(stream)
            except (EOFError, ConnectionError):
                pass
END

cat >"$work/lighttpd.conf" <<END
server.bind = "127.0.0.1"
server.port = $lighttpd
server.document-root = "$work"
server.modules = ("mod_fastcgi")
fastcgi.server = ("/" => ((
    "host" => "127.0.0.1", "port" => $responder, "check-local" => "disable")))
END
modules=$work/root/usr/lib/apache2/modules
cat >"$work/apache.conf" <<END
ServerName localhost
ServerRoot $work
DefaultRuntimeDir $work
PidFile $work/apache.pid
ErrorLog $work/apache.log
Listen 127.0.0.1:$apache
User nobody
Group nogroup
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule proxy_module $modules/mod_proxy.so
LoadModule proxy_fcgi_module $modules/mod_proxy_fcgi.so
ProxyPass / fcgi://127.0.0.1:$responder/
END
cat >"$work/Caddyfile" <<END
{
    admin off
    auto_https off
    storage file_system $work/caddy
}
http://127.0.0.1:$caddy {
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:$responder {
        transport fastcgi
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
begin apache.log "$work/root/usr/sbin/apache2" -DFOREGROUND -f "$work/apache.conf"
begin caddy.log "$work/root/usr/bin/caddy" run --config "$work/Caddyfile" --adapter caddyfile

post() { # NAME PORT BYTES [OPTION...]
    head -c "$3" /dev/zero | curl -sS --noproxy '*' --max-time 20 -H 'Expect:' "${@:4}" \
        -H 'Content-Type: text/plain' --data-binary @- "http://127.0.0.1:$2/"
}
chunked() { # NAME PORT BYTES
    echo "$1, $3 bytes chunked: $(post "$@" -H 'Transfer-Encoding: chunked')"
}
counted() { # NAME PORT BYTES
    echo "$1, $3 bytes with Content-Length: $(post "$@")"
}

look() {
    for port in "$lighttpd" "$apache" "$caddy"; do
        for ((i = 0; ; i++)); do
            ! curl -sf --noproxy '*' "http://127.0.0.1:$port/" >"$work/first" || break
            if ((i == 100)); then
                echo "could not be run: nothing answers on port $port" >&2
                tail -n 5 "$work"/*.log >&2
                exit 2
            fi
            sleep 0.2
        done
    done
    chunked lighttpd "$lighttpd" 15000
    chunked lighttpd "$lighttpd" 40000
    chunked Apache "$apache" 15000
    chunked Apache "$apache" 17000
    chunked Apache "$apache" 40000
    counted Apache "$apache" 40000
    chunked Caddy "$caddy" 100
    chunked Caddy "$caddy" 40000
    counted Caddy "$caddy" 40000
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
