// What the client tests share: TAP points, waiting for a condition, and the address of the server (first argument).
'use strict';

const url = process.argv[2];
let points = 0;
let failed = 0;

function ok(condition, name, detail) {
  points += 1;
  if (condition) {
    console.log(`ok ${points} - ${name}`);
  } else {
    failed += 1;
    console.log(`not ok ${points} - ${name}`);
    if (detail !== undefined) console.log(`# ${JSON.stringify(detail)}`);
  }
}

function equal(actual, wanted, name) {
  const a = JSON.stringify(actual);
  const b = JSON.stringify(wanted);
  ok(a === b, name, a === b ? undefined : { actual, wanted });
}

// Ask again and again until the answer is true; a test that waits in vain fails and does not hang.
async function eventually(check, name) {
  const until = Date.now() + 30000;
  let last;
  while (Date.now() < until) {
    try {
      if (await check()) {
        ok(true, name);
        return;
      }
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  ok(false, name, last && String(last));
}

async function refused(promise, status, name) {
  try {
    await promise;
    ok(false, name, 'it was accepted');
  } catch (error) {
    equal(error.statusCode || error.status, status, name);
  }
}

function run(test) {
  test()
    .catch((error) => ok(false, 'the test runs to its end', error.stack))
    .finally(() => {
      console.log(`1..${points}`);
      process.exit(failed > 0 ? 1 : 0);
    });
}

module.exports = { url, ok, equal, eventually, refused, run };
