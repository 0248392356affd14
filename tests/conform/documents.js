// The server, databases and documents.
'use strict';

const { base, ok, same, ask, gives, database, put, fill, numbered } = require('./lib');

async function basics() {
  let a = gives(await ask('GET', '/'), 200, (j) => j.couchdb === 'Welcome' && /^3\./.test(j.version) && /^[0-9a-f]{32}$/.test(j.uuid) && Array.isArray(j.features) && j.vendor.name && 'git_sha' in j, 'welcome');
  ok(/^application\/json/.test(a.headers['content-type']), 'JSON to whom takes JSON', a.headers);
  ok(a.headers['cache-control'] === 'must-revalidate', 'must-revalidate', a.headers);
  ok(/^[0-9a-f]{10}$/.test(a.headers['x-couch-request-id'] || ''), 'each request has an id', a.headers);
  ok('server' in a.headers, 'Server is told', a.headers);
  a = await ask('GET', '/', { headers: { Accept: 'text/html' } });
  same(a.headers['content-type'], 'text/plain; charset=utf-8', 'plain text to a browser');
  a = await ask('GET', '/', { headers: { Accept: '*/*' } });
  same(a.headers['content-type'], 'application/json', 'JSON to whom takes everything');
  ok(a.text.endsWith('\n'), 'an answer ends with a line feed', a.text);

  a = gives(await ask('PUT', '/basics'), 201, { ok: true }, 'PUT makes a database');
  same(a.headers.location, `${base}/basics`, 'its Location');
  gives(await ask('PUT', '/basics'), 412, { error: 'file_exists', reason: 'The database could not be created, the file already exists.' }, 'not twice');
  gives(await ask('GET', '/basics'), 200, (j) => j.db_name === 'basics' && j.doc_count === 0 && j.doc_del_count === 0 && /^0-/.test(j.update_seq) && /^0/.test(String(j.purge_seq)) && j.compact_running === false, 'a new one is empty');
  gives(await ask('GET', '/basics'), 200, (j) => ['file', 'external', 'active'].every((k) => Number.isInteger(j.sizes[k])) && typeof j.props === 'object' && ['q', 'n', 'w', 'r'].every((k) => Number.isInteger(j.cluster[k])) && Number.isInteger(j.disk_format_version) && typeof j.instance_start_time === 'string', 'sizes, props, cluster, instance_start_time');
  gives(await ask('HEAD', '/basics'), 200, (j, r) => r.bytes.length === 0, 'HEAD');
  gives(await ask('GET', '/_all_dbs'), 200, (j) => j.includes('basics'), '_all_dbs');
  gives(await ask('POST', '/_dbs_info', { body: { keys: ['basics', 'nothing'] } }), 200, (j) => j[0].key === 'basics' && j[0].info.doc_count === 0 && j[1].key === 'nothing' && j[1].error === 'not_found', '_dbs_info by keys');
  gives(await ask('POST', '/_dbs_info', { body: {} }), 400, { error: 'bad_request', reason: '`keys` member must exist.' }, '_dbs_info wants keys');

  a = gives(await ask('PUT', '/basics/0', { body: { _id: '0', a: 1, b: 1 } }), 201, (j) => j.ok && j.id === '0' && /^1-[0-9a-f]{32}$/.test(j.rev), 'PUT of a document');
  same(a.headers.etag, `"${a.json.rev}"`, 'its ETag');
  same(a.headers.location, `${base}/basics/0`, 'its Location');
  const rev = a.json.rev;
  gives(await ask('GET', '/basics/0'), 200, (j, r) => j._id === '0' && j._rev === rev && r.headers.etag === `"${rev}"`, 'GET');
  ok((await ask('GET', '/basics/0')).text.startsWith('{"_id":"0","_rev":'), '_id and _rev come first', '');
  gives(await ask('GET', '/basics/0/'), 200, { _id: '0' }, 'a slash behind the path changes nothing');
  gives(await ask('GET', '/basics/none'), 404, { error: 'not_found', reason: 'missing' }, 'missing');
  gives(await ask('GET', '/nodb/none'), 404, { error: 'not_found', reason: 'Database does not exist.' }, 'no such database');
  gives(await ask('PUT', '/nodb/doc', { body: {} }), 404, { reason: 'Database does not exist.' }, 'nor for PUT');
  gives(await ask('PUT', '/basics/0', { body: { a: 4 } }), 409, { error: 'conflict', reason: 'Document update conflict.' }, 'an edit needs the revision');
  a = gives(await ask('PUT', '/basics/0', { body: { _rev: rev, a: 4 } }), 201, (j) => /^2-/.test(j.rev), 'an edit');
  gives(await ask('GET', `/basics/0?rev=${rev}`), 200, { a: 1, _rev: rev }, 'the old revision');
  gives(await ask('GET', '/basics'), 200, { doc_count: 1, doc_del_count: 0 }, 'counted once');
  gives(await ask('DELETE', '/basics/0'), 409, { error: 'conflict' }, 'DELETE needs the revision');
  gives(await ask('DELETE', `/basics/0?rev=${a.json.rev}`), 200, (j) => j.ok && /^3-/.test(j.rev), 'DELETE');
  gives(await ask('GET', '/basics/0'), 404, { error: 'not_found', reason: 'deleted' }, 'deleted');
  gives(await ask('HEAD', '/basics/0'), 404, null, 'also for HEAD');
  gives(await ask('DELETE', '/basics/0'), 404, { error: 'not_found', reason: 'deleted' }, 'DELETE of the deleted');
  gives(await ask('DELETE', '/basics/never'), 404, { error: 'not_found', reason: 'missing' }, 'DELETE of the missing');
  gives(await ask('GET', '/basics'), 200, { doc_count: 0, doc_del_count: 1 }, 'counted as deleted');

  a = gives(await ask('POST', '/basics', { body: { foo: 'bar' } }), 201, (j) => j.ok && /^[0-9a-f]{32}$/.test(j.id), 'POST chooses an id');
  same(a.headers.location, `${base}/basics/${a.json.id}`, 'and tells where');
  gives(await ask('POST', '/basics', { body: { _id: 'mine' } }), 201, { id: 'mine' }, 'POST with an id');
  gives(await ask('POST', '/basics', { body: { _id: 'mine' } }), 409, { error: 'conflict' }, 'POST over a document');
  gives(await ask('POST', '/basics', { body: '{}', headers: { 'Content-Type': 'text/plain' } }), 415, { error: 'bad_content_type', reason: 'Content-Type must be application/json' }, 'POST of another type');
  gives(await ask('POST', '/basics', { body: '{}', headers: { 'Content-Type': 'application/json;charset=utf-8' } }), 201, { ok: true }, 'a charset is allowed');
  gives(await ask('PUT', '/basics/bad', { body: { _zing: 4 } }), 400, { error: 'doc_validation', reason: 'Bad special document member: _zing' }, 'a member with an underscore');
  for (const text of ['[]', '"text"', '1', 'null', 'true'])
    gives(await ask('PUT', '/basics/bad', { body: text, headers: { 'Content-Type': 'application/json' } }), 400, { error: 'bad_request', reason: 'Document must be a JSON object' }, `${text} is no document`);
  for (const text of ['{', '{"a":}', '{"a":1,}', "{'a':1}", '{"a":1} x', ''])
    gives(await ask('PUT', '/basics/bad', { body: text, headers: { 'Content-Type': 'application/json' } }), 400, (j) => j.error === 'bad_request' && /JSON/.test(j.reason), `${text} is no JSON`);
  gives(await ask('PUT', '/basics/bad', { body: { _rev: 3 } }), 400, { error: 'bad_request' }, 'a _rev that is no text');
  gives(await ask('PUT', '/basics/bad', { body: { _rev: 'x' } }), 400, { error: 'bad_request', reason: 'Invalid rev format' }, 'a _rev that is none');
  gives(await ask('GET', '/basics/mine?rev=x'), 400, { error: 'bad_request', reason: 'Invalid rev format' }, 'a rev that is none');
  gives(await ask('GET', '/basics/mine?rev=9-abc'), 404, { error: 'not_found', reason: 'missing' }, 'a rev that is not here');
  gives(await ask('PATCH', '/basics'), 405, { error: 'method_not_allowed' }, 'PATCH of a database');
  a = gives(await ask('PUT', '/_all_dbs'), 405, { error: 'method_not_allowed', reason: 'Only GET,HEAD allowed' }, 'PUT of _all_dbs');
  same(a.headers.allow, 'GET,HEAD', 'Allow');
  gives(await ask('DELETE', '/basics/_all_docs'), 405, { error: 'method_not_allowed' }, 'DELETE of _all_docs');
  gives(await ask('GET', '/_nothing'), 404, { error: 'not_found' }, 'an unknown endpoint');
  gives(await ask('GET', '/basics/_nothing'), 404, { error: 'not_found' }, 'of a database, too');
  gives(await ask('POST', '/basics/_ensure_full_commit', { headers: { 'Content-Type': 'application/json' } }), 201, (j) => j.ok === true && typeof j.instance_start_time === 'string', '_ensure_full_commit');
  gives(await ask('POST', '/basics/_compact', { headers: { 'Content-Type': 'application/json' } }), 202, { ok: true }, '_compact');
  gives(await ask('POST', '/basics/_compact', { body: '', headers: { 'Content-Type': 'text/plain' } }), 415, { error: 'bad_content_type' }, '_compact wants JSON');
  gives(await ask('GET', '/basics/_revs_limit'), 200, (j, r) => r.text === '1000\n', '_revs_limit');
  gives(await ask('GET', '/_up'), 200, { status: 'ok' }, '_up');
  gives(await ask('GET', '/_active_tasks'), 200, (j) => Array.isArray(j), '_active_tasks');
  gives(await ask('GET', '/_membership'), 200, (j) => j.all_nodes.length === 1 && j.cluster_nodes.length === 1, '_membership');
  gives(await ask('DELETE', '/basics?rev=1-a'), 400, { error: 'bad_request', reason: "You tried to DELETE a database with a ?=rev parameter. Did you mean to DELETE a document instead?" }, 'DELETE of a database with a revision');
  gives(await ask('DELETE', '/basics'), 200, { ok: true }, 'DELETE of a database');
  gives(await ask('DELETE', '/basics'), 404, { error: 'not_found', reason: 'Database does not exist.' }, 'once');
  gives(await ask('GET', '/basics'), 404, { error: 'not_found', reason: 'Database does not exist.' }, 'then it is gone');
}

async function names() {
  for (const name of ['Upper', '0digit', 'a.b', 'a%20b', 'a!b', 'a%5Cb', '%C3%A4', '-a'])
    gives(await ask('PUT', `/${name}`), 400, (j) => j.error === 'illegal_database_name' && /^Name: '.*'\. Only lowercase characters \(a-z\), digits \(0-9\), and any of the characters _, \$, \(, \), \+, -, and \/ are allowed\. Must begin with a letter\.$/.test(j.reason), `${name} is no name`);
  for (const name of ['a_b', 'a$b', 'a(b)', 'a%2Bb', 'a-b', 'a%2Fb', `a${'x'.repeat(200)}`]) {
    gives(await ask('PUT', `/${name}`), 201, { ok: true }, `${name} is a name`);
    gives(await ask('GET', `/${name}`), 200, { db_name: decodeURIComponent(name) }, 'told as it is');
    gives(await ask('DELETE', `/${name}/`), 200, { ok: true }, 'and deleted, with a slash');
  }
  const db = await database();
  for (const id of ['_foo', '_', '_bad/id'])
    gives(await ask('PUT', `/${db}/${encodeURIComponent(id)}`, { body: {} }), 400, { error: 'illegal_docid', reason: 'Only reserved document ids may start with underscore.' }, `${id} is no id`);
  gives(await ask('POST', `/${db}`, { body: { _id: '_invalid' } }), 400, { error: 'illegal_docid', reason: 'Only reserved document ids may start with underscore.' }, 'nor by POST');
  gives(await ask('POST', `/${db}`, { body: { _id: '' } }), 400, { error: 'illegal_docid', reason: 'Document id must not be empty' }, 'nor an empty one');
  gives(await ask('POST', `/${db}`, { body: { _id: 1 } }), 400, { error: 'illegal_docid', reason: 'Document id must be a string' }, 'nor a number');
  gives(await ask('POST', `/${db}`, { body: { _id: null } }), 400, { error: 'illegal_docid' }, 'nor null');
  gives(await ask('POST', `/${db}/_bulk_docs`, { body: { docs: [{ _id: '_invalid' }, { _id: 'good' }] } }), 400, { error: 'illegal_docid' }, 'in _bulk_docs');
  gives(await ask('POST', `/${db}/_bulk_docs`, { body: { docs: [{ _id: 0 }] } }), 400, { error: 'illegal_docid' }, 'a number there');
  gives(await ask('PUT', `/${db}/_design%2Fsimple`, { body: {} }), 201, { id: '_design/simple' }, 'design documents begin with it');
  for (const id of ['a/b', 'a b', 'a+b', 'a%b', 'a?b', 'a#b', 'ä', '日本', 'a:b', '.', '..', 'q"q', 'back\\slash', "it's"]) {
    gives(await ask('PUT', `/${db}/${encodeURIComponent(id).replace(/\./g, '%2E')}`, { body: { v: 1 } }), 201, { id }, `${id} is an id`);
    gives(await ask('GET', `/${db}/${encodeURIComponent(id).replace(/\./g, '%2E')}`), 200, { _id: id }, 'and read by it');
  }
}

async function bulk() {
  const db = await database();
  let a = gives(await fill(db, numbered(5)), 201, (j) => j.length === 5 && j.every((r, i) => r.ok === true && r.id === String(i) && /^1-/.test(r.rev)), 'five documents');
  const docs = numbered(5).map((d, i) => ({ ...d, string: `${d.string}.00`, _rev: a.json[i].rev }));
  a = gives(await fill(db, docs), 201, (j) => j.every((r) => /^2-/.test(r.rev)), 'five edits');
  docs.forEach((d, i) => { d._rev = a.json[i].rev; d._deleted = true; });
  const stale = { ...docs[0], _rev: undefined };
  a = gives(await fill(db, [stale, ...docs.slice(1)]), 201, (j) => j[0].id === '0' && j[0].error === 'conflict' && j[0].reason === 'Document update conflict.' && !('rev' in j[0]) && !('ok' in j[0]) && j[1].ok, 'one conflict among deletions');
  gives(await ask('GET', `/${db}/1`), 404, { reason: 'deleted' }, 'deleted in bulk');
  gives(await ask('POST', `/${db}/_bulk_docs`, { body: { docs: [{ _id: 'x' }, { _id: 'x' }] } }), 201, (j) => j[0].ok && j[1].error === 'conflict', 'the same id twice');
  gives(await ask('POST', `/${db}/_bulk_docs`, { body: { docs: [] } }), 201, (j) => Array.isArray(j) && j.length === 0, 'nothing');
  gives(await ask('POST', `/${db}/_bulk_docs`, { body: { doc: [] } }), 400, { error: 'bad_request', reason: 'POST body must include `docs` parameter.' }, 'docs is missing');
  gives(await ask('POST', `/${db}/_bulk_docs`, { body: { docs: {} } }), 400, { error: 'bad_request', reason: '`docs` parameter must be an array.' }, 'docs is no array');
  gives(await ask('POST', `/${db}/_bulk_docs`, { body: [] }), 400, { error: 'bad_request', reason: 'Request body must be a JSON object' }, 'the body is no object');
  gives(await ask('POST', `/${db}/_bulk_docs`, { body: { docs: ['text'] } }), 400, { error: 'bad_request', reason: 'Document must be a JSON object' }, 'a document is no object');
  gives(await ask('POST', `/${db}/_bulk_docs`, { body: { docs: [], new_edits: 0 } }), 400, { error: 'bad_request', reason: '`new_edits` parameter must be a boolean.' }, 'new_edits is no boolean');
  gives(await ask('POST', `/${db}/_bulk_docs`, { body: '{"docs": [}', headers: { 'Content-Type': 'application/json' } }), 400, (j) => j.error === 'bad_request' && j.reason.startsWith('invalid UTF-8 JSON'), 'bad JSON');
  gives(await ask('POST', `/${db}/_bulk_docs`, { body: '{"docs":[]}', headers: { 'Content-Type': 'text/plain' } }), 415, { error: 'bad_content_type' }, 'of another type');
  gives(await ask('GET', `/${db}/_bulk_docs`), 405, { reason: 'Only POST allowed' }, 'GET');
  gives(await ask('POST', `/${db}/_bulk_docs`, { body: { docs: [{ a: 1 }, { b: 2 }] } }), 201, (j) => j.every((r) => /^[0-9a-f]{32}$/.test(r.id)), 'ids are made up');
  gives(await ask('POST', `/${db}/_bulk_docs`, { body: { docs: [{ _id: 'f', _foo: 1 }] } }), 400, { error: 'doc_validation' }, 'a bad member refuses all');
  gives(await ask('POST', `/${db}/_bulk_docs`, { body: { new_edits: false, docs: [{ _id: 'r', _rev: '3-ccc' }, { _id: 'r', _rev: '3-ddd' }] } }), 201, (j) => j.length === 0, 'new_edits=false is silent');
  gives(await ask('POST', `/${db}/_bulk_docs`, { body: { new_edits: false, docs: [{ _id: 'nr' }] } }), 400, { error: 'bad_request', reason: 'When `new_edits: false`, the document needs `_rev` or `_revisions` specified' }, 'but wants a revision');
}

async function conflicts() {
  const db = await database();
  const leaf = (rev, extra) => ({ _id: 'foo', _rev: rev, ...extra });
  await ask('POST', `/${db}/_bulk_docs`, { body: { new_edits: false, docs: [
    leaf('1-a', { v: 1 }), leaf('2-b', { v: 2, _revisions: { start: 2, ids: ['b', 'a'] } }),
    leaf('2-c', { v: 3, _revisions: { start: 2, ids: ['c', 'a'] } }), leaf('2-d', { _deleted: true, _revisions: { start: 2, ids: ['d', 'a'] } })] } });
  gives(await ask('GET', `/${db}/foo?conflicts=true`), 200, { _rev: '2-c', _conflicts: ['2-b'], v: 3 }, 'conflicts');
  gives(await ask('GET', `/${db}/foo?deleted_conflicts=true`), 200, { _rev: '2-c', _deleted_conflicts: ['2-d'] }, 'deleted_conflicts');
  gives(await ask('GET', `/${db}/foo?meta=true`), 200, (j) => j._conflicts.length === 1 && j._deleted_conflicts.length === 1 && j._revs_info[0].status === 'available' && Number.isInteger(j._local_seq) === false ? '_local_seq' in j || true : true, 'meta');
  gives(await ask('GET', `/${db}/foo?revs=true`), 200, { _revisions: { start: 2, ids: ['c', 'a'] } }, 'revs');
  gives(await ask('GET', `/${db}/foo?revs_info=true`), 200, (j) => j._revs_info[0].rev === '2-c' && j._revs_info[1].rev === '1-a', 'revs_info');
  gives(await ask('GET', `/${db}/foo?open_revs=all`), 200, (j) => j.length === 3 && j.every((r) => r.ok), 'open_revs=all');
  gives(await ask('GET', `/${db}/foo?open_revs=${encodeURIComponent('["2-b","9-x"]')}`), 200, (j) => j[0].ok._rev === '2-b' && j[1].missing === '9-x', 'open_revs of a list');
  gives(await ask('GET', `/${db}/foo?open_revs=${encodeURIComponent('["1-a"]')}&latest=true`), 200, (j) => j.length === 3, 'with latest all leaves below');
  gives(await ask('GET', `/${db}/none?open_revs=all`), 404, { error: 'not_found', reason: 'missing' }, 'open_revs=all of a missing document');
  gives(await ask('GET', `/${db}/none?open_revs=${encodeURIComponent('["1-a"]')}`), 200, (j) => j[0].missing === '1-a', 'open_revs of one, of a missing document');
  gives(await ask('GET', `/${db}/foo?rev=2-d`), 200, { _deleted: true, _rev: '2-d' }, 'the tombstone');
  gives(await ask('GET', `/${db}/_changes?style=all_docs`), 200, (j) => JSON.stringify(j.results[0].changes.map((c) => c.rev)) === '["2-c","2-b","2-d"]', 'all leaves in _changes, the winner first');
  gives(await ask('POST', `/${db}/_revs_diff`, { body: { foo: ['2-c', '3-x'], bar: ['1-z'] } }), 200, (j) => JSON.stringify(j.foo.missing) === '["3-x"]' && j.foo.possible_ancestors.includes('2-c') && JSON.stringify(j.bar.missing) === '["1-z"]' && !j.bar.possible_ancestors, '_revs_diff');
  gives(await ask('POST', `/${db}/_missing_revs`, { body: { foo: ['2-c', '3-x'] } }), 200, { missed_revs: undefined, missing_revs: { foo: ['3-x'] } }, '_missing_revs');
  gives(await ask('DELETE', `/${db}/foo?rev=2-c`), 200, { ok: true }, 'the winner goes');
  gives(await ask('GET', `/${db}/foo?conflicts=true`), 200, (j) => j._rev === '2-b' && !('_conflicts' in j), 'the other wins, without conflicts');
  gives(await ask('PUT', `/${db}/foo`, { body: { _rev: '2-c' } }), 409, { error: 'conflict' }, 'a revision that is no leaf');
  gives(await ask('POST', `/${db}/_bulk_get`, { body: { docs: [{ id: 'foo', rev: '2-b' }, { id: 'foo', rev: '9-x' }, { id: 'none' }] } }), 200, (j) => j.results[0].docs[0].ok._rev === '2-b' && j.results[1].docs[0].error.error === 'not_found' && j.results[1].docs[0].error.rev === '9-x' && j.results[2].docs[0].error.id === 'none' && j.results[2].docs[0].error.reason === 'missing', '_bulk_get');
  gives(await ask('POST', `/${db}/_bulk_get`, { body: { docs: [{ id: 'none' }] } }), 200, (j) => j.results[0].docs[0].error.rev === 'undefined', 'whose rev is "undefined" when none was asked for');
  gives(await ask('POST', `/${db}/_bulk_get`, { body: {} }), 400, { error: 'bad_request', reason: "Missing JSON list of 'docs'." }, '_bulk_get wants docs');
}

async function copy() {
  const db = await database();
  const rev = await put(db, 'from', { v: 1 });
  let a = gives(await ask('COPY', `/${db}/from`, { headers: { Destination: 'to' } }), 201, (j) => j.ok && j.id === 'to' && /^1-/.test(j.rev), 'COPY');
  same(a.headers.location, `${base}/${db}/to`, 'its Location');
  gives(await ask('GET', `/${db}/to`), 200, { v: 1 }, 'has the members');
  gives(await ask('COPY', `/${db}/from`, { headers: { Destination: 'to' } }), 409, { error: 'conflict' }, 'not over another');
  gives(await ask('COPY', `/${db}/from`, { headers: { Destination: `to?rev=${a.json.rev}` } }), 201, (j) => /^2-/.test(j.rev), 'but with its revision');
  gives(await ask('COPY', `/${db}/from?rev=${rev}`, { headers: { Destination: 'third' } }), 201, { id: 'third' }, 'of a revision');
  gives(await ask('COPY', `/${db}/none`, { headers: { Destination: 'x' } }), 404, { error: 'not_found', reason: 'missing' }, 'of nothing');
  gives(await ask('COPY', `/${db}/from`), 400, { error: 'bad_request', reason: 'Destination header is mandatory for COPY.' }, 'without Destination');
  gives(await ask('COPY', `/${db}/from`, { headers: { Destination: 'http://localhost/x/y' } }), 400, { error: 'bad_request', reason: 'Destination URL must be relative.' }, 'to an address');
}

async function etags() {
  const db = await database();
  const rev = await put(db, '1', {});
  gives(await ask('GET', `/${db}/1`, { headers: { 'If-None-Match': `"${rev}"` } }), 304, (j, r) => r.bytes.length === 0 && r.headers.etag === `"${rev}"`, '304 of a document');
  gives(await ask('HEAD', `/${db}/1`, { headers: { 'If-None-Match': `"${rev}"` } }), 304, null, 'also for HEAD');
  gives(await ask('GET', `/${db}/1`, { headers: { 'If-None-Match': 's' } }), 200, null, 'not with another');
  gives(await ask('PUT', `/${db}/1`, { body: {}, headers: { 'If-Match': 's' } }), 400, { error: 'bad_request', reason: 'Invalid rev format' }, 'If-Match that is no revision');
  gives(await ask('PUT', `/${db}/1`, { body: {}, headers: { 'If-Match': '1-abc' } }), 409, { error: 'conflict' }, 'If-Match of another revision');
  const a = gives(await ask('PUT', `/${db}/1`, { body: {}, headers: { 'If-Match': `"${rev}"` } }), 201, null, 'If-Match in quotes');
  gives(await ask('PUT', `/${db}/1?rev=1-abc`, { body: {}, headers: { 'If-Match': a.json.rev } }), 400, { error: 'bad_request', reason: 'Document rev and etag have different values' }, 'If-Match and rev that differ');
  gives(await ask('PUT', `/${db}/1?rev=${a.json.rev}`, { body: { _rev: rev } }), 400, { error: 'bad_request', reason: 'Document rev from request body and query string have different values' }, '_rev and rev that differ');
  const b = gives(await ask('PUT', `/${db}/1`, { body: {}, headers: { 'If-Match': a.json.rev } }), 201, null, 'If-Match without quotes');
  gives(await ask('DELETE', `/${db}/1`, { headers: { 'If-Match': rev } }), 409, { error: 'conflict' }, 'DELETE by an old If-Match');
  gives(await ask('DELETE', `/${db}/1`, { headers: { 'If-Match': b.json.rev } }), 200, { ok: true }, 'DELETE by If-Match');
}

async function lists() {
  const db = await database();
  await fill(db, ['a', 'b', 'c', 'd'].map((id) => ({ _id: id, n: id })));
  const gone = await put(db, 'gone', {});
  await ask('DELETE', `/${db}/gone?rev=${gone}`);
  const list = (query) => ask('GET', `/${db}/_all_docs?${query}`);
  const ids = (a) => a.json.rows.map((r) => r.id).join('');
  let a = gives(await list(''), 200, (j) => j.total_rows === 4 && j.offset === 0 && j.rows.length === 4 && j.rows.every((r) => r.id === r.key && r.value.rev), 'all');
  for (const [query, wanted] of [['startkey="b"', 'bcd'], ['start_key="b"', 'bcd'], ['endkey="b"', 'ab'], ['end_key="b"', 'ab'], ['startkey="b"&endkey="c"', 'bc'],
    ['startkey="b"&endkey="d"&inclusive_end=false', 'bc'], ['descending=true', 'dcba'], ['descending=true&startkey="c"', 'cba'], ['descending=true&endkey="b"', 'dcb'],
    ['limit=2', 'ab'], ['limit=0', ''], ['skip=3', 'd'], ['skip=1&limit=2', 'bc'], ['key="c"', 'c'], ['key="x"', ''], ['startkey=["b"]', ''], ['startkey=1', 'abcd'], ['endkey=1', ''], ['startkey="bb"', 'cd']])
    same(ids(await list(query.replace(/"/g, '%22'))), wanted, query);
  gives(await list('startkey=%22c%22'), 200, { offset: 2, total_rows: 4 }, 'offset');
  gives(await list('include_docs=true'), 200, (j) => j.rows.every((r) => r.doc._id === r.id && r.doc._rev === r.value.rev), 'include_docs');
  a = await ask('POST', `/${db}/_all_docs`, { body: { keys: ['c', 'none', 'gone', 'a', 'c'] } });
  gives(a, 200, (j) => j.total_rows === 4 && j.rows.length === 5 && j.rows[0].id === 'c' && j.rows[4].id === 'c', 'keys, in their order, twice if asked twice');
  same(a.json.rows[1], { key: 'none', error: 'not_found' }, 'a key that is not there');
  ok(a.json.rows[2].id === 'gone' && a.json.rows[2].value.deleted === true && /^2-/.test(a.json.rows[2].value.rev), 'a deleted one', a.json.rows[2]);
  gives(await ask('POST', `/${db}/_all_docs?include_docs=true`, { body: { keys: ['gone', 'none', 'a'] } }), 200, (j) => j.rows[0].doc === null && j.rows[2].doc._id === 'a', 'with include_docs a deleted one is null');
  gives(await ask('GET', `/${db}/_all_docs?keys=${encodeURIComponent('["b","a"]')}`), 200, (j) => j.rows.map((r) => r.id).join('') === 'ba', 'keys in the query');
  gives(await ask('POST', `/${db}/_all_docs?limit=1&skip=1`, { body: { keys: ['b', 'a', 'c'] } }), 200, (j) => j.rows.map((r) => r.id).join('') === 'a', 'keys with limit and skip');
  gives(await ask('POST', `/${db}/_all_docs?descending=true`, { body: { keys: ['b', 'a', 'c'] } }), 200, (j) => j.rows.map((r) => r.id).join('') === 'cab', 'keys descending');
  gives(await ask('POST', `/${db}/_all_docs`, { body: { keys: 'a' } }), 400, { error: 'bad_request', reason: '`keys` body member must be an array.' }, 'keys that are no array');
  gives(await ask('POST', `/${db}/_all_docs`, { body: {} }), 200, { total_rows: 4 }, 'an empty body');
  gives(await ask('POST', `/${db}/_all_docs/queries`, { body: { queries: [{ keys: ['a'] }, { limit: 1, skip: 2 }] } }), 200, (j) => j.results.length === 2 && j.results[0].rows[0].id === 'a' && j.results[1].rows[0].id === 'c', 'queries');
  gives(await list('update_seq=true'), 200, (j) => /^\d+-/.test(j.update_seq), 'update_seq');
  gives(await list('limit=-1'), 400, { error: 'query_parse_error' }, 'a negative limit');
  gives(await list('limit=x'), 400, { error: 'query_parse_error' }, 'a limit that is no number');
  gives(await list('descending=x'), 400, { error: 'query_parse_error' }, 'a boolean that is none');
  gives(await list('startkey=x'), 400, (j) => j.error === 'bad_request' || j.error === 'query_parse_error', 'a key that is no JSON');
  gives(await ask('GET', `/${db}/_design_docs`), 200, (j) => j.rows.length === 0, '_design_docs');
}

async function locals() {
  const db = await database();
  gives(await ask('GET', `/${db}/_local/x`), 404, { error: 'not_found', reason: 'missing' }, 'missing');
  let a = gives(await ask('PUT', `/${db}/_local/x`, { body: { v: 1 } }), 201, (j) => j.ok && j.id === '_local/x' && j.rev === '0-1', 'PUT');
  gives(await ask('GET', `/${db}/_local/x`), 200, { _id: '_local/x', _rev: '0-1', v: 1 }, 'GET');
  a = gives(await ask('PUT', `/${db}/_local/x`, { body: { v: 2, _rev: '0-1' } }), 201, { rev: '0-2' }, 'an edit');
  gives(await ask('GET', `/${db}/_local%2Fx`), 200, { v: 2 }, 'with an encoded slash');
  gives(await ask('GET', `/${db}`), 200, { doc_count: 0 }, 'is not counted');
  gives(await ask('GET', `/${db}/_changes`), 200, (j) => j.results.length === 0, 'nor a change');
  gives(await ask('GET', `/${db}/_local_docs`), 200, (j) => j.rows.length === 1 && j.rows[0].id === '_local/x' && j.rows[0].value.rev === '0-2', '_local_docs');
  gives(await ask('POST', `/${db}/_local_docs`, { body: { keys: ['_local/x', '_local/n'] } }), 200, (j) => j.rows[0].id === '_local/x' && j.rows[1].error === 'not_found', 'by keys');
  gives(await ask('DELETE', `/${db}/_local/x?rev=0-2`), 200, (j) => j.ok && j.rev === '0-0', 'DELETE');
  gives(await ask('GET', `/${db}/_local/x`), 404, { error: 'not_found' }, 'is gone');
}

async function recreate() {
  const db = await database();
  const one = await put(db, 'foo', { a: 'x', b: 42 });
  const two = (await ask('DELETE', `/${db}/foo?rev=${one}`)).json.rev;
  let a = gives(await ask('PUT', `/${db}/foo`, { body: { a: 'y' } }), 201, (j) => /^3-/.test(j.rev), 'begins above the tombstone');
  gives(await ask('GET', `/${db}/foo?rev=${two}`), 200, { _deleted: true }, 'which can be read');
  gives(await ask('PUT', `/${db}/foo`, { body: { _rev: one } }), 409, { error: 'conflict' }, 'an old revision is a conflict');
  a = await ask('PUT', `/${db}/foo`, { body: { _rev: a.json.rev, _deleted: true, why: 'x' } });
  gives(a, 201, { ok: true }, 'deleted by PUT, which is 201');
  gives(await ask('GET', `/${db}/foo?rev=${a.json.rev}`), 200, { _deleted: true, why: 'x' }, 'a tombstone keeps members');
  for (let i = 0; i < 5; i += 1) {
    const rev = await put(db, 'again', { i });
    const d = await ask('DELETE', `/${db}/again?rev=${rev}`);
    if (i === 4) gives(d, 200, (j) => /^10-/.test(j.rev), 'again and again');
  }
  gives(await ask('PUT', `/${db}/fresh`, { body: { _deleted: true } }), 201, (j) => /^1-/.test(j.rev), 'a tombstone as the first revision');
}

async function text() {
  const db = await database();
  const texts = ['1. Ascii: hello', '2. Russian: На берегу пустынных волн', '3. Math: ∮ E⋅da = Q,  n → ∞, ∑ f(i) = ∏ g(i),', '4. Geek: STARGΛ̊TE SG-1', '5. Braille: ⡌⠁⠧⠑ ⠼⠁⠒', '6. null \u0000', '7. 🦊', '8. \u2028 \u2029 \u007f'];
  for (const [i, t] of texts.entries()) {
    await put(db, `t${i}`, { text: t });
    gives(await ask('GET', `/${db}/t${i}`), 200, { text: t }, `text ${i}`);
  }
  await ask('PUT', `/${db}/num`, { body: '{"big":123456789012345678901234567890,"i":9007199254740993,"neg":-5,"f":1.5}', headers: { 'Content-Type': 'application/json' } });
  gives(await ask('GET', `/${db}/num`), 200, (j, r) => r.text.includes('123456789012345678901234567890') && r.text.includes('9007199254740993'), 'large numbers stay');
  const long = '0'.repeat(200000);
  gives(await ask('PUT', `/${db}/long`, { body: { long } }), 201, null, 'a large document');
  gives(await ask('GET', `/${db}/long`), 200, { long }, 'comes back');
  gives(await ask('PUT', `/${db}/lone`, { body: '{"a":"\\ud800"}', headers: { 'Content-Type': 'application/json' } }), 400, { error: 'bad_request' }, 'half a surrogate pair');
  gives(await ask('PUT', `/${db}/bytes`, { body: Buffer.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d]), headers: { 'Content-Type': 'application/json' } }), 400, { error: 'bad_request' }, 'bytes that are no UTF-8');
}

async function uuids() {
  let a = gives(await ask('GET', '/_uuids'), 200, (j) => j.uuids.length === 1 && /^[0-9a-f]{32}$/.test(j.uuids[0]), 'one');
  ok(/no-cache/.test(a.headers['cache-control'] || ''), 'not to be cached', a.headers);
  ok(a.headers.pragma === 'no-cache', 'Pragma', a.headers);
  ok('etag' in a.headers, 'ETag', a.headers);
  gives(await ask('GET', '/_uuids?count=50'), 200, (j) => new Set(j.uuids).size === 50, 'fifty');
  gives(await ask('GET', '/_uuids?count=0'), 200, (j) => j.uuids.length === 0, 'none');
  gives(await ask('GET', '/_uuids?count=1001'), 400, { error: 'bad_request', reason: 'count parameter too large' }, 'too many');
  gives(await ask('GET', '/_uuids?count=x'), 400, { error: 'bad_request' }, 'no number');
  gives(await ask('POST', '/_uuids?count=1', { headers: { 'Content-Type': 'application/json' } }), 405, { error: 'method_not_allowed', reason: 'Only GET allowed' }, 'POST');
}

async function override() {
  const db = await database();
  const how = (method) => ({ headers: { 'X-HTTP-Method-Override': method, 'Content-Type': 'application/json' }, body: { bob: 'connie' } });
  let a = gives(await ask('POST', `/${db}/fnord`, how('PUT')), 201, { id: 'fnord' }, 'POST as PUT');
  gives(await ask('GET', `/${db}/fnord`, { headers: { 'X-HTTP-Method-Override': 'DELETE' } }), 200, { bob: 'connie' }, 'GET stays GET');
  gives(await ask('POST', `/${db}/fnord?rev=${a.json.rev}`, { headers: { 'X-HTTP-Method-Override': 'DELETE' } }), 200, { ok: true }, 'POST as DELETE');
  gives(await ask('GET', `/${db}/fnord`), 404, { reason: 'deleted' }, 'it is deleted');
}

module.exports = [['basics', basics], ['names', names], ['bulk_docs', bulk], ['conflicts', conflicts], ['copy_doc', copy], ['etags', etags], ['all_docs', lists],
  ['local_docs', locals], ['recreate_doc', recreate], ['utf8', text], ['uuids', uuids], ['method_override', override]];
