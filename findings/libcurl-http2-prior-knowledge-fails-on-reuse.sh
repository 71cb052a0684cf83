#!/bin/bash
# With libcurl 7.88.1, HTTP/2 by prior knowledge works once a connection: each later transfer on
# it fails, as long as the connection is kept.
#
# CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE (--http2-prior-knowledge) speaks HTTP/2 without TLS and
# without an upgrade, as one does to a server of one's own or in a test. One expects what is true
# over TLS: transfers to one host share a connection. Here the second one takes the connection
# that the first left, and ends with CURLE_HTTP2 (16), "Error in the HTTP2 framing layer", before
# the server sees a request; so do all that follow: of 3,000 GETs by one handle 2,999 failed. The
# connection stays in the pool and is taken again, so that a retry does not help. A handle's first
# transfer is well, and a test that makes one request never notices.
#
# Seen on 2026-11-27 with Debian 12's curl and libcurl4 7.88.1-10+deb12u15 and the HTTP/2 server
# of node 20.20.2; three GETs by one handle, "new" if the transfer made a connection:
#
#   cleartext: 200 new, error 16, error 16; requests that the server saw: 1
#   cleartext, a handle each: 200 new, 200 new, 200 new; requests that the server saw: 3
#   TLS: 200 new, 200, 200; requests that the server saw: 3
#
# Takes some seconds. Needs node (18 or later), openssl, and curl and libcurl4 as named above
# (their versions are looked at); installs nothing. The servers listen on 127.0.0.1, on ports that
# were free.
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
for package in curl libcurl4; do
    if [[ $(dpkg-query -W -f '${Version}' "$package" 2>/dev/null) != "$version" ]]; then
        echo "could not be run: $package $version is not installed here" >&2
        exit 2
    fi
done
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 \
    -keyout "$work/key.pem" -out "$work/cert.pem" 2>"$work/openssl.log"

cat >"$work/server.js" <<'END'
// One server without TLS and one with; /seen answers how many other requests there were since.
const fs = require('fs');
const http2 = require('http2');
const folder = process.argv[2];
const secret = { key: fs.readFileSync(`${folder}/key.pem`),
                 cert: fs.readFileSync(`${folder}/cert.pem`) };
const servers = [http2.createServer(), http2.createSecureServer(secret)];
let seen = 0;
let listening = 0;
for (const server of servers) {
    server.on('stream', (stream, headers) => {
        const asked = headers[':path'] === '/seen';
        stream.respond({ ':status': 200 });
        stream.end(asked ? String(seen) : '');
        seen = asked ? 0 : seen + 1;
    });
    server.on('session', (session) => session.on('error', () => {}));
    server.listen(0, '127.0.0.1', () => {
        if (++listening === servers.length)
            console.log(...servers.map((each) => each.address().port));
    });
}
END
node "$work/server.js" "$work" >"$work/ports" &
server=$!
for ((i = 0; i < 100; i++)); do
    [[ ! -s $work/ports ]] || break
    sleep 0.1
done
read -r plain secure <"$work/ports"

get() { # URL... [OPTION...]
    curl -s --noproxy '*' --http2-prior-knowledge --cacert "$work/cert.pem" --max-time 20 \
        -w '%{http_code} %{num_connects} %{exitcode}\n' "$@" || true
}

# Puts what curl tells of each transfer into words, and asks the server what it has seen.
tell() { # WORDS
    awk -v words="$1" '{ what = $3 ? "error " $3 : $1; if ($2) what = what " new"
        printf "%s%s", NR == 1 ? words ": " : ", ", what }'
    echo "; requests that the server saw: $(curl -s --noproxy '*' --http2-prior-knowledge \
        "http://127.0.0.1:$plain/seen")"
}

look() {
    local url=http://127.0.0.1:$plain/ safe=https://127.0.0.1:$secure/
    get "$url" "$url" "$url" | tell cleartext
    for _ in 1 2 3; do
        get "$url"
    done | tell 'cleartext, a handle each'
    get "$safe" "$safe" "$safe" | tell TLS
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
