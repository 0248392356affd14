#!/bin/bash
# The crypto layer beside the stock tools, both ways: age (X25519 and passphrases), ssh-keygen -Y (sign, verify,
# check-novalidate), identity files, and streaming in bounded memory.
# shellcheck disable=SC2317 # functions are called through check()
set -u -o pipefail
tool=$QOSID_BUILD/tests/tools/cryptotool
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1

n=0 failed=0
check() { # name, command...
    local name=$1
    shift
    n=$((n + 1))
    if "$@" >output 2>&1; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        sed 's/^/# /' output
        failed=1
    fi
}
refused() { # exit code, command...
    local expected=$1 status=0
    shift
    "$@" >/dev/null || status=$?
    [ "$status" = "$expected" ] || { echo "exit code $status instead of $expected"; return 1; }
}

# The stock age takes a passphrase from a terminal only: run it on a new one and answer each question.
cat >on_terminal.py <<'PY'
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
seen = b""
while True:
    try:
        data = os.read(fd, 1024)
    except OSError:
        break
    if not data:
        break
    seen += data
    while b": " in seen:
        seen = seen[seen.index(b": ") + 2:]
        os.write(fd, sys.argv[1].encode() + b"\n")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PY
on_terminal() { python3 on_terminal.py "$@" </dev/null; }

"$tool" keygen office || exit 1
{ read -r recipient; read -r ssh_public; read -r fingerprint; } < <("$tool" public office)
age-keygen -o stock.txt 2>/dev/null || exit 1
stock_recipient=$(age-keygen -y stock.txt)

# ---- age, X25519 ----------------------------------------------------------------------------------------------------
ours_to_stock() { "$tool" encrypt "$@" <plain >file.age && age -d -i "$key" file.age | cmp - plain; }
stock_to_ours() { age "$@" <plain >file.age && "$tool" decrypt "$key" <file.age | cmp - plain; }

for size in 0 1 65535 65536 65537 1048576; do
    head -c "$size" /dev/urandom >plain
    key=stock.txt check "age opens what we encrypt, $size bytes" ours_to_stock "$stock_recipient"
    key=office check "age opens it with our identity file, $size bytes" ours_to_stock "$recipient"
    key=stock.txt check "we open what age encrypts, $size bytes" stock_to_ours -r "$stock_recipient"
    key=office check "we open it with our identity, $size bytes" stock_to_ours -r "$recipient"
done

head -c 100000 /dev/urandom >plain
for i in 1 2 3; do age-keygen -o "other$i.txt" 2>/dev/null; age-keygen -y "other$i.txt" >>others; done
mapfile -t others <others
for key in office stock.txt other3.txt; do
    check "several recipients, ours to age with $key" ours_to_stock "${others[@]}" "$recipient" "$stock_recipient"
    check "several recipients, age to ours with $key" \
        stock_to_ours -R others -r "$recipient" -r "$stock_recipient"
done
"$tool" encrypt "${others[@]}" <plain >file.age
check "we refuse a file for others" refused 5 "$tool" decrypt office <file.age
check "age refuses it too" refused 1 age -d -i office file.age
age -a -r "$recipient" <plain >file.age
check "we refuse an armoured file" refused 1 "$tool" decrypt office <file.age

# A cut and a changed file: the exit code, and no byte of a chunk that does not hold.
"$tool" encrypt "$recipient" <plain >file.age
head -c -1 file.age >cut.age
failed_chunk_stays_in() {
    refused 5 "$tool" decrypt office <cut.age || return 1
    { "$tool" decrypt office <cut.age 2>/dev/null || true; } | cmp - <(head -c 65536 plain)
}
check "nothing of a cut last chunk comes out" failed_chunk_stays_in

# ---- age, passphrases -------------------------------------------------------------------------------------------------
export CRYPTOTOOL_PASSPHRASE='correct horse battery'
head -c 70000 /dev/urandom >plain
"$tool" encrypt-pass 12 <plain >pass.age
check "age opens our passphrase file" on_terminal "$CRYPTOTOOL_PASSPHRASE" age -d -o opened pass.age
check "and finds what we put in" cmp opened plain
check "age refuses another passphrase" refused 1 on_terminal 'another' age -d -o opened2 pass.age
on_terminal "$CRYPTOTOOL_PASSPHRASE" age -p -o stockpass.age plain >/dev/null 2>&1
open_stock_passphrase() { "$tool" decrypt-pass <stockpass.age | cmp - plain; }
check "we open the passphrase file of age" open_stock_passphrase

check "a wrapped identity is written" "$tool" keygen wrapped
wrapped_recipient=$("$tool" public wrapped | head -n 1)
check "age unwraps it" on_terminal "$CRYPTOTOOL_PASSPHRASE" age -d -o unwrapped wrapped
printf 'to the wrapped one\n' >plain
"$tool" encrypt "$wrapped_recipient" <plain >file.age
unwrapped_opens() { age -d -i unwrapped file.age | cmp - plain; }
check "what it unwraps is an identity file of age" unwrapped_opens
check "age takes the wrapped file itself with -i" \
    on_terminal "$CRYPTOTOOL_PASSPHRASE" age -d -i wrapped -o opened3 file.age
check "and opens the file with it" cmp opened3 plain
unset CRYPTOTOOL_PASSPHRASE

# ---- ssh-keygen -Y ------------------------------------------------------------------------------------------------------
"$tool" export-openssh office >key && chmod 600 key
"$tool" allowed-signer office dushanbe >allowed
same_public() { [ "$(ssh-keygen -y -f key | cut -d ' ' -f 1,2)" = "$ssh_public" ]; }
check "ssh-keygen reads the exported key" same_public
head -c 100000 /dev/urandom >message
for space in git file; do
    "$tool" sign office "$space" <message >message.sig
    verify() { ssh-keygen -Y verify -f allowed -I dushanbe -n "$1" -s message.sig <message; }
    novalidate() { ssh-keygen -Y check-novalidate -n "$1" -s message.sig <message; }
    check "ssh-keygen verifies our signature for $space" verify "$space"
    check "ssh-keygen checks our signature for $space without a list" novalidate "$space"
    other=$([ "$space" = git ] && echo file || echo git)
    check "ssh-keygen refuses our signature for $space as one for $other" refused 255 verify "$other"
    rm -f message.sig
    ssh-keygen -q -Y sign -f key -n "$space" message
    check "we verify the signature of ssh-keygen for $space" \
        "$tool" verify message.sig "$space" "$ssh_public" <message
    check "we refuse it for $other" refused 5 "$tool" verify message.sig "$other" "$ssh_public" <message
    same_bytes() { "$tool" sign office "$space" <message | cmp - message.sig; }
    check "and ours is the same to the byte" same_bytes
    signer() { [ "$("$tool" signer message.sig)" = "$ssh_public" ]; }
    check "it names its signer" signer
done
check "we refuse it over another message" refused 5 "$tool" verify message.sig file "$ssh_public" <plain
ssh-keygen -q -t ed25519 -N '' -C 'with a comment' -f stock
rm -f message.sig
ssh-keygen -q -Y sign -f stock -n git message
check "we verify a key that ssh-keygen made" "$tool" verify message.sig git "$(cat stock.pub)" <message
check "and refuse it as another's" refused 5 "$tool" verify message.sig git "$ssh_public" <message

# ---- files ----------------------------------------------------------------------------------------------------------------
check "an identity is never overwritten" refused 4 "$tool" keygen office
unchanged() { [ "$("$tool" public office | sed -n 3p)" = "$fingerprint" ]; }
check "and is what it was" unchanged
chmod 640 office
check "an identity that others can read is refused" refused 5 "$tool" public office
chmod 600 office
no_leftovers() { [ -z "$(find . -name '.qosid-identity-*')" ]; }
check "no temporary file is left" no_leftovers
full_disk() {
    local status=0
    "$tool" encrypt "$recipient" </dev/zero >/dev/full || status=$?
    [ "$status" = 1 ]
}
check "a full disk ends an encryption" full_disk

# ---- bounded memory -------------------------------------------------------------------------------------------------------
# 200 MiB through programs that may not grow over 64 MiB of address space, where a sanitizer lets that be limited.
limit=65536
if ldd "$tool" | grep -qE 'lib(asan|tsan|msan)' || grep -qa __asan_init "$tool"; then limit=unlimited; fi
limited() { (ulimit -v "$limit" && exec "$@"); }
stream() {
    head -c 209715200 /dev/zero | limited "$tool" encrypt "$recipient" | limited "$tool" decrypt office |
        cmp - <(head -c 209715200 /dev/zero)
}
check "200 MiB go through in 64 MiB of memory" stream

echo "1..$n"
exit "$failed"
