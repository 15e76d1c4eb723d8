# Hotline Exchange. Needs Python 3.11 or newer, make and a package index; nothing else.
# Every target makes or renews the environment (.venv) that it runs in.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CHECKED := exchange adapters certs tests

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.installed ## A city at work: two networks, one bridge, real matters handed over and proved
	@$(BIN)/exchange demo $(ARGS)

.PHONY: test
test: $(VENV)/.installed ## All tests; ARGS= goes to pytest, e.g. make test ARGS='tests/unit -x'
	@$(BIN)/python -m pytest $(ARGS)

.PHONY: bench
bench: $(VENV)/.installed ## Tickets per second beside the bare limit of this machine
	@$(BIN)/python -m bench $(ARGS)

.PHONY: check
check: $(VENV)/.installed ## Style, types, contract, generated code, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CHECKED)
	$(BIN)/python proto/generate.py --check
	$(BIN)/python -m pytest -q tests/test_architecture.py

.PHONY: format
format: $(VENV)/.installed ## Lay out the code, mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: proto
proto: $(VENV)/.installed ## Regenerate Python code, descriptor set and golden vectors from proto/
	$(BIN)/python proto/generate.py

.PHONY: env
env: $(VENV)/.installed ## Only make the environment

# Renews the pinned versions with the newest that pyproject.toml allows, for every platform and
# Python. uv resolves in an environment of its own, which is then removed.
.PHONY: constraints
constraints: ## Renew constraints.txt with the newest releases
	@$(call python_is_new_enough)
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --upgrade --no-annotate --no-header --no-emit-index-url --extra dev pyproject.toml \
	  --output-file constraints.txt
	rm -rf .venv-lock

.PHONY: clean
clean: ## Remove environments and caches
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

# -- the environment ---------------------------------------------------------------------------

# pip refuses an editable install beside hashes, so the pinned requirements come first and the
# checkout itself after them, without dependencies and without a build environment.
$(VENV)/.requirements: constraints.txt
	@$(call python_is_new_enough)
	@echo "Making $(VENV) (once, and whenever constraints.txt changes) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --quiet --require-hashes -r constraints.txt
	@touch $@

$(VENV)/.installed: $(VENV)/.requirements pyproject.toml
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

define python_is_new_enough
command -v $(PYTHON) >/dev/null 2>&1 || { \
  echo "There is no '$(PYTHON)' here. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "'$(PYTHON)' is $$($(PYTHON) --version 2>&1); Hotline Exchange needs Python 3.11 or newer. Name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }; \
$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
  echo "'$(PYTHON)' lacks the modules venv and ensurepip (Debian and Ubuntu: install python3-venv)." >&2; exit 1; }
endef
