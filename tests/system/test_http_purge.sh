#!/bin/bash
# _purge, _purged_infos and _purged_infos_limit with CouchDB's answers; lists, the changes feed and Mango forget; a purged
# revision of a published history does not come back by an exchange, and verify does not miss it.
# shellcheck disable=SC2016 # operators begin with a dollar sign
# shellcheck source=tests/system/http_lib.sh
. "$(dirname "$0")/http_lib.sh"
qosid=$QOSID_BUILD/qosid
a=$scratch/dushanbe
export HOME=$scratch

"$qosid" init -q dushanbe "$a" && "$qosid" -C "$a" -q remote add origin "$scratch/meeting.git" --create || exit 1
echo '{"n":1}' | "$qosid" -C "$a" -q put person - && echo '{"n":2}' | "$qosid" -C "$a" -q put other - || exit 1
"$qosid" -C "$a" -q sync || exit 1
# shellcheck disable=SC2034 # http_lib.sh reads it
daemon_http_config=$'\topen = loopback\n[space "db"]\n\tinterval = 1h\n\tpath = '$a$'\n'
start_daemon 0

post() { # path, body
    ask POST "$1" "${json[@]}" -d "$2"
}

ask GET /db/person
rev=$(jq -r ._rev <<<"$body")
ask GET /db
seq=$(jq -r .update_seq <<<"$body")
post /db/_index '{"index":{"fields":["n"]},"name":"n","ddoc":"n"}'
post /db/_find '{"selector":{"n":{"$gt":0}}}'
gives 200 '[.docs[]._id] == ["person","other"]' "an index has both"
ask PUT /db/_design/v "${json[@]}" -d '{"views":{"n":{"map":"function (doc) { if (doc.n) emit(doc.n, null); }","reduce":"_count"}}}'
ask GET '/db/_design/v/_view/n?reduce=false'
gives 200 '[.rows[].id] == ["person","other"]' "a view too"
post /db/_purge "{\"absent\":[\"$rev\"],\"person\":[\"7-abc\"]}"
gives 201 '. == {"purge_seq":null,"purged":{"absent":[],"person":[]}}' "what is no leaf is not purged"
ask GET /db/_purged_infos
gives 200 '. == {"purged_infos":[]}' "nothing was purged"
ask GET /db
gives 200 '.purge_seq | startswith("0-")' "purge_seq begins at 0"
post /db/_purge "{\"person\":[\"$rev\"]}"
gives 201 ". == {\"purge_seq\":null,\"purged\":{\"person\":[\"$rev\"]}}" "a leaf is purged"
ask GET /db/person
gives 404 '.reason == "missing"' "it is missing, not deleted"
ask GET "/db/person?rev=$rev"
gives 404 '.reason == "missing"' "nor is the revision there"
post /db/_find '{"selector":{"n":{"$gt":0}}}'
gives 200 '[.docs[]._id] == ["other"]' "the index has forgotten it"
ask GET '/db/_design/v/_view/n?reduce=false'
gives 200 '[.rows[].id] == ["other"]' "the view has forgotten it"
ask GET /db/_design/v/_view/n
gives 200 '.rows == [{"key":null,"value":1}]' "and its reduction"
ask GET /db/_all_docs
gives 200 '[.rows[].id] == ["_design/n","_design/v","other"]' "_all_docs too"
ask GET "/db/_changes?since=$seq"
gives 200 '[.results[].id] == ["_design/n","_design/v"] and .pending == 0' "the changes feed does not tell of it"
ask GET /db
gives 200 '.doc_count == 3 and .doc_del_count == 0 and (.purge_seq | startswith("0-") | not)' "the counts are right"
ask GET /db/_purged_infos
gives 200 ". == {\"purged_infos\":[{\"id\":\"person\",\"revs\":[\"$rev\"]}]}" "_purged_infos tells"
post /db/_revs_diff "{\"person\":[\"$rev\"]}"
gives 200 ".person.missing == [\"$rev\"]" "a replicator may bring it back"

# ---- one of two branches
post /db/_bulk_docs '{"new_edits":false,"docs":[{"_id":"c","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},"v":"b"},{"_id":"c","_rev":"2-c","_revisions":{"start":2,"ids":["c","a"]},"v":"c"}]}'
post /db/_purge '{"c":["2-c","1-a"]}'
gives 201 '.purged == {"c":["2-c"]}' "an ancestor of a leaf that stays is not purged"
ask GET "/db/c?conflicts=true&revs=true"
gives 200 '._rev == "2-b" and .v == "b" and (has("_conflicts") | not) and ._revisions == {"start":2,"ids":["b","a"]}' "the other branch is the document"

# ---- refusals
post /db/_purge '{"c":"2-b"}'
gives 400 '.error == "bad_request"' "revisions are a list"
post /db/_purge '{"c":["x"]}'
gives 400 '.error == "bad_request" and .reason == "Invalid rev format"' "of revisions"
post /db/_purge "$(jq -nc '[range(101) | {key: "d\(.)", value: ["1-a"]}] | from_entries')"
gives 400 '.reason == "Exceeded maximum number of documents."' "100 documents at most"
post /db/_purge "$(jq -nc '{d: [range(1001) | "1-\(.)"]}')"
gives 400 '.reason == "Exceeded maximum number of revisions."' "1000 revisions at most"
ask GET /db/_purge
gives 405 '.reason == "Only POST allowed"' "_purge is a POST"
ask PUT /db/_purged_infos "${json[@]}" -d 1
gives 405 "" "_purged_infos is a GET"
ask GET /db/_purged_infos_limit
gives 200 '. == 1000' _purged_infos_limit
ask PUT /db/_purged_infos_limit -d 0
gives 400 '.reason == "`purge_infos_limit` must be positive integer"' "is positive"
ask PUT /db/_purged_infos_limit -d 1
gives 200 .ok "and can be set"
ask GET /db/_purged_infos
gives 200 '[.purged_infos[].id] == ["c"]' "the newest are told"
stop_daemon

# ---- the history
if "$qosid" -C "$a" verify >"$scratch/out" 2>&1; then ok "verify does not miss it"; else not_ok "verify does not miss it" "$(cat "$scratch/out")"; fi
"$qosid" -C "$a" -q sync && "$qosid" -C "$a" -q sync
if "$qosid" -C "$a" get person >"$scratch/out" 2>&1; then not_ok "an exchange does not bring it back" "$(cat "$scratch/out")"; else ok "an exchange does not bring it back"; fi
if "$qosid" -C "$a" verify >"$scratch/out" 2>&1; then ok "verify after an exchange"; else not_ok "verify after an exchange" "$(cat "$scratch/out")"; fi
echo "1..$points"
