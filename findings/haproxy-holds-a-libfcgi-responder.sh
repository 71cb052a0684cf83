#!/bin/bash
# Behind HAProxy, with its defaults, a FastCGI responder of one process on libfcgi answers the first
# client at once and makes each other one wait for some five seconds, all idle.
#
# Two things meet that are each as specified. HAProxy asks a FastCGI application to keep the
# connection and, when a client has gone, holds it in reserve. But it does not give a connection in
# reserve to a new client's first request (http-reuse safe): it makes another one. FCGX_Accept_r
# meanwhile waits for the next request on the connection that was kept, as it has been asked to,
# and sees the other one only when HAProxy drops the reserve (pool-purge-delay, 5 s). One expects
# at most a connection too many; here the only process is held by nobody. A second request of the
# same client is answered at once, so a trial on one connection shows nothing.
#
# `no option keep-conn` in the fcgi-app section ends it, and so does `http-reuse always`.
#
# Seen on 2026-11-27 with Debian 12's haproxy 2.6.12-1+deb12u4 and libfcgi 2.4.2-2+deb12u1, no
# load, each client on a connection of its own; the waits were 4.9 s:
#
#   defaults: client 1 at once, client 2 after 3 to 7 s, client 3 after 3 to 7 s
#   defaults, one client: request 2 at once, request 3 at once
#   no option keep-conn: client 1 at once, client 2 at once, client 3 at once
#   http-reuse always: client 1 at once, client 2 at once, client 3 at once
#
# Takes about half a minute. Needs apt-get with package lists, curl, gcc and python3; installs
# nothing: the packages are unpacked into a temporary folder. HAProxy listens on 127.0.0.1, on
# ports that were free, the responders on Unix sockets.
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
fetch haproxy=2.6.12-1+deb12u4 libfcgi-dev=2.4.2-2+deb12u1 libfcgi0ldbl=2.4.2-2+deb12u1 \
    liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 libpcre2-8-0

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
read -r kept closed shared < <(free_ports 3)

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
        FCGX_PutS("Content-Type: text/plain\r\n\r\nready", request.out);
        FCGX_Finish_r(&request);
    }
    return 0;
}
END
gcc -Wall -Wextra -I"$(dirname "$(find "$work/root" -name fcgiapp.h)")" -o "$work/responder" \
    "$work/responder.c" "$LD_LIBRARY_PATH/libfcgi.so.0"

begin() { # LOG COMMAND...
    LD_LIBRARY_PATH=$LD_LIBRARY_PATH "${@:2}" >"$work/$1" 2>&1 &
    started+=($!)
}

cat >"$work/haproxy.cfg" <<END
defaults
    mode http
    timeout connect 20s
    timeout client 20s
    timeout server 20s
fcgi-app kept
    docroot /
fcgi-app closed
    docroot /
    no option keep-conn
END
front() { # NAME PORT FCGI-APP [OPTION]
    begin "$1.log" "$work/responder" "$work/$1.sock"
    cat >>"$work/haproxy.cfg" <<END
listen $1
    bind 127.0.0.1:$2
    use-fcgi-app $3
    ${4:-}
    server responder unix@$work/$1.sock proto fcgi
END
}
front kept "$kept" kept
front closed "$closed" closed
front shared "$shared" kept 'http-reuse always'
begin haproxy.log "$work/root/usr/sbin/haproxy" -db -f "$work/haproxy.cfg"
for ((i = 0; ; i++)); do
    ! (exec 3<>"/dev/tcp/127.0.0.1/$shared") 2>/dev/null || break
    if ((i == 100)); then
        echo 'could not be run: HAProxy does not start' >&2
        cat "$work/haproxy.log" >&2
        exit 2
    fi
    sleep 0.1
done

# What curl tells of each request, in words; PORT's URL given once for each, all on one connection.
times() { # PORT TIMES
    local urls=()
    for ((n = 0; n < $2; n++)); do
        urls+=("http://127.0.0.1:$1/")
    done
    curl -sS --noproxy '*' --max-time 30 -w '%{stderr}%{http_code} %{time_total}\n' \
        "${urls[@]}" 2>&1 >"$work/body" | awk '
            $1 != 200 { print "answered with " $1; next }
            $2 < 2 { print "at once"; next }
            $2 >= 3 && $2 <= 7 { print "after 3 to 7 s"; next }
            { print "after " $2 " s" }'
}

clients() { # WORDS PORT
    echo "$1: client 1 $(times "$2" 1), client 2 $(times "$2" 1), client 3 $(times "$2" 1)"
}

look() {
    clients defaults "$kept"
    times "$kept" 3 | awk 'NR > 1 { printf "%s request %d %s", sep, NR, $0; sep = "," }
        BEGIN { sep = "defaults, one client:" } END { print "" }'
    clients 'no option keep-conn' "$closed"
    clients 'http-reuse always' "$shared"
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
