#!/bin/bash
# Who may do what, among offices that meet in a folder: promotion, removal while offline, rotation, demotion, auditors,
# witnesses, thresholds, new keys, revocation, and two stewards who act apart. Stock age, git and zstd are the judges.
# shellcheck source=tests/system/cli_lib.sh
. "$(dirname "$0")/cli_lib.sh"

remote=$scratch/records.git
q() { # office, arguments
    local office=$1
    shift
    "$qosid" -C "$scratch/$office" "$@"
}
sync() {
    local office
    for office; do q "$office" sync -q >"$scratch/sync" 2>&1 || not_ok "sync of $office" "$(cat "$scratch/sync")"; done
}
join() { # office, roles, option...
    "$qosid" join -q "$scratch/invitation" --office "$1" "$scratch/$1" -o "$scratch/$1.request" 2>/dev/null &&
        q dushanbe admit -q "$scratch/$1.request" --yes --role "$2" "${@:3}"
}
has() { q "$1" get "$2" >/dev/null 2>&1; }
holds() { if has "$1" "$2"; then ok "$3"; else not_ok "$3"; fi; }
lacks() { if has "$1" "$2"; then not_ok "$3"; else ok "$3"; fi; }
roles() { q "$1" members --json | jq -r "select(.office == \"$2\") | .roles | join(\",\")"; }
epoch() { git -C "$remote" log -1 --format=%B "office/$1" | sed -n 's/^Qosid-Epoch: //p'; }
found() { q "$1" status --json | grep -q "\"cause\":\"$2\""; }
finds() { if found "$1" "$2"; then ok "$3"; else not_ok "$3" "$(q "$1" status)"; fi; }
payload() { git -C "$remote" show "office/$1:changes.age"; }

"$qosid" init -q dushanbe "$scratch/dushanbe" || exit 1
q dushanbe remote add origin "$remote" --create >/dev/null
q dushanbe invite -q -o "$scratch/invitation"
for member in khujand:writer,reader khorog:writer,reader kulob:auditor bokhtar:witness; do
    works "admit ${member%%:*} as ${member#*:}" join "${member%%:*}" "${member#*:}"
done
put "$scratch/dushanbe" one '{"n":1}' >/dev/null
sync dushanbe khujand khorog kulob bokhtar
holds khujand one "a writer reads"
holds kulob one "an auditor reads"
lacks bokhtar one "a witness does not"

# ---- roles
works "a witness verifies what it cannot read" q bokhtar verify --no-decrypt
put "$scratch/kulob" forbidden '{}' >/dev/null
sync kulob
finds kulob publish "an auditor does not publish, and is told"
if git -C "$remote" rev-parse -q --verify office/kulob >/dev/null; then not_ok "nothing of it is in the remote"; else ok "nothing of it is in the remote"; fi
fails 5 "not a steward" "a writer does not promote itself" q khujand role khujand steward,writer,reader
fails 5 "not a steward" "nor rotates" q khujand rotate
fails 5 "would be 0 stewards" "the last steward is not removed" q dushanbe remove dushanbe
fails 5 "these roles already" "the same roles again" q dushanbe role khujand writer,reader
fails 2 "roles" "unknown roles" q dushanbe role khujand emperor
fails 3 "no office" "an unknown office" q dushanbe remove nowhere
works "promote" q dushanbe role khujand steward,writer,reader
sync dushanbe khujand
equals "$(roles khujand khujand)" reader,steward,writer "it knows"
equals "$(epoch dushanbe)" 1 "which starts no epoch"
works "a second steward starts its own log" q khujand role bokhtar reader
sync khujand dushanbe bokhtar kulob
if git -C "$remote" rev-parse -q --verify roster/khujand >/dev/null; then ok "which is in the remote"; else not_ok "which is in the remote"; fi
equals "$(roles dushanbe bokhtar)" reader "the first steward follows it"
holds bokhtar one "who was a witness reads the past now"

# ---- removed while offline
put "$scratch/khorog" offline '{"from":"khorog"}' >/dev/null
q khorog publish -q >/dev/null 2>&1
cp -r "$scratch/khorog" "$scratch/lost"
run q khujand remove khorog
says out "copies cannot be called" "remove says what it cannot do"
put "$scratch/khujand" secret '{"n":2}' >/dev/null
sync khujand dushanbe
equals "$(epoch khujand)" 2 "records are published under a new epoch"
equals "$(roles dushanbe khorog)" "" "it has no roles any more"
sync khorog
lacks khorog secret "the removed office does not read what came after"
sed -n '/^AGE-SECRET/p' "$scratch/khorog/identity" >"$scratch/thief"
git -C "$remote" log --format=%H roster/dushanbe roster/khujand | while read -r c; do
    git -C "$remote" ls-tree -r --name-only "$c" epochs/ | while read -r file; do
        git -C "$remote" show "$c:$file" | age -d -i "$scratch/thief" 2>/dev/null
    done
done | grep AGE-SECRET >>"$scratch/thief.all"
cat "$scratch/thief" >>"$scratch/thief.all"
if payload khujand | age -d -i "$scratch/thief.all" >/dev/null 2>&1; then not_ok "nor does stock age with all its old keys"; else ok "nor does stock age with all its old keys"; fi
if payload dushanbe | age -d -i "$scratch/thief.all" 2>/dev/null | zstd -dq | grep -q '"n":1'; then ok "which still open what was before"; else not_ok "which still open what was before"; fi
put "$scratch/khorog" afterwards '{}' >/dev/null
sync khorog dushanbe
lacks dushanbe afterwards "what it writes after it knows goes nowhere"

# ---- and one that never came to know

put "$scratch/lost" dated-back '{}' >/dev/null
git clone -q --mirror "$remote" "$scratch/old.git"
for ref in $(git -C "$scratch/old.git" for-each-ref --format='%(refname)' refs/heads/roster); do git -C "$scratch/old.git" update-ref -d "$ref"; done
sed -i "s|^.*url = .*|\turl = $scratch/old.git|" "$scratch/lost/config"
sync lost
git -C "$remote" fetch -q "$scratch/old.git" office/khorog:office/khorog
sync dushanbe
holds dushanbe offline "what it wrote before it could know is applied"
finds dushanbe late "and people are told"

# ---- rotation, demotion, and from now on
works "rotate" q dushanbe rotate
put "$scratch/dushanbe" third '{"n":3}' >/dev/null
sync dushanbe khujand
equals "$(epoch dushanbe)" 3 "an epoch more"
holds khujand third "members follow"
works "demote a reader to a witness" q dushanbe role bokhtar witness
put "$scratch/dushanbe" fourth '{"n":4}' >/dev/null
sync dushanbe bokhtar
equals "$(epoch dushanbe)" 4 "costs an epoch"
lacks bokhtar fourth "and it reads no more"
works "admit from now on" join london writer,reader --from-now
put "$scratch/dushanbe" fifth '{"n":5}' >/dev/null
sync dushanbe london
holds london fifth "it reads what comes"
lacks london one "and not what was"
put "$scratch/london" hello '{}' >/dev/null
sync london dushanbe
holds dushanbe hello "and is read"
fails 5 "looks like" "a name that looks like another" join 1ondon reader
"$qosid" join -q "$scratch/invitation" --office khorog "$scratch/again" -o "$scratch/again.request" 2>/dev/null
fails 5 "name stays its own" "the name of a removed office" q dushanbe admit "$scratch/again.request" --yes

# ---- threshold 2 of 3
works "a third steward" q dushanbe role london steward,writer,reader
sync dushanbe london khujand
fails 5 "there are 3" "a threshold above the number of stewards" q dushanbe threshold 4
works "threshold 2" q dushanbe threshold 2
sync dushanbe london khujand
run q khujand role kulob reader
says out "1 of 2 stewards" "one steward's operation waits"
sync khujand dushanbe london
equals "$(roles dushanbe kulob)" auditor "and has no effect"
operation=$(q london members --pending | cut -d ' ' -f 1)
fails 3 "no operation" "an unknown operation" q london endorse 0000000000
fails 5 "already" "its author does not endorse it twice" q khujand endorse "$operation"
works "endorse" q london endorse "$operation"
sync london dushanbe
equals "$(roles dushanbe kulob)" reader "with two it takes effect"
run q dushanbe members --pending
equals "$(cat "$scratch/out")" "" "nothing waits any more"
works "two stewards remove the third" q dushanbe remove khujand
sync dushanbe london
works "with the other's consent" q london endorse "$(q london members --pending | cut -d ' ' -f 1)"
sync london dushanbe kulob
equals "$(roles kulob khujand)" "" "it is gone"
fails 5 "2 must agree" "fewer stewards than the threshold there cannot be" q dushanbe remove london

# ---- new keys
old=$(q london identity --json | jq -r .encryption)
run q london keys roll
exits 0 "a steward rolls its own keys"
if [ "$(q london identity --json | jq -r .encryption)" != "$old" ]; then ok "they are in use"; else not_ok "they are in use"; fi
put "$scratch/london" with-new-keys '{}' >/dev/null
sync london dushanbe
holds dushanbe with-new-keys "and what they sign is valid"
run q kulob keys roll -o "$scratch/kulob.roll"
exits 0 "another office asks for new keys"
sync kulob
works "a steward accepts them, on the old key's word alone" q dushanbe keys accept "$scratch/kulob.roll"
put "$scratch/dushanbe" sixth '{}' >/dev/null
sync dushanbe kulob
holds kulob sixth "it reads with them"
sed "s/kulob/london/" "$scratch/kulob.roll" >"$scratch/forged.roll"
run q dushanbe keys accept "$scratch/forged.roll"
if [ "$status" != 0 ]; then ok "new keys that another office's name was put on"; else not_ok "new keys that another office's name was put on"; fi

# ---- revocation
sync london dushanbe kulob
last=$(git -C "$remote" log -1 --format=%B office/london | sed -n 's/^Qosid-Sequence: //p')
put "$scratch/london" stolen '{}' >/dev/null
run q dushanbe office revoke london --since $((last + 1))
says out "1 of 2 stewards" "a revocation waits for the threshold as well"
sync dushanbe
sync london
works "which the other gives" q london endorse "$(q london members --pending | cut -d ' ' -f 1)"
sync london dushanbe kulob
finds kulob revoked "what was published without knowing of it is listed"
lacks kulob stolen "and not applied"

# ---- and after all that, stock git
q dushanbe keys allowed-signers >"$scratch/signers"
bad=0 all=0
for ref in $(git -C "$remote" for-each-ref --format='%(refname)' refs/heads); do
    for commit in $(git -C "$remote" rev-list "$ref"); do
        all=$((all + 1))
        git -C "$remote" -c gpg.format=ssh -c gpg.ssh.allowedSignersFile="$scratch/signers" verify-commit "$commit" 2>/dev/null || bad=$((bad + 1))
    done
done
equals "$bad" 0 "stock git verify-commit accepts all $all commits"
says_bounds=$(grep -c 'valid-before=' "$scratch/signers")
if [ "$says_bounds" -ge 3 ]; then ok "keys that ended are bounded in time"; else not_ok "keys that ended are bounded in time" "$(cat "$scratch/signers")"; fi
works "the whole verifies" q dushanbe verify
echo "# $tests membership cases"
finish
