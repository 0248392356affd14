// A page of another origin, in a real browser, keeps its own PouchDB in step with the daemon over CORS.
//
// Arguments: the daemon's URL, its log-in (name:password), the allowed origin, a strange origin.
'use strict';

const { chromium } = require('playwright-core');
const { ok, equal, eventually, run } = require('./lib');

const [, , url, login, allowed, strange] = process.argv;
const authorization = `Basic ${Buffer.from(login).toString('base64')}`;

async function ask(method, path, body) {
  const response = await fetch(url + path, {
    method,
    headers: { Authorization: authorization, 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  return response.json();
}

// Runs in the page: start live replication both ways, with the password as an app would give it.
function begin([server, user, database]) {
  const [username, password] = user.split(':');
  window.local = new PouchDB('office');
  window.remote = new PouchDB(`${server}/${database}`, { skip_setup: true, auth: { username, password } });
  window.errors = [];
  window.sync = window.local
    .sync(window.remote, { live: true, retry: true })
    .on('denied', (error) => window.errors.push(error))
    .on('error', (error) => window.errors.push(error));
}

async function livesync(browser) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(allowed);
  await ask('PUT', '/register');
  await ask('PUT', '/register/from-server', { name: 'Ҷӯрабек' });
  await page.evaluate(begin, [url, login, 'register']);
  await eventually(
    () => page.evaluate(() => window.local.get('from-server').then((doc) => doc.name === 'Ҷӯрабек')),
    'a document of the server reaches the page',
  );

  await page.evaluate(() =>
    window.local.put({
      _id: 'from-page',
      name: 'Қосид',
      _attachments: { 'photo.bin': { content_type: 'application/octet-stream', data: new Blob([new Uint8Array(70000)]) } },
    }),
  );
  await eventually(async () => (await ask('GET', '/register/from-page')).name === 'Қосид', "the page's document reaches the server");
  const photo = await fetch(`${url}/register/from-page/photo.bin`, { headers: { Authorization: authorization } });
  equal((await photo.arrayBuffer()).byteLength, 70000, 'with its attachment');

  // Both sides work while there is no link.
  await context.setOffline(true);
  const there = await ask('GET', '/register/from-server');
  await ask('PUT', '/register/from-server', { ...there, name: 'edited at the server' });
  const reached = await page.evaluate(async (server) => {
    const doc = await window.local.get('from-server');
    await window.local.put({ ...doc, name: 'edited in the page' });
    await window.local.put({ _id: 'made-offline' });
    return fetch(`${server}/`).then(() => true, () => false);
  }, url);
  equal(reached, false, 'the page is offline');
  await context.setOffline(false);
  await eventually(async () => (await ask('GET', '/register/made-offline'))._id === 'made-offline', 'what was made offline goes up later');
  await eventually(
    () => page.evaluate(() => window.local.get('from-server', { conflicts: true }).then((doc) => (doc._conflicts || []).length === 1)),
    'the page sees the conflict',
  );
  const mine = await page.evaluate(() => window.local.get('from-server', { conflicts: true }));
  const theirs = await ask('GET', '/register/from-server?conflicts=true');
  equal([mine._rev, mine._conflicts], [theirs._rev, theirs._conflicts], 'and agrees with the server on its winner');
  equal(await page.evaluate(() => window.errors), [], 'replication met no error');
  await context.close();
}

async function cookies(browser) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(allowed);
  const [name, password] = login.split(':');
  const answer = await page.evaluate(
    async ([server, body]) => {
      const options = { credentials: 'include', headers: { 'Content-Type': 'application/json' } };
      const session = await fetch(`${server}/_session`, { ...options, method: 'POST', body: JSON.stringify(body) });
      const user = await (await fetch(`${server}/_session`, options)).json();
      const put = await fetch(`${server}/register/by-cookie`, { ...options, method: 'PUT', body: '{}' });
      return [session.status, user.userCtx.name, put.status, document.cookie];
    },
    [url, { name, password }],
  );
  equal(answer, [200, name, 201, ''], 'a page logs in and writes with a cookie that scripts cannot read');

  // The same browser, with the cookie, visits a stranger.
  await page.goto(strange);
  const refused = await page.evaluate(async (server) => {
    const options = { credentials: 'include' };
    const read = await fetch(`${server}/register/by-cookie`, options).then(() => 'read', () => 'refused');
    // What a browser sends without asking first: no preflight guards this one.
    await fetch(`${server}/register`, { ...options, method: 'POST', mode: 'no-cors', body: '{"_id":"forged"}' }).catch(() => {});
    const put = await fetch(`${server}/register/forged`, { ...options, method: 'PUT', body: '{}' }).then(() => 'written', () => 'refused');
    return [read, put];
  }, url);
  equal(refused, ['refused', 'refused'], 'a page of a strange origin can neither read nor write');
  equal((await ask('GET', '/register/forged')).error, 'not_found', 'and nothing of it was written');
  await context.close();
}

run(async () => {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox'] });
  try {
    ok(true, `the browser starts (${browser.version().split('.')[0]})`);
    await livesync(browser);
    await cookies(browser);
  } finally {
    await browser.close();
  }
});
