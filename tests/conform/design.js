// Design documents, views, Mango, users and what _security and validation functions allow.
'use strict';

const { ok, same, ask, gives, database, put, fill, numbered } = require('./lib');

const js = (text) => `function ${text}`;
const design = (db, name, body) => ask('PUT', `/${db}/_design/${name}`, { body });
const query = (options) => Object.entries(options).map(([k, v]) => `${k}=${encodeURIComponent(typeof v === 'string' ? v : JSON.stringify(v))}`).join('&');

async function documents() {
  const db = await database();
  let a = gives(await design(db, 'test', { language: 'javascript', views: { all: { map: js('(doc) { emit(doc._id, doc.integer); }') } } }), 201, { id: '_design/test' }, 'PUT');
  const rev = a.json.rev;
  for (const path of ['_design/test', '_design%2Ftest'])
    gives(await ask('GET', `/${db}/${path}`), 200, { _id: '_design/test', _rev: rev }, path);
  gives(await ask('GET', `/${db}/_design/test/_info`), 200, (j) => j.name === 'test' && /^[0-9a-f]{32}$/.test(j.view_index.signature) && j.view_index.language === 'javascript' && typeof j.view_index.sizes.file === 'number' && j.view_index.compact_running === false && 'updater_running' in j.view_index && 'purge_seq' in j.view_index && 'update_seq' in j.view_index && 'updates_pending' in j.view_index, '_info');
  gives(await ask('GET', `/${db}/_design/none/_info`), 404, { error: 'not_found', reason: 'missing' }, '_info of none');
  gives(await ask('GET', `/${db}/_design_docs`), 200, (j) => j.rows.length === 1 && j.rows[0].id === '_design/test', '_design_docs');
  gives(await ask('GET', `/${db}/_all_docs?startkey=%22_design%2F%22&endkey=%22_design0%22`), 200, (j) => j.rows.length === 1, 'a range of _all_docs');
  gives(await ask('GET', `/${db}/_design/test/_view/none`), 404, { error: 'not_found', reason: 'missing_named_view' }, 'a view that is missing');
  gives(await ask('GET', `/${db}/_design/none/_view/all`), 404, { error: 'not_found', reason: 'missing' }, 'of a missing design document');
  gives(await design(db, 'bad', { views: [] }), 400, { error: 'invalid_design_doc' }, 'views that are no object');
  gives(await design(db, 'bad', { views: { x: 1 } }), 400, { error: 'invalid_design_doc' }, 'a view that is no object');
  gives(await design(db, 'bad', { views: { x: { map: 1 } } }), 400, { error: 'invalid_design_doc' }, 'a map that is no text');
  gives(await design(db, 'bad', { filters: 1 }), 400, { error: 'invalid_design_doc' }, 'filters that are no object');
  gives(await design(db, 'bad', { validate_doc_update: 1 }), 400, { error: 'invalid_design_doc' }, 'a validation that is no text');
  gives(await ask('COPY', `/${db}/_design/test`, { headers: { Destination: '_design/copy' } }), 201, { id: '_design/copy' }, 'COPY');
  gives(await ask('DELETE', `/${db}/_design/test?rev=${rev}`), 200, { ok: true }, 'DELETE');
  gives(await ask('GET', `/${db}/_design/test/_view/all`), 404, { error: 'not_found', reason: 'deleted' }, 'then its views are gone');
  gives(await ask('GET', `/${db}/_design/copy/_view/all`), 200, { total_rows: 0 }, 'the copy has its own');
  gives(await ask('POST', `/${db}/_view_cleanup`, { headers: { 'Content-Type': 'application/json' } }), 202, { ok: true }, '_view_cleanup');
  gives(await ask('POST', `/${db}/_compact/copy`, { headers: { 'Content-Type': 'application/json' } }), 202, { ok: true }, '_compact of a design document');
  gives(await ask('POST', `/${db}/_compact/none`, { headers: { 'Content-Type': 'application/json' } }), 404, { error: 'not_found' }, '_compact of none');
}

async function reading() {
  const db = await database();
  await fill(db, numbered(10));
  await design(db, 't', { views: {
    n: { map: js('(doc) { emit(doc.integer, doc.string); }') }, sum: { map: js('(doc) { emit(doc.integer, doc.integer); }'), reduce: '_sum' },
    multi: { map: js('(doc) { for (var i = 0; i < 2; i++) emit(doc._id, i); }') }, none: { map: js('(doc) { }') } } });
  const view = (name, options = {}) => ask('GET', `/${db}/_design/t/_view/${name}?${query(options)}`);
  const keys = (answer) => answer.json.rows.map((r) => r.key).join('');
  gives(await view('n'), 200, (j) => j.total_rows === 10 && j.offset === 0 && j.rows.length === 10 && j.rows[3].id === '3' && j.rows[3].key === 3 && j.rows[3].value === '3', 'rows');
  for (const [options, wanted] of [[{ startkey: 5 }, '56789'], [{ endkey: 3 }, '0123'], [{ startkey: 3, endkey: 6, inclusive_end: false }, '345'], [{ descending: true, startkey: 3 }, '3210'], [{ limit: 2, skip: 3 }, '34'],
    [{ key: 4 }, '4'], [{ keys: [7, 2, 7] }, '727'], [{ start_key: 8 }, '89'], [{ end_key: 1 }, '01'], [{ limit: 0 }, ''], [{ skip: 20 }, ''], [{ key: 'x' }, null]])
    if (wanted !== null) same(keys(await view('n', options)), wanted, JSON.stringify(options));
  gives(await view('n', { startkey: 5 }), 200, { offset: 5, total_rows: 10 }, 'offset');
  gives(await view('n', { descending: true, startkey: 5 }), 200, { offset: 4 }, 'offset from the end');
  gives(await view('n', { startkey: 5, endkey: 2 }), 400, { error: 'query_parse_error', reason: 'No rows can match your key range, reverse your start_key and end_key or set {descending:true}' }, 'a range the wrong way round');
  gives(await view('n', { include_docs: true, limit: 1 }), 200, (j) => j.rows[0].doc._id === '0' && j.rows[0].doc.integer === 0, 'include_docs');
  gives(await view('multi', { key: '"3"' }), 200, (j) => j.rows.length === 2 && j.rows[0].value === 0 && j.rows[1].value === 1, 'several rows of one document');
  gives(await view('multi'), 200, { total_rows: 20 }, 'all of them count');
  gives(await view('none'), 200, (j) => j.total_rows === 0 && j.rows.length === 0, 'a map that emits nothing');
  gives(await ask('POST', `/${db}/_design/t/_view/n`, { body: { keys: [1, 99, 3] } }), 200, (j) => j.rows.map((r) => r.key).join() === '1,3', 'keys in the body');
  gives(await ask('POST', `/${db}/_design/t/_view/n`, { body: { startkey: 8 } }), 200, (j) => j.rows.length === 2, 'options in the body');
  gives(await ask('POST', `/${db}/_design/t/_view/n`, { body: { keys: 1 } }), 400, { error: 'bad_request', reason: '`keys` member must be an array.' }, 'keys that are no array');
  gives(await ask('POST', `/${db}/_design/t/_view/n/queries`, { body: { queries: [{ key: 1 }, { keys: [2, 3] }, { limit: 1, descending: true }] } }), 200, (j) => j.results.map((r) => r.rows.map((x) => x.key).join('')).join() === '1,23,9', 'queries');
  gives(await ask('POST', `/${db}/_design/t/_view/n/queries`, { body: {} }), 400, { error: 'bad_request', reason: 'POST body must include `queries` parameter.' }, 'queries that are missing');
  gives(await view('sum'), 200, (j) => j.rows.length === 1 && j.rows[0].key === null && j.rows[0].value === 45 && !('total_rows' in j), '_sum');
  gives(await view('sum', { reduce: false, limit: 2 }), 200, (j) => j.rows.length === 2 && j.total_rows === 10, 'reduce=false');
  gives(await view('sum', { startkey: 4, endkey: 5 }), 200, (j) => j.rows[0].value === 9, 'of a range');
  gives(await view('sum', { startkey: 99 }), 200, (j) => j.rows.length === 0, 'of nothing: no row');
  gives(await view('sum', { group: true, limit: 3 }), 200, (j) => j.rows.length === 3 && j.rows[2].key === 2 && j.rows[2].value === 2, 'group');
  gives(await view('sum', { group: true, keys: [3, 1] }), 200, (j) => j.rows.map((r) => r.key).join() === '3,1', 'group with keys');
  gives(await view('sum', { keys: [3, 1] }), 400, { error: 'query_parse_error', reason: 'Multi-key fetches for reduce views must use `group=true`' }, 'keys without group');
  gives(await view('sum', { include_docs: true }), 400, { error: 'query_parse_error', reason: '`include_docs` is invalid for reduce' }, 'include_docs of a reduction');
  gives(await view('n', { group: true }), 400, { error: 'query_parse_error', reason: 'Invalid use of grouping on a map view.' }, 'group of a map');
  gives(await view('n', { reduce: true }), 400, { error: 'query_parse_error', reason: 'Reduce is invalid for map-only views.' }, 'reduce of a map');
  gives(await view('n', { limit: -1 }), 400, { error: 'query_parse_error' }, 'a negative limit');
  gives(await view('n', { stale: 'x' }), 400, { error: 'query_parse_error' }, 'a bad stale');
  gives(await view('n', { update: 'false' }), 200, null, 'update=false');
  gives(await view('n', { stale: 'ok' }), 200, null, 'stale=ok');
  gives(await view('n', { update_seq: true, limit: 1 }), 200, (j) => /^\d+-/.test(j.update_seq), 'update_seq');
  gives(await ask('PUT', `/${db}/_design/t/_view/n`), 405, { error: 'method_not_allowed' }, 'PUT');
  let a = await view('n');
  ok('etag' in a.headers, 'an ETag', a.headers);
  gives(await ask('GET', `/${db}/_design/t/_view/n?`, { headers: { 'If-None-Match': a.headers.etag } }), 304, null, '304');
  await put(db, 'new', { integer: 100 });
  gives(await ask('GET', `/${db}/_design/t/_view/n?`, { headers: { 'If-None-Match': a.headers.etag } }), 200, { total_rows: 11 }, 'until something changes');
  a = await ask('GET', `/${db}/new`);
  await ask('PUT', `/${db}/new`, { body: { ...a.json, integer: 5 } });
  gives(await view('n', { key: 5 }), 200, (j) => j.rows.map((r) => r.id).join() === '5,new', 'equal keys by id');
  gives(await view('n', { key: 5, startkey_docid: 'a', startkey: 5 }), 200, (j) => j.rows.map((r) => r.id).join() === 'new', 'startkey_docid');
  gives(await view('n', { startkey: 5, endkey: 5, endkey_docid: '6' }), 200, (j) => j.rows.map((r) => r.id).join() === '5', 'endkey_docid');
  a = await ask('GET', `/${db}/new`);
  await ask('DELETE', `/${db}/new?rev=${a.json._rev}`);
  gives(await view('n'), 200, { total_rows: 10 }, 'a deleted document has no rows');
}

async function reductions() {
  const db = await database();
  const words = [['a', 'b'], ['a', 'b', 'c'], ['a', 'c'], ['d']];
  await fill(db, words.map((keys, i) => ({ _id: String(i), keys, n: i + 1 })));
  const reduce = (text) => ({ map: js('(doc) { emit(doc.keys, doc.n); }'), reduce: text });
  await design(db, 'r', { views: { sum: reduce('_sum'), count: reduce('_count'), stats: reduce('_stats'), distinct: reduce('_approx_count_distinct'),
    own: reduce(js('(keys, values, rereduce) { return sum(values); }')), bad: { map: js('(doc) { emit(doc._id, "x"); }'), reduce: '_sum' },
    unknown: reduce('_unknown') } }).then((r) => gives(r, 400, { error: 'invalid_design_doc' }, 'an unknown reduction'));
  await design(db, 'r', { views: { sum: reduce('_sum'), count: reduce('_count'), stats: reduce('_stats'), distinct: reduce('_approx_count_distinct'),
    own: reduce(js('(keys, values, rereduce) { return sum(values); }')), lists: { map: js('(doc) { emit(null, [doc.n, 1]); }'), reduce: '_sum' },
    objects: { map: js('(doc) { emit(null, {n: doc.n, one: {x: 1}}); }'), reduce: '_sum' }, bad: { map: js('(doc) { emit(doc._id, "x"); }'), reduce: '_sum' } } });
  const view = (name, options = {}) => ask('GET', `/${db}/_design/r/_view/${name}?${query(options)}`);
  for (const [name, value] of [['sum', 10], ['count', 4], ['own', 10], ['distinct', 4], ['stats', { sum: 10, count: 4, min: 1, max: 4, sumsqr: 30 }], ['lists', [10, 4]], ['objects', { n: 10, one: { x: 4 } }]])
    gives(await view(name), 200, (j) => { same(j.rows, [{ key: null, value }], name); return true; }, `${name} answers`);
  same((await view('sum', { group_level: 1 })).json.rows, [{ key: ['a'], value: 6 }, { key: ['d'], value: 4 }], 'group_level=1');
  same((await view('own', { group_level: 2 })).json.rows, [{ key: ['a', 'b'], value: 3 }, { key: ['a', 'c'], value: 3 }, { key: ['d'], value: 4 }], 'group_level=2');
  same((await view('sum', { group_level: 1, descending: true })).json.rows.map((r) => r.key[0]), ['d', 'a'], 'descending');
  same((await view('sum', { group: true })).json.rows.length, 4, 'group');
  same((await view('sum', { group_level: 0 })).json.rows, [{ key: null, value: 10 }], 'group_level=0');
  same((await view('sum', { group_level: 1, limit: 1, skip: 1 })).json.rows, [{ key: ['d'], value: 4 }], 'limit and skip count groups');
  gives(await view('bad'), 200, (j) => j.rows[0].value.error === 'builtin_reduce_error', '_sum of texts is an error, as a value');
  gives(await view('sum', { group_level: 'x' }), 400, { error: 'query_parse_error' }, 'a bad group_level');
}

async function collation() {
  const db = await database();
  const values = [null, false, true, 1, 2, 3.0, 4, 'a', 'A', 'aa', 'b', 'B', 'ba', 'bb', ['a'], ['b'], ['b', 'c'], ['b', 'c', 'a'], ['b', 'd'], ['b', 'd', 'e'],
    { a: 1 }, { a: 2 }, { b: 1 }, { b: 2 }, { b: 2, a: 1 }, { b: 2, c: 2 }];
  await fill(db, values.map((foo, i) => ({ _id: String(i), foo })));
  await design(db, 'c', { views: { foo: { map: js('(doc) { emit(doc.foo, null); }') } } });
  const view = (name, options = {}) => ask('GET', `/${db}/_design/${name}/_view/foo?${query(options)}`);
  same((await view('c')).json.rows.map((r) => r.key), values, 'null, booleans, numbers, texts, lists, objects');
  same((await view('c', { descending: true })).json.rows.map((r) => r.key), [...values].reverse(), 'and backwards');
  for (const value of values) same((await view('c', { key: JSON.stringify(value) })).json.rows.map((r) => r.key), [value], `by key ${JSON.stringify(value)}`);
  same((await view('c', { startkey: '"aa"', endkey: '"b"' })).json.rows.map((r) => r.key), ['aa', 'b'], 'a range of texts');
  same((await view('c', { startkey: ['b'], endkey: '["b",{}]' })).json.rows.length, 5, 'a range of lists');
}

async function linked() {
  const db = await database();
  await fill(db, [{ _id: 'link', to: 'target' }, { _id: 'target', v: 1 }, { _id: 'lost', to: 'nothing' }]);
  await design(db, 'l', { views: { v: { map: js('(doc) { if (doc.to) emit(doc._id, {_id: doc.to}); }') } } });
  const a = await ask('GET', `/${db}/_design/l/_view/v?include_docs=true`);
  ok(a.json.rows[0].id === 'link' && a.json.rows[0].doc._id === 'target', 'the document that the value names', a.json);
  ok(a.json.rows[1].id === 'lost' && a.json.rows[1].doc === null, 'null when it is not here', a.json);
  await ask('POST', `/${db}/_bulk_docs`, { body: { new_edits: false, docs: [{ _id: 'x', _rev: '1-a', c: 1 }, { _id: 'x', _rev: '1-b', c: 2 }] } });
  await design(db, 'c', { views: { v: { map: js('(doc) { if (doc._conflicts) emit(doc._id, doc._conflicts); }') }, err: { map: js('(doc) { if (doc._id === "x") throw new Error("no"); emit(doc._id, null); }') }, undef: { map: js('(doc) { emit(undefined, undefined); }') } } });
  gives(await ask('GET', `/${db}/_design/c/_view/v`), 200, (j) => j.rows.length === 1 && j.rows[0].value[0] === '1-a', 'a map sees _conflicts');
  gives(await ask('GET', `/${db}/_design/c/_view/err`), 200, (j) => j.rows.length === 3, 'a map that throws leaves its document out');
  gives(await ask('GET', `/${db}/_design/c/_view/undef`), 200, (j) => j.rows.every((r) => r.key === null && r.value === null), 'undefined is null');
  gives(await design(db, 'syntax', { views: { v: { map: 'function (doc) { emit(; }' } } }), 400, { error: 'compilation_error' }, 'bad syntax');
}

async function updates() {
  const db = await database();
  await design(db, 'u', { updates: {
    hello: js('(doc, req) { if (!doc) { return req.id ? [{_id: req.id, made: true}, "New World"] : [null, "Empty World"]; } doc.world = "hello"; return [doc, "hello doc"]; }'),
    bump: js('(doc, req) { doc.n = (doc.n || 0) + 1; return [doc, {body: toJSON(doc.n), headers: {"X-Couch-Test": "yes", "Content-Type": "text/xml"}, code: 201}]; }'),
    query: js('(doc, req) { return [null, req.query.a + req.method + req.userCtx.name]; }'), fail: js('(doc, req) { throw ({forbidden: "never"}); }') } });
  gives(await ask('POST', `/${db}/_design/u/_update/hello`), 200, (j, r) => r.text === 'Empty World', 'without a document');
  let a = gives(await ask('PUT', `/${db}/_design/u/_update/hello/d`), 201, (j, r) => r.text === 'New World' && /^1-/.test(r.headers['x-couch-update-newrev']), 'a document is made');
  same(a.headers['x-couch-id'], 'd', 'X-Couch-Id');
  gives(await ask('PUT', `/${db}/_design/u/_update/hello/d`), 201, (j, r) => r.text === 'hello doc', 'and changed');
  gives(await ask('GET', `/${db}/d`), 200, { made: true, world: 'hello' }, 'stored');
  gives(await ask('PUT', `/${db}/_design/u/_update/bump/d`), 201, (j, r) => r.text === '1' && r.headers['x-couch-test'] === 'yes' && r.headers['content-type'] === 'text/xml', 'code and headers');
  gives(await ask('POST', `/${db}/_design/u/_update/query?a=b`), 200, (j, r) => r.text === 'bPOSTroot', 'the request');
  gives(await ask('POST', `/${db}/_design/u/_update/fail`), 403, { error: 'forbidden', reason: 'never' }, 'a refusal');
  gives(await ask('POST', `/${db}/_design/u/_update/none`), 404, { error: 'not_found' }, 'a function that is missing');
}

async function mango() {
  const db = await database();
  await fill(db, numbered(20).map((d) => ({ ...d, odd: d.integer % 2 === 1 })));
  const find = (body) => ask('POST', `/${db}/_find`, { body });
  gives(await find({ selector: { integer: { $gt: 17 } } }), 200, (j) => j.docs.length === 2 && typeof j.bookmark === 'string' && /No matching index found/.test(j.warning), 'a scan warns');
  gives(await ask('POST', `/${db}/_index`, { body: { index: { fields: ['integer'] }, name: 'i', ddoc: 'd' } }), 200, { result: 'created', id: '_design/d', name: 'i' }, '_index');
  gives(await ask('POST', `/${db}/_index`, { body: { index: { fields: ['integer'] }, name: 'i', ddoc: 'd' } }), 200, { result: 'exists' }, 'again');
  gives(await ask('GET', `/${db}/_index`), 200, (j) => j.total_rows === 2 && j.indexes[0].type === 'special' && j.indexes[0].name === '_all_docs' && j.indexes[0].ddoc === null && j.indexes[1].ddoc === '_design/d', 'the list');
  gives(await find({ selector: { integer: { $gt: 17 } } }), 200, (j) => j.docs.length === 2 && !j.warning, 'by the index');
  gives(await find({ selector: { integer: { $gte: 0 } }, fields: ['_id', 'integer'], sort: [{ integer: 'desc' }], limit: 2 }), 200, (j) => JSON.stringify(j.docs) === '[{"_id":"19","integer":19},{"_id":"18","integer":18}]', 'fields, sort, limit');
  gives(await find({ selector: { integer: { $gte: 0 } }, skip: 18 }), 200, (j) => j.docs.length === 2, 'skip');
  gives(await find({ selector: { odd: true }, sort: ['string'] }), 400, { error: 'no_usable_index' }, 'a sort without an index');
  gives(await find({ selector: { $bad: 1 } }), 400, { error: 'invalid_operator' }, 'an unknown operator');
  gives(await find({}), 400, { error: 'missing_required_key' }, 'no selector');
  gives(await find({ selector: 1 }), 400, (j) => /invalid_selector|invalid_/.test(j.error), 'a selector that is no object');
  gives(await find({ selector: {}, limit: -1 }), 400, null, 'a negative limit');
  gives(await ask('POST', `/${db}/_find`, { body: '{', headers: { 'Content-Type': 'application/json' } }), 400, { error: 'bad_request' }, 'bad JSON');
  gives(await ask('GET', `/${db}/_find`), 405, { error: 'method_not_allowed', reason: 'Only POST allowed' }, 'GET');
  gives(await find({ selector: { $or: [{ integer: 1 }, { integer: 2 }] } }), 200, (j) => j.docs.length === 2, '$or');
  gives(await find({ selector: { string: { $regex: '^1.$' } } }), 200, (j) => j.docs.length === 10, '$regex');
  gives(await find({ selector: { integer: { $in: [1, 5, 99] } }, execution_stats: true }), 200, (j) => j.docs.length === 2 && j.execution_stats.results_returned === 2, '$in, execution_stats');
  gives(await ask('POST', `/${db}/_explain`, { body: { selector: { integer: 1 } } }), 200, (j) => j.index.name === 'i' && j.dbname && j.selector && j.opts && j.limit === 25, '_explain');
  gives(await ask('DELETE', `/${db}/_index/d/json/i`), 200, { ok: true }, 'DELETE of an index');
  gives(await ask('DELETE', `/${db}/_index/d/json/i`), 404, { error: 'not_found' }, 'once');
}

const person = (name, more = {}) => ({ _id: `org.couchdb.user:${name}`, name, type: 'user', roles: [], password: `pw-${name}`, ...more });

async function users() {
  for (const name of ['jan', 'eve']) gives(await ask('PUT', `/_users/org.couchdb.user:${name}`, { body: person(name) }), 201, { ok: true }, `${name} is made`);
  const jan = 'jan:pw-jan', eve = 'eve:pw-eve';
  gives(await ask('GET', '/_session', { auth: jan }), 200, (j) => j.ok && j.userCtx.name === 'jan' && j.userCtx.roles.length === 0 && j.info.authenticated === 'default' && j.info.authentication_db === '_users' && j.info.authentication_handlers.includes('cookie'), '_session');
  gives(await ask('GET', '/_session', { auth: null }), 200, (j) => j.userCtx.name === null && j.userCtx.roles.length === 0 && !('authenticated' in j.info), 'of nobody');
  gives(await ask('GET', '/_session', { auth: 'jan:wrong' }), 401, { error: 'unauthorized', reason: 'Name or password is incorrect.' }, 'a wrong password');
  gives(await ask('GET', '/_users/org.couchdb.user:jan', { auth: jan }), 200, (j) => j.name === 'jan' && !('password' in j), 'a user reads himself');
  gives(await ask('GET', '/_users/org.couchdb.user:jan', { auth: eve }), 404, { error: 'not_found', reason: 'missing' }, 'nobody else');
  let a = await ask('GET', '/_users/org.couchdb.user:jan', { auth: jan });
  gives(await ask('PUT', '/_users/org.couchdb.user:jan', { auth: jan, body: { ...a.json, roles: ['_admin'] } }), 403, { error: 'forbidden' }, 'nor makes himself an administrator');
  gives(await ask('PUT', '/_users/org.couchdb.user:jan', { auth: jan, body: { ...a.json, roles: ['boss'] } }), 403, { error: 'forbidden', reason: 'Only _admin may edit roles' }, 'nor gives himself roles');
  gives(await ask('PUT', '/_users/org.couchdb.user:jan', { auth: eve, body: a.json }), 404, { error: 'not_found' }, "another's document cannot be changed");
  gives(await ask('PUT', '/_users/org.couchdb.user:jan', { auth: jan, body: { ...a.json, more: 1 } }), 201, { ok: true }, 'but other members of his own');
  gives(await ask('PUT', '/_users/org.couchdb.user:bad', { body: { ...person('other'), _id: 'org.couchdb.user:bad' } }), 403, { error: 'forbidden', reason: 'Doc ID must be of the form org.couchdb.user:name' }, 'an id of another name');
  gives(await ask('PUT', '/_users/org.couchdb.user:bad', { body: person('bad', { type: 'x' }) }), 403, { error: 'forbidden', reason: 'doc.type must be user' }, 'another type');
  gives(await ask('PUT', '/_users/org.couchdb.user:bad', { body: person('bad', { roles: 'x' }) }), 403, { error: 'forbidden', reason: 'doc.roles must be an array' }, 'roles that are no list');
  gives(await ask('PUT', '/_users/org.couchdb.user:bad', { body: person('bad', { roles: [1] }) }), 403, { error: 'forbidden', reason: 'doc.roles can only contain strings' }, 'a role that is no text');
  gives(await ask('GET', '/_users/_all_docs', { auth: jan }), 403, { error: 'forbidden' }, 'a list of users is for administrators');
  gives(await ask('GET', '/_users/_changes', { auth: jan }), 403, { error: 'forbidden' }, 'so are their changes');
}

async function cookies() {
  const form = (body) => ask('POST', '/_session', { auth: null, body, headers: { 'Content-Type': 'application/x-www-form-urlencoded' } });
  let a = gives(await form('name=jan&password=pw-jan'), 200, (j) => j.ok === true && j.name === 'jan' && Array.isArray(j.roles), 'by a form');
  const cookie = (a.headers['set-cookie'] || [''])[0];
  ok(/^AuthSession=[^;]+; Version=1;.*Path=\/; HttpOnly/i.test(cookie), 'a cookie', cookie);
  gives(await ask('POST', '/_session', { auth: null, body: { name: 'jan', password: 'pw-jan' } }), 200, { ok: true, name: 'jan' }, 'by JSON');
  gives(await ask('POST', '/_session', { auth: null, body: { username: 'jan', password: 'pw-jan' } }), 200, { ok: true }, 'username is taken, too');
  a = gives(await form('name=jan&password=wrong'), 401, { error: 'unauthorized', reason: 'Name or password is incorrect.' }, 'a wrong password');
  ok(/^AuthSession=;/.test((a.headers['set-cookie'] || [''])[0]), 'empties the cookie', a.headers);
  gives(await form('name=nobody&password=x'), 401, { error: 'unauthorized' }, 'a wrong name');
  const Cookie = cookie.split(';')[0];
  gives(await ask('GET', '/_session', { auth: null, headers: { Cookie } }), 200, (j) => j.userCtx.name === 'jan' && j.info.authenticated === 'cookie', 'who has it is in');
  gives(await ask('GET', '/_session', { auth: null, headers: { Cookie: `${Cookie.slice(0, -3)}AAA` } }), 200, (j) => j.userCtx.name === null, 'a forged one is none');
  a = gives(await ask('DELETE', '/_session', { auth: null, headers: { Cookie } }), 200, { ok: true }, 'DELETE');
  ok(/^AuthSession=;/.test((a.headers['set-cookie'] || [''])[0]), 'takes it away', a.headers);
}

async function security() {
  const db = await database();
  const jan = 'jan:pw-jan', eve = 'eve:pw-eve';
  gives(await ask('GET', `/${db}`, { auth: jan }), 403, { error: 'forbidden', reason: 'You are not allowed to access this db.' }, 'a database is for administrators at first');
  gives(await ask('GET', `/${db}`, { auth: null }), 401, { error: 'unauthorized' }, 'and not for nobody');
  gives(await ask('PUT', `/${db}/_security`, { body: { members: { names: ['jan'], roles: [] }, admins: { names: ['eve'], roles: [] } } }), 200, { ok: true }, '_security');
  gives(await ask('GET', `/${db}/_security`), 200, { members: { names: ['jan'], roles: [] }, admins: { names: ['eve'], roles: [] } }, 'comes back');
  gives(await ask('PUT', `/${db}/_security`, { auth: jan, body: {} }), 403, { error: 'forbidden', reason: 'You are not a db or server admin.' }, 'a member does not change it');
  gives(await ask('PUT', `/${db}/_security`, { body: [] }), 400, { error: 'bad_request' }, 'nor is a list one');
  gives(await ask('PUT', `/${db}/_security`, { body: { members: { names: 'x' } } }), 400, { error: 'bad_request' }, 'names that are no list');
  gives(await ask('PUT', `/${db}/x`, { auth: jan, body: {} }), 201, { ok: true }, 'a member writes');
  gives(await ask('PUT', `/${db}/_design/x`, { auth: jan, body: {} }), 403, { error: 'forbidden' }, 'but no design document');
  gives(await ask('PUT', `/${db}/_design/v`, { auth: eve, body: { validate_doc_update: js('(doc, old, user, sec) { if (doc.no) throw ({forbidden: "no no"}); if (doc.who && doc.who !== user.name) throw ({unauthorized: "not you"}); if (old && old.keep && doc._deleted) throw ({forbidden: "kept"}); }') } }), 201, { ok: true }, 'an administrator of the database does');
  gives(await ask('PUT', `/${db}/a`, { auth: jan, body: { no: 1 } }), 403, { error: 'forbidden', reason: 'no no' }, 'validation forbids');
  gives(await ask('PUT', `/${db}/a`, { body: { no: 1 } }), 403, { error: 'forbidden', reason: 'no no' }, 'also administrators');
  gives(await ask('PUT', `/${db}/a`, { auth: jan, body: { who: 'eve' } }), 401, { error: 'unauthorized', reason: 'not you' }, 'or wants another user');
  gives(await ask('PUT', `/${db}/a`, { auth: eve, body: { who: 'eve' } }), 201, { ok: true }, 'who may');
  gives(await ask('POST', `/${db}/_bulk_docs`, { auth: jan, body: { docs: [{ _id: 'b1' }, { _id: 'b2', no: 1 }, { _id: 'b3', who: 'eve' }] } }), 201, (j) => j[0].ok && j[1].error === 'forbidden' && j[1].reason === 'no no' && j[1].id === 'b2' && j[2].error === 'unauthorized', 'in _bulk_docs one by one');
  gives(await ask('POST', `/${db}/_bulk_docs`, { auth: jan, body: { new_edits: false, docs: [{ _id: 'r', _rev: '1-a', no: 1 }] } }), 201, (j) => j.length === 1 && j[0].id === 'r' && j[0].error === 'forbidden', 'for a replicator, too');
  const rev = await put(db, 'k', { keep: true });
  gives(await ask('DELETE', `/${db}/k?rev=${rev}`), 403, { reason: 'kept' }, 'a deletion is asked about');
  gives(await ask('DELETE', `/${db}`, { auth: eve }), 401, { error: 'unauthorized', reason: 'You are not a server admin.' }, 'only the server\'s administrators delete databases');
  gives(await ask('PUT', '/janhasnone', { auth: jan }), 401, { error: 'unauthorized', reason: 'You are not a server admin.' }, 'or make them');
  gives(await ask('GET', '/_node/_local/_config', { auth: jan }), 401, { error: 'unauthorized' }, 'or see settings');
}

module.exports = [['design_docs', documents], ['views', reading], ['reduce', reductions], ['view_collation', collation], ['view_include_docs', linked],
  ['update_documents', updates], ['mango', mango], ['users_db', users], ['cookie_auth', cookies], ['security_validation', security]];
