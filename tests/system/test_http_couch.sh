#!/bin/bash
# The CouchDB API by curl against the whole daemon: databases, documents and all their options, bulk, lists, changes and
# its feeds, attachments, multipart, local documents, and input that is refused.
# shellcheck source=tests/system/http_lib.sh
. "$(dirname "$0")/http_lib.sh"
start_daemon 0

# ---- databases
ask PUT /db
gives 201 '.ok' "PUT makes a database"
equals "$(header Location)" "$url/db" "its Location is told"
ask PUT /db/
gives 412 '.error == "file_exists"' "making it again is refused, also with a trailing slash"
ask GET /db/
gives 200 '.db_name == "db" and .doc_count == 0 and .doc_del_count == 0 and (.update_seq | startswith("0-")) and .disk_format_version == 8 and .compact_running == false and .instance_start_time == "0" and .cluster == {"q":1,"n":1,"w":1,"r":1} and (.sizes | has("file") and has("external") and has("active")) and .props == {} and (.purge_seq | startswith("0-"))' "GET tells about it"
ask HEAD /db
gives 200 "" "HEAD finds it"
ask HEAD /none
gives 404 "" "HEAD does not find another"
ask GET /none
gives 404 '.error == "not_found" and .reason == "Database does not exist."' "nor does GET"
for name in Upper 1st _secret 'a.b' 'sp%20ace' 'a%2F..%2F..%2Fb.c'; do
    ask PUT "/$name"
    gives 400 '.error == "illegal_database_name"' "the name $name is refused"
done
ask PUT '/with%2Fslash+and_(more)$'
gives 201 .ok "a name with a slash and signs is allowed"
ask GET /_all_dbs
gives 200 'index("db") and index("with/slash+and_(more)$")' "_all_dbs lists both"
ask DELETE '/with%2Fslash+and_(more)$'
gives 200 .ok "DELETE removes it"
ask GET '/with%2Fslash+and_(more)$'
gives 404 "" "then it is gone"
ask DELETE '/db?rev=1-a'
gives 400 .reason "DELETE with a revision is a mistake"
ask POST /db "${json[@]}" -d '{"n":1}'
gives 201 '.ok and (.id | length == 32) and (.rev | startswith("1-"))' "POST makes a document with a new id"
ask POST /db "${json[@]}" -d '{"_id":"posted"}'
gives 201 '.id == "posted"' "or with its own"
ask POST /db -H 'Content-Type: text/plain' -d '{}'
gives 415 '.error == "bad_content_type"' "POST of plain text is refused"
ask PATCH /db
gives 405 '.error == "method_not_allowed"' "PATCH is not a method"
equals "$(header Allow)" "DELETE,GET,HEAD,POST,PUT" "Allow says which are"

# ---- documents
ask PUT /db/a -d '{"big":123456789012345678901234567890,"one":1.0,"z":1,"a":[ 1 ,2]}'
gives 201 '.ok and .id == "a"' "PUT makes a document"
r1=$(jq -r .rev <"$scratch/body")
equals "$(header ETag)" "\"$r1\"" "its ETag is its revision"
equals "$(header Location)" "$url/db/a" "its Location is told"
ask GET /db/a
equals "$body" "{\"_id\":\"a\",\"_rev\":\"$r1\",\"big\":123456789012345678901234567890,\"one\":1.0,\"z\":1,\"a\":[ 1 ,2]}" "GET gives the very bytes of its members"
equals "$(header Content-Type)" "application/json" "as JSON"
ask GET /db/a -H "If-None-Match: \"$r1\""
gives 304 "" "If-None-Match spares the body"
ask HEAD /db/a
equals "$code $(header ETag)" "200 \"$r1\"" "HEAD has the ETag"
ask PUT /db/a -d '{}'
gives 409 '.error == "conflict" and .reason == "Document update conflict."' "an edit without a revision is a conflict"
ask PUT "/db/a?rev=$r1" -d '{"n":2}'
gives 201 '.rev | startswith("2-")' "an edit by ?rev"
r2=$(jq -r .rev <"$scratch/body")
ask PUT /db/a -H "If-Match: \"$r2\"" -d '{"n":3}'
gives 201 '.rev | startswith("3-")' "an edit by If-Match"
r3=$(jq -r .rev <"$scratch/body")
ask PUT /db/a -d "{\"_rev\":\"$r2\",\"n\":4}"
gives 409 "" "an edit of an old revision is a conflict"
ask PUT "/db/a?rev=$r3" -d "{\"_rev\":\"$r2\"}"
gives 400 '.error == "bad_request"' "two different revisions contradict each other"
ask GET "/db/a?rev=$r2"
gives 200 '.n == 2' "an old revision can be read while it is kept"
ask GET '/db/a?rev=9-ffff'
gives 404 '.reason == "missing"' "an unknown one is missing"
ask GET '/db/a?rev=x'
gives 400 '.reason == "Invalid rev format"' "and one that is none is refused"
ask GET '/db/a?revs=true'
gives 200 '._revisions.start == 3 and (._revisions.ids | length == 3)' "revs"
ask GET '/db/a?revs_info=true'
gives 200 '[._revs_info[].status] == ["available","available","available"]' "revs_info"
ask GET '/db/a?local_seq=true'
gives 200 '._local_seq > 0' "local_seq"
ask GET '/db/a?revs=maybe'
gives 400 "" "a bad flag is refused"
ask DELETE /db/a
gives 409 "" "DELETE needs a revision"
ask DELETE "/db/a?rev=$r3"
gives 200 '.ok and (.rev | startswith("4-"))' "DELETE"
r4=$(jq -r .rev <"$scratch/body")
ask GET /db/a
gives 404 '.reason == "deleted"' "then it is deleted"
ask DELETE "/db/a?rev=$r3"
gives 404 '.reason == "deleted"' "deleting it again says so"
ask GET "/db/a?rev=$r4"
gives 200 '._deleted == true' "the tombstone can be read"
ask PUT /db/a -d '{"again":true}'
gives 201 '.rev | startswith("5-")' "a document can begin again upon a tombstone"
ask GET /db/never
gives 404 '.reason == "missing"' "what never was is missing"
ask DELETE /db/never
gives 404 '.reason == "missing"' "also for DELETE"
ask PUT /db/new -H 'If-Match: 1-abc' -d '{}'
gives 201 '.rev | startswith("2-")' "a revision is believed when the document is not here at all"
ask PUT '/db/batched?batch=ok' -d '{}'
gives 202 '.ok and .id == "batched" and (has("rev") | not)' "batch=ok is 202"
ask PUT '/db/a%2Fb%20c' -d '{}'
gives 201 '.id == "a/b c"' "an id may hold a slash"
ask PUT /db/%D1%8F -d '{"x":"я"}'
gives 201 '.id == "я"' "and letters of any script"
ask COPY /db/a -H 'Destination: copied'
gives 201 '.id == "copied" and (.rev | startswith("1-"))' "COPY"
ask COPY /db/a -H 'Destination: copied'
gives 409 "" "COPY over a document is a conflict"
ask COPY /db/a -H "Destination: copied?rev=$(rev_of /db/copied)"
gives 201 '.rev | startswith("2-")' "unless its revision is named"
ask COPY /db/a
gives 400 "" "COPY needs a Destination"
ask COPY /db/a -H 'Destination: ?rev=1-a'
gives 400 '.error == "illegal_docid"' "and an id in it"
ask COPY /db/a -H 'Destination: cop%69ed%2Fb'
gives 201 '.id == "copied/b"' "which may be encoded"
ask GET /db//x
gives 404 "" "nothing has an empty id"
ask PUT /db/_bad -d '{}'
gives 400 '.error == "illegal_docid"' "an id with an underscore is refused"
ask PUT /db/x -d '{"_foo":1}'
gives 400 '.error == "doc_validation" and .reason == "Bad special document member: _foo"' "so is an unknown special member"
ask PUT /db/x -d '{"_rev":1}'
gives 400 "" "and a revision that is no text"
for text in '{"a":' '' '[]' '1' '{"a":1}}' '{"a":"\ud800"}' '{"a":1,"a":2}'; do
    ask PUT /db/x -d "$text"
    if [ -z "$text" ]; then continue; fi
    gives 400 '.error == "bad_request"' "the text $text is refused"
done
printf '{"a":"\xff"}' >"$scratch/latin"
ask PUT /db/x --data-binary "@$scratch/latin"
gives 400 '.reason | startswith("invalid UTF-8 JSON")' "bytes that are not UTF-8 are refused"
python3 -c 'print("[" * 100000)' >"$scratch/deep"
ask PUT /db/x --data-binary "@$scratch/deep"
gives 400 "" "so is a depth bomb"
python3 -c 'print("{\"a\":\"" + "x" * (9 << 20) + "\"}")' >"$scratch/large"
ask PUT /db/x --data-binary "@$scratch/large"
gives 413 '.error == "document_too_large"' "and a document beyond the limit"

printf '{"zipped":true}' | gzip -n >"$scratch/zipped"
ask PUT /db/z -H 'Content-Encoding: gzip' --data-binary "@$scratch/zipped"
gives 201 .ok "a body in gzip is taken"
ask PUT /db/z -H 'Content-Encoding: gzip' -d '{}'
gives 400 '.error == "bad_request"' "if it is gzip"

# ---- conflicts
ask POST /db/_bulk_docs "${json[@]}" -d '{"new_edits":false,"docs":[{"_id":"c","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},"v":"b"},{"_id":"c","_rev":"2-c","_revisions":{"start":2,"ids":["c","a"]},"v":"c"},{"_id":"c","_rev":"2-d","_deleted":true,"_revisions":{"start":2,"ids":["d","a"]}}]}'
gives 201 '. == []' "replicated revisions are stored without a word"
ask POST /db/_bulk_docs "${json[@]}" -d '{"new_edits":"false","docs":[{"_id":"c","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},"v":"b"}]}'
gives 201 '. == []' "again, too, and with new_edits as a text"
ask GET '/db/c?conflicts=true&deleted_conflicts=true'
gives 200 '._rev == "2-c" and ._conflicts == ["2-b"] and ._deleted_conflicts == ["2-d"]' "the winner names the others"
ask GET '/db/c?meta=true'
gives 200 '._conflicts and ._deleted_conflicts and ._revs_info' "meta has all of it"
ask GET '/db/c?open_revs=all' -H 'Accept: application/json'
gives 200 '[.[].ok._rev] == ["2-c","2-b","2-d"]' "open_revs=all gives every leaf"
ask GET '/db/c?open_revs=\["2-b","7-x"\]' -H 'Accept: application/json'
gives 200 '.[0].ok.v == "b" and .[1].missing == "7-x"' "open_revs gives what is asked for"
ask GET '/db/c?open_revs=\["1-a"\]&latest=true' -H 'Accept: application/json'
gives 200 '[.[].ok._rev] == ["2-c","2-b","2-d"]' "with latest the leaves below"
ask GET '/db/c?open_revs=all' -H 'Accept: multipart/mixed'
case "$(header Content-Type)" in
'multipart/mixed; boundary='*) ok "open_revs as multipart/mixed" ;;
*) not_ok "open_revs as multipart/mixed" "$(header Content-Type)" ;;
esac
equals "$(grep -c '^Content-Type: application/json' "$scratch/body")" 3 "with a part for each"
ask GET '/db/c?rev=1-a&latest=true'
gives 200 '._rev == "2-c"' "rev with latest follows to the leaf"
ask DELETE '/db/c?rev=2-b'
gives 200 .ok "a conflict is resolved by deleting the loser"

# ---- bulk
ask POST /db/_bulk_docs "${json[@]}" -d '{"docs":[{"_id":"b1"},{"_id":"b2"},{"_id":"b1"},{"v":1},{"_id":"_local/l","v":1}]}'
gives 201 'map(.error // "ok") == ["ok","ok","conflict","ok","ok"]' "_bulk_docs answers for each document"
ask POST /db/_bulk_docs -H 'Content-Type: text/plain' -d '{"docs":[]}'
gives 415 "" "_bulk_docs wants JSON"
for text in '{}' '{"docs":1}' '[]' '{"docs":[],"new_edits":7}' '{"docs":[1]}' '{"docs":[{"_id":"_x"}]}' '{"docs":[{"_x":1}]}' '{"new_edits":false,"docs":[{"_id":"norev"}]}'; do
    ask POST /db/_bulk_docs "${json[@]}" -d "$text"
    gives 400 .error "_bulk_docs refuses $text"
done
ask POST '/db/_bulk_get?revs=true' "${json[@]}" -d '{"docs":[{"id":"b1"},{"id":"c","rev":"2-c"},{"id":"c","rev":"9-z"},{"id":"none"}]}'
gives 200 '.results | map(.id) == ["b1","c","c","none"] and .[0].docs[0].ok._revisions and .[1].docs[0].ok.v == "c" and .[2].docs[0].error.error == "not_found" and .[3].docs[0].error.reason == "missing"' "_bulk_get answers in order"
ask POST '/db/_bulk_get?latest=true' "${json[@]}" -d '{"docs":[{"id":"c","rev":"1-a"}]}'
gives 200 '.results[0].docs | length == 3' "_bulk_get with latest"

# As multipart: checked by Python's own parser of MIME.
ask PUT /db/m1 "${json[@]}" -d '{"v":1,"_attachments":{"a.bin":{"content_type":"image/x","data":"AAEC/w=="},"é.txt":{"content_type":"text/plain","data":"aGkK"}}}'
mrev=$(jq -r .rev <<<"$body")
parse_mime() {
    { grep -i '^content-type:' "$scratch/headers"; printf 'MIME-Version: 1.0\r\n\r\n'; cat "$scratch/body"; } | python3 -c '
import email, email.policy, json, sys
def tell(part):
    if part.is_multipart():
        return [part.get_content_type(), part["X-Doc-Id"], part["X-Rev-Id"], [tell(p) for p in part.get_payload()]]
    body = part.get_payload(decode=True)
    return json.loads(body) if part.get_content_type() == "application/json" else [part.get_content_type(), body.hex()]
message = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.compat32)
json.dump(tell(message), sys.stdout)' >"$scratch/parsed"
    mv "$scratch/parsed" "$scratch/body"
}
for type in mixed related; do
    ask POST '/db/_bulk_get?revs=true&attachments=true' "${json[@]}" -H "Accept: multipart/$type" -d '{"docs":[{"id":"b1"},{"id":"m1"},{"id":"none","rev":"1-a"},{"id":"c","rev":"2-c"}]}'
    parse_mime
    gives 200 ".[0] == \"multipart/$type\" and (.[3] | length == 4) and .[3][0]._id == \"b1\" and .[3][1][0:3] == [\"multipart/related\",\"m1\",\"$mrev\"] and .[3][1][3][0]._attachments[\"a.bin\"].follows and .[3][1][3][1:] == [[\"image/x\",\"000102ff\"],[\"text/plain\",\"68690a\"]] and .[3][2] == {\"id\":\"none\",\"rev\":\"1-a\",\"error\":\"not_found\",\"reason\":\"missing\"} and .[3][3].v == \"c\" and .[3][3]._revisions" "_bulk_get as multipart/$type"
done
ask POST /db/_bulk_get "${json[@]}" -H "Accept: multipart/mixed" -d "{\"docs\":[{\"id\":\"m1\",\"rev\":\"$mrev\",\"atts_since\":[\"$mrev\"]}]}"
parse_mime
gives 200 '(.[3] | length == 1) and .[3][0]._attachments["a.bin"].stub' "what the client has is not sent again"
ask POST /db/_bulk_get "${json[@]}" -H "Accept: application/json, multipart/mixed" -d '{"docs":[{"id":"b1"}]}'
gives 200 '.results[0].docs[0].ok._id == "b1"' "JSON when the client takes it"
ask POST '/db/_bulk_get?attachments=true' "${json[@]}" -d '{"docs":[{"id":"m1"}]}'
gives 200 '.results[0].docs[0].ok._attachments["a.bin"].data == "AAEC/w=="' "attachments in JSON"
ask DELETE "/db/m1?rev=$mrev"
ask POST /db/_revs_diff "${json[@]}" -d '{"c":["2-c","3-x","1-zz"],"n":["1-a"],"b1":[]}'
gives 200 '(keys == ["c","n"]) and .c.missing == ["3-x","1-zz"] and (.c.possible_ancestors | index("2-c")) and .n == {"missing":["1-a"]}' "_revs_diff"
ask POST /db/_missing_revs "${json[@]}" -d '{"c":["2-c","3-x"]}'
gives 200 '.missing_revs == {"c":["3-x"]}' "_missing_revs"
ask POST /db/_revs_diff "${json[@]}" -d '{"c":["x"]}'
gives 400 "" "_revs_diff refuses what is no revision"

# ---- lists
ask PUT /list
for id in a b c d e; do ask PUT /list/$id -d "{\"v\":\"$id\"}"; done
ask PUT /list/_design/one -d '{"language":"javascript"}'
gives 201 '.id == "_design/one"' "a design document"
ask GET /list/_design%2Fone
gives 200 '._id == "_design/one"' "with an encoded slash, too"
ask DELETE "/list/d?rev=$(rev_of /list/d)"
ask GET /list/_all_docs
gives 200 '.total_rows == 5 and .offset == 0 and [.rows[].id] == ["_design/one","a","b","c","e"] and .rows[1].value.rev' "_all_docs"
list() { # parameters, expected ids, name
    ask GET "/list/_all_docs?$1"
    gives 200 "[.rows[].id] == $2" "_all_docs: $3"
}
list 'startkey="b"' '["b","c","e"]' startkey
list 'start_key="b"&end_key="c"' '["b","c"]' 'start_key and end_key'
list 'startkey="b"&endkey="c"&inclusive_end=false' '["b"]' inclusive_end=false
list 'descending=true&startkey="c"&endkey="a"' '["c","b","a"]' descending
list 'descending=true&startkey="c"&endkey="a"&inclusive_end=false' '["c","b"]' 'descending without the end'
list 'key="b"' '["b"]' key
list 'key="d"' '[]' 'key of a deleted document'
list 'startkey="a"&skip=1&limit=2' '["b","c"]' 'skip and limit'
list 'limit=0' '[]' limit=0
list 'startkey=1' '["_design/one","a","b","c","e"]' 'a number lies before all ids'
list 'startkey=\{\}' '[]' 'an object behind them'
list 'endkey=\{\}&startkey="c"' '["c","e"]' 'or bounds nothing'
ask GET '/list/_all_docs?startkey="b"&limit=1'
gives 200 '.offset == 2 and .total_rows == 5' "offset counts what lies before"
ask GET '/list/_all_docs?include_docs=true&startkey="a"&limit=1'
gives 200 '.rows[0].doc.v == "a"' include_docs
ask GET '/list/_all_docs?keys=\["e","d","x","a"\]'
gives 200 '(.rows | map(.error // (if .value.deleted then "deleted" else .id end))) == ["e","deleted","not_found","a"]' keys
ask POST /list/_all_docs "${json[@]}" -d '{"keys":["b","d"],"include_docs":true}'
gives 200 '.rows[0].doc.v == "b" and .rows[1].doc == null and .rows[1].value.deleted' "keys in the body"
ask POST /list/_all_docs/queries "${json[@]}" -d '{"queries":[{"keys":["a"]},{"startkey":"c"}]}'
gives 200 '[.results[].rows | map(.id)] == [["a"],["c","e"]]' "several queries at once"
ask GET '/list/_all_docs?update_seq=true&limit=1'
gives 200 '.update_seq | test("^7-")' update_seq
ask GET '/list/_all_docs?startkey=abc'
gives 400 .error "a key that is no JSON is refused"
ask GET '/list/_all_docs?limit=-1'
gives 400 '.error == "query_parse_error"' "so is a negative limit"
ask GET /list/_design_docs
gives 200 '.total_rows == 1 and [.rows[].id] == ["_design/one"]' _design_docs
ask GET /db/_local_docs
gives 200 '.rows | map(.id) == ["_local/l"]' _local_docs

# ---- local documents
ask PUT /db/_local/check -d '{"n":1}'
gives 201 '.rev == "0-1" and .id == "_local/check"' "a local document"
ask PUT /db/_local%2Fcheck -d '{"_rev":"0-1","n":2}'
gives 201 '.rev == "0-2"' "its revision counts"
ask GET /db/_local/check
gives 200 '.n == 2 and ._rev == "0-2" and ._id == "_local/check"' "it comes back"
ask GET /db/_local/absent
gives 404 '.error == "not_found"' "another does not"
ask DELETE '/db/_local/check?rev=0-2'
gives 200 .ok "it can be deleted"
ask GET /db/_local/check
gives 404 "" "then it is gone"

# ---- changes
ask GET /list/_changes
gives 200 '[.results[].id] == ["a","b","c","e","_design/one","d"] and .pending == 0 and (.last_seq | startswith("7-")) and (.results[-1] | .deleted)' "_changes in the order of writing"
all=$(jq -r .last_seq <"$scratch/body")
ask GET "/list/_changes?since=$all"
gives 200 ".results == [] and .last_seq == \"$all\"" "since the end there is nothing"
ask GET '/list/_changes?since=now'
gives 200 '.results == []' since=now
ask GET '/list/_changes?limit=2'
gives 200 '(.results | length == 2) and .pending == 4 and (.last_seq | startswith("2-"))' "limit and pending"
ask GET '/list/_changes?limit=0&since=0'
gives 200 '.results == [] and (.last_seq | startswith("0-"))' limit=0
ask GET '/list/_changes?descending=true&limit=2'
gives 200 '[.results[].id] == ["d","_design/one"]' descending
ask GET '/list/_changes?include_docs=true&limit=1'
gives 200 '.results[0].doc.v == "a"' include_docs
ask GET '/db/_changes?style=all_docs'
gives 200 '.results | map(select(.id == "c"))[0].changes | map(.rev) | index("2-d")' style=all_docs
ask GET '/list/_changes?filter=_doc_ids&doc_ids=\["b","e"\]'
gives 200 '[.results[].id] == ["b","e"]' "filter=_doc_ids"
ask POST '/list/_changes?filter=_doc_ids' "${json[@]}" -d '{"doc_ids":["c"]}'
gives 200 '[.results[].id] == ["c"]' "with the ids in the body"
ask GET '/list/_changes?filter=_design'
gives 200 '[.results[].id] == ["_design/one"]' "filter=_design"
# shellcheck disable=SC2016 # the operator's name begins with a dollar sign
ask POST '/list/_changes?filter=_selector' "${json[@]}" -d '{"selector":{"v":{"$gt":"b"}}}'
gives 200 '[.results[].id] == ["c","e"]' "filter=_selector"
ask GET '/list/_changes?seq_interval=3'
gives 200 '[.results[].seq | . != null] == [false,false,true,false,false,true]' seq_interval
ask GET '/list/_changes?since=abc'
gives 400 "" "a sequence that is none is refused"
ask GET '/list/_changes?feed=other'
gives 400 "" "so is an unknown feed"
ask GET '/list/_changes?filter=no/such'
gives 404 "" "and a filter of no design document"
ask GET "/list/_changes?feed=longpoll&since=0"
gives 200 '.results | length == 6' "a longpoll with something to tell answers at once"
ask GET "/list/_changes?feed=longpoll&timeout=100&since=$all"
gives 200 ".results == [] and .last_seq == \"$all\"" "one without answers at its time-out"
curl -sS -m 30 "$url/list/_changes?feed=longpoll&heartbeat=50&since=$all" >"$scratch/poll" &
poll=$!
curl -sS -m 30 -N "$url/list/_changes?feed=continuous&heartbeat=100&limit=2&since=$all" >"$scratch/continuous" &
continuous=$!
curl -sS -m 30 -N "$url/list/_changes?feed=eventsource&limit=2&since=$all" >"$scratch/events" &
events=$!
for _ in $(seq 100); do [ -s "$scratch/poll" ] && break; sleep 0.05; done
ask PUT /list/f -d '{}'
ask PUT /list/g -d '{}'
wait "$poll" "$continuous" "$events"
equals "$(jq -r '.results[0].id' <"$scratch/poll")" f "a longpoll ends with the first change"
equals "$(head -c 12 "$scratch/poll")" '{"results":[' "its beginning does not wait"
equals "$(grep -v '^$' "$scratch/continuous" | jq -rs 'map(.id // "end") | join(",")')" "f,g,end" "a continuous feed ends at its limit"
equals "$(sed -n 's/^data: \({.*\)/\1/p' "$scratch/events" | jq -rs 'map(.id) | join(",")')" "f,g" "an eventsource has both events"
equals "$(grep -c '^id: [0-9]*-' "$scratch/events")" 2 "with their ids"

# ---- attachments
head -c 200000 /dev/urandom >"$scratch/random"
ask PUT /db/att/dir/file.bin -H 'Content-Type: image/x-scan' --data-binary "@$scratch/random"
gives 201 '.ok and .id == "att"' "an attachment makes its document"
ra=$(jq -r .rev <"$scratch/body")
ask GET /db/att/dir/file.bin
if cmp -s "$scratch/random" "$scratch/body"; then ok "its bytes come back"; else not_ok "its bytes come back"; fi
equals "$(header Content-Type)" image/x-scan "with its type"
equals "$(header ETag)" "\"$(openssl dgst -md5 -binary "$scratch/random" | base64)\"" "and its MD5 as ETag"
ask GET /db/att/dir%2Ffile.bin -H 'Range: bytes=1000-1999'
tail -c +1001 "$scratch/random" | head -c 1000 >"$scratch/range"
equals "$code $(header Content-Range)" "206 bytes 1000-1999/200000" "a range"
if cmp -s "$scratch/range" "$scratch/body"; then ok "is the right one"; else not_ok "is the right one"; fi
ask GET /db/att/dir/file.bin -H 'Range: bytes=300000-'
gives 416 "" "a range outside is refused"
ask HEAD /db/att/dir/file.bin
equals "$code $(header Content-Length)" "200 200000" "HEAD of an attachment"
ask PUT /db/att/note.txt -d text
gives 409 "" "another one needs the revision"
ask PUT "/db/att/note.txt?rev=$ra" -H 'Content-Type: text/plain' -d 'a note'
gives 201 .ok "and then is stored beside"
ra=$(jq -r .rev <"$scratch/body")
ask GET /db/att
gives 200 '._attachments | (keys == ["dir/file.bin","note.txt"]) and (.["note.txt"] | .stub and .length == 6 and .revpos == 2 and .content_type == "text/plain" and (.digest | startswith("md5-")))' "stubs tell about both"
ask GET '/db/att?attachments=true' -H 'Accept: application/json'
gives 200 '._attachments["note.txt"].data == "YSBub3Rl"' "attachments=true has their content"
ask GET '/db/att?attachments=true&atts_since=\["'"$(rev_of /db/att)"'"\]' -H 'Accept: application/json'
gives 200 '._attachments["note.txt"].stub' "but not what is as old as atts_since"
ask GET '/db/att?attachments=true' -H 'Accept: multipart/related'
case "$(header Content-Type)" in
'multipart/related; boundary='*) ok "or as multipart/related" ;;
*) not_ok "or as multipart/related" "$(header Content-Type)" ;;
esac
cp "$scratch/body" "$scratch/related"
type=$(header Content-Type)
ask PUT '/db/again?new_edits=false' -H "Content-Type: $type" --data-binary "@$scratch/related"
gives 201 '.id == "again"' "which can be put back as it is"
ask GET /db/again/dir/file.bin
if cmp -s "$scratch/random" "$scratch/body"; then ok "with the same bytes"; else not_ok "with the same bytes"; fi
{
    printf -- '--X\r\nContent-Type: application/json\r\n\r\n{"_attachments":{"z.txt":{"follows":true,"content_type":"text/plain","length":5,"encoding":"gzip"}}}\r\n--X\r\n\r\n'
    printf hello | gzip -n
    printf -- '\r\n--X--'
} >"$scratch/gzip"
ask PUT /db/zipped -H 'Content-Type: multipart/related;boundary="X"' --data-binary "@$scratch/gzip"
gives 201 .ok "a part in gzip is taken"
ask GET /db/zipped/z.txt
equals "$body" hello "and kept as what it means"
ask PUT /db/inline -d '{"_attachments":{"i.txt":{"content_type":"text/plain","data":"aGVsbG8="}}}'
gives 201 .ok "an inline attachment"
ask PUT /db/inline -d "{\"_rev\":\"$(rev_of /db/inline)\",\"_attachments\":{\"i.txt\":{\"stub\":true,\"digest\":\"md5-XUFAKrxLKna5cZ2REBfFkg==\",\"revpos\":1}}}"
gives 201 .ok "stays when an edit has its stub"
ask GET /db/inline/i.txt
equals "$body" hello "and can be read by its name"
ask PUT /db/stub -d '{"_attachments":{"x":{"stub":true}}}'
gives 412 '.error == "missing_stub"' "a stub of nothing is refused"
ask PUT /db/inline2 -d '{"_attachments":{"i.txt":{"data":"%%%"}}}'
gives 400 "" "so is data that is not base64"
ask PUT /db/under/_x -d x
gives 400 "" "and a name with an underscore"
ask DELETE "/db/att/note.txt?rev=$ra"
gives 200 '.rev | startswith("3-")' "an attachment is deleted"
ask GET /db/att/note.txt
gives 404 '.reason == "Document is missing attachment"' "then it is missing"
ask COPY /db/att -H 'Destination: att-copy'
ask GET /db/att-copy/dir/file.bin
if cmp -s "$scratch/random" "$scratch/body"; then ok "COPY takes attachments along"; else not_ok "COPY takes attachments along" "$code"; fi

# ---- the rest
ask POST /db/_ensure_full_commit "${json[@]}"
gives 201 '.ok and .instance_start_time == "0"' _ensure_full_commit
ask POST /db/_compact "${json[@]}"
gives 202 .ok _compact
ask POST /list/_compact/one "${json[@]}"
gives 202 .ok "_compact of a design document"
ask POST /list/_compact/none "${json[@]}"
gives 404 "" "_compact of none"
ask POST /db/_view_cleanup "${json[@]}"
gives 202 .ok _view_cleanup
ask GET /db/_revs_limit
gives 200 '. == 1000' _revs_limit
ask PUT /db/_revs_limit -d 500
gives 200 .ok "_revs_limit can be set"
ask GET /db/_revs_limit
gives 200 '. == 500' "and read"
ask PUT /db/_revs_limit -d '"x"'
gives 400 "" "if it is a number"
ask POST /db/_purge "${json[@]}" -d '{}'
gives 201 '. == {"purge_seq":null,"purged":{}}' "_purge of nothing"
ask GET /db/_shards
gives 200 .shards _shards
ask POST /db/_sync_shards "${json[@]}"
gives 202 .ok _sync_shards
ask GET /db/_nothing
gives 404 "" "an unknown endpoint is missing"

# ---- attachments of compressible types in gzip
seq 5000 >"$scratch/numbers"
plain=$(wc -c <"$scratch/numbers")
ask PUT /db/gz/numbers -H 'Content-Type: text/csv; charset=utf-8' --data-binary "@$scratch/numbers"
rgz=$(jq -r .rev <<<"$body")
ask PUT "/db/gz/raw?rev=$rgz" -H 'Content-Type: image/png' --data-binary "@$scratch/numbers"
ask GET /db/gz/numbers
identity="$(header Content-Encoding) $(header Content-Length) $(header Accept-Ranges) $(header Vary)"
equals "$identity" " $plain bytes Accept-Encoding" "content is sent as it is when gzip is not asked for"
etag=$(header ETag)
ask GET /db/gz/numbers -H 'Accept-Encoding: deflate, gzip;q=0.5'
packed=$(wc -c <"$scratch/body")
equals "$(header Content-Encoding) $(header Content-Length) $(header Accept-Ranges) $(header ETag)" "gzip $packed none $etag" "in gzip when it is"
equals "$(gunzip <"$scratch/body" | cmp - "$scratch/numbers" && echo same)" same "with the same content"
ask HEAD /db/gz/numbers -H 'Accept-Encoding: gzip'
equals "$(header Content-Encoding) $(header Content-Length)" "gzip $packed" "HEAD tells the same"
ask GET /db/gz/numbers -H 'Accept-Encoding: gzip' -H "If-None-Match: $etag"
gives 304 "" "If-None-Match still works"
ask GET /db/gz/numbers -H 'Accept-Encoding: gzip;q=0, *;q=0.0'
equals "$(header Content-Encoding) $(header Content-Length)" " $plain" "gzip;q=0 is a no"
ask GET /db/gz/numbers -H 'Accept-Encoding: gzip' -H 'Range: bytes=0-3'
equals "$code $(header Content-Encoding) $(tr '\n' , <"$scratch/body")" "206  1,2," "a range is of the content itself"
ask GET /db/gz/numbers -H 'Accept-Encoding: gzip' -H 'Range: bytes=0-3' -H "If-Range: $etag"
equals "$code $(header Content-Encoding)" "200 gzip" "If-Range does not mix the two forms"
ask GET /db/gz/raw -H 'Accept-Encoding: gzip'
equals "$(header Content-Encoding) $(header Content-Length)" " $plain" "an image is not compressed"
told=".numbers.encoding == \"gzip\" and .numbers.encoded_length == $packed and .numbers.length == $plain and (.raw | has(\"encoding\") | not)"
ask GET '/db/gz?att_encoding_info=true' -H 'Accept: application/json'
gives 200 "._attachments | $told" "att_encoding_info tells of it"
jq -c . "$scratch/body" >"$scratch/again"
ask GET '/db/_all_docs?key="gz"&include_docs=true&att_encoding_info=true'
gives 200 ".rows[0].doc._attachments | $told" "in _all_docs too"
ask GET '/db/_changes?doc_ids=%5B%22gz%22%5D&filter=_doc_ids&include_docs=true&att_encoding_info=true'
gives 200 ".results[0].doc._attachments | $told" "and in _changes"
ask GET '/db/gz?att_encoding_info=true&attachments=true' -H 'Accept: application/json'
gives 200 "._attachments.numbers | .encoded_length == $packed and (.data | @base64d | length) == $plain" "data is the content itself"
ask PUT /db/gz "${json[@]}" --data-binary "@$scratch/again"
gives 201 .ok "a stub with an encoding is taken back"
ask GET /db/gz
gives 200 "._attachments.numbers | .length == $plain and (has(\"encoding\") | not)" "and unasked there is no word of it"

# ---- what was written is there after a restart
before=$(curl -sS -m 30 "$url/db" | jq -r .update_seq)
stop_daemon
start_daemon 0
ask GET /db
gives 200 ".update_seq == \"$before\"" "sequences are the same after a restart"
stop_daemon
echo "1..$points"
