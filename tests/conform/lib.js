// What the parts of the conformance suite share: TAP points, requests that hide nothing, databases of their own.
'use strict';

const http = require('http');

const [base, user, password] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
const administrator = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
let part = '';
let points = 0;
let failed = 0;

function ok(condition, name, detail) {
  points += 1;
  console.log(`${condition ? 'ok' : 'not ok'} ${points} - ${part}: ${name}`);
  if (!condition) {
    failed += 1;
    console.log(`# ${JSON.stringify(detail)}`.slice(0, 1200));
  }
}

// The order of members does not count.
function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

function same(actual, wanted, name) {
  const equal = JSON.stringify(sorted(actual)) === JSON.stringify(sorted(wanted));
  ok(equal, name, equal ? undefined : { actual, wanted });
}

// Ask as the administrator, or with auth: "name:password", or null for nobody. body: a text, bytes, or a value for JSON.
function ask(method, path, { body, headers = {}, auth } = {}) {
  const given = { Accept: 'application/json', ...headers };
  let bytes = body;
  if (auth === undefined) given.Authorization = administrator;
  else if (auth !== null) given.Authorization = `Basic ${Buffer.from(auth).toString('base64')}`;
  if (body !== undefined && typeof body !== 'string' && !Buffer.isBuffer(body)) {
    bytes = JSON.stringify(body);
    if (!Object.keys(given).some((name) => name.toLowerCase() === 'content-type')) given['Content-Type'] = 'application/json';
  }
  if (bytes !== undefined) given['Content-Length'] = Buffer.byteLength(bytes);
  else if (method === 'POST' || method === 'PUT') given['Content-Length'] = 0;
  for (const name of Object.keys(given)) if (given[name] === null) delete given[name];
  const at = new URL(base);
  return new Promise((resolve, reject) => {
    const request = http.request({ agent, host: at.hostname, port: at.port, method, path, headers: given, timeout: 30000 }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => {
        const answer = { status: response.statusCode, headers: response.headers, bytes: Buffer.concat(chunks) };
        answer.text = answer.bytes.toString();
        try {
          answer.json = JSON.parse(answer.text);
        } catch {
          answer.json = undefined;
        }
        resolve(answer);
      });
      response.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error(`no answer to ${method} ${path}`)));
    request.on('error', reject);
    request.end(bytes);
  });
}

// One point: the status, and, when given, members of the answer or a condition on it.
function gives(answer, status, wanted, name) {
  let right = answer.status === status;
  if (right && typeof wanted === 'function') {
    try {
      right = Boolean(wanted(answer.json, answer));
    } catch {
      right = false;
    }
  } else if (right && wanted) {
    right = Object.keys(wanted).every(
      (key) => answer.json !== undefined && JSON.stringify(sorted(answer.json[key])) === JSON.stringify(sorted(wanted[key])),
    );
  }
  ok(right, name, right ? undefined : { status, wanted: typeof wanted === 'function' ? String(wanted) : wanted, got: answer.status, text: answer.text.slice(0, 600), headers: answer.headers });
  return answer;
}

let made = 0;
async function database() {
  made += 1;
  const name = `conform${made}`;
  const answer = await ask('PUT', `/${name}`);
  if (answer.status !== 201) throw new Error(`cannot make ${name}: ${answer.text}`);
  return name;
}

const put = async (db, id, body) => (await ask('PUT', `/${db}/${encodeURIComponent(id)}`, { body })).json.rev;
const fill = (db, docs) => ask('POST', `/${db}/_bulk_docs`, { body: { docs } });
const numbered = (count, from = 0) => [...Array(count).keys()].map((i) => ({ _id: String(i + from), integer: i + from, string: String(i + from) }));

async function run(parts) {
  for (const [name, test] of parts) {
    part = name;
    try {
      await test();
    } catch (error) {
      ok(false, 'runs to its end', error.stack);
    }
  }
  console.log(`1..${points}`);
  process.exit(failed > 0 ? 1 : 0);
}

module.exports = { base, ok, same, ask, gives, database, put, fill, numbered, run };
