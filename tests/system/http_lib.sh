# shellcheck shell=bash
# Shared by the tests of the HTTP API: TAP output, a daemon of their own on a free port, and requests by curl.
#
# ask METHOD PATH [curl options] leaves the body in $body, the status in $code, the headers in $scratch/headers.

set -u
: "${QOSID_BUILD:?set it to the build folder}"
scratch=$(mktemp -d) || exit 1
daemon_pid=
trap 'stop_daemon; rm -rf "$scratch"' EXIT
export LC_ALL=C.UTF-8
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
points=0

ok() { # name
    points=$((points + 1))
    echo "ok $points - $1"
}

not_ok() { # name, explanation
    points=$((points + 1))
    echo "not ok $points - $1"
    printf '%s\n' "${2:-}" | sed 's/^/# /'
}

equals() { # value, expected, name
    if [ "$1" = "$2" ]; then ok "$3"; else not_ok "$3" "got \"$1\", expected \"$2\""; fi
}

# Start qosidd with a data folder of its own; PORT 0 picks a free one. $url is its address. $daemon_http_config: further
# settings, instead of everybody on loopback being an administrator.
start_daemon() { # port
    printf '[http]\n\tdataDir = %s\n\tlisten = 127.0.0.1:%s\n%s' "$scratch/data" "$1" \
        "${daemon_http_config-$'\topen = loopback\n'}" >"$scratch/qosidd.conf"
    "$QOSID_BUILD/qosidd" -c "$scratch/qosidd.conf" >"$scratch/daemon.log" 2>&1 </dev/null &
    daemon_pid=$!
    port=
    for _ in $(seq 300); do
        port=$(sed -n 's/.*serving HTTP.* port=\([0-9]*\).*/\1/p' "$scratch/daemon.log")
        [ -n "$port" ] && break
        kill -0 "$daemon_pid" 2>/dev/null || break
        sleep 0.05
    done
    if [ -z "$port" ]; then
        not_ok "the daemon serves HTTP" "$(cat "$scratch/daemon.log")"
        echo "1..$points"
        exit 1
    fi
    url=http://127.0.0.1:$port
}

# End the daemon; it must end well, which under a sanitizer also means that nothing was found.
stop_daemon() {
    local status=0
    [ -n "$daemon_pid" ] || return 0
    kill "$daemon_pid" 2>/dev/null
    wait "$daemon_pid" 2>/dev/null || status=$?
    daemon_pid=
    [ "$status" = 0 ] || not_ok "the daemon ends well" "exit status $status: $(tail -n 40 "$scratch/daemon.log")"
}

ask() { # method, path, curl options
    local method=$1 path=$2
    shift 2
    local head=()
    [ "$method" = HEAD ] && head=(--head)
    code=$(curl -sS -m 60 -o "$scratch/body" -D "$scratch/headers" -w '%{http_code}' -X "$method" "${head[@]}" "$@" "$url$path" 2>"$scratch/curl")
    body=$(tr -d '\0' <"$scratch/body" 2>/dev/null)
    true
}

# The last answer has this status, and jq finds this true of its body.
gives() { # status, jq condition, name
    if [ "$code" != "$1" ]; then
        not_ok "$3" "status $code, expected $1: $body $(cat "$scratch/curl")"
    elif [ -n "$2" ] && ! jq -e "$2" <"$scratch/body" >/dev/null 2>"$scratch/jq"; then
        not_ok "$3" "not true: $2 of $body $(cat "$scratch/jq")"
    else
        ok "$3"
    fi
}

header() { # name: its value in the last answer
    tr -d '\r' <"$scratch/headers" | sed -n "s/^$1: //Ip" | head -n 1
}

rev_of() { # path: the current revision
    curl -sS -m 60 -H 'Accept: application/json' "$url$1" | jq -r ._rev
}

json=(-H 'Content-Type: application/json')
export json

# Install the npm packages that a folder's lock file pins, once a build folder, and put the folder's programs beside them.
install_packages() { # source folder, target folder
    mkdir -p "$2"
    if ! cmp -s "$1/package-lock.json" "$2/installed"; then
        cp "$1/package.json" "$1/package-lock.json" "$2"
        if ! (cd "$2" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >"$scratch/npm.log" 2>&1); then
            not_ok "npm ci" "$(cat "$scratch/npm.log")"
            echo "1..$points"
            exit 1
        fi
        cp "$1/package-lock.json" "$2/installed"
    fi
    cp "$1"/*.* "$2"
}

# Take over the points that a script in another language printed.
relay() { # name, its output
    local line
    while IFS= read -r line; do
        case "$line" in
        "ok "*) ok "$1: ${line#ok * - }" ;;
        "not ok "*) not_ok "$1: ${line#not ok * - }" ;;
        "1.."*) ;;
        *) echo "# $line" ;;
        esac
    done <"$2"
}
