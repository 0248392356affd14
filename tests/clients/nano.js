// nano as server-side applications use it: databases, documents, bulk, lists, attachments, changes.
'use strict';

const nano = require('nano');
const { url, ok, equal, eventually, refused, run } = require('./lib');

async function basics(server, db) {
  equal((await server.db.list()).includes('nano-test'), true, 'db.list has the new database');
  await refused(server.db.create('nano-test'), 412, 'making it again is refused');
  await refused(server.db.create('Not/A/Name'), 400, 'a bad name is refused');
  equal((await db.info()).doc_count, 0, 'info counts no documents');

  const first = await db.insert({ title: 'roof' }, 'plan:1');
  equal([first.ok, first.id, first.rev.startsWith('1-')], [true, 'plan:1', true], 'insert with an id');
  const made = await db.insert({ title: 'made' });
  equal(made.id.length, 32, 'insert without an id makes one');
  equal((await db.get('plan:1')).title, 'roof', 'get');
  await refused(db.insert({ title: 'x' }, 'plan:1'), 409, 'insert over it is a conflict');
  const second = await db.insert({ _rev: first.rev, title: 'wall' }, 'plan:1');
  equal(second.rev.startsWith('2-'), true, 'update with its revision');
  const head = await db.head('plan:1');
  equal(head.etag, `"${second.rev}"`, 'head has the ETag');
  const slashed = await db.insert({ n: 1 }, 'a/b c?d');
  equal((await db.get('a/b c?d'))._rev, slashed.rev, 'an id with slash, space and question mark');
  await db.destroy('plan:1', second.rev);
  await refused(db.get('plan:1'), 404, 'destroy');
  await refused(db.get('plan:2'), 404, 'what never was is missing');
}

async function lists(db) {
  const rows = await db.bulk({ docs: Array.from({ length: 5 }, (_, i) => ({ _id: `bulk:${i}`, i })) });
  equal(rows.length, 5, 'bulk answers for each document');
  const page = await db.list({ startkey: 'bulk:1', endkey: 'bulk:3', include_docs: true });
  equal(page.rows.map((row) => row.doc.i), [1, 2, 3], 'list with a range and documents');
  const backwards = await db.list({ startkey: 'bulk:3', endkey: 'bulk:', descending: true, limit: 2, skip: 1 });
  equal(backwards.rows.map((row) => row.id), ['bulk:2', 'bulk:1'], 'list backwards with skip and limit');
  const fetched = await db.fetch({ keys: ['bulk:4', 'none', 'plan:1'] });
  equal(fetched.rows.map((row) => row.error || (row.value.deleted ? 'deleted' : row.id)), ['bulk:4', 'not_found', 'deleted'],
    'fetch by keys tells of missing and deleted ones');
  const changes = await db.changes({ since: 0, limit: 3 });
  equal([changes.results.length, changes.pending > 0], [3, true], 'changes with a limit');
  const rest = await db.changes({ since: changes.last_seq });
  equal(rest.pending, 0, 'changes from there to the end');
}

async function views(db) {
  await db.insert({ views: {
    byI: { map: 'function (doc) { if (doc.i !== undefined) emit([doc.i % 2, doc.i], doc.i); }', reduce: '_stats' } } }, '_design/nums');
  const rows = await db.view('nums', 'byI', { reduce: false, include_docs: true, startkey: [1], endkey: [1, {}] });
  equal(rows.rows.map((row) => row.doc.i), [1, 3], 'view with a range and documents');
  const groups = await db.view('nums', 'byI', { group_level: 1 });
  equal(groups.rows.map((row) => [row.key[0], row.value.sum]), [[0, 6], [1, 4]], 'view by groups');
  const keys = await db.view('nums', 'byI', { reduce: false, keys: [[0, 4], [1, 1]] });
  equal(keys.rows.map((row) => row.value), [4, 1], 'view by keys');
  await refused(db.view('nums', 'none'), 404, 'a view that is not there is missing');
}

async function attachments(db) {
  const data = Buffer.from([0, 255, 10, 13, 1]);
  const put = await db.attachment.insert('file', 'raw.bin', data, 'application/x-raw');
  equal(put.ok, true, 'attachment.insert makes the document');
  ok(data.equals(await db.attachment.get('file', 'raw.bin')), 'attachment.get gives the same bytes');
  const two = await db.multipart.insert({ note: 'two' }, [
    { name: 'one.txt', data: Buffer.from('one'), content_type: 'text/plain' },
    { name: 'two.txt', data: Buffer.from('two'), content_type: 'text/plain' },
  ], 'files');
  equal(two.ok, true, 'multipart.insert');
  equal(String(await db.attachment.get('files', 'two.txt')), 'two', 'its parts are where they belong');
  const whole = String(await db.multipart.get('files'));
  equal(/follows":true/.test(whole) && /\r\n\r\none\r\n--/.test(whole), true, 'multipart.get');
  await db.attachment.destroy('file', 'raw.bin', { rev: put.rev });
  await refused(db.attachment.get('file', 'raw.bin'), 404, 'attachment.destroy');
}

async function following(db) {
  const seen = [];
  db.changesReader.start({ since: 'now', includeDocs: true, wait: false, timeout: 2000 })
    .on('change', (change) => seen.push(change.id))
    .on('error', () => {});
  await new Promise((resolve) => setTimeout(resolve, 300));
  await db.insert({ n: 1 }, 'followed');
  await eventually(async () => seen.includes('followed'), 'changesReader sees a new document');
  db.changesReader.stop();
}

run(async () => {
  const server = nano(url);
  await server.db.create('nano-test');
  const db = server.use('nano-test');
  await basics(server, db);
  await lists(db);
  await views(db);
  await attachments(db);
  await following(db);
  equal((await server.db.destroy('nano-test')).ok, true, 'db.destroy');
  await refused(db.info(), 404, 'then it is gone');
});
