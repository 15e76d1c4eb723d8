# Hotline Exchange. Needs Python 3.11 or newer, make and a package index; nothing else.
# Every target makes or renews the environment (.venv) that it runs in.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := pip install --quiet --disable-pip-version-check
CHECKED := exchange adapters certs tests
# Much of a test is waiting for processes, so two more run than there are cores; the long ones begin.
JOBS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 2)')
AT_ONCE = --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.installed ## A city at work: two networks, one bridge, real matters handed over and proved
	@$(BIN)/exchange demo $(ARGS)

.PHONY: test
test: $(VENV)/.installed ## All tests, several files at once; with ARGS='tests/unit -x' what pytest makes of it
	@$(BIN)/python -m pytest $(or $(ARGS),$(AT_ONCE))

.PHONY: test-sqlalchemy20
test-sqlalchemy20: $(VENV)-sqlalchemy20/.installed ## The store's tests on SQLAlchemy 2.0, with the dialects that are only compiled
	@$(VENV)-sqlalchemy20/bin/python -m pytest tests/store $(or $(ARGS),$(AT_ONCE))

.PHONY: test-mariadb
test-mariadb: $(VENV)/.installed ## The store's tests, and several bridges, on MariaDB and on a Galera cluster of three nodes, where they are installed
	@TEST_MARIADB=all $(BIN)/python -m pytest -m whole_on_mariadb $(or $(ARGS),tests/store tests/bridge tests/several tests/attack/test_killed.py $(AT_ONCE))

.PHONY: bench
bench: $(VENV)/.installed ## Speed beside the bare limit and beside other ways; ARGS=--quick, --install for the others
	@$(BIN)/python -m tests.bench $(ARGS)

.PHONY: overload
overload: $(VENV)/.installed ## Twice as much as a bridge can take, from callers who do not listen; ARGS='--minutes 10'
	@$(BIN)/python -m tests.load.overload $(ARGS)

.PHONY: soak
soak: $(VENV)/.installed ## Tickets through their whole life while old ones are archived; ARGS='--tickets 1000000'
	@$(BIN)/python -m tests.load.soak $(ARGS)

.PHONY: chaos
chaos: $(VENV)/.installed ## Real processes killed, frozen, cut off and starved; ARGS='--minutes 60', --only FAULT
	@$(BIN)/python -m tests.chaos $(ARGS)

.PHONY: simulate
simulate: $(VENV)/.installed ## Thousands of seeded runs in which everything breaks; ARGS='--seeds 0-9999 --jobs 2', --relay
	@$(BIN)/python -m tests.simulation $(ARGS)

.PHONY: conformance-corpus
conformance-corpus: $(VENV)/.installed ## Every broken counterpart before the whole of its profile; ARGS='-k patient'
	@EXCHANGE_CORPUS=whole $(BIN)/python -m pytest tests/conformance/test_corpus.py tests/conformance/test_bridges.py \
	  tests/conformance/test_adapters.py tests/conformance/test_relays.py $(or $(ARGS),$(AT_ONCE))

.PHONY: judge
judge: $(VENV)/.installed $(VENV)-judge/.installed ## Outside judges: pkilint, sslyze, openssl, gnutls, and abuse of a live bridge (ARGS=abuse alone)
	@$(BIN)/python -m tests.judge $(ARGS)

.PHONY: systems
systems: $(VENV)/.installed ## Roundup and django-helpdesk, installed for this and linked by their mappings
	@EXCHANGE_SYSTEMS=install $(BIN)/python -m pytest tests/systems $(ARGS)

.PHONY: check
check: $(VENV)/.installed ## Style, types, contract, generated code, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CHECKED)
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code --exclude-path proto/buf
	$(BIN)/python proto/breaking.py
	$(BIN)/python proto/generate.py --check
	$(BIN)/python -m pytest -q tests/test_architecture.py

.PHONY: format
format: $(VENV)/.installed ## Lay out the code, mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/buf format --write --exclude-path proto/buf

.PHONY: proto
proto: $(VENV)/.installed ## Regenerate Python code, descriptor set and golden vectors from proto/
	$(BIN)/python proto/generate.py

.PHONY: env
env: $(VENV)/.installed ## Only make the environment

# Renews the pinned versions with the newest that pyproject.toml allows, for every platform and
# Python. uv resolves in an environment of its own, which is then removed.
LOCK := .venv-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
  --generate-hashes --no-annotate --no-header --no-emit-index-url

.PHONY: constraints
constraints: ## Renew the pinned requirements with the newest releases
	@$(call python_is_new_enough)
	@$(PYTHON) -m venv --clear .venv-lock
	@.venv-lock/bin/python -m pip install --quiet uv
	@$(LOCK) --extra dev pyproject.toml --output-file constraints.txt
	@printf '%s\n' 'sqlalchemy<2.1' sqlalchemy-cockroachdb opengauss-sqlalchemy | $(LOCK) - --output-file constraints-sqlalchemy20.txt
	@$(LOCK) tests/bench/peers/requirements.in --output-file tests/bench/peers/requirements.txt
	@$(LOCK) tests/systems/requirements.in --output-file tests/systems/requirements.txt
	@rm -rf .venv-lock
	@git diff --stat -- 'constraints*.txt'

.PHONY: clean
clean: ## Remove environments and caches
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

# -- the environment ---------------------------------------------------------------------------

# pip refuses an editable install beside hashes, so the pinned requirements come first and the
# checkout itself after them, without dependencies and without a build environment.
%/.requirements: constraints.txt
	@$(call python_is_new_enough)
	@echo "Making $* (once, and whenever constraints.txt changes) ..."
	@$(PYTHON) -m venv --clear $*
	@$*/bin/python -m $(PIP) --require-hashes -r constraints.txt
	@touch $@

%/.installed: %/.requirements pyproject.toml
	@$*/bin/python -m $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)-sqlalchemy20/.installed: %/.installed: %/.requirements pyproject.toml constraints-sqlalchemy20.txt
	@$*/bin/python -m $(PIP) --require-hashes -r constraints-sqlalchemy20.txt
	@$*/bin/python -m $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)-judge/.installed: tests/judge/requirements.txt
	@$(call python_is_new_enough)
	@$(PYTHON) -m venv --clear $(VENV)-judge
	@$(VENV)-judge/bin/python -m $(PIP) -r tests/judge/requirements.txt
	@touch $@

.PRECIOUS: %/.requirements

define python_is_new_enough
command -v $(PYTHON) >/dev/null 2>&1 || { \
  echo "There is no '$(PYTHON)' here. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "'$(PYTHON)' is $$($(PYTHON) --version 2>&1); Hotline Exchange needs Python 3.11 or newer. Name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }; \
$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
  echo "'$(PYTHON)' lacks the modules venv and ensurepip (Debian and Ubuntu: install python3-venv)." >&2; exit 1; }
endef
