#!/bin/sh
# test_flights.sh - flights prints what awk computes: undisturbed, started again, killed, and with
# rows that are none.
#
# EXAMPLES   where the built programs are; default: examples/ in the build directory
# FLIGHTS_CSV  one more file to compare on
set -u
export LC_ALL=C

source=$(cd "$(dirname "$0")/../.." && pwd)
examples=$(cd "${EXAMPLES:-${BUILD:-$source/build}/examples}" && pwd) || exit 1
flights=$examples/flights
sample=$source/examples/data/flights-sample.csv
large=${FLIGHTS_CSV:-$source/../shared/data/flights-200k.csv}
work=$(mktemp -d "${TMPDIR:-/tmp}/test_flights.XXXXXX") || exit 1
columns=date,delay,distance,origin,destination
bad=0

[ -x "$flights" ] || { echo "there is no $flights"; exit 1; }
trap 'kill -9 ${victim:-} 2>/dev/null' EXIT

fail()
{
    echo "FAILED: $*"
    bad=1
}

# expect_same NAME EXPECTED FOUND
expect_same()
{
    cmp "$2" "$3" || { diff "$2" "$3" | head -n 5; fail "$1"; }
}

# What airports, routes and alerts must be, by awk: model INPUT PREFIX
model()
{
    tr -d '\r' <"$1" | awk -F, -v prefix="$2" '
        NR == 1 { next }
        {
            seen[$4]; seen[$5]
            if (!($4 in departures) || $2 + 0 > most[$4]) most[$4] = $2 + 0
            departures[$4]++; delay[$4] += $2; distance[$4] += $3; arrivals[$5]++
            flights[$4 "-" $5]++; route_delay[$4 "-" $5] += $2
            if ($2 >= 180) print ++alert "," $1 "," $4 "," $5 "," $2 >(prefix ".alerts")
        }
        END {
            printf "" >>(prefix ".alerts")
            for (a in seen)
                printf "%s,%.0f,%.0f,%.0f,%.0f,%.0f\n", a, departures[a], arrivals[a], delay[a],
                       most[a], distance[a] | ("sort >" prefix ".airports.rows")
            for (r in flights)
                printf "%s,%.0f,%.0f\n", r, flights[r],
                       route_delay[r] | ("sort >" prefix ".routes.rows")
        }'
    touch "$2.airports.rows" "$2.routes.rows"
    {
        echo airport,departures,arrivals,delay_sum,delay_max,distance_sum
        sort -t, -k1,1 "$2.airports.rows"
    } >"$2.airports"
    { echo route,flights,delay_sum; sort -t, -k1,1 "$2.routes.rows"; } >"$2.routes"
}

# Runs flights on INPUT in NAME.db; output to NAME.airports and NAME.routes, alerts to NAME.alerts.
run() # NAME INPUT
{
    "$flights" --db "$1.db" --alerts "$1.alerts" "$2" >"$1.airports" 2>"$1.err" ||
        fail "$1: exit $?: $(tail -n 1 "$1.err")"
    "$flights" --db "$1.db" --alerts "$1.alerts" --routes "$2" >"$1.routes" 2>>"$1.err" ||
        fail "$1 --routes: exit $?: $(tail -n 1 "$1.err")"
}

expect_model() # NAME MODEL
{
    for what in airports routes alerts; do
        expect_same "$1: $what are not what awk computes (<)" "$2.$what" "$1.$what"
    done
}

# expect_refusal NAME EXIT SENTENCE-PART ARGUMENT... - that exit, and one line `flights: sentence`
expect_refusal()
{
    name=$1 expected=$2 part=$3
    shift 3
    timeout 20 "$flights" "$@" >"$work/refused.out" 2>"$work/refused.err"
    status=$?
    [ $status -eq "$expected" ] ||
        fail "$name: exit $status, not $expected: $(cat "$work/refused.err")"
    head -n 1 "$work/refused.err" | grep -q "^flights: .*$part" ||
        fail "$name: says '$(cat "$work/refused.err")', not '$part'"
    [ ! -s "$work/refused.out" ] || fail "$name: prints a report"
}

random_below() # N
{
    echo $(($(od -An -N4 -tu4 /dev/urandom) % $1))
}

now_ms()
{
    date +%s%3N
}

# A run that is killed after a random time, unless it is faster.
run_and_kill() # NAME INPUT
{
    "$flights" --db "$1.db" --alerts "$1.alerts" "$2" >"$1.airports" 2>"$1.err" &
    victim=$!
    sleep "$(printf '0.%03d' "$(random_below $((took_ms < 900 ? took_ms + 1 : 900)))")"
    kill -9 $victim 2>/dev/null
    wait $victim 2>/dev/null
    status=$?
    victim=
    [ $status -eq 0 ] || [ $status -eq 137 ] ||
        fail "$1: exit $status after a kill: $(cat "$1.err")"
    return $status
}

# Kills runs until that many were: a few on one directory, then it may finish, then on a new one.
kill_and_go_on() # NAME INPUT MODEL KILLS
{
    killed=0 round=0
    while [ $killed -lt "$4" ] && [ $round -lt 50 ]; do
        round=$((round + 1))
        name=$1.$round
        for kill in 1 2 3; do
            run_and_kill "$name" "$2" && break
            killed=$((killed + 1))
        done
        run "$name" "$2"
        expect_model "$name" "$3"
        [ $bad -ne 0 ] || rm -rf "$name".*
    done
    echo "  $(basename "$1"): $killed kills, in $round directories"
}

# ---- undisturbed, again, and killed --------------------------------------------------------------

compare_on() # NAME INPUT KILLS
{
    echo "$1"
    model "$2" "$work/$1.model"
    began_ms=$(now_ms)
    run "$work/$1" "$2"
    took_ms=$((($(now_ms) - began_ms) / 2)) # of one run
    expect_model "$work/$1" "$work/$1.model"
    cp "$work/$1.err" "$work/$1.first.err"
    run "$work/$1" "$2"
    expect_model "$work/$1" "$work/$1.model"
    grep -q '^flights: 0 rows' "$work/$1.err" || fail "$1: a finished run read rows again"
    head -n 1 "$work/$1.first.err"
    kill_and_go_on "$work/$1.killed" "$2" "$work/$1.model" "$3"
}

compare_on sample "$sample" 10
if [ -f "$large" ]; then
    compare_on large "$large" 10
fi

# ---- a file that grew, came under another name, in another dress ---------------------------------

echo "other shapes of the same rows"
head -n 7001 "$sample" >"$work/grown.csv"
"$flights" --db "$work/grown.db" --alerts "$work/grown.alerts" "$work/grown.csv" \
    >/dev/null 2>"$work/grown.err" || fail "grown: $(cat "$work/grown.err")"
run "$work/grown" "$sample"
expect_model "$work/grown" "$work/sample.model"

sed 's/$/\r/' "$sample" >"$work/crlf.csv"
run "$work/crlf" "$work/crlf.csv"
expect_model "$work/crlf" "$work/sample.model"

printf '%s' "$(cat "$sample")" >"$work/unfinished.csv"
run "$work/unfinished" "$work/unfinished.csv"
expect_model "$work/unfinished" "$work/sample.model"

# A last row without its end counts; when it gets one, rows after it count too.  One that goes on
# does not.
head -c -1 "$work/grown.csv" >"$work/endless.csv"
"$flights" --db "$work/endless.db" --alerts "$work/endless.alerts" "$work/endless.csv" \
    >/dev/null 2>"$work/endless.err" || fail "endless: $(cat "$work/endless.err")"
{ cat "$work/endless.csv"; printf 'X\n'; } >"$work/longer.csv"
expect_refusal "a last row that goes on" 1 \
    "line 7001 of .* was the last and had no end when it was counted" \
    --db "$work/endless.db" "$work/longer.csv"
for end in '\r\n' '\n'; do
    { cat "$work/endless.csv"; printf "$end"; } >"$work/ended.csv"
    "$flights" --db "$work/endless.db" "$work/ended.csv" 2>"$work/endless.err" >/dev/null ||
        fail "ended: $(cat "$work/endless.err")"
    grep -q '^flights: 0 rows' "$work/endless.err" ||
        fail "a row was counted twice: $(cat "$work/endless.err")"
done
run "$work/endless" "$sample"
expect_model "$work/endless" "$work/sample.model"

# Another file is another from its first row on, also when its rows are as long.
sed '2s/^\(.\)/3/' "$sample" >"$work/another.csv"
expect_refusal "another file with rows at the same bytes" 1 "filled from another file" \
    --db "$work/sample.db" "$work/another.csv"
tac "$sample" | sed '$d' | { echo "$columns"; cat; } >"$work/turned.csv"
expect_refusal "the same rows in another order" 1 "filled from another file" \
    --db "$work/sample.db" "$work/turned.csv"

echo "$columns" >"$work/header.csv"
model "$work/header.csv" "$work/header.model"
run "$work/header" "$work/header.csv"
expect_model "$work/header" "$work/header.model"

# Alerts that nobody took wait for a run that does.
"$flights" --db "$work/later.db" "$sample" >"$work/later.airports" 2>"$work/later.err" ||
    fail "later: $(cat "$work/later.err")"
run "$work/later" "$sample"
expect_model "$work/later" "$work/sample.model"

# ---- the alerts file -----------------------------------------------------------------------------

echo "alerts"
printf '208,2001-01-0' >>"$work/sample.alerts"
run "$work/sample" "$sample"
expect_model "$work/sample" "$work/sample.model"

expect_refusal "alerts of somebody else" 1 "is not a file of alerts" \
    --db "$work/other.db" --alerts "$work/header.csv" "$sample"
[ "$(cat "$work/header.csv")" = "$columns" ] || fail "a file that is not ours was changed"
mkfifo "$work/fifo"
full=/dev/full
[ -c $full ] || { full=; echo "skipped: there is no /dev/full"; }
for file in $full "$work/fifo" "$work"; do
    expect_refusal "alerts to $file" 1 "is not a regular file" \
        --db "$work/other.db" --alerts "$file" "$sample"
done
expect_refusal "an input that is a pipe" 1 "is not a regular file" \
    --db "$work/other.db" "$work/fifo"
truncate -s 1G "$work/zeroes"
expect_refusal "much that is no alerts" 1 "is not a file of alerts" \
    --db "$work/other.db" --alerts "$work/zeroes" "$sample"
rm "$work/zeroes"
expect_refusal "alerts ahead of the directory" 1 "which this directory never had" \
    --db "$work/empty.db" --alerts "$work/sample.alerts" "$work/header.csv"
head -n 5 "$work/sample.alerts" >"$work/late.alerts"
head -n 7001 "$sample" >"$work/late.csv"
"$flights" --db "$work/late.db" --alerts "$work/late.other" "$work/late.csv" >/dev/null 2>&1 ||
    fail "late: exit $?"
expect_refusal "alerts that lack some" 1 "is not the file that this directory's alerts went to" \
    --db "$work/late.db" --alerts "$work/late.alerts" "$sample"

# ---- malformed rows ------------------------------------------------------------------------------

echo "malformed rows"
{
    echo "$columns"
    echo "2001-01-01 00:01,200,100,AAA,BBB"
    echo "2001-01-01 00:02,5,100,AAA"           # 3
    echo "2001-01-01 00:02,5,100,AAA,BBB,"      # 4
    echo ""                                     # 5
    echo "2001-01-01 00:02,late,100,AAA,BBB"    # 6
    echo "2001-01-01 00:02,,100,AAA,BBB"        # 7
    echo "2001-01-01 00:02,-,100,AAA,BBB"       # 8
    echo "2001-01-01 00:02,2147483648,1,AAA,BBB" # 9
    echo "2001-01-01 00:02,99999999999999999999,1,AAA,BBB" # 10
    echo "2001-01-01 00:02,1.5,1,AAA,BBB"       # 11
    echo "2001-01-01 00:02, 1,1,AAA,BBB"        # 12
    echo "2001-01-01 00:02,1,-1,AAA,BBB"        # 13
    echo "2001-01-01 00:02,1,2147483648,AAA,BBB" # 14
    echo "2001-01-01 00:02,1,1,,BBB"            # 15
    echo "2001-01-01 00:02,1,1,AAAAAAAA,BBB"    # 16
    echo "2001-01-01 00:02,1,1,A-A,BBB"         # 17
    echo "2001-01-01 00:02,1,1,AAA,B B"         # 18
    echo "2001-01-01 00:02,1,1,AAA,"            # 19
    echo ",1,1,AAA,BBB"                         # 20
    echo "2001-01-01 00:02:00Z,1,1,AAA,BBB"     # 21
    printf '2001-01-01\0000:02,1,1,AAA,BBB\n'   # 22
    head -c 100000 /dev/zero | tr '\0' x; echo  # 23
    echo "2001-01-01 00:03,-2147483648,2147483647,AAA,BBB"
    echo "2001-01-01 00:04,2147483647,0,BBB,a234567"
} >"$work/malformed.csv"
sed -n '1,2p;24,25p' "$work/malformed.csv" >"$work/good.csv"
model "$work/good.csv" "$work/malformed.model"
run "$work/malformed" "$work/malformed.csv"
expect_model "$work/malformed" "$work/malformed.model"
sed -n 's/^flights: .*malformed\.csv:\([0-9]*\): skipped, because .*/\1/p' "$work/malformed.err" \
    >"$work/malformed.lines"
seq 3 23 >"$work/malformed.expected"
expect_same "malformed rows are reported by line" "$work/malformed.expected" "$work/malformed.lines"
grep -q '^flights: 21 malformed rows skipped$' "$work/malformed.err" ||
    fail "malformed rows are not counted"

# Line numbers are those of the file also when reading goes on in its middle.
head -n 23 "$work/malformed.csv" >"$work/on.csv"
"$flights" --db "$work/on.db" "$work/on.csv" >/dev/null 2>&1 || fail "on: exit $?"
{ cat "$work/on.csv"; echo "2001-01-01 00:03,1,1,AAA"; } >"$work/on2.csv"
"$flights" --db "$work/on.db" "$work/on2.csv" >/dev/null 2>"$work/on.err" || fail "on2: exit $?"
grep -q 'on2\.csv:24: skipped' "$work/on.err" ||
    fail "line number after going on: $(cat "$work/on.err")"
[ "$(grep -c skipped, "$work/on.err")" = 1 ] || fail "a row was reported twice"

# ---- what is refused -----------------------------------------------------------------------------

echo "refusals"
: >"$work/empty.csv"
sed 1d "$sample" >"$work/headless.csv"
touch "$work/a-file"
expect_refusal "no arguments" 2 "no --db DIR"
expect_refusal "no input" 2 "no INPUT.csv" --db "$work/x.db"
expect_refusal "two inputs" 2 "more than one INPUT.csv" --db "$work/x.db" a b
expect_refusal "an unknown option" 2 "'--what' is no option" --db "$work/x.db" --what "$sample"
expect_refusal "an input that is missing" 1 "cannot open" --db "$work/x.db" "$work/missing.csv"
expect_refusal "a directory as input" 1 "not a regular file" --db "$work/x.db" "$work"
expect_refusal "an empty input" 1 "is not a flights file" --db "$work/x.db" "$work/empty.csv"
expect_refusal "an input without header" 1 "is not a flights file" \
    --db "$work/x.db" "$work/headless.csv"
[ ! -e "$work/x.db" ] || fail "a refused input made a database"
expect_refusal "a database that is a file" 1 "." --db "$work/a-file" "$sample"
expect_refusal "a shorter input" 1 "filled from another file" \
    --db "$work/sample.db" "$work/grown.csv"
expect_refusal "an alerts file that cannot be" 1 "cannot open" \
    --db "$work/y.db" --alerts "$work/missing/alerts.csv" "$sample"
"$flights" --help >"$work/help" || fail "--help: exit $?"
grep -q '^usage: flights' "$work/help" || fail "--help says nothing"
if [ -c /dev/full ] && "$flights" --db "$work/sample.db" "$sample" >/dev/full 2>/dev/null; then
    fail "a report that cannot be written is a success"
fi

[ $bad -eq 0 ] || { echo "left as it was: $work"; exit 1; }
rm -rf "$work"
echo "all well"
