#!/bin/bash
# Views over HTTP, with the real daemon and the real script process: what CouchDB's own tests of views ask (basics, collation,
# several keys, group levels, reduce=false, include_docs and linked documents, update_seq, stale), its errors, and functions that throw,
# loop and overflow.
# shellcheck disable=SC2016 # no expansion is meant in JavaScript
# shellcheck source=tests/system/http_lib.sh
. "$(dirname "$0")/http_lib.sh"
start_daemon 0

post() { # path, body
    ask POST "$1" "${json[@]}" -d "$2"
}

design() { # database, name, views, other members
    ask PUT "/$1/_design/$2" "${json[@]}" -d "{\"language\":\"javascript\",\"views\":$3${4:-}}"
    [ "$code" = 201 ] || not_ok "design document $2" "$body"
}

# ---- basics
ask PUT /db
jq -nc '{docs: [range(1; 11) | {_id: "\(.)", integer: ., string: "\(.)"}]}' >"$scratch/docs"
ask POST /db/_bulk_docs "${json[@]}" -d @"$scratch/docs"
design db basic '{"all":{"map":"function(doc) { emit(doc.integer, null); emit(doc.integer, null); }"},"modern":{"map":"(doc) => { const {integer: n} = doc; emit([n % 3, n], n); }","reduce":"_sum"},"own":{"map":"function(doc) { emit([doc.integer % 2, doc.integer], doc.integer); }","reduce":"function(keys, values, rereduce) { return sum(values); }"},"nothing":{"map":"function(doc) { throw new Error(\"no\"); }"}}'
ask GET /db/_design/basic/_view/all
gives 200 '.total_rows == 20 and .offset == 0 and ([.rows[].key] == ([range(1;11)] | map(., .))) and .rows[0] == {"id":"1","key":1,"value":null}' "a document may emit a row twice"
etag=$(header ETag)
ask GET /db/_design/basic/_view/all -H "If-None-Match: $etag"
equals "$code" 304 "If-None-Match is heeded"
ask GET '/db/_design/basic/_view/all?startkey=4&endkey=5'
gives 200 '.offset == 6 and .total_rows == 20 and [.rows[].key] == [4,4,5,5]' "a range, and its offset"
ask GET '/db/_design/basic/_view/all?startkey=5&endkey=4&descending=true&skip=1'
gives 200 '.offset == 11 and [.rows[].key] == [5,4,4]' "descending, with skip"
ask GET '/db/_design/basic/_view/all?key=7&limit=1'
gives 200 '.offset == 12 and (.rows | length) == 1' "one key"
ask GET '/db/_design/basic/_view/all?startkey=4&endkey=5&inclusive_end=false'
gives 200 '[.rows[].key] == [4,4]' "inclusive_end"
ask GET '/db/_design/basic/_view/all?key=99'
gives 200 '.offset == 20 and .rows == []' "no row"
ask GET /db/_design/basic/_view/nothing
gives 200 '. == {"total_rows":0,"offset":0,"rows":[]}' "a function that throws emits nothing"
ask DELETE "/db/4?rev=$(rev_of /db/4)"
ask PUT /db/5 "${json[@]}" -d "{\"_rev\":\"$(rev_of /db/5)\",\"integer\":50}"
ask GET /db/_design/basic/_view/all -H "If-None-Match: $etag"
gives 200 '.total_rows == 18 and [.rows[].key] == [1,1,2,2,3,3,6,6,7,7,8,8,9,9,10,10,50,50]' "changes and deletions follow, and the ETag"

# ---- reductions
ask GET /db/_design/basic/_view/modern
gives 200 '. == {"rows":[{"key":null,"value":96}]}' "_sum, of an arrow function"
ask GET '/db/_design/basic/_view/modern?group_level=1'
gives 200 '.rows == [{"key":[0],"value":18},{"key":[1],"value":18},{"key":[2],"value":60}]' "group_level"
ask GET '/db/_design/basic/_view/modern?group=true&limit=2&descending=true'
gives 200 '.rows == [{"key":[2,50],"value":50},{"key":[2,8],"value":8}]' "group, descending"
ask GET '/db/_design/basic/_view/modern?reduce=false&startkey=%5B2%5D'
gives 200 '.offset == 6 and [.rows[].value] == [2,8,50]' "reduce=false"
ask GET '/db/_design/basic/_view/own?group_level=1'
gives 200 '.rows == [{"key":[0],"value":76},{"key":[1],"value":20}]' "a reduce function in JavaScript"
ask GET '/db/_design/basic/_view/own?startkey=%5B0%2C6%5D&endkey=%5B1%2C3%5D'
gives 200 '.rows == [{"key":null,"value":78}]' "a reduced range"
ask GET '/db/_design/basic/_view/own?startkey=%5B9%5D'
gives 200 '. == {"rows":[]}' "no row, no reduction"
post '/db/_design/basic/_view/modern?group=true' '{"keys":[[1,7],[0,3],[9,9]]}'
gives 200 '.rows == [{"key":[1,7],"value":7},{"key":[0,3],"value":3}]' "several keys, reduced"

# ---- several keys and queries
post /db/_design/basic/_view/all '{"keys":[10,2,99],"limit":3}'
gives 200 '.total_rows == 18 and [.rows[].key] == [10,10,2]' "several keys keep their order"
ask GET '/db/_design/basic/_view/all?keys=%5B3%5D'
gives 200 '[.rows[].id] == ["3","3"]' "keys in the URL"
post /db/_design/basic/_view/modern/queries '{"queries":[{"key":[1,7],"reduce":false},{},{"group_level":1,"limit":1}]}'
gives 200 '[.results[].rows | length] == [1,1,1] and .results[1].rows[0].value == 96' "several queries"

# ---- documents
design db linked '{"by":{"map":"function(doc) { if (doc.links) doc.links.forEach(function(id, i) { emit([doc._id, i], {_id: id}); }); }"}}'
ask PUT /db/a "${json[@]}" -d '{"links":["1","4","nowhere"]}'
ask GET '/db/_design/linked/_view/by?include_docs=true'
gives 200 '[.rows[].doc.integer] == [1,null,null] and .rows[0].id == "a" and .rows[0].doc._id == "1" and .rows[1].doc == null' "linked documents"
ask GET '/db/_design/basic/_view/all?key=1&include_docs=true&limit=1'
gives 200 '.rows[0].doc.string == "1"' "include_docs"
ask PUT /db/att/x "${json[@]}" -d '"hello"'
design db att '{"by":{"map":"function(doc) { for (var name in doc._attachments) emit(name, doc._attachments[name].length); }"}}'
ask GET '/db/_design/att/_view/by?include_docs=true&attachments=true'
gives 200 '.rows[0].key == "x" and .rows[0].value == 7 and .rows[0].doc._attachments.x.data == "ImhlbGxvIg=="' "attachments, in the function and inline"
post /db/_bulk_docs '{"new_edits":false,"docs":[{"_id":"twice","_rev":"2-b","both":1,"_revisions":{"start":2,"ids":["b","a"]}},{"_id":"twice","_rev":"2-c","both":1,"_revisions":{"start":2,"ids":["c","a"]}}]}'
design db conflicts '{"by":{"map":"function(doc) { if (doc._conflicts) emit(doc._rev, doc._conflicts); }"}}'
ask GET '/db/_design/conflicts/_view/by?include_docs=true&conflicts=true'
gives 200 '.rows[0].key == "2-c" and .rows[0].value == ["2-b"] and .rows[0].doc._conflicts == ["2-b"]' "conflicts"

# ---- options of design documents
design db options '{"lib":{"twice":"exports.f = function(n) { return 2 * n; };"},"seq":{"map":"function(doc) { emit(doc._local_seq, require(\"views/lib/twice\").f(doc.integer || 0)); }"}}' ',"options":{"local_seq":true,"include_design":true}'
ask GET '/db/_design/options/_view/seq'
gives 200 '([.rows[].key | type] | unique == ["number"]) and any(.rows[]; .value == 12) and any(.rows[]; .id == "_design/options")' "local_seq, include_design and views.lib"

# ---- freshness
ask GET '/db/_design/basic/_view/all?update_seq=true&limit=0'
gives 200 '.update_seq | type == "string"' "update_seq"
seq=$(jq -r .update_seq <"$scratch/body")
ask PUT /db/late "${json[@]}" -d '{"integer":77}'
ask GET '/db/_design/basic/_view/all?stale=ok&key=77&update_seq=true'
gives 200 ".rows == [] and .update_seq == \"$seq\"" "stale=ok reads what there is"
ask GET '/db/_design/basic/_view/all?update=false&key=77'
gives 200 '.rows == []' "so does update=false"
ask GET '/db/_design/basic/_view/all?update=lazy&key=77'
gives 200 '.rows == []' "update=lazy as well"
ask GET '/db/_design/basic/_view/all?update=false&key=77'
gives 200 '.rows | length == 2' "and brings it up to date afterwards"

# ---- collation
ask PUT /order
node=$(cat <<'JSON'
[null,false,true,1,2,3.0,4,"a","A","aa","b","B","ba","bb",["a"],["b"],["b","c"],["b","c","a"],["b","d"],["b","d","e"],{"a":1},{"a":2},{"b":1},{"b":2},{"b":2,"a":1},{"b":2,"c":2}]
JSON
)
jq -nc --argjson keys "$node" '{docs: [$keys | to_entries[] | {_id: "\(99 - .key)", foo: .value}]}' >"$scratch/docs"
ask POST /order/_bulk_docs "${json[@]}" -d @"$scratch/docs"
design order o '{"by":{"map":"function(doc) { emit(doc.foo, null); }","reduce":"_count"}}'
ask GET '/order/_design/o/_view/by?reduce=false'
gives 200 "[.rows[].key] == $node" "keys of all types are in CouchDB's order"
ask GET '/order/_design/o/_view/by?startkey=%5B%5D&endkey=%5B%22b%22%2C%7B%7D%5D'
gives 200 '.rows[0].value == 6' "a range of arrays up to an object"

# ---- errors
fails() { # status, error, reason, path
    ask GET "$4"
    gives "$1" ".error == \"$2\" and .reason == \"$3\"" "$3"
}
v=/db/_design/basic/_view
fails 404 not_found missing_named_view "$v/no"
fails 404 not_found missing /db/_design/no/_view/all
fails 400 query_parse_error 'Invalid use of grouping on a map view.' "$v/all?group=true"
fails 400 query_parse_error 'Reduce is invalid for map-only views.' "$v/all?reduce=true"
fails 400 query_parse_error 'Multi-key fetches for reduce views must use `group=true`' "$v/modern?keys=%5B1%5D"
fails 400 query_parse_error '`include_docs` is invalid for reduce' "$v/modern?include_docs=true"
fails 400 query_parse_error '`keys` is incompatible with `key`, `start_key` and `end_key`' "$v/all?keys=%5B1%5D&key=1"
fails 400 query_parse_error 'No rows can match your key range, reverse your start_key and end_key or set {descending:true}' "$v/all?startkey=2&endkey=1"
ask GET "$v/all?limit=-1"
gives 400 '.error == "query_parse_error"' "a bad number"
ask GET "$v/all?descending=maybe"
gives 400 '.error == "query_parse_error"' "a bad boolean"
ask GET "$v/all?key=nope"
gives 400 '.error == "bad_request"' "a key that is no JSON"
ask PUT "$v/all"
gives 405 '' "PUT is no method of a view"
ask PUT /db/_design/erlang "${json[@]}" -d '{"language":"erlang","views":{"a":{"map":"fun x"}}}'
ask GET /db/_design/erlang/_view/a
gives 500 '.error == "unknown_query_language"' "another language"

# ---- bad functions
design db bad '{"loop":{"map":"function(doc) { if (doc._id === \"7\") for (;;); emit(1, 1); }"}}'
ask GET /db/_design/bad/_view/loop
gives 500 '.error == "os_process_error"' "a function that loops"
ask GET /db/_design/basic/_view/all
gives 200 '' "and others go on"
ask PUT /big
jq -nc '{docs: [range(200) | {_id: "\(1000 + .)", text: ("x" * 100)}]}' >"$scratch/docs"
ask POST /big/_bulk_docs "${json[@]}" -d @"$scratch/docs"
design big o '{"over":{"map":"function(doc) { emit(1, doc.text); }","reduce":"function(k, v, r) { return v.concat(v); }"}}'
ask GET /big/_design/o/_view/over
gives 200 '.rows[0].value.reduce_overflow_error | startswith("Reduce output must shrink more rapidly")' "a reduction that grows"

# ---- housekeeping
ask GET /db/_design/basic/_info
gives 200 '.name == "basic" and .view_index.language == "javascript" and (.view_index.signature | length == 32) and .view_index.updates_pending.total >= 0' "_info"
post /db/_view_cleanup '{}'
gives 202 .ok "_view_cleanup"
post /db/_compact/basic '{}'
gives 202 .ok "_compact"
post /db/_compact/no '{}'
gives 404 '' "_compact of what is not there"
ask GET '/db/_design/basic/_view/modern?group_level=1'
gives 200 '.rows | length > 2' "a compacted index reads the same"

# ---- a build that is killed goes on
ask PUT /long
jq -nc '{docs: [range(6000) | {_id: "\(10000 + .)", n: .}]}' >"$scratch/docs"
ask POST /long/_bulk_docs "${json[@]}" -d @"$scratch/docs"
design long o '{"slow":{"map":"function(doc) { let x = 0; for (let i = 0; i < 20000; i++) x += i % 7; emit(doc.n, 1); }","reduce":"_count"}}'
curl -sS -m 60 -o /dev/null "$url/long/_design/o/_view/slow" 2>/dev/null &
reader=$!
for _ in $(seq 200); do
    ask GET /_active_tasks
    jq -e 'any(.[]; .type == "indexer" and .changes_done > 0)' <"$scratch/body" >/dev/null && break
    sleep 0.05
done
gives 200 'any(.[]; .type == "indexer" and .database == "long" and .design_document == "_design/o" and .total_changes >= 6000)' "_active_tasks shows the build"
kill -9 "$daemon_pid"
wait "$daemon_pid" "$reader" 2>/dev/null
daemon_pid=
start_daemon 0
ask GET /long/_design/o/_info
gives 200 '.view_index.update_seq > 0 and .view_index.update_seq < 6000' "what was built before is there"
ask GET /long/_design/o/_view/slow
gives 200 '.rows == [{"key":null,"value":6000}]' "a killed build goes on"
stop_daemon
echo "1..$points"
