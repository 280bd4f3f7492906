#!/bin/sh
# test_model.sh - model/*.pml, searched in all their states: the protocol holds, each wrong one is
# refuted, and each situation that matters is reached.  DEEP=1 takes larger bounds (some GB of
# memory, minutes).  -v shows all that the searches print.
set -u

models=$(cd "$(dirname "$0")/../../model" && pwd)
cc=${CC:-cc}
verbose=0
[ "${1:-}" != -v ] || verbose=1

command -v spin >/dev/null ||
    { echo "there is no spin; ./scripts/setup check installs it"; exit 77; }
command -v "${cc%% *}" >/dev/null || { echo "there is no ${cc%% *}"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/test_model.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
cp "$models"/*.pml "$work" # spin takes no path with spaces
cd "$work" || exit 1
searches=0 bad=0

# search CC-FLAG PAN-FLAG MODEL DEFINE... - all states, or up to the first error.  The result is in
# ./out.
search()
{
    optimise=$1 panflag=$2 model=$3
    shift 3
    rm -f pan* ./*.trail
    # shellcheck disable=SC2086 # a list of words
    if ! spin "$@" -a "$model.pml" >out 2>&1 ||
        ! $cc "$optimise" -w -DSAFETY -DNOCLAIM -DMEMLIM=12000 pan.c -o pan >>out 2>&1; then
        cat out
        exit 1
    fi
    start=$(date +%s.%N)
    ./pan "$panflag" -m100000 -w22 >out 2>&1
    took=$(awk -v from="$start" -v to="$(date +%s.%N)" 'BEGIN { printf "%.1f", to - from }')
    states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' out)
    searches=$((searches + 1))
    [ $verbose -eq 0 ] || cat out
}

# tell MODEL DEFINES RESULT MORE
tell()
{
    printf '%-9s %-72s %-8s %9s states %5s s  %s\n' "$1" "$2" "$3" "${states:-?}" "$took" "${4:-}"
}

# holds MODEL DEFINE... - no assertion fails, nothing is stuck, and the search was complete.
holds()
{
    search -O1 -n "$@"
    model=$1
    shift
    if grep -q 'errors: 0$' out &&
        ! grep -qi 'max search depth too small\|not completed\|memory limit' out; then
        tell "$model" "$*" holds
    else
        tell "$model" "$*" "DOES NOT HOLD"
        grep -v '^Depth=' out
        bad=1
    fi
}

# finds WHAT MODEL DEFINE... - an assertion fails, else the search above proves little.
finds()
{
    what=$1
    shift
    search -O0 -E "$@"
    model=$1
    shift
    if grep -q '^pan:1: assertion violated' out; then
        tell "$model" "$*" "$what" "$(sed -n 's/^pan:1: .*(at \(depth [0-9]*\)).*/\1/p' out)"
    else
        tell "$model" "$*" "NOT $what"
        grep -v '^Depth=' out
        bad=1
    fi
}

refuted() { finds refuted "$@"; }
reached() { finds reached "$@"; }

if [ "${DEEP:-0}" = 1 ]; then
    holds commit -DINPUTS=5 -DCRASHES=3 -DERRORS=3
    holds commit -DINPUTS=4 -DTIDIES=2
    holds commit -DINPUTS=4 -DCRASHES=3 -DERRORS=2 -DRELAXED=1
    holds commit -DINPUTS=4 -DERRORS=2 -DRELAXED=1 -DTIDIES=1
    holds commit -DINPUTS=4 -DERRORS=2 -DFORGET=1 -DREDIRTY=1 -DTIDIES=1
    holds commit -DINPUTS=3 -DERRORS=2 -DFORGET=1 -DREDIRTY=1 -DRELAXED=1 -DTIDIES=2
    holds changelog
    holds changelog -DEPOCHS=7 -DCRASHES=0 -DERRORS=0 -DREADERS=2
    holds changelog -DCRASHES=2 -DERRORS=2 -DREADERS=0
    holds changelog -DWRITES=5 -DEPOCHS=7 -DREADERS=0
    holds changelog -DWRITES=5 -DEPOCHS=7 -DFULL=3 -DREADERS=0
    holds changelog -DWRITES=6 -DEPOCHS=7 -DSLICE=2 -DTRIM=2 -DREADERS=0
    holds changelog -DKEYS=3 -DCRASHES=1 -DERRORS=1 -DREADERS=0
    holds changelog -DHARMLESS=1 -DERRORS=0
    holds holds -DN=5
    holds holds -DCRASHES=2 -DPAUSES=3
    holds await -DN=6
    holds await -DCRASHES=2 -DPAUSES=2
    for max in 1 2 3; do holds careful -DKILLS=4 -DMAX=$max; done
else
    holds commit
    holds commit -DINPUTS=3 -DTIDIES=1
    holds commit -DINPUTS=3 -DERRORS=1 -DRELAXED=1 -DTIDIES=1
    holds commit -DERRORS=1 -DFORGET=1 -DREDIRTY=1
    holds commit -DINPUTS=3 -DERRORS=1 -DFORGET=1 -DREDIRTY=1 -DRELAXED=1 -DTIDIES=1
    holds changelog -DREADERS=0
    holds changelog -DREADERS=0 -DSLICE=2 -DTRIM=2
    holds changelog -DEPOCHS=5 -DCRASHES=0 -DERRORS=0
    holds changelog -DCRASHES=0 -DWRITES=3
    holds changelog -DEPOCHS=5 -DREADERS=0 -DHARMLESS=1
    holds holds
    holds await
    holds careful -DKILLS=0
    holds careful
    holds careful -DMAX=3
fi

for goal in 1 2 3 4; do reached commit -DGOAL=$goal; done
reached commit -DGOAL=5 -DRELAXED=1
reached commit -DGOAL=6 -DTIDIES=1
for number in 1 2 3 4 5 6 7 8 9 10 13; do refuted commit -DBUG=$number; done
for number in 11 12; do refuted commit -DBUG=$number -DRELAXED=1; done
refuted commit -DBUG=14 -DTIDIES=1 -DINPUTS=2
# A file system that forgets what it could not write: the sync of a reopen is not enough
# (model/README.md).
refuted commit -DFORGET=1
refuted commit -DFORGET=1 -DRELAXED=1

reached changelog -DGOAL=1 -DSLICE=2 -DTRIM=2 -DREADERS=0
for goal in 2 4 5 7 8; do reached changelog -DGOAL=$goal -DREADERS=0; done
for goal in 3 6; do reached changelog -DGOAL=$goal; done
for number in 1 2 3 4 5 6 8 9 10 13; do refuted changelog -DBUG=$number -DREADERS=0; done
for number in 7 11 12 14; do refuted changelog -DBUG=$number; done

for goal in 1 2 3; do reached holds -DGOAL=$goal; done
for number in 1 2 3 4 5 6; do refuted holds -DBUG=$number; done

for goal in 1 2 3; do reached await -DGOAL=$goal; done
for number in 1 2 3 4 5 6 7; do refuted await -DBUG=$number; done

for goal in 1 2 3 4; do reached careful -DGOAL=$goal; done
for number in 1 2 3 4 5 6; do refuted careful -DBUG=$number; done

[ $bad -eq 0 ] || exit 1
echo "test_model: $searches searches"
