// TLS and basic authentication in front of a server on loopback: node tls_front.js SERVER_PORT CERTIFICATE KEY USER:PASSWORD
// Prints the port it listens on.
'use strict';
const fs = require('fs');
const http = require('http');
const https = require('https');
const [serverPort, cert, key, credentials] = process.argv.slice(2);
const wanted = 'Basic ' + Buffer.from(credentials).toString('base64');

const front = https.createServer({cert: fs.readFileSync(cert), key: fs.readFileSync(key)}, (request, response) => {
  if (request.headers.authorization !== wanted) {
    response.writeHead(401, {'Content-Type': 'application/json'});
    response.end('{"error":"unauthorized","reason":"Name or password is incorrect."}');
    return;
  }
  const headers = Object.assign({}, request.headers);
  delete headers.authorization;
  const onward = http.request(
    {host: '127.0.0.1', port: serverPort, method: request.method, path: request.url, headers},
    (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
  onward.on('error', () => request.socket.destroy());
  request.pipe(onward);
});
front.listen(0, '127.0.0.1', () => console.log(front.address().port));
