# Front connector for Kafka: what users and developers run.
SHELL := /bin/bash
.DEFAULT_GOAL := all

VERSION  := 0.1.0
# Variants live side by side: BUILD=build/asan SANITIZER=address,undefined
BUILD    ?= build
CC       ?= cc
PKGS     := rdkafka libcurl avro-c jansson libmicrohttpd openssl
CFLAGS   ?= -O2 -g
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wformat=2 -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wswitch-enum \
            -Wimplicit-fallthrough -Wcast-qual -Wdouble-promotion
HARDEN   := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fno-omit-frame-pointer -fPIE
ifdef SANITIZER
HARDEN   := -fsanitize=$(SANITIZER) -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS  += -fsanitize=$(SANITIZER)
else
LDFLAGS  += -pie -Wl,-z,relro,-z,now
endif
REVISION := $(shell git rev-parse --short=10 HEAD 2>/dev/null || echo unknown)
CPPFLAGS += -std=gnu11 -Iconnector -D_GNU_SOURCE
VERSION_FLAGS = -DFRONT_CONNECTOR_VERSION='"$(VERSION)"' -DFRONT_CONNECTOR_REVISION='"$(REVISION)"'
$(BUILD)/connector/cli/version.o $(BUILD)/connector/cli/run.o: ALL_CFLAGS += $(VERSION_FLAGS)
$(BUILD)/connector/cli/version.o $(BUILD)/connector/cli/run.o: $(BUILD)/revision
ALL_CFLAGS = $(CPPFLAGS) $(CFLAGS) $(WARNINGS) $(HARDEN) $(shell pkg-config --cflags $(PKGS))
LIBS      = $(shell pkg-config --libs $(PKGS)) -lpthread -lm

FLOORS    := base net codec front kafka engine cli
LIB_SRC   := $(foreach f,$(FLOORS),$(wildcard connector/$(f)/*.c connector/$(f)/*/*.c))
LIB_OBJ   := $(LIB_SRC:%.c=$(BUILD)/%.o)
LIB       := $(BUILD)/libconnector.a

all: $(BUILD)/front-connector

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC $@" && $(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

# Touched only when it changes.
$(BUILD)/revision: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION) $(REVISION)' | cmp -s - $@ || echo '$(VERSION) $(REVISION)' > $@

$(LIB): $(LIB_OBJ)
	@rm -f $@
	@$(AR) rcs $@ $^

$(BUILD)/front-connector: $(BUILD)/connector/main.o $(LIB)
	@echo "  LD $@" && $(CC) $(LDFLAGS) $^ $(LIBS) -o $@

# The sandbox: a look-alike of Front with a mock Kafka, for demos and users' own tests.
SANDBOX_SRC := $(wildcard tests/sandbox/*.c)
SANDBOX_OBJ := $(SANDBOX_SRC:%.c=$(BUILD)/%.o)
$(BUILD)/tests/sandbox/spec.o: schemas/catalogue.json
$(BUILD)/front-sandbox: $(SANDBOX_OBJ) $(LIB)
	@echo "  LD $@" && $(CC) $(LDFLAGS) $^ $(LIBS) -o $@
sandbox: $(BUILD)/front-sandbox

# The main job on the sandbox, lists and their progress too, with results and the API's journal to
# look at; KEEP=1 stays up.
demo: deps
	@$(MAKE) --no-print-directory all sandbox
	@tests/sandbox/demo.sh

# --- tests: every tests/unit/test_*.c is one cmocka program, linked with the other *.c there ---
UNIT_SRC  := $(wildcard tests/unit/test_*.c)
UNIT_BIN  := $(UNIT_SRC:%.c=$(BUILD)/%)
UNIT_HELP := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c)))

$(BUILD)/tests/unit/%: tests/unit/%.c $(UNIT_HELP) $(LIB)
	@mkdir -p $(@D)
	@echo "  CC $@" && $(CC) $(ALL_CFLAGS) -MMD -MP $< $(UNIT_HELP) $(LDFLAGS) $(LIB) $(LIBS) -lcmocka -o $@

# Requests from Front, signed by another program than the one that checks them.
$(BUILD)/corpus.jsonl: tests/fuzz/corpus.py
	@mkdir -p $(@D)
	@python3 $< > $@.new && mv $@.new $@
$(BUILD)/tests/unit/test_webhook: $(BUILD)/corpus.jsonl
$(BUILD)/tests/unit/test_webhook: ALL_CFLAGS += -DCORPUS='"$(BUILD)/corpus.jsonl"'

unit-programs: $(UNIT_BIN)
.SECONDARY: $(UNIT_HELP)

# The unit tests, plain and with ASan + UBSan; a closing line counts the programs' tests.
unit: deps
	$(MAKE) unit-programs
	$(MAKE) unit-programs BUILD=build/asan SANITIZER=address,undefined
	python3 tests/run.py unit build/tests/unit build/asan/tests/unit

# The bridge on a real Apache Kafka, judged by an independent client.
system: deps-test all sandbox
	python3 tests/run.py system

# The engine in a simulated world: SEEDS=n worlds, or one with SEED=k [TRACE=1].
SIM_SRC := $(wildcard tests/sim/*.c)
SIM_OBJ := $(SIM_SRC:%.c=$(BUILD)/%.o)
$(BUILD)/simulator: $(SIM_OBJ) $(LIB)
	@echo "  LD $@" && $(CC) $(LDFLAGS) $^ $(LIBS) -o $@
sim: $(BUILD)/simulator
	$< $(if $(SEED),seed=$(SEED),jobs=2 $(if $(SEEDS),seeds=$(SEEDS))) $(if $(TRACE),trace)
# Breaks the engine in many ways: the simulator must see each.
sim-mutations: $(BUILD)/simulator
	python3 tests/sim/mutate.py $(BUILD)

# Webhooks and bare HTTP, mutated, with ASan + UBSan: N=n inputs of the first and a tenth of the
# second, from SEED=k on.
N    ?= 20000
SEED_OR_0 = $(or $(SEED),0)
$(BUILD)/fuzz-%: tests/fuzz/%.c $(LIB)
	@echo "  CC $@" && $(CC) $(ALL_CFLAGS) -MMD -MP $< $(LDFLAGS) $(LIB) $(LIBS) -o $@
fuzz-programs: $(BUILD)/fuzz-webhook $(BUILD)/fuzz-http $(BUILD)/corpus.jsonl
fuzz: deps
	$(MAKE) fuzz-programs BUILD=build/asan SANITIZER=address,undefined
	build/asan/fuzz-webhook build/asan/corpus.jsonl $(N) $(SEED_OR_0)
	build/asan/fuzz-http $$(($(N) / 10)) $(SEED_OR_0)

# Instances and brokers die under a stream of commands: KILLS=n [SEED=k] [BROKERS=1|3].
chaos: deps-test all sandbox
	build/venv/bin/python tests/chaos/chaos.py $(or $(KILLS),20) seed=$(SEED) brokers=$(BROKERS)

# Lint, simulated worlds, fuzz, unit tests, generated files, the sandbox, then the system tests;
# the last line sums up.
test: unit-deps
	$(MAKE) lint
	$(MAKE) all sandbox unit-programs
	$(MAKE) unit-programs BUILD=build/asan SANITIZER=address,undefined
	$(MAKE) sim
	$(MAKE) fuzz
	python3 tests/run.py all build/tests/unit build/asan/tests/unit

unit-deps: deps-test

# Figures, no judgement: the connector beside a bare loop of the same libraries.
BENCH_BIN := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/*.c))

$(BUILD)/tests/bench/%: tests/bench/%.c $(LIB)
	@mkdir -p $(@D)
	@echo "  CC $@" && $(CC) $(ALL_CFLAGS) -MMD -MP $< $(LDFLAGS) $(LIB) $(LIBS) -o $@

bench-programs: $(BENCH_BIN)

bench: deps-test all bench-programs
	$(BUILD)/tests/bench/codec
	build/venv/bin/python tests/bench/bench.py
	build/venv/bin/python tests/bench/list_bench.py
	build/venv/bin/python tests/bench/webhook_bench.py
	build/venv/bin/python tests/chaos/members.py

# The rules of the house, and the other compiler.
lint: DEPS += clang clang-format shellcheck
lint: deps
	$(MAKE) all
	$(MAKE) all sandbox unit-programs bench-programs fuzz-programs CC=clang BUILD=build/clang
	python3 tests/lint.py

# After a change of the settings table: the files users read.
config: all
	build/front-connector internal print-sample > config/front-connector.conf
	build/front-connector internal print-settings-markdown > config/README.md

schemas:
	python3 schemas/generate.py schemas

# By hand: OPENAPI is the folder of Front's published descriptions.
catalogue:
	python3 schemas/generate.py catalogue $(OPENAPI)

# What the targets need: installed when it is missing. APT is the command that installs.
APT  ?= apt-get
DEPS := build-essential pkg-config python3 librdkafka-dev libcurl4-openssl-dev libavro-dev \
        libjansson-dev libmicrohttpd-dev libssl-dev uthash-dev libcmocka-dev
deps:
	@missing=; for p in $(DEPS); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'install ok installed' || missing="$$missing $$p"; \
	done; \
	if [ -n "$$missing" ]; then \
	  echo "installing:$$missing"; \
	  $(APT) update -qq && DEBIAN_FRONTEND=noninteractive $(APT) install -y -qq --no-install-recommends $$missing; \
	fi

# The parts of the system tests: Java and Maven for Kafka's jars, a venv for the client.
# (deps runs once in a make, with the DEPS of whoever asks first: nobody asks for both.)
deps-test: DEPS += default-jre-headless maven python3-venv
deps-test: deps
	bash tests/system/setup.sh
	python3 tests/kafka/kafka.py prepare
	python3 tests/kafka/registry.py prepare

clean:
	rm -rf build

-include $(LIB_OBJ:.o=.d) $(SANDBOX_OBJ:.o=.d) $(SIM_OBJ:.o=.d) $(UNIT_HELP:.o=.d) \
         $(BUILD)/fuzz-webhook.d $(BUILD)/fuzz-http.d \
         $(addsuffix .d,$(UNIT_BIN) $(BENCH_BIN))
.PHONY: FORCE all bench bench-programs catalogue chaos clean config demo deps deps-test fuzz \
        fuzz-programs lint sandbox schemas sim sim-mutations system test unit unit-deps unit-programs
