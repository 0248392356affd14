#!/bin/bash
# Tampering as a user meets it: what sync, status and verify say and how they exit when someone has changed the repository with a
# hex editor or with git, and what happens when the disk is full.
# shellcheck source=tests/system/cli_lib.sh
. "$(dirname "$0")/cli_lib.sh"

work=$scratch/work saved=$scratch/saved a=$work/dushanbe b=$work/khujand c=$work/london remote=$work/records.git
mkdir "$work"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1

# ---- three offices: dushanbe's log has three change sets, london knows the first
"$qosid" init -q dushanbe "$a" 2>/dev/null || exit 1
"$qosid" -C "$a" remote add origin "$remote" --create -q
"$qosid" -C "$a" invite -q -o "$work/invitation" >/dev/null
for office in khujand london; do
    "$qosid" join "$work/invitation" --office $office "$work/$office" -o "$work/request" -q >/dev/null 2>&1
    "$qosid" -C "$a" admit "$work/request" --yes -q >/dev/null 2>&1
done
set_of() { # n: publish change set n of dushanbe
    put "$a" "set-$1" "{\"n\":$1}" >/dev/null
    "$qosid" -C "$a" sync -q
}
set_of 1
"$qosid" -C "$c" sync -q
set_of 2
set_of 3
"$qosid" -C "$b" sync -q
put "$b" other '{}' >/dev/null
"$qosid" -C "$b" sync -q
cp -a "$work" "$saved"
again() {
    rm -rf "$work"
    cp -a "$saved" "$work"
}
ref=refs/heads/office/dushanbe
first=$(git -C "$remote" rev-parse "$ref~2") second=$(git -C "$remote" rev-parse "$ref~1") third=$(git -C "$remote" rev-parse "$ref")
loose() { # repository, object
    local id
    id=$(git -C "$1" rev-parse "$2")
    echo "$1/objects/${id:0:2}/${id:2}"
}
flip() { # file: one bit in its middle
    chmod u+w "$1"
    python3 -c 'import sys
with open(sys.argv[1], "r+b") as f:
    at = f.seek(0, 2) // 2
    f.seek(at); byte = f.read(1)[0]; f.seek(at); f.write(bytes([byte ^ 1]))' "$1"
}

# What london sees: the log stops after change set 1 or 3, the other one goes on.
refused() { # name, change set, cause, document that must not be there
    local name=$1 sequence=$2 cause=$3
    run "$qosid" -C "$c" sync
    exits 5 "$name: sync exits with 5"
    says err "office/dushanbe@origin has stopped at change set $sequence" "$name: it names log and change set"
    run "$qosid" -C "$c" status
    says out "office/dushanbe@origin, change set $sequence: $cause; this log has stopped" "$name: status shows it"
    run "$qosid" -C "$c" status --json
    json ".[0].findings | map(select(.log == \"office/dushanbe@origin\" and .sequence == $sequence and .cause == \"$cause\" and .stops
        and (.detail | length > 10) and (.evidence | length == 40))) | length == 1" "$name: status as JSON has it"
    works "$name: the other log goes on" "$qosid" -C "$c" get other
    fails 3 "" "$name: nothing of the bad change set is here" "$qosid" -C "$c" get "$4"
    works "$name: what is here verifies" "$qosid" -C "$c" verify -q
}
healed() { # name
    rm -rf "$remote"
    cp -a "$saved/records.git" "$remote"
    works "$1: after the repair sync works" "$qosid" -C "$c" sync
    equals "$("$qosid" -C "$c" digest)" "$("$qosid" -C "$b" digest)" "$1: and brings all"
    run "$qosid" -C "$c" status --json
    json '.[0].findings == []' "$1: and the problem is gone from status"
}

flip "$(loose "$remote" "$second:changes.age")"
refused "flipped bit in a payload" 2 damage set-2
healed "flipped bit in a payload"

again
rm -f "$(loose "$remote" "$second^{tree}")"
refused "missing tree" 2 damage set-2
healed "missing tree"

again
git -C "$remote" repack -adq
pack=$(echo "$remote"/objects/pack/*.pack)
chmod u+w "$pack"
truncate -s 60 "$pack"
run "$qosid" -C "$c" sync
exits 5 "cut off pack: sync exits with 5"
says err "office/dushanbe@origin has stopped at change set 2" "cut off pack: it names log and change set"
fails 3 "" "cut off pack: nothing arrives" "$qosid" -C "$c" get set-2
healed "cut off pack"

# ---- forged with git: commits that look right but for one thing
forge() { # sed script over the third commit, signature removed or kept as it is
    local id
    id=$(git -C "$remote" cat-file commit "$third" | sed "$1" | git -C "$remote" hash-object -t commit -w --stdin)
    git -C "$remote" update-ref $ref "$id"
}
again
forge 's/^Qosid-Sequence: 3/Qosid-Sequence: 4/'
refused "changed sequence" 3 signature set-3
healed "changed sequence"

again
ssh-keygen -q -t ed25519 -N '' -f "$scratch/stranger" -C ''
git -C "$remote" cat-file commit "$third" | sed '/^gpgsig/d; /^ /d' >"$scratch/unsigned"
ssh-keygen -q -Y sign -f "$scratch/stranger" -n git <"$scratch/unsigned" >"$scratch/signature" 2>/dev/null
{
    sed '/^$/,$d' "$scratch/unsigned"
    sed '1s/^/gpgsig /; 1!s/^/ /' "$scratch/signature"
    sed -n '/^$/,$p' "$scratch/unsigned"
} | git -C "$remote" hash-object -t commit -w --stdin >"$scratch/forged"
git -C "$remote" update-ref $ref "$(cat "$scratch/forged")"
refused "signed by an unknown key" 3 signature set-3
healed "signed by an unknown key"

again
"$qosid" -C "$a" identity export --ssh -o "$scratch/dushanbe.key" -q
resign() { # sed script: as the office itself would sign it
    git -C "$remote" cat-file commit "$third" | sed '/^gpgsig/d; /^ /d' | sed "$1" >"$scratch/unsigned"
    ssh-keygen -q -Y sign -f "$scratch/dushanbe.key" -n git <"$scratch/unsigned" >"$scratch/signature" 2>/dev/null
    {
        sed '/^$/,$d' "$scratch/unsigned"
        sed '1s/^/gpgsig /; 1!s/^/ /' "$scratch/signature"
        sed -n '/^$/,$p' "$scratch/unsigned"
    } | git -C "$remote" hash-object -t commit -w --stdin >"$scratch/forged"
    git -C "$remote" update-ref $ref "$(cat "$scratch/forged")"
}
resign 's/^Qosid-Sequence: 3/Qosid-Sequence: 4/'
refused "skipped sequence, signed by the office" 3 sequence set-3
healed "skipped sequence"

again
resign "s/^parent .*/parent $second/; s/^Qosid-Content: blake2b-256:..../Qosid-Content: blake2b-256:0000/"
refused "other content than the commit says" 3 payload set-3
healed "other content"

# ---- a rewound branch is a warning, and whoever has more brings it back
again
"$qosid" -C "$c" sync -q
git -C "$remote" update-ref $ref "$first"
works "rewound branch: sync works" "$qosid" -C "$c" sync
run "$qosid" -C "$c" status
says out "rewind (a warning)" "rewound branch: status warns"
says out "office/dushanbe" "rewound branch: of that log"
equals "$(git -C "$remote" rev-parse $ref)" "$third" "rewound branch: it is back where it was"

# ---- a fork stops the log until people decide
again
"$qosid" -C "$c" sync -q
resign "s/^dushanbe: .*/dushanbe: another story/"
run "$qosid" -C "$c" sync
exits 5 "fork: sync exits with 5"
says err "two histories signed by dushanbe" "fork: it says what it is"
run "$qosid" -C "$c" status --json
json '.[0].findings | map(select(.cause == "fork" and .log == "office/dushanbe" and .stops)) | length == 1' "fork: status has it"
git -C "$remote" update-ref $ref "$third"
run "$qosid" -C "$c" sync
exits 5 "fork: stays when the remote shows the first history again"

# ---- the own repository
again
"$qosid" -C "$c" sync -q
flip "$(loose "$c/log.git" "$second:changes.age")"
run "$qosid" -C "$c" verify
exits 5 "verify of a damaged log.git exits with 5"
says out "office/dushanbe, change set 2: " "and names log and change set"
run "$qosid" -C "$c" verify --json
json '(map(select(.log == "office/dushanbe" and .sequence == 2)) | length == 1) and (.[-1].ok | not)' "as JSON too"
works "records can still be read" "$qosid" -C "$c" get set-2

again
mkdir "$scratch/packs"
mv "$c"/log.git/objects/pack/* "$scratch/packs" 2>/dev/null
for pack in "$scratch"/packs/*.pack; do git -C "$c/log.git" unpack-objects -q <"$pack"; done
flip "$(loose "$c/log.git" refs/qosid/verified/roster/dushanbe:operation.json)"
run "$qosid" -C "$c" verify
if [ "$status" != 0 ]; then ok "verify of a damaged roster fails"; else not_ok "verify of a damaged roster fails"; fi
says err "roster" "and says that it is the roster"

# ---- full disks
full=$scratch/full
mkdir "$full"
if [ "$(id -u)" != 0 ] || ! mount -t tmpfs -o size=12m tmpfs "$full" 2>/dev/null; then
    ok "full disks # SKIP mounting a tmpfs needs root"
    finish
    exit 0
fi
trap 'umount "$full" 2>/dev/null; rm -rf "$scratch"' EXIT
again
fill() { # leave this many KiB
    rm -f "$full/fill"
    dd if=/dev/zero of="$full/fill" bs=1k count=$(($(df --output=avail -k "$full" | tail -n 1) - $1)) 2>/dev/null
}
rows() { # how many
    python3 -c 'import sys, random
random.seed(7)
for i in range(int(sys.argv[1])):
    print("{\"_id\":\"row:%d\",\"text\":\"%s\"}" % (i, "%0400x" % random.getrandbits(1600)))' "$1"
}
says_full() { # name
    if [ "$status" = 0 ]; then
        not_ok "$1 fails"
    elif grep -qiE "full|space left" "$scratch/err"; then
        ok "$1 fails and says why"
    else
        not_ok "$1 fails and says why"
    fi
}

# (a) the office's folder
cp -a "$b" "$full/khujand"
d=$full/khujand
put "$d" kept '{"n":1}' >/dev/null
rows 3000 >"$scratch/rows.jsonl"
fill 300
before=$("$qosid" -C "$d" ls | wc -l)
run "$qosid" -C "$d" import "$scratch/rows.jsonl"
says_full "import on a full disk"
rm -f "$full/fill"
run "$qosid" -C "$d" ls
after=$(wc -l <"$scratch/out")
equals "$(((after - before) % 1000))" 0 "whole batches or nothing"
works "what was acknowledged is there" "$qosid" -C "$d" get kept
equals "$(sqlite3 "$d/replica.db" 'PRAGMA integrity_check')" ok "the replica is whole"
rm -rf "$d"
cp -a "$b" "$d"
put "$d" kept '{"n":1}' >/dev/null
"$qosid" -C "$d" import "$scratch/rows.jsonl" -q --batch 100 >/dev/null 2>&1 || head -n 500 "$scratch/rows.jsonl" | "$qosid" -C "$d" import - --format jsonl --skip-existing -q
fill 60
run "$qosid" -C "$d" sync
says_full "sync on a full disk"
rm -f "$full/fill"
run "$qosid" -C "$d" sync
exits 0 "sync works when there is room again"
works "what was acknowledged is there" "$qosid" -C "$d" get kept
works "and all verifies" "$qosid" -C "$d" verify -q
run git -C "$d/log.git" fsck --strict --no-dangling
exits 0 "and git finds nothing wrong"
"$qosid" -C "$c" sync -q
equals "$("$qosid" -C "$c" digest)" "$("$qosid" -C "$d" digest)" "another office gets all of it"
rm -rf "$d"

# (b) the remote
again
"$qosid" -C "$b" remote rm origin -q
"$qosid" -C "$b" remote add stick "$full/stick.git" --create -q
"$qosid" -C "$b" sync -q
put "$b" kept '{"n":1}' >/dev/null
"$qosid" -C "$b" import "$scratch/rows.jsonl" -q >/dev/null
fill 200
run "$qosid" -C "$b" sync
says_full "sync to a full stick"
says err "stick" "and names the remote"
works "what was acknowledged is there" "$qosid" -C "$b" get kept
run git -C "$full/stick.git" fsck --strict --no-dangling
exits 0 "the stick's repository is whole"
rm -f "$full/fill"
works "sync works when there is room again" "$qosid" -C "$b" sync
"$qosid" -C "$c" remote add stick "$full/stick.git" -q
"$qosid" -C "$c" sync -q stick
equals "$("$qosid" -C "$b" digest)" "$("$qosid" -C "$c" digest)" "another office gets all from the stick"

finish
