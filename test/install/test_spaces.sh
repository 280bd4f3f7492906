#!/bin/sh
# test_spaces.sh - a checkout whose path has a space is built, tested and installed like any other,
# also into a BUILD, a DESTDIR and a PREFIX that have one.
set -eu
source=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-$source/build}
work=$(mktemp -d "${TMPDIR:-/tmp}/test_spaces.XXXXXX")
trap 'rm -rf "$work"' EXIT
checkout="$work/check out"
unset BUILD SOURCE DESTDIR PREFIX

mkdir "$checkout"
(cd "$source" && cp -R .ci Makefile README.md CHANGELOG LICENSE examples include lib pkgconfig \
    scripts test "$checkout")

# make_in BUILD ARGUMENT... - with objects that are there already, but one: this is not about
# compiling
make_in()
{
    into=$checkout/$1
    shift
    if [ ! -d "$into" ]; then
        mkdir -p "$into/obj"
        cp -R "$build/flags" "$into"
        cp -R "$build/obj/lib" "$build/obj/examples" "$build/obj/test" "$into/obj"
        rm "$into/obj/lib/api/turn.o"
    fi
    (cd "$checkout" && ${MAKE:-make} --no-print-directory BUILD="${into##*/}" "$@") \
        >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
}

expect_log() # PATTERN
{
    grep -q "$1" "$work/log" || { echo "no '$1' in:"; cat "$work/log"; exit 1; }
}

# A few tests of each sort.
few()
{
    make_in "$1" check KILLS=1 unit_tests="\$(BUILD)/test/unit/test_heap" integration_tests= \
        benches= crash_programs="\$(BUILD)/test/crash/killstorm" \
        test_scripts=test/integration/test_service.sh \
        static_checks="scripts/check-layers scripts/check-docs" install_tests= model_test=
    expect_log ' 0 failed, 0 skipped$'
    for name in test_heap killstorm test_service check-layers check-docs; do
        expect_log "^  $name.* ok$"
    done
}

echo "make and make check, in a path with a space"
few build
printf '#!/bin/sh\necho wrapped\nexec "$@"\n' >"$checkout/wrap it"
chmod +x "$checkout/wrap it"
# shellcheck disable=SC2016 # for the shell of run-tests
make_in build check-cmocka unit_tests="\$(BUILD)/test/unit/test_heap" integration_tests= \
    WRAPPER='"$SOURCE/wrap it"'
expect_log ' 0 failed'
grep -qx wrapped "$checkout/build/log/test_heap.log" || { echo "the wrapper was not run"; exit 1; }

echo "likewise into a BUILD with a space"
few "another build"
[ -x "$checkout/another build/examples/flights" ] || { echo "it was built elsewhere"; exit 1; }

echo "make install"
make_in "another build" install DESTDIR="$work/a stage" PREFIX="/a prefix"
export PKG_CONFIG_PATH="$work/a stage/a prefix/lib/pkgconfig"
cflags=$(${PKG_CONFIG:-pkg-config} --cflags statefun)
echo '#include <statefun.h>' >"$work/empty.c"
eval "${CC:-cc} -fsyntax-only $cflags \"\$work/empty.c\""
make_in "another build" uninstall DESTDIR="$work/a stage" PREFIX="/a prefix"
left=$(find "$work/a stage" ! -type d)
[ -z "$left" ] || { echo "not removed: $left"; exit 1; }

echo "make clean"
make_in "another build" clean
[ ! -e "$checkout/another build" ] || { echo "it is not clean"; exit 1; }
