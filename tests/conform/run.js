// The conformance suite: what CouchDB's documentation promises, point by point. Arguments: the server's address, and an
// administrator's name and password.
'use strict';

const { run } = require('./lib');

run([...require('./documents'), ...require('./content'), ...require('./design')]);
