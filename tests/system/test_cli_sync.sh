#!/bin/bash
# Offices through a folder: invite, join, admit, remote, sync, conflicts, resolve, log, verify; exit codes and words.
# shellcheck source=tests/system/cli_lib.sh
. "$(dirname "$0")/cli_lib.sh"

a=$scratch/dushanbe b=$scratch/khujand remote=$scratch/meeting/records.git
mkdir "$scratch/meeting"
"$qosid" init -q dushanbe "$a" || exit 1

# ---- remote
works "remote add --create" "$qosid" -C "$a" remote add origin "$remote" --create
run "$qosid" -C "$a" remote ls --json
json '.[0].name == "origin" and (.[0].url | endswith("/records.git"))' "remote ls as JSON"
fails 3 "" "a remote that is not there" "$qosid" -C "$a" sync nowhere
fails 2 "remote add needs" "remote add without a folder" "$qosid" -C "$a" remote add x
fails 2 "knows add" "an unknown action" "$qosid" -C "$a" remote frobnicate
works "a second remote" "$qosid" -C "$a" remote add stick "$scratch/meeting/stick.git" --create
works "remote rm" "$qosid" -C "$a" remote rm stick
run "$qosid" -C "$a" remote ls
equals "$(wc -l <"$scratch/out")" 1 "is gone"
fails 3 "" "remote rm of one that is not there" "$qosid" -C "$a" remote rm stick

# ---- invite, join, admit
works "invite" "$qosid" -C "$a" invite -o "$scratch/invitation.json"
equals "$(jq -r .qosid "$scratch/invitation.json")" invitation "an invitation is JSON"
fails 2 "--office" "join without a name" "$qosid" join "$scratch/invitation.json" "$b"
fails 1 "hint:" "join with something else than an invitation" "$qosid" join '{"qosid":"x"}' --office khujand "$b"
works "join" "$qosid" join "$scratch/invitation.json" --office khujand "$b" -o "$scratch/request.json"
says err "read these words" "join says what to do"
url() { "$qosid" -C "$1" remote ls --json | jq -r .url; }
works "join with a relative --remote" "$qosid" -C "$scratch/meeting" join ../invitation.json --office kulob --remote ./records.git "$scratch/kulob"
equals "$(url "$scratch/kulob")" "$(realpath "$remote")" "stores its full path"
fails 3 "full path" "one that is not there is refused" "$qosid" join "$scratch/invitation.json" --office isfara --remote nowhere.git "$scratch/isfara"
if [ -e "$scratch/isfara" ]; then not_ok "and nothing is made"; else ok "and nothing is made"; fi
works "unless it is given in full" "$qosid" join "$scratch/invitation.json" --office isfara --remote "$scratch/stick/r.git" "$scratch/isfara"
equals "$(url "$scratch/isfara")" "$scratch/stick/r.git" "which is kept as it is"
words=$("$qosid" -C "$b" identity --json | jq -r .fingerprint)
run "$qosid" -C "$b" identity request
equals "$(jq -r .office "$scratch/out")" khujand "the request can be printed again"
run "$qosid" -C "$b" status
says out "not yet" "status of an office that is not admitted yet"
fails 5 "has not been compared" "admit without a terminal wants the words" setsid -w "$qosid" -C "$a" admit "$scratch/request.json"
fails 5 "not that of the keys" "admit with other words is refused" "$qosid" -C "$a" admit "$scratch/request.json" --fingerprint "${words#* }"
fails 2 "roles" "admit with unknown roles" "$qosid" -C "$a" admit "$scratch/request.json" --roles emperor --yes
sed 's/khujand/bokhtar/' "$scratch/request.json" >"$scratch/forged.json"
run "$qosid" -C "$a" admit "$scratch/forged.json" --yes
if [ "$status" != 0 ]; then ok "a forged request is refused"; else not_ok "a forged request is refused"; fi
works "admit with the words" "$qosid" -C "$a" admit "$scratch/request.json" --fingerprint "$words" --json
json '.[0] | .office == "khujand" and .roles == "reader,writer"' "admit as JSON"
fails 5 "" "only a steward admits" "$qosid" -C "$b" admit "$scratch/request.json" --yes

# ---- records meet
put "$a" person:1 '{"name":"Шахло","big":123456789012345678901234567890}' >/dev/null
put "$a" person:2 '{"name":"Daler"}' >/dev/null
head -c 100000 /dev/urandom >"$scratch/photo"
printf '{}' >"$scratch/empty.json"
run "$qosid" -C "$a" put photo "$scratch/empty.json" --attach "p=$scratch/photo"
works "sync publishes" "$qosid" -C "$a" sync
says out "origin: published 3 changes in 1 set" "and says so"
works "the other office syncs" "$qosid" -C "$b" sync
says out "received 3 changes from dushanbe" "and says from whom"
equals "$("$qosid" -C "$a" digest)" "$("$qosid" -C "$b" digest)" "both are equal"
run "$qosid" -C "$b" get person:1
says out '"name":"Шахло","big":123456789012345678901234567890' "the record is as it was"
run "$qosid" -C "$b" get photo --attachment p -o "$scratch/photo.back"
run cmp "$scratch/photo" "$scratch/photo.back"
exits 0 "attachments too"
works "once more" "$qosid" -C "$b" sync
says out "nothing new" "brings nothing"
works "-q" "$qosid" -C "$b" sync -q
equals "$(cat "$scratch/out" "$scratch/err")" "" "is quiet"
run "$qosid" -C "$b" members
says out "khujand" "members lists both"
run "$qosid" -C "$b" status --json
json '.[0] | (.logs | map(select(.log == "office/dushanbe")) | .[0].sequence == 1) and .pending == 0' "status shows the position of the other's log"

# ---- a conflict
rev=$("$qosid" -C "$a" get person:1 | jq -r ._rev)
put "$a" person:1 '{"name":"Shahlo","phone":"1"}' --rev "$rev" --user Zarina >/dev/null
put "$b" person:1 '{"name":"Shahlo","phone":"2"}' --rev "$rev" --user Farhod >/dev/null
"$qosid" -C "$a" sync -q
run "$qosid" -C "$b" sync
says out "1 document now has a conflict (qosid conflicts)" "sync tells of the conflict"
"$qosid" -C "$a" sync -q
equals "$("$qosid" -C "$a" digest)" "$("$qosid" -C "$b" digest)" "both see the same"
run "$qosid" -C "$a" conflicts
says out "person:1  2 versions" "conflicts lists it"
run "$qosid" -C "$a" conflicts --json
json '.[0] | .id == "person:1" and (.conflicts | length == 1) and (.winner | startswith("2-"))' "conflicts as JSON"
run "$qosid" -C "$a" conflicts person:1
says out '"phone": "1"' "shows the one's value"
says out '"phone": "2"' "and the other's"
says out "Farhod" "and who made it"
equals "$(grep -c '"name"' "$scratch/out")" 0 "but not what both agree on"
run "$qosid" -C "$a" conflicts person:1 --json
json 'length == 2 and .[0].winner and (.[1].winner | not) and (map(.doc.phone) | sort == ["1","2"])' "its versions as JSON"
run "$qosid" -C "$a" get person:1 --conflicts
json '.[0]._conflicts | length == 1' "get --conflicts"
run "$qosid" -C "$a" ls -l person:1
says out "CONFLICT" "ls -l marks it"
fails 4 "conflict" "rm of a document in conflict" "$qosid" -C "$a" rm person:1
fails 2 "either --keep" "resolve without a choice" "$qosid" -C "$a" resolve person:1
fails 3 "" "resolve with a version that is none" "$qosid" -C "$a" resolve person:1 --keep "$rev"
fails 3 "no versions in conflict" "resolve of what has no conflict" "$qosid" -C "$a" resolve person:2 --keep "$rev"
loser=$("$qosid" -C "$a" conflicts --json | jq -r '.conflicts[0]')
phone=$("$qosid" -C "$a" get person:1 --rev "$loser" | jq -r .phone)
works "resolve --keep the losing version" "$qosid" -C "$a" resolve person:1 --keep "$loser" --json
json '.[0] | .ok and .settled == 1 and (.rev | startswith("3-"))' "resolve as JSON"
run "$qosid" -C "$a" get person:1
equals "$(jq -r .phone "$scratch/out")" "$phone" "it is current now"
run "$qosid" -C "$a" conflicts
equals "$(cat "$scratch/out")" "" "nothing is in conflict"
"$qosid" -C "$a" sync -q
"$qosid" -C "$b" sync -q
run "$qosid" -C "$b" conflicts
equals "$(cat "$scratch/out")" "" "at the other office neither"
equals "$("$qosid" -C "$a" digest)" "$("$qosid" -C "$b" digest)" "both are equal again"

rev=$("$qosid" -C "$a" get photo | jq -r ._rev)
put "$a" photo '{"by":"a"}' --rev "$rev" >/dev/null
put "$b" photo '{"by":"b","_attachments":{"p":{"stub":true}}}' --rev "$rev" >/dev/null
"$qosid" -C "$a" sync -q
"$qosid" -C "$b" sync -q
keeper=$("$qosid" -C "$b" conflicts photo --json | jq -r 'select(.doc._attachments) | .rev')
works "resolve --keep a version with an attachment" "$qosid" -C "$b" resolve photo --keep "$keeper"
works "keeps the attachment" "$qosid" -C "$b" get photo --attachment p -o "$scratch/photo.back"

rev=$("$qosid" -C "$a" get person:2 | jq -r ._rev)
put "$a" person:2 '{"name":"Daler","a":1}' --rev "$rev" >/dev/null
put "$b" person:2 '{"name":"Daler","b":1}' --rev "$rev" >/dev/null
"$qosid" -C "$b" sync -q
"$qosid" -C "$a" sync -q
echo '{"name":"Daler","a":1,"b":1}' >"$scratch/merged.json"
works "resolve --with a merged document" "$qosid" -C "$a" resolve person:2 --with "$scratch/merged.json"
"$qosid" -C "$a" sync -q
"$qosid" -C "$b" sync -q
"$qosid" -C "$a" sync -q
run "$qosid" -C "$b" get person:2
json '.[0] | .a == 1 and .b == 1' "arrives merged"
equals "$("$qosid" -C "$a" digest)" "$("$qosid" -C "$b" digest)" "both are equal at the end"

# ---- history
run "$qosid" -C "$b" log --json
json 'map(select(.office == "dushanbe")) | length >= 3 and (.[0].commit | length == 40) and .[0].sequence > 0' "log as JSON"
run "$qosid" -C "$b" log dushanbe -n 1
equals "$(wc -l <"$scratch/out")" 1 "log of one office, one entry"
works "verify" "$qosid" -C "$b" verify
says out "every signature" "says what it checked"
"$qosid" -C "$a" keys allowed-signers -o "$scratch/signers"
run git -C "$b/log.git" -c gpg.ssh.allowedSignersFile="$scratch/signers" verify-commit "$("$qosid" -C "$b" log dushanbe -n 1 --json | jq -r .commit)"
exits 0 "git verifies with the exported signers"
"$qosid" -C "$b" keys epoch 1 -o "$scratch/epoch.key" -q
git -C "$b/log.git" show "$("$qosid" -C "$b" log khujand -n 1 --json | jq -r .commit):changes.age" |
    age -d -i "$scratch/epoch.key" | zstd -dc >"$scratch/out" 2>"$scratch/err"
json '.[0].office == "khujand" and (.[1].doc._id | length > 0)' "age, zstd and jq read it"

# ---- offline
put "$a" late '{}' >/dev/null
mv "$scratch/meeting" "$scratch/away"
fails 6 "hint: nothing is lost" "a stick that is not plugged in" "$qosid" -C "$a" sync
run "$qosid" -C "$a" sync --json
equals "$status" 6 "also with --json"
json '.[0] | (.ok | not) and .error == "offline"' "which tells it too"
mv "$scratch/away" "$scratch/meeting"
works "plugged in again" "$qosid" -C "$a" sync
says out "published 1 change in 1 set" "the change goes out"

# ---- a broken log: the other's branch is rewound
tip=$(git -C "$remote" rev-parse refs/heads/office/dushanbe)
git -C "$remote" update-ref refs/heads/office/dushanbe "$(git -C "$remote" rev-parse "$tip~2")"
"$qosid" -C "$b" sync -q >/dev/null 2>&1
git -C "$remote" update-ref refs/heads/office/dushanbe "$tip"
forged=$(printf 'tree %s\nparent %s\nauthor dushanbe <dushanbe> 1700000000 +0000\ncommitter dushanbe <dushanbe> 1700000000 +0000\n\nforged\n' \
    "$(git -C "$remote" rev-parse "$tip^{tree}")" "$tip" | git -C "$remote" hash-object -t commit -w --stdin)
git -C "$remote" update-ref refs/heads/office/dushanbe "$forged"
run "$qosid" -C "$b" sync
exits 5 "a forged commit stops the log"
says err "the log office/dushanbe@origin has stopped at change set" "and sync names it and the place"
run "$qosid" -C "$b" status
says out "this log has stopped" "status shows it"
run "$qosid" -C "$b" status --json
json '.[0].findings | map(select(.stops)) | length >= 1 and (.[0] | has("cause") and has("evidence") and has("detail"))' "status as JSON has the finding"

# ---- somebody has looked at it
found() { "$qosid" -C "$b" status --json | jq -r '.findings[] | "\(.log) \(.stops)"' | sort | tr '\n' ';'; }
equals "$(found)" "office/dushanbe false;office/dushanbe@origin true;" "there is a warning, and a log that has stopped"
fails 3 "nothing was found" "--forget of a log without problems" "$qosid" -C "$b" status --forget office/khujand
fails 2 "one log" "--forget twice" "$qosid" -C "$b" status --forget office/khujand --forget all
works "--forget all" "$qosid" -C "$b" status --forget all --json
json '.[0] | .ok and .forgotten == 1' "says how many it forgot"
equals "$(found)" "office/dushanbe@origin true;" "and leaves what stops a log"
works "--forget of a log" "$qosid" -C "$b" status --forget office/dushanbe@origin
says out "forgot 1 problem" "says so"
equals "$(found)" "" "no problem is left"
run "$qosid" -C "$b" sync
exits 5 "what still does not hold is found again"

# ---- damage at one remote, and its removal
bad=$scratch/meeting/bad.git
"$qosid" -C "$a" remote add bad "$bad" --create
"$qosid" -C "$a" sync -q bad
put "$a" damaged '{}' >/dev/null
"$qosid" -C "$a" sync -q bad
blob=$(git -C "$bad" rev-parse refs/heads/office/dushanbe:changes.age)
chmod u+w "$bad/objects/${blob:0:2}/${blob:2}"
truncate -s 20 "$bad/objects/${blob:0:2}/${blob:2}"
"$qosid" -C "$b" remote add bad "$bad"
run "$qosid" -C "$b" sync bad
exits 5 "a damaged object stops the log"
says err "the log office/dushanbe@bad has stopped" "and sync names it"
sqlite3 "$b/replica.db" "UPDATE finding SET sequence = 0 WHERE log = 'office/dushanbe@bad'"
run "$qosid" -C "$b" sync origin
says err "the log office/dushanbe@bad has stopped: " "a place that is not known is left out"
refs() { git -C "$b/log.git" for-each-ref --format='%(refname)' "refs/remotes/$1"; }
equals "$(refs bad | grep -c /roster/)" 1 "what the remote showed is noted"
works "remote rm of it" "$qosid" -C "$b" remote rm bad
equals "$(found)" "office/dushanbe@origin true;" "forgets what was found there, and only that"
equals "$(refs bad)" "" "and what it showed"
equals "$(refs origin | head -n 1)" "refs/remotes/origin/office/dushanbe" "the other remote's stays"

finish
