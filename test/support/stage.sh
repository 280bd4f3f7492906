# stage.sh - a staged install, as a package build makes one, for scripts that then build against it.
# Sourced, with the source directory current and $work an empty directory of the script's own.
#
# Afterwards $statefun_cflags, and $statefun_flags with the libraries, are all that a user knows:
# what pkg-config says, quoted for the shell: to be used with eval.  The .pc file goes by where it
# lies, so it is as true in the stage as in its place.  MAKE comes from the Makefile with the
# variables that the library was built with.

stage=$work/stage
build=${BUILD:-build}
${MAKE:-make} -s --no-print-directory install BUILD="$build" DESTDIR="$stage" PREFIX=/usr \
    >"$work/install.log" 2>&1 || { cat "$work/install.log"; exit 1; }

PKG_CONFIG_PATH=$stage/usr/lib/pkgconfig
LD_LIBRARY_PATH=$stage/usr/lib
export PKG_CONFIG_PATH LD_LIBRARY_PATH
statefun_cflags=$(${PKG_CONFIG:-pkg-config} --cflags statefun)
statefun_flags=$(${PKG_CONFIG:-pkg-config} --cflags --libs statefun)
