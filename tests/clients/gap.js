// A live sync whose server goes away and comes back: both sides go on alone and meet again.
'use strict';

const fs = require('fs');
const PouchDB = require('pouchdb');
const { url, ok, eventually, run } = require('./lib');

const folder = process.argv[3];

// Ask the script around us for something, by files.
async function request(step) {
  fs.writeFileSync(`${folder}/${step}`, '');
  const until = Date.now() + 30000;
  while (!fs.existsSync(`${folder}/${step}.done`)) {
    if (Date.now() > until) throw new Error(`nobody did "${step}"`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

run(async () => {
  const remote = new PouchDB(`${url}/gap`);
  const local = new PouchDB(`${folder}/local`);
  await local.put({ _id: 'before', n: 1 });
  const backOff = () => 100;
  const sync = local.sync(remote, { live: true, retry: true, back_off_function: backOff });
  await eventually(async () => (await remote.get('before')).n === 1, 'live sync works before the gap');
  await request('stop');
  let reached = true;
  try {
    await fetch(url);
  } catch (error) {
    reached = false;
  }
  ok(!reached, 'the server is away');
  await local.put({ _id: 'during', n: 2 });
  await local.put({ ...(await local.get('before')), n: 3 });
  await request('start');
  await eventually(async () => (await remote.get('during')).n === 2, 'what was written during the gap arrives');
  await eventually(async () => (await remote.get('before')).n === 3, 'so does an edit of an older document');
  await remote.put({ _id: 'after', n: 4 });
  await eventually(async () => (await local.get('after')).n === 4, 'and the other direction is alive again');
  sync.cancel();
  await local.destroy();
});
