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

# ---- set, change and remove
c=$scratch/c
opens() { # folder, passphrase file or "", name: the keys can be used so, and not otherwise
    local given=(--passphrase-file "${2:-$scratch/wrong}") head
    rm -f "$scratch/key"
    head=$(head -c 19 "$1/identity")
    if [ -n "$2" ] && [ "$head" != age-encryption.org/ ]; then not_ok "$3" "the identity is in clear"; return; fi
    if [ -z "$2" ] && [ "$head" = age-encryption.org/ ]; then not_ok "$3" "the identity is wrapped"; return; fi
    works "$3" "$qosid" -C "$1" "${given[@]}" identity export --age -o "$scratch/key"
}
echo "another one, newer" >"$scratch/newer"
"$qosid" init -q clear "$c" 2>/dev/null
fails 3 "no passphrase protects" "there is nothing to change where there is none" "$qosid" -C "$c" passphrase change --new-passphrase-file "$scratch/newer"
fails 3 "no passphrase protects" "nor to remove" "$qosid" -C "$c" passphrase remove
fails 2 "takes no new" "remove takes no new one" "$qosid" -C "$w" passphrase remove --new-passphrase-file "$scratch/newer"
fails 2 "knows set" "an action that is none" "$qosid" -C "$w" passphrase improve
fails 5 "no terminal" "without a terminal it asks nobody" setsid -w "$qosid" -C "$c" passphrase set
says err "--new-passphrase-file" "and says what to do"
works "set" "$qosid" -C "$c" passphrase set --new-passphrase-file "$scratch/phrase"
opens "$c" "$scratch/phrase" "protects the keys"
fails 4 "already" "set does not take the place of change" "$qosid" -C "$c" passphrase set --new-passphrase-file "$scratch/newer"
before=$(cksum "$w/identity")
fails 5 "is not the one given" "change with a wrong one is refused" "$qosid" -C "$w" --passphrase-file "$scratch/wrong" passphrase change --new-passphrase-file "$scratch/newer"
equals "$(cksum "$w/identity")" "$before" "and changes nothing"
works "change" "$qosid" -C "$w" --json --passphrase-file "$scratch/phrase" passphrase change --new-passphrase-file "$scratch/newer"
json '.[0] == {passphrase:true,files:1,others:0}' "says what it did"
opens "$w" "$scratch/newer" "from then on the new one opens the keys"
fails 5 "" "and the old one does not" "$qosid" -C "$w" --passphrase-file "$scratch/phrase" identity export --age -o "$scratch/w4.key"
equals "$(find "$w" -maxdepth 1 -name '*identity*' -printf '%f %m\n')" "identity 600" "no other file is left"
works "remove" "$qosid" -C "$w" --passphrase-file "$scratch/newer" passphrase remove
opens "$w" "" "leaves the keys in clear"

finish
