#!/bin/bash
# Another passphrase for an office that has several key files, and kill -9 while it gets one: at each step the keys open with the old
# passphrase or the new one, and the same command finishes.
# shellcheck source=tests/system/cli_lib.sh
. "$(dirname "$0")/cli_lib.sh"

echo "correct horse battery staple" >"$scratch/phrase"
echo "another one, newer" >"$scratch/newer"

# ---- keys that were rolled: the old ones stay in a file of their own
c=$scratch/c
"$qosid" init -q clear "$c" 2>/dev/null
"$qosid" -C "$c" keys roll -q
cp "$c/identity" "$scratch/in-clear"
works "set" "$qosid" -C "$c" --json passphrase set --new-passphrase-file "$scratch/phrase"
json '.[0] == {passphrase:true,files:2,others:0}' "protects the replaced keys too"
cp "$scratch/in-clear" "$c/identity"
works "set once more, after one file only" "$qosid" -C "$c" --json passphrase set --new-passphrase-file "$scratch/phrase"
json '.[0].files == 1 and .[0].others == 0' "finishes what was done in part"
"$qosid" init -q other "$scratch/other" --passphrase-file "$scratch/newer" 2>/dev/null
cp "$scratch/other/identity" "$c/identity"
works "a replaced key's file with another passphrase" "$qosid" -C "$c" --json --passphrase-file "$scratch/phrase" passphrase remove
json '.[0] == {passphrase:false,files:1,others:1}' "is left and told"

# ---- kill -9
if ! strace -f -qq -o /dev/null -e trace=none true 2>/dev/null; then
    ok "kill -9 anywhere # SKIP strace cannot trace here"
    finish
    exit 0
fi
k=$scratch/k fresh=$scratch/fresh
set_it=("$qosid" -C "$k" -q passphrase set --new-passphrase-file "$scratch/phrase")
"$qosid" init -q killed "$fresh" 2>/dev/null
cp -a "$fresh" "$k"
strace -qq -o "$scratch/trace" -e trace=openat,write,fsync,renameat "${set_it[@]}"
# From where the new file is made: making it, writing it, its name, and the durability of both.
mapfile -t calls < <(sed -n 's/^\([a-z]*\)(\(.*\)/\1 \2/p' "$scratch/trace" |
    awk '{ n[$1]++ } /qosid-identity-new/ { on = 1 } on && !($1 in seen && $1 != "fsync") { seen[$1] = 1; print $1, n[$1] }')
bad='' kills=0
for call in "${calls[@]}"; do
    rm -rf "$k"
    cp -a "$fresh" "$k"
    { strace -qq -o /dev/null -e "trace=${call% *}" -e "inject=${call% *}:signal=KILL:when=${call#* }" "${set_it[@]}"; } 2>/dev/null
    [ $? = 137 ] && kills=$((kills + 1))
    first=$(head -c 19 "$k/identity")
    case $first in
    "# qosid identity 1"*) cmp -s "$k/identity" "$fresh/identity" || bad="$bad, $call: the old file has changed" ;;
    age-encryption.org/) "$qosid" -C "$k" --passphrase-file "$scratch/phrase" rotate -q || bad="$bad, $call: the new file does not open" ;;
    *) bad="$bad, $call: there is no identity" ;;
    esac
    "${set_it[@]}" 2>"$scratch/err" || grep -q already "$scratch/err" || bad="$bad, $call: is not finished by the same command"
    [ "$(head -c 19 "$k/identity")" = age-encryption.org/ ] || bad="$bad, $call: is not set by the same command"
    [ "$(find "$k" -maxdepth 1 -name '*identity*' | wc -l)" = 1 ] || bad="$bad, $call: files are left"
done
equals "$bad" "" "set survives kill -9 at ${#calls[@]} steps"
equals "$kills" "${#calls[@]}" "at each of which it was killed"
if [ "${#calls[@]}" -ge 5 ]; then ok "which are opening, writing, two of making durable, and naming"; else not_ok "all steps" "${calls[*]}"; fi

finish
