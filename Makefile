# `make demo` shows Tamis on a machine that has cargo and python3-pip; `make test` runs every test.
# Each step says what it does. Nothing outside this folder, cargo's caches and (as root) apt is changed.

CARGO ?= cargo
PYTHON ?= python3
# Queries are checked at compile time against .sqlx/, without a database.
export SQLX_OFFLINE ?= true
export PYTHON

.PHONY: help build demo serve setup test ci fmt lint tools

help:
	@echo 'make demo    set up, build, import a demo dataset, find its wrong labels, serve it'
	@echo 'make serve   set up, build and serve what is there'
	@echo 'make test    set up (with a browser for the browser test) and run every test'
	@echo 'make setup   get the native parts (ONNX Runtime, Postgres, ffmpeg, encoders) and say which'
	@echo 'make ci      what the continuous integration runs'
	@echo 'make fmt, make lint'

tools:
	@command -v $(CARGO) >/dev/null || { echo 'make: cargo not found. Install Rust with rustup (or your package manager), 1.95 or newer.' >&2; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo 'make: python3 not found. Debian/Ubuntu: apt install python3-pip; macOS: brew install python' >&2; exit 1; }
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || echo 'make: python3 has no pip, so what the system lacks cannot be installed. Debian/Ubuntu: apt install python3-pip' >&2

setup: tools
	@echo '== native parts'
	@scripts/setup

build: setup
	@echo '== building (the first time 5 to 15 minutes on two cores; cargo shows how far it is)'
	@$(CARGO) build

demo: build
	@echo '== demo'
	@$(CARGO) run --quiet -- demo

serve: build
	@echo '== serving'
	@$(CARGO) run --quiet -- serve

test: tools
	@echo '== native parts'
	@scripts/setup --test
	@echo '== tests (the first time 5 to 15 minutes on two cores go into building)'
	@$(CARGO) test

ci:
	@.ci/run

fmt:
	@$(CARGO) fmt

lint:
	@$(CARGO) clippy --all-targets -- -D warnings
