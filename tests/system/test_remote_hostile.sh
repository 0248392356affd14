#!/bin/bash
# Servers that accept and stay silent, drip, never end or lead in circles, over ssh and https: each costs the configured time
# and a bounded amount of memory; and the daemon stops in the middle of waiting for one.
# shellcheck source=tests/system/cli_lib.sh
. "$(dirname "$0")/cli_lib.sh"

unset https_proxy HTTPS_PROXY all_proxy ALL_PROXY SSH_AUTH_SOCK
qosidd=$QOSID_BUILD/qosidd
pids=()
stop_all() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    wait
    rm -rf "$scratch"
}
trap stop_all EXIT

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$scratch/key.pem" -out "$scratch/cert.pem" \
    -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 30 2>/dev/null || exit 1
cat >"$scratch/server.py" <<'END'
import os, socket, ssl, sys, threading, time, zlib
folder = sys.argv[1]
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
def note(name, text):
    open(folder + "/" + name + ".new", "w").write(text)
    os.rename(folder + "/" + name + ".new", folder + "/" + name)
def silent(c, port):
    note("met", "yes")
    time.sleep(600)
def drip(c, port):
    while True:
        c.send(b"x")
        time.sleep(0.2)
def answer(c, head, body):
    c.recv(65536)
    c.sendall(b"HTTP/1.1 " + head + b"\r\n\r\n")
    for piece in body:
        c.sendall(piece)
def forever(piece):
    while True:
        yield piece
def slow_head(c, port):
    c.recv(65536)
    c.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    drip(c, port)
def endless_head(c, port):
    c.recv(65536)
    c.sendall(b"HTTP/1.1 200 OK\r\n")
    for piece in forever(b"X: " + b"x" * 1000 + b"\r\n"):
        c.sendall(piece)
def endless_error(c, port):
    answer(c, b"500 Oops\r\nTransfer-Encoding: chunked", forever(b"400\r\n" + b"x" * 1024 + b"\r\n"))
def bomb(c, port):
    gzip = zlib.compressobj(9, zlib.DEFLATED, 31)
    def lines():
        yield gzip.compress(b"001e# service=git-upload-pack\n0000000eversion 2\n")
        while True:
            yield gzip.compress(b"0009abcde" * 100000)
    answer(c, b"200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\nContent-Encoding: gzip", lines())
def circle(c, port):
    answer(c, b"302 Found\r\nContent-Length: 0\r\nLocation: https://localhost:%d/x/info/refs?service=git-upload-pack" % port, [])
def serve(name, handle, secure):
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(50)
    port = s.getsockname()[1]
    def one(c):
        try:
            handle(tls.wrap_socket(c, server_side=True) if secure else c, port)
        except OSError:
            pass
        finally:
            c.close()
    def run():
        while True:
            threading.Thread(target=one, args=(s.accept()[0],), daemon=True).start()
    threading.Thread(target=run, daemon=True).start()
    note(name + ".port", str(port))
serve("silent", silent, False)
serve("drip", drip, False)
serve("tls_silent", silent, True)
for h in (slow_head, endless_head, endless_error, bomb, circle):
    serve(h.__name__, h, True)
note("ready", "yes")
time.sleep(600)
END
python3 "$scratch/server.py" "$scratch" &
pids+=("$!")
for _ in $(seq 200); do [ -e "$scratch/ready" ] && break; sleep 0.05; done

A=$scratch/a
"$qosid" init -q dushanbe "$A" || exit 1
# remote NAME SCHEME LISTENER: added by hand, as the guide says one can.
remote() {
    local port
    port=$(cat "$scratch/$3.port")
    git config -f "$A/config" "remote.$1.url" "$2://localhost:$port/x"
    git config -f "$A/config" "remote.$1.caFile" "$scratch/cert.pem"
    git config -f "$A/config" "remote.$1.idleTimeout" 1
    git config -f "$A/config" "remote.$1.totalTimeout" 2
}
# costs SECONDS NAME EXIT TEXT: an exchange with it ends in that time, in less than 400 MB, and so.
costs() {
    local begun
    begun=$(date +%s%N)
    run prlimit --as=400000000 "$qosid" -C "$A" sync "$2"
    begun=$((($(date +%s%N) - begun) / 1000000))
    if [ "$begun" -le $(($1 * 1000 + 1500)) ]; then ok "$2: it is over in time"; else not_ok "$2: it is over in time" "$begun ms"; fi
    exits "$3" "$2: exit status"
    says err "$4" "$2: in words"
}

if command -v ssh >/dev/null; then
    remote ssh-silent ssh silent
    costs 1 ssh-silent 6 "hint:"
    remote ssh-drip ssh drip
    costs 2 ssh-drip 6 "hint:"
fi
remote silent https silent
costs 1 silent 6 "silent for 1 s"
remote tls-silent https tls_silent
costs 1 tls-silent 6 "silent for 1 s"
remote drip https drip
costs 2 drip 6 "hint:"
remote slow-head https slow_head
costs 2 slow-head 6 "hint:"
remote endless-head https endless_head
costs 2 endless-head 6 "hint:"
remote endless-error https endless_error
costs 1 endless-error 6 "(500"
remote bomb https bomb
run prlimit --as=400000000 "$qosid" -C "$A" sync bomb
if [ "$status" != 0 ] && [ "$status" -lt 128 ]; then ok "bomb: is refused"; else not_ok "bomb: is refused" "status $status"; fi
remote circle https circle
costs 1 circle 5 "leads elsewhere"

# ---- the daemon ----
B=$scratch/b
"$qosid" init -q khujand "$B" || exit 1
git config -f "$B/config" remote.origin.url "https://localhost:$(cat "$scratch/tls_silent.port")/x"
git config -f "$B/config" remote.origin.caFile "$scratch/cert.pem"
printf '[space "b"]\n\tpath = %s\n' "$B" >"$scratch/conf"
rm -f "$scratch/met"
"$qosidd" -c "$scratch/conf" >"$scratch/qosidd.log" 2>&1 &
daemon=$!
pids+=("$daemon")
for _ in $(seq 200); do [ -e "$scratch/met" ] && break; sleep 0.05; done
if [ -e "$scratch/met" ]; then ok "the daemon meets a silent server"; else not_ok "the daemon meets a silent server" "$(cat "$scratch/qosidd.log")"; fi
begun=$(date +%s%N)
kill -TERM "$daemon"
wait "$daemon"
equals "$?" 0 "it ends when it is told to, in the middle of waiting"
begun=$((($(date +%s%N) - begun) / 1000000))
if [ "$begun" -le 2000 ]; then ok "at once"; else not_ok "at once" "$begun ms"; fi
if grep -q "exchange failed" "$scratch/qosidd.log"; then not_ok "and calls it no failure" "$(cat "$scratch/qosidd.log")"; else ok "and calls it no failure"; fi
finish
