# Qosid: build, test and install. `make help` lists the targets.
#
# Each folder of crypto/ and sync/ is a layer and becomes one archive; the order of LAYERS is the direction of the arrows (a layer
# may use those after it). Tests of a layer link only that layer and those after it, so a wrong arrow does not link.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.SUFFIXES:

VERSION := 0.1.0
PREFIX  ?= /usr/local
SAN     ?=
comma   := ,
BUILD   ?= build$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))
JOBS    ?= 2

# ---- what it needs -----------------------------------------------------------------------------------------------------
PACKAGES_BUILD := gcc libc6-dev make pkg-config libgit2-dev libsqlite3-dev libsodium-dev libcjson-dev libzstd-dev \
                  libssl-dev zlib1g-dev libsystemd-dev libmicrohttpd-dev libcurl4-openssl-dev libicu-dev libpcre2-dev wabt
# Where Node.js came with its own npm, Debian's would not go beside it.
PACKAGES_BUILD += $(if $(shell command -v npm),,nodejs npm)
PACKAGES_TEST  := libcmocka-dev age openssh-client git zstd jq sqlite3 python3 iso-codes mandoc util-linux procps strace curl chromium \
                  openssh-server nginx-light fcgiwrap
PACKAGES_LINT  := clang-format clang-tidy cppcheck shellcheck
PACKAGES_TOOLS := valgrind clang libclang-rt-14-dev
PACKAGES_BENCH := wrk bc

LIBRARIES := libgit2 sqlite3 libsodium libcjson libzstd libcrypto zlib libsystemd libmicrohttpd libcurl icu-i18n icu-uc libpcre2-8

# ---- flags -------------------------------------------------------------------------------------------------------------
CC       ?= gcc
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual \
            -Wwrite-strings -Wundef -Wformat=2 -Wvla
CPPFLAGS += -I. -D_GNU_SOURCE -DQOSID_VERSION='"$(VERSION)"'
CFLAGS   ?= -O2 -g
ifeq ($(SAN),)
HARDEN   := -fstack-protector-strong -fstack-clash-protection -fcf-protection=full -fPIE -D_FORTIFY_SOURCE=3 \
            -ftrivial-auto-var-init=zero
LDHARDEN := -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code -Wl,--as-needed
else
ifneq ($(findstring tsan,$(SAN)),)
SANFLAGS := -fsanitize=thread
else
SANFLAGS := -fsanitize=$(subst asan,address,$(subst ubsan,undefined,$(SAN))) -fno-sanitize-recover=all
endif
SANFLAGS += -fno-omit-frame-pointer -O1
endif
# Expanded on first use only, so that `make deps` works before pkg-config is there.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(LIBRARIES)))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $$(shell pkg-config --libs $(LIBRARIES)) -lm)$(PKG_LIBS)
COMPILE    = $(CC) -std=c11 $(CPPFLAGS) $(CFLAGS) $(WARNINGS) $(HARDEN) $(SANFLAGS) $(PKG_CFLAGS) -MMD -MP
LINK       = $(CC) $(CFLAGS) $(LDHARDEN) $(SANFLAGS) $(LDFLAGS)

# One short line a command; V=1 shows the commands themselves.
run = $(if $(V),,@printf '  %-3s %s\n' $(1) $(2);)

# ---- layers ------------------------------------------------------------------------------------------------------------
LAYERS := sync sync/exchange sync/script sync/couch sync/changeset sync/roster sync/replica crypto
archive = $(BUILD)/lib/$(subst /,-,$(1)).a
ARCHIVES := $(foreach l,$(LAYERS),$(call archive,$(l)))

define layer_rules
$(call archive,$(1)): $(patsubst %.c,$(BUILD)/%.o,$(wildcard $(1)/*.c))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(call run,AR,$$@)$$(AR) rcs $$@ $$^
endef
$(foreach l,$(LAYERS),$(eval $(call layer_rules,$(l))))

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call run,CC,$<)$(COMPILE) -c -o $@ $<

PROGRAMS := $(BUILD)/qosid $(BUILD)/qosidd $(BUILD)/qosid-script

.PHONY: all
all: $(PROGRAMS)
.DEFAULT_GOAL := all

$(BUILD)/qosid: $(patsubst %.c,$(BUILD)/%.o,$(wildcard cli/*.c)) $(ARCHIVES)
	$(call run,LD,$@)$(LINK) -o $@ $^ $(PKG_LIBS) -lpthread

$(BUILD)/qosidd: $(patsubst %.c,$(BUILD)/%.o,$(wildcard daemon/*.c daemon/*/*.c)) $(ARCHIVES)
	$(call run,LD,$@)$(LINK) -o $@ $^ $(PKG_LIBS) -lpthread

# The JavaScript engine comes from npm as WebAssembly, checked by the hash in script/engine, and wasm2c makes C of it. It and
# qosid-script are built without sanitizers, which do not go with the process's limits.
ENGINE := $(BUILD)/engine
WASM2C := /usr/share/wabt/wasm2c
$(ENGINE)/node_modules/quickjs-wasi/quickjs.wasm: script/engine/package-lock.json
	@mkdir -p $(ENGINE)
	@cp script/engine/package.json script/engine/package-lock.json $(ENGINE)
	$(call run,NPM,$@)cd $(ENGINE) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@
$(ENGINE)/quickjs.c: $(ENGINE)/node_modules/quickjs-wasi/quickjs.wasm
	$(call run,W2C,$@)wasm2c -o $@ $<
$(ENGINE)/quickjs.h: $(ENGINE)/quickjs.c ;
# In its folder, so that a compiler cache knows it from one build folder to the next.
$(ENGINE)/engine.a: $(ENGINE)/quickjs.c
	$(call run,CC,$@)cd $(ENGINE) && $(CC) -O2 -w -fPIE -fstack-protector-strong -c -o quickjs.o quickjs.c
	@cd $(ENGINE) && $(CC) -O2 -w -fPIE -DWASM_RT_TRAP_HANDLER=_exit -I$(WASM2C) -c -o wasm-rt-impl.o $(WASM2C)/wasm-rt-impl.c
	@rm -f $@
	@cd $(ENGINE) && $(AR) rcs engine.a quickjs.o wasm-rt-impl.o
SCRIPT_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard script/*.c))
$(BUILD)/script/engine.o: CPPFLAGS += -isystem $(ENGINE)
$(BUILD)/script/engine.o: $(ENGINE)/quickjs.h
$(BUILD)/script/main.o: script/server.js
$(SCRIPT_OBJECTS) $(BUILD)/qosid-script: SANFLAGS :=
$(BUILD)/qosid-script: $(SCRIPT_OBJECTS) $(ENGINE)/engine.a
	$(call run,LD,$@)$(LINK) -o $@ $^ -lm

# ---- tests -------------------------------------------------------------------------------------------------------------
# tests/unit/<layer>/test_*.c with cmocka; other files there are shared by the layer's tests.
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/*/test_*.c))
below = $(if $(filter $(1),$(firstword $(2))),$(2),$(call below,$(1),$(wordlist 2,99,$(2))))

define unit_rules
$(BUILD)/tests/unit/$(1)/test_%: $(BUILD)/tests/unit/$(1)/test_%.o \
    $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(wildcard tests/unit/$(1)/test_*.c),$(wildcard tests/unit/$(1)/*.c))) \
    $(foreach l,$(call below,$(2),$(LAYERS)),$(call archive,$(l)))
	$$(call run,LD,$$@)$$(LINK) -o $$@ $$^ $$(PKG_LIBS) $$(shell pkg-config --libs cmocka) -lpthread
endef
$(eval $(call unit_rules,crypto,crypto))
$(eval $(call unit_rules,replica,sync/replica))
$(eval $(call unit_rules,changeset,sync/changeset))
$(eval $(call unit_rules,roster,sync/roster))
$(eval $(call unit_rules,exchange,sync/exchange))
$(eval $(call unit_rules,couch,sync/couch))
$(eval $(call unit_rules,script,sync/script))
$(eval $(call unit_rules,space,sync))

# The daemon is no layer: its tests link its objects except main.o.
$(BUILD)/tests/unit/daemon/test_%: $(BUILD)/tests/unit/daemon/test_%.o \
    $(patsubst %.c,$(BUILD)/%.o,$(filter-out daemon/main.c,$(wildcard daemon/*.c daemon/*/*.c))) $(ARCHIVES)
	$(call run,LD,$@)$(LINK) -o $@ $^ $(PKG_LIBS) $(shell pkg-config --libs cmocka) -lpthread

# Small programs that system tests and benches run: tests/tools/*.c, tests/bench/*.c.
TOOLS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/tools/*.c tests/bench/*.c))
$(filter $(BUILD)/tests/tools/% $(BUILD)/tests/bench/%,$(TOOLS)): %: %.o $(ARCHIVES)
	$(call run,LD,$@)$(LINK) -o $@ $^ $(PKG_LIBS) -lpthread
.SECONDARY:

# In a shell script these find what was built.
export QOSID_BUILD := $(abspath $(BUILD))

.PHONY: check unit system
check: deps
	@$(MAKE) --no-print-directory -j$(JOBS) all $(UNIT_TESTS) $(TOOLS)
	@tests/run -j $(JOBS) $(UNIT_TESTS) $(wildcard tests/system/test_*.sh)

# One layer or one test: make unit T=crypto, make unit T=crypto/test_age; make system T=cli
T ?=
# The tests of sync/script run it.
$(patsubst tests/unit/script/%.c,$(BUILD)/tests/unit/script/%,$(wildcard tests/unit/script/test_*.c)): | $(BUILD)/qosid-script
unit: $(filter $(BUILD)/tests/unit/$(T)%,$(UNIT_TESTS))
	@tests/run -j $(JOBS) $^
system: all $(TOOLS)
	@tests/run -j $(JOBS) $(wildcard tests/system/test_$(T)*.sh)

.PHONY: valgrind
valgrind: deps-tools $(UNIT_TESTS)
	@tests/run -j $(JOBS) --valgrind $(UNIT_TESTS)

.PHONY: demo
demo: deps
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@tests/demo/demo

.PHONY: bench
bench: deps-bench
	@$(MAKE) --no-print-directory -j$(JOBS) all $(TOOLS)
	@tests/bench/run

# ---- lint --------------------------------------------------------------------------------------------------------------
SOURCES := $(shell find crypto sync daemon cli script tests -name '*.[ch]' 2>/dev/null)
.PHONY: lint format
lint: deps-lint $(ENGINE)/quickjs.h
	tests/lint/arrows
	clang-format --dry-run -Werror $(SOURCES)
	shellcheck -x .ci/run tests/run tests/demo/demo tests/bench/run tests/bench/http tests/bench/views tests/bench/compress tests/lint/arrows tests/lint/man $(wildcard tests/system/*.sh)
	tests/lint/man docs/man/*.[1-9]
	cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr --suppressions-list=tests/lint/cppcheck.txt \
	    --enable=warning,performance,portability -I. crypto sync daemon cli script
	printf '%s\n' $(filter %.c,$(filter-out tests/%,$(SOURCES))) | xargs -P $(JOBS) -I FILE clang-tidy --quiet FILE -- \
	    -std=c11 $(CPPFLAGS) -isystem $(ENGINE) $(PKG_CFLAGS)
format:
	clang-format -i $(SOURCES)

# ---- dependencies ------------------------------------------------------------------------------------------------------
# Installs what is missing and nothing else; silent when all is there.
define install_packages
	@missing=; for p in $(1); do \
	    [ "$$(dpkg-query -W -f='$${db:Status-Status}' $$p 2>/dev/null)" = installed ] || missing="$$missing $$p"; done; \
	[ -z "$$missing" ] && exit 0; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	echo "Installing Debian packages:$$missing"; \
	$$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing >/dev/null
endef
.PHONY: deps deps-lint deps-tools deps-bench
deps:
	$(call install_packages,$(PACKAGES_BUILD) $(PACKAGES_TEST))
	@$(MAKE) --no-print-directory $(ENGINE)/quickjs.c
deps-lint: deps
	$(call install_packages,$(PACKAGES_LINT))
deps-tools: deps
	$(call install_packages,$(PACKAGES_TOOLS))
deps-bench: deps
	$(call install_packages,$(PACKAGES_BENCH))

# ---- install -----------------------------------------------------------------------------------------------------------
.PHONY: install
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/qosid $(DESTDIR)$(PREFIX)/lib/systemd/user $(DESTDIR)$(PREFIX)/lib/systemd/system \
	    $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man8 \
	    $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install $(BUILD)/qosid $(BUILD)/qosidd $(DESTDIR)$(PREFIX)/bin
	install $(BUILD)/qosid-script $(DESTDIR)$(PREFIX)/libexec/qosid
	install -m 644 docs/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 docs/man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 644 docs/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 cli/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/qosid
	install -m 644 daemon/qosidd.service daemon/qosidd.socket $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed -i 's,@PREFIX@,$(PREFIX),g' $(DESTDIR)$(PREFIX)/lib/systemd/system/qosidd.service

.PHONY: clean help
clean:
	rm -rf build
help:
	@echo 'make            build qosid and qosidd (after make deps)'
	@echo 'make deps       install what is missing from Debian packages (root or sudo)'
	@echo 'make demo       three offices, one repository, an auditor: the main job on real records'
	@echo 'make check      build and pass all tests; SAN=asan,ubsan or SAN=tsan for a sanitizer build'
	@echo 'make unit       unit tests only, T=crypto or T=crypto/test_age for a part'
	@echo 'make system     system tests only, T=cli for a part'
	@echo 'make valgrind   unit tests under valgrind'
	@echo 'make bench      measurements, ratios side by side'
	@echo 'make lint       formatting, static analysis, include arrows'
	@echo 'make install    into PREFIX (default /usr/local), DESTDIR respected'

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
