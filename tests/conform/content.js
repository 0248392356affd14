// Attachments and the changes feed.
'use strict';

const http = require('http');
const crypto = require('crypto');
const zlib = require('zlib');
const { base, ok, same, ask, gives, database, put, fill, numbered } = require('./lib');

const md5 = (bytes) => `md5-${crypto.createHash('md5').update(bytes).digest('base64')}`;
const hello = 'This is a base64 encoded text';
const inline = { 'foo.txt': { content_type: 'text/plain', data: Buffer.from(hello).toString('base64') } };
const binary = { headers: { 'Content-Type': 'application/octet-stream' } };

async function attachments() {
  const db = await database();
  let a = gives(await ask('PUT', `/${db}/bin`, { body: { _attachments: inline } }), 201, { ok: true }, 'inline');
  gives(await ask('GET', `/${db}/bin/foo.txt`), 200, (j, r) => r.text === hello && r.headers['content-type'] === 'text/plain', 'its content and type');
  a = await ask('GET', `/${db}/bin/foo.txt`);
  ok(/^"[A-Za-z0-9+/]{22}=="$/.test(a.headers.etag), 'its ETag', a.headers);
  ok('content-md5' in a.headers || 'etag' in a.headers, 'its digest', a.headers);
  gives(await ask('GET', `/${db}/bin/foo.txt`, { headers: { 'If-None-Match': a.headers.etag } }), 304, null, '304');
  gives(await ask('HEAD', `/${db}/bin/foo.txt`), 200, (j, r) => r.bytes.length === 0 && r.headers.etag === a.headers.etag, 'HEAD');
  gives(await ask('GET', `/${db}/bin/none.txt`), 404, { error: 'not_found', reason: 'Document is missing attachment' }, 'missing');
  gives(await ask('GET', `/${db}/none/foo.txt`), 404, { error: 'not_found', reason: 'missing' }, 'of a missing document');
  a = gives(await ask('GET', `/${db}/bin`), 200, (j) => { const s = j._attachments['foo.txt']; return s.stub === true && s.length === 29 && s.revpos === 1 && s.content_type === 'text/plain' && /^md5-/.test(s.digest) && !('data' in s); }, 'a stub');
  a = gives(await ask('PUT', `/${db}/bin`, { body: { ...a.json, more: 1 } }), 201, null, 'an edit with the stub');
  gives(await ask('GET', `/${db}/bin/foo.txt`), 200, (j, r) => r.text === hello, 'keeps it');
  gives(await ask('GET', `/${db}/bin`), 200, (j) => j._attachments['foo.txt'].revpos === 1, 'and its revpos');
  const rev = a.json.rev;
  gives(await ask('PUT', `/${db}/bin/bar.bin`, { body: 'x', ...binary }), 409, { error: 'conflict' }, 'PUT needs the revision');
  a = gives(await ask('PUT', `/${db}/bin/bar.bin?rev=${rev}`, { body: Buffer.from([0, 1, 2, 255]), ...binary }), 201, (j) => j.ok && j.id === 'bin' && /^3-/.test(j.rev), 'PUT');
  same(a.headers.location, `${base}/${db}/bin/bar.bin`, 'its Location');
  same(a.headers.etag, `"${a.json.rev}"`, 'the ETag is the revision');
  gives(await ask('GET', `/${db}/bin/bar.bin`), 200, (j, r) => r.bytes.equals(Buffer.from([0, 1, 2, 255])) && r.headers['content-type'] === 'application/octet-stream' && r.headers['content-length'] === '4' && r.headers['accept-ranges'] === 'bytes', 'its bytes');
  gives(await ask('GET', `/${db}/bin`), 200, (j) => j._attachments['bar.bin'].revpos === 3 && j._attachments['bar.bin'].digest === md5(Buffer.from([0, 1, 2, 255])), 'its digest and revpos');
  gives(await ask('GET', `/${db}/bin?attachments=true`), 200, (j) => Buffer.from(j._attachments['bar.bin'].data, 'base64').length === 4 && !j._attachments['bar.bin'].stub && Buffer.from(j._attachments['foo.txt'].data, 'base64').toString() === hello, 'attachments=true');
  gives(await ask('GET', `/${db}/_all_docs?include_docs=true&attachments=true`), 200, (j) => Buffer.from(j.rows[0].doc._attachments['foo.txt'].data, 'base64').toString() === hello, 'in _all_docs, too');
  gives(await ask('GET', `/${db}/bin?atts_since=${encodeURIComponent(JSON.stringify([rev]))}`), 200, (j) => j._attachments['foo.txt'].stub === true && 'data' in j._attachments['bar.bin'], 'atts_since');
  gives(await ask('GET', `/${db}/bin/bar.bin?rev=${rev}`), 404, { error: 'not_found' }, 'not in an older revision');
  a = gives(await ask('DELETE', `/${db}/bin/bar.bin?rev=${a.json.rev}`), 200, (j) => j.ok && /^4-/.test(j.rev), 'DELETE');
  gives(await ask('GET', `/${db}/bin/bar.bin`), 404, { error: 'not_found' }, 'gone');
  gives(await ask('DELETE', `/${db}/bin/bar.bin?rev=${a.json.rev}`), 404, { error: 'not_found', reason: 'Document is missing attachment' }, 'DELETE of a missing one');
  gives(await ask('PUT', `/${db}/new/att`, { body: 'x', headers: { 'Content-Type': 'text/plain' } }), 201, (j) => /^1-/.test(j.rev), 'PUT makes the document');
  gives(await ask('PUT', `/${db}/typeless/att`, { body: 'x' }), 201, { ok: true }, 'PUT without a type');
  gives(await ask('GET', `/${db}/typeless/att`), 200, (j, r) => r.headers['content-type'] === 'application/octet-stream', 'is octets');
  gives(await ask('PUT', `/${db}/empty/zero.txt`, { body: '', headers: { 'Content-Type': 'text/plain' } }), 201, { ok: true }, 'an empty one');
  gives(await ask('GET', `/${db}/empty/zero.txt`), 200, (j, r) => r.bytes.length === 0, 'comes back empty');
  gives(await ask('PUT', `/${db}/s1`, { body: { _attachments: { x: { stub: true, revpos: 1, content_type: 'a/b', length: 1, digest: 'md5-x' } } } }), 412, { error: 'missing_stub' }, 'a stub of nothing');
  gives(await ask('PUT', `/${db}/s2`, { body: { _attachments: { x: { content_type: 'a/b', data: '%%%' } } } }), 400, (j) => j.error === 'bad_request' || j.error === 'doc_validation', 'data that is no base64');
  gives(await ask('PUT', `/${db}/s3`, { body: { _attachments: [] } }), 400, { error: 'doc_validation' }, '_attachments that are no object');
  gives(await ask('PUT', `/${db}/s4/_under`, { body: 'x', headers: { 'Content-Type': 'text/plain' } }), 400, { error: 'bad_request' }, 'a name with an underscore');
  const big = Buffer.alloc(1 << 20, 'lorem ipsum ');
  gives(await ask('PUT', `/${db}/big/file`, { body: big, ...binary }), 201, null, 'a megabyte');
  gives(await ask('GET', `/${db}/big/file`), 200, (j, r) => r.bytes.equals(big), 'comes back');
  a = await ask('COPY', `/${db}/bin`, { headers: { Destination: 'copied' } });
  gives(await ask('GET', `/${db}/copied/foo.txt`), 200, (j, r) => r.text === hello, 'COPY takes them along');
  gives(await ask('GET', `/${db}/bin/foo.txt`, { headers: { 'Accept-Encoding': 'identity' } }), 200, (j, r) => r.text === hello && !r.headers['content-encoding'], 'plain to whom takes no gzip');
}

async function ranges() {
  const db = await database();
  await ask('PUT', `/${db}/bin/foo`, { body: hello, ...binary });
  const get = (range, more = {}) => ask('GET', `/${db}/bin/foo`, { headers: { Range: range, ...more } });
  for (const [range, first, last] of [['bytes=0-', 0, 28], ['bytes=0-28', 0, 28], ['bytes=0-300', 0, 28], ['bytes=10-15', 10, 15], ['bytes=10-', 10, 28], ['bytes=-7', 22, 28], ['bytes=28-28', 28, 28]])
    gives(await get(range), 206, (j, r) => r.text === hello.slice(first, last + 1) && r.headers['content-range'] === `bytes ${first}-${last}/29` && r.headers['content-length'] === String(last - first + 1), range);
  for (const range of ['bytes=29-', 'bytes=300-310'])
    gives(await get(range), 416, null, range);
  for (const range of ['bytes=badly', 'lines=1-2', 'bytes=5-2'])
    gives(await get(range), 200, (j, r) => r.text === hello, `${range} is ignored`);
}

async function paths() {
  const db = await database();
  for (const [i, name] of ['foo/bar.txt', 'foo/bar2.txt', 'a b', 'ä.txt', 'a%b', 'a+b', 'q?q', 'deep/er/name'].entries()) {
    gives(await ask('PUT', `/${db}/d${i}/${encodeURIComponent(name)}`, { body: hello, headers: { 'Content-Type': 'text/plain;charset=utf-8' } }), 201, { id: `d${i}` }, name);
    gives(await ask('GET', `/${db}/d${i}/${encodeURIComponent(name)}`), 200, (j, r) => r.text === hello && r.headers['content-type'] === 'text/plain;charset=utf-8', 'by its encoded name');
    gives(await ask('GET', `/${db}/d${i}/${name.split('/').map(encodeURIComponent).join('/')}`), 200, (j, r) => r.text === hello, 'with plain slashes');
    gives(await ask('GET', `/${db}/d${i}`), 200, (j) => name in j._attachments, 'listed');
  }
  gives(await ask('PUT', `/${db}/_design/bin`, { body: { _attachments: { 'foo/foo.txt': inline['foo.txt'] } } }), 201, null, 'of a design document');
  for (const path of ['_design/bin/foo/foo.txt', '_design%2Fbin/foo/foo.txt', '_design/bin/foo%2Ffoo.txt'])
    gives(await ask('GET', `/${db}/${path}`), 200, (j, r) => r.text === hello, path);
}

// The parts of a multipart body: their headers and content.
function parse(answer) {
  const boundary = /boundary="?([^";]+)"?/.exec(answer.headers['content-type'])[1];
  return answer.bytes.toString('latin1').split(`--${boundary}`).slice(1, -1).map((part) => {
    const at = part.indexOf('\r\n\r\n');
    return { head: part.slice(2, at).toLowerCase(), body: part.slice(at + 4, -2) };
  });
}

async function multipart() {
  const db = await database();
  const related = { headers: { 'Content-Type': 'multipart/related;boundary="abc123"' } };
  const text = (json, ...parts) => `--abc123\r\ncontent-type: application/json\r\n\r\n${JSON.stringify(json)}\r\n--abc123${parts.map((p) => `\r\n\r\n${p}\r\n--abc123`).join('')}--`;
  const follows = (length, type) => ({ follows: true, content_type: type, length });
  let a = gives(await ask('PUT', `/${db}/multipart`, { body: text({ body: 'x', _attachments: { 'foo.txt': follows(21, 'application/test'), 'bar.txt': follows(20, 'application/test'), 'baz.txt': follows(19, 'text/plain') } }, 'this is 21 chars long', 'this is 20 chars lon', 'this is 19 chars lo'), ...related }), 201, (j) => j.ok && /^1-/.test(j.rev), 'PUT of multipart/related');
  gives(await ask('GET', `/${db}/multipart/foo.txt`), 200, (j, r) => r.text === 'this is 21 chars long' && r.headers['content-type'] === 'application/test', 'the first part');
  gives(await ask('GET', `/${db}/multipart/baz.txt`), 200, (j, r) => r.text === 'this is 19 chars lo', 'the last part');
  const rev = a.json.rev;
  a = gives(await ask('PUT', `/${db}/multipart?new_edits=true`, { body: text({ _rev: rev, _attachments: { 'foo.txt': { stub: true, content_type: 'application/test' }, 'bar.txt': follows(18, 'text/plain') } }, 'this is 18 chars l'), ...related }), 201, (j) => /^2-/.test(j.rev), 'a stub beside a part');
  gives(await ask('GET', `/${db}/multipart/bar.txt`), 200, (j, r) => r.text === 'this is 18 chars l', 'the new part');
  gives(await ask('GET', `/${db}/multipart/foo.txt`), 200, (j, r) => r.text === 'this is 21 chars long', 'the stub');
  gives(await ask('GET', `/${db}/multipart/baz.txt`), 404, null, 'what is not named is gone');
  a = gives(await ask('GET', `/${db}/multipart?attachments=true`, { headers: { Accept: 'multipart/related,*/*;' } }), 200, (j, r) => /^multipart\/related; ?boundary=/.test(r.headers['content-type']), 'GET as multipart/related');
  let parts = parse(a);
  const head = JSON.parse(parts[0].body);
  ok(parts.length === 3 && /application\/json/.test(parts[0].head) && head._attachments['foo.txt'].follows === true, 'a part for each', parts);
  ok(parts.slice(1).every((p) => /content-disposition: attachment; filename="/.test(p.head) && /content-length: /.test(p.head) && /content-type: /.test(p.head)), 'that says its name, type and length', parts);
  same(Object.keys(head._attachments), parts.slice(1).map((p) => /filename="([^"]+)"/.exec(p.head)[1]), 'in the order of the document');
  parts = parse(await ask('GET', `/${db}/multipart?atts_since=${encodeURIComponent(JSON.stringify([rev]))}`, { headers: { Accept: 'multipart/related,*/*;' } }));
  ok(parts.length === 2 && JSON.parse(parts[0].body)._attachments['foo.txt'].stub === true && /bar\.txt/.test(parts[1].head), 'only what is newer than atts_since', parts);
  a = gives(await ask('GET', `/${db}/multipart?open_revs=all`, { headers: { Accept: 'multipart/mixed' } }), 200, (j, r) => /^multipart\/mixed; ?boundary=/.test(r.headers['content-type']), 'open_revs as multipart/mixed');
  ok(/content-type: multipart\/related; ?boundary=/.test(parse(a)[0].head), 'with multipart/related inside', parse(a)[0].head);
  a = await ask('GET', `/${db}/multipart?open_revs=${encodeURIComponent('["9-x"]')}`, { headers: { Accept: 'multipart/mixed' } });
  ok(/application\/json; error="true"/.test(parse(a)[0].head) && parse(a)[0].body.trim() === '{"missing":"9-x"}', 'a missing revision there', a.text);
  gives(await ask('PUT', `/${db}/mp2`, { body: text({ _attachments: { 'foo.txt': follows(21, 'text/plain') } }), ...related }), 400, null, 'a part that is missing');
  gives(await ask('PUT', `/${db}/mp3`, { body: zlib.gzipSync(JSON.stringify({ z: 1 })), headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' } }), 201, null, 'JSON in gzip');
  gives(await ask('PUT', `/${db}/mp4`, { body: '{}', headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'rot13' } }), 415, { error: 'bad_content_type' }, 'in another encoding');
}

// Open a feed; lines come one by one.
function feed(path, headers = {}) {
  const at = new URL(base);
  const got = { text: '', ended: false, headers: null };
  const request = http.get({ host: at.hostname, port: at.port, path, headers: { Authorization: feed.authorization, Accept: 'application/json', ...headers } }, (response) => {
    got.headers = response.headers;
    response.setEncoding('utf8');
    response.on('data', (chunk) => { got.text += chunk; });
    response.on('end', () => { got.ended = true; });
    response.on('error', () => { got.ended = true; });
  });
  request.on('error', () => { got.ended = true; });
  got.close = () => request.destroy();
  got.until = async (check) => {
    for (let i = 0; i < 500 && !check(got); i += 1) await new Promise((resolve) => setTimeout(resolve, 20));
    return check(got);
  };
  return got;
}
feed.authorization = `Basic ${Buffer.from(`${process.argv[3]}:${process.argv[4]}`).toString('base64')}`;

async function changes() {
  const db = await database();
  const get = (query = '') => ask('GET', `/${db}/_changes?${query}`);
  let a = gives(await get(), 200, (j) => j.results.length === 0 && /^0-/.test(j.last_seq) && j.pending === 0, 'empty');
  const one = await put(db, 'foo', { bop: 'foom' });
  await put(db, 'bar', { bop: 'woo' });
  a = gives(await get(), 200, (j) => j.results.length === 2 && j.results.every((r) => /^\d+-/.test(r.seq) && r.id && r.changes.length === 1 && /^1-/.test(r.changes[0].rev)) && j.last_seq === j.results[1].seq, 'two');
  const since = a.json.results[0].seq;
  gives(await get(`since=${since}`), 200, (j) => j.results.length === 1 && j.results[0].id === 'bar', 'since');
  gives(await get('since=now'), 200, (j) => j.results.length === 0 && j.last_seq === a.json.last_seq, 'since=now');
  gives(await get('limit=1'), 200, (j) => j.results.length === 1 && j.pending === 1 && j.last_seq === since, 'limit and pending');
  gives(await get('descending=true'), 200, (j) => j.results[0].id === 'bar' && j.results[1].id === 'foo', 'descending');
  gives(await get('include_docs=true'), 200, (j) => j.results[0].doc.bop === 'foom' && j.results[0].doc._rev === one, 'include_docs');
  gives(await get('since=x'), 400, { error: 'bad_request' }, 'a bad since');
  gives(await get('feed=x'), 400, { error: 'bad_request' }, 'a bad feed');
  gives(await get('limit=x'), 400, (j) => /bad_request|query_parse_error/.test(j.error), 'a bad limit');
  await ask('DELETE', `/${db}/foo?rev=${one}`);
  gives(await get(`since=${a.json.last_seq}`), 200, (j) => j.results.length === 1 && j.results[0].deleted === true && /^2-/.test(j.results[0].changes[0].rev), 'deleted');
  gives(await get(), 200, (j) => j.results.map((r) => r.id).join() === 'bar,foo', 'a document is told once, at its last place');
  gives(await get('include_docs=true'), 200, (j) => j.results[1].doc._deleted === true, 'the document of a deletion');
  gives(await ask('POST', `/${db}/_changes?filter=_doc_ids`, { body: { doc_ids: ['bar', 'x'] } }), 200, (j) => j.results.length === 1 && j.results[0].id === 'bar', '_doc_ids');
  gives(await get(`filter=_doc_ids&doc_ids=${encodeURIComponent('["foo"]')}`), 200, (j) => j.results.length === 1 && j.results[0].id === 'foo', '_doc_ids in the query');
  gives(await ask('POST', `/${db}/_changes?filter=_doc_ids`, { body: { doc_ids: 'bar' } }), 400, { error: 'bad_request' }, '_doc_ids that are no list');
  gives(await ask('POST', `/${db}/_changes?filter=_selector`, { body: { selector: { bop: 'woo' } } }), 200, (j) => j.results.length === 1 && j.results[0].id === 'bar', '_selector');
  gives(await ask('POST', `/${db}/_changes?filter=_selector`, { body: {} }), 400, { error: 'bad_request' }, '_selector without one');
  gives(await ask('POST', `/${db}/_changes`, { headers: { 'Content-Type': 'application/json' } }), 200, (j) => j.results.length === 2, 'POST without a body');
  await ask('PUT', `/${db}/_design/f`, { body: { filters: {
    bop: 'function (doc, req) { return Boolean(doc.bop); }', dynamic: 'function (doc, req) { return doc.bop === req.query.bop; }',
    user: 'function (doc, req) { return req.userCtx && req.userCtx.name === "root"; }', broken: 'function (doc, req) { throw new Error("no"); }' },
  views: { woo: { map: 'function (doc) { if (doc.bop === "woo") { emit(doc._id, null); } }' } } } });
  gives(await get('filter=f/bop'), 200, (j) => j.results.length === 1 && j.results[0].id === 'bar', 'a filter function');
  gives(await get('filter=f/dynamic&bop=woo'), 200, (j) => j.results.length === 1, 'that sees the query');
  gives(await get('filter=f/user'), 200, (j) => j.results.length === 3, 'and the user');
  gives(await get('filter=_view&view=f/woo'), 200, (j) => j.results.length === 1 && j.results[0].id === 'bar', 'a map function as filter');
  gives(await get('filter=_design'), 200, (j) => j.results.length === 1 && j.results[0].id === '_design/f', '_design');
  gives(await get('filter=f/none'), 404, { error: 'not_found', reason: 'missing json key: none' }, 'a filter that is missing');
  gives(await get('filter=none/x'), 404, { error: 'not_found', reason: 'missing' }, 'of a missing design document');
  gives(await get('filter=bad'), 400, { error: 'bad_request', reason: 'filter must be of the form `designname/filtername`' }, 'a filter that is none');
  gives(await get('filter=_view'), 400, { error: 'bad_request' }, '_view without a view');
}

async function feeds() {
  const db = await database();
  await put(db, 'a', {});
  let f = feed(`/${db}/_changes?feed=continuous&heartbeat=100`);
  ok(await f.until((g) => g.text.includes('"id":"a"')), 'continuous tells what was', f.text);
  await put(db, 'b', {});
  ok(await f.until((g) => g.text.includes('"id":"b"')), 'and what comes', f.text);
  ok(f.text.split('\n').filter(Boolean).every((line) => JSON.parse(line).changes), 'line by line', f.text);
  ok(await f.until((g) => /\n\n/.test(g.text)), 'heartbeats are empty lines', f.text);
  f.close();
  f = feed(`/${db}/_changes?feed=continuous&timeout=50`);
  ok(await f.until((g) => g.ended), 'ends at its time-out', f.text);
  ok(/^\d+-/.test(JSON.parse(f.text.trim().split('\n').pop()).last_seq), 'with last_seq', f.text);
  f = feed(`/${db}/_changes?feed=longpoll&since=now`);
  ok(await f.until((g) => g.text.startsWith('{"results":[')), 'a longpoll begins at once', f.text);
  await put(db, 'c', {});
  ok(await f.until((g) => g.ended) && JSON.parse(f.text).results[0].id === 'c', 'and ends with the first change', f.text);
  gives(await ask('GET', `/${db}/_changes?feed=longpoll&since=now&timeout=50`), 200, (j) => j.results.length === 0 && /^\d+-/.test(j.last_seq), 'or at its time-out');
  gives(await ask('GET', `/${db}/_changes?feed=longpoll`), 200, (j) => j.results.length === 3, 'or at once');
  f = feed(`/${db}/_changes?feed=eventsource&heartbeat=100`, { Accept: 'text/event-stream' });
  ok(await f.until((g) => /event: heartbeat\ndata: /.test(g.text)), 'an eventsource has heartbeats', f.text);
  ok(/^text\/event-stream/.test(f.headers['content-type']), 'its type', f.headers);
  ok(/data: \{"seq":"3-[^\n]*\nid: 3-/.test(f.text), 'data and id', f.text);
  f.close();
  f = feed(`/${db}/_changes?feed=continuous&since=now&filter=_doc_ids&doc_ids=${encodeURIComponent('["y"]')}&heartbeat=50`);
  await f.until((g) => g.text.length > 0);
  await put(db, 'x', {});
  await put(db, 'y', {});
  ok(await f.until((g) => g.text.includes('"id":"y"')) && !f.text.includes('"id":"x"'), 'a filtered continuous feed', f.text);
  await ask('DELETE', `/${db}`);
  ok(await f.until((g) => g.ended), 'ends with its database', f.text);
}

async function purge() {
  const db = await database();
  const rev = await put(db, 'x', {});
  await put(db, 'y', {});
  gives(await ask('POST', `/${db}/_purge`, { body: { x: [rev] } }), 201, (j) => j.purged.x[0] === rev && 'purge_seq' in j, '_purge');
  gives(await ask('GET', `/${db}/x`), 404, { reason: 'missing' }, 'as if it had never been');
  gives(await ask('GET', `/${db}`), 200, (j) => j.doc_count === 1 && j.doc_del_count === 0 && /^[1-9]/.test(String(j.purge_seq)), 'nor is it counted');
  gives(await ask('POST', `/${db}/_purge`, { body: { x: ['1-aaa'] } }), 201, (j) => j.purged.x.length === 0, 'what is not here');
  gives(await ask('GET', `/${db}/_purge`), 405, { error: 'method_not_allowed', reason: 'Only POST allowed' }, 'GET');
  const many = numbered(50);
  await fill(db, many);
  gives(await ask('GET', `/${db}/_changes?limit=20`), 200, (j) => j.results.length === 20 && j.pending === 31, 'and the feed goes on');
}

module.exports = [['attachments', attachments], ['attachment_ranges', ranges], ['attachment_paths', paths], ['attachments_multipart', multipart],
  ['changes', changes], ['changes_async', feeds], ['purge', purge]];
