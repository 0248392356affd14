#!/bin/bash
# Who may do what over HTTP: administrators, users, sessions, _security, the unix socket, and those who try without.
# shellcheck source=tests/system/http_lib.sh
. "$(dirname "$0")/http_lib.sh"

conf=$scratch/qosidd.conf
printf '[http]\n\tdataDir = %s\n\tlisten = 127.0.0.1:0\n\tsocket = %s\n\torigin = https://app.example\n' \
    "$scratch/data" "$scratch/socket" >"$conf"

start_closed() { # a daemon that is not open
    "$QOSID_BUILD/qosidd" -c "$conf" >"$scratch/daemon.log" 2>&1 </dev/null &
    daemon_pid=$!
    port=
    for _ in $(seq 300); do
        port=$(sed -n 's/.*serving HTTP.* port=\([0-9]*\).*/\1/p' "$scratch/daemon.log")
        [ -n "$port" ] && break
        sleep 0.05
    done
    url=http://127.0.0.1:$port
}

# ---- nobody is let in
start_closed
case "$(cat "$scratch/daemon.log")" in
*"there is no administrator yet"*"--add-admin NAME"*) ok "the first start says how to make an administrator" ;;
*) not_ok "the first start says how to make an administrator" "$(cat "$scratch/daemon.log")" ;;
esac
ask GET /
gives 200 '.couchdb == "Welcome" and (.uuid | length == 32) and .version == "3.5.0" and .vendor.name == "Qosid"' "everybody is welcomed"
uuid=$(jq -r .uuid <"$scratch/body")
ask GET /_up
gives 200 '.status == "ok"' "and told that the server is up"
ask GET /_session
gives 200 '.ok and .userCtx == {"name":null,"roles":[]}' "and that nobody has logged in"
for path in /_all_dbs /_uuids /_users /db /db/doc /_node/_local/_config /_active_tasks /_nothing /%5Fall_dbs /_users/_all_docs; do
    ask GET "$path"
    gives 401 '.error == "unauthorized"' "GET $path needs a login"
done
ask PUT /db
gives 401 '.error == "unauthorized"' "so does making a database"
ask PUT /_users/org.couchdb.user:eve "${json[@]}" -d '{"name":"eve","type":"user","roles":[],"password":"x"}'
gives 401 '.error == "unauthorized"' "and signing up"
ask GET / -H 'Host: evil.example'
gives 421 .error "a Host that is not this server's is refused"

# ---- administrators
printf 'first secret\n' | "$QOSID_BUILD/qosidd" -c "$conf" --add-admin 'root admin' 2>"$scratch/err"
equals "$? $(cat "$scratch/err")" "0 " "--add-admin makes an administrator, also while the daemon runs"
equals "$(stat -c %a "$scratch/data/admins" "$scratch/data/session-secret" | sort -u)" 600 "only the owner can read hashes and the secret"
if grep -q 'first secret' -r "$scratch/data"; then not_ok "the password is stored nowhere"; else ok "the password is stored nowhere"; fi
admin=(-u 'root admin:first secret')
ask GET /_session "${admin[@]}"
gives 200 '.userCtx == {"name":"root admin","roles":["_admin"]} and .info.authenticated == "default"' "who can log in by basic authentication"
ask GET /_all_dbs -u 'root admin:wrong'
gives 401 '.reason == "Name or password is incorrect."' "but not with a wrong password"
ask GET / -u 'root admin:wrong'
gives 401 .error "which is refused everywhere"
ask GET / -H 'Authorization: Basic !!!!'
gives 401 .error "as is what is no basic authentication"
ask PUT /db "${admin[@]}"
gives 201 .ok "an administrator makes databases"
ask GET /db/_security "${admin[@]}"
gives 200 '. == {"members":{"roles":["_admin"]},"admins":{"roles":["_admin"]}}' "which at first are administrators' alone"
ask PUT /_node/_local/_config/admins/second "${admin[@]}" -d '"two"'
gives 200 '. == ""' "an administrator makes another as CouchDB's tools do"
ask GET /_node/_local/_config/admins -u second:two
gives 200 'has("second") and (tostring | contains("argon2id$") | not)' "whose hash is shown to nobody"
ask DELETE /_node/_local/_config/admins/second "${admin[@]}"
gives 200 . "and removes him"
ask GET /_all_dbs -u second:two
gives 401 .error "who then cannot log in"
ask PUT /_node/_local/_config/log/level "${admin[@]}" -d '"debug"'
gives 403 .error "other settings are not changed over HTTP"

# ---- users
user() { # name, further members: the user document
    printf '{"name":"%s","type":"user","roles":["clerk"],"password":"pw of %s"%s}' "$1" "$1" "${2:-}"
}
ask PUT /_users/org.couchdb.user:ann "${admin[@]}" "${json[@]}" -d "$(user ann)"
gives 201 .ok "an administrator makes a user"
ask POST /_users "${admin[@]}" "${json[@]}" -d "{\"_id\":\"org.couchdb.user:bob\",$(user bob | cut -c2-)"
gives 201 .ok "also by POST"
ask POST /_users/_bulk_docs "${admin[@]}" "${json[@]}" -d "{\"docs\":[{\"_id\":\"org.couchdb.user:cy\",$(user cy | cut -c2-)]}"
gives 201 '.[0].ok' "and by _bulk_docs"
if grep -q 'pw of' -r "$scratch/data"; then not_ok "no password is stored"; else ok "no password is stored"; fi
ask GET /_users/org.couchdb.user:ann "${admin[@]}"
gives 200 '(has("password") or has("derived_key") or has("hash") | not) and .password_scheme == "argon2id"' "a password and its hash are never shown"
ask GET "/_users/_all_docs?include_docs=true" "${admin[@]}"
gives 200 '.total_rows == 3 and (tostring | contains("argon2id$") | not)' "not in lists either"
ask PUT /_users/_design/all "${admin[@]}" "${json[@]}" -d '{"views":{"by":{"map":"function (doc) { emit(doc.name, null); }"}}}'
ask GET "/_users/_design/all/_view/by" -u 'ann:pw of ann'
gives 403 '.error == "forbidden"' "a view of all users is for administrators only"
ask GET "/_users/_design/all/_view/by" "${admin[@]}"
gives 200 '.total_rows == 3' "who can read it"
ask GET /_users/_design/all "${admin[@]}"
ask DELETE "/_users/_design/all?rev=$(jq -r ._rev <<<"$body")" "${admin[@]}"
ask GET /_users/_local_docs "${admin[@]}"
gives 200 '.rows == []' "nor among local documents"
while read -r name document; do
    ask PUT "/_users/org.couchdb.user:$name" "${admin[@]}" "${json[@]}" -d "$document"
    case $code in 400 | 403) ok "refused as a user document: $document" ;; *) not_ok "refused: $document" "$code $body" ;; esac
done <<'END'
a {"name":"b","type":"user","roles":[]}
a {"name":"a","roles":[]}
a {"name":"a","type":"user"}
a {"name":"a","type":"user","roles":"x"}
a {"name":"a","type":"user","roles":[1]}
a {"name":"a","type":"user","roles":["_admin"],"password":"x"}
a {"name":"a","type":"user","roles":["_admin"],"roles":[],"password":"x"}
a {"name":"a","type":"user","roles":[],"\u0072oles":["_admin"],"password":"x"}
a {"name":"a","type":"user","roles":[],"password":""}
a {"name":"a","type":"user","roles":[],"password":17}
a {"name":"a","type":"user","roles":[],"password":"a\u0000b"}
a%3Ab {"name":"a:b","type":"user","roles":[],"password":"x"}
END
ask GET /_session -u 'ann:pw of ann'
gives 200 '.userCtx == {"name":"ann","roles":["clerk"]}' "a user logs in"
ann=(-u 'ann:pw of ann')
ask GET /_all_dbs "${ann[@]}"
gives 401 .error "and sees no list of databases"
ask GET /_node/_local/_config "${ann[@]}"
gives 401 .error "no configuration"
ask PUT /anns "${ann[@]}"
gives 401 .error "makes no database"
ask GET /db "${ann[@]}"
gives 403 '.error == "forbidden"' "and sees nobody else's"
ask GET /_users/org.couchdb.user:ann "${ann[@]}"
gives 200 '.name == "ann"' "but reads his own document"
rev=$(jq -r ._rev <"$scratch/body")
ask GET /_users/org.couchdb.user:bob "${ann[@]}"
gives 404 '.reason == "missing"' "not another's"
for path in _all_docs _changes _local_docs _security _design_docs _find _bulk_get org.couchdb.user:bob/att; do
    ask GET "/_users/$path" "${ann[@]}"
    gives 403 .error "nor $path of _users"
done
ask POST /_users/_bulk_docs "${ann[@]}" "${json[@]}" -d '{"docs":[]}'
gives 403 .error "nor writes in bulk there"
ask PUT /_users/org.couchdb.user:dan "${ann[@]}" "${json[@]}" -d "$(user dan)"
gives 404 '.reason == "missing"' "nor makes another user"
ask DELETE "/_users/org.couchdb.user:bob?rev=1-abc" "${ann[@]}"
gives 404 '.reason == "missing"' "nor deletes one"
ask PUT "/_users/org.couchdb.user:ann?rev=$rev" "${ann[@]}" "${json[@]}" -d '{"name":"ann","type":"user","roles":["clerk","boss"]}'
gives 403 '.reason == "Only _admin may edit roles"' "nor takes a role"
ask PUT "/_users/org.couchdb.user:ann?rev=$rev" "${ann[@]}" "${json[@]}" -d '{"name":"ann","type":"user","roles":["clerk"],"password":"new one"}'
gives 201 .ok "but changes his own password"
ask GET /_session "${ann[@]}"
gives 401 .error "the old one is then wrong"
ann=(-u 'ann:new one')
ask GET /_session "${ann[@]}"
gives 200 '.userCtx.name == "ann"' "the new one right"

# ---- sessions
ask POST /_session --data-urlencode 'name=ann' --data-urlencode 'password=new one'
gives 200 '. == {"ok":true,"name":"ann","roles":["clerk"]}' "POST _session logs in by a form"
cookie=$(header Set-Cookie)
case "$cookie" in
AuthSession=*"; Path=/"*"; HttpOnly; SameSite=Strict") ok "the cookie is HttpOnly and SameSite=Strict" ;;
*) not_ok "the cookie is HttpOnly and SameSite=Strict" "$cookie" ;;
esac
cookie=${cookie%%;*}
ask POST /_session "${json[@]}" -H 'X-Forwarded-Proto: https' -d '{"name":"ann","password":"new one"}'
gives 200 .ok "or by JSON"
case "$(header Set-Cookie)" in *"; Secure") ok "behind TLS it is Secure" ;; *) not_ok "behind TLS it is Secure" "$(header Set-Cookie)" ;; esac
ask GET /_session -H "Cookie: other=1; $cookie"
gives 200 '.userCtx.name == "ann" and .info.authenticated == "cookie"' "the cookie says who it is"
ask GET /_session -H "Cookie: ${cookie}AA"
gives 200 '.userCtx.name == null' "a forged one says nothing"
ask GET /_session -H 'Cookie: AuthSession=YWRtaW46MTox'
gives 200 '.userCtx.name == null' "nor does an invented one"
ask DELETE /_session -H "Cookie: $cookie"
gives 200 .ok "DELETE _session logs out"
case "$(header Set-Cookie)" in "AuthSession=; "*"Max-Age=0;"*) ok "and takes the cookie away" ;; *) not_ok "and takes the cookie away" "$(header Set-Cookie)" ;; esac
ask POST /_session -d 'name=ann&password=wrong'
gives 401 '.reason == "Name or password is incorrect."' "a wrong password is told"
ask POST /_session -d 'name=ann'
gives 400 .error "as is a missing one"
ask POST /_session "${json[@]}" -d '{"name":"ann","password":"new one","name":"bob"}'
gives 400 .error "and a name given twice"
ask PUT /_session
gives 405 .error "PUT _session is no method"
rev=$(curl -sS "${admin[@]}" "$url/_users/org.couchdb.user:ann" | jq -r ._rev)
ask PUT "/_users/org.couchdb.user:ann?rev=$rev" "${admin[@]}" "${json[@]}" -d "$(user ann)"
ask GET /_session -H "Cookie: $cookie"
gives 200 '.userCtx.name == null' "a new password ends old sessions"
ann=(-u 'ann:pw of ann')

# ---- _security
ask PUT /db/_security "${admin[@]}" -d '{"admins":{"names":["bob"],"roles":[]},"members":{"names":[],"roles":["clerk"]}}'
gives 200 .ok "an administrator says whose the database is"
ask PUT /db/doc "${ann[@]}" -d '{"n":1}'
gives 201 .ok "then a member writes"
ask GET /db/doc "${ann[@]}"
gives 200 '.n == 1' "and reads"
ask GET /db/_security "${ann[@]}"
gives 200 '.admins.names == ["bob"]' "and sees who may"
ask PUT /db/_security "${ann[@]}" -d '{}'
gives 403 .error "but does not change it"
ask PUT /db/_design/d "${ann[@]}" -d '{}'
gives 403 .error "nor writes design documents"
ask DELETE /db "${ann[@]}"
gives 401 .error "nor deletes the database"
ask PUT /db/_design/d -u 'bob:pw of bob' -d '{}'
gives 201 .ok "the database's administrator does write them"
ask PUT /db/_security -u 'bob:pw of bob' -d '{"admins":{"names":["bob"]},"members":{"names":["bob"]}}'
gives 200 .ok "and changes its security"
ask GET /db/doc "${ann[@]}"
gives 403 .error "which shuts others out at once"
for bad in '[]' '"x"' '{"admins":[]}' '{"admins":{"names":"bob"}}' '{"members":{"roles":[1]}}' '{"admins":{"names":[]},"admins":{"names":["ann"]}}' '{'; do
    ask PUT /db/_security "${admin[@]}" -d "$bad"
    gives 400 .error "refused as a security object: $bad"
done
ask PUT /_users/_security "${admin[@]}" -d '{"members":{"roles":[]}}'
gives 403 .error "that of _users stays as it is"

# ---- the unix socket, pages of other origins, guesses, restart
unix=(--unix-socket "$scratch/socket")
ask GET /_session "${unix[@]}"
gives 200 '.userCtx.roles == ["_admin"] and .info.authenticated == "peer"' "the daemon's own user is administrator on the unix socket"
equals "$(stat -c %a "$scratch/socket")" 600 "which is for that user alone"
ask GET /_session "${unix[@]}" "${ann[@]}"
gives 200 '.userCtx.name == "ann"' "who may be another by logging in"
ask OPTIONS /db -H 'Origin: https://app.example' -H 'Access-Control-Request-Method: PUT'
gives 204 "" "a preflight needs no login"
ask DELETE /db "${admin[@]}" -H 'Origin: https://evil.example'
gives 403 .error "a page of another origin writes nothing, even with a login"
for _ in 1 2 3 4 5; do ask GET / -u bob:guess; done
ask GET / -u 'bob:pw of bob'
gives 403 '.error == "forbidden" and (.reason | contains("temporarily locked"))' "five wrong passwords make the next login wait"
ask GET /_session "${ann[@]}"
gives 200 '.userCtx.name == "ann"' "that of another does not"
ask POST /_session -d 'name=ann&password=pw of ann'
cookie=$(header Set-Cookie)
stop_daemon
start_closed
ask GET /_session -H "Cookie: ${cookie%%;*}"
gives 200 '.userCtx.name == "ann"' "a session outlives a restart"
ask GET /
gives 200 ".uuid == \"$uuid\"" "as does the server's uuid"
case "$(cat "$scratch/daemon.log")" in *"no administrator"*) not_ok "the advice is not repeated" ;; *) ok "the advice is not repeated" ;; esac

# ---- reloading, socket activation
host_status() { # a request by another name: allowed or not
    curl -sS -o "$scratch/body" -w '%{http_code}' -H 'Host: records.example' "$url/_up"
}
equals "$(host_status)" 421 "an unknown host name is refused"
sed -i "s,127.0.0.1:0,127.0.0.1:$port," "$conf"
printf '\thost = records.example\n' >>"$conf"
kill -HUP "$daemon_pid"
for _ in $(seq 200); do
    [ "$(host_status)" = 200 ] && break
    sleep 0.05
done
equals "$(host_status)" 200 "until the configuration has it and is read again"
ask GET /_session -H "Cookie: ${cookie%%;*}"
gives 200 '.userCtx.name == "ann"' "sessions go on"
stop_daemon
sed -i '/listen/d' "$conf"
cat >"$scratch/activate.py" <<'END'
import os, socket, sys
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
print(s.getsockname()[1], flush=True)
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[1], sys.argv[1:])
END
python3 "$scratch/activate.py" "$QOSID_BUILD/qosidd" -c "$conf" >"$scratch/port" 2>"$scratch/daemon.log" </dev/null &
daemon_pid=$!
for _ in $(seq 200); do
    grep -q 'serving HTTP' "$scratch/daemon.log" && break
    sleep 0.05
done
url=http://127.0.0.1:$(cat "$scratch/port")
ask GET /_session "${ann[@]}"
gives 200 '.userCtx.name == "ann"' "a socket that systemd hands over is served"

echo "1..$points"
