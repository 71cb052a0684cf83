#!/bin/bash
# lighttpd gives a FastCGI responder two variables of the same name when a client sends two
# headers whose names differ only in a hyphen and an underscore; libfcgi shows the first of them.
#
# CGI turns each header's name into a variable: upper case, a hyphen becomes an underscore. So
# X-Shade and X_Shade, two headers to HTTP, are both HTTP_X_SHADE. One expects a server to drop
# the odd one, as nginx does unless told otherwise, or to join both as it joins a header that
# comes twice (lighttpd does: "dark, light"). lighttpd passes X_Shade like the other, and beside
# it as a parameter of its own, in the order in which the client sent them. FCGX_GetParam looks
# for the first. A responder behind lighttpd cannot tell which header it has read.
#
# So a value that a responder rests on should come in a variable that the server sets by itself,
# under a name that no header makes; or the responder counts how often the name is there.
#
# Seen on 2026-11-27 with Debian 12's lighttpd 1.4.69-1, nginx 1.22.1-9+deb12u11 and libfcgi
# 2.4.2-2+deb12u1. The responder tells what FCGX_GetParam gives for HTTP_X_SHADE, and how many
# parameters have that name:
#
#   lighttpd, X-Shade dark: dark, 1
#   lighttpd, X_Shade light: light, 1
#   lighttpd, X-Shade dark, X_Shade light: dark, 2
#   lighttpd, X_Shade light, X-Shade dark: light, 2
#   lighttpd, X-Shade dark, X-Shade light: dark, light, 1
#   nginx, X-Shade dark: dark, 1
#   nginx, X_Shade light: none, 0
#   nginx, X-Shade dark, X_Shade light: dark, 1
#   nginx, X_Shade light, X-Shade dark: dark, 1
#   nginx, X-Shade dark, X-Shade light: dark, 2
#
# Takes some seconds. Needs apt-get with package lists, curl, python3 and gcc; installs nothing:
# the packages are unpacked into a temporary folder. The servers listen on 127.0.0.1, on ports that
# were free, the responder on a Unix socket.
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
fetch lighttpd=1.4.69-1 nginx=1.22.1-9+deb12u11 libfcgi-dev=2.4.2-2+deb12u1 \
    libfcgi0ldbl=2.4.2-2+deb12u1 libnettle8 libxxhash0 libpcre2-8-0

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
read -r lighttpd nginx < <(free_ports 2)

cat >"$work/responder.c" <<'END'
#include <fcgiapp.h>
#include <string.h>

int main(int argc, char **argv)
{
    FCGX_Request request;
    int listener;

    if (argc != 2 || FCGX_Init() != 0 || (listener = FCGX_OpenSocket(argv[1], 16)) < 0 ||
        FCGX_InitRequest(&request, listener, 0) != 0)
        return 1;
    while (FCGX_Accept_r(&request) == 0) {
        const char *shade = FCGX_GetParam("HTTP_X_SHADE", request.envp);
        int count = 0;

        for (char **each = request.envp; *each != NULL; each++)
            count += strncmp(*each, "HTTP_X_SHADE=", 13) == 0;
        FCGX_FPrintF(request.out, "Content-Type: text/plain\r\n\r\n%s, %d",
                     shade != NULL ? shade : "none", count);
        FCGX_Finish_r(&request);
    }
    return 0;
}
END
gcc -Wall -Wextra -I"$(dirname "$(find "$work/root" -name fcgiapp.h)")" -o "$work/responder" \
    "$work/responder.c" "$LD_LIBRARY_PATH/libfcgi.so.0"

cat >"$work/lighttpd.conf" <<END
server.bind = "127.0.0.1"
server.port = $lighttpd
server.document-root = "$work"
server.modules = ("mod_fastcgi")
fastcgi.server = ("/" => (("socket" => "$work/responder.sock", "check-local" => "disable")))
END
cat >"$work/nginx.conf" <<END
daemon off;
user root;
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
            fastcgi_pass unix:$work/responder.sock;
        }
    }
}
END

begin() { # LOG COMMAND...
    LD_LIBRARY_PATH=$LD_LIBRARY_PATH "${@:2}" >"$work/$1" 2>&1 &
    started+=($!)
}
begin responder.log "$work/responder" "$work/responder.sock"
begin lighttpd.log "$work/root/usr/sbin/lighttpd" -D -m "$work/root/usr/lib/lighttpd" \
    -f "$work/lighttpd.conf"
begin nginx.log "$work/root/usr/sbin/nginx" -e stderr -c "$work/nginx.conf"
for port in "$lighttpd" "$nginx"; do
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

send() { # NAME PORT HEADER VALUE [HEADER VALUE]
    local words="$1, $3 $4" headers=(-H "$3: $4")
    if (($# > 4)); then
        words+=", $5 $6"
        headers+=(-H "$5: $6")
    fi
    echo "$words: $(curl -sS --noproxy '*' --max-time 20 "${headers[@]}" "http://127.0.0.1:$2/")"
}

look() {
    local name
    for name in lighttpd nginx; do
        send "$name" "${!name}" X-Shade dark
        send "$name" "${!name}" X_Shade light
        send "$name" "${!name}" X-Shade dark X_Shade light
        send "$name" "${!name}" X_Shade light X-Shade dark
        send "$name" "${!name}" X-Shade dark X-Shade light
    done
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
