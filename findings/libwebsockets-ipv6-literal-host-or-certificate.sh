#!/bin/bash
# With libwebsockets 4.1 a wss:// client of an IPv6 literal has the choice between a right Host
# header and a certificate that verifies; it cannot have both.
#
# RFC 9110 wants "Host: [::1]:443", with brackets, and lws_client_connect_info has one member,
# `host`, for that header. From the same string the library takes the name that the certificate
# must be for: all before the first colon, so that a port falls away. Of "[::1]" that leaves "[",
# which is sent as the server's name (SNI) and which no certificate has: "hostname mismatch",
# although the certificate names the address. Written "::1", without brackets, it is not cut to
# something wrong, no SNI is sent, and the certificate verifies; but then the header says
# "Host: ::1", which is none. The same certificate, reached by its IPv4 address, is no trouble,
# with a port or without. Newer versions have been left untried.
#
# Seen on 2026-11-27 with Debian 12's libwebsockets 4.1.6-3 and a TLS server on ::1 and 127.0.0.1
# whose certificate has both addresses:
#
#   ::1, host "::1": the certificate is taken, SNI none, Host: ::1
#   ::1, host "[::1]": the certificate is refused, SNI [, Host: none
#   ::1, host "[::1]:PORT": the certificate is refused, SNI [, Host: none
#   127.0.0.1, host "127.0.0.1:PORT": the certificate is taken, SNI 127.0.0.1, Host: 127.0.0.1:PORT
#
# Takes some seconds. Needs apt-get with package lists, gcc, openssl and python3; installs nothing:
# the packages are unpacked into a temporary folder. Listens on ::1 and 127.0.0.1 alone.
set -euo pipefail

work=$(mktemp -d)
server=
finish() {
    [[ ! $server ]] || kill "$server" 2>/dev/null || true
    wait
    rm -rf -- "$work"
}
trap finish EXIT
cd "$work"

fetch() { # PACKAGE[=VERSION]...
    apt-get -qq -o APT::Sandbox::User=root download "$@" || {
        echo "could not be run: Debian does not offer these packages: $*" >&2
        exit 2
    }
    for package in *.deb; do
        dpkg-deb -x "$package" root
    done
}
fetch libwebsockets17=4.1.6-3 libwebsockets-dev=4.1.6-3 libssl-dev libcap-dev libuv1-dev libev-dev \
    libcap2
libraries=$(echo "$work"/root/usr/lib/*-linux-gnu)

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem \
    -out certificate.pem -days 2 -subj /CN=relay \
    -addext 'subjectAltName=IP:::1,IP:127.0.0.1' 2>/dev/null

cat >server.py <<'END'
"""Answers WebSocket upgrades over TLS on ::1 and 127.0.0.1, and writes down the server's name (SNI)
and the Host header of each connection, one file a connection."""
import base64
import hashlib
import socket
import ssl
import threading

heard = threading.local()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("certificate.pem", "key.pem")


def note_name(connection, name, _):
    heard.name = name


def header(request, name):
    for line in request.split("\r\n")[1:]:
        key, _, value = line.partition(": ")
        if key.lower() == name:
            return value
    return "none"


def serve(plain):
    heard.name, host = None, "none"
    try:
        with context.wrap_socket(plain, server_side=True) as tls:
            request = tls.recv(4096).decode()
            host = header(request, "host")
            key = header(request, "sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
            tls.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                         "Connection: Upgrade\r\nSec-WebSocket-Protocol: any\r\n"
                         f"Sec-WebSocket-Accept: {accept}\r\n\r\n").encode())
            tls.recv(16)
    except OSError:
        pass
    print(f"SNI {(heard.name or 'none').strip() or 'none'}, Host: {host}", flush=True)


context.sni_callback = note_name
six = socket.create_server(("::1", 0), family=socket.AF_INET6)
four = socket.create_server(("127.0.0.1", six.getsockname()[1]))
with open("port", "w", encoding="ascii") as file:
    file.write(f"{six.getsockname()[1]}\n")


def accept(listener):
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


threading.Thread(target=accept, args=(six,), daemon=True).start()
accept(four)
END

cat >client.c <<'END'
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>

static int ended;

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    (void)wsi, (void)user, (void)in, (void)len;
    if (reason == LWS_CALLBACK_CLIENT_ESTABLISHED) {
        puts("the certificate is taken");
        ended = 1;
    }
    if (reason == LWS_CALLBACK_CLIENT_CONNECTION_ERROR) {
        puts("the certificate is refused");
        ended = 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct lws_protocols protocols[] = {{.name = "any", .callback = on_event}, {0}};
    struct lws_context_creation_info info = {.port = CONTEXT_PORT_NO_LISTEN,
                                             .protocols = protocols,
                                             .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
                                             .client_ssl_ca_filepath = "certificate.pem"};
    struct lws_client_connect_info connect = {.ssl_connection = LCCSCF_USE_SSL,
                                              .path = "/",
                                              .protocol = "any",
                                              .local_protocol_name = "any"};

    if (argc != 4)
        return 2;
    lws_set_log_level(0, NULL);
    connect.context = lws_create_context(&info);
    connect.address = argv[1];
    connect.port = atoi(argv[2]);
    connect.host = connect.origin = argv[3];
    if (connect.context == NULL || lws_client_connect_via_info(&connect) == NULL)
        return 2;
    for (int i = 0; i < 100 && !ended; i++)
        lws_service(connect.context, 100);
    lws_context_destroy(connect.context);
    return 0;
}
END
gcc -I root/usr/include -I "$(echo root/usr/include/*-linux-gnu)" -o client client.c \
    -L "$libraries" -l:libwebsockets.so.17 -Wl,-rpath,"$libraries" -Wl,--allow-shlib-undefined

python3 server.py >heard 2>errors &
server=$!
for ((i = 0; i < 100; i++)); do
    [[ ! -s port ]] || break
    sleep 0.1
done
port=$(<port)

visits=0
visit() { # ADDRESS HOST
    local outcome shown=${2//$port/PORT}
    outcome=$(timeout 20 ./client "$1" "$port" "$2")
    visits=$((visits + 1))
    for ((i = 0; i < 100; i++)); do
        [[ $(wc -l <heard) -lt $visits ]] || break
        sleep 0.1
    done
    echo "$1, host \"$shown\": $outcome, $(sed -n "${visits}s/$port/PORT/p;${visits}p" heard | head -n 1)"
}
seen=$(
    visit ::1 ::1
    visit ::1 '[::1]'
    visit ::1 "[::1]:$port"
    visit 127.0.0.1 "127.0.0.1:$port"
)
printf '%s\n' "$seen"

expected='::1, host "::1": the certificate is taken, SNI none, Host: ::1
::1, host "[::1]": the certificate is refused, SNI [, Host: none
::1, host "[::1]:PORT": the certificate is refused, SNI [, Host: none
127.0.0.1, host "127.0.0.1:PORT": the certificate is taken, SNI 127.0.0.1, Host: 127.0.0.1:PORT'
if [[ $seen != "$expected" ]]; then
    printf 'CHANGED: expected\n%s\n' "$expected"
    exit 1
fi
