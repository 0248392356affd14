#!/bin/bash
# An app in a real browser (headless Chromium) with PouchDB, served from another origin, against the whole daemon: live
# replication over CORS, an offline gap, cookies, and a page of a stranger that must get nothing.
# shellcheck source=tests/system/http_lib.sh
. "$(dirname "$0")/http_lib.sh"

browser=$QOSID_BUILD/browser
source=$(cd "$(dirname "$0")/../browser" && pwd)
install_packages "$source" "$browser"
cp "$source/../clients/lib.js" "$browser"

# The daemon must know the page's origin before it starts, and the page the daemon's address afterwards.
node "$browser/server.js" </dev/null >"$scratch/origins" 2>"$scratch/server.log" &
pages=$!
trap 'kill "$pages" 2>/dev/null; stop_daemon; rm -rf "$scratch"' EXIT
for _ in $(seq 200); do
    [ -s "$scratch/origins" ] && break
    kill -0 "$pages" 2>/dev/null || break
    sleep 0.05
done
read -r page stranger <"$scratch/origins"
daemon_http_config=$(printf '\torigin = http://127.0.0.1:%s\n' "$page")
start_daemon 0
printf 'a long secret\n' | "$QOSID_BUILD/qosidd" -c "$scratch/qosidd.conf" --add-admin clerk
status=0
timeout 120 node "$browser/sync.js" "$url" "clerk:a long secret" "http://127.0.0.1:$page" "http://127.0.0.1:$stranger" \
    >"$scratch/sync.out" 2>&1 </dev/null || status=$?
relay browser "$scratch/sync.out"
equals "$status" 0 "the browser test ends well"
stop_daemon
echo "1..$points"
