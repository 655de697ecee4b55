'use strict';
// Node's HTTP server, with the options and the parser that it has by default,
// answering each request with what it saw of it (servers.py has the format).
//
// Node parses all that has arrived before it lets any answer go.  When a
// request that it refuses follows others in one piece, its default is to drop
// the answers to these with the connection.  They count as seen here, so the
// answers are written before the connection closes.

const http = require('http');

// Printable ASCII and escapes only: it must fit into a header, too.
function asciiJson(value) {
  return JSON.stringify(value).replace(/[\x7f-\uffff]/g, (c) =>
    '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
}

function describe(req, body) {
  const fields = [];
  for (let i = 0; i < req.rawHeaders.length; i += 2)
    fields.push([req.rawHeaders[i], req.rawHeaders[i + 1]]);
  return asciiJson({
    method: req.method,
    target: req.url,
    minor: req.httpVersionMinor,
    fields,
    body: body.toString('latin1'),
  });
}

function answer(seen) {
  const { req, res, json } = seen;
  if (req.method === 'HEAD') {
    res.setHeader('X-Seen', json);
    res.end();
  } else {
    res.setHeader('Content-Type', 'application/json');
    res.setHeader('Content-Length', json.length);
    res.end(json);
  }
}

function rawAnswer(seen) {
  return seen.req.method === 'HEAD' ?
    `HTTP/1.1 200 OK\r\nX-Seen: ${seen.json}\r\nContent-Length: 0\r\n\r\n` :
    `HTTP/1.1 200 OK\r\nContent-Length: ${seen.json.length}\r\n\r\n` +
    seen.json;
}

const server = http.createServer((req, res) => {
  const pieces = [];
  const push = req.push;
  const seen = { req, res, json: null };
  (req.socket.seen ??= []).push(seen);
  // The parser hands the body over with push, and ends it with push(null);
  // the events `data` and `end` come later, and may never come.
  req.push = function (piece, encoding) {
    if (piece !== null)
      pieces.push(piece);
    else if (req.complete)
      seen.json = describe(req, Buffer.concat(pieces));
    return push.call(req, piece, encoding);
  };
  req.on('error', () => {});
  req.on('end', () => answer(seen));
  req.resume();
});

const STATUS = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Payload Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

function writeAnswersDue(socket) {
  for (const seen of socket.seen ?? []) {
    const written = seen.res.writableEnded && seen.res.socket !== null;
    if (seen.json !== null && !written && !seen.res.writableFinished)
      socket.write(rawAnswer(seen));
  }
}

// Both do as Node does without a listener, after the answers that are due.
server.on('connect', (req, socket) => {
  writeAnswersDue(socket);
  socket.end();
});
server.on('clientError', (error, socket) => {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  writeAnswersDue(socket);
  const line = STATUS[error.code] || '400 Bad Request';
  socket.end(`HTTP/1.1 ${line}\r\nConnection: close\r\nX-Why: ${
    String(error.code)}\r\nContent-Length: 0\r\n\r\n`);
});

// The tests half-close.  Without this, Node drops the answers due then.
server.httpAllowHalfOpen = true;

server.listen(0, '127.0.0.1', () => {
  process.stderr.write(`ready port=${server.address().port}\n`);
});
process.on('SIGTERM', () => process.exit(0));
