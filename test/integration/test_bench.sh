#!/bin/sh
# test_bench.sh - every kind of benchmark runs, finds its sums right, and has its place in the table.
#
# Tiny runs in a directory of their own; what they measure means nothing.
set -u
[ -r /proc/self/io ] || { echo "there is no /proc/self/io, which counts the bytes written"; exit 77; }

source=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-$source/build}
[ -x "$build/bench/by_hand" ] || { echo "SKIPPED: the benchmarks were not built"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/test_bench.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
ln -s "$(cd "$build" && pwd)/bench" "$work/bench"
bad=0

for only in "counters " source latency senders asks "transfer " "inside " "cart " "map " "walk " "list "; do
    if ! BUILD=$work ROUNDS=1 SCALE=tiny ONLY=$only "$source/bench/run" >"$work/out" 2>&1; then
        echo "FAILED: bench/run, ONLY='$only':"
        cat "$work/out"
        bad=1
    fi
    grep -q "^${only% }: .*; \(.* a second\|.*, p50\)\$" "$work/out" || {
        echo "FAILED: no table of '$only'"
        bad=1
    }
done
exit $bad
