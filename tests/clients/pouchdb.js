// PouchDB as an app in an office uses it: replication both ways, live sync, conflicts, attachments.
'use strict';

const PouchDB = require('pouchdb');
const { url, ok, equal, eventually, refused, run } = require('./lib');

const folder = process.argv[3]; // for PouchDB's own files

async function documents(remote) {
  const local = new PouchDB(`${folder}/documents`);
  const put = await remote.put({ _id: 'plan:1', title: 'roof', n: 1 });
  equal((await remote.get('plan:1')).title, 'roof', 'a document comes back');
  await refused(remote.put({ _id: 'plan:1', title: 'other' }), 409, 'an edit without a revision is a conflict');
  await refused(remote.get('nothing'), 404, 'what is not there is missing');
  await remote.put({ _id: 'plan:1', _rev: put.rev, title: 'roof', n: 2 });
  const bulk = await remote.bulkDocs([{ _id: 'a' }, { _id: 'b' }, { _id: 'plan:1' }]);
  equal(bulk.map((row) => row.error || 'ok').join(), 'ok,ok,conflict,'.slice(0, -1), 'bulkDocs tells of each document');
  equal((await remote.allDocs({ startkey: 'b' })).rows.map((row) => row.id), ['b', 'plan:1'], 'allDocs has a range');
  await remote.remove(await remote.get('a'));
  await refused(remote.get('a'), 404, 'a removed document is missing');

  const pull = await local.replicate.from(remote);
  equal(pull.ok && pull.doc_write_failures, 0, 'pull works');
  equal((await local.get('plan:1')).n, 2, 'the newest revision came over');
  await local.bulkDocs(Array.from({ length: 250 }, (_, i) => ({ _id: `many:${String(i).padStart(3, '0')}`, i })));
  const push = await local.replicate.to(remote);
  equal([push.ok, push.docs_written, push.doc_write_failures], [true, 250, 0], 'push of 250 documents works');
  const again = await local.replicate.to(remote);
  equal([again.ok, again.docs_read], [true, 0], 'a second push starts at the checkpoint');
  const info = await remote.info();
  equal(info.doc_count, 252, 'the server counts them');
  await local.destroy();
}

async function views(remote) {
  await remote.bulkDocs(Array.from({ length: 30 }, (_, i) => ({ _id: `v${String(i).padStart(2, '0')}`, i })));
  await remote.put({ _id: '_design/nums', views: {
    byI: { map: 'function (doc) { emit(doc.i % 3, doc.i); }', reduce: '_sum' } } });
  const rows = await remote.query('nums/byI', { reduce: false, key: 1, limit: 2, skip: 1, include_docs: true });
  equal([rows.total_rows, rows.offset, rows.rows.map((row) => row.doc.i)], [30, 11, [4, 7]], 'query of a view');
  equal((await remote.query('nums/byI')).rows, [{ key: null, value: 435 }], 'query, reduced');
  const groups = await remote.query('nums/byI', { group: true, keys: [2, 0] });
  equal(groups.rows, [{ key: 2, value: 155 }, { key: 0, value: 135 }], 'query by keys and groups');
  equal((await remote.query('nums/byI', { reduce: false, stale: 'ok', descending: true, limit: 1 })).rows[0].id, 'v29',
    'query, stale and descending');
  await refused(remote.query('nums/none'), 404, 'a view that is not there is missing');
  await remote.viewCleanup();
}

async function conflicts(remote) {
  const one = new PouchDB(`${folder}/one`);
  const two = new PouchDB(`${folder}/two`);
  await one.put({ _id: 'shared', text: 'begin' });
  await one.replicate.to(remote);
  await two.replicate.from(remote);
  await one.put({ ...(await one.get('shared')), text: 'of one' });
  await two.put({ ...(await two.get('shared')), text: 'of two' });
  await one.sync(remote);
  await two.sync(remote);
  await one.sync(remote);
  const there = await remote.get('shared', { conflicts: true });
  const a = await one.get('shared', { conflicts: true });
  const b = await two.get('shared', { conflicts: true });
  equal(there._conflicts.length, 1, 'the server has the conflict');
  equal([a._rev, a._conflicts], [there._rev, there._conflicts], 'the first office agrees with the server on the winner');
  equal([b._rev, b._conflicts], [there._rev, there._conflicts], 'so does the second');
  await one.remove('shared', there._conflicts[0]);
  await one.sync(remote);
  await two.sync(remote);
  ok(!(await two.get('shared', { conflicts: true }))._conflicts, 'resolving it reaches the second office');
  ok(!(await remote.get('shared', { conflicts: true }))._conflicts, 'and the server');
  await one.destroy();
  await two.destroy();
}

async function attachments(remote) {
  const one = new PouchDB(`${folder}/files-one`);
  const two = new PouchDB(`${folder}/files-two`);
  const big = Buffer.alloc(300000, 'Qosid ');
  await one.put({
    _id: 'file',
    _attachments: {
      'note.txt': { content_type: 'text/plain', data: Buffer.from('hello').toString('base64') },
      'scan/page 1.bin': { content_type: 'application/octet-stream', data: big.toString('base64') },
    },
  });
  await one.replicate.to(remote);
  const doc = await remote.get('file');
  const stub = doc._attachments['note.txt'];
  equal([stub.stub, stub.length, stub.digest], [true, 5, 'md5-XUFAKrxLKna5cZ2REBfFkg=='], 'stubs have length and MD5');
  equal(String(await remote.getAttachment('file', 'note.txt')), 'hello', 'an attachment is read by its name');
  ok(big.equals(await remote.getAttachment('file', 'scan/page 1.bin')), 'a name with slash and space works');
  await two.replicate.from(remote);
  ok(big.equals(await two.getAttachment('file', 'scan/page 1.bin')), 'the attachment reached the second office');
  await two.put({ ...(await two.get('file')), changed: true });
  await two.sync(remote);
  await one.sync(remote);
  equal((await one.get('file')).changed, true, 'an edit beside attachments syncs');
  ok(big.equals(await one.getAttachment('file', 'scan/page 1.bin')), 'and leaves them as they are');
  const put = await remote.putAttachment('file', 'more.txt', (await remote.get('file'))._rev, Buffer.from('more'), 'text/plain');
  equal(put.ok, true, 'putAttachment works');
  await remote.removeAttachment('file', 'note.txt', put.rev);
  equal(Object.keys((await remote.get('file'))._attachments).sort(), ['more.txt', 'scan/page 1.bin'], 'removeAttachment works');
  const inline = await remote.get('file', { attachments: true });
  equal(Buffer.from(inline._attachments['more.txt'].data, 'base64').toString(), 'more', 'attachments come inline when asked');
  await one.destroy();
  await two.destroy();
}

async function live(remote) {
  const one = new PouchDB(`${folder}/live-one`);
  const two = new PouchDB(`${folder}/live-two`);
  const syncs = [one, two].map((db) => db.sync(remote, { live: true, retry: true }));
  await one.put({ _id: 'from-one', n: 1 });
  await eventually(async () => (await two.get('from-one')).n === 1, 'live: the second office sees what the first wrote');
  await two.put({ _id: 'from-two', n: 2 });
  await eventually(async () => (await one.get('from-two')).n === 2, 'live: and the other way round');
  await remote.put({ _id: 'from-server', n: 3 });
  await eventually(async () => (await one.get('from-server')).n === 3, 'live: both see what the server got');
  syncs.forEach((sync) => sync.cancel());
  await one.destroy();
  await two.destroy();
}

run(async () => {
  const names = ['pouch-documents', 'pouch-views', 'pouch-conflicts', 'pouch-attachments', 'pouch-live'];
  const tests = [documents, views, conflicts, attachments, live];
  for (let i = 0; i < names.length; i += 1) {
    const remote = new PouchDB(`${url}/${names[i]}`);
    await tests[i](remote);
    await remote.destroy();
  }
});
