#!/bin/bash
# Dictionaries: stock age, zstd and jq open a change set that needs one, with the dictionary out of the same log.
# shellcheck source=tests/system/cli_lib.sh
. "$(dirname "$0")/cli_lib.sh"

a=$scratch/dushanbe b=$scratch/khujand
"$qosid" init -q dushanbe "$a" || exit 1
"$qosid" -C "$a" remote add origin "$scratch/records.git" --create || exit 1
"$qosid" -C "$a" invite -o "$scratch/invitation.json" || exit 1
"$qosid" join "$scratch/invitation.json" --office khujand "$b" -o "$scratch/request.json" || exit 1
"$qosid" -C "$a" admit "$scratch/request.json" --yes || exit 1

# The same in all records, so that there is something to gain.
consent="The person has been told in their own language who holds this record, for what purpose it is kept, that it is shown to employers and training centres of the project only, how long, how to see, correct or withdraw it at any office without giving reasons, and whom to turn to with a complaint; they agreed freely, and signed the sheet that is kept locally. Records are reviewed every second winter; those not confirmed then fall silent and vanish after ninety days, except what tax or labour law forbids to destroy. Pictures need another consent. Children under sixteen sign together with a parent, guardian or teacher known to the village council. Translations into Russian, Shughni, Yazgulyam and Kyrgyz hang beside every desk; where one differs, Tajik prevails. Quarrels go first to the ombudsman in Dushanbe, whose telephone number stands above, afterwards to any court nearby. Nobody loses wages, benefits, pasture, water or school places because of having refused, whichever question was asked."
record() { # number
    printf '{"_id":"person:%05d","type":"person","name":"%s","born":%d,"phone":"+992%09d","consent":{"purpose":"%s","by":"%s"}}\n' \
        "$1" "$(printf %s "$1" | md5sum | cut -c1-12)" $((1950 + $1 % 50)) $(($1 * 7919)) \
        "$consent" "registrar of the office"
}

for ((i = 0; i < 400; i++)); do record $i; done >"$scratch/records.jsonl"
works "import" "$qosid" -C "$a" import "$scratch/records.jsonl"
"$qosid" -C "$a" sync -q || exit 1
tip() { git -C "$a/log.git" rev-parse office/dushanbe; }
brought=
for ((i = 400; i < 560; i++)); do
    record $i | "$qosid" -C "$a" -q put "person:$(printf %05d $i)" - || exit 1
    "$qosid" -C "$a" sync -q || exit 1
    if git -C "$a/log.git" ls-tree --name-only "$(tip)" | grep -qx dictionary.age; then brought=$(tip) && break; fi
done
if [ -n "$brought" ]; then ok "a dictionary was trained"; else not_ok "a dictionary was trained"; fi
record 999 | "$qosid" -C "$a" -q put person:00999 - || exit 1
"$qosid" -C "$a" sync -q || exit 1
set=$(tip)

# What docs/format.md says about stock tools.
"$qosid" -C "$a" keys epoch 1 -q -o "$scratch/epoch.key" || exit 1
git -C "$a/log.git" cat-file blob "$brought:dictionary.age" >"$scratch/dictionary.age"
age -d -i "$scratch/epoch.key" -o "$scratch/dictionary" "$scratch/dictionary.age" || exit 1
trailer() { git -C "$a/log.git" show -s --format=%B "$2" | sed -n "s/^$1: blake2b-256://p"; }
equals "$(trailer Qosid-Dictionary "$brought")" "$(b2sum -l 256 <"$scratch/dictionary" | cut -c1-64)" "its digest is in the commit"
equals "$(trailer Qosid-Dictionary-Content "$brought")" "$(b2sum -l 256 <"$scratch/dictionary.age" | cut -c1-64)" \
    "so is that of the file"
equals "$(trailer Qosid-Dictionary "$set")" "$(trailer Qosid-Dictionary "$brought")" "the next change set names it"
equals "$(git -C "$a/log.git" ls-tree --name-only "$set")" changes.age "and does not bring it again"
git -C "$a/log.git" cat-file blob "$set:changes.age" | age -d -i "$scratch/epoch.key" >"$scratch/set.zst" || exit 1
run zstd -q -d -c "$scratch/set.zst"
if [ "$status" != 0 ]; then ok "without it zstd cannot read the change set"; else not_ok "without it zstd cannot read"; fi
equals "$(zstd -q -d -c -D "$scratch/dictionary" "$scratch/set.zst" | jq -r 'select(.doc) | .doc._id')" person:00999 \
    "with it zstd and jq can"
works "stock git verifies the commit that brings it" sh -c "
    \"$qosid\" -C '$a' keys allowed-signers >'$scratch/signers' &&
    git -C '$a/log.git' -c gpg.format=ssh -c gpg.ssh.allowedSignersFile='$scratch/signers' verify-commit '$brought'"
works "another office reads it all" "$qosid" -C "$b" sync
equals "$("$qosid" -C "$a" digest)" "$("$qosid" -C "$b" digest)" "and is equal"
works "it verifies" "$qosid" -C "$b" verify

finish
