#!/bin/sh
# test_payment.sh - orders are paid or declined, once, also when the process is killed while the bank is asked.
#
# EXAMPLES  where the built programs are; default: examples/ in the build directory
set -u

source=$(cd "$(dirname "$0")/../.." && pwd)
examples=$(cd "${EXAMPLES:-${BUILD:-$source/build}/examples}" && pwd) || exit 1
payment=$examples/payment
work=$(mktemp -d "${TMPDIR:-/tmp}/test_payment.XXXXXX") || exit 1
bad=0

[ -x "$payment" ] || { echo "there is no $payment"; exit 1; }

# expect WHAT EXPECTED ORDERS PAYMENT-ARGUMENT... - what became of each, in order of ids
expect()
{
    what=$1 expected=$2 orders=$3
    shift 3
    got=$(printf "$orders" | "$payment" "$@" 2>&1 | sort | tr '\n' ',')
    [ "$got" = "$expected" ] || { echo "FAILED: $what: '$got', not '$expected'"; bad=1; }
}

expect "a bank" "a paid,b declined: over the limit,c paid," "a 10\nb 100001\nc 20\n" 1 "$work/db"
expect "after a restart" "a paid,d paid," "a 10\nd 5\n" 1 "$work/db"

# Killed while the bank is asked: who asks again waits for the one that is asked anew.
printf 'x 10\ny 20\n' | "$payment" 60000 "$work/killed" &
child=$!
sleep 1
kill -9 $child
wait $child 2>/dev/null
expect "after a kill" "x paid,y paid," "x 10\ny 20\n" 1 "$work/killed"
expect "and again" "x paid,y paid," "x 10\ny 20\n" 1 "$work/killed"

"$payment" -1 "$work/db" </dev/null >"$work/out" 2>&1
[ $? -eq 2 ] && grep -q '^usage' "$work/out" || { echo "FAILED: no usage"; bad=1; }
"$payment" 1 "$work/none/db" </dev/null >"$work/out" 2>&1
[ $? -eq 1 ] && grep -q '^payment: ' "$work/out" || { echo "FAILED: opened nothing"; bad=1; }

[ $bad -eq 0 ] || { echo "left as it was: $work"; exit 1; }
rm -rf "$work"
