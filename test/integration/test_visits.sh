#!/bin/sh
# test_visits.sh - a pause ends a visit, also over a restart; a visitor is known until he stayed away.
#
# EXAMPLES  where the built programs are; default: examples/ in the build directory
set -u

source=$(cd "$(dirname "$0")/../.." && pwd)
examples=$(cd "${EXAMPLES:-${BUILD:-$source/build}/examples}" && pwd) || exit 1
visits=$examples/visits
work=$(mktemp -d "${TMPDIR:-/tmp}/test_visits.XXXXXX") || exit 1
bad=0

[ -x "$visits" ] || { echo "there is no $visits"; exit 1; }

# until_lines COUNT - waits until so many visits have ended; 30 s at most
until_lines()
{
    tries=0
    while [ "$(wc -l <"$work/out")" -lt "$1" ] && [ $tries -lt 300 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
}

# run PAUSE LINES CLICK... - clicks, then waits until so many visits have ended
run()
{
    pause=$1 lines=$2
    shift 2
    : >"$work/out"
    { [ $# -eq 0 ] || printf '%s\n' "$@"; until_lines "$lines"; } |
        "$visits" "$pause" "$work/db" >"$work/out" 2>"$work/err" || { echo "FAILED: $(cat "$work/err")"; bad=1; }
}

expect()
{
    got=$(sort "$work/out" | tr '\n' ',')
    [ "$got" = "$2" ] || { echo "FAILED: $1: '$got', not '$2'"; bad=1; }
}

# A pause so long that only the end of the input ends this: nothing is told.
run 86400000 0 "home ada" "home ada" "shop ada" "home bob"
expect "visits that go on" ""
# The clicks that follow begin with other pauses, which each sets anew.
run 300 3 "home ada" "shop ada" "home bob"
expect "one visit over a restart" "home ada clicks=3 new,home bob clicks=2 new,shop ada clicks=2 new,"
run 300 1 "home ada"
expect "a visitor who is known" "home ada clicks=1 back,"
sleep 3.1 # ten pauses, and whatever else takes time adds to it
run 300 1 "home ada"
expect "one who stayed away" "home ada clicks=1 new,"

"$visits" 0 "$work/db" </dev/null >"$work/out" 2>&1
[ $? -eq 2 ] && grep -q '^usage' "$work/out" || { echo "FAILED: no usage"; bad=1; }
"$visits" 1 "$work/none/db" </dev/null >"$work/out" 2>&1
[ $? -eq 1 ] && grep -q '^visits: ' "$work/out" || { echo "FAILED: opened nothing"; bad=1; }

[ $bad -eq 0 ] || { echo "left as it was: $work"; exit 1; }
rm -rf "$work"
