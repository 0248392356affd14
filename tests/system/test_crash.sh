#!/bin/bash
# kill -9 between any two steps of publishing, applying, admitting, importing and making a space: nothing acknowledged is lost,
# nothing is published twice, nothing is left that blocks.
#
# A step is a system call that changes a file. A dry run lists those of a command; then the command is run again and again from the
# same state, each time killed on the way into another step (strace injects the signal), every second time also killed once more while
# it recovers. A sample of the steps is taken; QOSID_CRASH_ALL=1 takes all of them.
# shellcheck source=tests/system/cli_lib.sh
. "$(dirname "$0")/cli_lib.sh"

steps=fsync,fdatasync,rename,renameat,renameat2,pwrite64,link,linkat,unlink,unlinkat,mkdir,rmdir,ftruncate,write
work=$scratch/work saved=$scratch/saved problems=$scratch/problems a=$work/dushanbe b=$work/khujand c=$work/london
remote=$work/records.git
mkdir "$work"

if ! strace -f -qq -o /dev/null -e trace=none true 2>/dev/null; then
    ok "kill -9 anywhere # SKIP strace cannot trace here"
    finish
    exit 0
fi

# ---- killing

list_steps() { # command: "syscall n", one a line
    strace -f -qq -o "$scratch/trace" -e "trace=$steps" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null
    sed -n 's/^[0-9]* *\([a-z0-9]*\)(.*/\1/p' "$scratch/trace" | awk '{ print $1, ++n[$1] }'
}

killed_at() { # syscall, n, command: run it and kill it there; $status is 137 unless it was done before
    local call=$1 n=$2
    shift 2
    status=0
    { strace -f -qq -o /dev/null -e "trace=$call" -e "inject=$call:signal=KILL:when=$n" "$@" \
        >"$scratch/out" 2>"$scratch/err" </dev/null || status=$?; } 2>/dev/null
}

problem() { # text
    echo "$step: $1" >>"$problems"
}

expect() { # command that must succeed
    "$@" >"$scratch/cmd.out" 2>"$scratch/cmd.err" </dev/null && return
    problem "exit status $? from: ${*/#$scratch\//}: $(cat "$scratch/cmd.err" "$scratch/cmd.out" | head -n 3)"
}

# scenario NAME SAMPLE COMMAND: $work as it is now is the state before. The functions recover_NAME and check_NAME do the rest.
scenario() {
    local name=$1 sample=$2 all count kills=0 i call n
    shift 2
    : >"$problems"
    rm -rf "$saved"
    cp -a "$work" "$saved"
    mapfile -t all < <(list_steps "$@")
    count=${#all[@]}
    [ "${QOSID_CRASH_ALL:-0}" = 1 ] && sample=$count
    [ "$sample" -gt "$count" ] && sample=$count
    for ((i = 0; i < sample; i++)); do
        read -r call n <<<"${all[i * count / sample]}"
        step="$name killed at $call $n"
        rm -rf "$work"
        cp -a "$saved" "$work"
        killed_at "$call" "$n" "$@"
        acknowledged=$status
        [ "$status" = 137 ] && kills=$((kills + 1))
        if ((i % 2 == 1)); then
            read -r call n <<<"${all[(i * 7919 + 3) % count]}"
            step="$step, then at $call $n"
            killed_at "$call" "$n" "$@"
            [ "$status" = 0 ] && acknowledged=0
        fi
        "recover_$name"
        "check_$name"
    done
    rm -f "$scratch"/payload.*
    # How many folders are made depends on the names of new objects, so a few of the last steps may not come.
    step=$name
    ((kills * 4 >= sample * 3)) || problem "was killed at $kills of $sample steps only"
    if [ ! -s "$problems" ]; then
        ok "$name survives kill -9 at any of $count steps"
    else
        not_ok "$name survives kill -9 at any of $count steps" "$(head -n 20 "$problems")"
    fi
}

# ---- checking

# No lock blocks, none stays when its log moves on (that of large attachments does so rarely), and of temporary files there are no more than the killed runs left behind.
check_litter() {
    local found
    found=$(find "$work" \( -name '*.lock' -o -name 'tmp_*' -o -name '_git2_*' \))
    if [[ $found == *.lock* ]]; then
        put "$a" "after" '{}' >/dev/null
        put "$b" "then" '{}' >/dev/null
        for office in "$a" "$b" "$a"; do expect "$qosid" -C "$office" sync -q; done
        found=$(find "$work" \( -name '*.lock' -o -name 'tmp_*' -o -name '_git2_*' \))
        found=$(grep -v '/files/.*\.lock$' <<<"$found")
        [[ $found != *.lock* ]] || problem "a lock is left: $found"
    fi
    [ "$(wc -w <<<"$found")" -le 3 ] || problem "too many temporary files are left: $found"
}

check_repository() {
    local report
    if ! report=$(git -C "$1" fsck --strict --no-dangling --no-progress 2>&1) || [[ $report == *error* || $report == *warning* ]]; then
        problem "git fsck ${1##*/}: $report"
    fi
}

check_office() { # folder
    local report
    report=$(sqlite3 "$1/replica.db" 'PRAGMA integrity_check' 2>&1)
    [ "$report" = ok ] || problem "integrity_check of ${1##*/}: $report"
    check_repository "$1/log.git"
    expect "$qosid" -C "$1" verify -q
    report=$("$qosid" -C "$1" status --json)
    [[ $report == *'"pending":0,'* && $report == *'"findings":[]'* ]] || problem "${1##*/} has something pending or found: $report"
}

# Each log from its first commit with stock tools: sequences without gaps, each revision once. What a commit holds is kept for the
# next time: its id says that it is the same.
check_published() {
    local log commit sequence expected
    [ -e "$scratch/epoch.key" ] || "$qosid" -C "$a" keys epoch 1 -q -o "$scratch/epoch.key"
    : >"$scratch/revisions"
    for log in $(git -C "$remote" for-each-ref --format='%(refname)' refs/heads/office); do
        expected=0
        while read -r commit sequence; do
            expected=$((expected + 1))
            [ "$sequence" = "$expected" ] || problem "$log has sequence $sequence where $expected belongs"
            [ -e "$scratch/payload.$commit" ] || git -C "$remote" cat-file blob "$commit:changes.age" |
                age -d -i "$scratch/epoch.key" | zstd -dcq |
                jq -r 'select(.doc) | [.doc._id, .doc._rev] | @tsv' >"$scratch/payload.$commit" || problem "$log $sequence: unreadable"
            cat "$scratch/payload.$commit" >>"$scratch/revisions"
        done < <(git -C "$remote" log --reverse --format='%H %(trailers:key=Qosid-Sequence,valueonly,separator=)' "$log")
    done
    sequence=$(sort "$scratch/revisions" | uniq -d)
    [ -z "$sequence" ] || problem "published twice: $sequence"
    published=$(wc -l <"$scratch/revisions")
}

check_equal() { # other folder, document that must be there...
    local listed id
    [ "$("$qosid" -C "$a" digest)" = "$("$qosid" -C "$1" digest)" ] || problem "the replicas differ"
    listed=$("$qosid" -C "$1" ls)
    shift
    for id in "$@"; do
        grep -qx "$id" <<<"$listed" || problem "$id is lost"
    done
}

check_all() { # the office that was killed, document...
    local killed=$1
    shift
    check_equal "$b" "$@"
    check_office "$killed"
    check_repository "$remote"
    check_published
    check_litter
}

# ---- two offices that have met
"$qosid" init -q dushanbe "$a" 2>/dev/null || exit 1
"$qosid" -C "$a" remote add origin "$remote" --create -q
"$qosid" -C "$a" invite -q -o "$work/invitation" >/dev/null
"$qosid" join "$work/invitation" --office khujand "$b" -o "$work/request" -q >/dev/null 2>&1
"$qosid" -C "$a" admit "$work/request" --yes -q >/dev/null 2>&1
put "$a" first '{"n":1}' >/dev/null
"$qosid" -C "$a" sync -q
"$qosid" -C "$b" sync -q
met=$scratch/met
cp -a "$work" "$met"
again() {
    rm -rf "$work"
    cp -a "$met" "$work"
}

# ---- publishing: two revisions of one document, an attachment inline, a tombstone
rev=$(put "$a" edited '{"n":1}')
put "$a" edited '{"n":2}' --rev "$rev" >/dev/null
head -c 3000 /dev/urandom >"$scratch/small"
put "$a" attached '{}' --attach "x=$scratch/small" >/dev/null
put "$a" gone '{}' >/dev/null
"$qosid" -C "$a" rm gone -q
recover_publish() {
    expect "$qosid" -C "$a" sync -q
    expect "$qosid" -C "$b" sync -q
}
check_publish() {
    check_all "$a" first edited attached
    [ "$published" = 6 ] || problem "$published revisions are published, not 6"
}
scenario publish 10 "$qosid" -C "$a" sync

# ---- publishing what goes into packs, and into the log of large attachments
again
head -c 2000000 /dev/urandom >"$scratch/medium"
head -c 5000000 /dev/urandom >"$scratch/large"
put "$a" medium '{}' --attach "x=$scratch/medium" >/dev/null
put "$a" large '{}' --attach "x=$scratch/large" >/dev/null
recover_attachments() { recover_publish; }
check_attachments() {
    check_all "$a" first medium large
    expect "$qosid" -C "$b" get large --attachment x -o "$work/large"
    cmp -s "$work/large" "$scratch/large" || problem "the large attachment is not what it was"
}
scenario attachments 4 "$qosid" -C "$a" sync

# ---- applying what another office brought, with own changes to publish and a conflict
again
rev=$("$qosid" -C "$a" get first | jq -r ._rev)
put "$a" first '{"by":"dushanbe"}' --rev "$rev" >/dev/null
put "$a" theirs '{}' --attach "x=$scratch/small" >/dev/null
"$qosid" -C "$a" sync -q
put "$b" first '{"by":"khujand"}' --rev "$rev" >/dev/null
put "$b" mine '{}' >/dev/null
recover_apply() {
    expect "$qosid" -C "$b" sync -q
    expect "$qosid" -C "$a" sync -q
}
check_apply() {
    check_all "$b" first theirs mine
    [ "$published" = 5 ] || problem "$published revisions are published, not 5"
    [ "$("$qosid" -C "$a" conflicts | wc -l)" = 1 ] || problem "the conflict is not there"
}
scenario apply 9 "$qosid" -C "$b" sync

# ---- admitting
again
"$qosid" join "$work/invitation" --office london "$c" -o "$work/london.request" -q >/dev/null 2>&1
recover_admit() {
    if ! "$qosid" -C "$a" members | grep -q london; then
        [ "$acknowledged" != 0 ] || problem "acknowledged, but london is no member"
        expect "$qosid" -C "$a" admit "$work/london.request" --yes -q
    fi
    expect "$qosid" -C "$a" sync -q
    expect "$qosid" -C "$b" sync -q
    expect "$qosid" -C "$c" sync -q
}
check_admit() {
    check_all "$a" first
    check_equal "$c" first
    check_office "$c"
}
scenario admit 5 "$qosid" -C "$a" admit "$work/london.request" --yes

# ---- storing one document, and importing many
again
recover_put() {
    if [ "$acknowledged" = 0 ]; then
        expect "$qosid" -C "$a" get second
    fi
    "$qosid" -C "$a" get second >/dev/null 2>&1 || expect "$qosid" -C "$a" put second "$work/invitation" -q
    recover_publish
}
check_put() { check_all "$a" first second; }
scenario put 4 "$qosid" -C "$a" put second "$work/invitation"

again
for i in {100..399}; do echo "{\"_id\":\"row:$i\",\"n\":$i}"; done >"$work/rows.jsonl"
recover_import() {
    local before
    before=$("$qosid" -C "$a" ls row: | wc -l)
    ((before % 100 == 0)) || problem "a batch was stored in part: $before rows"
    [ "$acknowledged" != 0 ] || [ "$before" = 300 ] || problem "acknowledged, but only $before rows are there"
    expect "$qosid" -C "$a" import "$work/rows.jsonl" --skip-existing --batch 100 -q
    recover_publish
}
check_import() {
    check_all "$a" first row:100 row:250 row:399
    [ "$("$qosid" -C "$b" ls row: | wc -l)" = 300 ] || problem "rows are missing"
}
scenario import 4 "$qosid" -C "$a" import "$work/rows.jsonl" --batch 100 --update

# ---- making and joining a space, and naming a remote
again
new=$work/new
recover_init() { :; }
check_new() { # command that makes the space in $new
    local made=0
    if [ -e "$new" ]; then
        "$qosid" -C "$new" status -q >/dev/null 2>&1 && made=1
        [ $made = 1 ] || [ -z "$(ls -A "$new")" ] || problem "half a space is left: $(ls "$new")"
    fi
    [ "$acknowledged" != 0 ] || [ $made = 1 ] || problem "acknowledged, but there is no space"
    [ $made = 1 ] || expect "$@"
    expect "$qosid" -C "$new" verify -q
    printf '{}' | "$qosid" -C "$new" put x - -q || problem "the space does not take a document"
}
check_init() { check_new "$qosid" init bokhtar "$new" -q; }
scenario init 6 "$qosid" init bokhtar "$new"

recover_join() { :; }
again
check_join() { check_new "$qosid" join "$work/invitation" --office bokhtar "$new" -q -o "$work/bokhtar.request"; }
scenario join 3 "$qosid" join "$work/invitation" --office bokhtar "$new"

again
recover_remote() {
    "$qosid" -C "$a" remote ls | grep -q stick || expect "$qosid" -C "$a" remote add stick "$work/stick.git" --create
    expect "$qosid" -C "$a" sync -q stick
    recover_publish
}
check_remote() {
    check_repository "$work/stick.git"
    check_all "$a" first
}
scenario remote 5 "$qosid" -C "$a" remote add stick "$work/stick.git" --create

# ---- twenty kills in a row without a repair in between: litter does not pile up
again
: >"$problems"
step="many kills"
for i in {1..20}; do
    put "$a" "doc:$i" "{\"n\":$i}" >/dev/null
    killed_at fsync $((i * 2)) "$qosid" -C "$a" sync
done
recover_publish
check_all "$a" first doc:1 doc:20
if [ -s "$problems" ]; then
    not_ok "twenty killed exchanges in a row" "$(cat "$problems")"
else
    ok "twenty killed exchanges in a row"
fi

finish
