#!/bin/bash
# Generations: a log restarted from a snapshot, archives kept and dropped, who joins late, an auditor who wants everything; stock git
# on all of it; kill -9 on the way; archives and generations that are not what they claim to be.
# shellcheck source=tests/system/cli_lib.sh
. "$(dirname "$0")/cli_lib.sh"

work=$scratch/work
mkdir "$work"
a=$work/dushanbe b=$work/khujand c=$work/london d=$work/geneva remote=$work/records.git

admit() { # slug, folder, roles
    "$qosid" -C "$a" invite -o "$scratch/invitation" -q &&
        "$qosid" join "$scratch/invitation" --office "$1" "$2" --remote "$remote" -o "$scratch/request" -q 2>/dev/null &&
        "$qosid" -C "$a" admit "$scratch/request" --roles "$3" --yes -q && sync_all "$a"
}

sync_all() { # folders
    local folder
    for folder in "$@"; do "$qosid" -C "$folder" sync -q || return; done
}

digest() { "$qosid" -C "$1" digest; }

generation_of() { # folder, member of the JSON object about dushanbe's log
    "$qosid" -C "$1" generation --json | jq -r "select(.log == \"office/dushanbe\").$2"
}

change() { # folder, id, text
    local rev
    rev=$("$qosid" -C "$1" get "$2" | jq -r ._rev)
    put "$1" "$2" "$3" --rev "$rev" >/dev/null
}

"$qosid" init -q dushanbe "$a" && "$qosid" -C "$a" remote add origin "$remote" --create || exit 1
admit khujand "$b" writer,reader && admit london "$c" writer,reader || exit 1

# ---- a first generation: many change sets, of which little is live
for i in 1 2 3 4 5 6; do
    put "$a" "item:$i" '{"n":1}' >/dev/null
    sync_all "$a"
done
sync_all "$b"
change "$b" item:1 '{"n":"by khujand"}'
"$qosid" -C "$b" rm item:2 -q
sync_all "$b" "$c" "$a"
for i in 1 2 3 4; do
    change "$a" item:3 "{\"n\":$i}"
    sync_all "$a"
done
sync_all "$b"
fails 2 "knows ls, new and set" "an unknown action" "$qosid" -C "$a" generation begin
fails 2 "knows bytes" "an unknown setting" "$qosid" -C "$a" generation set colour blue
fails 2 "" "a limit that is no number" "$qosid" -C "$a" generation set bytes many
works "generation new" "$qosid" -C "$a" generation new
says out "a new generation begins" "and says so"
run "$qosid" -C "$a" generation new
exits 2 "nothing was published since, so there is none to begin"
sync_all "$a" "$b" "$c"
equals "$(generation_of "$b" generation) $(generation_of "$b" begins) $(generation_of "$b" archives)" "2 11 1" \
    "an office that had all of the first generation goes on with the second and keeps the first"
equals "$(generation_of "$c" generation) $(generation_of "$c" archives)" "2 0" "one that was behind needs nothing of it"
equals "$(digest "$b") $(digest "$c")" "$(digest "$a") $(digest "$a")" "all hold the same"
run "$qosid" -C "$b" status
says out "generation 2 since 11" "status says so"
run "$qosid" -C "$b" log dushanbe
says out "generation 2" "log shows the new generation"
says out "dushanbe@1 " "and the archive behind it"
run "$qosid" -C "$b" verify
exits 0 "verify"
says out "proved: full history" "has proved the full history"

# ---- stock git
works "git fsck of the remote" git -C "$remote" fsck --strict --no-progress
"$qosid" -C "$a" keys allowed-signers -o "$scratch/signers"
unsigned=0
for ref in office/dushanbe archive/dushanbe/1 office/khujand; do
    for commit in $(git -C "$remote" rev-list "$ref"); do
        git -C "$remote" -c gpg.ssh.allowedSignersFile="$scratch/signers" verify-commit "$commit" 2>/dev/null ||
            unsigned=$((unsigned + 1))
    done
done
equals "$unsigned" 0 "git verify-commit takes every commit of both generations"
equals "$(git -C "$remote" rev-list --count office/dushanbe) $(git -C "$remote" rev-list --count archive/dushanbe/1)" "1 10" \
    "the new generation is one commit, without the ten before"
trailer() { git -C "$remote" log -1 --format="%(trailers:key=$1,valueonly)" "$2" | head -n 1; }
equals "$(trailer Qosid-Archive office/dushanbe)" "$(git -C "$remote" rev-parse archive/dushanbe/1)" "Qosid-Archive is the archive's last commit"
equals "$(trailer Qosid-Previous office/dushanbe)" \
    "blake2b-256:$(git -C "$remote" cat-file commit archive/dushanbe/1 | b2sum -l 256 | cut -d' ' -f1)" \
    "Qosid-Previous is its hash"
"$qosid" -C "$a" keys epoch -o "$scratch/epoch.key"
git -C "$remote" show office/dushanbe:changes.age | age -d -i "$scratch/epoch.key" | zstd -dq >"$scratch/snapshot.jsonl"
equals "$(jq -r 'select(.doc)|.doc._id' "$scratch/snapshot.jsonl" | sort | tr '\n' ' ')" "item:3 item:4 item:5 item:6 " \
    "the snapshot holds what dushanbe's log carried that is live, and not what khujand carries on"

# ---- who joins late
admit geneva "$d" auditor
works "a late office syncs" "$qosid" -C "$d" sync
equals "$(digest "$d")" "$(digest "$a")" "and holds the same, from current generations"
if git -C "$d/log.git" cat-file -e "$(git -C "$remote" rev-parse archive/dushanbe/1)" 2>/dev/null; then
    not_ok "without the archive"
else
    ok "without the archive"
fi
run "$qosid" -C "$d" verify
says out "proved: current generations" "and says what it has proved"
run "$qosid" -C "$d" verify --json
json '.[-1].proved == "current generations"' "also as JSON"

# ---- an archive that is not what the generation links to
good=$(git -C "$remote" rev-parse archive/dushanbe/1)
git -C "$remote" update-ref refs/heads/archive/dushanbe/1 "$good^"
"$qosid" -C "$d" generation set fetch true
run "$qosid" -C "$d" sync
"$qosid" -C "$d" status >"$scratch/out"
says out "archive" "an archive that was cut is found"
equals "$(generation_of "$d" archives)" 0 "and not taken"
works "any office that has it sets it right" "$qosid" -C "$b" sync
equals "$(git -C "$remote" rev-parse archive/dushanbe/1)" "$good" "as it was"
works "the auditor fetches it" "$qosid" -C "$d" sync
equals "$(generation_of "$d" archives)" 1 "and holds it"
run "$qosid" -C "$d" verify
says out "proved: full history" "with it the full history is proved"

# ---- limits and dropping
works "generation set archives drop" "$qosid" -C "$a" generation set archives drop
"$qosid" -C "$a" generation set bytes 1200
run "$qosid" -C "$a" generation
says out "bytes 1200, days 365, archives drop, fetch false" "generation shows the settings"
for i in 1 2 3 4 5 6 7 8; do
    change "$a" item:4 "{\"n\":$i}"
    sync_all "$a"
done
if [ "$(generation_of "$a" generation)" -ge 3 ]; then ok "a log that passes its limit begins anew by itself"; else
    not_ok "a log that passes its limit begins anew by itself"; fi
equals "$(git -C "$a/log.git" for-each-ref refs/heads/archive | wc -l)" 0 "what is dropped has no ref any more"
sync_all "$b" "$c" "$d"
equals "$(digest "$b") $(digest "$d")" "$(digest "$a") $(digest "$a")" "all hold the same"
equals "$("$qosid" -C "$b" status --json | jq -c .findings)" "[]" "and find nothing wrong"
"$qosid" -C "$a" generation set bytes 0

# ---- the folder of an office, copied; both go on and begin a generation
cp -a "$work" "$scratch/saved"
git clone -q --mirror "$remote" "$work/other.git"
cp -a "$b" "$work/twin"
"$qosid" -C "$work/twin" remote rm origin -q
"$qosid" -C "$work/twin" remote add other "$work/other.git" -q
"$qosid" -C "$c" remote add other "$work/other.git" -q
change "$b" item:5 '{"n":"one"}'
"$qosid" -C "$b" generation new -q
sync_all "$b"
change "$work/twin" item:6 '{"n":"two"}'
change "$work/twin" item:5 '{"n":"two"}'
"$qosid" -C "$work/twin" generation new -q
sync_all "$work/twin"
works "one of the two is taken" "$qosid" -C "$c" sync origin
run "$qosid" -C "$c" sync other
exits 5 "a second one is refused"
"$qosid" -C "$c" status >"$scratch/out"
says out "fork" "as a fork"
equals "$("$qosid" -C "$c" get item:6 | jq -c .n)" 1 "and nothing of it is applied"

# ---- kill -9 anywhere
rm -rf "$work" && mv "$scratch/saved" "$work"
if ! strace -f -qq -o /dev/null -e trace=none true 2>/dev/null; then
    ok "kill -9 anywhere # SKIP strace cannot trace here"
    finish
    exit 0
fi
"$qosid" -C "$a" generation set archives keep
for i in 7 8 9; do put "$a" "item:$i" "{\"n\":$i}" >/dev/null; done
sync_all "$a"
change "$a" item:7 '{"n":"published before"}'
rm -rf "$scratch/saved" && cp -a "$work" "$scratch/saved"
steps=fsync,fdatasync,rename,renameat,renameat2,pwrite64,link,unlink,mkdir,ftruncate,write

kill_all_through() { # how many points, name, command
    local sample=$1 name=$2 problems='' count i call n all
    shift 2
    strace -f -qq -o "$scratch/trace" -e "trace=$steps" "$@" >/dev/null 2>&1 </dev/null
    mapfile -t all < <(sed -n 's/^[0-9]* *\([a-z0-9]*\)(.*/\1/p' "$scratch/trace" | awk '{ print $1, ++n[$1] }')
    count=${#all[@]}
    for ((i = 0; i < sample; i++)); do
        read -r call n <<<"${all[i * count / sample]}"
        rm -rf "$work" && cp -a "$scratch/saved" "$work"
        { strace -f -qq -o /dev/null -e "trace=$call" -e "inject=$call:signal=KILL:when=$n" "$@" >/dev/null 2>&1 </dev/null; } 2>/dev/null
        # Whether it began or not, the office works on, and a generation can begin.
        change "$a" item:8 '{"n":"after"}'
        "$qosid" -C "$a" generation new -q || problems+="$call $n: generation new; "
        sync_all "$a" "$b" "$d" || problems+="$call $n: sync; "
        "$qosid" -C "$d" verify | grep -qF "every signature" || problems+="$call $n: verify; "
        "$qosid" -C "$a" verify | grep -qF "every signature" || problems+="$call $n: own verify; "
        [ "$(digest "$a")" = "$(digest "$b")" ] && [ "$(digest "$a")" = "$(digest "$d")" ] || problems+="$call $n: digests; "
        [ "$("$qosid" -C "$d" get item:7 | jq -r .n)$("$qosid" -C "$d" get item:8 | jq -r .n)" = "published beforeafter" ] ||
            problems+="$call $n: a change is lost; "
        git -C "$a/log.git" fsck --strict --no-dangling --no-progress >/dev/null 2>&1 || problems+="$call $n: fsck; "
    done
    if [ -z "$problems" ]; then ok "$name survives kill -9 at any of $count steps"; else
        not_ok "$name survives kill -9 at any of $count steps" "$problems"; fi
}
kill_all_through 4 "generation new" "$qosid" -C "$a" generation new
rm -rf "$work" && cp -a "$scratch/saved" "$work"
"$qosid" -C "$a" generation new -q && sync_all "$a"
rm -rf "$scratch/saved" && cp -a "$work" "$scratch/saved"
kill_all_through 3 "taking a new generation" "$qosid" -C "$b" sync

finish
