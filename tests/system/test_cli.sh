#!/bin/bash
# The command line tool on one office's records: init, put, get, rm, ls, changes, attachments, identity; exit codes, JSON
# shapes and bad input.
# shellcheck source=tests/system/cli_lib.sh
. "$(dirname "$0")/cli_lib.sh"

a=$scratch/a

# ---- help and usage
works "help lists the commands" "$qosid" help
says out "import" "help names import"
for command in $("$qosid" help | awk '/^  [a-z]/ { print $1 }'); do
    run "$qosid" "$command" --help
    if [ "$status" = 0 ] && grep -q '^Examples\{0,1\}:' "$scratch/out" && grep -q "^usage: qosid $command" "$scratch/out" &&
        grep -qw "$command" "$(dirname "$0")/../../cli/completion.bash"; then
        ok "$command has help with an example, and completion"
    else
        not_ok "$command has help with an example, and completion"
    fi
done
fails 2 "" "no command at all is a usage error" "$qosid"
fails 2 "there is no command frobnicate" "an unknown command is a usage error" "$qosid" frobnicate
fails 2 "unknown option --frobnicate" "an unknown long option is a usage error" "$qosid" ls --frobnicate
fails 2 "unknown option -x" "an unknown letter is a usage error" "$qosid" ls -x
fails 2 "needs a value" "an option without its value is a usage error" "$qosid" ls --from
fails 2 "takes no value" "a value that an option does not take is a usage error" "$qosid" ls --deleted=yes
fails 2 "hint: qosid put --help" "a missing argument is a usage error with a hint" "$qosid" put
fails 2 "unexpected argument" "too many arguments are a usage error" "$qosid" status x
works "version" "$qosid" version
works "--version" "$qosid" --version
works "version as JSON" "$qosid" version --json
json '.[0].qosid | length > 0' "version as JSON has the version"

# ---- init
works "init" "$qosid" init dushanbe "$a"
says out "steward" "init says who is steward"
says err "not protected by a passphrase" "init warns about keys in clear"
equals "$(stat -c %a "$a/identity")" 600 "the identity is for its owner only"
fails 4 "" "init in a folder that is in use is refused" "$qosid" init dushanbe "$a"
fails 1 "" "init with a bad office name is refused" "$qosid" init 'Dushanbe!' "$scratch/bad"
works "init as JSON" "$qosid" init --json -q khujand "$scratch/b"
json '.[0] | (.space | length == 32) and .office == "khujand" and (.fingerprint | length > 0)' "init as JSON has its shape"
fails 3 "qosid" "a folder that is no space" "$qosid" -C "$scratch" status
says err "hint: " "says where to go"
fails 3 "No such file" "-C with a folder that is not there" "$qosid" -C "$scratch/nowhere" status
mkdir "$a/sub"
works "a folder inside the space finds it" "$qosid" -C "$a/sub" status
rmdir "$a/sub"

# ---- bytes come back as they went in
printf '%s' '{"big":123456789012345678901234567890,"one":1.0,"zero":-0.0,"exp":1E+2,"z":1,"a":{"y":[ 1, 2 ],"x":"\u0041/\/"}}' >"$scratch/bytes.json"
works "put a file" "$qosid" -C "$a" put bytes "$scratch/bytes.json"
says out "stored bytes as 1-" "put says the revision"
run "$qosid" -C "$a" get bytes
equals "$(sed 's/^{"_id":"bytes","_rev":"1-[0-9a-f]*",/{/' "$scratch/out")" "$(cat "$scratch/bytes.json")" "numbers, escapes, order and spaces are exact"
fails 1 "qosid" "duplicate names are refused" "$qosid" -C "$a" put dup <(echo '{"a":1,"a":2}')
printf '{\n"a":1,\n"b":tru\n}' >"$scratch/bad.json"
fails 1 "bad.json: line 3, column" "bad JSON is refused with its place" "$qosid" -C "$a" put bad "$scratch/bad.json"
fails 1 "" "an array is no document" "$qosid" -C "$a" put bad <(echo '[1]')
fails 1 "" "trailing garbage is refused" "$qosid" -C "$a" put bad <(echo '{} {}')
fails 1 "" "bytes that are not UTF-8 are refused" "$qosid" -C "$a" put bad <(printf '{"a":"\xff"}')
fails 1 "" "an unknown underscore member is refused" "$qosid" -C "$a" put bad <(echo '{"_secret":1}')
fails 1 "" "an id with a leading underscore is refused" "$qosid" -C "$a" put _bad <(echo '{}')
fails 3 "cannot open" "a file that is not there" "$qosid" -C "$a" put bad "$scratch/nofile"
fails 1 "cannot read" "a folder instead of a file" "$qosid" -C "$a" put bad "$scratch"
fails 2 "_id" "another _id in the document" "$qosid" -C "$a" put x <(echo '{"_id":"y"}')

# ---- edits
r1=$(put "$a" plan:1 '{"status":"open"}')
equals "${r1%%-*}" 1 "put as JSON gives the revision"
fails 4 "hint:" "an update without --rev is a conflict" "$qosid" -C "$a" put plan:1 <(echo '{"status":"late"}')
r2=$(put "$a" plan:1 '{"status":"done"}' --rev "$r1")
equals "${r2%%-*}" 2 "an update with --rev"
fails 4 "hint:" "an update of an old revision is a conflict" "$qosid" -C "$a" put plan:1 --rev "$r1" <(echo '{"status":"x"}')
fails 2 "not a revision" "a revision that is none" "$qosid" -C "$a" put plan:1 --rev nonsense <(echo '{}')
"$qosid" -C "$a" get plan:1 | jq -c '.status = "closed"' >"$scratch/edited.json"
works "what get printed, edited, can be put" "$qosid" -C "$a" put plan:1 "$scratch/edited.json"
fails 2 "_rev" "--rev that contradicts _rev" "$qosid" -C "$a" put plan:1 "$scratch/edited.json" --rev "$r1"
run "$qosid" -C "$a" get plan:1
json '.[0].status == "closed"' "get shows the new status"
run "$qosid" -C "$a" get plan:1 --revs
json '.[0]._revisions | .start == 3 and (.ids | length == 3)' "get --revs shows the ancestry"
works "get an old revision that waits for publication" "$qosid" -C "$a" get plan:1 --rev "$r1"
json '.[0].status == "open"' "and it is the old one"
run "$qosid" -C "$a" -v get plan:1
says err "by Test Registrar" "get -v tells the user"
fails 3 "" "get of an unknown id" "$qosid" -C "$a" get nothing
fails 3 "" "get of an unknown revision" "$qosid" -C "$a" get plan:1 --rev 7-00000000000000000000000000000000
put "$a" plan:2 '{}' --user "Someone Else" >/dev/null
run "$qosid" -C "$a" ls -l plan:2
says out "Someone Else" "--user names the user"
fails 2 "UTF-8" "a user's name must be UTF-8" "$qosid" -C "$a" put plan:3 --user $'\xff' <(echo '{}')

# ---- rm
works "rm" "$qosid" -C "$a" rm plan:2
says out "deleted plan:2 as 2-" "rm says the tombstone's revision"
fails 3 "" "a deleted document is not found" "$qosid" -C "$a" get plan:2
fails 3 "" "nor deleted twice" "$qosid" -C "$a" rm plan:2
fails 4 "" "rm with an old revision is a conflict" "$qosid" -C "$a" rm plan:1 --rev "$r1"
fails 3 "" "rm of an unknown id" "$qosid" -C "$a" rm nothing
r4=$(put "$a" plan:2 '{"back":true}')
equals "${r4%%-*}" 3 "a deleted document can be put again"

# ---- ls
for id in person:1 person:2 person:3; do put "$a" $id '{}' >/dev/null; done
run "$qosid" -C "$a" ls person:
equals "$(tr '\n' ' ' <"$scratch/out")" "person:1 person:2 person:3 " "ls with a prefix"
run "$qosid" -C "$a" ls --from person:2 --to person:3
equals "$(tr '\n' ' ' <"$scratch/out")" "person:2 person:3 " "ls with a range"
run "$qosid" -C "$a" ls --limit 1
equals "$(cat "$scratch/out")" bytes "ls with a limit"
run "$qosid" -C "$a" --json ls person:
json 'length == 3 and all(.[]; (.id | startswith("person:")) and (.rev | startswith("1-")) and .seq > 0 and .conflict == false
    and (.time | endswith("Z")) and .user == "Test Registrar")' "ls as JSON has its shape"
"$qosid" -C "$a" rm person:3 >/dev/null
run "$qosid" -C "$a" ls --deleted --json person:3
json '.[0].deleted' "ls --deleted shows tombstones"
fails 2 "whole number" "ls with a bad limit" "$qosid" -C "$a" ls --limit -1
put "$a" $'evil\x1b[31m' '{}' >/dev/null 2>&1 || true
run "$qosid" -C "$a" ls evil
if grep -q $'\x1b' "$scratch/out"; then not_ok "control characters are not printed"; else ok "control characters are not printed"; fi

# ---- changes
run "$qosid" -C "$a" changes --json
json 'length > 5 and ([.[].seq] == ([.[].seq] | sort)) and (.[0].changes[0].rev | length > 3)' "changes as JSON are in order"
json 'map(select(.id == "person:3")) | .[0].deleted' "changes show deletions"
last=$(jq -s '.[-1].seq' "$scratch/out")
run "$qosid" -C "$a" changes --since "$last"
equals "$(cat "$scratch/out")" "" "nothing after the last change"
put "$a" late '{}' >/dev/null
run "$qosid" -C "$a" changes --since "$last"
says out "late" "a new change comes after it"
timeout 20 "$qosid" -C "$a" changes --since "$((last + 1))" -f --limit 1 --json >"$scratch/followed" &
follower=$!
for _ in 1 2 3 4 5 6 7 8; do put "$a" "followed:$_" '{}' >/dev/null; done
wait "$follower"
equals "$(jq -r .id "$scratch/followed")" "followed:1" "changes -f waits for the next change"

# ---- attachments
head -c 300000 /dev/urandom >"$scratch/photo.bin"
printf '%s' '{"name":"with photo"}' >"$scratch/doc.json"
works "put with attachments" "$qosid" -C "$a" put photo "$scratch/doc.json" --attach "face.jpg=$scratch/photo.bin:image/jpeg" --attach "note.txt=$scratch/doc.json"
run "$qosid" -C "$a" get photo
json '.[0]._attachments["face.jpg"] | .content_type == "image/jpeg" and .length == 300000 and .stub' "get lists them as stubs"
json '.[0]._attachments["note.txt"].length == 21' "and the second"
works "get an attachment into a file" "$qosid" -C "$a" get photo --attachment face.jpg -o "$scratch/back.bin"
run cmp "$scratch/photo.bin" "$scratch/back.bin"
exits 0 "it is the same"
fails 3 "no attachment" "an attachment that is not there" "$qosid" -C "$a" get photo --attachment nothing
fails 3 "cannot open" "attaching a file that is not there" "$qosid" -C "$a" put photo2 "$scratch/doc.json" --attach "x=$scratch/nofile"
fails 3 "" "and nothing was stored" "$qosid" -C "$a" get photo2
fails 2 "NAME=FILE" "a bad --attach" "$qosid" -C "$a" put photo2 "$scratch/doc.json" --attach nonsense
"$qosid" -C "$a" get photo | jq -c '.name = "renamed"' >"$scratch/edited.json"
works "an edit that keeps the stubs" "$qosid" -C "$a" put photo "$scratch/edited.json"
works "keeps the attachments" "$qosid" -C "$a" get photo --attachment face.jpg -o "$scratch/back.bin"
run "$qosid" -C "$a" get photo --attachments
json '.[0]._attachments["note.txt"].data | @base64d == "{\"name\":\"with photo\"}"' "get --attachments has the contents"

# ---- output that cannot be written
if [ -e /dev/full ]; then
    status=0
    "$qosid" -C "$a" ls >/dev/full 2>"$scratch/err" || status=$?
    : >"$scratch/out"
    exits 1 "a full device is noticed"
    says err "cannot write" "and said"
    status=0
    "$qosid" -C "$a" get photo -o /dev/full 2>"$scratch/err" || status=$?
    exits 1 "also with -o"
fi
"$qosid" -C "$a" ls 2>"$scratch/err" | head -c 1 >/dev/null
equals "$(cat "$scratch/err")" "" "a reader that goes away is no error to talk about"
works "-o replaces a file" "$qosid" -C "$a" get bytes -o "$scratch/back.bin"
fails 3 "cannot" "-o into a folder that is not there" "$qosid" -C "$a" get bytes -o "$scratch/nowhere/x"

# ---- identity and keys
run "$qosid" -C "$a" identity --json
json '.[0] | (.signing | startswith("ssh-ed25519 ")) and (.encryption | startswith("age1")) and (.fingerprint | length > 20)' "identity as JSON has its shape"
works "identity export --age" "$qosid" -C "$a" identity export --age -o "$scratch/age.key"
says err "warning" "warns"
equals "$(stat -c %a "$scratch/age.key")" 600 "the secret is for its owner only"
if command -v age-keygen >/dev/null; then
    equals "$(age-keygen -y "$scratch/age.key")" "$("$qosid" -C "$a" identity --json | jq -r .encryption)" "age reads the exported key"
fi
works "identity export --ssh" "$qosid" -C "$a" identity export --ssh -o "$scratch/ssh.key"
equals "$(ssh-keygen -y -f "$scratch/ssh.key" | cut -d' ' -f1,2)" "$("$qosid" -C "$a" identity --json | jq -r .signing)" "ssh-keygen reads the exported key"
fails 4 "new file" "a secret never overwrites" "$qosid" -C "$a" identity export --ssh -o "$scratch/ssh.key"
fails 2 "new file" "nor goes to stdout" "$qosid" -C "$a" identity export --age -o -
works "keys allowed-signers" "$qosid" -C "$a" keys allowed-signers
says out 'dushanbe namespaces="git,file" ssh-ed25519 ' "lists the office"
works "keys epoch" "$qosid" -C "$a" keys epoch 1 -o "$scratch/epoch.key"
says err "warning" "warns"
run grep -c '^AGE-SECRET-KEY-1' "$scratch/epoch.key"
exits 0 "the epoch's key is an age key"
fails 3 "" "an epoch that is not there" "$qosid" -C "$a" keys epoch 9 -o "$scratch/epoch9.key"
works "members" "$qosid" -C "$a" --json members
json 'length == 1 and .[0].office == "dushanbe" and .[0].own and (.[0].roles | index("steward") != null)' "members as JSON have their shape"

# ---- status, log, verify, digest
works "status" "$qosid" -C "$a" status
says out "office      dushanbe" "status says the office"
run "$qosid" -C "$a" status --json
json '.[0] | .office == "dushanbe" and .pending > 5 and .conflicts == 0 and .documents > 5 and (.findings == []) and (.logs | type == "array")' "status as JSON has its shape"
works "verify" "$qosid" -C "$a" verify
works "verify --no-decrypt" "$qosid" -C "$a" verify --no-decrypt --json
json '.[-1].ok and .[-1].findings == 0' "verify as JSON has its shape"
works "digest" "$qosid" -C "$a" digest
equals "$(grep -cE '^blake2b-256:[0-9a-f]{64}$' "$scratch/out")" 1 "digest has its form"
works "log" "$qosid" -C "$a" log
fails 3 "no office" "log of an unknown office" "$qosid" -C "$a" log nobody
fails 2 "no remote" "sync without a remote" "$qosid" -C "$a" sync

finish
