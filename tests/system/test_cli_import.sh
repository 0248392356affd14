#!/bin/bash
# qosid import and export: CSV and JSON Lines, bad rows by line and field, round trips.
# shellcheck source=tests/system/cli_lib.sh
. "$(dirname "$0")/cli_lib.sh"

a=$scratch/a
"$qosid" init -q dushanbe "$a" || exit 1
count() { "$qosid" -C "$a" ls "$1" | wc -l; }
import() { run "$qosid" -C "$a" import "$@"; }
bad() { # status, text in stderr, name, file's text, option...: nothing may be stored
    local expected=$1 text=$2 name=$3
    printf '%b' "$4" >"$scratch/bad.csv"
    shift 4
    fails "$expected" "$text" "$name" "$qosid" -C "$a" import "$scratch/bad.csv" "$@"
    equals "$(count bad)" 0 "... and nothing was stored"
}

# ---- CSV
printf '\xef\xbb\xbfCountry,Year,Value,Note\r\nTJK,2020,007.50,"a ""quoted"", field\r\nof two lines"\r\nKGZ,2021,1.50,\r\n' >"$scratch/t.csv"
import "$scratch/t.csv" --id-template 'iom:{Country}:{Year}' --type migration --numbers
exits 0 "CSV with a byte order mark, CRLF, quotes and line breaks"
says out "imported 2 records: 2 new" "import counts"
run "$qosid" -C "$a" get iom:TJK:2020
json '.[0].Note == "a \"quoted\", field\r\nof two lines"' "a quoted field keeps quotes and line breaks"
says out '"Value":"007.50"' "what is no JSON number stays text"
says out '"Year":2020' "a number becomes one"
json '.[0].type == "migration"' "--type adds the member"
run "$qosid" -C "$a" get iom:KGZ:2021
says out '"Value":1.50' "digits stay as written"
json '.[0].Note == ""' "an empty field is empty text"

printf 'a;b\n1;2\n' >"$scratch/semi.csv"
import "$scratch/semi.csv" --delimiter ';' --id-template 'semi:{#}' --json
json '.[0] | .ok and .records == 1 and .created == 1 and .updated == 0' "--delimiter, {#}, and import as JSON"
run "$qosid" -C "$a" get semi:1
json '.[0] | .a == "1" and .b == "2"' "without --numbers fields are text"
printf 'a\tb\n1\t2' >"$scratch/tabs.tsv"
import "$scratch/tabs.tsv" --id-column a
exits 0 "a .tsv file without a last line end"
run "$qosid" -C "$a" get 1
json '.[0] | .a == "1" and .b == "2"' "--id-column keeps the column"
printf '_id,x\nown:1,2\n' | "$qosid" -C "$a" import - --format csv >"$scratch/out" 2>"$scratch/err"
run "$qosid" -C "$a" get own:1
json '.[0] | .x == "2" and ([keys[] | select(. == "_id")] | length == 1)' "standard input, and ids from the column _id"
import "$scratch/semi.csv" --delimiter ';'
exits 0 "rows without an id get random ones"

bad 1 "line 3, field 2" "text that is not UTF-8" 'id,x\nbad:1,a\nbad:2,b\xff\n' --id-column id
bad 1 "bad.csv: line 3)" "too few fields" 'id,x\nbad:1,a\nbad:2\n' --id-column id
bad 1 "the row has 3 fields, the header has 2" "too many fields" 'id,x\nbad:1,a\nbad:2,b,c\n' --id-column id
bad 1 "line 2, column 8, field 2" "a quote inside a field" 'id,x\nbad:1,a"b\n' --id-column id
bad 1 "line 2, column 10, field 2" "text after a closing quote" 'id,x\nbad:1,"a"b\n' --id-column id
bad 1 "never closed" "a quote that is never closed" 'id,x\nbad:1,a\nbad:2,"b\nbad:3,c\n' --id-column id
bad 1 "carriage return" "a lone carriage return" 'id,x\nbad:1,a\rbad:2,b\n' --id-column id
bad 1 "NUL" "a NUL byte" 'id,x\nbad:1,a\x00b\n' --id-column id
bad 1 "two columns" "a column twice" 'id,id\nbad:1,a\n' --id-column id
bad 1 "no name" "a column without a name" 'id,\nbad:1,a\n' --id-column id
bad 1 "underscore" "a column with an underscore" 'id,_rev\nbad:1,a\n' --id-column id
bad 1 "empty" "an empty file" '' --id-column id
bad 2 "no column" "an id of an unknown column" 'id,x\nbad:1,a\n' --id-column nothing
bad 2 "no column" "a template with an unknown column" 'id,x\nbad:1,a\n' --id-template 'bad:{nothing}'
bad 2 "without a }" "a template that is not closed" 'id,x\nbad:1,a\n' --id-template 'bad:{id'
bad 1 "stands in line 2 already" "an id twice in a file" 'id,x\nbad:1,a\nbad:2,b\nbad:1,c\n' --id-column id
bad 1 "line 3" "an empty id" 'id,x\nbad:1,a\n,b\n' --id-column id
bad 2 "exclude each other" "options that exclude each other" 'id,x\nbad:1,a\n' --update --skip-existing
bad 2 "at least 1" "a batch of none" 'id,x\nbad:1,a\n' --batch 0
fails 3 "cannot open" "a file that is not there" "$qosid" -C "$a" import "$scratch/nofile.csv"
fails 1 "Is a directory" "a folder" "$qosid" -C "$a" import "$scratch" --format csv
fails 2 "does not tell its format" "an unknown ending" "$qosid" -C "$a" import "$scratch/t"
if [ "$(id -u)" != 0 ]; then
    cp "$scratch/t.csv" "$scratch/secret.csv"
    chmod 000 "$scratch/secret.csv"
    fails 1 "Permission denied" "a file that may not be read" "$qosid" -C "$a" import "$scratch/secret.csv"
fi

# ---- what is there already
seq 1 2500 | awk 'BEGIN { print "n,v" } { print $1 ",x" }' >"$scratch/many.csv"
import "$scratch/many.csv" --id-template 'many:{n}' --batch 1000 --json
json '.[0].created == 2500' "2,500 rows in batches"
equals "$(count many:)" 2500 "are all there"
fails 4 "already in the space" "once more is refused" "$qosid" -C "$a" import "$scratch/many.csv" --id-template 'many:{n}'
says err "--skip-existing" "with a hint"
sed -i 's/^7,x/7,y/' "$scratch/many.csv"
echo 2501,x >>"$scratch/many.csv"
import "$scratch/many.csv" --id-template 'many:{n}' --dry-run --update --json
json '.[0] | .dry_run and .records == 2501' "--dry-run checks"
equals "$(count many:)" 2500 "and stores nothing"
import "$scratch/many.csv" --id-template 'many:{n}' --update --json
json '.[0] | .created == 1 and .updated == 1 and .unchanged == 2499' "--update stores what differs"
run "$qosid" -C "$a" get many:7
json '.[0] | .v == "y" and (._rev | startswith("2-"))' "as a second revision"
sed -i 's/^8,x/8,z/' "$scratch/many.csv"
import "$scratch/many.csv" --id-template 'many:{n}' --skip-existing --json
json '.[0] | .created == 0 and .skipped == 2501' "--skip-existing skips"
printf 'n,v\n9,first\n9,second\n' >"$scratch/twice.csv"
import "$scratch/twice.csv" --id-template 'many:{n}' --update
run "$qosid" -C "$a" get many:9
json '.[0].v == "second"' "with --update a later row of the same id wins"

# ---- JSON Lines
cat >"$scratch/d.jsonl" <<'END'
{"_id":"j:1","big":123456789012345678901234567890,"one":1.0,"zero":-0.0,"name":"Шахло"}

{"name":"made","n":5}
END
import "$scratch/d.jsonl" --id-template 'j:{name}:{n}'
exits 0 "JSON Lines"
run "$qosid" -C "$a" get j:1
says out '"big":123456789012345678901234567890,"one":1.0,"zero":-0.0' "numbers are exact"
works "a line without _id gets one from the template" "$qosid" -C "$a" get j:made:5
bad_line() { # text in stderr, name, text
    printf '%s\n' '{"_id":"bad:1"}' "$3" >"$scratch/bad.jsonl"
    fails 1 "$1" "$2" "$qosid" -C "$a" import "$scratch/bad.jsonl" --id-template 'bad:{n}'
    equals "$(count bad)" 0 "... and nothing was stored"
}
bad_line "bad.jsonl: line 2, column 6" "a bad line" '{"a":x}'
bad_line "line 2" "duplicate names" '{"_id":"bad:2","a":1,"a":2}'
bad_line "line 2" "an array" '[]'
bad_line "line 2" "a line without the template's member" '{"x":1}'
bad_line "line 2" "a member that cannot be part of an id" '{"n":null}'
bad_line "line 2" "an id twice" '{"_id":"bad:1"}'
bad_line "without its data" "an attachment that is not there" '{"_id":"bad:2","_attachments":{"x":{"stub":true}}}'
bad_line "not base64" "an attachment that is not base64" '{"_id":"bad:2","_attachments":{"x":{"data":"***"}}}'
bad_line "deleted" "a tombstone" '{"_id":"bad:2","_deleted":true}'

# ---- export, and back
head -c 5000 /dev/urandom >"$scratch/file.bin"
echo '{"k":"v"}' >"$scratch/k.json"
run "$qosid" -C "$a" put att "$scratch/k.json" --attach "f=$scratch/file.bin"
works "export" "$qosid" -C "$a" export --attachments -o "$scratch/all.jsonl"
says err "exported" "export counts"
"$qosid" init -q khujand "$scratch/b"
works "import what was exported" "$qosid" -C "$scratch/b" import "$scratch/all.jsonl"
works "export it there" "$qosid" -C "$scratch/b" export --attachments -o "$scratch/again.jsonl"
strip() { sed -E 's/"_rev":"[^"]*",//; s/"revpos":[0-9]+,?//; s/,\}/}/' "$1"; }
equals "$(strip "$scratch/all.jsonl" | cksum)" "$(strip "$scratch/again.jsonl" | cksum)" "both exports are equal but for revisions"
run "$qosid" -C "$scratch/b" get att --attachment f -o "$scratch/back.bin"
run cmp "$scratch/file.bin" "$scratch/back.bin"
exits 0 "attachments too"

put "$a" formula '{"type":"risk","f":"=1+1","n":-5,"nested":{"a":[1,2]},"nothing":null,"q":"a\"b, c"}' >/dev/null
run "$qosid" -C "$a" export --format csv --type risk
equals "$(tr -d '\r' <"$scratch/out")" '_id,type,f,n,nested,nothing,q
formula,risk,=1+1,-5,"{""a"":[1,2]}",,"a""b, c"' "export as CSV"
run "$qosid" -C "$a" export formula --format csv --safe
says out "formula,risk,'=1+1,-5," "--safe guards text, not numbers"
works "CSV by the file's name" "$qosid" -C "$a" export many: -o "$scratch/many-out.csv"
works "and back" "$qosid" -C "$scratch/b" import "$scratch/many-out.csv" --update --json
json '.[0] | .created == 0 and .updated == 0 and .unchanged == 2501' "changes nothing"
run "$qosid" -C "$a" export --from many:1 --to many:10 --json
json 'map(._id) == ["many:1","many:10"]' "export of a range"
fails 2 "--safe is for CSV" "--safe with JSON Lines" "$qosid" -C "$a" export --safe

finish
