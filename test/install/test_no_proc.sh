#!/bin/sh
# test_no_proc.sh - README's example runs where there is no /proc, as in a bare chroot; and whether a call was
# left by longjmp is seen there too.
set -eu
source=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-$source/build}
work=$(mktemp -d "${TMPDIR:-/tmp}/test_no_proc.XXXXXX")
trap 'rm -rf "$work"' EXIT

# hidden COMMAND... - with an empty directory in the place of /proc, for this command only
hidden()
{
    unshare --user --map-root-user --mount sh -c 'mount -t tmpfs none /proc && exec "$@"' sh "$@"
}

hidden true 2>/dev/null || { echo "not allowed to hide /proc here"; exit 77; }
hidden test ! -e /proc/self || { echo "/proc is not hidden"; exit 1; }
hidden "$build/examples/flights" --db "$work/db" --alerts "$work/alerts" \
    "$source/examples/data/flights-sample.csv" >"$work/report"
[ "$(wc -l <"$work/report")" -gt 100 ] || { cat "$work/report"; exit 1; }
hidden "$build/test/unit/test_stack" >"$work/stack" 2>&1 || { cat "$work/stack"; exit 1; }
