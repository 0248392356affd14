#!/bin/bash
# Mango over HTTP: _find, _explain, _index and _bulk_delete against the whole daemon, with CouchDB's statuses, error names
# and warnings; indexes that follow edits; hostile patterns and bad bodies.
# shellcheck disable=SC2016 # operators begin with a dollar sign
# shellcheck source=tests/system/http_lib.sh
. "$(dirname "$0")/http_lib.sh"
start_daemon 0

post() { # path, body
    ask POST "$1" "${json[@]}" -d "$2"
}

ask PUT /db
jq -nc '{docs: [range(40) | {_id: "d\(100 + .)", n: ., even: (. % 2 == 0), name: ["Зарина","Алишер","Ҷамшед","Чаман"][. % 4], o: {p: (. / 2)}}]}' >"$scratch/docs"
ask POST /db/_bulk_docs "${json[@]}" -d @"$scratch/docs"
gives 201 'length == 40' "documents are there"

# ---- without an index
post /db/_find '{"selector":{"n":{"$gte":38}}}'
gives 200 '[.docs[]._id] == ["d138","d139"] and (.docs[0] | has("_rev") and .n == 38) and (.bookmark | type == "string") and (.warning | startswith("No matching index found, create an index to optimize query time."))' "_find scans all documents and warns"
post /db/_find/ '{"selector":{"n":5},"fields":["n","o.p"]}'
gives 200 '.docs == [{"n":5,"o":{"p":2.5}}]' "fields project, also with a trailing slash"
post /db/_find '{"selector":{}}'
gives 200 '.docs | length == 25' "25 rows are the default limit"
post /db/_find '{"selector":{"n":999}}'
gives 200 '.docs == [] and .bookmark == "nil"' "nothing found is no error"
post /db/_find '{"selector":{"n":{"$lt":30}},"limit":3,"skip":2,"execution_stats":true}'
gives 200 '[.docs[].n] == [2,3,4] and .execution_stats.results_returned == 3 and .execution_stats.total_docs_examined == 5 and (.execution_stats | has("total_keys_examined") and has("total_quorum_docs_examined") and has("execution_time_ms"))' "limit, skip and statistics"
post /db/_find '{"selector":{"n":{"$gt":1}},"sort":["n"]}'
gives 400 '.error == "no_usable_index" and .reason == "No index exists for this sort, try indexing by the sort fields."' "a sort needs an index"
post /db/_find '{"selector":{"_id":{"$gt":"d1"}},"sort":[{"_id":"desc"}],"limit":1}'
gives 200 '.docs[0]._id == "d139"' "but one by _id does not"

# ---- indexes
post /db/_index '{"index":{"fields":["n"]},"ddoc":"numbers","name":"by-n","type":"json"}'
gives 200 '. == {"result":"created","id":"_design/numbers","name":"by-n"}' "an index is created"
post /db/_index '{"index":{"fields":["n"]},"ddoc":"numbers","name":"by-n"}'
gives 200 '.result == "exists"' "again it exists"
post /db/_index '{"index":{"fields":["name",{"n":"asc"}]}}'
gives 200 '.result == "created" and (.id | startswith("_design/")) and .id == "_design/" + .name' "one without a name gets one"
auto=$(jq -r .id <"$scratch/body")
ask GET /db/_design/numbers
gives 200 '.language == "query" and .views["by-n"].map.fields == {"n":"asc"} and .views["by-n"].options.def.fields == ["n"]' "its design document is as CouchDB has it"
ask GET /db/_index
gives 200 '.total_rows == 3 and .indexes[0] == {"ddoc":null,"name":"_all_docs","type":"special","def":{"fields":[{"_id":"asc"}]}} and ([.indexes[] | select(.name == "by-n")][0].def.fields == [{"n":"asc"}])' "_index lists them"
ask GET '/db/_index?limit=1&skip=1'
gives 200 '.total_rows == 3 and (.indexes | length) == 1 and .indexes[0].name != "_all_docs"' "in parts, too"
ask GET '/db/_index?limit=0'
gives 500 '.error == "invalid_list_index_params"' "a part of nothing is refused"
post /db/_find '{"selector":{"n":{"$gt":36}},"sort":[{"n":"desc"}]}'
gives 200 '[.docs[].n] == [39,38,37] and (has("warning") | not)' "an index serves range and sort without a warning"
post /db/_find '{"selector":{"name":"Ҷамшед","n":{"$lt":9}}}'
gives 200 '[.docs[].n] == [2,6] and (has("warning") | not)' "an index over two fields"
post /db/_find '{"selector":{"name":{"$gt":"Зарина"}},"fields":["name"],"sort":["name","n"],"limit":11}'
gives 200 '[.docs[].name] | unique == ["Чаман","Ҷамшед"]' "strings sort as in the alphabet"
ask PUT /db/d100 "${json[@]}" -d "{\"_rev\":\"$(rev_of /db/d100)\",\"n\":1000}"
ask DELETE "/db/d139?rev=$(rev_of /db/d139)"
post /db/_find '{"selector":{"n":{"$gt":37}}}'
gives 200 '[.docs[].n] == [38,1000]' "indexes follow edits and deletions"

# ---- bookmarks
post /db/_find '{"selector":{"n":{"$lt":10}},"limit":4}'
first=$(jq -c '[.docs[].n]' <"$scratch/body")
post /db/_find "{\"selector\":{\"n\":{\"\$lt\":10}},\"limit\":4,\"bookmark\":$(jq .bookmark <"$scratch/body")}"
second=$(jq -c '[.docs[].n]' <"$scratch/body")
post /db/_find "{\"selector\":{\"n\":{\"\$lt\":10}},\"limit\":4,\"bookmark\":$(jq .bookmark <"$scratch/body")}"
equals "$first $second $(jq -c '[.docs[].n]' <"$scratch/body")" "[1,2,3,4] [5,6,7,8] [9]" "bookmarks page through"
post /db/_find '{"selector":{"n":1},"bookmark":"nonsense"}'
gives 400 '.error == "invalid_bookmark"' "a bad bookmark is refused"

# ---- explain, use_index
post /db/_explain '{"selector":{"n":{"$gt":5}},"fields":["n"],"limit":7}'
gives 200 '.dbname == "db" and .index.name == "by-n" and .selector == {"n":{"$gt":5}} and .limit == 7 and .skip == 0 and .fields == ["n"] and .mrargs.start_key == [5] and .mrargs.end_key == ["<MAX>"] and .mrargs.direction == "fwd" and .opts.use_index == []' "_explain tells the plan"
post /db/_explain '{"selector":{"even":true}}'
gives 200 '.index.name == "_all_docs" and .index.type == "special"' "and when there is no index"
post /db/_find '{"selector":{"even":true,"n":4},"use_index":"_design/nothing"}'
gives 200 '.warning | startswith("_design/nothing was not used because it does not contain a valid index for this query.")' "a use_index that cannot be followed warns"

# ---- refused
while IFS=$'\t' read -r error data; do
    post /db/_find "$data"
    gives 400 ".error == \"$error\" and (.reason | length > 0)" "_find refuses $data"
done <<'END'
missing_required_key	{}
bad_request	[]
bad_request	{"selector":
bad_request	{"selector":{"a":1,"a":2}}
invalid_selector_json	{"selector":5}
invalid_operator	{"selector":{"a":{"$foo":1}}}
bad_arg	{"selector":{"a":{"$regex":"("}}}
bad_arg	{"selector":{"a":{"$in":1}}}
invalid_key	{"selector":{},"foo":1}
invalid_non_neg_integer	{"selector":{},"limit":-1}
invalid_boolean	{"selector":{},"conflicts":1}
unsupported_mixed_sort	{"selector":{},"sort":[{"a":"asc"},{"b":"desc"}]}
invalid_field_name	{"selector":{"a..b":1}}
END
deep=$(printf '{"$not":%.0s' $(seq 300))1$(printf '}%.0s' $(seq 300))
post /db/_find "{\"selector\":$deep}"
gives 400 '.error == "bad_request"' "a selector nested too deep is refused"
ask POST /db/_find -H 'Content-Type: text/plain' -d '{"selector":{}}'
gives 415 '.error == "bad_content_type"' "plain text is refused"
ask GET /db/_find
gives 405 '.reason == "Only POST allowed"' "GET _find is refused"
ask PUT /db/_index
gives 405 '.reason == "Only GET,POST allowed"' "PUT _index is refused"
post /none/_find '{"selector":{}}'
gives 404 '.reason == "Database does not exist."' "a database must be there"
post /db/_index '{"index":{"fields":["a"]},"type":"text"}'
gives 503 '.error == "required index service unavailable"' "there are no text indexes"
post /db/_index '{"index":{"fields":[{"a":"up"}]}}'
gives 400 '.error == "invalid_sort_dir"' "a bad index definition is refused"
ask PUT /db/long -d "{\"s\":\"$(printf 'a%.0s' $(seq 5000))\"}"
post /db/_find '{"selector":{"s":{"$regex":"^(a+)+(a|aa)*$b"}}}'
gives 200 '.docs == []' "a pattern that makes others run for ever ends"

# ---- the _selector filter of _changes
post '/db/_changes?filter=_selector' '{"selector":{"n":{"$gt":37}}}'
gives 200 '[.results[].id] | sort == ["d100","d138"]' "_changes filters by a selector"

# ---- removing indexes
ask DELETE /db/_index/numbers/json/none
gives 404 '.error == "not_found"' "an index that is not there"
ask DELETE /db/_index/_design/numbers/json/by-n
gives 200 '. == {"ok":true}' "an index is removed"
ask GET /db/_design/numbers
gives 404 '.reason == "deleted"' "and its design document with the last one"
post /db/_find '{"selector":{"n":5}}'
gives 200 '.docs[0].n == 5 and (.warning | startswith("No matching index"))' "queries go on without it"
post /db/_index/_bulk_delete "{\"docids\":[\"$auto\",\"_design/nothing\"]}"
gives 200 ".success == [{\"id\":\"$auto\",\"ok\":true}] and (.fail | length == 1 and .[0].id == \"_design/nothing\")" "_bulk_delete removes and tells what failed"
ask GET /db/_index
gives 200 '.total_rows == 1' "none is left"

stop_daemon
echo "1..$points"
