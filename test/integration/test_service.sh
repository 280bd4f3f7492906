#!/bin/bash
# test_service.sh - the epoll example serves several clients, its signals and its timer beside the
# runtime, and what it answered survives kill -9.
#
# bash, for its /dev/tcp.
# EXAMPLES  where the built programs are; default: examples/ in the build directory
set -u

source=$(cd "$(dirname "$0")/../.." && pwd)
examples=$(cd "${EXAMPLES:-${BUILD:-$source/build}/examples}" && pwd) || exit 1
service=$examples/service
work=$(mktemp -d "${TMPDIR:-/tmp}/test_service.XXXXXX") || exit 1
bad=0
pid=

[ -x "$service" ] || { echo "there is no $service"; exit 1; }
trap '[ -z "$pid" ] || kill -9 $pid 2>/dev/null' EXIT

fail()
{
    echo "FAILED: $*"
    bad=1
}

# wait_for FILE PATTERN - until a line is there; a minute, because a loaded machine is slow
wait_for()
{
    local i
    for i in $(seq 600); do
        grep -q "$2" "$1" 2>/dev/null && return 0
        sleep 0.1
    done
    fail "'$2' never came: $(cat "$1" "$work/err")"
    return 1
}

start()
{
    : >"$work/out"
    "$service" --db "$work/db" >"$work/out" 2>"$work/err" &
    pid=$!
    wait_for "$work/out" '^listening on 127.0.0.1:' || exit 1
    port=$(sed -n 's/^listening on 127.0.0.1://p' "$work/out")
}

# expect FD LINE - the next line from that client's connection
expect()
{
    local line=
    IFS= read -r -t 60 -u "$1" line || fail "no answer where '$2' was due"
    [ "$line" = "$2" ] || fail "answered '$line', not '$2'"
}

echo "several clients"
start
exec 3<>"/dev/tcp/127.0.0.1/$port" 4<>"/dev/tcp/127.0.0.1/$port"
echo "hit ada" >&3
expect 3 "ada 1"
printf 'hit bob\nhit bob\nhit ada\n' >&4
expect 4 "bob 1"
expect 4 "bob 2"
expect 4 "ada 2"
printf 'hit ' >&3
echo "hit ada" >&4
expect 4 "ada 3"
echo "ada" >&3
expect 3 "ada 4"

echo "bad lines"
echo "hello" >&3
expect 3 "error: say: hit NAME"
echo "hit ada twice" >&3
expect 3 "error: say: hit NAME"
head -c 255 /dev/zero | tr '\0' x >&4
expect 4 "error: that line is too long"
exec 4>&-
echo "hit ada" >&3
expect 3 "ada 5"

echo "clients that hang up without waiting"
for i in $(seq 20); do
    exec 5<>"/dev/tcp/127.0.0.1/$port"
    echo "hit gone" >&5
    exec 5>&-
done
echo "hit ada" >&3
expect 3 "ada 6"

echo "the timer"
wait_for "$work/out" ' answered$'

echo "a second one is refused"
"$service" --db "$work/db" >"$work/second.out" 2>"$work/second.err"
[ $? -eq 1 ] || fail "a second service on the same directory: exit $?"
grep -q '^service: .' "$work/second.err" || fail "a second service says nothing"

echo "a signal ends it"
kill -TERM $pid
wait $pid
status=$?
[ $status -eq 0 ] || fail "exit $status after SIGTERM: $(cat "$work/err")"
[ ! -s "$work/err" ] || fail "it complained: $(cat "$work/err")"
exec 3>&-

echo "killed after an answer"
for round in $(seq 5); do
    start
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    printf 'hit ada\nhit eve\n' >&3
    expect 3 "ada $((6 + round))"
    expect 3 "eve $round"
    kill -9 $pid
    wait $pid 2>/dev/null
    exec 3>&-
done
pid=

echo "usage"
"$service" 2>"$work/usage"
[ $? -eq 2 ] || fail "no --db: not exit 2"

[ $bad -eq 0 ] || { echo "left as it was: $work"; exit 1; }
rm -rf "$work"
echo "all well"
