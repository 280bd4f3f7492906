#!/bin/sh
# test_twins.sh - regions know what their sensors said, however they are killed and read again.
#
# EXAMPLES  where the built programs are; default: examples/ in the build directory
set -u

source=$(cd "$(dirname "$0")/../.." && pwd)
examples=$(cd "${EXAMPLES:-${BUILD:-$source/build}/examples}" && pwd) || exit 1
twins=$examples/twins
work=$(mktemp -d "${TMPDIR:-/tmp}/test_twins.XXXXXX") || exit 1
bad=0

[ -x "$twins" ] || { echo "there is no $twins"; exit 1; }

# A spike: a thousand sensors in two regions, twenty readings each; sensor 7 and 500 get hot.
awk 'BEGIN {
    for (round = 0; round < 20; round++)
        for (i = 1; i <= 1000; i++)
            printf "sensor-%03d %s %.1f\n", i, i % 4 ? "north" : "south",
                i == 7 && round == 5 ? 91.5 : i == 500 && round == 19 ? 80 : 20 + i % 10 / 10
}' >"$work/readings"
cat >"$work/expected" <<'END'
north: 750 sensors, 15000 readings; sensor-007 91.5 sensor-009 20.9 sensor-019 20.9
south: 250 sensors, 5000 readings; sensor-500 80.0 sensor-008 20.8 sensor-028 20.8
END

for i in 1 2 3 4; do
    "$twins" "$work/killed" <"$work/readings" >"$work/out" 2>&1 &
    victim=$!
    sleep "0.0$((i * 2))"
    kill -9 $victim 2>/dev/null
    wait $victim 2>/dev/null
done
for run in killed killed once; do
    "$twins" "$work/$run" <"$work/readings" >"$work/out" 2>&1 || { echo "FAILED: $run: exit $?"; bad=1; }
    diff "$work/expected" "$work/out" || { echo "FAILED: $run"; bad=1; }
done

[ $bad -eq 0 ] || { echo "left as it was: $work"; exit 1; }
rm -rf "$work"
