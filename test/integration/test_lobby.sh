#!/bin/sh
# test_lobby.sh - full matches begin at once, others when waiting is over, and who is alone hears that.
#
# EXAMPLES  where the built programs are; default: examples/ in the build directory
set -u

source=$(cd "$(dirname "$0")/../.." && pwd)
examples=$(cd "${EXAMPLES:-${BUILD:-$source/build}/examples}" && pwd) || exit 1
lobby=$examples/lobby
work=$(mktemp -d "${TMPDIR:-/tmp}/test_lobby.XXXXXX") || exit 1
bad=0

[ -x "$lobby" ] || { echo "there is no $lobby"; exit 1; }

# expect WHAT EXPECTED PLAYER...
expect()
{
    what=$1 expected=$2
    shift 2
    got=$("$lobby" "$work/db" "$@" 2>&1 | sort | tr '\n' ',')
    [ "$got" = "$expected" ] || { echo "FAILED: $what: '$got', not '$expected'"; bad=1; }
}

all="match 1: ada bob cid dan"
expect "a full match, and one too many" \
    "ada: $all,bob: $all,cid: $all,dan: $all,eve: nobody came," ada bob cid dan eve
expect "two who have waited" "ada: match 2: ada eve,eve: match 2: ada eve," eve ada
expect "alone" "ada: nobody came," ada

"$lobby" "$work/db" zoe >/dev/null 2>&1 & # dies while she waits, and the next one finds her seat
victim=$!
sleep 0.1
kill -9 $victim 2>/dev/null
wait $victim 2>/dev/null
got=$("$lobby" "$work/db" ada 2>&1)
case $got in
"ada: match 3: ada zoe" | "ada: nobody came") ;;
*) echo "FAILED: after a kill: '$got'"; bad=1 ;;
esac

[ $bad -eq 0 ] || { echo "left as it was: $work"; exit 1; }
rm -rf "$work"
