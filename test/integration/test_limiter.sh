#!/bin/sh
# test_limiter.sh - a burst and no more, for each client, over a restart; and again when it has leaked.
#
# EXAMPLES  where the built programs are; default: examples/ in the build directory
set -u

source=$(cd "$(dirname "$0")/../.." && pwd)
examples=$(cd "${EXAMPLES:-${BUILD:-$source/build}/examples}" && pwd) || exit 1
limiter=$examples/limiter
work=$(mktemp -d "${TMPDIR:-/tmp}/test_limiter.XXXXXX") || exit 1
bad=0

[ -x "$limiter" ] || { echo "there is no $limiter"; exit 1; }

# expect WHAT EXPECTED CLIENTS LIMITER-ARGUMENT... - the verdicts, without the times
expect()
{
    what=$1 expected=$2 clients=$3
    shift 3
    # shellcheck disable=SC2086 # a list of words
    got=$(printf '%s\n' $clients | "$limiter" "$@" 2>&1 | sed 's/wait .*/wait/' | tr '\n' ',')
    [ "$got" = "$expected" ] || { echo "FAILED: $what: '$got', not '$expected'"; bad=1; }
}

day=86400000
expect "a burst" "ada go,ada go,bob go,ada go,ada wait,bob go," "ada ada bob ada ada bob" \
    3 $day "$work/db"
expect "after a restart" "ada wait,bob go,bob wait,cid go," "ada bob bob cid" 3 $day "$work/db"
expect "a second ago" "eve go,eve go," "eve eve" 2 1000 "$work/short"
sleep 1.1 # whatever else takes time adds to it
expect "when it has leaked" "eve go,eve go," "eve eve" 2 1000 "$work/short"

"$limiter" 0 1000 "$work/db" </dev/null >"$work/out" 2>&1
[ $? -eq 2 ] && grep -q '^usage' "$work/out" || { echo "FAILED: no usage"; bad=1; }
"$limiter" 1 1000 "$work/none/db" </dev/null >"$work/out" 2>&1
[ $? -eq 1 ] && grep -q '^limiter: ' "$work/out" || { echo "FAILED: opened nothing"; bad=1; }

[ $bad -eq 0 ] || { echo "left as it was: $work"; exit 1; }
rm -rf "$work"
