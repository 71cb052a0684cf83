#!/usr/bin/node
// http2: HTTP/2 over TLS, or HTTP/1.1 for those that want no more, in front of a stand-in that speaks
// HTTP/1.1, both on loopback. Each answer goes out in one breath, with its length or without one, as
// Google's do.
//
//   http2.cjs CERTIFICATE KEY PORT STAND_IN_PORT with-length|without-length
'use strict';
const fs = require('fs');
const http = require('http');
const http2 = require('http2');

const [certificate, key, port, behind, length] = process.argv.slice(2);

function headersOf(answer, body) {
  const headers = {};
  for (const name of ['content-type', 'retry-after']) {
    if (answer.headers[name] !== undefined) headers[name] = answer.headers[name];
  }
  if (length === 'with-length') headers['content-length'] = body.length;
  return headers;
}

function collect(stream, done) {
  const parts = [];
  stream.on('error', () => {});
  stream.on('data', (part) => parts.push(part));
  stream.on('end', () => done(Buffer.concat(parts)));
}

function passOn(method, path, headers, body, answered, failed) {
  const kept = Object.entries(headers).filter(([name]) => !name.startsWith(':'));
  const request = http.request({
    port: behind,
    method,
    path,
    headers: { ...Object.fromEntries(kept), 'content-length': body.length },
  }, (answer) => collect(answer, (text) => answered(answer, text)));
  request.on('error', failed);
  request.end(body);
}

const server = http2.createSecureServer({
  cert: fs.readFileSync(certificate),
  key: fs.readFileSync(key),
  settings: { maxConcurrentStreams: 100 },
  allowHTTP1: true,
});
server.on('stream', (stream, headers) => collect(stream, (body) => {
  passOn(headers[':method'], headers[':path'], headers, body, (answer, text) => {
    if (stream.destroyed) return;
    stream.respond({ ':status': answer.statusCode, ...headersOf(answer, text) });
    stream.end(text);
  }, () => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR));
}));
server.on('request', (request, response) => {
  if (request.httpVersionMajor > 1) return; // a stream
  collect(request, (body) => {
    passOn(request.method, request.url, request.headers, body, (answer, text) => {
      response.writeHead(answer.statusCode, headersOf(answer, text));
      response.write(text); // in chunks, where it has no length
      response.end();
    }, () => response.destroy());
  });
});
server.listen(Number(port), '127.0.0.1', () => console.log('READY'));
