#!/bin/bash
# An office whose keys a passphrase protects: where the passphrase comes from, and what works without it.
# shellcheck source=tests/system/cli_lib.sh
. "$(dirname "$0")/cli_lib.sh"

printf '%s' '{"name":"with photo"}' >"$scratch/doc.json"
echo "correct horse battery staple" >"$scratch/phrase"
echo "wrong" >"$scratch/wrong"
w=$scratch/w
works "init with a passphrase file" "$qosid" init wrapped "$w" --passphrase-file "$scratch/phrase"
equals "$(grep -c 'not protected' "$scratch/err")" 0 "gives no warning"
equals "$(head -c 19 "$w/identity")" "age-encryption.org/" "the identity is an age file"
works "public keys need no passphrase" "$qosid" -C "$w" identity
works "nor do records" "$qosid" -C "$w" put x "$scratch/doc.json"
works "the passphrase file opens it" "$qosid" -C "$w" --passphrase-file "$scratch/phrase" identity export --age -o "$scratch/w.key"
fails 5 "" "a wrong passphrase is refused" "$qosid" -C "$w" --passphrase-file "$scratch/wrong" identity export --age -o "$scratch/w2.key"
fails 5 "no terminal" "without a terminal it says what to do" setsid -w "$qosid" -C "$w" identity export --age -o "$scratch/w2.key"
says err "hint: use --passphrase-file" "namely this"
fails 3 "cannot open" "a passphrase file that is not there" "$qosid" -C "$w" --passphrase-file "$scratch/nofile" identity export --age -o "$scratch/w2.key"
: >"$scratch/empty"
fails 1 "empty" "an empty passphrase file" "$qosid" -C "$w" --passphrase-file "$scratch/empty" identity export --age -o "$scratch/w2.key"
status=0
QOSID_PASSPHRASE_FILE=$scratch/phrase "$qosid" -C "$w" identity export --age -o "$scratch/w3.key" 2>"$scratch/err" || status=$?
exits 0 "QOSID_PASSPHRASE_FILE opens it"

finish
