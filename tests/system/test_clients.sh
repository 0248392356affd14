#!/bin/bash
# CouchDB clients that applications use, against the whole daemon: PouchDB (replication, live sync, conflicts, attachments,
# a server that goes away for a while), nano, and couchbackup. Their versions are pinned in tests/clients/package-lock.json; they are
# installed in the build folder.
# shellcheck source=tests/system/http_lib.sh
. "$(dirname "$0")/http_lib.sh"

if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
    echo "1..0 # SKIP npm is not installed"
    echo "ok 1 - clients # SKIP npm is not installed"
    exit 0
fi

clients=$QOSID_BUILD/clients
install_packages "$(cd "$(dirname "$0")/../clients" && pwd)" "$clients"

script() { # name
    mkdir -p "$scratch/$1"
    local status=0
    timeout 120 node "$clients/$1.js" "$url" "$scratch/$1" >"$scratch/$1.out" 2>&1 </dev/null || status=$?
    relay "$1" "$scratch/$1.out"
    equals "$status" 0 "$1 ends well"
}

start_daemon 0
script pouchdb
script nano

# couchbackup and couchrestore: all leaves of all documents make the round trip.
leaves() { # database: every document's leaves, and the winners' bodies
    curl -sS -m 60 "$url/$1/_changes?style=all_docs" | jq -c '[.results[] | [.id, [.changes[].rev], .deleted]] | sort'
    curl -sS -m 60 "$url/$1/_all_docs?include_docs=true&conflicts=true" | jq -cS .rows
}
ask PUT /backup
ask PUT /restored
jq -nc '{docs: [range(700) | {_id: "doc:\(.)", n: ., text: "ҷӣғ", list: [1, 2.5, null]}]}' >"$scratch/many.json"
ask POST /backup/_bulk_docs "${json[@]}" -d "@$scratch/many.json"
ask POST /backup/_bulk_docs "${json[@]}" -d '{"new_edits":false,"docs":[{"_id":"twice","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]}},{"_id":"twice","_rev":"2-c","_revisions":{"start":2,"ids":["c","a"]}}]}'
ask DELETE "/backup/doc:7?rev=$(rev_of /backup/doc:7)"
status=0
timeout 120 "$clients/node_modules/.bin/couchbackup" --url "$url" --db backup >"$scratch/backup.txt" 2>"$scratch/backup.log" || status=$?
equals "$status" 0 "couchbackup ends well"
timeout 120 "$clients/node_modules/.bin/couchrestore" --url "$url" --db restored <"$scratch/backup.txt" >"$scratch/restore.log" 2>&1 || status=$?
equals "$status" 0 "couchrestore ends well"
if [ "$(leaves backup)" = "$(leaves restored)" ]; then
    ok "the restored database has the same leaves and bodies"
else
    not_ok "the restored database has the same leaves and bodies" "$(diff <(leaves backup) <(leaves restored) | cut -c1-300)"
fi

# The server goes away in the middle of a live sync and comes back at the same address.
mkdir -p "$scratch/gap"
timeout 120 node "$clients/gap.js" "$url" "$scratch/gap" >"$scratch/gap.out" 2>&1 </dev/null &
gap=$!
for step in stop start; do
    for _ in $(seq 1200); do
        [ -e "$scratch/gap/$step" ] || ! kill -0 "$gap" 2>/dev/null && break
        sleep 0.05
    done
    if [ $step = stop ]; then stop_daemon; else start_daemon "$port"; fi
    touch "$scratch/gap/$step.done"
done
status=0
wait "$gap" || status=$?
relay gap "$scratch/gap.out"
equals "$status" 0 "gap ends well"

stop_daemon
echo "1..$points"
