#!/bin/bash
# 1,000 clients at once, of all kinds, while the office meets a remote: no error but a deliberate 503, and nothing that was
# acknowledged is lost, neither here nor at the office that hears of it. LOAD_SECONDS=600 for the long run, LOAD_SEED to repeat one.
# shellcheck source=tests/system/http_lib.sh
. "$(dirname "$0")/http_lib.sh"

seconds=${LOAD_SECONDS:-6}
seed=${LOAD_SEED:-$RANDOM}
qosid=$QOSID_BUILD/qosid
export QOSID_USER=tester
set -e
"$qosid" -q init dushanbe "$scratch/dushanbe"
"$qosid" -q -C "$scratch/dushanbe" remote add --create origin "$scratch/records.git"
"$qosid" -q -C "$scratch/dushanbe" invite -o "$scratch/invitation"
"$qosid" -q join "$scratch/invitation" --office khujand -o "$scratch/request" "$scratch/khujand"
"$qosid" -q -C "$scratch/dushanbe" admit --yes "$scratch/request" >/dev/null
set +e
daemon_http_config=$(printf '\topen = loopback\n[daemon]\n\tinterval = 1s\n\tdebounce = 200ms\n[space "register"]\n\tpath = %s\n' "$scratch/dushanbe")
start_daemon 0
timeout $((seconds * 3 + 300)) python3 "$(dirname "$0")/../load/clients.py" "$url" register 1000 "$seconds" "$seed" "$daemon_pid" \
    >"$scratch/load.json" 2>"$scratch/load.log"
equals "$?" 0 "1,000 clients work at once for $seconds s (seed $seed)"
value() { jq -r "$1" <"$scratch/load.json"; }
equals "$(value .failures)" 0 "no answer but those that a client must be ready for"
equals "$(value '.first_failures[]')" "" "each of them as it should be"
equals "$(value .lost)" 0 "every acknowledged write is there"
if [ "$(value '.acknowledged > 1000 and .hangups > 10')" = true ]; then
    ok "the load was one ($(value '"\(.requests) requests, \(.acknowledged) documents, \(.busy) times busy, \(.hangups) hang-ups"'))"
else
    not_ok "the load was one" "$(cat "$scratch/load.json" "$scratch/load.log")"
fi
# The first half warms caches and connections; what grows after that leaks.
if [ "$(value '.memory_second_half_max < 1.5 * .memory_first_half_max + 20')" = true ]; then
    ok "memory stays flat ($(value '"\(.memory_first_half_max) MiB, then \(.memory_second_half_max) MiB"'))"
else
    not_ok "memory stays flat" "$(cat "$scratch/load.json")"
fi
stop_daemon
"$qosid" -q -C "$scratch/dushanbe" sync >"$scratch/sync" 2>&1
equals "$?" 0 "the office goes on meeting the remote"
"$qosid" -q -C "$scratch/khujand" sync >"$scratch/sync" 2>&1
equals "$("$qosid" -C "$scratch/khujand" digest)" "$("$qosid" -C "$scratch/dushanbe" digest)" "the other office has all of it"
"$qosid" -C "$scratch/khujand" verify >"$scratch/verify" 2>&1
equals "$?" 0 "and proves it"
echo "1..$points"
