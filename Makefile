# The command surface; `make` alone lists it. `make demo` and `make test` set themselves up first.
# PYTHON=/path/to/python3.12 chooses the interpreter for a new .venv.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup tools database demo test bench benchmark check fmt lint lint-c fuzz type parity figures lock clean

PY := .venv/bin/python
RUN := build/demo/run
BUNDLE := build/demo/bundle
REPORT := build/demo/report
MODEL_SOURCES := $(shell find datasets export nas -name '*.py' -o -name '*.[ch]')

# Shell functions of the recipes below, in front of each that uses one.
define FUNCTIONS
say() { printf '%s\n' "$$*" >&2; }
run() { printf '\n+ %s\n' "$$*" >&2; "$$@"; }

# The first interpreter that runs (a pyenv shim may not), is 3.11 or 3.12, and can make environments.
find_python() {
	local candidate
	for candidate in $(PYTHON) python3.11 python3.12 python3 /usr/bin/python3; do
		"$$candidate" -c 'from ensurepip import version; import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
			2>/dev/null || continue
		command -v "$$candidate"
		return
	done
	return 1
}
has_venv() { $(PY) -m pip --version || find_python || python3 -c 'from ensurepip import version'; } >/dev/null 2>&1

# Install Debian packages; false, saying why, where that cannot be.
apt_install() {
	local as_root=()
	command -v apt-get >/dev/null || { say "cannot install $$*: there is no apt-get"; return 1; }
	if [ "$$(id -u)" != 0 ]; then
		as_root=(sudo -n)
		sudo -n true 2>/dev/null || { say "cannot install $$*: neither root nor passwordless sudo"; return 1; }
	fi
	say "installing $$* through apt"
	"$${as_root[@]}" apt-get update -qq &&
		"$${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends "$$@" >&2
}

# Whether a compiler is there together with its C library.
compiles() { printf '#include <string.h>\n' | "$$@" -x c -c -o /dev/null - 2>/dev/null; }
has_host_compiler() { compiles cc; }
has_arm_compiler() { compiles arm-none-eabi-gcc --specs=nano.specs; }
has_qemu() { command -v qemu-system-arm >/dev/null; }
board_engine() { if has_arm_compiler && has_qemu; then echo qemu; else echo host; fi; }
parity() {
	local engines=tflm,host
	[ "$$(board_engine)" = host ] || engines+=,qemu
	run $(PY) -m firmware_sim parity $(BUNDLE) --dataset synthetic --windows 20 --engines "$$engines"
}
endef

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.stamp ## the virtual environment, and what apt has to bring; nothing where all is there

.venv/.stamp: requirements.txt requirements-uv.txt | tools
	@$(FUNCTIONS)
	if ! $(PY) -m pip --version >/dev/null 2>&1; then
		rm -rf .venv build/uv
		if python=$$(find_python); then
			say "making .venv with $$python"
			"$$python" -m venv .venv
		else
			# Newer distributions ship a newer Python only: uv finds or downloads the one we need.
			say "no Python 3.11 or 3.12 here; asking uv for one"
			python3 -m venv build/uv
			build/uv/bin/pip install -q --require-hashes -r requirements-uv.txt
			build/uv/bin/uv venv -q --seed --python 3.12 .venv || {
				say "beatgate needs Python 3.11 or 3.12: install one, then make setup PYTHON=/path/to/python3.12"
				exit 1
			}
		fi
	fi
	say "installing the locked requirements into .venv"
	$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements-uv.txt
	.venv/bin/uv pip sync -q --python $(PY) --require-hashes requirements.txt || {
		say "uv could not; pip, which may know another package index, takes over (about two minutes)"
		$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	}
	touch $@

tools:
	@$(FUNCTIONS)
	missing=()
	has_venv || missing+=(python3 python3-venv)
	has_host_compiler || missing+=(gcc libc6-dev)
	has_arm_compiler || missing+=(gcc-arm-none-eabi libnewlib-arm-none-eabi)
	has_qemu || missing+=(qemu-system-arm)
	[ $${#missing[@]} -gt 0 ] || exit 0
	apt_install "$${missing[@]}" || true
	by_hand="sudo apt-get update && sudo apt-get install -y --no-install-recommends $${missing[*]}"
	if ! { has_venv && has_host_compiler; }; then
		say "Python with venv and a C compiler are needed for anything at all. Type, then again:"
		say "    $$by_hand"
		exit 1
	fi
	if [ "$$(board_engine)" = host ]; then
		say "skipping the emulated Cortex-M4 (engine qemu): no Arm compiler with newlib, or no qemu-system-arm."
		say "Going on with the host engine, which runs the same C. To have both, type:"
		say "    $$by_hand"
	fi

database: ## PostgreSQL, which the tests of searches on many machines start for themselves
	@$(FUNCTIONS)
	compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || apt_install postgresql

demo: setup $(BUNDLE)/manifest.json ## synthetic recordings -> model -> firmware -> emulated board -> report
	@$(FUNCTIONS)
	parity
	run $(PY) -m firmware_sim replay $(BUNDLE) --split test --engine "$$(board_engine)" --out $(REPORT)
	say "the report: $(CURDIR)/$(REPORT)/report.html"

$(BUNDLE)/manifest.json: .venv/.stamp $(MODEL_SOURCES)
	@$(FUNCTIONS)
	rm -rf $(RUN) $(BUNDLE)
	run $(PY) -m nas train --dataset synthetic --leads I --hold-out HYP --run $(RUN)
	run $(PY) -m nas classifier --dataset synthetic --leads I --hold-out HYP --run $(RUN)
	run $(PY) -m export bundle $(RUN) --out $(BUNDLE)

test: setup ## every test that can run here; a skip says what is missing
	$(PY) -m pytest

check: lint type test parity ## what has to pass before a commit

fmt: .venv/.stamp ## format, and mend what ruff can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

lint: .venv/.stamp ## ruff: rules and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

C_FIRMWARE := export/firmware
C_RUNTIME := $(shell find $(C_FIRMWARE) -name '*.c' -not -path '*/ports/*')
C_PORTS := $(shell find $(C_FIRMWARE)/ports -name '*.c' -not -path '*/host/*')
EMULATED := -I$(C_FIRMWARE) -I$(C_FIRMWARE)/ports/emulated -DBG_COUNTER_ADDRESS=0x40000000U

lint-c: ## cppcheck and clang-tidy over the firmware; docs/misra.md has the deviations
	@$(FUNCTIONS)
	command -v cppcheck clang-tidy >/dev/null || apt_install cppcheck clang-tidy
	run cppcheck --std=c99 --enable=warning,style,performance,portability --inline-suppr --quiet \
		--error-exitcode=1 $(EMULATED) $(C_FIRMWARE)
	say "+ clang-tidy, a process a core"
	tidy() { printf '%s\n' $$1 | xargs -P "$$(nproc)" -I@ clang-tidy --quiet @ -- "$${@:2}" 2>/dev/null; }
	tidy "$(C_RUNTIME) $(C_FIRMWARE)/ports/host/host.c" -std=c11 -I$(C_FIRMWARE)
	tidy "$(C_PORTS)" -std=gnu11 --target=thumbv7m-none-eabi -isystem /usr/include/newlib \
		-isystem /usr/lib/arm-none-eabi/include $(EMULATED)

FUZZ := build/fuzz
SECONDS := 60
SEED := 1
fuzz: .venv/.stamp ## hostile model blobs through the runtime under the sanitizers, for SECONDS, from SEED
	@$(FUNCTIONS)
	mkdir -p $(FUZZ)/corpus
	if ! printf 'int LLVMFuzzerTestOneInput(void) { return 0; }' | clang -fsanitize=fuzzer -x c -o /dev/null - 2>/dev/null; then
		apt_install clang
		apt_install "libclang-rt-$$(clang -dumpversion | cut -d. -f1)-dev"
	fi
	run $(PY) -m tests.fuzz.seeds $(FUZZ)/seeds
	# Half of the time each: the C as boards have it, and with this machine's own kernels.
	for kernels in portable native; do
		run clang -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
			-Wall -Wextra -Werror -Wno-unknown-pragmas -DBG_$${kernels^^} -I$(C_FIRMWARE) -o $(FUZZ)/$$kernels \
			tests/fuzz/fuzz_blob.c $(C_RUNTIME)
		run $(FUZZ)/$$kernels -seed=$(SEED) -max_total_time=$$(($(SECONDS) / 2)) -timeout=20 -rss_limit_mb=2048 \
			-max_len=4096 -artifact_prefix=$(FUZZ)/ -verbosity=0 -print_final_stats=1 \
			$(FUZZ)/corpus $(wildcard tests/fuzz/corpus) $(FUZZ)/seeds
	done

type: .venv/.stamp ## mypy, strict
	$(PY) -m mypy

bench: setup ## speed and memory of the signal chain, as ratios (BEATGATE_DATA=DIR: on PTB-XL)
	$(PY) -m tests.bench

JOBS := $(shell nproc)
benchmark: setup ## complete the table of docs/results.md from DATA, a folder with ptbxl and nstdb (BENCHMARK=... adds options)
	@$(FUNCTIONS)
	[ -n "$(DATA)" ] || { say "make benchmark DATA=DIR: DIR holds ptbxl and, for noise, nstdb"; exit 2; }
	noise=(); if [ -d "$(DATA)/nstdb" ]; then noise=(--noise-data "$(DATA)/nstdb"); fi
	run $(PY) -m nas benchmark --data "$(DATA)/ptbxl" "$${noise[@]}" --jobs $(JOBS) $(BENCHMARK)

parity: setup $(BUNDLE)/manifest.json ## the demo's bundle decides alike on every engine
	@$(FUNCTIONS)
	parity

figures: .venv/.stamp ## the documentation's pictures; the README's from REPORT (a folder that a replay has written)
	$(PY) -m export chain --plot docs/figures/chain.png
	$(PY) -m datasets show synthetic 00001 --out docs/figures/ecg.png
	$(PY) -m datasets show synthetic 00000 --leads I,V2 --fault electrode_motion --snr 0 --out docs/figures/fault.png
	chromium --headless --no-sandbox --disable-gpu --no-first-run --user-data-dir="$$(mktemp -d)" \
		--hide-scrollbars --virtual-time-budget=8000 --window-size=1200,1290 \
		--screenshot=docs/figures/report.png "file://$$(realpath $(REPORT))/report.html" 2>/dev/null

LOCK := .venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make lock' $(LOCK_FLAGS)
lock: .venv/.stamp ## remake requirements*.txt from pyproject.toml (LOCK_FLAGS=--upgrade for newer ones)
	$(LOCK) pyproject.toml --extra train --extra jax --extra distributed --extra dev -o requirements.txt
	$(LOCK) pyproject.toml -o requirements-sim.txt
	$(LOCK) --group installer -o requirements-uv.txt

clean: ## remove what was built, but not .venv
	rm -rf build .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
