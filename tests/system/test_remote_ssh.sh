#!/bin/bash
# Remotes over ssh with a real sshd: first meeting, keys, refusals, a server that is down, and exchanges.
# shellcheck source=tests/system/cli_lib.sh
. "$(dirname "$0")/cli_lib.sh"

sshd=$(PATH=$PATH:/usr/sbin command -v sshd) || { echo "1..0 # skip there is no sshd"; exit 0; }
[ "$(id -u)" != 0 ] || mkdir -p /run/sshd
export XDG_CONFIG_HOME=$scratch
unset SSH_AUTH_SOCK
user=$(id -un)
pids=()
stop_all() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    wait
    rm -rf "$scratch"
}
trap stop_all EXIT

for key in host host2 office other; do ssh-keygen -q -t ed25519 -N '' -f "$scratch/$key" -C "$key"; done
cp "$scratch/office.pub" "$scratch/authorized"
fingerprint=$(ssh-keygen -lf "$scratch/host.pub" | cut -d' ' -f2)

# start_sshd HOSTKEY: on $port, or on a free one when that is empty; $sshd_pid. SHLVL keeps bash from reading the user's own
# startup files, whatever they do.
port=
start_sshd() {
    local try chosen
    for try in $(seq 30); do
        chosen=${port:-$((20000 + (RANDOM + try) % 20000))}
        cat >"$scratch/sshd_config" <<END
Port $chosen
ListenAddress 127.0.0.1
HostKey $scratch/$1
AuthorizedKeysFile $scratch/authorized
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AcceptEnv GIT_PROTOCOL
SetEnv SHLVL=3
END
        "$sshd" -D -e -f "$scratch/sshd_config" 2>"$scratch/sshd.log" &
        sshd_pid=$!
        for _ in $(seq 100); do
            if (exec 3<>"/dev/tcp/127.0.0.1/$chosen") 2>/dev/null && kill -0 "$sshd_pid" 2>/dev/null; then
                port=$chosen
                pids+=("$sshd_pid")
                return 0
            fi
            kill -0 "$sshd_pid" 2>/dev/null || break
            sleep 0.05
        done
    done
    echo "Bail out! sshd does not start: $(cat "$scratch/sshd.log")"
    exit 1
}
stop_sshd() {
    kill "$sshd_pid"
    wait "$sshd_pid" 2>/dev/null
}

start_sshd host
hub=ssh://$user@127.0.0.1:$port$scratch/hub.git
A=$scratch/a B=$scratch/b
"$qosid" init -q dushanbe "$A" || exit 1
key=(--ssh-key "$scratch/office")
# Without a terminal: nobody is there to say yes.
a() { setsid -w "$qosid" -C "$A" "$@"; }
b() { setsid -w "$qosid" -C "$B" "$@"; }

# ---- meeting a server for the first time ----
fails 5 "$fingerprint" "an unknown host is not spoken to, and its fingerprint is shown" a remote add origin "$hub" "${key[@]}"
says err "--fingerprint $fingerprint" "and what to do about it"
run a remote ls
equals "$(cat "$scratch/out")" "" "nothing was stored"
if [ ! -e "$A/known_hosts" ]; then ok "no key was trusted"; else not_ok "no key was trusted" "$(cat "$A/known_hosts")"; fi
fails 5 "another key" "a fingerprint that is not the host's is refused" \
    a remote add origin "$hub" "${key[@]}" --fingerprint "SHA256:$(printf 'A%.0s' {1..43})"
if [ ! -e "$A/known_hosts" ]; then ok "and not trusted"; else not_ok "and not trusted"; fi
fails 3 "there is no repository" "confirmed, the host says that there is no repository" \
    a remote add origin "$hub" "${key[@]}" --fingerprint "$fingerprint"
equals "$(ssh-keygen -lf "$A/known_hosts" | cut -d' ' -f2)" "$fingerprint" "stock ssh-keygen reads the key that was stored"
works "remote add --create makes the repository" a remote add origin "$hub" "${key[@]}" --create
equals "$(git -C "$scratch/hub.git" rev-parse --is-bare-repository)" true "it is a bare one"
run a remote ls
says out "origin" "the remote is listed"
fails 4 "there already" "a second one of the same name is not added" a remote add origin "$hub" "${key[@]}"

# ---- remote test ----
run a --json remote test origin
exits 0 "remote test finds nothing wrong"
json 'all(.[]; .ok) and (map(.check) == ["name","connection","host","login","repository","write","logs"])' \
    "it says so of each thing that it tried"

# ---- keys ----
fails 5 "does not let this office in" "a key that the server does not know is refused" \
    a remote add wrong "$hub" --ssh-key "$scratch/other"
eval "$(ssh-agent -s)" >/dev/null
agent_pid=$SSH_AGENT_PID
pids+=("$agent_pid")
ssh-add -q "$scratch/office"
works "a key in the agent is used" a remote add agent "$hub"
kill "$agent_pid"
unset SSH_AUTH_SOCK SSH_AGENT_PID
works "a remote is removed" a remote rm agent
equals "$(git config -f "$A/config" --get-regexp '^remote\.agent')" "" "with all its settings"
chmod 644 "$scratch/office"
fails 5 "others may read" "a key file that others may read is refused" a remote add open "$hub" "${key[@]}"
chmod 600 "$scratch/office"

# ---- an exchange and back ----
works "an exchange brings the logs there" a sync origin
"$qosid" -C "$A" invite --remote "$hub" -q -o "$scratch/invitation"
"$qosid" join "$scratch/invitation" --office khujand -q -o "$scratch/request" "$B" >/dev/null 2>&1
"$qosid" -C "$A" admit "$scratch/request" -q --yes >/dev/null
put "$A" family-1 '{"name":"Rahimova","members":5}' >/dev/null
works "the steward sends a record and the admission" a sync origin
run b remote test origin
exits 5 "the joiner does not know the host yet"
b remote rm origin
works "and confirms it" b remote add origin "$hub" "${key[@]}" --fingerprint "$fingerprint"
works "the joiner's exchange" b sync origin
equals "$("$qosid" -C "$B" get family-1 | jq -r .name)" Rahimova "the record has arrived"
put "$B" family-2 '{"name":"Saidov","members":3}' >/dev/null
works "the joiner sends one back" b sync origin
works "and it is fetched" a sync origin
equals "$("$qosid" -C "$A" get family-2 | jq -r .name)" Saidov "it has arrived, too"
equals "$(git -C "$scratch/hub.git" fsck --full --strict 2>&1 | grep -v ^notice)" "" "stock git finds the repository sound"
run a --json remote test origin
json 'any(.[]; .check == "logs" and (.text | contains("by members of this space")))' "remote test sees the space's logs"

# ---- git-shell ----
if command -v git-shell >/dev/null; then
    # shellcheck disable=SC2016 # it is for the shell there
    printf 'command="git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"" %s\n' "$(cat "$scratch/office.pub")" >"$scratch/authorized"
    put "$A" family-3 '{"name":"Nazarov"}' >/dev/null
    works "git-shell is enough for an exchange" a sync origin
    fails 5 "refuses" "but makes no repository" a remote add new "$hub-new" "${key[@]}" --create
    says err "git init --bare" "and the hint says how to"
    cp "$scratch/office.pub" "$scratch/authorized"
fi

# ---- a server that is another, or down ----
stop_sshd
start_sshd host2
run a sync origin
exits 5 "a changed host key is refused"
says err "HAS CHANGED" "loudly"
run a --json remote test origin
json 'any(.[]; .check == "host" and (.ok | not) and (.text | contains("HAS CHANGED")))' "remote test says it, too"
stop_sshd
run a sync origin
exits 6 "a server that is down: try later"
says err "cannot be reached" "in plain words"
run a remote add later "$hub" "${key[@]}"
exits 0 "a remote that is down can be added"
says err "test later" "and is to be tested later"

# ---- nothing is left ----
# shellcheck disable=SC2009 # pgrep does not show arguments with their separators
equals "$(ps -eo args | grep -F "$scratch" | grep -F -- -oBatchMode | grep -cv grep)" 0 "no ssh is left behind"
finish
