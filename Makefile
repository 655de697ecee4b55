# leat.  `make demo` shows it at work, `make test` runs every test; both
# install what is missing first.  `make` alone builds into build/$(MODE).
# MODE is release, debug, asan or tsan; each has its own build tree.
MODE     ?= release
O        := build/$(MODE)
PROGRAMS := ingestd batchd leat $(wildcard sinkd-*)
LIBS     := libsink libproto libbase
PREFIX   ?= /usr/local

WARN  := -Wall -Wextra -Wshadow -Wpointer-arith -Wcast-qual -Wwrite-strings \
         -Wvla -Wundef -Wformat=2 -Wconversion -Wno-sign-conversion
CWARN := -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
flags-release := -O2 -g -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fPIE
flags-debug   := -Og -g3
flags-asan    := -O1 -g -fno-omit-frame-pointer \
                 -fsanitize=address,undefined -fno-sanitize-recover=all
flags-tsan    := -O1 -g -fsanitize=thread
link-release  := -pie -Wl,-z,relro,-z,now
MODE_FLAGS    := $(flags-$(MODE)) $(if $(WERROR),-Werror)
ALL_CFLAGS     = -std=c17 -D_GNU_SOURCE -I. $(WARN) $(CWARN) $(MODE_FLAGS) $(CFLAGS)
ALL_CXXFLAGS   = -std=c++17 -D_GNU_SOURCE -I. $(WARN) $(MODE_FLAGS) $(CXXFLAGS)
ALL_LDFLAGS    = $(link-$(MODE)) $(LDFLAGS)

# Debian's name of a library, where pkg-config knows it by another.
pc = $(shell pkg-config --libs $(1))
BASE_PC             := msgpack libxxhash inih
ingestd-LIBS         = $(call pc,libuv libmicrohttpd simdjson zlib libzstd) -lstdc++
batchd-LIBS          = $(call pc,libuv)
sinkd-postgres-LIBS  = $(call pc,libpq)
sinkd-kafka-LIBS     = $(call pc,rdkafka)
sinkd-clickhouse-LIBS = $(call pc,libcurl)

# x/x.c holds main; every other x/*.c (and .cc) goes into x.a, so that tests
# can link it.
mods  = $(patsubst %.c,$(O)/%.o,$(filter-out $(1)/$(1).c,$(wildcard $(1)/*.c))) \
        $(patsubst %.cc,$(O)/%.o,$(wildcard $(1)/*.cc))
LIB_A := $(LIBS:%=$(O)/%.a)

.DEFAULT_GOAL := all
.PHONY: all clean format format-check
.SECONDARY:
.SECONDEXPANSION:
all: $(PROGRAMS:%=$(O)/bin/%)

$(O)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<

$(O)/%.o: %.cc Makefile
	@mkdir -p $(@D)
	$(CXX) $(ALL_CXXFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<

$(O)/%.a: $$(call mods,$$*)
	@mkdir -p $(@D) && rm -f $@
	$(AR) rcs $@ $^

$(O)/bin/%: $(O)/$$*/$$*.o $(O)/%.a $(LIB_A)
	@mkdir -p $(@D)
	$(CC) $(MODE_FLAGS) $(ALL_LDFLAGS) -o $@ $^ $($*-LIBS) $(call pc,$(BASE_PC)) $(LDLIBS)

# Unit tests: each tests/unit/test_X.c is a program that may use any module.
UNIT_TESTS  := $(patsubst %.c,$(O)/%,$(wildcard tests/unit/test_*.c tests/crash/test_*.c))
UNIT_A      := $(O)/ingestd.a $(O)/batchd.a $(O)/sinkd-postgres.a $(LIB_A)
UNIT_LIBS    = $(ingestd-LIBS) $(call pc,libpq check)
$(UNIT_TESTS): %: %.o $(UNIT_A)
	$(CC) $(MODE_FLAGS) $(ALL_LDFLAGS) -o $@ $^ $(UNIT_LIBS) $(call pc,$(BASE_PC)) $(LDLIBS)
.PHONY: unit-tests
unit-tests: $(UNIT_TESTS)

FORMATTED := $(shell git ls-files -co --exclude-standard '*.c' '*.h' '*.cc' 2>/dev/null)
format:
	clang-format -i $(FORMATTED)
format-check:
	clang-format --dry-run -Werror $(FORMATTED)

clean:
	rm -rf build

-include $(shell find $(O) -name '*.d' 2>/dev/null)
