#!/bin/sh
# test_negative_control.sh - a storm that cannot fail proves nothing: each planted bug must be
# found, and named for what it is.
set -u

source=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-$source/build}
killstorm=$build/test/crash/killstorm
work=$(mktemp -d "${TMPDIR:-/tmp}/test_negative_control.XXXXXX") || exit 1
bad=0

[ -x "$killstorm" ] || { echo "there is no $killstorm"; exit 1; }

# expect_found STORM BUG WHAT-IT-SAYS
expect_found()
{
    "$killstorm" --flights "$build/examples/flights" --bank "$build/examples/bank" \
        --sample "$source/examples/data/flights-sample.csv" --dir "$work/$2" \
        --only "$1" --plant "$2" --kills 200 >"$work/$2.out" 2>&1
    status=$?
    if [ $status -ne 1 ] || ! grep -q "VIOLATION: .*$3" "$work/$2.out"; then
        echo "FAILED: $2 was not found (exit $status):"
        cat "$work/$2.out"
        bad=1
        return
    fi
    grep VIOLATION "$work/$2.out"
}

expect_found mesh early-ack "G2: .*acknowledged and is lost"
expect_found mesh forgetful-sink "G5: "
expect_found mesh no-position "G3: "
expect_found mesh resend "G[34]: "
expect_found mesh early-pause "G6: "
expect_found mesh early-type-pause "G6: type"
expect_found mesh no-purge "G7: "
expect_found mesh no-clear "G7: "
expect_found mesh half-a-call "G8: "
expect_found mesh timer-twice "G10: .*came twice"
expect_found mesh lost-sale "G12: "
expect_found mesh unasked-drop "G9: .*is missing"
expect_found mesh greedy-eviction "G9: .*is missing"
expect_found mesh double-resend "G[39]: .*twice"
expect_found flights lost-alerts "flights after a kill: exit status 1\|alerts"
expect_found bank lost-bank "bank: [0-9]* transfers after there were\|bank: .* the sum is"

[ $bad -eq 0 ] || { echo "left as it was: $work"; exit 1; }
rm -rf "$work"
