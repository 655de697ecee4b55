# leat's build.  `make help` lists the targets.
#
# `make` builds the programs into build/$(MODE)/bin; `make deps` installs what
# that needs.  `make demo` and `make test` first install what is missing.
#
# MODE is release, debug, asan, tsan, clang or fuzz.  Each has its own tree.
MODE     ?= release
BUILD    ?= build
O        := $(BUILD)/$(MODE)
DIRS     := leat ingestd batchd $(wildcard sinkd-*)
PROGRAMS := $(foreach p,$(DIRS),$(if $(wildcard $(p)/$(p).c),$(p)))
PREFIX   ?= /usr/local
# `make install` writes these paths into supervisord.conf.  The programs read
# /etc/leat/leat.conf unless --config names another file.
CONF_DIR ?= /etc/leat
RUN_DIR  ?= /run/leat
LOG_DIR  ?= /var/log/leat
RUN_AS   ?= leat

WARN  := -Wall -Wextra -Wshadow -Wpointer-arith -Wcast-qual -Wwrite-strings \
         -Wvla -Wundef -Wformat=2 -Wconversion -Wno-sign-conversion
CWARN := -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
flags-release := -O2 -g -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fPIE
flags-debug   := -Og -g3
flags-asan    := -O1 -g -fno-omit-frame-pointer \
                 -fsanitize=address,undefined -fno-sanitize-recover=all
flags-tsan    := -O1 -g -fsanitize=thread
# Only clang has libFuzzer, so MODE=fuzz also sets the compiler.
flags-fuzz    := -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all \
                 -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize=vptr,function
# MODE=clang only shows that clang compiles the code without a warning.
flags-clang   := -O0
ifneq ($(filter fuzz clang,$(MODE)),)
CC            := clang
CXX           := clang++
endif
link-release  := -pie -Wl,-z,relro,-z,now
MODE_FLAGS    := $(flags-$(MODE))
ALL_CFLAGS     = -std=c17 -D_GNU_SOURCE -I. $(PQ_CFLAGS) $(WARN) $(CWARN) $(MODE_FLAGS) $(CFLAGS) $(CPPFLAGS)
ALL_CXXFLAGS   = -std=c++17 -D_GNU_SOURCE -I. $(WARN) $(MODE_FLAGS) $(CXXFLAGS) $(CPPFLAGS)
ALL_LDFLAGS    = $(link-$(MODE)) $(LDFLAGS)

# pkg-config runs once, when the flags are first needed: a fresh machine does
# not have it before `make deps`.
PQ_CFLAGS = $(eval PQ_CFLAGS := $$(shell pkg-config --cflags libpq))$(PQ_CFLAGS)

# Recipes print the name of their target; V=1 prints the commands instead.
Q = $(if $(V),,@echo "  $(@:$(O)/%=$(MODE) %)";)

# What building needs.  It is looked for once in each build tree, because the
# compiler's message about a missing header does not name what to install.
# msgpack-c has two names.
TOOLS   = $(firstword $(CC)) $(firstword $(CXX)) $(AR) pkg-config
MODULES = libuv gnutls nettle simdjson zlib libzstd libpq rdkafka libcurl \
          libxxhash ncursesw
TOOLS_OK     := $(O)/tools.ok
TEST_LIBS_OK := $(O)/test-libs.ok
# The last part of a recipe that has collected what is missing in $$missing.
report_missing = [ -z "$$missing" ] || { \
  echo "make: missing:$$missing; run \`$(1)\`, which installs it on Debian 12" \
    "and 13 (elsewhere it names what to install)" >&2; exit 1; }; \
  mkdir -p $(@D) && touch $@
$(TOOLS_OK): Makefile
	@missing=; \
	for tool in $(TOOLS); do \
	  command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	if command -v pkg-config >/dev/null; then \
	  for module in $(MODULES); do pkg-config --exists $$module || \
	    missing="$$missing $$module"; done; \
	  pkg-config --exists msgpack || pkg-config --exists msgpack-c || \
	    missing="$$missing msgpack-c"; \
	fi; \
	$(call report_missing,make deps)
$(TEST_LIBS_OK): Makefile | $(TOOLS_OK)
	@missing=; pkg-config --exists check || missing=" check"; \
	$(call report_missing,make deps-test)

# What a program is linked with.  LAYERS lists each directory before those that
# it may include (docs/architecture.md).  USES-x lists these for x.
LAYERS        := $(DIRS) bench libhttp libsink libjson libproto libbase
USES-leat     := batchd libjson libproto libbase
USES-ingestd  := libhttp libjson libproto libbase
USES-batchd   := libproto libbase
USES-bench    := libbase
USES-libhttp  := libbase
USES-libsink  := libproto libbase
USES-libjson  := libproto libbase
USES-libproto := libbase
$(foreach p,$(filter sinkd-%,$(DIRS)),$(eval USES-$p := libsink libproto libbase))
# The dashboard shows events and stores none: it is no sink, but a server.
USES-sinkd-dashboard := libhttp libproto libbase

# What pkg-config prints for these libraries; it runs once for each list.
pc = $(if $(pc-$(subst $() ,+,$(1))),,$(eval pc-$(subst $() ,+,$(1)) := \
       $(shell pkg-config --libs $(1))))$(pc-$(subst $() ,+,$(1)))

# x-LIBS are the libraries that x itself uses.  Debian 13 has msgpack-c under
# the second of its names.
libproto-LIBS         = $(call pc,$(MSGPACK))
MSGPACK = $(eval MSGPACK := $(shell pkg-config --exists msgpack && echo msgpack || echo msgpack-c))$(MSGPACK)
libsink-LIBS          = $(call pc,libxxhash)
libhttp-LIBS          = $(call pc,libuv gnutls nettle libxxhash)
libjson-LIBS          = $(call pc,simdjson) -lstdc++
ingestd-LIBS          = $(call pc,libuv zlib libzstd)
batchd-LIBS           = $(call pc,libuv libxxhash)
leat-LIBS             = $(call pc,nettle libcurl ncursesw)
sinkd-postgres-LIBS   = $(call pc,libpq)
sinkd-kafka-LIBS      = $(call pc,rdkafka)
sinkd-clickhouse-LIBS = $(call pc,libcurl zlib)
sinkd-dashboard-LIBS  = $(call pc,libuv nettle libxxhash) -lm
# ThreadSanitizer does not know C11's threads, which librdkafka uses.  This file
# implements them with pthreads.
TSAN_O               := $(if $(filter tsan,$(MODE)),$(O)/tests/support/tsan/threads.o)

# The directories x ... and all that they use, in the order of LAYERS; their
# archives; and the command that links $@ with these and their libraries.
layers   = $(filter $(1) $(foreach d,$(1),$(USES-$d)),$(LAYERS))
archives = $(patsubst %,$(O)/%.a,$(call layers,$(1))) \
           $(if $(filter sinkd-kafka,$(1)),$(TSAN_O))
link     = $(Q)$(CC) $(MODE_FLAGS) $(FAST_LD) $(ALL_LDFLAGS) -o $@ \
           $(or $(3),$(filter %.o %.a,$^)) \
           $(foreach d,$(call layers,$(1)),$($d-LIBS)) $(2) $(LDLIBS)
# gold links these programs in a third of the time.  Debian 12 installs it with
# the compiler, and Debian 13 does not.
FAST_LD := $(if $(filter asan,$(MODE)),$(if $(wildcard \
             $(addsuffix /ld.gold,$(subst :, ,$(PATH)))),-fuse-ld=gold))

# x/x.c contains main.  Every other x/*.c and x/*.cc goes into x.a, so that
# tests can be linked with it.
mods  = $(patsubst %.c,$(O)/%.o,$(filter-out $(1)/$(1).c $(BENCH_MAINS),$(wildcard $(1)/*.c))) \
        $(patsubst %.cc,$(O)/%.o,$(wildcard $(1)/*.cc))

COMMAND_FILES := $(addprefix $(O)/leat.,1 bash zsh fish)

.DEFAULT_GOAL := all
.PHONY: all clean format format-check
.SECONDARY:
.SECONDEXPANSION:
## all: build the programs into build/$(MODE)/bin; MODE is release, debug, asan, tsan or clang
all: $(PROGRAMS:%=$(O)/bin/%) $(COMMAND_FILES)
	@:

.PHONY: help
## help: list the targets
help:
	@sed -n 's/^## \([^:]*\): /\1\t/p' Makefile | sort | expand -t 26

# The compilers and their flags.  Objects depend on this file, which is written
# only if a flag has changed, and not on the Makefile, so that editing a comment
# here compiles nothing.  -Werror is left out because it does not change the
# objects, and so is the output of pkg-config, which only changes with the
# distribution.
FLAGS     := $(O)/compiler-flags
ALL_FLAGS := $(CC) $(CFLAGS) / $(CXX) $(CXXFLAGS) / $(CPPFLAGS) $(WARN) \
             $(CWARN) $(MODE_FLAGS) / $(link-$(MODE)) $(LDFLAGS) $(LDLIBS)
ifneq ($(strip $(file <$(FLAGS))),$(strip $(ALL_FLAGS)))
.PHONY: always
$(FLAGS): always
endif
$(FLAGS): | $(TOOLS_OK)
	@mkdir -p $(@D) && echo '$(ALL_FLAGS)' >$@

$(O)/%.o: %.c $(FLAGS) | $(TOOLS_OK)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(if $(WERROR),-Werror) -MMD -MP -c -o $@ $<

$(O)/%.o: %.cc $(FLAGS) | $(TOOLS_OK)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(ALL_CXXFLAGS) $(if $(WERROR),-Werror) -MMD -MP -c -o $@ $<

# The page's files are compiled in; see sinkd-dashboard/page.c.
$(O)/sinkd-dashboard/page.o: $(wildcard sinkd-dashboard/page/*)

$(O)/%.a: $$(call mods,$$*)
	@mkdir -p $(@D) && rm -f $@
	$(Q)$(AR) rcs $@ $^

$(PROGRAMS:%=$(O)/bin/%): $(O)/bin/%: $(O)/$$*/$$*.o $$(call archives,$$*)
	@mkdir -p $(@D)
	$(call link,$*)

# The manual page and the completions of the shells, which the command prints.
$(O)/leat.1: $(O)/bin/leat
	$(Q)$< --manual >$@.new && mv $@.new $@
$(O)/leat.bash $(O)/leat.zsh $(O)/leat.fish: $(O)/leat.%: $(O)/bin/leat
	$(Q)$< completion $* >$@.new && mv $@.new $@

# Unit tests: each tests/unit/test_X.c is a program.  It is linked with the
# directories that it includes, and with what these use.
UNIT_TESTS := $(patsubst %.c,$(O)/%,$(wildcard tests/unit/test_*.c tests/crash/test_*.c))
INCLUDED   := $(shell grep -Ho '^.include "[^"]*/' tests/unit/test_*.c \
                tests/crash/test_*.c tests/fuzz/fuzz_*.c 2>/dev/null | \
                sed 's|[.]c:.include "|:|; s|/$$||')
included    = $(sort $(patsubst $(1):%,%,$(filter $(1):%,$(INCLUDED))) libbase)
SIM_A       = $(if $(filter $(1):tests/support/sim,$(INCLUDED)),$(O)/tests/support/sim.a)
TEST_O     := $(O)/tests/support/test.o

# A test is linked again only if an object that it has taken from an archive has
# changed, so that `make unit` runs only the tests that contain the change.
# X.members, which the linker writes, has these objects of the test X.  Without
# it, or if one of them has no source any more, X is linked again.
ARCHIVED    = $(eval ARCHIVED := $$(foreach d,$$(LAYERS) tests/support/sim,$$(call mods,$$d)))$(ARCHIVED)
members     = $(if $(wildcard $(1).members),$(file <$(1).members))
archives_of = $(call SIM_A,$(1)) $(call archives,$(call included,$(1)))
changes     = $(or $(filter $(ARCHIVED),$(call members,$(O)/$(1))),$(call archives_of,$(2))) \
              $(if $(filter-out $(ARCHIVED),$(call members,$(O)/$(1))),always)
link_test   = $(call link,$(call included,$(1)),$(2) -Wl$(comma)-t$(comma)-t \
                >$@.trace,$(filter-out $(ARCHIVED) $(TSAN_O),$(filter %.o,$^)) \
                $(call archives_of,$(1)))
find_members = @sed -n 's|^\($(O)/.*\)[.]a(\(.*[.]o\))$$|\1/\2|p' $@.trace | \
                sort -u >$@.members; rm $@.trace
comma := ,
.PHONY: always

$(UNIT_TESTS): $(O)/%: $(O)/%.o $(TEST_O) $$(call changes,$$*,$$*) | $$(call archives_of,$$*)
	$(call link_test,$*,$(call pc,check))
	$(find_members)
$(UNIT_TESTS:%=%.o) $(TEST_O): | $(TEST_LIBS_OK)
# test_power replaces the checksum to show that it would notice a log without.
$(O)/tests/crash/test_power: private ALL_LDFLAGS += -Wl,--wrap=XXH3_64bits_withSeed
.PHONY: unit-tests fuzz-tests fuzzers
## unit-tests: build all unit tests of MODE
unit-tests: $(UNIT_TESTS) fuzz-tests

# Each tests/fuzz/fuzz_X.c is a fuzz target.  Linked with replay.c it becomes
# test_fuzz_X, which runs the target on its seeds.  Linked with libFuzzer
# (MODE=fuzz) it becomes fuzz_X, which searches for inputs that fail.
FUZZ_TARGETS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_TESTS   := $(FUZZ_TARGETS:%=$(O)/tests/fuzz/test_fuzz_%)
fuzz-tests: $(FUZZ_TESTS)
fuzzers: $(FUZZ_TARGETS:%=$(O)/bin/fuzz_%)
fuzz_dirs     = $(call included,tests/fuzz/$(1))
$(FUZZ_TESTS): $(O)/tests/fuzz/test_%: $(O)/tests/fuzz/%.o $(O)/tests/fuzz/replay.o \
    $$(call changes,tests/fuzz/test_$$*,tests/fuzz/$$*) | $$(call archives_of,tests/fuzz/$$*)
	$(call link_test,tests/fuzz/$*)
	$(find_members)
$(FUZZ_TARGETS:%=$(O)/bin/fuzz_%): $(O)/bin/%: $(O)/tests/fuzz/%.o \
    $$(call SIM_A,tests/fuzz/$$*) $$(call archives,$$(call fuzz_dirs,$$*))
	@mkdir -p $(@D)
	$(call link,$(call fuzz_dirs,$*),-fsanitize=fuzzer -lstdc++)

# tests/differential compares this server with other HTTP servers.
HTTP_ECHO := $(O)/tests/support/http_echo
$(HTTP_ECHO): %: %.o $$(call archives,libhttp)
	$(call link,libhttp)
unit-tests: $(HTTP_ECHO)

# What tests preload into daemons.
PRELOADED := $(O)/tests/support/signal_at.so $(O)/tests/torture/clockjump.so
$(PRELOADED): $(O)/%.so: %.c $(FLAGS)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c17 -D_GNU_SOURCE $(WARN) $(CWARN) -O2 -fPIC -shared -o $@ $< -ldl
unit-tests: $(PRELOADED)

# The programs of the tests that T names, as in
# T="test_frame test_chan.keeps_frame_boundaries".
UNIT_T = $(foreach t,$(patsubst unit.%,%,$(T)),$(filter \
           %/$(firstword $(subst ., ,$(t))),$(UNIT_TESTS) $(FUZZ_TESTS)))
.PHONY: unit unit-chosen
unit-chosen: $(or $(UNIT_T),$(filter-out $(O)/tests/crash/%,$(UNIT_TESTS)) \
               $(O)/tests/crash/test_store $(FUZZ_TESTS))
	@:
## unit: build and run unit tests that changed; T="test_frame test_chan.NAME" names some
unit:
	@$(MAKE1) MODE=asan unit-chosen
	@tests/run --build $(BUILD) --unit $(T)

# The whole pipeline under random faults.  FAULTS=2000 or SECONDS=3600 sets the
# length, SEED= repeats a run.  CLICKHOUSE=current uses the current engine
# instead of Debian's server.  With SEEDS=100000 this is torture-log.
.PHONY: torture torture-pipeline
## torture: the whole pipeline under random faults; SEEDS=100000: the log alone
torture: $(if $(SEEDS),torture-log,torture-pipeline)
torture-pipeline: deps-stores
	@$(MAKE1) MODE=release all
	@$(MAKE1) MODE=$(MODE) all $(O)/tests/torture/clockjump.so
	@LEAT_BUILD=$(abspath $(BUILD)) LEAT_CLICKHOUSE=$(CLICKHOUSE) \
	  tests/torture/run --mode $(MODE) \
	  $(if $(SEED),--seed $(SEED)) $(if $(STORES),--stores "$(STORES)") \
	  $(if $(SECONDS),--seconds $(SECONDS)) \
	  $(if $(FAULTS),--faults $(FAULTS),$(if $(SECONDS),,--faults 2000))

# The long forms of the tests of HTTP abuse and of three stores.  Both measure
# times, so nothing else should run on the machine.  CONNECTIONS and REQUESTS,
# or ROUNDS, DOWN_S and EVENTS, set their size; TIME_FACTOR multiplies their
# time limits.
.PHONY: torture-http torture-stores
## torture-http: the long form of the tests of HTTP abuse
## torture-stores: the long form of the test of three stores
torture-http torture-stores: deps-stores
	@$(MAKE1) MODE=release all
	@$(MAKE1) MODE=asan all
	@$(LONG-$@) tests/run --build $(BUILD) --jobs 1 $(or $(T),$(TESTS-$@))
LONG-torture-http = LEAT_CONNECTIONS=$(or $(CONNECTIONS),10000) \
  LEAT_REQUESTS=$(or $(REQUESTS),1000000) LEAT_TIME_FACTOR=$(or $(TIME_FACTOR),10)
LONG-torture-stores = LEAT_ROUNDS=$(or $(ROUNDS),20) LEAT_DOWN_S=$(or $(DOWN_S),30) \
  LEAT_DEAD_LETTERS=100000 LEAT_EVENTS=$(or $(EVENTS),1000000) LEAT_TIME_FACTOR=$(or $(TIME_FACTOR),10)
TESTS-torture-http   = test_abuse test_front_door
TESTS-torture-stores = test_three_stores test_dead.many_under_load_with_kafka \
                       test_dead.many_under_load_with_clickhouse

# The bench's programs: bench/X.c contains the main of X.  They share the other
# files of the directory.
BENCH_PROGRAMS := evload barecopy bareproduce bareinsert
BENCH_MAINS    := $(BENCH_PROGRAMS:%=bench/%.c)
barecopy-LIBS   = $(call pc,libpq)
bareproduce-LIBS = $(call pc,rdkafka)
bareinsert-LIBS = $(call pc,libcurl)
all: $(BENCH_PROGRAMS:%=$(O)/bin/%)
$(BENCH_PROGRAMS:%=$(O)/bin/%): $(O)/bin/%: $(O)/bench/%.o $$(call archives,bench)
	@mkdir -p $(@D)
	$(call link,bench,$($*-LIBS))

# The targets below need what scripts/install-deps installs.  The rest of their
# recipes runs in a make of its own, which calls pkg-config after that.
.PHONY: deps deps-test deps-stores deps-peers deps-lint deps-fuzz deps-all test test-clickhouse-current demo bench \
        lint install fuzz test-tsan torture-log torture-teeth torture-flip \
        build-torture-log lint-checks lint-files lint-left-out
## deps: install what building needs (Debian 12 and 13; LEAT_DEPS=skip: nothing)
deps deps-test deps-stores deps-peers deps-lint deps-fuzz:
	@scripts/install-deps $(if $(filter deps,$@),--build,$(@:deps%=-%))
# Everything that `make test` needs, in one call.
deps-all:
	@scripts/install-deps --stores --peers --clang $(if $(BOOKWORM),--lint)

JOBS  = $(if $(filter -j% j%,$(MAKEFLAGS)),,-j$(shell nproc))
MAKE1 = $(MAKE) --no-print-directory $(JOBS) WERROR=1

# Each version of an analyser reports other things.  This code is written for
# those of Debian 12, and `test` runs no others.  `lint` runs what is installed.
BOOKWORM := $(shell grep -s '=bookworm$$' /etc/os-release)
lint-left-out:
	@echo "  lint is left out: it is written for Debian 12's analysers"

## test: install what is missing and run every test; T="test_http test_kill" runs some
test: deps-all
	@$(MAKE) --no-print-directory $(if $(BOOKWORM),lint-checks,lint-left-out)
	@$(MAKE1) MODE=clang all
	@$(MAKE1) MODE=release all
	@$(MAKE1) MODE=asan all unit-tests
	$(if $(if $(T),$(filter tsan:%,$(T)),all),@$(MAKE1) MODE=tsan all $(TSAN_UNIT:%=$(BUILD)/tsan/tests/%))
	@tests/run --build $(BUILD) --also-tsan "$(TSAN_SHORT)" $(T)

## test-clickhouse-current: the ClickHouse tests with the current engine (a large download)
test-clickhouse-current: deps-test
	@$(MAKE1) MODE=release all
	@$(MAKE1) MODE=asan all
	@LEAT_CLICKHOUSE=current tests/run --build $(BUILD) \
		$(or $(T),-k 'test_clickhouse\.|test_(replay|dead).*clickhouse')

# The tests of code that has threads, with ThreadSanitizer: `test` runs
# TSAN_SHORT, test-tsan runs TSAN_LONG.
TSAN_UNIT  = unit/test_chan unit/test_kafka unit/test_batchd_client crash/test_store
TSAN_SHORT = $(addprefix unit.,$(notdir $(TSAN_UNIT))) test_flush test_log_full \
             test_kafka.at_least_once test_kafka.kill_the_sink
TSAN_LONG  = $(TSAN_SHORT) test_http test_garbage test_log_verify test_books \
             test_operate test_kill
## test-tsan: what has threads, with ThreadSanitizer
test-tsan: deps-stores
	@$(MAKE1) MODE=tsan all unit-tests
	@$(MAKE1) MODE=release all
	@tests/run --build $(BUILD) --mode tsan $(or $(T),$(TSAN_LONG))

# torture-log runs SEEDS histories of each kind.  In EVERY of these the power
# fails, or a call fails, at each call of one round in turn.
## torture-log: the log on a disk that fails and loses power; SEEDS= and EVERY=
## torture-teeth: whether torture-log would notice a broken log
## torture-flip: the log with each byte, or each STRIDE-th, of a segment damaged
torture-log: deps-test
	@$(MAKE1) MODE=release build-torture-log
	@SEEDS=$(or $(SEEDS),100000) EVERY=$(or $(EVERY),200) \
	  $(BUILD)/release/tests/crash/test_power power
torture-teeth: deps-test
	@$(MAKE1) MODE=release build-torture-log
	@$(BUILD)/release/tests/crash/test_power teeth
torture-flip: deps-test
	@$(MAKE1) MODE=release build-torture-log
	@STRIDE=$(or $(STRIDE),1) $(BUILD)/release/tests/crash/test_flip
build-torture-log: $(O)/tests/crash/test_power $(O)/tests/crash/test_flip

# The README's two commands in a newly created Debian, as root, or with WHO=sudo
# as a user who may use sudo.
.PHONY: test-debian12 test-debian13
## test-debian12: the README's commands in a fresh Debian 12 (as root)
## test-debian13: the README's commands in a fresh Debian 13 (as root)
test-debian12 test-debian13:
	@scripts/fresh-debian $(RELEASE-$@) $(or $(WHO),root) \
	  'DEMO_SECONDS=1 make demo && make test'
RELEASE-test-debian12 := bookworm
RELEASE-test-debian13 := trixie

# Each target, or each of TARGETS, runs for SECONDS.  Inputs that fail are kept
# in build/fuzz/found; add them to tests/fuzz/seeds.
## fuzz: search for inputs that fail, with libFuzzer; SECONDS= and TARGETS="body frame"
fuzz: deps-fuzz
	@$(MAKE1) MODE=fuzz fuzzers
	@tests/fuzz/run --build $(BUILD)/fuzz \
	  --seconds $(or $(SECONDS),600) $(or $(TARGETS),$(FUZZ_TARGETS))

# With SINKS=postgres no other store is installed.
## demo: install what is missing and run the pipeline; SINKS=postgres for one store
demo: $(if $(filter-out postgres,$(or $(SINKS),all)),deps-stores,deps-test)
	@$(MAKE1) MODE=release all
	@SINKS="$(SINKS)" scripts/demo --bin $(BUILD)/release/bin

## bench: measure; BENCH= are the options of bench/run
bench: deps-stores
	@$(MAKE1) MODE=release all
	@bench/run $(BENCH)

# git runs once, and only if this is needed: building needs no git.
FORMATTED = $(eval FORMATTED := $$(shell git ls-files '*.c' '*.h' '*.cc' 2>/dev/null))$(FORMATTED)
## format: format the source
format:
	clang-format -i $(FORMATTED)
format-check:
	@clang-format --dry-run -Werror $(FORMATTED)

# The analysers read a file again only if it, a header that it includes, or the
# flags have changed.  gcc's analyser does not read tests, because it cannot
# follow an assertion that leaves the function, nor C++, which gcc 12 does not
# claim to analyse.
CHECKED  = $(filter %.c,$(FORMATTED))
CHECKEDXX = $(filter %.cc,$(FORMATTED))
PRODUCT  = $(filter-out tests/%,$(CHECKED))
LINT    := $(BUILD)/lint
TIDY     = $(patsubst %,$(LINT)/%.tidy,$(CHECKED) $(CHECKEDXX))
GCC      = $(PRODUCT:%=$(LINT)/%.gcc)
## lint: check the format and run the analysers
lint: deps-lint
	@$(MAKE) --no-print-directory lint-checks
lint-checks: format-check lint-words lint-structure
	@$(MAKE1) --output-sync=target lint-files
lint-files: $(LINT)/cppcheck $$(TIDY) $$(GCC)
# legacyUninitvar reports `x = new T{}` as a use of x.  clang's analyser checks
# this in C++ instead.
CPPCHECK := --quiet -I. --inline-suppr --error-exitcode=1 \
            --enable=warning,performance,portability
$(LINT)/cppcheck: $$(FORMATTED) $(FLAGS)
	@mkdir -p $@.d && echo "  lint cppcheck"
	@cppcheck --std=c11 $(CPPCHECK) --cppcheck-build-dir=$@.d $(CHECKED)
	@$(if $(CHECKEDXX),cppcheck --language=c++ --std=c++17 $(CPPCHECK) \
	  --suppress=legacyUninitvar $(CHECKEDXX))
	@touch $@
TIDY_FLAGS = $(if $(filter %.cc,$(1)),-std=c++17,-std=c17) -D_GNU_SOURCE -I. $(PQ_CFLAGS)
$(LINT)/%.tidy: % .clang-tidy $(FLAGS)
	@mkdir -p $(@D) && echo "  lint $<"
	@clang-tidy --quiet $< -- $(call TIDY_FLAGS,$<) 2>$@.err || \
	  { cat $@.err; exit 1; }
	@$(if $(filter %.cc,$<),$(CXX),$(CC)) $(call TIDY_FLAGS,$<) -MM -MP -MT $@ -MF $@.d $<
	@touch $@
# gcc cannot follow the texts that conf.c keeps at offsets.
$(LINT)/libbase/conf.c.gcc: private ALL_CFLAGS += -Wno-analyzer-malloc-leak
# Nor can it follow the bits that are kept in an array that grows.
$(LINT)/sinkd-kafka/offset_set.c.gcc: private ALL_CFLAGS += -Wno-analyzer-malloc-leak
$(LINT)/%.gcc: % $(FLAGS)
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) -O1 -fanalyzer -Werror -MMD -MP -MT $@ -MF $@.d -c -o /dev/null $<
	@touch $@
ifneq ($(filter lint%,$(MAKECMDGOALS)),)
-include $(shell find $(LINT) -name '*.[a-z]*.d' -type f 2>/dev/null)
endif

## compile_commands.json: the compiler's command for each file, for editors
.PHONY: compile_commands.json
compile_commands.json: | $(TOOLS_OK)
	@{ separator='['; for file in $(CHECKED); do \
	  echo "$$separator{\"directory\": \"$(CURDIR)\", \"file\": \"$$file\"," \
	    "\"command\": \"$(CC) $(ALL_CFLAGS) -c $$file\"}"; \
	  separator=,; done; echo ']'; } >$@

## lint-words: find words that leat does not use (scripts/lint/words)
## lint-structure: find circles of includes and functions over 60 lines
.PHONY: lint-words lint-structure
lint-words:
	@scripts/lint/check-words
lint-structure:
	@scripts/lint/check-includes; includes=$$?; \
	scripts/lint/check-functions && exit $$includes

# Do not overwrite settings that exist: they are the operator's.  The new ones
# are installed with the documents.  The documents are in the same places below
# DOC_DIR as in the tree, so that their links lead to each other.
EXAMPLE = tests/example-sink/sinkd-file
SHARE   = $(DESTDIR)$(PREFIX)/share
DOC_DIR = $(SHARE)/doc/leat
## install: install into PREFIX and CONF_DIR, below DESTDIR
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DOC_DIR) $(DESTDIR)$(CONF_DIR)
	install $(PROGRAMS:%=$(O)/bin/%) $(DESTDIR)$(PREFIX)/bin
	install -m 644 leat.conf README.md CONTRIBUTING.md LICENSE $(DOC_DIR)
	install -D -m 644 -t $(DOC_DIR)/docs docs/*.md docs/*.png
	install -D -m 644 -t $(DOC_DIR)/$(EXAMPLE) $(EXAMPLE)/*.c
	install -D -m 644 $(O)/leat.1 $(SHARE)/man/man1/leat.1
	install -D -m 644 $(O)/leat.bash $(SHARE)/bash-completion/completions/leat
	install -D -m 644 $(O)/leat.zsh $(SHARE)/zsh/site-functions/_leat
	install -D -m 644 $(O)/leat.fish $(SHARE)/fish/vendor_completions.d/leat.fish
	sed -e '1,/^$$/c ; leat under supervisord, as `make install` has written it.\n' \
	  -e 's|%(ENV_LEAT_BIN)s|$(PREFIX)/bin|; s|%(ENV_LEAT_RUN)s|$(RUN_DIR)|' \
	  -e 's|%(ENV_LEAT_CONF)s|$(CONF_DIR)/leat.conf|' \
	  -e 's|%(ENV_LEAT_LOGS)s|$(LOG_DIR)|; s|^; user = leat|user = $(RUN_AS)|' \
	  -e 's|^; environment = |environment = |' \
	  supervisord.conf >$(DOC_DIR)/supervisord.conf
	@for f in leat.conf supervisord.conf; do \
	  if [ -e $(DESTDIR)$(CONF_DIR)/$$f ]; then \
	    echo "  kept $(DESTDIR)$(CONF_DIR)/$$f; the new one is in $(DOC_DIR)"; \
	  else \
	    install -m 644 $(DOC_DIR)/$$f $(DESTDIR)$(CONF_DIR); \
	  fi; \
	done

## clean: remove the build tree
clean:
	rm -rf $(BUILD)

-include $(shell find $(O) -name '*.d' 2>/dev/null)
