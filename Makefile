# libstatefun - one readable build.  `make help` lists the targets.
#
# Everything made lies in $(BUILD): build/, and build/asan, build/tsan for the sanitizer variants.
# What is yours to set is in the first block; what the library needs is added to it, never instead.
#
#   lib/*/*.c                libstatefun.a, libstatefun.so      -Ilib -Iinclude
#   examples/*.c             one program each, shared library   -Iinclude
#   bench/*.c                one program each, shared library   -Iinclude
#   bench/rivals/*.c         linked to three of those           lmdb; sqlite3, rocksdb if installed
#   bench/ring_caf.cpp       where CAF 0.17 is installed
#   test/unit/test_*.c       one cmocka program each, archive   -Ilib -Iinclude -Itest, test/support
#   test/integration/*       likewise, and test_*.sh
#   test/crash/*             programs without cmocka, and test_*.sh
#   test/install/*           scripts, on a staged install
#   pkgconfig/*.in           what `make install` tells pkg-config and CMake
#   model/*.pml              searched by test/model/test_model.sh, with spin

# -- yours -----------------------------------------------------------------------------------------
CFLAGS ?= -O2 -g
CXX ?= g++
AR ?= ar
PKG_CONFIG ?= pkg-config
BUILD ?= build
PREFIX ?= /usr/local
INCLUDEDIR ?= $(PREFIX)/include
LIBDIR ?= $(PREFIX)/lib
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
CMAKEDIR ?= $(LIBDIR)/cmake/statefun
DOCDIR ?= $(PREFIX)/share/doc/libstatefun
# Where the library is at home; told to pkg-config.
URL ?= file://$(DOCDIR)/README.md
# Kills by the crash tests, the seconds that one test may take, and how many run side by side.
KILLS ?= 200
KILLS_ASAN ?= 50
TEST_SECONDS ?= $(shell echo $$((480 + $(KILLS))))
TEST_JOBS ?= $(shell nproc 2>/dev/null || echo 1)
VALGRIND ?= valgrind -q --error-exitcode=99 --leak-check=full \
 --suppressions="$$SOURCE/test/valgrind.supp"
# V=1 shows the commands.
V ?= 0

# -- ours ------------------------------------------------------------------------------------------
# make has no names with spaces.  So everything here is named from the source directory, wherever
# that is; a BUILD with spaces goes by a link.
ifneq ($(words $(BUILD)),1)
link_to_build := .build-$(firstword $(shell printf '%s' '$(BUILD)' | cksum))
ifneq ($(shell mkdir -p '$(BUILD)' && \
  ln -sfn "$$(cd '$(BUILD)' && pwd)" $(link_to_build) && echo made),made)
$(error cannot make the directory '$(BUILD)', or the link $(link_to_build) to it)
endif
override BUILD := $(link_to_build)
endif
# For those who are elsewhere; to be quoted.
build_path = $(if $(filter /%,$(BUILD)),,$(CURDIR)/)$(BUILD)

# The version is written once, in the header.  The soname follows the ABI, not the version.
hex := $(shell sed -n 's/^.define SF_VERSION 0x\([0-9a-fA-F]*\).*/\1/p' include/statefun.h)
VERSION := $(shell v=$$((0x$(hex))); echo $$((v >> 16)).$$((v >> 8 & 255)).$$((v & 255)))
ABI = 0

# SANITIZE=address,undefined or thread; set by check-asan and check-tsan together with BUILD.
SANITIZE ?=
own_cflags = -std=gnu11 -Wall -Wextra -Werror -fvisibility=hidden -fexceptions -fPIC -pthread
own_ldflags = -pthread
so_ldflags = -shared -Wl,-z,nodelete -Wl,-soname,libstatefun.so.$(ABI) -Wl,--version-script=lib/statefun.map
ifeq ($(SANITIZE),)
so_ldflags += -Wl,-z,defs # not with sanitizers: clang leaves their runtime to the program
else
own_cflags += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
own_ldflags += -fsanitize=$(SANITIZE)
endif

# $(call has,PACKAGE) is PACKAGE or nothing; $(call pkg,--libs,PACKAGE) its flags or a stop with the
# remedy.  Needed by all: lmdb, msgpack (msgpack-c since its version 6), libxxhash (its header
# only).  cmocka is asked for when a test is linked, a rival's package when that is.
has = $(shell $(PKG_CONFIG) --exists $(1) 2>/dev/null && echo $(1))
pkg = $(if $(call has,$(2)),$(shell $(PKG_CONFIG) $(1) $(2)),$(call missing,$(2)))
missing = $(error $(PKG_CONFIG) does not find $(1). Run ./scripts/setup, \
 or install the package that has $(1).pc)
ifneq ($(filter-out clean help uninstall,$(or $(MAKECMDGOALS),all)),)
msgpack := $(or $(call has,msgpack),$(call has,msgpack-c),msgpack)
deps_cflags := $(foreach package,lmdb $(msgpack) libxxhash,$(call pkg,--cflags,$(package)))
deps_libs := $(call pkg,--libs,lmdb) $(call pkg,--libs,$(msgpack))
endif

so = $(BUILD)/libstatefun.so.$(VERSION)
so_links = $(BUILD)/libstatefun.so.$(ABI) $(BUILD)/libstatefun.so
archive = $(BUILD)/libstatefun.a
lib_objs = $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(wildcard lib/*/*.c)))
support_objs = $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(wildcard test/support/*.c)))
programs = $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard $(1))))
examples = $(call programs,examples/*.c)
benches = $(call programs,bench/*.c)
unit_tests = $(call programs,test/unit/test_*.c)
integration_tests = $(call programs,test/integration/test_*.c)
crash_programs = $(call programs,test/crash/*.c)
# Rivals in bench/rivals/ are left out, and they alone, where their package is not there.
benches_by_hand = $(addprefix $(BUILD)/bench/,by_hand group latency transfer)
rivals := $(call has,sqlite3) $(call has,rocksdb)
lacking := $(filter-out $(rivals),sqlite3 rocksdb)
rival_objs = $(patsubst %.c,$(BUILD)/obj/%.o, \
 $(filter-out $(addprefix bench/rivals/,$(lacking:=.c)),$(sort $(wildcard bench/rivals/*.c))))
needs = $(if $(filter $(benches_by_hand),$(1)),lmdb $(rivals))
test_scripts = $(sort $(wildcard test/integration/test_*.sh test/crash/test_*.sh))

ifeq ($(V),0)
say = @printf '  %-5s %s\n' $(1) $@;
endif

all: $(archive) $(so) $(so_links) $(examples) ## the library, shared and static, and the examples

# -- compile and link ------------------------------------------------------------------------------

# Written anew only when the compiler or its flags changed: then everything is.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(own_cflags) $(deps_cflags)' | cmp -s - $@ || \
	 echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(own_cflags) $(deps_cflags)' >$@

$(BUILD)/obj/lib/%.o: includes = -Ilib -Iinclude $(deps_cflags)
$(BUILD)/obj/test/%.o: includes = -Ilib -Iinclude -Itest $(deps_cflags)
$(BUILD)/obj/examples/%.o: includes = -Iinclude
$(BUILD)/obj/bench/%.o: includes = -Iinclude $(deps_cflags)

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(includes) $(CFLAGS) $(own_cflags) -MMD -MP -c -o $@ $<

$(archive): $(lib_objs)
	@rm -f $@
	$(call say,AR)$(AR) rcs $@ $^

$(so): $(lib_objs) lib/statefun.map
	$(call say,LD)$(CC) $(CFLAGS) $(own_ldflags) $(so_ldflags) $(LDFLAGS) -o $@ $(lib_objs) \
	 -Wl,--as-needed $(deps_libs)

$(so_links): $(so)
	@ln -sf $(<F) $@

link = $(CC) $(CFLAGS) $(own_ldflags) $(LDFLAGS) -o $@ $^

# Examples and benchmarks see what users see: the exported symbols.  They find the library beside
# them, also after a move; and where they were built, since without /proc $$ORIGIN has no value.
link_shared = -L$(BUILD) -lstatefun \
 -Wl,-rpath,'$$ORIGIN/..' -Xlinker -rpath -Xlinker '$(build_path)'
$(examples): $(BUILD)/examples/%: $(BUILD)/obj/examples/%.o | $(so_links)
	@mkdir -p $(@D)
	$(call say,LINK)$(link) $(link_shared) -lm

$(benches): $(BUILD)/bench/%: $(BUILD)/obj/bench/%.o | $(so_links)
	@mkdir -p $(@D)
	$(call say,LINK)$(link) $(link_shared) \
	 $(foreach package,$(call needs,$@),$(call pkg,--libs,$(package))) -lm
$(benches_by_hand): $(rival_objs)

$(unit_tests) $(integration_tests): $(BUILD)/%: $(BUILD)/obj/%.o $(support_objs) $(archive)
	@mkdir -p $(@D)
	$(call say,LINK)$(link) $(call pkg,--libs,cmocka) $(deps_libs) -lm

$(crash_programs): $(BUILD)/%: $(BUILD)/obj/%.o $(support_objs) $(archive)
	@mkdir -p $(@D)
	$(call say,LINK)$(link) $(call pkg,--libs,cmocka) $(deps_libs) -lm

.SECONDARY: # keep the objects
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# -- check -----------------------------------------------------------------------------------------
# scripts/run-tests runs each command, counts, and prints `N passed, N failed, N skipped`.

run_tests = MAKE="$(MAKE)" CC="$(CC)" CXX="$(CXX)" BUILD="$(build_path)" KILLS="$(KILLS)" \
 ./scripts/run-tests -j $(TEST_JOBS) -t $(TEST_SECONDS)
static_checks = $(addprefix scripts/check-,layers exports banned docs)
install_tests = test/install/run $(sort $(wildcard test/install/test_*.sh))
model_test = test/model/test_model.sh
test_programs = $(unit_tests) $(integration_tests)
killstorm = $(filter %/killstorm,$(crash_programs))
crash_tests = $(test_scripts) $(if $(killstorm),"$(killstorm) $(KILLS) examples")
without = @$(foreach package,$(lacking),echo "  without the rival $(package): no such package;" \
 "./scripts/setup bench installs it";)

check: all $(test_programs) $(crash_programs) $(benches) ## every test; KILLS=5000 for more
	$(without)
	@$(run_tests) $(crash_tests) $(test_programs) $(static_checks) $(install_tests) $(model_test)

check-unit: $(unit_tests) ## the unit tests alone
	@$(run_tests) $(unit_tests)

check-programs: all $(test_programs) $(crash_programs)
	@$(run_tests) $(crash_tests) $(test_programs)

WRAPPER = # what check-cmocka runs each test with
LEAVE = # and which it leaves out
check-cmocka: $(test_programs)
	@$(run_tests) -w '$(value WRAPPER)' $(filter-out $(addprefix %/test_,$(LEAVE)),$(test_programs))

check-asan: ## every test program with the address, leak and undefined behaviour sanitizers
	@ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
	 $(MAKE) --no-print-directory check-programs BUILD=$(BUILD)/asan SANITIZE=address,undefined \
	 KILLS=$(KILLS_ASAN)

# gcc 12's thread sanitizer does not start where the kernel spreads addresses widely; setarch -R.
# Not those whose subject has one thread and long random runs.
check-tsan: ## unit and integration tests with the thread sanitizer
	@TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:die_after_fork=0 \
	 $(MAKE) --no-print-directory check-cmocka BUILD=$(BUILD)/tsan SANITIZE=thread \
	 LEAVE="actor batch bounds check chunk index key_order log mailbox store_failures" \
	 WRAPPER="$$(setarch -R true 2>/dev/null && echo setarch -R)"

powerloss: all $(crash_programs) ## power cuts alone; STATES=1000000 SEED=2
	@BUILD="$(build_path)" STATES=$(or $(STATES),100000) SEED=$(or $(SEED),1) \
	 test/crash/test_powerloss.sh

floods: $(BUILD)/test/integration/test_held_floods ## ten million messages behind one hold; MESSAGES=
	@MESSAGES=$(or $(MESSAGES),10000000) $<

histories: $(BUILD)/test/crash/histories ## transactions under kills and a judge; KILLS=5000 SEED=2
	@BUILD="$(build_path)" HISTORY_KILLS=$(KILLS) SEED=$(or $(SEED),1) \
	 test/crash/test_histories.sh

model: ## the models of the protocol, in more states than check has time for
	@CC="$(CC)" DEEP=1 $(model_test)

check-valgrind: ## unit and integration tests under valgrind
	@$(MAKE) --no-print-directory check-cmocka WRAPPER='$(value VALGRIND)'

# The rival in memory, where its headers are: CAF 0.17 (Debian 12: libcaf-dev), which has no .pc
# file.  Other versions have another interface.
ifneq ($(filter bench,$(MAKECMDGOALS)),)
caf_version := $(shell echo CAF_VERSION | \
 $(CXX) $(CPPFLAGS) -include caf/config.hpp -x c++ -E -P - 2>/dev/null | tail -n 1)
ring_caf = $(if $(filter 17%,$(caf_version)),$(BUILD)/bench/ring_caf)
endif

$(BUILD)/bench/ring_caf: bench/ring_caf.cpp bench/workload.h $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CXX)$(CXX) $(CPPFLAGS) $(filter-out -std=%,$(CFLAGS) $(own_cflags)) \
	 $(own_ldflags) $(LDFLAGS) -std=gnu++17 -o $@ $< -lcaf_core

bench: all $(benches) $(ring_caf) ## each rate and its rival; ROUNDS=5, BENCH_DIR, ONLY: see bench/run
	$(without)
	@$(if $(ring_caf),,rm -f $(BUILD)/bench/ring_caf)
	@BUILD="$(build_path)" ./bench/run

# -- install ---------------------------------------------------------------------------------------

# From here on names may have spaces.
fill_in = URL='$(URL)' VERSION=$(VERSION) ABI=$(ABI) REQUIRES='lmdb $(msgpack)' \
 LIBS_PRIVATE='$(strip $(deps_libs))' PREFIX='$(PREFIX)' INCLUDEDIR='$(INCLUDEDIR)' \
 LIBDIR='$(LIBDIR)' pkgconfig/fill-in

docs = README.md CHANGELOG LICENSE

install: $(archive) $(so) ## to DESTDIR, PREFIX, LIBDIR
	install -d '$(DESTDIR)$(INCLUDEDIR)' '$(DESTDIR)$(LIBDIR)' '$(DESTDIR)$(PKGCONFIGDIR)' \
	 '$(DESTDIR)$(CMAKEDIR)' '$(DESTDIR)$(DOCDIR)'
	install -m 644 include/statefun.h '$(DESTDIR)$(INCLUDEDIR)/statefun.h'
	install -m 644 $(archive) '$(DESTDIR)$(LIBDIR)/libstatefun.a'
	install -m 755 $(so) '$(DESTDIR)$(LIBDIR)/$(notdir $(so))'
	ln -sf $(notdir $(so)) '$(DESTDIR)$(LIBDIR)/libstatefun.so.$(ABI)'
	ln -sf $(notdir $(so)) '$(DESTDIR)$(LIBDIR)/libstatefun.so'
	$(fill_in) statefun.pc '$(PKGCONFIGDIR)' '$(DESTDIR)'
	$(fill_in) statefun-config.cmake '$(CMAKEDIR)' '$(DESTDIR)'
	$(fill_in) statefun-config-version.cmake '$(CMAKEDIR)' '$(DESTDIR)'
	install -m 644 $(docs) '$(DESTDIR)$(DOCDIR)'

uninstall: ## what install put there
	rm -f '$(DESTDIR)$(INCLUDEDIR)/statefun.h' '$(DESTDIR)$(LIBDIR)/libstatefun.a'
	rm -f '$(DESTDIR)$(LIBDIR)/libstatefun.so' '$(DESTDIR)$(LIBDIR)/libstatefun.so.$(ABI)'
	rm -f '$(DESTDIR)$(LIBDIR)/$(notdir $(so))' '$(DESTDIR)$(PKGCONFIGDIR)/statefun.pc'
	rm -f '$(DESTDIR)$(CMAKEDIR)'/statefun-config.cmake
	rm -f '$(DESTDIR)$(CMAKEDIR)'/statefun-config-version.cmake
	rm -f $(foreach file,$(docs),'$(DESTDIR)$(DOCDIR)'/$(file))
	rmdir '$(DESTDIR)$(CMAKEDIR)' '$(DESTDIR)$(DOCDIR)' 2>/dev/null || true

clean: ## all that was built
	$(if $(link_to_build),rm -rf "$$(readlink $(BUILD))")
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 20

.PHONY: all check model powerloss floods histories check-unit check-programs check-cmocka check-asan check-tsan \
 check-valgrind bench install uninstall clean help FORCE
