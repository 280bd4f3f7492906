#!/bin/sh
# test_powerloss.sh - power cuts at every write and sync, and proof that the harness would see them.
# STATES and SEED make it longer or different; `make powerloss` runs it alone.
set -eu
powerloss=${BUILD:-build}/test/crash/powerloss
states=${STATES:-20000} seed=${SEED:-1}
dir=/dev/shm
[ -w $dir ] || dir=${TMPDIR:-/tmp}

"$powerloss" --states $((states / 2)) --seed "$seed" --dir "$dir"
"$powerloss" --states $((states / 2)) --seed "$seed" --dir "$dir" --sector 4096
for plant in nosync early; do
    if "$powerloss" --states 1000 --dir "$dir" --plant $plant 2>/dev/null; then
        echo "the harness did not see what was planted: $plant"
        exit 1
    fi
done
