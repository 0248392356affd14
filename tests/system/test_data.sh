#!/bin/bash
# The records that demo, tests and benches use: the real files are the originals, with the rows that SOURCES.md states; the
# generated register is the same on every run, valid, marked as generated, of codes that exist, and holds edits that conflict.
set -u
cd "$(dirname "$0")/../data" || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
export LC_ALL=C

count=0
ok() { # name, status of the check
    count=$((count + 1))
    if [ "$2" = 0 ]; then echo "ok $count - $1"; else echo "not ok $count - $1"; fi
}
is() { # name, got, wanted
    [ "$2" = "$3" ]
    local status=$?
    [ $status = 0 ] || echo "# got '$2', wanted '$3'"
    ok "$1" $status
}
generate() { ./generate_register "$@"; }

# ---- real records ----
sha256sum --quiet --strict -c SHA256SUMS
ok "the real files are the originals, byte for byte" $?

csv_rows() { python3 -c 'import csv, sys; print(sum(1 for _ in csv.DictReader(open(sys.argv[1], encoding="utf-8", newline=""))))' "$1"; }
stated() { awk -F'|' -v f="\`$1\`" 'index($2, f) { gsub(/[ ,]/, "", $3); print $3 }' SOURCES.md; }
for file in iom-emigrants-age-sex.csv iom-displacements-geolocated.csv isco08-titles.csv; do
    is "$file has the rows that SOURCES.md states" "$(csv_rows $file)" "$(stated $file)"
done
is "tjk-districts.json has the elements that SOURCES.md states" "$(jq length tjk-districts.json)" "$(stated tjk-districts.json)"
is "the sum is as expected" "$(($(stated iom-emigrants-age-sex.csv) + $(stated iom-displacements-geolocated.csv)))" 104809

# ---- the generated register ----
generate >"$scratch/a" && generate >"$scratch/b" && cmp "$scratch/a" "$scratch/b"
ok "two runs give the same bytes" $?
PYTHONHASHSEED=7 LC_ALL=C TZ=Asia/Dushanbe generate >"$scratch/b" && cmp "$scratch/a" "$scratch/b"
ok "hash seed, locale and time zone do not matter" $?
generate --seed 2 >"$scratch/b" && ! cmp -s "$scratch/a" "$scratch/b"
ok "another seed gives another register" $?
is "2,000 lines" "$(wc -l <"$scratch/a")" 2000
is "each line is one JSON object" "$(jq -c 'objects' "$scratch/a" | wc -l)" 2000
is "no two records share an _id" "$(jq -r ._id "$scratch/a" | sort -u | wc -l)" 2000
is "each record says that it is generated" "$(jq -c 'select(.generated == true)' "$scratch/a" | wc -l)" 2000
is "no member beside _id begins with an underscore" \
    "$(jq -r 'keys[] | select(startswith("_"))' "$scratch/a" | sort -u | tr '\n' ' ')" "_id "
is "the kinds" "$(jq -r .type "$scratch/a" | sort | uniq -c | awk '{ printf "%s %s, ", $2, $1 }')" \
    "activity 240, event 160, organisation 160, person 1300, recommendation 140, "
is "each person, organisation has a consent" \
    "$(jq -c 'select(.type == "person" or .type == "organisation") | select(.consent.given | type == "boolean")' "$scratch/a" | wc -l)" 1460
is "nobody who withdrew consent has contact details" \
    "$(jq -c 'select(.consent.given == false) | select(.contact)' "$scratch/a" | wc -l)" 0
[ "$(jq -c 'select(.consent.given == false)' "$scratch/a" | wc -l)" -gt 20 ]
ok "some have withdrawn consent" $?
is "names are in Tajik, Russian and Latin letters" \
    "$(jq -c 'select(.type == "person").name.family | select((.tg | test("^[А-яЁёҒғӢӣҚқӮӯҲҳҶҷъ]+$")) and (.ru | test("^[А-яЁёъ]+$"))
        and (.en | test("^[A-Za-z'\'']+$")))' "$scratch/a" | wc -l)" 1300
grep -qE '"registration":[0-9]{20}[,}]' "$scratch/a"
ok "it holds integers larger than a double keeps" $?

# Every code is in its official list.
known() { # name, codes on standard input, official list in a file
    sort -u >"$scratch/codes"
    local unknown
    unknown=$(comm -23 "$scratch/codes" <(sort -u "$scratch/list") | tr '\n' ' ')
    [ -s "$scratch/codes" ] || unknown="none found at all"
    is "$1" "$unknown" ""
}
iso=/usr/share/iso-codes/json
jq -r '.["3166-1"][].alpha_2' $iso/iso_3166-1.json >"$scratch/list"
known "countries are ISO 3166-1 codes" < <(jq -r '.residence.country? // empty, (.country? // empty)' "$scratch/a")
jq -r '.["639-2"][].alpha_3' $iso/iso_639-2.json >"$scratch/list"
known "languages are ISO 639-2 codes" < <(jq -r '.languages[]?, (.language? // empty)' "$scratch/a")
jq -r '.["4217"][].alpha_3' $iso/iso_4217.json >"$scratch/list"
known "currencies are ISO 4217 codes" < <(jq -r '.. | objects | .currency? // empty' "$scratch/a")
jq -r '.[].id' tjk-districts.json >"$scratch/list"
known "districts are in tjk-districts.json" < <(jq -r '.district? // empty, (.origin? // empty)' "$scratch/a")
cut -d, -f1 isco08-titles.csv >"$scratch/list"
known "occupations are in isco08-titles.csv" < <(jq -r '.occupation.isco08? // empty' "$scratch/a")
is "education levels are ISCED 2011" "$(jq -r 'select(.type == "person") | .education.isced2011 | select(. < 0 or . > 8)' "$scratch/a")" ""

# ---- parts, edits, code lists ----
for office in dushanbe khujand london; do generate --office $office; done | sort >"$scratch/parts"
sort "$scratch/a" | cmp - "$scratch/parts"
ok "the three offices' parts are the whole, without overlap" $?
generate --count 3000 | jq -c 'select(.type == "person")' | head -n 1300 >"$scratch/b"
jq -c 'select(.type == "person")' "$scratch/a" | cmp - "$scratch/b"
ok "a larger register begins with the same people" $?
is "an empty register" "$(generate --count 0)" ""

for office in dushanbe khujand london; do generate --edits $office >"$scratch/edits-$office"; done
cat "$scratch"/edits-* >"$scratch/edits"
is "edited records are records of the register" \
    "$(jq -r ._id "$scratch/edits" | sort -u | comm -23 - <(jq -r ._id "$scratch/a" | sort))" ""
is "each edit differs from its record" "$(sort "$scratch/edits" | comm -12 - "$scratch/parts")" ""
is "some records are edited by two offices, none by three" "$(jq -r ._id "$scratch/edits" | sort | uniq -c | awk '{ print $1 }' | sort -u | tr '\n' ' ')" "1 2 "
is "two offices never make the same edit" "$(sort "$scratch/edits" | uniq -d)" ""

is "districts as JSON Lines" "$(generate --districts tjk-districts.json | jq -r ._id | sort -u | wc -l)" 76
is "districts lose nothing" "$(generate --districts tjk-districts.json | jq -cS 'del(._id, .type)' | sha256sum)" \
    "$(jq -cS '.[]' tjk-districts.json | sha256sum)"
is "occupations as JSON Lines" "$(generate --occupations isco08-titles.csv | jq -r .code | sort -u | wc -l)" 619
is "leading zeros of codes stay" "$(generate --occupations isco08-titles.csv | jq -r 'select(.code == "0110").code')" 0110
generate --count -1 >/dev/null 2>&1
is "a negative count is a usage error" $? 2

echo "1..$count"
