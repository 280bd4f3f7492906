#!/bin/sh
# test_bank.sh - transfers never change the sum: undisturbed, killed, looked at in between, started
# again.
#
# EXAMPLES  where the built programs are; default: examples/ in the build directory
set -u

source=$(cd "$(dirname "$0")/../.." && pwd)
examples=$(cd "${EXAMPLES:-${BUILD:-$source/build}/examples}" && pwd) || exit 1
bank=$examples/bank
work=$(mktemp -d "${TMPDIR:-/tmp}/test_bank.XXXXXX") || exit 1
bad=0

[ -x "$bank" ] || { echo "there is no $bank"; exit 1; }
trap 'kill -9 ${victim:-} 2>/dev/null' EXIT

fail()
{
    echo "FAILED: $*"
    bad=1
}

value() # FILE NAME
{
    sed -n "s/^$2 //p" "$1"
}

# expect_books FILE ACCOUNTS TRANSFERS - in full
expect_books()
{
    [ "$(value "$1" accounts)" = "$2" ] || fail "$1: $(value "$1" accounts) accounts, not $2"
    [ "$(value "$1" sum)" = $(($2 * 1000)) ] || fail "$1: the sum is $(value "$1" sum)"
    [ "$(value "$1" transfers)" = "$3" ] || fail "$1: $(value "$1" transfers) transfers, not $3"
    [ $(($(value "$1" debits) + $(value "$1" refused))) = "$3" ] ||
        fail "$1: debits and refused are not $3"
    [ "$(value "$1" credits)" = "$(value "$1" debits)" ] || fail "$1: credits are not debits"
}

expect_refusal() # NAME EXIT SENTENCE-PART ARGUMENT...
{
    name=$1 expected=$2 part=$3
    shift 3
    "$bank" "$@" >"$work/refused.out" 2>"$work/refused.err"
    status=$?
    [ $status -eq "$expected" ] || fail "$name: exit $status, not $expected"
    head -n 1 "$work/refused.err" | grep -q "^bank: .*$part" ||
        fail "$name: says '$(cat "$work/refused.err")', not '$part'"
}

random_below() # N
{
    echo $(($(od -An -N4 -tu4 /dev/urandom) % $1))
}

echo "undisturbed, and again"
began_ms=$(date +%s%3N)
"$bank" --db "$work/one" >"$work/one.out" 2>"$work/one.err" || fail "one: $(cat "$work/one.err")"
took_ms=$((($(date +%s%3N) - began_ms) / 2)) # so that most runs are killed
expect_books "$work/one.out" 1000 100000
[ "$(value "$work/one.out" refused)" -gt 0 ] || fail "nobody was ever refused: a weak test"
"$bank" --db "$work/one" >"$work/again.out" 2>&1 || fail "again: $(cat "$work/again.out")"
expect_books "$work/again.out" 1000 100000
"$bank" --db "$work/one" --transfers 120000 >"$work/more.out" 2>"$work/more.err" ||
    fail "more: $(cat "$work/more.err")"
expect_books "$work/more.out" 1000 120000
"$bank" --db "$work/one" --check >"$work/check.out" 2>"$work/check.err" ||
    fail "check: $(cat "$work/check.err")"
cmp "$work/more.out" "$work/check.out" || fail "--check adds up otherwise"

echo "one account that pays itself"
"$bank" --db "$work/self" --accounts 1 --transfers 5000 --seed 7 >"$work/self.out" 2>&1 ||
    fail "self: exit $?"
expect_books "$work/self.out" 1 5000

# Runs on that directory and is killed after a random time, unless it is faster.
run_and_kill() # NAME
{
    "$bank" --db "$1" >"$1.out" 2>"$1.err" &
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

echo "killed"
killed=0 round=0
while [ $killed -lt 10 ] && [ $round -lt 50 ]; do
    round=$((round + 1))
    name=$work/killed.$round
    for kill in 1 2 3; do
        run_and_kill "$name" && break
        killed=$((killed + 1))
        # Between two runs the books are right too, once there are any.
        "$bank" --db "$name" --check >"$name.out" 2>"$name.err" || [ ! -e "$name/data.mdb" ] ||
            fail "between: $(cat "$name.err")"
    done
    "$bank" --db "$name" >"$name.out" 2>"$name.err" || fail "killed: $(cat "$name.err")"
    expect_books "$name.out" 1000 100000
    [ $bad -ne 0 ] || rm -rf "$name" "$name".*
done
echo "  $killed kills, in $round directories"

echo "refusals"
expect_refusal "no directory" 2 "no --db DIR"
expect_refusal "no number" 2 "is not a number" --db "$work/x" --accounts many
expect_refusal "no accounts" 2 "is not a number from 1" --db "$work/x" --accounts 0
expect_refusal "an unknown option" 2 "is no option" --db "$work/x" --what
expect_refusal "another plan" 1 "was made with --accounts 1000 --seed 1" --db "$work/one" --seed 2
expect_refusal "nothing to check" 1 "." --db "$work/x" --check
[ ! -e "$work/x" ] || fail "--check made a directory"

[ $bad -eq 0 ] || { echo "left as it was: $work"; exit 1; }
rm -rf "$work"
echo "all well"
