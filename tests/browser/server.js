// Serves the page and PouchDB from loopback origins: the one that the daemon allows, and a stranger.
'use strict';

const fs = require('fs');
const http = require('http');
const path = require('path');

const files = {
  '/': [path.join(__dirname, 'page.html'), 'text/html; charset=utf-8'],
  '/pouchdb.min.js': [require.resolve('pouchdb/dist/pouchdb.min.js'), 'text/javascript'],
};

// Resolves to a server that listens on a free port of 127.0.0.1.
function serve() {
  const server = http.createServer((request, response) => {
    const [file, type] = files[request.url] || [];
    if (!file) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'Content-Type': type });
    fs.createReadStream(file).pipe(response);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', () => resolve(server));
  });
}

module.exports = { serve };

if (require.main === module) {
  Promise.all([serve(), serve()]).then((servers) => {
    console.log(servers.map((server) => server.address().port).join(' '));
  });
}
