#!/bin/sh
# test_powerloss.sh - power cuts at every write and sync, and proof that the harness would see them.
# STATES and SEED make it longer or different; `make powerloss` runs it alone.
set -eu
[ -d /proc/self/fd ] || { echo "there is no /proc, which tells the database's writes"; exit 77; }
powerloss=${BUILD:-build}/test/crash/powerloss
states=${STATES:-20000} seed=${SEED:-1}
dir=/dev/shm
[ -w $dir ] || dir=${TMPDIR:-/tmp}
log=$(mktemp "${TMPDIR:-/tmp}/test_powerloss.XXXXXX")
trap 'rm -f "$log"' EXIT

# cut SHARE RUNS OPTION...: so many states of a hundred, after so many different runs; more if it is
# to be longer
cut()
{
    share=$1 runs=$(($2 * ((states + 19999) / 20000)))
    shift 2
    echo "== $*"
    for run in $(seq "$runs"); do
        "$powerloss" --states $((states * share / 100 / runs)) --seed $((seed * 1000 + run)) \
            --dir "$dir" "$@" >"$log" 2>&1 || { cat "$log"; exit 1; }
        tail -n 1 "$log"
    done
}

# must_find BUG OPTION...
must_find()
{
    if "$powerloss" --states 1000 --dir "$dir" --plant "$@" >/dev/null 2>&1; then
        echo "the harness did not see what was planted: $*"
        exit 1
    fi
}

cut 10 1
cut 10 1 --sector 4096
cut 10 2 --log-records 24 --inline
cut 10 2 --log-records 24
cut 15 6 --log-records 200 --lives 6
cut 8 4 --log-records 24 --relaxed --lives 5
cut 7 3 --log-records 200 --faults full
cut 7 4 --log-records 24 --faults full --inline --lives 3
cut 8 6 --log-records 200 --faults eio
cut 7 6 --log-records 24 --faults eio --inline --lives 3
cut 8 8 --log-records 200 --faults eio --relaxed --lives 3

must_find nosync
must_find early
must_find nosync --log-records 24
must_find tickets --relaxed
for command in pause purge drop resend; do
    must_find $command --lives 4
done
