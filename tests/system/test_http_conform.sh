#!/bin/bash
# What CouchDB's documentation promises of status codes, words of errors, headers and shapes of answers, point by point:
# tests/conform has the points. All of it by an administrator of a server that is closed to others.
# shellcheck source=tests/system/http_lib.sh
. "$(dirname "$0")/http_lib.sh"

if ! command -v node >/dev/null; then
    echo "1..0 # SKIP node is not installed"
    echo "ok 1 - conformance # SKIP node is not installed"
    exit 0
fi

export daemon_http_config=
start_daemon 0
printf 'secret\n' | "$QOSID_BUILD/qosidd" -c "$scratch/qosidd.conf" --add-admin root 2>"$scratch/err"
equals "$? $(cat "$scratch/err")" "0 " "there is an administrator"
status=0
timeout 120 node "$(dirname "$0")/../conform/run.js" "$url" root secret >"$scratch/out" 2>&1 </dev/null || status=$?
relay conform "$scratch/out"
equals "$status" 0 "every point holds"

stop_daemon
echo "1..$points"
