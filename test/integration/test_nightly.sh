#!/bin/sh
# test_nightly.sh - jobs run when they are due, and what was missed runs once; what is no time is refused.
#
# EXAMPLES  where the built programs are; default: examples/ in the build directory
set -u

source=$(cd "$(dirname "$0")/../.." && pwd)
examples=$(cd "${EXAMPLES:-${BUILD:-$source/build}/examples}" && pwd) || exit 1
nightly=$examples/nightly
work=$(mktemp -d "${TMPDIR:-/tmp}/test_nightly.XXXXXX") || exit 1
bad=0

[ -x "$nightly" ] || { echo "there is no $nightly"; exit 1; }

fail()
{
    echo "FAILED: $1"
    bad=1
}

# refused SENTENCE ARGUMENT...
refused()
{
    sentence=$1
    shift
    "$nightly" "$work/db" "$@" >"$work/out" 2>&1
    [ $? -eq 1 ] && grep -q "$sentence" "$work/out" || fail "'$*' is not refused: $(cat "$work/out")"
}

"$nightly" "$work/db" at report "0 3 * * *" || fail "a time by the clock"
refused "cron: '0 0 30 2 \*' never comes" at never "0 0 30 2 *"
refused "cron: the hour is out of range" at never "0 24 * * *"
refused "a period of 0 ms" every never 0
"$nightly" "$work/db" every backup 1 || fail "a period"
sleep 0.2
"$nightly" "$work/db" run 1000 >"$work/runs" || fail "run"
grep -q '^backup run 1, [0-9]* ms late$' "$work/runs" || fail "what was missed did not run"
grep -q '^backup run 2, ' "$work/runs" || fail "it ran once only"
[ "$(grep -c '^backup run 1,' "$work/runs")" = 1 ] || fail "it ran twice"
grep -q '^report' "$work/runs" && [ "$(date -u +%H)" != 03 ] && fail "the report ran by day"
"$nightly" "$work/db" drop backup >"$work/out" || fail "drop"
"$nightly" "$work/db" run 200 >"$work/runs" || fail "run"
grep '^backup run 1,' "$work/runs" && fail "a job that was dropped ran"

"$nightly" "$work/db" sing >"$work/out" 2>&1
[ $? -eq 2 ] && grep -q '^usage' "$work/out" || fail "no usage"

[ $bad -eq 0 ] || { echo "left as it was: $work"; exit 1; }
rm -rf "$work"
