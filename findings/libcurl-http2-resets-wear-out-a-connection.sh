#!/bin/bash
# A server on nghttp2 ends its HTTP/2 connection with libcurl after some thousand good answers,
# if they have no Content-Length.
#
# Two sensible things meet. libcurl 7.88.1 sends RST_STREAM for each stream whose answer had no
# Content-Length, after it was received to its end. And since HTTP/2's "rapid reset" of 2023 a
# server on nghttp2 counts resets: a thousand at once and some 33 more a second are borne, then
# the connection is ended. One expects neither from a client that only makes one GET after the
# other, all answered 200. The transfer that meets the end gets CURLE_HTTP2 (16), not
# CURLE_HTTP2_STREAM (92); nothing was wrong with it, and the next one makes a new connection.
# A trial of a few hundred requests shows nothing, nor does a client of fewer than 33 a second.
#
# So a client of libcurl counts 16 among the errors to try again; a server that knows the length
# of its answer says it.
#
# Seen on 2026-11-27 with Debian 12's libcurl4 7.88.1-10+deb12u15 and node 20.20.2 (nghttp2
# 1.61.0) over TLS: GETs by one handle, one after the other, each with a body of 11 bytes. In 8
# runs the first failure came after 1,034 to 1,199 good answers, and two of 3,000 failed:
#
#   with Content-Length: 10 GETs, 0 frames of type RST_STREAM
#   without: 10 GETs, a frame of type RST_STREAM each
#   with Content-Length: 3000 GETs, connections: 1, error 16: 0, others: 0
#   without: 3000 GETs, connections: more than 1, error 16: first after 1000 to 1999, others: 0
#
# Takes some seconds. Needs node 20, openssl, gcc, libcurl4 as named above (its version is looked
# at) and apt-get with package lists for its header files; installs nothing. The server listens on
# 127.0.0.1, on a port that was free.
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
// Answers every GET, /with telling the length.
const fs = require('fs');
const folder = process.argv[2];
const server = require('http2').createSecureServer({
    key: fs.readFileSync(`${folder}/key.pem`),
    cert: fs.readFileSync(`${folder}/cert.pem`),
});
const body = '{"ok":true}';
server.on('stream', (stream, headers) => {
    const length = headers[':path'] === '/with' ? { 'content-length': body.length } : {};
    stream.on('error', () => {});
    stream.respond({ ':status': 200, ...length });
    stream.end(body);
});
server.on('session', (session) => session.on('error', () => {}));
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
END

cat >"$work/get.c" <<'END'
/* get URL CERTIFICATE TIMES: one handle, one transfer after the other. Prints how many were done
 * before the first error 16, how many got 16, how many another error, and the connections made. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

static size_t swallow(char *data, size_t size, size_t items, void *context)
{
    (void)data;
    (void)context;
    return size * items;
}

int main(int argc, char **argv)
{
    long before = -1, ended = 0, others = 0, connections = 0;
    CURL *easy = curl_easy_init();

    if (argc != 4 || easy == NULL)
        return 2;
    curl_easy_setopt(easy, CURLOPT_URL, argv[1]);
    curl_easy_setopt(easy, CURLOPT_CAINFO, argv[2]);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, 20L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow);
    for (long i = 0; i < atol(argv[3]); i++) {
        CURLcode result = curl_easy_perform(easy);
        long made = 0;

        curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &made);
        connections += made;
        if (result == CURLE_HTTP2 && ended++ == 0)
            before = i;
        if (result != CURLE_OK && result != CURLE_HTTP2)
            others++;
    }
    printf("%ld %ld %ld %ld\n", before, ended, others, connections);
    curl_easy_cleanup(easy);
    return 0;
}
END
include=$(dirname "$(find "$work/root" -name curl.h)")/..
library=$(dpkg -L libcurl4 | grep '/libcurl\.so\.4$')
gcc -Wall -Wextra -I"$include" -o "$work/get" "$work/get.c" "$library"

stop() {
    [[ ! $server ]] || kill "$server" 2>/dev/null || true
    wait
    server=
}

# Starts the server, with the log of its HTTP/2 frames in $work/frames if that is asked for.
start() { # [http2]
    stop
    rm -f "$work/port"
    NODE_DEBUG_NATIVE=${1:-} node "$work/server.js" "$work" >"$work/port" 2>"$work/frames" &
    server=$!
    for ((i = 0; i < 100; i++)); do
        [[ ! -s $work/port ]] || break
        sleep 0.1
    done
    url=https://127.0.0.1:$(<"$work/port")
}

get() { # PATH TIMES
    "$work/get" "$url/$1" "$work/cert.pem" "$2"
}

frames() { # PATH WORDS
    local count
    start http2
    get "$1" 10 >"$work/ten"
    stop
    count=$(grep -c 'complete frame received: type: 3$' "$work/frames" || true)
    # The last one may come too late to be seen.
    if ((count == 9 || count == 10)); then
        echo "$2: 10 GETs, a frame of type RST_STREAM each"
    else
        echo "$2: 10 GETs, $count frames of type RST_STREAM"
    fi
}

many() { # PATH WORDS
    local before ended others connections
    start
    read -r before ended others connections < <(get "$1" 3000)
    echo "$2: $before good answers before the first error 16, $ended of 3000 got it" \
        >"$work/measured"
    ((connections < 2)) || connections='more than 1'
    ((before < 1000 || before > 1999)) || before='1000 to 1999'
    ((ended == 0)) || ended="first after $before"
    echo "$2: 3000 GETs, connections: $connections, error 16: $ended, others: $others"
}

look() {
    frames with 'with Content-Length'
    frames without without
    many with 'with Content-Length'
    many without without
}
look >"$work/seen"

cat "$work/seen" "$work/measured"
# The indented lines of this file's header are what is expected.
if ! diff <(sed -n 's/^#   //p' "$0") "$work/seen" >"$work/differs"; then
    echo "CHANGED: not what this file's header tells (<); seen now (>):"
    cat "$work/differs"
    exit 1
fi
echo 'as told'
