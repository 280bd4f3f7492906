#!/bin/sh
# test_histories.sh - what clients see of transactions by calls fits one order, whatever is killed;
# and each planted bug is found.  KILLS and SEED make it longer or different: `make histories`.
set -u
source=$(cd "$(dirname "$0")/../.." && pwd)
histories=${BUILD:-$source/build}/test/crash/histories
work=$(mktemp -d "${TMPDIR:-/tmp}/test_histories.XXXXXX") || exit 1
kills=$((${KILLS:-200} / 10 + 10)) seed=${SEED:-1}
bad=0

[ -x "$histories" ] || { echo "there is no $histories"; exit 1; }

"$histories" --kills "${HISTORY_KILLS:-$kills}" --seed "$seed" --dir "$work/none" || bad=1

# expect_found BUG WHAT-IT-SAYS
expect_found()
{
    "$histories" --kills 100 --seed "$seed" --dir "$work/$1" --plant "$1" >"$work/out" 2>&1
    status=$?
    if [ $status -ne 1 ] || ! grep -q "VIOLATION: .*\($2\)" "$work/out"; then
        echo "FAILED: $1 was not found (exit $status):"
        cat "$work/out"
        bad=1
        return
    fi
    head -n 1 "$work/out"
}

expect_found torn "no order\|only [0-9] of\|are lost"
expect_found stale "no order"
expect_found lost "are lost\|no order"
expect_found old-copy "are lost\|never held\|no order\|nobody appended"

[ $bad -eq 0 ] || { echo "left as it was: $work"; exit 1; }
rm -rf "$work"
