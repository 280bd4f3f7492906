#!/bin/sh
# test_transfer.sh - by calls the sum is whole in every view; by messages it is in the end: undisturbed,
# killed, and started again.
#
# EXAMPLES  where the built programs are; default: examples/ in the build directory
set -u

source=$(cd "$(dirname "$0")/../.." && pwd)
examples=$(cd "${EXAMPLES:-${BUILD:-$source/build}/examples}" && pwd) || exit 1
transfer=$examples/transfer
work=$(mktemp -d "${TMPDIR:-/tmp}/test_transfer.XXXXXX") || exit 1
bad=0

[ -x "$transfer" ] || { echo "there is no $transfer"; exit 1; }

# expect FILE LINE
expect()
{
    grep -q "^$2\$" "$1" || { echo "FAILED: no line '$2' in:"; cat "$1"; bad=1; }
}

"$transfer" 200 "$work/db" >"$work/out" 2>&1 || bad=1
expect "$work/out" "at first: 10000"
expect "$work/out" "by calls: lowest sum 10000, in the end 10000"
expect "$work/out" "by messages: lowest sum [0-9]*, in the end 10000"
grep -q "^by messages: lowest sum 10000" "$work/out" &&
    { echo "FAILED: by messages no money was ever seen under way"; bad=1; }

# Killed anywhere: what was under way comes to its end in the next run.
for round in 1 2 3 4 5 6 7 8; do
    "$transfer" 100000 "$work/db" >"$work/out" 2>&1 &
    victim=$!
    sleep "0.$round"
    kill -9 $victim 2>/dev/null
    wait $victim 2>/dev/null
    "$transfer" 1 "$work/db" >"$work/out" 2>&1 || bad=1
    expect "$work/out" "at first: 10000"
done

"$transfer" 1 "$work/none/db" >"$work/out" 2>&1 && { echo "FAILED: opened nothing"; bad=1; }
grep -q '^transfer: ' "$work/out" || { echo "FAILED: says '$(cat "$work/out")'"; bad=1; }

[ $bad -eq 0 ] || { echo "left as it was: $work"; exit 1; }
rm -rf "$work"
