#!/bin/bash
# With libcurl 7.88's multi interface, an HTTP/2 answer whose frame does not fit into
# CURLOPT_BUFFERSIZE is received whole, and then not finished until some timer runs.
#
# The option's page calls it the wanted size of the receive buffer, a matter of speed and memory.
# One expects more, smaller calls of the write function from a small one. But over HTTP/2 libcurl
# may take more from the socket than that at once, keeps what the transfer's buffer did not hold,
# and leaves curl_multi_poll to wait on the socket, where nothing more will come. The write
# function may have had every byte of the body: the end of the stream is still in the part that
# was kept. So the transfer hangs until a timer has libcurl look again; here that is its own
# time-out, and a complete answer is reported as timed out. With a Content-Length libcurl is done
# when it has that many bytes, but a body of some buffers' size stops half-way.
# The default of 16,384 is too small as well, when a frame of 16,384 bytes comes over a plain
# connection: what is read at once is larger than that. 32,768 was enough for all.
#
# Seen on 2026-11-27 with Debian 12's libcurl4 7.88.1-10+deb12u15 (OpenSSL, nghttp2 1.52.0) and
# the HTTP/2 server of node 20.20.2, cleartext, one transfer at a time on a connection of its own,
# a time-out of 2 s, each case 5 times:
#
#   buffer  1024, body   100: done 5 of 5
#   buffer  1024, body  1024: timed out with all of the body 5 of 5
#   buffer  1024, body  1024, Content-Length: done 5 of 5
#   buffer  1024, body 16384, Content-Length: timed out with a part of the body 5 of 5
#   buffer  4096, body  4096: timed out with all of the body 5 of 5
#   buffer 16384, body 16384: timed out with all of the body 5 of 5
#   buffer 16384, body 16384, Content-Length: done 5 of 5
#   buffer 32768, body 16384: done 5 of 5
#   buffer 32768, body 65536: done 5 of 5
#
# Over TLS, in like trials without a Content-Length, 16,384 was enough for bodies up to 200,000
# bytes; 1,024 and 4,096 were not.
#
# Takes about a minute. Needs node (18 or later), gcc, the libcurl4 that is named above
# (its version is looked at) and apt-get with package lists for its header files; installs nothing.
# The server listens on 127.0.0.1, on a port that was free.
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

cat >"$work/server.js" <<'END'
// GET /N answers N bytes, GET /N/length too, with their number in Content-Length.
const server = require('http2').createServer();
server.on('stream', (stream, headers) => {
    const [, size, length] = headers[':path'].split('/');
    stream.respond({ ':status': 200, ...(length && { 'content-length': size }) });
    stream.end(Buffer.alloc(Number(size), 'x'));
});
server.on('session', (session) => session.on('error', () => {}));
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
END

cat >"$work/get.c" <<'END'
/* get URL BUFFERSIZE BODY: one transfer with curl_multi_poll, as libcurl's pages show it. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

static size_t count(char *data, size_t size, size_t items, void *total)
{
    (void)data;
    *(size_t *)total += size * items;
    return size * items;
}

int main(int argc, char **argv)
{
    size_t total = 0;
    int running = 1, left;
    CURLM *multi = curl_multi_init();
    CURL *easy = curl_easy_init();

    if (argc != 4 || multi == NULL || easy == NULL)
        return 2;
    curl_easy_setopt(easy, CURLOPT_URL, argv[1]);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, atol(argv[2]));
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, 2L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, count);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &total);
    curl_multi_add_handle(multi, easy);
    while (curl_multi_perform(multi, &running) == CURLM_OK && running)
        curl_multi_poll(multi, NULL, 0, 10000, NULL);
    CURLMsg *message = curl_multi_info_read(multi, &left);
    if (message == NULL)
        return 2;
    if (message->data.result == CURLE_OK)
        puts("done");
    else if (message->data.result == CURLE_OPERATION_TIMEDOUT)
        printf("timed out with %s of the body\n",
               total == strtoul(argv[3], NULL, 10) ? "all" : "a part");
    else
        puts(curl_easy_strerror(message->data.result));
    curl_multi_remove_handle(multi, easy);
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
    return 0;
}
END
include=$(dirname "$(find "$work/root" -name curl.h)")/..
library=$(dpkg -L libcurl4 | grep '/libcurl\.so\.4$')
gcc -Wall -Wextra -I"$include" -o "$work/get" "$work/get.c" "$library"

node "$work/server.js" >"$work/port" &
server=$!
for ((i = 0; i < 100; i++)); do
    [[ ! -s $work/port ]] || break
    sleep 0.1
done
url=http://127.0.0.1:$(<"$work/port")

five() { # BUFFER BODY [length]
    printf 'buffer %5d, body %5d%s: ' "$1" "$2" "${3:+, Content-Length}"
    for _ in 1 2 3 4 5; do
        "$work/get" "$url/$2${3:+/length}" "$1" "$2"
    done | sort | uniq -c | awk '{ n = $1; $1 = ""; printf "%s%s %d of 5", sep, substr($0, 2), n
        sep = ", " } END { print "" }'
}

look() {
    five 1024 100
    five 1024 1024
    five 1024 1024 length
    five 1024 16384 length
    five 4096 4096
    five 16384 16384
    five 16384 16384 length
    five 32768 16384
    five 32768 65536
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
