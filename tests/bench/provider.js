#!/usr/bin/node
// provider: Google as far as a benchmark needs it: HTTP/2 over TLS on loopback, an access token for
// the asking, and every message accepted after DELAY ms.
//
//   provider.js CERTIFICATE KEY DELAY
//
// Prints `READY https://127.0.0.1:PORT`. GET /report tells what has come since the one before:
// { sessions, most: streams at once, arrivals: [[device token, nanoseconds of CLOCK_MONOTONIC]] }.
'use strict';
const fs = require('fs');
const http2 = require('http2');

const [certificate, key, delay] = process.argv.slice(2);
const accepted = Buffer.from('{"name":"projects/bench/messages/0:1"}');
// As long as those of service accounts are.
const token = 'ya29.c.'.padEnd(1024, 'x');
const ok = { ':status': 200, 'content-type': 'application/json; charset=UTF-8' };
// With its length: libcurl 7.88 resets each stream that only its end has ended, and the nghttp2 in
// Node hangs up on a client that has reset a thousand.
const done = { ...ok, 'content-length': accepted.length };

let open = 0;
let most = 0;
let arrivals = [];
const sessions = new Set();

function accept(stream, body) {
  const found = /"token":"([^"]*)"/.exec(body);
  if (found === null) {
    stream.respond({ ':status': 400 });
    stream.end();
    return;
  }
  setTimeout(() => {
    open--;
    if (!stream.destroyed) {
      stream.respond(done);
      stream.end(accepted);
    }
  }, delay);
  arrivals.push([found[1], Number(process.hrtime.bigint())]);
  most = Math.max(most, ++open);
}

function report() {
  const text = JSON.stringify({ sessions: sessions.size, most, arrivals });
  arrivals = [];
  most = open;
  sessions.clear();
  return text;
}

const server = http2.createSecureServer({
  cert: fs.readFileSync(certificate),
  key: fs.readFileSync(key),
  settings: { maxConcurrentStreams: 100 },
});
server.on('stream', (stream, headers) => {
  const path = headers[':path'];
  let body = '';
  stream.setEncoding('latin1');
  stream.on('error', () => {});
  stream.on('data', (text) => { body += text; });
  stream.on('end', () => {
    if (path === '/report') {
      stream.respond(ok);
      stream.end(report());
    } else if (path === '/token') {
      stream.respond(ok);
      stream.end(JSON.stringify({ access_token: token, expires_in: 3599, token_type: 'Bearer' }));
    } else {
      sessions.add(stream.session);
      accept(stream, body);
    }
  });
});
server.listen(0, '127.0.0.1', () => {
  console.log(`READY https://127.0.0.1:${server.address().port}`);
});
