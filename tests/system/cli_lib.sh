# shellcheck shell=bash
# Shared by the tests of the command line tool: TAP output, a scratch folder, and running qosid.
#
# run COMMAND... leaves $status, and the outputs in $scratch/out and $scratch/err.

set -u
: "${QOSID_BUILD:?set it to the build folder}"
qosid=$QOSID_BUILD/qosid
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
unset QOSID_PASSPHRASE_FILE
export QOSID_USER="Test Registrar" LC_ALL=C.UTF-8
tests=0

ok() { # name
    tests=$((tests + 1))
    echo "ok $tests - $1"
}

not_ok() { # name, explanation
    tests=$((tests + 1))
    echo "not ok $tests - $1"
    printf '%s\n' "${2:-}" | sed 's/^/# /'
    sed 's/^/# out: /' "$scratch/out" 2>/dev/null | head -n 20
    sed 's/^/# err: /' "$scratch/err" 2>/dev/null | head -n 20
}

run() { # command
    status=0
    "$@" >"$scratch/out" 2>"$scratch/err" </dev/null || status=$?
}

# The next ones look at the last run.
exits() { # expected status, name
    if [ "$status" = "$1" ]; then ok "$2"; else not_ok "$2" "exit status $status, expected $1"; fi
}

says() { # file (out or err), text, name
    if grep -qF -- "$2" "$scratch/$1"; then ok "$3"; else not_ok "$3" "\"$2\" is not in $1"; fi
}

equals() { # value, expected, name
    if [ "$1" = "$2" ]; then ok "$3"; else not_ok "$3" "got \"$1\", expected \"$2\""; fi
}

fails() { # expected status, text in stderr, name, command...
    local expected=$1 text=$2 name=$3
    shift 3
    run "$@"
    if [ "$status" != "$expected" ]; then
        not_ok "$name" "exit status $status, expected $expected"
    elif ! grep -qF -- "$text" "$scratch/err"; then
        not_ok "$name" "\"$text\" is not in stderr"
    elif [ -s "$scratch/out" ]; then
        not_ok "$name" "stdout is not empty"
    else
        ok "$name"
    fi
}

works() { # name, command...
    local name=$1
    shift
    run "$@"
    exits 0 "$name"
}

json() { # jq filter that must be true of the output of the last run, name
    if jq -e -s "$1" "$scratch/out" >/dev/null 2>&1; then ok "$2"; else not_ok "$2" "not true: $1"; fi
}

# put DIR ID TEXT [option...]: the revision is printed.
put() {
    local dir=$1 id=$2 text=$3
    shift 3
    printf '%s' "$text" | "$qosid" -C "$dir" --json put "$id" - "$@" | jq -r .rev
}

finish() {
    echo "1..$tests"
}
