# waggle: `make demo` sets everything up and asks the bundled hive a question.
# Another interpreter: make setup PYTHON=python3.12. An index with CPU builds of torch: PIP_EXTRA_INDEX_URL=... make setup
.DEFAULT_GOAL := demo
.PHONY: setup demo test check bench docs size sbom train
.DELETE_ON_ERROR:

BIN := .venv/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
TORCH := $(shell sed -n 's/^ *"\(torch==[^"]*\)".*/\1/p' pyproject.toml)
QUESTION ?= How many 1 bits are there in the binary representation of the number 1453?
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

setup: .venv/.stamp

.venv/.stamp: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "waggle needs Python 3.11 or newer: install it, or say make setup PYTHON=/path/to/python"; exit 1; }
	@echo "setting up .venv with $(PYTHON) (a few minutes, once)"
	@$(PYTHON) -m venv .venv
	@echo "  1/3 packages of requirements.lock, each checked against its hash"
	@$(PIP) install --require-hashes --no-deps -r requirements.lock
	@echo "  2/3 $(TORCH)"
	@$(PIP) install "$(TORCH)"
	@echo "  3/3 waggle itself"
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(PIP) check || { echo "requirements.lock lags behind pyproject.toml: run python tools/lock.py"; exit 1; }
	@touch $@

demo: setup ; @echo 'asking the hive, models that come inside this package: "$(QUESTION)"' && $(BIN)/waggle ask "$(QUESTION)"

test: setup ; $(BIN)/python -m pytest -n 2 --dist loadfile

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py
	$(BIN)/python tools/size_report.py

bench: setup ; $(BIN)/waggle bench $(ARGS)

docs: setup ; $(BIN)/python -m waggle.cli.helppages

size: setup ; @$(BIN)/python tools/size_report.py

sbom: ; @mkdir -p build && $(or $(wildcard $(BIN)/python),$(PYTHON)) tools/sbom.py > build/sbom.json && echo build/sbom.json

train: setup ; $(BIN)/waggle train hive $(ARGS)
