#!/bin/bash
# Replication as a service of the daemon: POST /_replicate, the database _replicator, _scheduler, _active_tasks, between
# databases of the daemon by name and by address, and across a restart.
# shellcheck source=tests/system/http_lib.sh
. "$(dirname "$0")/http_lib.sh"

start_daemon 0
until_true() { # command, at most 20 s
    local i
    for ((i = 0; i < 200; i++)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    return 1
}
replicate() { # JSON
    ask POST /_replicate "${json[@]}" --data-binary "$1"
}
has() { # database, id
    curl -sf "$url/$1/$2"
}
ask PUT /source
ask POST /source/_bulk_docs "${json[@]}" --data-binary '{"new_edits":false,"docs":[
    {"_id":"a","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},"n":123456789012345678901234567890},
    {"_id":"a","_rev":"2-c","_revisions":{"start":2,"ids":["c","a"]}},
    {"_id":"gone","_rev":"3-x","_deleted":true},
    {"_id":"with","_rev":"1-w","_attachments":{"x y/ä":{"content_type":"text/plain","data":"aGVsbG8="}}}]}'
gives 201 'length == 0' "a source with a conflict, a tombstone and an attachment"

# ---- one-shot
replicate '{"source":"source","target":"by-name"}'
gives 404 '.error == "db_not_found"' "a target that is not there"
replicate '{"source":"source","target":"by-name","create_target":true}'
gives 200 '.ok and (.history[0] | .docs_written == 4 and .doc_write_failures == 0) and .source_last_seq != null' "from name to name"
replicate '{"source":"source","target":"by-name"}'
gives 200 '.ok and .no_changes and (.history | length == 1)' "again: no changes"
replicate "{\"source\":\"$url/source\",\"target\":\"pulled\",\"create_target\":true}"
gives 200 '.ok and .history[0].docs_written == 4' "a pull from an address"
replicate "{\"source\":{\"url\":\"$url/source\"},\"target\":{\"url\":\"$url/pushed\"},\"create_target\":true}"
gives 200 '.ok and .history[0].docs_written == 4' "from address to address"
replicate "{\"source\":\"source\",\"target\":\"$url/sent\",\"create_target\":true}"
gives 200 '.ok and .history[0].docs_written == 4' "a push to an address"
for target in by-name pulled pushed sent; do
    ask GET "/$target/a?conflicts=true"
    gives 200 '._rev == "2-c" and ._conflicts == ["2-b"]' "$target has the conflict"
    ask GET "/$target/a?rev=2-b"
    equals "$(grep -c '"n":123456789012345678901234567890' <<<"$body")" 1 "$target has the number as it was"
    ask GET "/$target/with/x%20y/%C3%A4"
    equals "$body" hello "$target has the attachment"
    ask GET "/$target"
    gives 200 '.doc_count == 2 and .doc_del_count == 1' "$target has the tombstone"
done
replicate '{"source":"source","target":"chosen","create_target":true,"doc_ids":["with","nothing"]}'
gives 200 '.history[0].docs_written == 1' "doc_ids"
replicate "{\"source\":\"$url/source\",\"target\":\"chosen2\",\"create_target\":true,\"doc_ids\":[\"with\",\"nothing\"]}"
gives 200 '.history[0].docs_written == 1' "doc_ids of an address"
# shellcheck disable=SC2016
replicate '{"source":"source","target":"chosen3","create_target":true,"selector":{"_id":{"$gt":"b"}}}'
gives 200 '.history[0].docs_written == 2' "a selector"

# ---- what is no replication
for wrong in '{}' '{"source":"source"}' '{"source":7,"target":"x"}' '{"source":"source","target":{"no":"url"}}' \
    '{"source":"source","target":"source"}' '{"source":"source","target":"http://"}' \
    '{"source":"source","target":"x","continuous":"yes"}' '{"source":"source","target":"x","doc_ids":{}}' \
    '{"source":"source","target":"x","doc_ids":["a"],"selector":{}}' \
    '{"source":{"url":"http://127.0.0.1:1/x","headers":{"A":"b\r\nC: d"}},"target":"x"}'; do
    replicate "$wrong"
    gives 400 '.error == "bad_request"' "refused: $wrong"
done
replicate '{"source":"http://127.0.0.1:1/db","target":"source"}'
gives 500 '.reason | contains("cannot be reached")' "a peer that is not there"
replicate '{"source":"_users","target":"source"}'
gives 401 '' "_users does not leave"
ask GET /_replicate
gives 405 '' "GET is not for _replicate"

# ---- continuous, and its end
replicate '{"source":"source","target":"by-name","continuous":true}'
gives 202 '.ok and (._local_id | endswith("+continuous"))' "a continuous one is accepted"
id=$(jq -r ._local_id <<<"$body")
ask PUT /source/later "${json[@]}" --data-binary '{"x":1}'
until_true has by-name later
ask GET /by-name/later
gives 200 '.x == 1' "it brings later changes"
ask GET /_scheduler/jobs
gives 200 ".total_rows == 1 and (.jobs[0] | .id == \"$id\" and .source == \"source\" and .doc_id == null and .info.docs_written == 1)" "it is in _scheduler/jobs"
ask GET "/_scheduler/jobs/${id/+/%2B}"
gives 200 ".id == \"$id\"" "also by its id"
ask GET /_active_tasks
gives 200 '.[0] | .type == "replication" and .continuous and .target == "by-name"' "it is in _active_tasks"
replicate '{"source":"source","target":"by-name","continuous":true,"cancel":true}'
gives 200 '.ok' "it is cancelled"
replicate "{\"replication_id\":\"$id\",\"cancel\":true}"
gives 404 '' "and is not there any more"

# ---- documents of _replicator
ask PUT /_replicator/once "${json[@]}" --data-binary '{"source":"source","target":"from-doc","create_target":true}'
gives 201 '.ok' "a document asks for a replication"
ask PUT /_replicator/always "${json[@]}" --data-binary "{\"source\":\"$url/source\",\"target\":\"live\",\"create_target\":true,\"continuous\":true}"
ask PUT /_replicator/wrong "${json[@]}" --data-binary '{"source":"source"}'
ask PUT /_replicator/crash "${json[@]}" --data-binary '{"source":"nothing","target":"source"}'
state() { # document, state
    [ "$(curl -s "$url/_replicator/$1" | jq -r ._replication_state)" = "$2" ]
}
until_true state once completed
ask GET /_replicator/once
gives 200 '._replication_state == "completed" and ._replication_stats.docs_written == 5 and (._replication_state_time | endswith("Z"))' "it is told that it is completed"
until_true state wrong failed
ask GET /_replicator/wrong
gives 200 '._replication_state == "failed" and (._replication_state_reason | contains("target"))' "and why another has failed"
until_true has live later
ask GET /_scheduler/docs
gives 200 '[.docs[] | {(.doc_id): .state}] | add == {once: "completed", always: "running", wrong: "failed", crash: "crashing"}' "_scheduler/docs has the states"
ask GET /_scheduler/docs/_replicator/always
gives 200 '.state == "running" and .database == "_replicator" and .error_count == 0' "also of one document"

# ---- a restart: what was running goes on, what was completed stays so
stop_daemon
start_daemon "$port"
ask PUT /source/after "${json[@]}" --data-binary '{"x":2}'
until_true has live after
ask GET /live/after
gives 200 '.x == 2' "after a restart the continuous one goes on"
ask GET /_scheduler/docs/_replicator/once
gives 200 '.state == "completed"' "the completed one stays completed"
ask GET /from-doc/after
gives 404 '' "and did not run again"
rev=$(rev_of /_replicator/always)
ask DELETE "/_replicator/always?rev=$rev"
gone() { [ "$(curl -s -o "$scratch/gone" -w '%{http_code}' "$url/_scheduler/docs/_replicator/always")" = 404 ]; }
until_true gone
ask GET /_scheduler/docs/_replicator/always
gives 404 '' "a deleted document ends its replication"
ask PUT "/_replicator/once?rev=$(rev_of /_replicator/once)" "${json[@]}" --data-binary '{"source":"source","target":"from-doc"}'
until_true has from-doc after
ask GET /from-doc/after
gives 200 '.x == 2' "a document without its state begins again"

# ---- only for administrators
stop_daemon
sed -i '/open = loopback/d' "$scratch/qosidd.conf"
printf 'secret\n' >"$scratch/password"
"$QOSID_BUILD/qosidd" -c "$scratch/qosidd.conf" >"$scratch/daemon.log" 2>&1 </dev/null &
daemon_pid=$!
until_true curl -sf "$url/"
for path in /_replicator /_replicator/once /_scheduler/jobs /_scheduler/docs /_active_tasks; do
    ask GET "$path"
    gives 401 '.error == "unauthorized"' "not for everybody: GET $path"
done
replicate '{"source":"source","target":"x","create_target":true}'
gives 401 '' "not for everybody: _replicate"

echo "1..$points"
