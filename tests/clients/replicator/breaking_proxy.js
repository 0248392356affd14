// A proxy on loopback that ends a server at a chosen moment: node breaking_proxy.js SERVER_PORT PID METHOD WORD N
// passes requests on, but at the N-th whose method is METHOD and whose path has WORD it kills PID and drops the
// connection. Prints the port it listens on.
'use strict';
const http = require('http');
const [serverPort, pid, method, word, n] = process.argv.slice(2);
let seen = 0;

const proxy = http.createServer((request, response) => {
  if (request.method === method && request.url.includes(word) && ++seen === Number(n)) {
    process.kill(Number(pid), 'SIGKILL');
    request.socket.destroy();
    return;
  }
  const onward = http.request(
    {host: '127.0.0.1', port: serverPort, method: request.method, path: request.url, headers: request.headers},
    (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
  onward.on('error', () => request.socket.destroy());
  request.pipe(onward);
});
proxy.listen(0, '127.0.0.1', () => console.log(proxy.address().port));
