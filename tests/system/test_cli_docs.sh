#!/bin/bash
# What surrounds the command line tool: bash completion completes what exists, and the manual names every command and
# every option that --help names.
# shellcheck source=tests/system/cli_lib.sh
. "$(dirname "$0")/cli_lib.sh"

root=$(dirname "$0")/../..
a=$scratch/a
"$qosid" init -q dushanbe "$a" || exit 1
"$qosid" -C "$a" remote add stick "$scratch/stick.git" --create

# ---- completion
# shellcheck source=cli/completion.bash
. "$root/cli/completion.bash"
complete_words() { # the words typed so far, the last one to be completed: the candidates on one line
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    _qosid 2>/dev/null
    printf '%s\n' "${COMPREPLY[@]}" | sort | tr '\n' ' '
}
equals "$(complete_words "$qosid" imp)" "import " "a command is completed"
equals "$(complete_words "$qosid" -C "$a" stat)" "status " "also after -C"
equals "$(complete_words "$qosid" help resol)" "resolve " "and after help"
equals "$(complete_words "$qosid" import x.csv --skip)" "--skip-existing " "an option is completed"
equals "$(complete_words "$qosid" -C "$a" sync st)" "stick " "a remote is completed"
equals "$(complete_words "$qosid" -C "$a" remote rm s)" "stick " "for remote rm too"
equals "$(complete_words "$qosid" -C "$a" log d)" "dushanbe " "an office is completed"
equals "$(complete_words "$qosid" remote "")" "add ls rm test " "actions are completed"
equals "$(complete_words "$qosid" generation "")" "ls new set " "those of generation too"
equals "$(complete_words "$qosid" generation set "")" "archives bytes days fetch " "and its settings"
equals "$(complete_words "$qosid" -C "$a" status --forget "")" "all " "what --forget takes is completed"
equals "$(complete_words "$qosid" import x --format "")" "csv jsonl " "formats are completed"

# ---- the manual
for command in $("$qosid" help | awk '/^  [a-z]/ { print $1 }'); do
    case $command in
    help | version) continue ;;
    esac
    if grep -qE "^\.It Cm $command( |\$)" "$root/docs/man/qosid.1"; then
        ok "qosid(1) has $command"
    else
        not_ok "qosid(1) has $command"
    fi
done
manual_has_options() { # command, page
    local option missing=''
    for option in $("$qosid" "$1" --help | sed '/^Options of every command/,$d' | grep -oE -e '--[a-z-]+' | grep -vx -e --json | sort -u); do
        grep -qE "Fl $(sed 's/^-//; s/-/\\\\?-/g' <<<"$option")( |\$)" "$root/docs/man/$2" || missing="$missing $option"
    done
    equals "$missing" "" "$2 has all options of $1"
}
manual_has_options put qosid-put.1
manual_has_options import qosid-import.1
manual_has_options export qosid-export.1
manual_has_options resolve qosid-resolve.1
manual_has_options admit qosid-admit.1
manual_has_options join qosid-admit.1
manual_has_options invite qosid-admit.1
manual_has_options verify qosid-verify.1
manual_has_options remote qosid-remote.1
manual_has_options status qosid-sync.1
manual_has_options couch qosid-couch.1

# ---- signals and folders
status=$(
    set +o pipefail
    "$qosid" help | head -c 1 >/dev/null
    echo "${PIPESTATUS[0]}"
)
case $status in
0 | 141) ok "a reader that goes away ends it by SIGPIPE or not at all" ;;
*) not_ok "a reader that goes away ends it by SIGPIPE or not at all" "status $status" ;;
esac
echo '{"x":1}' >"$scratch/x.json"
cd "$scratch" || exit 1
works "relative names are taken from the folder that -C names" "$qosid" -C a put x ../x.json
works "and -o too" "$qosid" -C a get x -o ../y.json
equals "$(jq .x "$scratch/y.json")" 1 "as git does"

finish
