#!/bin/bash
# Replication with a real peer, pouchdb-server from npm on loopback: push and pull with conflicts, tombstones and
# attachments; a server that is killed in the middle; continuous; and the offices' exchange carries on what was pulled.
# shellcheck source=tests/system/cli_lib.sh
. "$(dirname "$0")/cli_lib.sh"

here=$(cd "$(dirname "$0")/../clients/replicator" && pwd)
peer=$QOSID_BUILD/clients/replicator
command -v npm >/dev/null || {
    echo "1..0 # SKIP npm is not installed"
    exit 0
}
if ! cmp -s "$here/package-lock.json" "$peer/installed.json"; then
    mkdir -p "$peer"
    cp "$here"/package.json "$here"/package-lock.json "$peer"
    (cd "$peer" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >npm.log 2>&1) || {
        sed 's/^/# /' "$peer/npm.log"
        echo "Bail out! the test peer could not be installed"
        exit 1
    }
    cp "$here/package-lock.json" "$peer/installed.json"
fi

pids=()
end_all() {
    local pid
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$scratch"
}
trap end_all EXIT

# Wait until a command works, at most 20 s.
until_works() {
    local i
    for ((i = 0; i < 200; i++)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    return 1
}

port=$(node -e 's = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })')
url=http://127.0.0.1:$port
mkdir "$scratch/server"
start_server() {
    (cd "$scratch/server" && exec node "$peer/node_modules/pouchdb-server/bin/pouchdb-server" -d "$scratch/server" \
        --port "$port" --host 127.0.0.1 >"$scratch/server.log" 2>&1) &
    server=$!
    pids+=("$server")
    until_works curl -sf "$url/"
}
start_server || {
    sed 's/^/# /' "$scratch/server.log"
    echo "Bail out! pouchdb-server does not start"
    exit 1
}
post() { # path, JSON
    curl -sf -H 'Content-Type: application/json' -X POST --data-binary "$2" "$url/$1"
}

# ---- what will be pushed: 500 documents, with conflicts, tombstones and attachments
a=$scratch/a b=$scratch/b c=$scratch/c
"$qosid" init -q dushanbe "$a" || exit 1
curl -sf -X PUT "$url/seed" >/dev/null
post seed/_bulk_docs "$(jq -cn '{new_edits: false, docs: [range(0; 20) as $i |
    {_id: "conflict:\($i)", _rev: "2-bbbb\($i)", _revisions: {start: 2, ids: ["bbbb\($i)", "aaaa"]}, side: "b"},
    {_id: "conflict:\($i)", _rev: "2-cccc\($i)", _revisions: {start: 2, ids: ["cccc\($i)", "aaaa"]}, side: "c",
     _deleted: ($i % 4 == 0)}]}')" >/dev/null
works "pull from a PouchDB Server" "$qosid" -C "$a" couch pull "$url/seed"
says out "received 40 changes" "every leaf arrives"
equals "$("$qosid" -C "$a" conflicts | wc -l)" 15 "as conflicts and as deleted branches"
jq -cn 'range(0; 470) | {_id: "person:\(.)", name: "Шахло \(.)", number: (. * 1.5), big: 9007199254740991}' >"$scratch/all.jsonl"
"$qosid" -C "$a" import -q "$scratch/all.jsonl" || exit 1
for i in 1 2 3 4 5 6 7; do "$qosid" -C "$a" rm -q "person:$i" || exit 1; done
head -c 300000 /dev/urandom >"$scratch/large"
head -c 2000 /dev/urandom >"$scratch/small"
for i in 0 1 2 3 4 5 6 7 8 9; do
    echo '{"kind":"scan"}' | "$qosid" -C "$a" put -q "scan:$i" - --attach "page 1/ä.bin=$scratch/small" --attach "p=$scratch/large" || exit 1
done
fails 3 "no such database" "push to a database that is not there" "$qosid" -C "$a" couch push "$url/register"
works "push with --create-target" "$qosid" -C "$a" couch push "$url/register" --create-target --json
json '.[0] | .docs_written == 520 and .doc_write_failures == 0 and .attachments == 20 and .missing_revisions_found == 520' "all leaves are sent"
equals "$(curl -s "$url/register" | jq .doc_count)" 493 "the peer has the documents"
works "push again" "$qosid" -C "$a" couch push "$url/register"
says out "nothing new" "sends nothing"

# ---- pull into another space
"$qosid" init -q london "$b" || exit 1
works "pull into another space" "$qosid" -C "$b" couch pull "$url/register" --json
json '.[0] | .docs_written == 520 and .attachments == 20 and .doc_write_failures == 0' "all leaves and attachments arrive"
equals "$("$qosid" -C "$b" digest)" "$("$qosid" -C "$a" digest)" "the digests are equal"
"$qosid" -C "$b" get scan:3 --attachment "page 1/ä.bin" | cmp -s - "$scratch/small"
equals "$?" 0 "an attachment is as it was"
run "$qosid" -C "$b" couch pull "$url/register" --json
json '.[0].revisions_checked == 0' "a second pull begins at the checkpoint"

# ---- the server is killed in the middle, then comes back
"$qosid" init -q oslo "$c" || exit 1
exec {proxy}< <(exec node "$here/breaking_proxy.js" "$port" "$server" POST _bulk_get 3)
pids+=("$!")
read -r proxy_port <&"$proxy"
"$qosid" -C "$c" couch pull "http://127.0.0.1:$proxy_port/register" --continuous --json >"$scratch/c.json" 2>"$scratch/c.err" &
client=$!
pids+=("$client")
wait "$server" 2>/dev/null
before=$("$qosid" -C "$c" digest --json | jq '.documents + .deleted')
if [ "$before" -gt 0 ] && [ "$before" -lt 500 ]; then ok "a part had arrived when the server was killed"; else not_ok "a part had arrived when the server was killed" "$before documents"; fi
start_server
same_digest() { [ "$("$qosid" -C "$c" digest)" = "$("$qosid" -C "$a" digest)" ]; }
until_works same_digest
equals "$("$qosid" -C "$c" digest)" "$("$qosid" -C "$a" digest)" "the rest arrives when it is back"

# ---- continuous
curl -sf -X PUT "$url/register/later" -d '{"x":1}' >/dev/null
until_works "$qosid" -C "$c" get later
works "a continuous pull brings later changes" "$qosid" -C "$c" get later
kill -TERM "$client"
wait "$client"
equals "$?" 0 "and ends in good order"
cp "$scratch/c.json" "$scratch/out"
json '.[0] | .docs_read < 700 and .docs_written == 521' "nothing was sent twice but the batch that was on its way"

"$qosid" -C "$b" couch push "$url/two-way" --create-target --continuous >"$scratch/b.out" 2>&1 &
client=$!
pids+=("$client")
until_works curl -sf "$url/two-way/scan:9"
echo '{"x":2}' | "$qosid" -C "$b" put -q later:b -
until_works curl -sf "$url/two-way/later:b"
equals "$(curl -s "$url/two-way/later:b" | jq .x)" 2 "a continuous push sends later changes"
kill -TERM "$client"
wait "$client"

# ---- the offices carry on what was pulled
d=$scratch/d
"$qosid" -C "$a" remote add origin "$scratch/meeting.git" --create &&
    "$qosid" -C "$a" invite -q -o "$scratch/invitation.json" 2>/dev/null &&
    "$qosid" join "$scratch/invitation.json" --office khujand "$d" -o "$scratch/request.json" 2>/dev/null &&
    "$qosid" -C "$a" admit -q "$scratch/request.json" --yes &&
    "$qosid" -C "$a" sync -q && "$qosid" -C "$d" sync -q || exit 1
works "an office pulls what changed at the peer" "$qosid" -C "$a" couch pull "$url/register"
says out "received 1 change" "only that"
works "and publishes it" "$qosid" -C "$a" sync
works "to another office" "$qosid" -C "$d" sync
equals "$("$qosid" -C "$d" digest)" "$("$qosid" -C "$a" digest)" "which then has the same"
equals "$(sqlite3 "$d/replica.db" "SELECT user FROM document WHERE id = 'later'")" "couchdb:127.0.0.1/register" "with the peer as its user"
works "the history holds" "$qosid" -C "$d" verify

# ---- TLS and a password
if command -v openssl >/dev/null; then
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=peer -addext subjectAltName=IP:127.0.0.1 \
        -keyout "$scratch/key.pem" -out "$scratch/ca.pem" 2>/dev/null || exit 1
    exec {front}< <(exec node "$here/tls_front.js" "$port" "$scratch/ca.pem" "$scratch/key.pem" "us:er's:p")
    pids+=("$!")
    read -r front_port <&"$front"
    secure=https://127.0.0.1:$front_port/register
    printf "us:er's:p\n" >"$scratch/user"
    fails 5 "others can read" "a password that others can read" "$qosid" -C "$b" couch pull "$secure" --user-file "$scratch/user"
    chmod 600 "$scratch/user"
    fails 5 "certificate" "a certificate that nobody vouches for" "$qosid" -C "$b" couch pull "$secure" --user-file "$scratch/user"
    fails 5 "401" "without a password" "$qosid" -C "$b" couch pull "$secure" --ca "$scratch/ca.pem"
    works "with certificate and password" "$qosid" -C "$b" couch pull "$secure" --ca "$scratch/ca.pem" --user-file "$scratch/user"
    says out "$secure: received 1 change" "it comes through TLS"
    fails 5 "certificate" "a certificate for another name" "$qosid" -C "$b" couch pull "${secure/127.0.0.1/localhost}" --ca "$scratch/ca.pem" --user-file "$scratch/user"
else
    ok "TLS and a password # SKIP openssl is not installed"
fi

# ---- no peer
kill -9 "$server"
wait "$server" 2>/dev/null
fails 2 "not an address" "an address without a database" "$qosid" -C "$a" couch pull "$url"
fails 2 "must begin with https" "another protocol" "$qosid" -C "$a" couch pull "file:///etc/passwd"

finish
