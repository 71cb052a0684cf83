#!/bin/bash
# With CURLOPT_PIPEWAIT libcurl 7.88.1 makes all transfers to a plain http:// host wait for the
# first answer, though no connection there could be shared.
#
# PIPEWAIT has a new transfer wait until it is known whether a connection that is being made can
# take it too (HTTP/2), instead of making one of its own at once. By default libcurl speaks HTTP/2
# over TLS only, so one expects http:// transfers not to wait at all; over TLS the handshake tells.
# But over http:// "not known yet" ends only with the first transfer's answer, header and all. If
# the first one is slow, what was started beside it has not even been sent, and its time-out runs.
# After that the others go out on connections of their own. CURL_HTTP_VERSION_1_1 on those
# transfers ends the wait.
#
# Seen on 2026-11-27 with Debian 12's libcurl4 7.88.1-10+deb12u15 and HTTP/1.1 servers of node
# 20.20.2. Four transfers are started at once; the server answers the first request after 3 s:
#
#   http, PIPEWAIT off: 3 others came before the first answer; all done
#   http, PIPEWAIT on: 0 others came before the first answer; all done
#   http, PIPEWAIT on, CURL_HTTP_VERSION_1_1: 3 others came before the first answer; all done
#   https, PIPEWAIT on: 3 others came before the first answer; all done
#
# Takes about half a minute. Needs node (18 or later), openssl, gcc, the libcurl4 that is named
# above (its version is looked at) and apt-get with package lists for its header files; installs
# nothing. The servers listen on 127.0.0.1, on ports that were free.
set -euo pipefail

work=$(mktemp -d)
server=
finish() {
    [[ ! $server ]] || kill "$server" 2>/dev/null || true
    wait
    rm -rf -- "$work"
}
trap finish EXIT

readonly version=7.88.1-10+deb12u15
if [[ $(dpkg-query -W -f '${Version}' libcurl4 2>/dev/null) != "$version" ]]; then
    echo "could not be run: libcurl4 $version is not installed here" >&2
    exit 2
fi
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download \
    "libcurl4-openssl-dev=$version") || {
    echo "could not be run: Debian does not offer libcurl4-openssl-dev $version" >&2
    exit 2
}
dpkg-deb -x "$work"/libcurl4-openssl-dev_*.deb "$work/root"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 \
    -keyout "$work/key.pem" -out "$work/cert.pem" 2>"$work/openssl.log"

cat >"$work/server.js" <<'END'
// Two servers, http and https. The first request of a PATH is answered after 3 s with the number
// of other requests of that PATH that came meanwhile; these are answered at once.
const fs = require('fs');
const folder = process.argv[2];
const others = new Map();
function answer(request, response) {
    const path = request.url;
    if (others.has(path)) {
        others.set(path, others.get(path) + 1);
        response.end('one more');
        return;
    }
    others.set(path, 0);
    setTimeout(() => {
        console.log(`${path} ${others.get(path)}`);
        response.end('the first');
    }, 3000);
}
const servers = [
    require('http').createServer(answer),
    require('https').createServer({ key: fs.readFileSync(`${folder}/key.pem`),
                                    cert: fs.readFileSync(`${folder}/cert.pem`) }, answer),
];
let listening = 0;
for (const server of servers)
    server.listen(0, '127.0.0.1', () => {
        if (++listening === servers.length)
            console.log(...servers.map((each) => each.address().port));
    });
END

cat >"$work/get.c" <<'END'
/* get URL CERTIFICATE PIPEWAIT [1.1]: four transfers at once; prints how many were done. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define TRANSFERS 4

static size_t swallow(char *data, size_t size, size_t items, void *context)
{
    (void)data;
    (void)context;
    return size * items;
}

int main(int argc, char **argv)
{
    CURL *easy[TRANSFERS];
    CURLM *multi = curl_multi_init();
    CURLMsg *message;
    int running = 1, left, done = 0;

    if (argc < 4 || multi == NULL)
        return 2;
    for (int i = 0; i < TRANSFERS; i++) {
        easy[i] = curl_easy_init();
        curl_easy_setopt(easy[i], CURLOPT_URL, argv[1]);
        curl_easy_setopt(easy[i], CURLOPT_CAINFO, argv[2]);
        curl_easy_setopt(easy[i], CURLOPT_PIPEWAIT, atol(argv[3]));
        curl_easy_setopt(easy[i], CURLOPT_TIMEOUT, 20L);
        curl_easy_setopt(easy[i], CURLOPT_PROXY, "");
        curl_easy_setopt(easy[i], CURLOPT_WRITEFUNCTION, swallow);
        if (argc > 4)
            curl_easy_setopt(easy[i], CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        curl_multi_add_handle(multi, easy[i]);
    }
    while (curl_multi_perform(multi, &running) == CURLM_OK && running)
        curl_multi_poll(multi, NULL, 0, 1000, NULL);
    while ((message = curl_multi_info_read(multi, &left)) != NULL)
        done += message->data.result == CURLE_OK;
    if (done == TRANSFERS)
        puts("all done");
    else
        printf("%d done\n", done);
    for (int i = 0; i < TRANSFERS; i++) {
        curl_multi_remove_handle(multi, easy[i]);
        curl_easy_cleanup(easy[i]);
    }
    curl_multi_cleanup(multi);
    return 0;
}
END
include=$(dirname "$(find "$work/root" -name curl.h)")/..
library=$(dpkg -L libcurl4 | grep '/libcurl\.so\.4$')
gcc -Wall -Wextra -I"$include" -o "$work/get" "$work/get.c" "$library"

node "$work/server.js" "$work" >"$work/told" &
server=$!

# Waits for a line of the server's that begins so, and prints the rest of it.
told() { # BEGINNING
    for ((i = 0; i < 200; i++)); do
        ! grep -q "^$1" "$work/told" || break
        sleep 0.1
    done
    sed -n "s|^$1||p" "$work/told"
}
read -r plain secure <<<"$(told '')"

four() { # WORDS URL PIPEWAIT [1.1]
    local path=/${1//[^a-zA-Z0-9]/} result
    result=$("$work/get" "$2$path" "$work/cert.pem" "${@:3}")
    echo "$1: $(told "$path ") others came before the first answer; $result"
}

look() {
    local http=http://127.0.0.1:$plain https=https://127.0.0.1:$secure
    four 'http, PIPEWAIT off' "$http" 0
    four 'http, PIPEWAIT on' "$http" 1
    four 'http, PIPEWAIT on, CURL_HTTP_VERSION_1_1' "$http" 1 1.1
    four 'https, PIPEWAIT on' "$https" 1
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
