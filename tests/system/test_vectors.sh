#!/bin/bash
# A whole space made by format 1, kept as a git bundle: this and every later version must read it as it was, with an auditor's
# identity, from nothing but the pinned root; and so must the stock tools (docs/format.md).
set -u
cd "$(dirname "$0")/../.." || exit 1
qosid=${QOSID_BUILD:?run through make}/qosid
vectors=$PWD/tests/vectors/space
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
n=0
check() { # name, command...
    local name=$1
    shift
    n=$((n + 1))
    if "$@" >out 2>&1; then echo "ok $n - $name"; else
        echo "not ok $n - $name"
        sed 's/^/# /' out
    fi
}

# The auditor's space as `qosid join` made it at the time: the same identity, the same pinned root.
cp "$vectors/auditor.identity" identity
chmod 600 identity
check "the bundle is a repository" git clone -q --mirror "$vectors/space.bundle" remote.git
check "join with the invitation" "$qosid" join "$vectors/invitation.json" --office auditor auditor -o request
cp identity auditor/identity
git config -f auditor/config identity.signing "$(sed -n 's/^# signing-public: //p' identity)"
git config -f auditor/config identity.encryption "$(sed -n 's/^# encryption-public: //p' identity)"
check "the remote" "$qosid" -C auditor remote add origin "$scratch/remote.git"
check "sync" "$qosid" -C auditor sync
check "verify" "$qosid" -C auditor verify
"$qosid" -C auditor digest >our-digest
check "the digest over all leaves" diff our-digest "$vectors/digest"
"$qosid" -C auditor export >export.jsonl
check "every document, byte for byte" diff export.jsonl "$vectors/export.jsonl"
"$qosid" -C auditor get note --attachment note.txt -o "$scratch/note.txt" >out 2>&1
check "the attachment" test "$(cat note.txt)" = salom
"$qosid" -C auditor conflicts >our-conflicts
check "the conflict" grep -q clash our-conflicts

# The same with stock tools alone.
"$qosid" -C auditor keys allowed-signers >signers
while read -r log commit digest; do
    check "$log ${commit:0:10} has its digest" \
        test "$digest" = "blake2b-256:$(git -C remote.git cat-file commit "$commit" | b2sum -l 256 | cut -d ' ' -f 1)"
    check "$log ${commit:0:10} is signed" git -C remote.git -c gpg.format=ssh \
        -c gpg.ssh.allowedSignersFile="$scratch/signers" verify-commit "$commit"
done <"$vectors/commits"
git -C remote.git show roster/dushanbe:epochs/1.age | age -d -i identity >epoch.key
git -C remote.git show office/khujand:changes.age | age -d -i epoch.key | zstd -dq >lines
check "stock age and zstd open a change set" test "$(jq -r 'select(.doc).doc._id' lines)" = clash
check "it says who and what" test "$(jq -r 'select(.doc) | .user + " " + .doc.v' lines)" = "khujand khujand"
echo "1..$n"
