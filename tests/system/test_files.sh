#!/bin/bash
# Large attachments on demand: documents are usable without them, over the command line and HTTP, each says where the
# content is, and fetch-file brings it.
# shellcheck source=tests/system/cli_lib.sh
. "$(dirname "$0")/cli_lib.sh"

a=$scratch/dushanbe b=$scratch/khujand
daemon=
stop() {
    if [ -n "$daemon" ]; then
        kill "$daemon" 2>/dev/null
        wait "$daemon" 2>/dev/null
    fi
    rm -rf "$scratch"
}
trap stop EXIT
"$qosid" init -q dushanbe "$a" || exit 1
"$qosid" -C "$a" remote add origin "$scratch/records.git" --create || exit 1
"$qosid" -C "$a" invite -o "$scratch/invitation.json" || exit 1
"$qosid" join "$scratch/invitation.json" --office khujand "$b" -o "$scratch/request.json" || exit 1
"$qosid" -C "$a" admit "$scratch/request.json" --yes || exit 1

# Three scans, the second in two parts, and a picture that is small enough to come along.
for i in 1 2 3; do
    size=$((5000000 + i))
    [ $i = 2 ] && size=20000000
    openssl enc -aes-128-ctr -K "$(printf '%032d' $i)" -iv "$(printf '%032d' 0)" -in /dev/zero 2>/dev/null | head -c $size >"$scratch/scan$i"
    put "$a" "person:$i" '{"name":"Daler"}' --attach "scan.pdf=$scratch/scan$i" >/dev/null
    "$qosid" -C "$a" sync -q || exit 1
done
head -c 1000 "$scratch/scan1" >"$scratch/picture"
put "$a" person:4 '{"name":"Shahlo"}' --attach "photo.jpg=$scratch/picture" >/dev/null
"$qosid" -C "$a" sync -q || exit 1

# ---- an office with little to spend
"$qosid" -C "$b" remote rm origin
fails 1 "always, on-demand or never" "files are fetched in one of three ways" "$qosid" -C "$b" remote add origin "$scratch/records.git" --files sometimes
works "a remote with files on demand" "$qosid" -C "$b" remote add origin "$scratch/records.git" --files on-demand
equals "$(git config -f "$b/config" remote.origin.files)" on-demand "is remembered as such"
works "it syncs" "$qosid" -C "$b" sync
equals "$("$qosid" -C "$a" digest)" "$("$qosid" -C "$b" digest)" "all records are here"
works "what is small has come along" cmp -s <("$qosid" -C "$b" get person:4 --attachment photo.jpg) "$scratch/picture"
run "$qosid" -C "$b" get person:2
json '.[0]._attachments["scan.pdf"] | .stub and .length == 20000000 and (.digest | startswith("blake2b-256:"))' "a document has a stub with its digest"
fails 3 "not arrived" "the content is not here" "$qosid" -C "$b" get person:2 --attachment scan.pdf
says err "qosid fetch-file person:2 scan.pdf" "and how to bring it is said"
works "verify is content" "$qosid" -C "$b" verify
says out "3 attachments (30000004 bytes) are not here, but in files/dushanbe" "and tells what is elsewhere from what is missing"
run "$qosid" -C "$b" --json verify
json '.[-1] | .ok and .attachments_not_here == 3' "also in JSON"

# The document can be changed without it, and the other office loses nothing.
"$qosid" -C "$b" get person:2 | jq -c '.name = "Firuz"' | "$qosid" -C "$b" -q put person:2 - || exit 1
works "a document is changed without its content" "$qosid" -C "$b" sync
works "the other office takes the change" "$qosid" -C "$a" sync
equals "$("$qosid" -C "$a" get person:2 | jq -r .name)" Firuz "the change is there"
works "with the content" cmp -s <("$qosid" -C "$a" get person:2 --attachment scan.pdf) "$scratch/scan2"

# ---- HTTP
printf '[http]\n\tlisten = 127.0.0.1:0\n\topen = loopback\n\tdataDir = %s\n[space "register"]\n\tpath = %s\n\tinterval = 3600\n' "$scratch/data" "$b" >"$scratch/qosidd.conf"
"$QOSID_BUILD/qosidd" -c "$scratch/qosidd.conf" >"$scratch/daemon.log" 2>&1 </dev/null &
daemon=$!
port=
for _ in $(seq 200); do
    port=$(sed -n 's/.*serving HTTP.* port=\([0-9]*\).*/\1/p' "$scratch/daemon.log")
    [ -n "$port" ] && break
    sleep 0.05
done
get() { curl -sS -m 60 "http://127.0.0.1:$port/register/$1" >"$scratch/out" 2>"$scratch/err"; }
get person:2
json '.[0]._attachments["scan.pdf"].stub' "over HTTP the document is there"
equals "$(curl -s -o "$scratch/out" -w '%{http_code}' "http://127.0.0.1:$port/register/person:2/scan.pdf")" 404 "its attachment is not"
json '.[0].error == "not_found" and (.[0].reason | contains("20000000 bytes) is not here but in files/dushanbe"))' "the error says where it is"

# ---- on demand
works "fetch-file" "$qosid" -C "$b" --json fetch-file person:2 scan.pdf
json '.[0] | .name == "scan.pdf" and .length == 20000000 and .log == "files/dushanbe" and .remote == "origin" and .fetched > 25000000 and .fetched < 25100000' \
    "says how much it took: what is before it in the log came along, what is after it did not"
get person:2/scan.pdf
mv "$scratch/out" "$scratch/got"
works "it is what was published" cmp -s "$scratch/got" "$scratch/scan2"
fails 3 "not arrived" "the third is still elsewhere" "$qosid" -C "$b" get person:3 --attachment scan.pdf
run "$qosid" -C "$b" fetch-file person:2
says out "here already" "once is enough"
fails 3 "no attachment other.pdf" "an attachment that is not there" "$qosid" -C "$b" fetch-file person:2 other.pdf
fails 3 "no remote stick" "a remote that is not there" "$qosid" -C "$b" fetch-file person:3 --remote stick
mv "$scratch/records.git" "$scratch/away.git"
fails 6 "" "a remote that cannot be reached" "$qosid" -C "$b" fetch-file person:3
mv "$scratch/away.git" "$scratch/records.git"
git config -f "$b/config" remote.origin.files never
fails 5 "never" "a remote that is set never to carry files" "$qosid" -C "$b" fetch-file person:3 --remote origin
git config -f "$b/config" remote.origin.files always
works "set to always, the next sync brings the rest" "$qosid" -C "$b" sync
works "all of it" cmp -s <("$qosid" -C "$b" get person:3 --attachment scan.pdf) "$scratch/scan3"
run "$qosid" -C "$b" verify
if grep -q "not here" "$scratch/out"; then not_ok "nothing is elsewhere any more"; else ok "nothing is elsewhere any more"; fi

finish
