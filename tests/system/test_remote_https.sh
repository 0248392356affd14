#!/bin/bash
# Remotes over https with a real nginx, fcgiwrap and git http-backend under a private authority: certificates, logins,
# redirects, failures, and exchanges.
# shellcheck source=tests/system/cli_lib.sh
. "$(dirname "$0")/cli_lib.sh"

PATH=$PATH:/usr/sbin
for program in nginx fcgiwrap openssl; do
    command -v "$program" >/dev/null || { echo "1..0 # skip there is no $program"; exit 0; }
done
unset https_proxy HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY
export HOME=$scratch/home
mkdir "$HOME"
git config --global init.defaultBranch main
pids=()
stop_all() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    wait
    rm -rf "$scratch"
}
trap stop_all EXIT

# ---- an authority, and certificates: right, for another name, expired, for a client ----
cd "$scratch" || exit 1
new_key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }
authority() { # name
    new_key "$1.key"
    openssl req -x509 -new -key "$1.key" -subj "/CN=Test Authority $1" -days 30 -out "$1.pem" 2>/dev/null
    : >"$1.index"
    printf '[ca]\ndatabase=%s.index\nnew_certs_dir=.\ndefault_md=sha256\npolicy=any\nunique_subject=no\nrand_serial=yes\n[any]\ncommonName=supplied\n' "$1" >"$1.conf"
}
certificate() { # authority, name of files, subjectAltName, first and last day
    new_key "$2.key"
    chmod 600 "$2.key"
    openssl req -new -key "$2.key" -subj "/CN=$2" -out "$2.csr" 2>/dev/null
    printf 'subjectAltName=%s\n' "$3" >"$2.ext"
    openssl ca -config "$1.conf" -name ca -cert "$1.pem" -keyfile "$1.key" -in "$2.csr" -out "$2.pem" -batch -notext \
        -extfile "$2.ext" -startdate "${4:-20200101000000Z}" -enddate "${5:-20400101000000Z}" 2>>openssl.log || {
        echo "Bail out! $(cat openssl.log)"
        exit 1
    }
}
authority ca
authority foreign
certificate ca good DNS:localhost
certificate ca wrong DNS:example.org
certificate ca old DNS:localhost 20200101000000Z 20210101000000Z
certificate ca office DNS:office
certificate foreign stranger DNS:office

git init -q --bare hub.git
git -C hub.git config http.receivepack true
git init -q --bare read.git
printf 'office:%s\n' "$(openssl passwd -apr1 s3cret)" >htpasswd

# ---- the server: one port for each thing that can be so or otherwise ----
fcgiwrap -s "unix:$scratch/fcgi.sock" 2>fcgi.log &
pids+=("$!")
server() { # offset, certificate, more...
    printf 'server { listen 127.0.0.1:%d ssl http2; ssl_certificate %s.pem; ssl_certificate_key %s.key; %s }\n' \
        "$((base + $1))" "$scratch/$2" "$scratch/$2" "$3"
}
write_config() {
    local git
    # shellcheck disable=SC2016 # nginx has variables of its own
    git='location ~ ^/git(/.*)$ { client_max_body_size 0; fastcgi_pass unix:'$scratch'/fcgi.sock;
        gzip on; gzip_types application/x-git-upload-pack-advertisement application/x-git-upload-pack-result;
        fastcgi_param SCRIPT_FILENAME '$(git --exec-path)'/git-http-backend; fastcgi_param GIT_HTTP_EXPORT_ALL 1;
        fastcgi_param GIT_PROJECT_ROOT '$scratch'; fastcgi_param PATH_INFO $1; fastcgi_param QUERY_STRING $query_string;
        fastcgi_param REQUEST_METHOD $request_method; fastcgi_param CONTENT_TYPE $content_type;
        fastcgi_param CONTENT_LENGTH $content_length; fastcgi_param REMOTE_USER $remote_user; }'
    [ "$(id -u)" != 0 ] || echo "user root;"
    cat <<END
daemon off; master_process off; pid $scratch/nginx.pid; error_log $scratch/nginx.log;
events { worker_connections 64; }
http {
    log_format short '"\$request" "\$sent_http_content_encoding"';
    access_log $scratch/access.log short;
    client_body_temp_path $scratch/t1; proxy_temp_path $scratch/t2; fastcgi_temp_path $scratch/t3; uwsgi_temp_path $scratch/t4;
    scgi_temp_path $scratch/t5;
END
    server 0 good "$git location /page/ { return 200 'hello'; } location /gone/ { return 502; } location /broken/ { return 500; }
        location /old/ { rewrite ^/old/(.*)\$ https://localhost:$base/git/\$1 permanent; }
        location /away/ { rewrite ^/away/(.*)\$ https://localhost:$((base + 1))/git/\$1 redirect; }
        location /plain/ { rewrite ^/plain/(.*)\$ http://localhost:$base/git/\$1 redirect; }"
    server 1 good "auth_basic x; auth_basic_user_file $scratch/htpasswd; $git"
    server 2 wrong "$git"
    server 3 old "$git"
    server 4 good "ssl_client_certificate $scratch/ca.pem; ssl_verify_client on; $git"
    server 5 good "${git/client_max_body_size 0/client_max_body_size 1}"
    server 6 good "ssl_protocols TLSv1.1; $git"
    echo "}"
}
for try in $(seq 20); do
    base=$((20000 + (RANDOM + try) % 20000))
    write_config >nginx.conf
    nginx -p "$scratch" -c "$scratch/nginx.conf" -e "$scratch/nginx.log" 2>>nginx.err &
    nginx_pid=$!
    for _ in $(seq 100); do
        (exec 3<>"/dev/tcp/127.0.0.1/$((base + 6))") 2>/dev/null && break 2
        kill -0 "$nginx_pid" 2>/dev/null || break
        sleep 0.05
    done
done
kill -0 "$nginx_pid" || { echo "Bail out! nginx does not start: $(cat nginx.log nginx.err)"; exit 1; }
pids+=("$nginx_pid")
at() { echo "https://localhost:$((base + $1))/${2:-git/hub.git}"; }

A=$scratch/a B=$scratch/b
"$qosid" init -q dushanbe "$A" || exit 1
a() { setsid -w "$qosid" -C "$A" "$@"; }
b() { setsid -w "$qosid" -C "$B" "$@"; }
ca=(--ca "$scratch/ca.pem")

# ---- certificates of the server ----
fails 5 "certificate of localhost does not hold" "without its authority the server is not trusted" a remote add no "$(at 0)"
says err "--ca FILE" "and the hint says how to trust it"
works "with it, it is" a remote add origin "$(at 0)" "${ca[@]}"
works "remote test finds nothing wrong" a remote test origin
run a --json remote test origin
json 'all(.[]; .ok) and (map(.check) == ["name","connection","host","login","repository","write","logs","clock"])' \
    "it says so of each thing that it tried"
json 'any(.[]; .check == "host" and (.text | contains("HTTP/2")))' "HTTP/2 is spoken where it is served"
fails 5 "does not hold" "another authority is not enough" a remote add no "$(at 0)" --ca "$scratch/foreign.pem"
fails 5 "does not hold" "a certificate for another name is refused" a remote add no "$(at 2)" "${ca[@]}"
fails 5 "expired" "an expired one, too" a remote add no "$(at 3)" "${ca[@]}"
run a remote add no "$(at 6)" "${ca[@]}"
exits 5 "TLS 1.1 is not spoken"
fails 2 "not spoken" "nor http" a remote add no "http://localhost:$base/git/hub.git"

# ---- client certificates ----
fails 5 "client certificate" "a server may want a client certificate" a remote add no "$(at 4)" "${ca[@]}"
works "and gets it" a remote add certified "$(at 4)" "${ca[@]}" --client-cert "$scratch/office.pem" --client-key "$scratch/office.key"
fails 5 "ertificate" "but not one of another authority" \
    a remote add no "$(at 4)" "${ca[@]}" --client-cert "$scratch/stranger.pem" --client-key "$scratch/stranger.key"

# ---- logins ----
printf 'office:s3cret\n' >token
printf 'office:wrong\n' >token.wrong
chmod 600 token token.wrong
cp token token.open
chmod 644 token.open
fails 5 "wants a login" "a server may want a login" a remote add no "$(at 1)" "${ca[@]}"
works "a token from a file is one" a remote add token "$(at 1)" "${ca[@]}" --token-file "$scratch/token"
fails 5 "does not accept the login" "a wrong one is refused" a remote add no "$(at 1)" "${ca[@]}" --token-file "$scratch/token.wrong"
fails 5 "others may read" "a file that others may read is refused" a remote add no "$(at 1)" "${ca[@]}" --token-file "$scratch/token.open"
printf 'https://office:s3cret@localhost%%3a%d\n' "$((base + 1))" >.git-credentials
works "a credential helper of git's gives one" \
    a remote add helped "$(at 1)" "${ca[@]}" --credential-helper "store --file $scratch/.git-credentials"
works "it is kept, since it was accepted" grep -q s3cret "$scratch/.git-credentials"
sed -i 's/s3cret/old/' .git-credentials
run a remote test helped
exits 5 "a login that has run out is refused"
equals "$(cat "$scratch/.git-credentials")" "" "and forgotten by the helper"
fails 2 "password" "a password in the URL is not taken" a remote add no "https://office:s3cret@localhost:$base/git/hub.git"
if grep -qr s3cret "$A"; then not_ok "no secret is in the space's folder"; else ok "no secret is in the space's folder"; fi

# ---- redirects and failures ----
works "a redirect within the server is followed" a remote add moved "$(at 0 old/hub.git)" "${ca[@]}"
fails 5 "leads elsewhere" "one to another server is not" a remote add no "$(at 0 away/hub.git)" "${ca[@]}" --token-file "$scratch/token"
fails 5 "leads elsewhere" "nor one to http" a remote add no "$(at 0 plain/hub.git)" "${ca[@]}"
fails 3 "there is no repository" "a repository that is not there" a remote add no "$(at 0 git/none.git)" "${ca[@]}"
fails 3 "nothing can be made" "cannot be made over https" a remote add no "$(at 0 git/none.git)" "${ca[@]}" --create
fails 1 "but not git" "a page is no repository" a remote add no "$(at 0 page/hub.git)" "${ca[@]}"
for case in 502:gone 500:broken; do
    run a remote add "${case#*:}" "$(at 0 "${case#*:}/hub.git")" "${ca[@]}"
    says err "(${case%:*}," "a failure of the server is named: ${case%:*}"
    run a sync "${case#*:}"
    exits 6 "and may pass: ${case%:*}"
done
works "a repository that may only be read can be added" a remote add readonly "$(at 0 git/read.git)" "${ca[@]}"
run a --json remote test readonly
exits 5 "remote test says that it may not be written to"
json 'any(.[]; .check == "write" and (.ok | not) and (.text | contains("403")))' "with the reason"

# ---- exchanges ----
head -c 3000000 /dev/urandom >photo
printf '{"name":"Rahimova"}' >family.json
"$qosid" -C "$A" put family-1 "$scratch/family.json" --attach "photo=$scratch/photo" >/dev/null
works "an exchange with 3 MB" a sync origin
"$qosid" -C "$A" invite --remote "$(at 1)" -q -o "$scratch/invitation"
"$qosid" join "$scratch/invitation" --office khujand -q -o "$scratch/request" "$B" >/dev/null 2>&1
"$qosid" -C "$A" admit "$scratch/request" -q --yes >/dev/null
works "the admission goes over a login" a sync token
b remote rm origin
works "the joiner logs in" b remote add origin "$(at 1)" "${ca[@]}" --token-file "$scratch/token"
works "and exchanges" b sync origin
"$qosid" -C "$B" get family-1 --attachment photo >photo.there
if cmp -s photo photo.there; then ok "all has arrived"; else not_ok "all has arrived"; fi
put "$B" family-2 '{"name":"Saidov"}' >/dev/null
works "one goes back" b sync origin
works "by HTTP/2 and a client certificate" a sync certified
equals "$("$qosid" -C "$A" get family-2 | jq -r .name)" Saidov "and is there"
equals "$(git -C hub.git fsck --full --strict 2>&1 | grep -v ^notice)" "" "stock git finds the repository sound"
works "lists of logs travel in gzip" grep -q 'POST /git/hub.git/git-upload-pack.*"gzip"' access.log

put "$A" family-3 '{"name":"Nazarov"}' >/dev/null
works "a server with a limit is added" a remote add small "$(at 5)" "${ca[@]}"
run a sync small
says err "(413)" "a request that is too large is named"
finish
