# Every target works on a fresh clone: it makes .venv, installs what it needs there and builds the package.
# Needed: Python >= 3.9 (another one than python3: make PYTHON=python3.12 …), a C compiler, Rust >= 1.88.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip --disable-pip-version-check --quiet
STAMPS := $(VENV)/stamps

# What `make bench` compares with, in an environment of their own; ONLY=, CLIENTS= and ROUNDS= choose a part.
PEERS  := build/bench-venv
ROUNDS ?= 3

BINDGEN_VERSION := 0.73.2
BINDGEN  := target/tools/bin/bindgen
BINDINGS := src/ca_sys/bindings.rs

CARGO_FUZZ_VERSION := 0.13.2
CARGO_FUZZ := target/tools/bin/cargo-fuzz
# How long `make fuzz` tries.
SECONDS ?= 60

RUST_SOURCES := $(shell find src -name '*.rs') Cargo.toml $(wildcard Cargo.lock)

# `make wheel` links against an old glibc, with zig. WHEEL_TARGET= builds for another machine (rustup target add …),
# WHEEL_PYTHON= for one Python, which a free-threaded one needs.
WHEEL_TARGET ?=
WHEEL_PYTHON ?=
# zig would link an unwinder of its own, statically. When a thread ends with the interpreter, glibc unwinds it with libgcc's,
# and two unwinders in one stack crash: the wheel has to use libgcc's, which WHEEL_CC has for the target. (musl unwinds
# nothing.)
WHEEL_CC ?= cc
ifeq ($(shell uname -s),Linux)
WHEEL_UNWINDER = $(if $(findstring musl,$(WHEEL_TARGET)),,-Clink-arg=$(shell $(WHEEL_CC) -print-file-name=libgcc_s.so.1))
WHEEL_OPTIONS := --zig --compatibility $(if $(findstring musl,$(WHEEL_TARGET)),musllinux_1_2,manylinux2014)
endif

# Where `make wheel-test` tries the wheel: releases of Debian; MIRROR= is where their packages come from, if not where
# debootstrap finds them by itself.
TREES  ?= bullseye bookworm trixie sid
MIRROR ?=

# How often at most a thread is interrupted in a run of `make loom`; LOOM= tries all interleavings, which takes longer.
LOOM ?= 3

# `make soak` runs for so long; SEED= repeats the faults of an earlier run, ONLY= chooses loads.
MINUTES ?= 30
SEED ?=

.DELETE_ON_ERROR:
.PHONY: help demo test check loom fuzz bench memcheck soak docs wheel wheel-test notices bindings check-bindings build clean rust

help:            ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: build $(STAMPS)/demo            ## do the main job on a real IOC, and draw demo.png
	@$(PY) demo/demo.py

test: build $(STAMPS)/test            ## run all tests
	cargo test --no-default-features
	$(PY) -m pytest -n 2 --dist loadfile

check: build check-bindings $(STAMPS)/check $(STAMPS)/test $(STAMPS)/bench            ## rustfmt, clippy, ruff, mypy, stubtest, layers, bindings
	cargo fmt --check
	PYO3_PYTHON=$(CURDIR)/$(PY) cargo clippy --all-targets -- -D warnings
	cargo clippy --all-targets --no-default-features -- -D warnings
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(PY) -m mypy.stubtest cachannel CaChannel ca epicsMotor epicsPV --allowlist tools/stubtest.txt
	$(PY) tools/check_layers.py
	$(VENV)/bin/lint-imports --no-cache

loom: | rust            ## run src/sync's models through all interleavings of their threads; LOOM=3 interruptions, LOOM= for all
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom $(if $(LOOM),LOOM_MAX_PREEMPTIONS=$(LOOM)) cargo test --release --no-default-features --lib models

# The fuzzer needs a flag of the compiler that only nightly ones have without RUSTC_BOOTSTRAP. What it finds anew goes to
# build/, so that the corpus in the repository stays small.
fuzz: $(CARGO_FUZZ) | rust            ## feed arbitrary bytes to the decoding; SECONDS=60
	@mkdir -p build/fuzz
	RUSTC_BOOTSTRAP=1 $(CARGO_FUZZ) run --target-dir target/fuzz decoding build/fuzz fuzz/corpus/decoding -- -max_total_time=$(SECONDS) -max_len=4096 -print_final_stats=1

bench: build $(STAMPS)/bench $(PEERS)/installed.json            ## compare with C and other clients; ONLY=get, CLIENTS=c,cachannel, ROUNDS=3
	cargo build --quiet --release --no-default-features --examples
	@PYTHONPATH=benches $(PY) -m cabench --environment $(PEERS) --examples target/release/examples --rounds $(ROUNDS) --only "$(ONLY)" --clients "$(CLIENTS)"

memcheck: build $(STAMPS)/test            ## look for invalid accesses and leaks with valgrind, in a minute
	@PYTHONPATH=tests:tools:benches $(PY) tools/memcheck.py

soak: build $(STAMPS)/test            ## run all sorts of faults for MINUTES=30, with loads that check their values
	@PYTHONPATH=tests:tools:benches $(PY) -m soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) --only "$(ONLY)"

docs: build $(STAMPS)/docs            ## build the documentation into build/docs; its examples run in `make test`
	$(PY) -m sphinx -E -W --keep-going -d build/doctrees docs build/docs

wheel: $(STAMPS)/wheel | rust            ## build the wheel and the sdist into dist/, and check both
	$(PY) tools/third_party.py --check
	rm -rf dist
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" \
	RUSTFLAGS="--remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}=cargo --remap-path-prefix=$(CURDIR)=cachannel $(WHEEL_UNWINDER)" \
	$(PY) -m maturin build --release --locked --strip --out dist $(WHEEL_OPTIONS) $(if $(WHEEL_TARGET),--target $(WHEEL_TARGET)) $(if $(WHEEL_PYTHON),--interpreter $(WHEEL_PYTHON))
	$(PY) -m maturin sdist --out dist
	$(PY) tools/check_wheel.py dist

wheel-test: wheel            ## try the wheel in fresh Debians (as root): TREES="bookworm sid", SMOKE=1 for a part of the tests
	$(PY) tools/wheel_test.py $(if $(SMOKE),--smoke) $(if $(MIRROR),--mirror $(MIRROR)) $(TREES)

notices: $(STAMPS)/venv | rust            ## make THIRD-PARTY.txt again
	$(PY) tools/third_party.py

bindings: $(BINDGEN) $(STAMPS)/bindings            ## make src/ca_sys/bindings.rs again
	tools/bindings.sh $(PY) $(BINDGEN) $(BINDINGS)

check-bindings: $(BINDGEN) $(STAMPS)/bindings            ## fail where the bindings are not those of the headers
	tools/bindings.sh $(PY) $(BINDGEN) target/bindings.rs
	@diff -u $(BINDINGS) target/bindings.rs || { echo "$(BINDINGS) is not what bindgen makes of the headers: make bindings" >&2; exit 1; }

build: $(STAMPS)/package            ## build the package and install it into .venv; edits of Python files need no new build

clean:           ## remove what the targets made
	rm -rf $(VENV) target build dist demo.png .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -f python/cachannel/_ca.*.so

# The package, editable: .venv gets a link to python/, and python/cachannel/ the library built from src/.
$(STAMPS)/package: $(RUST_SOURCES) pyproject.toml $(STAMPS)/build | rust
	@echo "== building cachannel"
	@env -u CONDA_PREFIX VIRTUAL_ENV=$(CURDIR)/$(VENV) PIP_QUIET=1 $(PY) -m maturin develop --release
	@touch $@

# One dependency group of pyproject.toml.
$(STAMPS)/%: pyproject.toml | $(STAMPS)/venv
	@echo "== installing what '$*' needs"
	@$(PIP) install --group $*
	@touch $@

# The other clients, each where it installs.
$(PEERS)/installed.json: benches/cabench/peers.py benches/cabench/roster.py | $(STAMPS)/venv
	@echo "== installing the clients to compare with"
	@$(PYTHON) -m venv $(PEERS)
	@PYTHONPATH=benches $(PY) -m cabench.peers $(PEERS)

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9))' || { echo "cachannel needs Python 3.9 or newer; $(PYTHON) is not: make PYTHON=/path/to/python3 …" >&2; exit 1; }
	@echo "== making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make virtual environments (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@$(PIP) install --upgrade pip
	@mkdir -p $(STAMPS)
	@touch $@

$(BINDGEN): | rust
	cargo install bindgen-cli --version $(BINDGEN_VERSION) --locked --root target/tools

$(CARGO_FUZZ): | rust
	cargo install cargo-fuzz --version $(CARGO_FUZZ_VERSION) --locked --root target/tools

rust:
	@command -v cc >/dev/null || { echo "cachannel needs a C compiler to build; there is no cc (on Debian and Ubuntu: apt install gcc libc6-dev)" >&2; exit 1; }
	@command -v cargo >/dev/null || { echo "cachannel needs Rust 1.88 or newer to build; there is no cargo (see https://rustup.rs)" >&2; exit 1; }
	@rustc --version | awk '{ split($$2, v, "."); exit v[1] * 1000 + v[2] < 1088 }' || { echo "cachannel needs Rust 1.88 or newer to build; this is $$(rustc --version)" >&2; exit 1; }
