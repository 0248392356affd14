#!/bin/bash
# Bundles: stock git accepts them, an office syncs from one, and one for an office holds only what that lacks.
# shellcheck source=tests/system/cli_lib.sh
. "$(dirname "$0")/cli_lib.sh"

a=$scratch/dushanbe b=$scratch/khujand remote=$scratch/records.git
"$qosid" init -q dushanbe "$a" || exit 1
"$qosid" -C "$a" remote add origin "$remote" --create || exit 1
"$qosid" -C "$a" invite -o "$scratch/invitation.json" || exit 1
"$qosid" join "$scratch/invitation.json" --office khujand "$b" -o "$scratch/request.json" || exit 1
"$qosid" -C "$a" admit "$scratch/request.json" --yes || exit 1
put "$a" person:1 '{"name":"Daler"}' >/dev/null

fails 2 "either" "neither --all nor --for" "$qosid" -C "$a" bundle create "$scratch/x.bundle"
fails 3 "nothing of khujand" "for an office that was never heard" "$qosid" -C "$a" bundle create "$scratch/x.bundle" --for khujand
works "create --all" "$qosid" -C "$a" bundle create "$scratch/all.bundle" --all
equals "$(stat -c %a "$scratch/all.bundle")" 600 "for its maker alone"

# A stranger's tools, and an office without a link.
works "git bundle verify" git -C "$a/log.git" bundle verify -q "$scratch/all.bundle"
works "git clone" git clone -q --mirror "$scratch/all.bundle" "$scratch/stick.git"
works "git fsck" git -C "$scratch/stick.git" fsck --strict --no-dangling
"$qosid" -C "$b" remote rm origin
"$qosid" -C "$b" remote add stick "$scratch/stick.git" || exit 1
works "the other office syncs from it" "$qosid" -C "$b" sync stick
equals "$("$qosid" -C "$a" digest)" "$("$qosid" -C "$b" digest)" "and has everything"

# The other office answers; now it is known what it has seen.
put "$b" person:2 '{"name":"Shahlo"}' >/dev/null
"$qosid" -C "$b" sync -q stick || exit 1
"$qosid" -C "$a" remote add stick "$scratch/stick.git" || exit 1
"$qosid" -C "$a" sync -q stick || exit 1
put "$a" person:3 '{"name":"Farhod"}' >/dev/null
works "create --for" "$qosid" -C "$a" bundle create "$scratch/for.bundle" --for khujand --json
equals "$(grep -ac '^-[0-9a-f]* office/dushanbe@1$' "$scratch/for.bundle")" 1 "what the recipient has seen is a prerequisite"
equals "$(grep -ac ' refs/heads/office/khujand$' "$scratch/for.bundle")" 0 "its own log is left out"
works "the recipient's git accepts it" git -C "$b/log.git" bundle verify -q "$scratch/for.bundle"
git init -q --bare "$scratch/empty.git"
run git -C "$scratch/empty.git" bundle verify -q "$scratch/for.bundle"
if [ "$status" != 0 ]; then ok "one without the prerequisite does not"; else not_ok "one without the prerequisite does not"; fi
works "stock git puts it on the stick" git -C "$scratch/stick.git" fetch -q "$scratch/for.bundle" 'refs/heads/*:refs/heads/*'
works "the recipient syncs" "$qosid" -C "$b" sync stick
equals "$("$qosid" -C "$a" digest)" "$("$qosid" -C "$b" digest)" "both are equal"
equals "$(find "$scratch" -maxdepth 1 -name 'tmp_qosid_*' | wc -l)" 0 "nothing temporary is left"

finish
