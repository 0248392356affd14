#!/bin/bash
# How the programs are built and confined: what the linker and the compiler promised is in the files, and systemd's own judge
# thinks well of the unit. Skipped in a sanitizer build, which is built otherwise.
set -u
: "${QOSID_BUILD:?set it to the build folder}"
root=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
export LC_ALL=C
points=0
check() { # name, command...
    local name=$1
    shift
    points=$((points + 1))
    if "$@" >"$scratch/out" 2>&1; then echo "ok $points - $name"; else
        echo "not ok $points - $name"
        sed 's/^/# /' "$scratch/out"
    fi
}
has() { readelf "$1" -W "$2" | grep -qE -- "$3"; }
lacks() { ! has "$@"; }

if readelf -sW "$QOSID_BUILD/qosidd" | grep -qE '__(asan|tsan|ubsan)_'; then
    echo "1..0 # SKIP a sanitizer build"
    exit 0
fi
for file in "$QOSID_BUILD"/qosid*; do
    if [ ! -f "$file" ] || [ ! -x "$file" ]; then continue; fi
    name=$(basename "$file")
    check "$name is position independent" has -h "$file" 'Type: *DYN'
    check "$name has its relocations read-only from the start" has -l "$file" GNU_RELRO
    check "$name binds all symbols at once" has -d "$file" BIND_NOW
    check "$name has a stack that is not executable" has -l "$file" 'GNU_STACK.* RW '
    check "$name has no segment that is written and executed" lacks -l "$file" ' (RWE|WE) '
    check "$name guards its stack" has -s "$file" __stack_chk_fail
    # The script process has no call that is worth a check.
    [ "$name" = qosid-script ] || check "$name checks buffer sizes" has -s "$file" '__(vsnprintf|snprintf|memcpy|read)_chk'
done

if command -v systemd-analyze >/dev/null; then
    # Only the confinement is judged: the programs need not be installed.
    sed 's,^ExecStart=.*,ExecStart=/bin/true,' "$root/daemon/qosidd.service" >"$scratch/qosidd.service"
    check "systemd-analyze gives the unit less than 2.0" systemd-analyze security --offline=true --threshold=20 "$scratch/qosidd.service"
else
    echo "# systemd-analyze is not installed: the unit is not judged"
fi
echo "1..$points"
