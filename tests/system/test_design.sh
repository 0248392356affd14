#!/bin/bash
# Functions of design documents over HTTP: validate_doc_update on every way in, filters of _changes, update handlers, and
# functions that loop or hog memory.
# shellcheck disable=SC2016 # the backticks are JavaScript's
# shellcheck source=tests/system/http_lib.sh
. "$(dirname "$0")/http_lib.sh"
start_daemon 0
ask PUT /db

# ---- validate_doc_update
ask PUT /db/first "${json[@]}" -d '{"type":"note"}'
first=$(jq -r .rev <"$scratch/body")
ask PUT /db/_design/check "${json[@]}" -d '{
    "lib": {"words": "exports.kinds = [`note`, `task`]"},
    "validate_doc_update": "function (doc, old, user, security) { const { kinds } = require(`lib/words`); if (doc._deleted) { if (old?.locked) throw({forbidden: `locked`}); return; } if (!kinds.includes(doc.type)) throw({forbidden: `type must be one of ${kinds}`}); if (doc.secret && user.name === null) throw({unauthorized: `who are you`}); if (doc.broken) doc.a.b.c; if (old && doc.author !== old.author) throw({forbidden: `author of ` + old._rev}); if (!user.db || !Array.isArray(user.roles) || !security) throw({forbidden: `context`}) }"}'
gives 201 .ok "a design document with validate_doc_update is stored, not judged by itself"
ask PUT /db/a "${json[@]}" -d '{"type":"other"}'
gives 403 '. == {"error":"forbidden","reason":"type must be one of note,task"}' "what it forbids is 403 with its reason, as CouchDB says it"
ask PUT /db/a "${json[@]}" -d '{"type":"note","secret":1}'
gives 401 '. == {"error":"unauthorized","reason":"who are you"}' "unauthorized is 401"
ask PUT /db/a "${json[@]}" -d '{"type":"note","author":"x"}'
gives 201 .ok "what it lets in is stored"
rev=$(jq -r .rev <"$scratch/body")
ask PUT "/db/a?rev=$rev" "${json[@]}" -d '{"type":"note","author":"y"}'
gives 403 ".reason == \"author of $rev\"" "it is given the revision that is replaced"
ask PUT /db/a "${json[@]}" -d '{"type":"note","author":"z"}'
gives 409 '.error == "conflict"' "a conflict is a conflict first"
ask PUT /db/b "${json[@]}" -d '{"type":"note","broken":true}'
gives 500 '.error == "TypeError"' "a function that fails lets nothing in"
ask POST /db "${json[@]}" -d '{"type":"other"}'
gives 403 .error "POST is judged"
ask COPY /db/first -H 'Destination: copy'
gives 201 .ok "COPY is judged"
ask POST /db/_bulk_docs "${json[@]}" -d '{"docs":[{"_id":"p","type":"task"},{"_id":"q","type":"x"},{"_id":"_local/l","type":"x"},{"_id":"_design/other"}]}'
gives 201 '.[0].ok and .[1] == {"id":"q","error":"forbidden","reason":"type must be one of note,task"} and .[2].ok and .[3].ok' \
    "_bulk_docs: one by one; design and _local documents are not asked about"
ask POST /db/_bulk_docs "${json[@]}" -d '{"new_edits":false,"docs":[{"_id":"r","_rev":"1-aa000000000000000000000000000000","type":"x"},{"_id":"s","_rev":"1-aa000000000000000000000000000000","type":"note"}]}'
gives 201 'length == 1 and .[0].id == "r" and .[0].error == "forbidden"' "revisions that a replicator brings are judged"
ask PUT /db/t/file --data-binary x -H 'Content-Type: text/plain'
gives 403 .error "a new document for an attachment is judged"
ask PUT "/db/first/file?rev=$first" --data-binary x -H 'Content-Type: text/plain'
gives 201 .ok "an attachment to a document that passes is stored"
ask PUT /db/locked "${json[@]}" -d '{"type":"note","locked":true}'
ask DELETE "/db/locked?rev=$(jq -r .rev <"$scratch/body")"
gives 403 '.reason == "locked"' "DELETE is judged"
ask PUT "/db/_design/check?rev=$(rev_of /db/_design/check)" "${json[@]}" -d '{"validate_doc_update":"(doc) => { if (doc.type) throw({forbidden: `no`}) }"}'
ask PUT /db/u "${json[@]}" -d '{"type":"note"}'
gives 403 '.reason == "no"' "a changed function counts at once"
ask DELETE "/db/_design/check?rev=$(rev_of /db/_design/check)"
ask PUT /db/u "${json[@]}" -d '{"type":"anything"}'
gives 201 .ok "and one that is gone no longer"

# ---- filters
ask PUT /db/_design/app "${json[@]}" -d '{
    "views": {"notes": {"map": "doc => { if (doc.type === `note`) emit(doc._id, null) }"}},
    "filters": {"kind": "function (doc, req) { return doc.type === req.query.kind && req.userCtx.db === `db` }", "bad": "(doc) => doc.a.b.c"},
    "updates": {
        "stamp": "function (doc, req) { if (!doc) return [{_id: req.id || req.uuid, by: JSON.parse(req.body).by, at: typeof Date.now()}, {code: 201, headers: {\"X-Made\": \"yes\", \"Content-Length\": \"3\"}, json: {made: true}}]; doc.count = (doc.count || 0) + 1; return [doc, `counted ${doc.count}`] }",
        "echo": "(doc, req) => [null, {code: 202, headers: {\"Content-Type\": \"image/png\"}, base64: btoa(req.method + req.query.q)}]",
        "wrong": "(doc, req) => 5", "loop": "() => { for (;;); }", "hog": "() => { const a = []; for (;;) a.push(new Array(1e5).fill(1)) }"}}'
gives 201 .ok "a design document with filters and updates"
ask GET '/db/_changes?filter=app/kind&kind=task'
gives 200 '[.results[].id] == ["p"]' "a filter function is given the query"
ask GET '/db/_changes?filter=_view&view=app/notes'
gives 200 '[.results[].id] | sort == ["a","copy","first","locked","s"]' "a view as a filter"
ask GET '/db/_changes?feed=longpoll&filter=app/kind&kind=task&since=0'
gives 200 '[.results[].id] == ["p"]' "also in a feed"
ask GET '/db/_changes?feed=continuous&filter=app/kind&kind=task&timeout=1&limit=1'
equals "$(head -n 1 "$scratch/body" | jq -r .id)" p "of any kind"
ask GET '/db/_changes?filter=app/none'
gives 404 '.error == "not_found"' "a filter that is not there is 404"
ask GET '/db/_changes?filter=none/none'
gives 404 '.error == "not_found"' "as is a design document that is not"
ask GET '/db/_changes?filter=app/bad'
gives 500 '.error == "TypeError"' "one that fails is told by its error"

# ---- updates
ask PUT /db/_design/app/_update/stamp/made "${json[@]}" -d '{"by":"ann"}'
gives 201 '. == {"made":true}' "an update handler makes a document and answers"
equals "$(header X-Made) $(header X-Couch-Id)" "yes made" "with its own headers"
equals "$(header X-Couch-Update-NewRev)" "$(rev_of /db/made)" "and the new revision"
ask POST /db/_design/app/_update/stamp/made
equals "$code $body" "201 counted 1" "it is given the document, and may answer with a text"
ask GET /db/made
gives 200 '.count == 1 and .by == "ann" and .at == "number"' "what it returned is stored"
ask POST /db/_design%2Fapp/_update/stamp "${json[@]}" -d '{"by":"bob"}'
gives 201 .made "without an id, by the uuid of the request, and with an encoded slash"
ask POST '/db/_design/app/_update/echo?q=1'
equals "$code $body $(header Content-Type)" "202 POST1 image/png" "base64, a code and a content type of its own"
ask GET /db/_design/app/_update/echo
gives 405 .error "GET is not for updates"
ask POST /db/_design/app/_update/none
gives 404 '.error == "not_found"' "an update function that is not there"
ask POST /db/_design/app/_update/wrong
gives 500 .error "and one that answers nonsense"
ask POST /db/_design/app/_update/hog
gives 500 '.error == "os_process_error"' "a memory hog is ended"
ask POST /db/_design/app/_update/loop
gives 500 '.error == "os_process_error"' "so is a loop"
ask POST '/db/_design/app/_update/echo?q=2'
equals "$code $body" "202 POST2" "and the next request is served"
ask GET /db/_design/app/_show/x
gives 501 .error "_show is not served"
stop_daemon
echo "1..$points"
