#!/usr/bin/node
// http2: HTTP/2 over TLS in front of a stand-in that speaks HTTP/1.1, both on loopback. Each answer
// goes out in one breath, with its length or without one, as Google's do.
//
//   http2.cjs CERTIFICATE KEY PORT STAND_IN_PORT with-length|without-length
'use strict';
const fs = require('fs');
const http = require('http');
const http2 = require('http2');

const [certificate, key, port, behind, length] = process.argv.slice(2);

function respond(stream, answer, body) {
  const headers = { ':status': answer.statusCode };
  for (const name of ['content-type', 'retry-after']) {
    if (answer.headers[name] !== undefined) headers[name] = answer.headers[name];
  }
  if (length === 'with-length') headers['content-length'] = body.length;
  stream.respond(headers);
  stream.end(body);
}

function passOn(stream, headers, body) {
  const kept = Object.entries(headers).filter(([name]) => !name.startsWith(':'));
  const request = http.request({
    port: behind,
    method: headers[':method'],
    path: headers[':path'],
    headers: { ...Object.fromEntries(kept), 'content-length': body.length },
  }, (answer) => {
    const parts = [];
    answer.on('data', (part) => parts.push(part));
    answer.on('end', () => { if (!stream.destroyed) respond(stream, answer, Buffer.concat(parts)); });
  });
  request.on('error', () => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR));
  request.end(body);
}

const server = http2.createSecureServer({
  cert: fs.readFileSync(certificate),
  key: fs.readFileSync(key),
  settings: { maxConcurrentStreams: 100 },
});
server.on('stream', (stream, headers) => {
  const parts = [];
  stream.on('error', () => {});
  stream.on('data', (part) => parts.push(part));
  stream.on('end', () => passOn(stream, headers, Buffer.concat(parts)));
});
server.listen(Number(port), '127.0.0.1', () => console.log('READY'));
