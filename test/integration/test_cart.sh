#!/bin/sh
# test_cart.sh - what a cart reserved is shipped, or goes back when its time is over, also after a restart.
#
# EXAMPLES  where the built programs are; default: examples/ in the build directory
set -u

source=$(cd "$(dirname "$0")/../.." && pwd)
examples=$(cd "${EXAMPLES:-${BUILD:-$source/build}/examples}" && pwd) || exit 1
cart=$examples/cart
work=$(mktemp -d "${TMPDIR:-/tmp}/test_cart.XXXXXX") || exit 1
bad=0

[ -x "$cart" ] || { echo "there is no $cart"; exit 1; }

# expect WHAT EXPECTED COMMANDS HOLD_MS [DIR]
expect()
{
    what=$1 expected=$2 commands=$3
    shift 3
    got=$(printf "$commands" | "$cart" "$@" 2>&1 | tr '\n' ';')
    [ "$got" = "$expected" ] || { echo "FAILED: $what: '$got', not '$expected'"; bad=1; }
}

hour=3600000
expect "an order" "socks: 3 free, 2 reserved;ada: ordered, 2;socks: 3 free, 0 reserved;ada: empty, 0;" \
    "stock socks 5\nadd ada socks 2\nshow socks\ncheckout ada\nshow socks\ncheckout ada\n" $hour "$work/db"
expect "not enough" "not enough socks;socks: 0 free, 3 reserved;" \
    "add bob socks 2\nadd bob socks 1\nadd cid socks 1\nshow socks\n" $hour "$work/db"
expect "after a restart" "bob: ordered, 3;socks: 0 free, 0 reserved;" "checkout bob\nshow socks\n" $hour "$work/db"

expect "a cart that is left" "hats: 1 free, 1 reserved;" \
    "stock hats 2\nadd eve hats 1\nshow hats\n" 300 "$work/left"
expect "its time is over" "hats: 2 free, 0 reserved;eve: empty, 0;" "wait 2000\nshow hats\ncheckout eve\n" 300 "$work/left"

"$cart" 0 "$work/none" </dev/null >"$work/out" 2>&1
[ $? -eq 2 ] && grep -q '^usage' "$work/out" || { echo "FAILED: no usage"; bad=1; }
"$cart" 1 "$work/none/db" </dev/null >"$work/out" 2>&1
[ $? -eq 1 ] && grep -q '^cart: ' "$work/out" || { echo "FAILED: opened nothing"; bad=1; }

[ $bad -eq 0 ] || { echo "left as it was: $work"; exit 1; }
rm -rf "$work"
