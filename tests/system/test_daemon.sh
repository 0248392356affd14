#!/bin/bash
# qosidd with real spaces, real remotes in folders, and the real qosid: records travel without any manual sync; signals, reload,
# faults of the configuration, remotes that go away and come back, kill -9, systemd's notify socket.
set -u
qosid=$QOSID_BUILD/qosid qosidd=$QOSID_BUILD/qosidd
scratch=$(mktemp -d) || exit 1
pids=()
cleanup() {
    local pid
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null; done
    rm -rf "$scratch"
}
trap cleanup EXIT
unset NOTIFY_SOCKET WATCHDOG_USEC JOURNAL_STREAM INVOCATION_ID CREDENTIALS_DIRECTORY QOSID_PASSPHRASE_FILE
export QOSID_USER=tester

count=0
ok() { # name, status of the check
    count=$((count + 1))
    if [ "$2" = 0 ]; then echo "ok $count - $1"; else
        echo "not ok $count - $1"
        tail -n 12 "$scratch"/*.log 2>/dev/null | sed 's/^/# /'
    fi
}
is() { # name, got, wanted
    [ "$2" = "$3" ]
    local status=$?
    [ $status = 0 ] || echo "# got '$2', wanted '$3'"
    ok "$1" $status
}
patience=200
eventually() { # command that succeeds within 20 s; once that was not so, the rest gets less time
    local tries=$patience
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { patience=20; return 1; }
        sleep 0.1
    done
}
# Start a daemon with the configuration NAME.conf and the log NAME.log; its process id is in $daemon.
start() { # name, arguments
    local name=$1
    shift
    "$qosidd" -c "$scratch/$name.conf" "$@" >>"$scratch/$name.log" 2>&1 &
    daemon=$!
    pids+=("$daemon")
}
stop() { # pid; gives its exit status
    kill -TERM "$1"
    wait "$1"
}
in_log() { grep -qE -- "$2" "$scratch/$1.log"; } # name, regular expression
lines_in_log() { grep -cE -- "$2" "$scratch/$1.log"; }
put() { echo "{\"n\":$3}" | "$qosid" -q -C "$scratch/$1" put "$2"; } # office, id, number
has() { [ "$("$qosid" -C "$scratch/$1" get "$2" 2>/dev/null | jq .n)" = "$3" ]; }
digest() { "$qosid" -C "$scratch/$1" digest; }
same_digest() { [ "$(digest "$1")" = "$(digest "$2")" ]; }
configure() { # name, office, interval, other lines
    printf '[daemon]\n\tinterval = %s\n\tjitter = 0\n\tdebounce = 100ms\n\tbackoffMax = 1s\n[space "%s"]\n\tpath = %s\n%s\n' \
        "$3" "$2" "$scratch/$2" "${4:-}" >"$scratch/$1.conf"
}

# ---- two offices, one repository ----
set -e
cd "$scratch"
"$qosid" -q init dushanbe dushanbe
"$qosid" -q -C dushanbe remote add --create origin "$scratch/records.git"
"$qosid" -q -C dushanbe invite -o "$scratch/invitation"
"$qosid" -q join invitation --office khujand -o "$scratch/request" khujand
"$qosid" -q -C dushanbe admit --yes "$scratch/request" >/dev/null
set +e

# ---- --once ----
configure once dushanbe 1h
"$qosidd" -c once.conf --once >once.log 2>&1
is "--once exchanges and ends with 0" $? 0
configure once khujand 1h
put dushanbe before 1
"$qosid" -q -C dushanbe sync
"$qosidd" -c once.conf --once >once.log 2>&1 && has khujand before 1
ok "--once brings what others published" $?
in_log once ' info: exchanged space=khujand remote=origin .*applied=1 '
ok "each exchange is one line with its counts" $?
mv records.git away.git
"$qosidd" -c once.conf --once >once.log 2>&1
is "--once with a remote that is away ends with 6" $? 6
mv away.git records.git
configure once nowhere 1h
"$qosidd" -c once.conf --once >once.log 2>&1
is "--once with a space that is not there ends with 3" $? 3
tip=$(git -C records.git rev-parse refs/heads/office/dushanbe)
forged=$(printf 'tree %s\nparent %s\nauthor x <x> 1700000000 +0000\ncommitter x <x> 1700000000 +0000\n\nforged\n' \
    "$(git -C records.git rev-parse "$tip^{tree}")" "$tip" | git -C records.git hash-object -t commit -w --stdin)
git -C records.git update-ref refs/heads/office/dushanbe "$forged"
configure once khujand 1h
"$qosidd" -c once.conf --once >once.log 2>&1
is "--once with a log that has stopped ends with 5" $? 5
in_log once ' error: finding space=khujand log=office/dushanbe@origin .*cause='
ok "and names the log" $?
mv records.git away.git
"$qosidd" -c once.conf --once >once.log 2>&1
is "also when the remote is away" $? 5
mv away.git records.git
git -C records.git update-ref refs/heads/office/dushanbe "$tip"
"$qosidd" -c once.conf --once >once.log 2>&1
is "and with 0 when it has been put right" $? 0

# ---- records travel by themselves ----
configure dushanbe dushanbe 1h
configure khujand khujand 1s
start dushanbe && dushanbe=$daemon
start khujand && khujand=$daemon
eventually in_log dushanbe 'exchanged space=dushanbe'
ok "a daemon exchanges when it starts" $?
put dushanbe person:1 7
eventually has khujand person:1 7
ok "a record put in one office appears in the other" $?
put khujand person:2 8
eventually in_log khujand 'published=1'
ok "a change is published by the other office too" $?
configure dushanbe dushanbe 1s
kill -HUP "$dushanbe"
eventually has dushanbe person:2 8
ok "a shorter interval counts after SIGHUP" $?
eventually same_digest dushanbe khujand
ok "both replicas are equal" $?

# ---- what is not in the replica ----
configure dushanbe dushanbe 1h
kill -HUP "$dushanbe"
set -e
"$qosid" -q join invitation --office panjakent -o "$scratch/request" panjakent
"$qosid" -q -C dushanbe admit --yes "$scratch/request" >/dev/null
set +e
admitted() { "$qosid" -q -C panjakent sync && has panjakent person:1 7; }
eventually admitted
ok "a member who is admitted can read soon" $?
configure dushanbe dushanbe 1s
kill -HUP "$dushanbe"

# ---- its own writes do not make it exchange again ----
configure khujand khujand 1h
kill -HUP "$khujand"
eventually in_log khujand 'reloaded'
put khujand quiet 1
eventually has dushanbe quiet 1
sleep 1
before=$(lines_in_log khujand exchanged)
sleep 2
is "an exchange does not cause the next one" "$(lines_in_log khujand exchanged)" "$before"

# ---- a remote that goes away ----
mv records.git away.git
put khujand offline 2
eventually in_log khujand 'warning: offline space=khujand remote=origin .*retry_in_ms='
ok "a remote that is away is said" $?
eventually in_log khujand 'failures=3 '
ok "it is tried again" $?
is "and warned of once" "$(lines_in_log khujand 'warning: offline')" 1
mv away.git records.git
eventually has dushanbe offline 2
ok "what was changed meanwhile arrives when the remote is back" $?

# ---- the command line and a second daemon at the same time ----
start khujand && second=$daemon
for n in {1..12}; do
    put khujand "both:$n" "$n"
    [ $((n % 4)) != 0 ] || "$qosid" -q -C khujand sync 2>/dev/null # another may hold the lock: that is no harm
done
eventually has dushanbe both:12 12 && eventually same_digest dushanbe khujand
ok "two daemons and the command line on one space do no harm" $?
stop "$second"
is "the second daemon ends with 0" $? 0
"$qosid" -q -C khujand verify >/dev/null 2>&1
ok "the history is sound" $?
git -C records.git fsck --strict 2>fsck.log
ok "git finds the repository sound" $?

# ---- kill -9 ----
for n in {1..5}; do
    put khujand "kill:$n" "$n"
    sleep "0.$n"
    kill -KILL "$khujand"
    wait "$khujand" 2>/dev/null
    start khujand && khujand=$daemon
done
eventually has dushanbe kill:5 5 && eventually same_digest dushanbe khujand
ok "kill -9 and a new start lose nothing" $?
is "and publish nothing twice" "$("$qosid" -C dushanbe ls --json | jq -s 'length')" "$("$qosid" -C khujand ls --json | jq -s 'length')"

# ---- reload ----
set -e
"$qosid" -q init london london
"$qosid" -q -C london remote add --create origin "$scratch/other.git"
set +e
echo '{"n":1}' | "$qosid" -q -C london put early
configure khujand khujand 1h "[space \"london\"]
	path = $scratch/london"
kill -HUP "$khujand"
eventually in_log khujand 'exchanged space=london remote=origin published=1'
ok "SIGHUP picks up a new space" $?
printf '[space "khujand"]\n\tinterval = soon\n' >>khujand.conf
line=$(grep -n soon khujand.conf | cut -d: -f1)
kill -HUP "$khujand"
eventually in_log khujand "error: not reloaded.* where=\"$scratch/khujand.conf line $line\" .*soon"
ok "a broken configuration is refused with its line" $?
echo '{"n":2}' | "$qosid" -q -C london put late
eventually in_log khujand 'exchanged space=london .*pushed_commits=1'
ok "and the old one stays in force" $?
configure khujand khujand 1h
kill -HUP "$khujand"
eventually in_log khujand 'closed space=london'
ok "SIGHUP closes a space that is gone from it" $?
set -e
"$qosid" -q -C khujand remote add --create second "$scratch/second.git"
set +e
eventually in_log khujand 'exchanged space=khujand remote=second'
ok "a remote that is added is used at once" $?

# ---- stop ----
begin=$SECONDS
stop "$khujand"
is "SIGTERM ends it with 0" $? 0
[ $((SECONDS - begin)) -le 10 ]
ok "promptly" $?
kill -INT "$dushanbe"
wait "$dushanbe"
is "SIGINT does so too" $? 0

# ---- without inotify it looks by itself ----
configure polling khujand 1h
# The leak check of a sanitizer build does not go with strace.
ASAN_OPTIONS=detect_leaks=0 strace -f -qq -o /dev/null -e trace=inotify_init1 -e inject=inotify_init1:error=EMFILE \
    "$qosidd" -c "$scratch/polling.conf" >polling.log 2>&1 &
tracer=$!
pids+=("$tracer")
eventually in_log polling 'exchanged space=khujand remote=second'
in_log polling 'warning: no inotify'
ok "a missing inotify is said" $?
put khujand polled 1
eventually in_log polling 'published=1'
ok "and changes are found all the same" $?
traced=$(pgrep -P "$tracer")
kill -TERM "$traced"
wait "$tracer"
is "the daemon under strace ends with 0" $? 0

# ---- systemd ----
configure notify dushanbe 1h
python3 - "$scratch/socket" >notify.txt 2>&1 <<'PYTHON' &
import socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
listener.settimeout(60)
while True:
    message = listener.recv(4096).decode()
    print(message.replace("\n", " "), flush=True)
    if "STOPPING" in message:
        break
PYTHON
listener=$!
pids+=("$listener")
eventually test -S socket
: >notify.log
NOTIFY_SOCKET=$scratch/socket WATCHDOG_USEC=1000000 INVOCATION_ID=1 start notify
eventually grep -q '^READY=1' notify.txt
ok "systemd is told READY=1" $?
pinged() { [ "$(grep -c '^WATCHDOG=1' notify.txt)" -ge 3 ]; }
eventually pinged
ok "and WATCHDOG=1 again and again" $?
kill -HUP "$daemon"
eventually grep -q '^RELOADING=1 MONOTONIC_USEC=[0-9]' notify.txt
ok "and RELOADING=1" $?
stop "$daemon"
wait "$listener"
grep -q '^STOPPING=1' notify.txt
ok "and STOPPING=1" $?
grep -vqE '^<[3-7]>' notify.log
is "each line for the journal has its priority" $? 1

# ---- passphrases ----
set -e
printf 'a long passphrase\n' >pass
chmod 600 pass
QOSID_PASSPHRASE_FILE=$scratch/pass "$qosid" -q init wrapped wrapped
"$qosid" -q -C wrapped remote add --create origin "$scratch/wrapped.git"
set +e
configure wrapped wrapped 1h
"$qosidd" -c wrapped.conf --once >wrapped.log 2>&1
is "a wrapped identity without a passphrase is refused with 5" $? 5
in_log wrapped 'hint="set passphraseFile or passphraseCredential of space '
ok "with what to do about it" $?
configure wrapped wrapped 1h "	passphraseCredential = pass"
CREDENTIALS_DIRECTORY=$scratch "$qosidd" -c wrapped.conf --once >wrapped.log 2>&1
is "a credential opens it" $? 0
grep -q 'long passphrase' ./*.log
is "no passphrase is logged" $? 1

# ---- the command line ----
"$qosidd" -c dushanbe.conf --check-config >check.txt 2>&1
is "--check-config of a good file ends with 0" "$? $(cat check.txt)" "0 dushanbe.conf: good, spaces: 1"
printf '[daemon]\n\n\tintervall = 5m\n' >bad.conf
"$qosidd" -c bad.conf --check-config >check.txt 2>&1
is "--check-config of a bad one ends with 2" $? 2
grep -q 'where="bad.conf line 3" why="unknown key daemon.intervall"' check.txt
ok "and names file, line and key" $?
"$qosidd" -c bad.conf >check.txt 2>&1
is "a daemon does not start with it" $? 2
"$qosidd" -c absent.conf >check.txt 2>&1
is "nor without any" $? 2
"$qosidd" --bogus >check.txt 2>&1
is "an unknown option ends with 2" $? 2
"$qosidd" surplus >check.txt 2>&1
is "a surplus argument ends with 2" $? 2
"$qosidd" --help | grep -q '^usage: qosidd' && "$qosidd" --version | grep -qE '^qosidd [0-9.]+$'
ok "--help and --version" $?

echo "1..$count"
