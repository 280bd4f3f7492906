#!/bin/sh
# test_order.sh - every order ends once, and what was undone is as if it had never been: undisturbed,
# killed again and again, and once more when all is over.
#
# EXAMPLES  where the built programs are; default: examples/ in the build directory
set -u

source=$(cd "$(dirname "$0")/../.." && pwd)
examples=$(cd "${EXAMPLES:-${BUILD:-$source/build}/examples}" && pwd) || exit 1
order=$examples/order
work=$(mktemp -d "${TMPDIR:-/tmp}/test_order.XXXXXX") || exit 1
bad=0

[ -x "$order" ] || { echo "there is no $order"; exit 1; }

fail()
{
    echo "FAILED: $*"
    bad=1
}

value() # FILE NAME
{
    sed -n "s/^$2 //p" "$1"
}

# expect_books FILE ORDERS
expect_books()
{
    shipped=$(value "$1" shipped) declined=$(value "$1" declined) out=$(value "$1" refused)
    [ -n "$shipped" ] || { fail "$1: $(cat "$1")"; return; }
    [ $((shipped + declined + out)) = "$2" ] || fail "$1: not every order ended once"
    [ "$(value "$1" sold)" = "$shipped" ] || fail "$1: sold is not shipped"
    [ "$(value "$1" reserved)" = 0 ] || fail "$1: something is still reserved"
    [ "$(value "$1" taken)" = $((shipped * 30)) ] || fail "$1: taken is not what was shipped"
}

"$order" --db "$work/one" --orders 700 >"$work/one.out" 2>&1 || fail "one: exit $?"
expect_books "$work/one.out" 700
[ "$(value "$work/one.out" declined)" = 100 ] || fail "one: each seventh card is declined"
"$order" --db "$work/one" --orders 700 >"$work/again.out" 2>&1 || fail "again: exit $?"
cmp -s "$work/one.out" "$work/again.out" || fail "orders were placed twice"

kills=0
for i in 1 2 3 4 5 6 7 8; do
    "$order" --db "$work/killed" --orders 6000 >"$work/killed.out" 2>&1 &
    victim=$!
    sleep "0.0$((i % 9 + 1))"
    kill -9 $victim 2>/dev/null && kills=$((kills + 1))
    wait $victim 2>/dev/null
done
"$order" --db "$work/killed" --orders 6000 >"$work/killed.out" 2>&1 || fail "killed: exit $?"
expect_books "$work/killed.out" 6000
[ "$(value "$work/killed.out" refused)" -gt 0 ] || fail "killed: never sold out: a weak test"
echo "killed $kills times"

[ $bad -eq 0 ] || { echo "left as it was: $work"; exit 1; }
rm -rf "$work"
