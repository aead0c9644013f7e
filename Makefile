# Vallum: everything a developer does. `make` lists the targets.
# Needs Python 3.11 or later, make and git; all else is installed into .venv from the lock files.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PYTEST ?= $(BIN)/pytest
# Two: they share one PostgreSQL, and keep it busy.
WORKERS ?= 2
PIP    := $(BIN)/pip --disable-pip-version-check --quiet
UV_VERSION := 0.13.9
COMPILE := .cache/lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header

.DEFAULT_GOAL := help
.PHONY: help run test test-all lint format types imports golden asvs attacks tampering bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run ## start the demonstration: PostgreSQL, example data, every part at work
	$(BIN)/vallum demo --serve

test: $(VENV)/.dev ## the fast tests
	$(PYTEST) -n $(WORKERS) -m "not slow"

test-all: $(VENV)/.dev ## all tests, the slow ones too
	$(PYTEST) -n $(WORKERS)

lint: $(VENV)/.dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev ## ruff: mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy

imports: $(VENV)/.dev ## the layers of the house hold
	$(BIN)/lint-imports

golden: $(VENV)/.dev ## write the golden files anew; fails where that changes one
	$(PYTEST) -p no:randomly -m golden --write-golden tests/golden
	@changed=$$(git status --porcelain -- tests/golden docs) && test -z "$$changed" \
		|| { git --no-pager diff -- tests/golden docs; echo "golden files changed:"; echo "$$changed"; exit 1; }

asvs: $(VENV)/.dev ## run what proves OWASP ASVS, and write docs/reference/asvs.md
	$(PYTEST) -n $(WORKERS) -m asvs --write-asvs

attacks: $(VENV)/.dev ## replay the attacks over the network, and write docs/reference/attacks.md
	$(PYTEST) -n $(WORKERS) -m attacks --write-attacks

tampering: $(VENV)/.dev ## perform the attacks on the audit trail, and write docs/reference/tampering.md
	$(PYTEST) -n $(WORKERS) -m tampering --write-tampering

bench: $(VENV)/.dev ## measure; ARGS="--quick" and the like are passed on
	$(BIN)/python -m bench $(ARGS)

lock: .cache/lock/bin/uv ## resolve the dependencies anew into the lock files
	$(COMPILE) $(ARGS) pyproject.toml --output-file requirements.lock
	$(COMPILE) $(ARGS) --group build --output-file requirements-build.lock
	$(COMPILE) $(ARGS) pyproject.toml --group dev --group build --constraint requirements.lock \
		--constraint requirements-build.lock --output-file requirements-dev.lock
	@sed -i -E '/^ *--(extra-)?index-url|^ *--find-links|:\/\//d' requirements*.lock

clean: ## remove the environment and all caches
	rm -rf $(VENV) .cache build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps say what the environment holds: .run the product, .dev the developer's tools as well.
$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Vallum needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.lock requirements-build.lock pyproject.toml | $(BIN)/python
	$(PIP) install --no-deps --require-hashes -r requirements.lock -r requirements-build.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(PIP) install --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

.cache/lock/bin/uv:
	$(PYTHON) -m venv .cache/lock
	.cache/lock/bin/pip --disable-pip-version-check --quiet install uv==$(UV_VERSION)
